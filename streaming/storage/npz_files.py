"""NPZ files of ``numpy.load``'s, nothing in them packed, and one array of them replaced without looking at the others.

Depths and pictures leave most of their size when deflate is done with them, and it takes longer than all else that is done with a
file. The layout is that of PKWARE's APPNOTE 6.3.10: a local header before each entry's bytes, then a central directory.
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

_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s4H2IH")
_VERSION, _STORED, _MIDNIGHT, _DAY = 20, 0, 0, 0x21  # entries have no time: the first day there is


@dataclass(frozen=True)
class _Entry:
    """One array's file: its name, check sum, and bytes."""

    name: bytes
    crc: int
    data: bytes | memoryview


def file_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The file, with these arrays by name."""
    return _file(_entry(name, array) for name, array in arrays.items())


def replaced(file: bytes, name: str, array: NDArray[Any]) -> bytes:
    """A file with another array under one of its names; of what ``file_of`` made, the others' bytes are taken over.

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
    data = out.getbuffer()
    return _Entry(f"{name}.npy".encode(), zlib.crc32(data), data)


def _entries(file: bytes) -> Iterable[_Entry]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        for info in archive.infolist():
            lengths = _LOCAL.unpack_from(file, info.header_offset)[-2:]
            begin = info.header_offset + _LOCAL.size + sum(lengths)
            packed = info.compress_type != _STORED  # by a run that was begun with an older version
            data = archive.read(info) if packed else memoryview(file)[begin : begin + info.file_size]
            yield _Entry(info.filename.encode(), info.CRC, data)


def _file(entries: Iterable[_Entry]) -> bytes:
    parts: list[bytes | memoryview] = []
    directory, where, count = io.BytesIO(), 0, 0
    for entry in entries:
        size = len(entry.data)
        common = (_STORED, _MIDNIGHT, _DAY, entry.crc, size, size, len(entry.name), 0)
        directory.write(_CENTRAL.pack(b"PK\1\2", _VERSION, _VERSION, 0, *common, 0, 0, 0, 0, where) + entry.name)
        header = _LOCAL.pack(b"PK\3\4", _VERSION, 0, *common) + entry.name
        parts += header, entry.data
        where, count = where + len(header) + size, count + 1
    listed = directory.getvalue()
    return b"".join([*parts, listed, _END.pack(b"PK\5\6", 0, 0, count, count, len(listed), where, 0)])
