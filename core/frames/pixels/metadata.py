"""What a picture's file says about the shot, as far as it can be believed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from . import orientation

_EXIF_IFD, _INTEROP_IFD = 0x8769, 0xA005
_INTEROP_INDEX = 1
_ADOBE = "R03"  # DCF's "optional colour space": Adobe RGB
_FOCAL_IN_35MM = 0xA405
_FOCAL_LENGTH = 0x920A  # mm
_FOCAL_PLANE_X_RESOLUTION = 0xA20E  # pixels per unit
_FOCAL_PLANE_UNIT = 0xA210
_PIXEL_X_DIMENSION = 0xA002  # pixels, of the image the focal plane resolution speaks of
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0}
_DIAGONAL_35MM = 43.267  # mm, of the 36 x 24 mm frame that "equivalent" focal lengths refer to
_HEAD = 1 << 16  # bytes of a file among which its colours are stated
LIKELY_FOCALS = 0.25, 12.0  # of the long side; what is stated outside of it cannot be (some cameras write 1 mm)


@dataclass(frozen=True)
class Metadata:
    """``orientation`` EXIF's, 1 is upright; ``exif`` the tags of its second directory; ``adobe``: the numbers are Adobe RGB's."""

    orientation: int = orientation.UPRIGHT
    exif: Mapping[int, object] = field(default_factory=dict)
    adobe: bool = False


def read(image: Image.Image, file: Path) -> Metadata:
    """Of an image that Pillow has opened; damaged tags are worth as much as none: the pixels are there all the same."""
    turned, ifd, adobe = orientation.UPRIGHT, {}, False
    with contextlib.suppress(Exception):
        exif = image.getexif() if image.format != "PNG" or _has_late_exif(file) else Image.Image.getexif(image)
        if image.format in ("HEIF", "JXL"):  # their decoders have turned the pixels; EXIF may still say otherwise
            turned = orientation.UPRIGHT
        else:
            turned = orientation.known(exif.get(orientation.TAG, 1))
        ifd = dict(exif.get_ifd(_EXIF_IFD))
        adobe = exif.get_ifd(_INTEROP_IFD).get(_INTEROP_INDEX) == _ADOBE
    return Metadata(turned, ifd, adobe and "icc_profile" not in image.info)


def of_tiff(file: Path) -> Metadata:
    """Of a file that is laid out as a TIFF but is none for Pillow: float colour, most camera raw."""
    exif = Image.Exif()
    with contextlib.suppress(Exception), file.open("rb") as opened:
        exif.load_from_fp(opened)
        return Metadata(orientation.known(exif.get(orientation.TAG, 1)), dict(exif.get_ifd(_EXIF_IFD)))
    return Metadata()


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


def focal(exif: Mapping[int, object], width: int, height: int) -> float | None:
    """Focal length in pixels from the EXIF tags; None where they say none, or one that no lens has.

    The 35 mm equivalent keeps the field of view of the diagonal (CIPA DCG-001). Where it cannot be, the lens's own length and
    the sensor's density are asked.
    """
    for stated in (_of_equivalent(exif, width, height), _of_sensor(exif, width, height)):
        if stated and LIKELY_FOCALS[0] <= stated / max(width, height) <= LIKELY_FOCALS[1]:
            return stated
    return None


def _of_equivalent(exif: Mapping[int, object], width: int, height: int) -> float | None:
    in_35mm = _number(exif.get(_FOCAL_IN_35MM))
    return in_35mm / _DIAGONAL_35MM * float(np.hypot(width, height))


def _of_sensor(exif: Mapping[int, object], width: int, height: int) -> float | None:
    length, density = _number(exif.get(_FOCAL_LENGTH)), _number(exif.get(_FOCAL_PLANE_X_RESOLUTION))
    unit = _MM_PER_UNIT.get(int(_number(exif.get(_FOCAL_PLANE_UNIT, 2))), 25.4)
    recorded = _number(exif.get(_PIXEL_X_DIMENSION)) or max(width, height)
    return length / unit * density * max(width, height) / recorded


def _number(value: object) -> float:
    """A tag's value; 0 where some program wrote what is no positive number."""
    try:
        number = float(value or 0)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return 0.0
    return number if 0 < number < np.inf else 0.0


def coded_colour(file: Path) -> tuple[int, int] | None:
    """(primaries, transfer) by ITU-T H.273 that a HEIC, AVIF or PNG states beside or instead of a profile; else None."""
    with contextlib.suppress(OSError), file.open("rb") as opened:
        head = opened.read(_HEAD)
        at = head.find(b"colrnclx")
        if at >= 0 and len(head) >= at + 12:
            return int.from_bytes(head[at + 8 : at + 10], "big"), int.from_bytes(head[at + 10 : at + 12], "big")
        at = head.find(b"cICP")
        if at >= 0 and head.startswith(b"\x89PNG") and len(head) >= at + 6:
            return head[at + 4], head[at + 5]
    return None
