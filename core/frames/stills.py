"""Still images: which there are at a path, what their headers say, and their pixels, upright and in 8 bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import BadInput
from .frame import Frame, Header, Unreadable
from .input_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, natural_key

VIDEO_WORDS = "videos: " + ", ".join(sorted(s[1:] for s in VIDEO_SUFFIXES))
UNREAD_SUFFIXES = frozenset(".heic .heif .dng .cr2 .cr3 .nef .arw .raf .orf .exr .hdr .jxl".split())

#: What Pillow raises for a file that is broken, cut off or gone.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_FOCAL_IN_35MM = 0xA405
_FOCAL_LENGTH = 0x920A  # mm
_FOCAL_PLANE_X_RESOLUTION = 0xA20E  # pixels per unit
_FOCAL_PLANE_UNIT = 0xA210
_PIXEL_X_DIMENSION = 0xA002  # pixels, of the image the focal plane resolution speaks of
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0}
_DIAGONAL_35MM = 43.267  # mm, of the 36 x 24 mm frame that "equivalent" focal lengths refer to


class StillReader:
    """The images at ``paths``; see ``FrameReader``."""

    threads = 4  # Pillow and zlib let go of the interpreter while they decode

    def __init__(self, paths: Sequence[Path]):
        self._paths = paths

    def read(self, index: int, ahead: Sequence[int] = ()) -> Frame:
        try:
            return decode(self._paths[index])
        except UNREADABLE as error:
            raise Unreadable(reason(error)) from error

    def close(self) -> None:
        """No file stays open."""


def read_header(path: Path) -> Header:
    """Size as seen upright, and EXIF focal length in pixels; raises what Pillow raises."""
    with Image.open(path) as image:
        exif = image.getexif() if image.format != "PNG" or _has_late_exif(path) else Image.Image.getexif(image)
        width, height = image.size
        orientation = exif.get(_ORIENTATION, 1)
        if orientation in (5, 6, 7, 8):  # these lie on their side
            width, height = height, width
        focal = _focal(exif.get_ifd(_EXIF_IFD), width, height)
        known = orientation if orientation in range(1, 9) else 1
        return Header(width, height, focal, image.has_transparency_data, known)


def _has_late_exif(path: Path) -> bool:
    """Whether a PNG's EXIF comes after its pixels; because it may, Pillow's own way to it decodes every PNG."""
    with path.open("rb") as file:
        file.seek(8)
        pixels = False
        while len(start := file.read(8)) == 8:
            kind = start[4:]
            if kind == b"eXIf":
                return pixels
            pixels = pixels or kind == b"IDAT"
            file.seek(int.from_bytes(start[:4], "big") + 4, 1)
    return False


def decode(path: Path) -> Frame:
    """One image file as upright 8 bit RGB; transparent parts become white and are marked.

    16 bit and floating point grey images are scaled to 8 bit (Pillow itself would clip them); raises what Pillow raises.
    """
    with Image.open(path) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
    assert upright is not None
    if upright.mode.startswith("I") or upright.mode == "F":
        return Frame(_eight_bit(np.asarray(upright)))
    if upright.has_transparency_data:
        rgba = np.asarray(upright.convert("RGBA"))
        alpha = rgba[..., 3:].astype(np.float32) / 255.0
        over_white = rgba[..., :3] * alpha + 255.0 * (1.0 - alpha)
        opaque = rgba[..., 3] >= 128
        return Frame(np.round(over_white).astype(np.uint8), None if opaque.all() else opaque)
    return Frame(np.asarray(upright.convert("RGB")))


def find(path: Path) -> tuple[list[Path], list[str]]:
    """Images at ``path``, in natural order, and warnings about what looks like one but is not read.

    Raises
    ------
    BadInput
        Nothing there, or no image in it.
    """
    if path.is_file():
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise BadInput(f"'{path.name}' is not an image or a video this add-on reads ({_suffixes()}; {VIDEO_WORDS})")
        return [path], []
    try:
        files = sorted((p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")), key=natural_key)
    except PermissionError:
        raise BadInput(f"'{path}' may not be read: check the folder's permissions") from None
    paths = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
    unread = [p.name for p in files if p.suffix.lower() in UNREAD_SUFFIXES]
    videos = [p.name for p in files if p.suffix.lower() in VIDEO_SUFFIXES]
    if not paths:
        hint = f"; convert {unread[0]} and the like to JPEG first" if unread else ""
        hint = hint or (f"; for a video choose the file itself ({videos[0]})" if videos else "")
        raise BadInput(f"No images in '{path}' ({_suffixes()}){hint}")
    if unread:
        return paths, [f"Not read, convert to JPEG first: {', '.join(unread)}"]
    return paths, []


def _suffixes() -> str:
    return ", ".join(sorted(s[1:] for s in IMAGE_SUFFIXES))


def _focal(exif: dict[int, object], width: int, height: int) -> float | None:
    """Focal length in pixels from the EXIF tags, or None.

    The 35 mm equivalent keeps the field of view of the diagonal (CIPA DCG-001).
    """
    try:
        in_35mm = float(exif.get(_FOCAL_IN_35MM, 0))  # type: ignore[arg-type]
        if in_35mm > 0:
            return in_35mm / _DIAGONAL_35MM * float(np.hypot(width, height))
        length = float(exif.get(_FOCAL_LENGTH, 0))  # type: ignore[arg-type]
        density = float(exif.get(_FOCAL_PLANE_X_RESOLUTION, 0))  # type: ignore[arg-type]
        unit = _MM_PER_UNIT.get(int(exif.get(_FOCAL_PLANE_UNIT, 2)), 25.4)  # type: ignore[call-overload]
        recorded = float(exif.get(_PIXEL_X_DIMENSION, 0)) or max(width, height)  # type: ignore[arg-type]
        focal = length / unit * density * max(width, height) / recorded
        return focal if focal > 0 and np.isfinite(focal) else None
    except (TypeError, ValueError, ZeroDivisionError):
        return None  # tags that some program wrote wrongly are worth as much as none


def _eight_bit(grey: np.ndarray) -> np.ndarray:
    """(h, w) integers or floats to (h, w, 3) uint8."""
    if grey.dtype.kind == "f":
        top = 1.0 if np.nanmax(grey) <= 1.0 else 255.0 if np.nanmax(grey) <= 255.0 else 65535.0
    else:
        top = 255.0 if grey.max() <= 255 and grey.dtype.itemsize > 2 else 65535.0
    scaled = np.clip(np.nan_to_num(grey.astype(np.float32)) / top, 0.0, 1.0) * 255.0
    return np.repeat(np.round(scaled).astype(np.uint8)[..., None], 3, axis=-1)


def reason(error: Exception) -> str:
    """Why a file is left out, for the end of a sentence."""
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    if isinstance(error, PermissionError):
        return "it may not be read"
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is not an image, or broken"
    return f"it is broken ({error})"
