"""Still images: which there are at a path, what their headers say, and their pixels, upright and in 8 bit."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import BadInput
from . import large_stills
from .frame import Frame, Header, Unreadable
from .input_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, natural_key, open_file, special_file

VIDEO_WORDS = "videos: " + ", ".join(sorted(s[1:] for s in VIDEO_SUFFIXES))
UNREAD_SUFFIXES = frozenset(".heic .heif .dng .cr2 .cr3 .nef .arw .raf .orf .exr .hdr .jxl".split())

#: Of all that Pillow knows: some of the others start programs (EPS starts Ghostscript), whatever the file's name is.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")

SAID = 200  # characters of what a library says, at most
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
        self._alone = threading.Lock()  # for images that take much memory: one after another

    def read(self, index: int, ahead: Sequence[int] = ()) -> Frame:
        try:
            with _opened(self._paths[index]) as image:
                need = large_stills.bytes_needed(image)
            with self._alone if need > large_stills.MUCH else contextlib.nullcontext():
                return decode(self._paths[index])
        except Unreadable:
            raise
        except Exception as error:  # damaged bytes make Pillow raise anything from struct.error to RecursionError
            raise Unreadable(reason(error)) from error

    def close(self) -> None:
        """No file stays open."""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image whose pixels are not read yet.

    Pillow gets a file, not a name: of a name it maps uncompressed pixels into memory, and a file that is cut off while
    it is read would end the process.
    """
    large_stills.prepare_pillow()
    with open_file(path) as file, Image.open(file, formats=FORMATS) as image:
        yield image


def read_header(path: Path) -> Header:
    """Size as seen upright, and EXIF focal length in pixels.

    Raises
    ------
    Unreadable
    """
    try:
        with _opened(path) as image:
            return _header(image, path)
    except Unreadable:
        raise
    except Exception as error:  # as in ``StillReader.read``
        raise Unreadable(reason(error)) from error


def _header(image: Image.Image, path: Path) -> Header:
    width, height = image.size
    by = large_stills.reduction(image)
    orientation, ifd = 1, {}
    with contextlib.suppress(Exception):  # damaged EXIF is worth as much as none: the pixels are there all the same
        exif = image.getexif() if image.format != "PNG" or _has_late_exif(path) else Image.Image.getexif(image)
        orientation = _known(exif.get(_ORIENTATION, 1))
        ifd = exif.get_ifd(_EXIF_IFD)
    if orientation >= 5:  # these lie on their side
        width, height = height, width
    focal = _focal(ifd, width, height)
    return Header(
        -(-width // by), -(-height // by), focal / by if focal else None, image.has_transparency_data, orientation,
        (width, height),
    )  # fmt: skip


def _known(orientation: object) -> int:
    """EXIF's orientation where it is one, else 1."""
    return orientation if isinstance(orientation, int) and orientation in range(1, 9) else 1


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

    16 bit and floating point grey images are scaled to 8 bit (Pillow itself would clip them). Images of very many pixels
    are reduced (``large_stills``).

    Raises
    ------
    Unreadable
        There is not the memory for it.
    Exception
        Whatever Pillow raises for damaged files.
    """
    with _opened(path) as image:
        large_stills.require_room(large_stills.bytes_needed(image))
        by = large_stills.draft(image, large_stills.reduction(image))
        image.load()
        orientation = 1
        with contextlib.suppress(Exception):  # as in ``_header``
            orientation = _known(image.getexif().get(_ORIENTATION, 1))
        if image.mode.startswith("I") or image.mode == "F":
            return Frame(_upright(_eight_bit(large_stills.grey(image, by)), orientation))
        rgb, opaque = large_stills.colour(image, by)
    return Frame(_upright(rgb, orientation), None if opaque is None else _upright(opaque, orientation))


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(h, w, ...) pixels as EXIF's orientation, 1 to 8, wants them shown."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::down, ::across])


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
    if not path.is_dir():
        raise BadInput(f"'{path}' is not a folder, image or video: it is {special_file(path)}")
    try:
        everything = sorted((p for p in path.iterdir() if not p.name.startswith(".")), key=natural_key)
    except PermissionError:
        raise BadInput(f"'{path}' may not be read: check the folder's permissions") from None
    files = [p for p in everything if p.is_file()]
    strange = [p for p in everything if p.suffix.lower() in IMAGE_SUFFIXES and not (p.is_file() or p.is_dir())]
    paths = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
    unread = [p.name for p in files if p.suffix.lower() in UNREAD_SUFFIXES]
    videos = [p.name for p in files if p.suffix.lower() in VIDEO_SUFFIXES]
    if not paths:
        hint = f"; convert {unread[0]} and the like to JPEG first" if unread else ""
        hint = hint or (f"; for a video choose the file itself ({videos[0]})" if videos else "")
        raise BadInput(f"No images in '{path}' ({_suffixes()}){hint}")
    warnings = [f"Not read, convert to JPEG first: {', '.join(unread)}"] if unread else []
    return paths, warnings + [f"{p.name} was left out: it is {special_file(p)}" for p in strange]


def _suffixes() -> str:
    return ", ".join(sorted(s[1:] for s in IMAGE_SUFFIXES))


def _focal(exif: dict[int, object], width: int, height: int) -> float | None:
    """Focal length in pixels from the EXIF tags, or None.

    The 35 mm equivalent keeps the field of view of the diagonal (CIPA DCG-001).
    """
    try:
        in_35mm = float(exif.get(_FOCAL_IN_35MM, 0))  # type: ignore[arg-type]
        if 0 < in_35mm < np.inf:
            return in_35mm / _DIAGONAL_35MM * float(np.hypot(width, height))
        length = float(exif.get(_FOCAL_LENGTH, 0))  # type: ignore[arg-type]
        density = float(exif.get(_FOCAL_PLANE_X_RESOLUTION, 0))  # type: ignore[arg-type]
        unit = _MM_PER_UNIT.get(int(exif.get(_FOCAL_PLANE_UNIT, 2)), 25.4)  # type: ignore[call-overload]
        recorded = float(exif.get(_PIXEL_X_DIMENSION, 0)) or max(width, height)  # type: ignore[arg-type]
        focal = length / unit * density * max(width, height) / recorded
        return focal if focal > 0 and np.isfinite(focal) else None
    except (TypeError, ValueError, ArithmeticError):
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
        return f"it is not an image, or broken (those that are read: {', '.join(FORMATS)})"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    said = " ".join(str(error).split()) or type(error).__name__
    return f"it is broken ({said[:SAID]})"
