"""What a file is, by how it begins and not by its name. Standard library only: Blender's side asks too."""

from __future__ import annotations

import enum
import os
from pathlib import Path


class Kind(enum.Enum):
    """Of a file; its value is what a sentence calls it."""

    PICTURE = "image"  # that is read with Pillow
    DEEP = "image of high range"  # EXR, DPX, Radiance: of more than 8 bits always
    RAW = "camera raw"
    GIF = "GIF"
    VIDEO = "video"
    UNKNOWN = "unknown file"


PICTURES = frozenset({Kind.PICTURE, Kind.DEEP, Kind.RAW})
#: Those of them whose start is that of a TIFF, or of nothing else that is known here.
RAW_SUFFIXES = frozenset(
    ".dng .cr2 .cr3 .crw .nef .nrw .arw .sr2 .raf .orf .rw2 .pef .srw .3fr .iiq .erf .mef .mos .rwl".split()
)
HEAD = 64  # bytes that tell
_BRANDS = {
    **dict.fromkeys("heic heix hevc hevx heim heis mif1 msf1 avif avis".split(), Kind.PICTURE), "crx ": Kind.RAW,
}  # fmt: skip
_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", Kind.PICTURE), (b"\x89PNG\r\n\x1a\n", Kind.PICTURE), (b"BM", Kind.PICTURE),
    (b"II*\0", Kind.PICTURE), (b"MM\0*", Kind.PICTURE), (b"II+\0", Kind.PICTURE), (b"MM\0+", Kind.PICTURE),
    (b"\xff\x0a", Kind.PICTURE), (b"\0\0\0\x0cJXL \r\n\x87\n", Kind.PICTURE),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Kind.PICTURE), (b"\xff\x4f\xff\x51", Kind.PICTURE),
    (b"v/1\x01", Kind.DEEP), (b"SDPX", Kind.DEEP), (b"XPDS", Kind.DEEP), (b"#?RADIANCE", Kind.DEEP), (b"#?RGBE", Kind.DEEP),
    (b"FUJIFILMCCD-RAW", Kind.RAW), (b"IIRO", Kind.RAW), (b"IIRS", Kind.RAW), (b"MMOR", Kind.RAW), (b"IIU\0", Kind.RAW),
    (b"GIF8", Kind.GIF),
    (b"\x1a\x45\xdf\xa3", Kind.VIDEO), (b"\0\0\x01\xba", Kind.VIDEO), (b"\0\0\x01\xb3", Kind.VIDEO), (b"FLV\x01", Kind.VIDEO),
    (b"0&\xb2u\x8ef\xcf\x11", Kind.VIDEO), (b"\x06\x0e+4\x02\x05\x01\x01", Kind.VIDEO), (b"OggS", Kind.VIDEO),
    (b"\0\0\0\x01\x67", Kind.VIDEO), (b"\0\0\0\x01\x40\x01", Kind.VIDEO), (b"DKIF", Kind.VIDEO),
)  # fmt: skip
#: What Blender opens; it shows the numbers as they are stored, and takes them for sRGB.
_BLENDER = (
    b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"v/1\x01", b"SDPX",
    b"XPDS", b"#?R", b"RIFF",
)  # fmt: skip

_FAMILIES = (
    (b"\xff\xd8", "JPEG"), (b"\x89PNG", "PNG"), (b"II*", "TIFF"), (b"MM\0*", "TIFF"), (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"\0\0\0\x0cjP", "JPEG 2000"), (b"v/1\x01", "EXR"), (b"SDPX", "DPX"), (b"XPDS", "DPX"),
)  # fmt: skip


def kind_of(path: Path) -> Kind:
    """What a file is; ``UNKNOWN`` also where it cannot be looked at."""
    head, suffix = _head(path), path.suffix.lower()
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12].decode("latin-1"), Kind.VIDEO)
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return Kind.VIDEO
    if head[:4] == b"RIFF":
        return {b"WEBP": Kind.PICTURE, b"AVI ": Kind.VIDEO}.get(head[8:12], Kind.UNKNOWN)
    if (head[:1] == b"\x47" and suffix in (".ts", ".mts", ".m2ts")) or (
        head[4:5] == b"\x47" and suffix in (".mts", ".m2ts")
    ):
        return Kind.VIDEO
    for start, kind in _STARTS:
        if head.startswith(start):
            is_tiff = kind is Kind.PICTURE and head[:2] in (b"II", b"MM")
            return Kind.RAW if is_tiff and suffix in RAW_SUFFIXES else kind
    # A TGA begins with its size and a picture type, which many files could
    return Kind.PICTURE if suffix in (".tga", ".targa") and len(head) > 18 else Kind.UNKNOWN


def family(path: Path) -> str:
    """The name of the format that a picture's file begins as, for a sentence; empty where it is none of these."""
    head = _head(path)
    if head[4:8] == b"ftyp":
        return "AVIF" if head[8:12] in (b"avif", b"avis") else "CR3" if head[8:12] == b"crx " else "HEIC"
    return next((name for start, name in _FAMILIES if head.startswith(start)), "")


def opens_in_blender(path: Path) -> bool:
    """Whether Blender shows the file itself; else it needs a copy in a form that it knows."""
    head = _head(path)
    if kind_of(path) is Kind.RAW:
        return False  # some begin as a TIFF, and hold a thumbnail as one
    return head.startswith(_BLENDER) or path.suffix.lower() in (".tga", ".targa")


def _head(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return b""
    try:
        return os.read(handle, HEAD)
    except OSError:
        return b""
    finally:
        os.close(handle)
