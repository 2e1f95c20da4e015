"""Where a photograph says it was taken: EXIF's GPS directory, and what DJI's drones write into XMP."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

from .opening import open_file

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "HEIF", "AVIF")
XMP_BYTES = 1 << 18  # of a file's beginning, among which its XMP is looked for
_DJI = re.compile(
    rb"drone-dji:(GpsLatitude|GpsLongitude|GpsLongtitude|AbsoluteAltitude)(?:\s*=\s*[\"']|>)\s*([-+]?\d+(?:\.\d+)?)"
)


@dataclass(frozen=True)
class Geotag:
    """``latitude``, ``longitude`` in degrees (WGS 84), ``altitude`` in metres, 0 where only the others are told."""

    latitude: float
    longitude: float
    altitude: float
    has_altitude: bool


def read(path: Path) -> Geotag | None:
    """The position; None where there is none, or one that cannot be (0, 0 is what a receiver without a fix writes)."""
    stated: Geotag | None = None
    with contextlib.suppress(Exception):  # damaged tags are worth as much as none, whatever a library raises
        Image.init()
        there = [name for name in FORMATS if name in Image.OPEN]
        with open_file(path) as file, Image.open(file, formats=there) as image:
            # Not a PNG's own way, which decodes all of it.
            gps = Image.Image.getexif(image).get_ifd(ExifTags.IFD.GPSInfo)
            stated = _of_exif(gps)
    with contextlib.suppress(OSError), open_file(path) as file:
        return _of_dji(file.read(XMP_BYTES)) or stated
    return stated


def _of_exif(gps: Mapping[int, object]) -> Geotag | None:
    latitude, longitude = _degrees(gps, 2, b"S"), _degrees(gps, 4, b"W")
    altitude = _number(gps.get(6))
    if altitude is not None and gps.get(5) in (1, b"\x01"):  # below the sea
        altitude = -altitude
    return _believed(latitude, longitude, altitude)


def _degrees(gps: Mapping[int, object], tag: int, negative: bytes) -> float | None:
    """Of degrees, minutes and seconds; the tag before says on which side of the equator or of Greenwich."""
    parts = gps.get(tag)
    if not isinstance(parts, tuple | list) or not parts:
        return None
    numbers = [_number(part) for part in parts[:3]]
    if any(number is None for number in numbers):
        return None
    degrees = sum((number or 0.0) / 60**place for place, number in enumerate(numbers))
    side = gps.get(tag - 1, "")
    side = side if isinstance(side, bytes) else str(side).encode("ascii", "replace")
    return -degrees if side.strip(b"\0 ").upper().startswith(negative) else degrees


def _of_dji(head: bytes) -> Geotag | None:
    found = {name: float(value) for name, value in _DJI.findall(head)}
    longitude = found.get(b"GpsLongitude", found.get(b"GpsLongtitude"))  # their own spelling, in older drones
    return _believed(found.get(b"GpsLatitude"), longitude, found.get(b"AbsoluteAltitude"))


def _believed(latitude: float | None, longitude: float | None, altitude: float | None) -> Geotag | None:
    if latitude is None or longitude is None or (latitude == 0.0 and longitude == 0.0):
        return None
    if not (abs(latitude) <= 90.0 and abs(longitude) <= 180.0):
        return None
    known = altitude is not None and -500.0 <= altitude <= 20_000.0
    return Geotag(latitude, longitude, altitude if known and altitude is not None else 0.0, known)


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return number if math.isfinite(number) else None
