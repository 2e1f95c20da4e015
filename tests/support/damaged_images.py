"""Images as damage, malice and odd programs leave them, for tests and for ``tools/abuse``.

``mutated`` spoils the bytes of any file; ``PUT`` makes files that are wrong in a way of their own.
"""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

BOMB = 13_300  # pixels along a side: 0.7 MB on disk, 0.7 GB as RGBA


def picture(width: int = 60, height: int = 40, seed: int = 1) -> np.ndarray:
    """(height, width, 3) uint8 of noise."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def samples() -> Iterator[tuple[str, bytes]]:
    """(suffix, bytes) of whole files of every kind that is read, and of some that are not."""
    image = Image.fromarray(picture())
    exif = rich_exif()
    wanted: list[tuple[str, str, str, dict[str, object]]] = [
        ("JPEG", ".jpg", "RGB", {"exif": exif}),
        ("JPEG", ".jpg", "CMYK", {}),
        ("JPEG", ".jpg", "RGB", {"progressive": True}),
        ("MPO", ".jpg", "RGB", {"save_all": True, "append_images": [image.rotate(90)], "exif": exif}),
    ]
    wanted += [("PNG", ".png", mode, {"exif": exif}) for mode in ("RGB", "RGBA", "LA", "P", "1", "I;16")]
    wanted += [("PNG", ".png", "RGB", {"save_all": True, "append_images": [image.rotate(90)]})]
    wanted += [("TIFF", ".tif", mode, {}) for mode in ("RGB", "CMYK", "F", "LAB")]
    wanted += [("TIFF", ".tif", "RGB", {"compression": kind}) for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")]
    wanted += [("WEBP", ".webp", "RGB", {"exif": exif}), ("WEBP", ".webp", "RGBA", {"lossless": True, "exif": exif})]
    wanted += [("BMP", ".bmp", mode, {}) for mode in ("RGB", "P", "1")] + [("GIF", ".png", "P", {})]
    for kind, suffix, mode, words in wanted:
        file = io.BytesIO()
        deep = image.convert("L").convert("I").convert("I;16") if mode == "I;16" else None
        lab = Image.merge("LAB", image.split()) if mode == "LAB" else None
        (deep or lab or image.convert(mode)).save(file, kind, **words)
        yield suffix, file.getvalue()


def rich_exif() -> Image.Exif:
    """What telephones write, of every type that EXIF has."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation, so that the image has to be turned
    exif[0x010F], exif[0x0110] = "maker", "model"
    exif[0x011A] = exif[0x011B] = 72.0
    details = exif.get_ifd(0x8769)
    details[0xA405], details[0x920A], details[0x829A] = 28, 4.25, 0.01
    details[0xA20E], details[0xA20F], details[0xA210], details[0xA002] = 1000.0, 1000.0, 2, 60
    details[0x9000], details[0x927C], details[0xA432] = b"0232", bytes(range(60)), (4.0, 8.0, 1.8, 2.4)
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 1.5), 5: b"\0"})
    return exif


MARKS = (b"Exif\0\0", b"eXIf", b"EXIF", b"II*\0", b"MM\0*", b"MPF\0")  # where EXIF and the like begin


def mutated(data: bytes, dice: random.Random) -> bytes:
    """The bytes of a file with one to sixteen places changed, cut out, filled or cut off, mostly near its head or its EXIF."""
    spoilt = bytearray(data)
    starts = [0] + [data.index(mark) for mark in MARKS if mark in data]
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        at = dice.choice(starts) + dice.randrange(max(1, min(len(spoilt), dice.choice((64, 600, 10**9)))))
        at = min(at, max(0, len(spoilt) - 1))
        match dice.randrange(7):
            case 0:
                spoilt[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                spoilt[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case 2:
                del spoilt[at:]
            case 3:
                del spoilt[at : at + dice.randrange(1, 40)]
            case 4:
                spoilt[at:at] = dice.randbytes(dice.randrange(1, 30))
            case _:  # EXIF's types are such numbers
                spoilt[at : at + 1] = bytes([dice.randrange(14)])
    return bytes(spoilt)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def black_png(path: Path, width: int, height: int, mode: str = "RGBA", claims: tuple[int, int] | None = None) -> None:
    """A small file of very many pixels; ``claims``: (width, height) that its header states instead."""
    colours, channels = {"RGBA": (6, 4), "L": (0, 1)}[mode]
    packer, line = zlib.compressobj(1), bytes(1 + width * channels)
    rows = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", *(claims or (width, height)), 8, colours, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    )


def encoded(kind: str, **words: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, kind, **words)
    return file.getvalue()


def png_with(*chunks: bytes) -> bytes:
    """A whole PNG with more chunks behind its header."""
    whole = encoded("PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


def exif_of(tags: dict[int, tuple[int, int, bytes]]) -> bytes:
    """A JPEG whose EXIF has these tags, each (type, count, four bytes), right or wrong."""
    entries = b"".join(struct.pack(">HHI", tag, *about[:2]) + about[2] for tag, about in sorted(tags.items()))
    body = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(tags)) + entries + bytes(4)
    whole = encoded("JPEG")
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + whole[2:]


def _tiff_loop() -> bytes:
    """A TIFF whose second directory is its first."""
    whole = bytearray(encoded("TIFF"))
    start = struct.unpack("<I", whole[4:8])[0]
    after = start + 2 + 12 * struct.unpack("<H", whole[start : start + 2])[0]
    whole[after : after + 4] = struct.pack("<I", start)
    return bytes(whole)


def _saved(width: int, height: int) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(picture(width, height)).save(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # a socket's address may have 100 characters
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def _bytes(data: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data())


#: Suffix and maker of each; what the makers leave at the path is no image that all programs read, or no image at all.
PUT: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a header that claims 2 billion": (".png", lambda path: black_png(path, 10, 10, claims=(2_000_000_000, 2_000_000_000))),
    "a header that claims 30,000 x 30,000": (".png", lambda path: black_png(path, 10, 10, claims=(30_000, 30_000))),
    "a header of no pixels": (".png", lambda path: black_png(path, 10, 10, claims=(0, 10))),
    "empty": (".jpg", _bytes(bytes)),
    "zeros": (".jpg", _bytes(lambda: bytes(5000))),
    "a text": (".jpg", _bytes(lambda: b"Dear photographer,\n" * 30)),
    "PostScript": (".jpg", _bytes(lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n%%EndComments\nshowpage\n")),
    "a drawing": (".png", _bytes(lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>')),
    "a link that leads nowhere": (".jpg", lambda path: path.symlink_to(path.with_name("nothing"))),
    "a link to itself": (".jpg", lambda path: path.symlink_to(path)),
    "a device": (".jpg", lambda path: path.symlink_to("/dev/zero")),
    "a folder": (".jpg", lambda path: path.mkdir()),
    "a pipe": (".jpg", lambda path: os.mkfifo(path)),
    "a socket": (".jpg", _socket),
    "one pixel": (".png", _saved(1, 1)),
    "a strip across": (".png", _saved(3000, 10)),
    "a strip down": (".png", _saved(10, 3000)),
    "EXIF of wrong types": (".jpg", _bytes(lambda: exif_of({0x0112: (2, 1, b"x\0\0\0"), 0x8769: (2, 1, b"y\0\0\0")}))),
    "EXIF that points outside": (".jpg", _bytes(lambda: exif_of({0x8769: (4, 1, b"\x7f\xff\xff\xff")}))),
    "EXIF that points to itself": (".jpg", _bytes(lambda: exif_of({0x8769: (4, 1, b"\0\0\0\x08")}))),
    "EXIF of a billion numbers": (".jpg", _bytes(lambda: exif_of({0x0112: (5, 1 << 30, b"\0\0\0\x08")}))),
    "orientation 77": (".jpg", _bytes(lambda: exif_of({0x0112: (3, 1, b"\0\x4d\0\0")}))),
    "a profile of nonsense": (".jpg", _bytes(lambda: encoded("JPEG", icc_profile=b"nonsense" * 20))),
    "a text that unpacks to a gigabyte": (
        ".png", _bytes(lambda: png_with(png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20), 9)))),
    ),
    "a profile that unpacks to a lot": (
        ".png", _bytes(lambda: png_with(png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(64 << 20), 9)))),
    ),
    "a palette of nothing": (".png", _bytes(lambda: png_with(png_chunk(b"PLTE", b"")))),
    "two headers": (".png", _bytes(lambda: png_with(png_chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 5, 8, 2, 0, 0, 0))))),
    "a TIFF that goes round": (".tif", _bytes(_tiff_loop)),
    "a bitmap of negative height": (".bmp", _bytes(lambda: encoded("BMP")[:22] + struct.pack("<i", -(2**31)) + encoded("BMP")[26:])),
    "a JPEG of half its scan": (".jpg", _bytes(lambda: encoded("JPEG")[:-900])),
    "a JPEG without a table": (".jpg", _bytes(lambda: encoded("JPEG").replace(b"\xff\xc4", b"\xff\xfe"))),
    "an archive": (".png", _bytes(lambda: b"PK\x03\x04" + bytes(200))),
    "a GIF named .webp": (".webp", _bytes(lambda: encoded("GIF"))),
    "a bomb": (".png", lambda path: black_png(path, BOMB, BOMB)),
    "half a WebP": (".webp", _bytes(lambda: encoded("WEBP")[:300])),
}  # fmt: skip


def put(number: int, dice: random.Random, folder: Path) -> tuple[str, Path]:
    """One damaged image in a folder: those of ``PUT`` first, then mutations of whole files; what it is, and its path."""
    if number < len(PUT):
        what = list(PUT)[number]
        suffix, make = PUT[what]
        path = folder / f"damaged{suffix}"
        make(path)
        return what, path
    suffix, data = dice.choice(list(samples()))
    path = folder / f"damaged{suffix}"
    path.write_bytes(mutated(data, dice))
    return f"a mutated {suffix}", path
