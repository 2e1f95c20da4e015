"""NPZ files of ``numpy.load``'s, packed quicker than NumPy does, and one array of them replaced without packing the others again.

The layout is that of PKWARE's APPNOTE 6.3.10: a local header before each entry's bytes, then a central directory.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUICK = 1  # of deflate's levels: half the size in a fifth of the default's time
SAMPLE = 1 << 15  # bytes of an array that tell how it is best packed
WORTH = 0.7  # of the size: what packing leaves more of, as the last bits of depths and pictures do, is not packed
# Times the size, up to which packing without a search for repetitions is taken: it takes a third of the time.
AS_GOOD = 1.02
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s4H2IH")
_VERSION, _STORED, _DEFLATED, _MIDNIGHT, _DAY = 20, 0, 8, 0, 0x21  # entries have no time: the first day there is


@dataclass(frozen=True)
class _Entry:
    """One array's file: its name, check sum, size, and bytes as they are or as deflate made them, by ``method``."""

    name: bytes
    crc: int
    size: int
    method: int
    data: bytes


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The file, with these arrays by name."""
    return _file(_entry(name, array) for name, array in arrays.items())


def replaced(file: bytes, name: str, array: NDArray[Any]) -> bytes:
    """A file that ``packed`` made with another array under one of its names; the others' bytes are taken over.

    Raises
    ------
    zipfile.BadZipFile, struct.error
        It is broken.
    """
    new = _entry(name, array)
    return _file(new if entry.name == new.name else entry for entry in _entries(file))


def _entry(name: str, array: NDArray[Any]) -> _Entry:
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array), allow_pickle=False)
    plain = out.getvalue()
    return _Entry(f"{name}.npy".encode(), zlib.crc32(plain), len(plain), *_packed(plain))


def _packed(plain: bytes) -> tuple[int, bytes]:
    """Noise repeats nothing: there the search is left out, or all of the packing. A piece from the middle tells."""
    start = max(0, (len(plain) - SAMPLE) // 2)
    sample = plain[start : start + SAMPLE]
    searched, coded = (len(_with(sample, way)) for way in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY))
    if min(searched, coded) > WORTH * len(sample):
        return _STORED, plain
    return _DEFLATED, _with(plain, zlib.Z_HUFFMAN_ONLY if coded <= AS_GOOD * searched else zlib.Z_DEFAULT_STRATEGY)


def _with(plain: bytes, strategy: int) -> bytes:
    deflate = zlib.compressobj(QUICK, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return deflate.compress(plain) + deflate.flush()


def _entries(file: bytes) -> Iterable[_Entry]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        for info in archive.infolist():
            lengths = _LOCAL.unpack_from(file, info.header_offset)[-2:]
            begin = info.header_offset + _LOCAL.size + sum(lengths)
            data = file[begin : begin + info.compress_size]
            yield _Entry(info.filename.encode(), info.CRC, info.file_size, info.compress_type, data)


def _file(entries: Iterable[_Entry]) -> bytes:
    out, directory, count = io.BytesIO(), io.BytesIO(), 0
    for entry in entries:
        common = (entry.method, _MIDNIGHT, _DAY, entry.crc, len(entry.data), entry.size, len(entry.name), 0)
        directory.write(_CENTRAL.pack(b"PK\1\2", _VERSION, _VERSION, 0, *common, 0, 0, 0, 0, out.tell()) + entry.name)
        out.write(_LOCAL.pack(b"PK\3\4", _VERSION, 0, *common) + entry.name + entry.data)
        count += 1
    where, listed = out.tell(), directory.getvalue()
    return out.getvalue() + listed + _END.pack(b"PK\5\6", 0, 0, count, count, len(listed), where, 0)
