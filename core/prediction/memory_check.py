"""Whether the smallest pass fits into memory at the process resolution: asked before the work, not found out in it."""

from __future__ import annotations

from collections.abc import Collection

from .. import memory
from ..errors import BadInput
from ..frames.resizing import layout
from ..settings import PATCH, Settings

CLASSIC_BYTES = 100  # of a pixel of the processed image, at least: two views, their depths and the planes between


def require_room(
    sizes: Collection[tuple[int, int]], settings: Settings, config: str | None, free: int | None, device: str = "cpu"
) -> None:
    """Refuse a process resolution at which not even the smallest pass can be made.

    Parameters
    ----------
    sizes : (width, height) of the images, pixels
    config : ``ModelInfo.config``; None for ``classic``
    free : bytes of the memory that the model computes in; None where nobody tells
    device : "cuda", "mps", "cpu"

    Raises
    ------
    BadInput
        It names the largest resolution that fits.
    """
    if free is None or _bytes_at(settings.resolution, sizes, settings, config, device) <= free:
        return
    low, high = 1, settings.resolution // PATCH  # in patches; ``low`` is taken to fit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high) if _bytes_at(middle * PATCH, sizes, settings, config, device) <= free else (low, middle)
        )
    raise BadInput(
        f"At a Process Resolution of {settings.resolution} the smallest pass takes "
        f"{_bytes_at(settings.resolution, sizes, settings, config, device) / 2**30:,.1f} GiB of memory, and {free / 2**30:.1f} GiB "
        f"are free: set it to {low * PATCH} or less"
    )


def _bytes_at(
    resolution: int, sizes: Collection[tuple[int, int]], settings: Settings, config: str | None, device: str
) -> int:
    try:
        width, height, _ = layout(list(sizes), resolution, settings.resize_method)
    except BadInput:  # so low that the narrowest image is nothing
        return 0
    if config is None:
        return width * height * CLASSIC_BYTES
    return memory.cost_of(config, device, splats=settings.makes_splats).of(1, width * height // PATCH**2)
