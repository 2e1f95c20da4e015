"""Images of very many pixels: what reading one takes, and how it is read reduced so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from .. import memory
from .frame import Unreadable

LARGE = 50_000_000  # pixels; a file with more is read at a half, a third ... of its size
AIM = 25_000_000  # pixels of what is then made of it; several times what any model or structure from motion looks at
JPEG_STEPS = (2, 4, 8)  # by which libjpeg reduces while it decodes
MUCH = 256 << 20  # bytes; images that take more are decoded one after another
BAND = 4_000_000  # pixels that are converted at a time
BLOCK = 64 << 20  # bytes; glibc gives blocks above 32 MiB back to the system as soon as they are freed
OPAQUE = 128  # of 255


def prepare_pillow() -> None:
    """Pillow refuses images of 179 million pixels and more, which telephones make today; here memory is asked instead.

    And it takes memory in blocks so small that the C library keeps them for the thread that has freed them.
    """
    Image.MAX_IMAGE_PIXELS = None
    if Image.core.get_block_size() < BLOCK:
        Image.core.set_block_size(BLOCK)


def reduction(image: Image.Image) -> int:
    """By how much an image's width and height are divided when it is read."""
    pixels = image.width * image.height
    if pixels <= LARGE:
        return 1
    if image.format == "JPEG":
        return next((by for by in JPEG_STEPS if pixels <= AIM * by * by), JPEG_STEPS[-1])
    return int(np.ceil(np.sqrt(pixels / AIM)))


def bytes_needed(image: Image.Image) -> int:
    """Memory that reading an opened image takes at most, from its header."""
    pixels, by = image.width * image.height, reduction(image)
    made = pixels // by**2 * 8  # Pillow's pixels or a band of them, and what is made
    if image.format == "JPEG":
        coefficients = 6 * pixels if image.info.get("progressive") else 0  # libjpeg holds them all
        return made + coefficients
    # libwebp holds two canvases and gives a third; Pillow turns a TIFF in a second image.
    return made + pixels * {"WEBP": 16, "TIFF": 8}.get(image.format or "", 4)


def require_room(need: int) -> None:
    """Raise ``Unreadable`` where so much memory is not free."""
    free = memory.free_ram()
    if need > MUCH and free is not None and need > memory.USABLE * free:
        raise Unreadable(
            f"reading it takes {need / 2**30:,.1f} GiB of memory, and {free / 2**30:.1f} GiB are free: make it smaller"
        )


def draft(image: Image.Image, by: int) -> int:
    """Let libjpeg reduce; what is left to be divided by afterwards."""
    if by > 1 and image.format == "JPEG":
        width = image.width
        image.draft(None, (image.width // by, image.height // by))
        return by if image.width == width else 1
    return by


def colour(
    image: Image.Image, by: int, transform: Callable[[Image.Image], Image.Image] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels of a loaded image on white, in bands, so that nothing of the whole size is made beside them.

    ``transform`` makes a band sRGB, where it is not.

    Returns
    -------
    rgb : (h, w, 3) uint8, h and w the image's divided by ``by``, rounded up
    opaque : (h, w) bool, None where all of it is
    """
    has_alpha = image.has_transparency_data
    mode = "RGBA" if has_alpha else "RGB"
    rgb = np.empty((-(-image.height // by), -(-image.width // by), 3), np.uint8)
    opaque = np.ones(rgb.shape[:2], bool) if has_alpha else None
    for band, rows in _bands(image, by):
        part = band if transform is None else transform(band)
        if part.mode != mode:  # else ``convert`` copies
            part = part.convert(mode)
        pixels = np.asarray(part.reduce(by) if by > 1 else part)
        if opaque is None:
            rgb[rows] = pixels
            continue
        alpha = pixels[..., 3:].astype(np.float32) / 255.0
        rgb[rows] = np.round(pixels[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)
        opaque[rows] = pixels[..., 3] >= OPAQUE
    return rgb, None if opaque is None or opaque.all() else opaque


def grey(image: Image.Image, by: int) -> np.ndarray:
    """(h, w) values of a loaded image of mode I, I;16 or F, in its own type."""
    if by == 1:
        return np.asarray(image)
    reduced = []
    for band, _ in _bands(image, by):
        values = np.asarray(band)
        padded = np.pad(values, [(0, -side % by) for side in values.shape], mode="edge")
        blocks = padded.reshape(padded.shape[0] // by, by, padded.shape[1] // by, by)
        reduced.append(blocks.mean(axis=(1, 3)).astype(values.dtype))
    return np.concatenate(reduced)


def _bands(image: Image.Image, by: int) -> Iterator[tuple[Image.Image, slice]]:
    """Parts of the image, top to bottom, and the rows of the reduced one that they become."""
    step = max(1, BAND // image.width // by) * by
    if step >= image.height:
        yield image, slice(0, -(-image.height // by))
        return
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        yield image.crop((0, top, image.width, bottom)), slice(top // by, -(-bottom // by))
