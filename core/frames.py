"""Images of the input: which there are, what their headers say, and their pixels, upright and in 8 bit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .errors import BadInput
from .watch import Watch

IMAGE_SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .tif .tiff".split())
VIDEO_SUFFIXES = frozenset(".mp4 .mov .avi .mkv .webm .m4v .mts .mpg .mpeg".split())
UNREAD_SUFFIXES = frozenset(".heic .heif .dng .cr2 .cr3 .nef .arw .raf .orf .exr .hdr .jxl".split())

DECODERS = 4  # threads; Pillow and zlib let go of the interpreter while they decode
CACHE_BYTES = 1 << 30  # decoded originals that are kept between the check and the pass

_EXIF_IFD = 0x8769
_FOCAL_IN_35MM = 0xA405
_FOCAL_LENGTH = 0x920A  # mm
_FOCAL_PLANE_X_RESOLUTION = 0xA20E  # pixels per unit
_FOCAL_PLANE_UNIT = 0xA210
_PIXEL_X_DIMENSION = 0xA002  # pixels, of the image the focal plane resolution speaks of
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0}
_DIAGONAL_35MM = 43.267  # mm, of the 36 x 24 mm frame that "equivalent" focal lengths refer to


@dataclass(frozen=True)
class Frame:
    """One decoded image: ``image`` (h, w, 3) uint8 RGB, upright; ``opaque`` (h, w) bool, None where all of it is."""

    image: np.ndarray
    opaque: np.ndarray | None = None


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it: upright size and, from EXIF, the focal length in pixels."""

    width: int
    height: int
    focal: float | None
    has_alpha: bool = False


@dataclass
class FrameSource:
    """The images of an input. A frame's index is its place among all images of the input, in natural order."""

    name: str  # of the folder or the image, for collections
    paths: list[Path]  # all images of the input
    selected: list[int]  # indices that start, end and stride keep and whose headers are readable
    headers: dict[int, Header]  # of the selected
    warnings: list[str] = field(default_factory=list)
    _cache: dict[int, Frame] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: str | Path, start: int = 0, end: int = -1, stride: int = 1) -> FrameSource:
        """Look at a folder of images or a single image; no pixel is decoded.

        Parameters
        ----------
        start, end : first and last frame, inclusive; -1 is the last
        stride : keep every n-th

        Raises
        ------
        BadInput
            Nothing there, no image in it, or none in the range.
        """
        path = Path(path)
        paths, warnings = _find(path)
        last = len(paths) - 1 if end < 0 else min(end, len(paths) - 1)
        wanted = range(start, last + 1, stride)
        if not wanted:
            raise BadInput(f"No frame from {start} to {end}: '{path}' has {len(paths)} images, counted from 0")
        source = cls(path.stem if path.is_file() else path.resolve().name, paths, [], {}, warnings)
        for index in wanted:
            try:
                source.headers[index] = read_header(paths[index])
                source.selected.append(index)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                source._leave_out(index, error)
        if not source.selected:
            raise BadInput(f"No readable image in '{path}': {'; '.join(source.warnings)}")
        return source

    @property
    def names(self) -> list[str]:
        """File names of all images."""
        return [p.name for p in self.paths]

    @property
    def focals(self) -> list[float | None]:
        """Focal lengths in pixels of the originals, by index; None where EXIF says nothing."""
        return [self.headers[i].focal if i in self.headers else None for i in range(len(self.paths))]

    def load(self, index: int) -> Frame:
        """Decode one image.

        Raises
        ------
        BadInput
            The file is broken, cut off or gone.
        """
        if index in self._cache:
            return self._cache[index]
        try:
            return decode(self.paths[index])
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise BadInput(f"{self.paths[index].name} cannot be read ({error})") from error

    def usable(self, indices: Sequence[int], watch: Watch) -> list[int]:
        """Those of ``indices`` whose files decode to the end; the others are named in ``warnings``.

        Decoded images are kept for ``images`` as far as ``CACHE_BYTES`` allows.
        """
        self._cache.clear()
        good, kept = [], 0
        with ThreadPoolExecutor(DECODERS) as pool:
            for done, (index, frame) in enumerate(_in_order(pool, self._try, indices)):
                watch.progress("images", done / len(indices))
                if isinstance(frame, Exception):
                    self._leave_out(index, frame)
                    continue
                good.append(index)
                kept += frame.image.nbytes
                if kept <= CACHE_BYTES:
                    self._cache[index] = frame
        if not good:
            raise BadInput(f"No readable image left: {'; '.join(self.warnings)}")
        watch.progress("images", 1.0)
        return good

    def images(self, indices: Sequence[int]) -> LazyImages:
        """The originals of these frames, decoded one by one as they are asked for."""
        return LazyImages(self, list(indices))

    def opaque(self, index: int) -> np.ndarray | None:
        """(h, w) bool, the parts of a frame that are not transparent; None where all of it is opaque."""
        return self.load(index).opaque if self.headers[index].has_alpha else None

    def _try(self, index: int) -> Frame | Exception:
        try:
            return self.load(index)
        except BadInput as error:
            return error.__cause__ if isinstance(error.__cause__, Exception) else error

    def _leave_out(self, index: int, error: Exception) -> None:
        self.warnings.append(f"{self.paths[index].name} was left out: {_reason(error)}")


class LazyImages(Sequence[np.ndarray]):
    """A sequence of (h, w, 3) uint8 originals that holds none of them itself."""

    def __init__(self, source: FrameSource, indices: list[int]):
        self._source = source
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item):  # type: ignore[no-untyped-def]  # int or slice, as Sequence has it
        if isinstance(item, slice):
            return LazyImages(self._source, self._indices[item])
        return self._source.load(self._indices[item]).image


def read_header(path: Path) -> Header:
    """Size as seen upright, and EXIF focal length in pixels; raises what Pillow raises."""
    with Image.open(path) as image:
        exif = image.getexif()
        width, height = image.size
        if exif.get(0x0112, 1) in (5, 6, 7, 8):  # EXIF orientation: these lie on their side
            width, height = height, width
        return Header(width, height, _focal(exif.get_ifd(_EXIF_IFD), width, height), image.has_transparency_data)


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


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sorts ``frame2`` before ``frame10``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts]


def _find(path: Path) -> tuple[list[Path], list[str]]:
    """Images at ``path`` and warnings about what looks like one but is not read."""
    if not str(path).strip() or str(path) == ".":
        raise BadInput("No input is set: choose a folder of images or one image")
    if not path.exists():
        raise BadInput(f"'{path}' does not exist")
    if path.is_file():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise BadInput(f"'{path.name}' is a video, which this version does not read yet; give a folder of images")
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise BadInput(f"'{path.name}' is not an image this add-on reads ({_suffixes()})")
        return [path], []
    try:
        files = sorted((p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")), key=natural_key)
    except PermissionError:
        raise BadInput(f"'{path}' may not be read: check the folder's permissions") from None
    paths = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
    unread = [p.name for p in files if p.suffix.lower() in UNREAD_SUFFIXES]
    if not paths:
        hint = f"; convert {unread[0]} and the like to JPEG first" if unread else ""
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


def _in_order(pool: ThreadPoolExecutor, job, indices: Sequence[int]) -> Iterator[tuple[int, Frame | Exception]]:  # type: ignore[no-untyped-def]
    """Results in order, with only a few decoded ahead, so that memory does not grow with the input."""
    pending = {}
    for ahead, index in enumerate(indices):
        pending[index] = pool.submit(job, index)
        if ahead >= DECODERS:
            first = next(iter(pending))
            yield first, pending.pop(first).result()
    for index, future in pending.items():
        yield index, future.result()


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    if isinstance(error, PermissionError):
        return "it may not be read"
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is not an image, or broken"
    return f"it is broken ({error})"
