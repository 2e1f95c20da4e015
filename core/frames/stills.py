"""Still images: what their headers say, and their pixels, upright and in 8 bit sRGB."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from . import large_stills
from .frame import Frame, Header, Unreadable
from .pixels import camera_raw, colour, deep, kinds, metadata, orientation
from .pixels.kinds import Kind
from .pixels.opening import open_file

#: Of all that Pillow knows: some of the others start programs (EPS starts Ghostscript), whatever the file's name is.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "JPEG2000", "AVIF", "HEIF", "JXL")
NAMELESS = ("TGA",)  # has no beginning of its own: taken where the suffix says so

DEEP_BYTES = (
    32  # a pixel, of what reading EXR and raw takes at most: floats as they come, in order, and in sRGB's curve
)
SAID = 200  # characters of what a library says, at most


class StillReader:
    """The images at ``paths``; see ``FrameReader``. ``exposure``: stops, of what holds light."""

    threads = 4  # Pillow and zlib let go of the interpreter while they decode

    def __init__(self, paths: Sequence[Path], exposure: float = 0.0):
        self._paths, self.exposure = paths, exposure
        self._alone = threading.Lock()  # for images that take much memory: one after another

    def read(self, index: int, ahead: Sequence[int] = ()) -> Frame:
        try:
            need = _bytes_needed(self._paths[index])
            with self._alone if need > large_stills.MUCH else contextlib.nullcontext():
                return decode(self._paths[index], self.exposure)
        except Unreadable:
            raise
        except Exception as error:  # damaged bytes make Pillow raise anything from struct.error to RecursionError
            raise Unreadable(reason(error, self._paths[index])) from error

    def close(self) -> None:
        """No file stays open."""


def _bytes_needed(path: Path) -> int:
    """Memory that decoding takes at most; 0 where only decoding tells, raises what the libraries raise."""
    kind = kinds.kind_of(path)
    if kind in (Kind.DEEP, Kind.RAW):
        width, height = (deep if kind is Kind.DEEP else camera_raw).size(path)
        return width * height * DEEP_BYTES
    with contextlib.suppress(Image.UnidentifiedImageError), _opened(path) as image:
        return large_stills.bytes_needed(image)
    return 0


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image whose pixels are not read yet.

    Pillow gets a file, not a name: of a name it maps uncompressed pixels into memory, and a file that is cut off while
    it is read would end the process.
    """
    large_stills.prepare_pillow()
    formats = NAMELESS if path.suffix.lower() in (".tga", ".targa") else FORMATS
    with open_file(path) as file, Image.open(file, formats=_there(formats)) as image:
        yield image


def _there(formats: Sequence[str]) -> list[str]:
    """Those that this Pillow has; HEIC and JPEG XL come with libraries of their own, which not every machine has."""
    for plugin, register in (("pillow_heif", "register_heif_opener"), ("pillow_jxl", "")):
        with contextlib.suppress(ImportError):
            module = importlib.import_module(plugin)
            if register and "HEIF" not in Image.OPEN:
                getattr(module, register)()
    Image.init()
    return [name for name in formats if name in Image.OPEN]


def read_header(path: Path, exposure: float = 0.0) -> Header:
    """Size as seen upright, and EXIF focal length in pixels; for ``exposure`` see ``decode``.

    Raises
    ------
    Unreadable
    """
    try:
        kind = kinds.kind_of(path)
        if kind is Kind.RAW:
            width, height = camera_raw.size(path)
            exif = metadata.of_tiff(path).exif
            return Header(width, height, metadata.focal(exif, width, height), is_plain=False)
        if kind is Kind.DEEP:
            return Header(*deep.size(path), None, is_plain=not exposure)
        try:
            with _opened(path) as image:
                return _header(image, path)
        except Image.UnidentifiedImageError:
            values, known = _float_tiff(path)
            width, height = orientation.turned_size(known.orientation, values.shape[1], values.shape[0])
            focal = metadata.focal(known.exif, width, height)
            return Header(width, height, focal, values.shape[2] == 4, known.orientation, is_plain=False)
    except Unreadable:
        raise
    except Exception as error:  # as in ``StillReader.read``
        raise Unreadable(reason(error, path)) from error


def _header(image: Image.Image, path: Path) -> Header:
    known = metadata.read(image, path)
    # Pillow turns a TIFF when it is loaded, and states that size before
    stored = (image.tag_v2[256], image.tag_v2[257]) if isinstance(image, TiffImageFile) else image.size
    _require_whole(image, *stored)
    width, height = orientation.turned_size(known.orientation, *stored)
    by = 1 if _is_deep(image) else large_stills.reduction(image)
    focal = metadata.focal(known.exif, width, height)
    coded = _coded_colour(image, path)
    return Header(
        -(-width // by), -(-height // by), focal / by if focal else None, image.has_transparency_data, known.orientation,
        (width, height), is_plain=not (known.adobe or coded or _is_deep(image) or colour.to_srgb(image)),
    )  # fmt: skip


def _require_whole(image: Image.Image, width: int, height: int) -> None:
    """Refuse a TIFF whose header promises pixels that no strip holds: Pillow would make millions of black rows of them."""
    places = [part[1] for part in image.tile if part[1]] if isinstance(image, TiffImageFile) else []
    if places:
        right, bottom = (max(place[side] for place in places) for side in (2, 3))
        if right < width or bottom < height:
            raise Unreadable(
                f"it is cut off or damaged: of {width} x {height} pixels only {right} x {bottom} are there"
            )


def _is_deep(image: Image.Image) -> bool:
    """Whether an opened PNG or TIFF has colours of 16 bits, of which Pillow would keep the upper half."""
    if image.format == "PNG":
        return any(";16" in str(part[3]) for part in getattr(image, "tile", ())) and image.mode in ("RGB", "RGBA")
    return isinstance(image, TiffImageFile) and max(image.tag_v2.get(258, (8,))) > 8 and image.mode in ("RGB", "RGBA")


def _coded_colour(image: Image.Image, path: Path) -> tuple[int, int] | None:
    """(primaries, transfer) of an image that is HDR, or in other primaries without a profile."""
    if image.format not in ("HEIF", "AVIF", "PNG") or image.mode not in ("RGB", "RGBA"):
        return None
    primaries, transfer = metadata.coded_colour(path) or (1, 13)
    is_wide = primaries in colour.WIDE and "icc_profile" not in image.info
    return (primaries, transfer) if transfer in colour.HDR or is_wide else None


def _float_tiff(path: Path) -> tuple[np.ndarray, metadata.Metadata]:
    """Of a TIFF that Pillow has no form for; raises ``UnidentifiedImageError`` where it is none that can be read."""
    with open_file(path) as file:
        is_tiff = file.read(2) in (b"II", b"MM")
    values = deep.open_array(path) if is_tiff else None
    if values is None:
        raise Image.UnidentifiedImageError
    return values, metadata.of_tiff(path)


def decode(path: Path, exposure: float = 0.0) -> Frame:
    """One image file as upright 8 bit sRGB; transparent parts become white and are marked.

    Images of more than 8 bits are scaled by what is there (Pillow itself would clip or cut them), light of a scene is
    developed (by ``exposure``, in stops), other colour spaces are converted. Images of very many pixels are reduced
    (``large_stills``).

    Raises
    ------
    Unreadable
        There is not the memory for it.
    Exception
        Whatever a library raises for damaged files.
    """
    kind = kinds.kind_of(path)
    if kind in (Kind.DEEP, Kind.RAW):
        large_stills.require_room(_bytes_needed(path))
    if kind is Kind.RAW:
        return Frame(np.ascontiguousarray(camera_raw.read(path)))
    if kind is Kind.DEEP:
        return Frame(deep.read(path, exposure))
    try:
        with _opened(path) as image:
            return _decoded(image, path, exposure)
    except Image.UnidentifiedImageError:
        values, known = _float_tiff(path)
    return _of_deep(values, known.orientation, None, exposure=exposure)


def _decoded(image: Image.Image, path: Path, exposure: float) -> Frame:
    large_stills.require_room(large_stills.bytes_needed(image))
    known, transform, coded = metadata.read(image, path), colour.to_srgb(image), _coded_colour(image, path)
    turned = orientation.UPRIGHT if isinstance(image, TiffImageFile) else known.orientation
    if _is_deep(image):
        values = deep.open_array(path)
        if values is not None:
            stated = image.tag_v2.get(281, 0) if isinstance(image, TiffImageFile) else 0
            most = float(np.max(stated)) if stated else None
            return _of_deep(values, known.orientation, transform, most)
    by = large_stills.draft(image, large_stills.reduction(image))
    image.load()
    if image.mode.startswith("I") or image.mode == "F":
        grey = large_stills.grey(image, by)
        scaled = (
            deep.float_to_eight_bit(grey, exposure)
            if grey.dtype.kind == "f"
            else colour.eight_bit(np.maximum(grey, 0).astype(f"u{grey.dtype.itemsize}"))
        )
        return Frame(orientation.upright(np.repeat(scaled[..., None], 3, axis=-1), turned))
    rgb, opaque = large_stills.colour(image, by, transform)
    if known.adobe:
        rgb = colour.adobe_to_srgb(rgb)
    if coded:
        rgb = colour.video_to_sdr(rgb.astype(np.uint16) * 257, coded[1], coded[0])
    return Frame(orientation.upright(rgb, turned), None if opaque is None else orientation.upright(opaque, turned))


def _of_deep(
    values: np.ndarray,
    turned: int,
    transform: colour.Transform | None,
    stated: float | None = None,
    exposure: float = 0.0,
) -> Frame:
    rgb, alpha = deep.from_array(values, stated, exposure)
    if transform is not None:
        rgb = np.asarray(transform(Image.fromarray(rgb)).convert("RGB"))
    opaque = None
    if alpha is not None and alpha.min() < 255:
        opaque = alpha >= large_stills.OPAQUE
        share = alpha[..., None].astype(np.float32) / 255.0
        rgb = np.round(rgb * share + 255.0 * (1.0 - share)).astype(np.uint8)
    return Frame(orientation.upright(rgb, turned), None if opaque is None else orientation.upright(opaque, turned))


def reason(error: Exception, path: Path | None = None) -> str:
    """Why a file is left out, for the end of a sentence."""
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    if isinstance(error, PermissionError):
        return "it may not be read"
    if isinstance(error, camera_raw.NoDeveloper):
        return str(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return _what_it_is(path)
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    said = " ".join(str(error).split()) or type(error).__name__
    return f"it is broken ({said[:SAID]})"


def _what_it_is(path: Path | None) -> str:
    """Of a file that no reader knows."""
    kind = kinds.kind_of(path) if path else Kind.UNKNOWN
    if path and path.is_file() and path.stat().st_size == 0:
        return "it is empty"
    if kind in (Kind.VIDEO, Kind.GIF):
        return f"it is a {kind.value}"
    family = kinds.family(path) if path else ""
    if family in ("HEIC", "JPEG XL") and {"HEIC": "HEIF", "JPEG XL": "JXL"}[family] not in Image.OPEN:
        return f"it is {family}, for which this machine's environment has no library: convert it to JPEG"
    if family:
        return f"it begins as {family} but is cut off or broken"
    return "it is not an image, or broken: it begins as none of the formats that are read"
