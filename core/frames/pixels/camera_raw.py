"""Camera raw files (DNG, CR2, CR3, NEF, ARW ...), developed by LibRaw with the camera's own white balance."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

#: Cameras meter so that half a stop is left above white (ISO 12232: 12.7 % of saturation for a grey of 18 %). The same for all
#: photographs: LibRaw's own brightening looks at each alone, and one surface would have a colour in every picture.
BRIGHT = 2.0**0.5
SRGB_CURVE = (2.4, 12.92)  # exponent and slope near black (IEC 61966-2-1)


class NoDeveloper(Exception):
    """rawpy has no build for this machine; the text is the end of a sentence."""


def size(path: Path) -> tuple[int, int]:
    """Upright (width, height) of what ``read`` gives; raises ``NoDeveloper`` and what rawpy raises."""
    with _rawpy().imread(str(path)) as raw:
        sizes = raw.sizes
        lying = sizes.flip in (5, 6)  # LibRaw's flip: 3 is half a turn, 5 and 6 a quarter
        return (sizes.iheight, sizes.iwidth) if lying else (sizes.iwidth, sizes.iheight)


def read(path: Path) -> np.ndarray:
    """(h, w, 3) uint8 sRGB, upright; raises ``NoDeveloper`` and what rawpy raises."""
    library = _rawpy()
    with library.imread(str(path)) as raw:
        return raw.postprocess(
            use_camera_wb=True, output_color=library.ColorSpace.sRGB, output_bps=8, gamma=SRGB_CURVE,
            no_auto_bright=True, bright=BRIGHT,
        )  # fmt: skip


def _rawpy() -> Any:
    try:
        return importlib.import_module("rawpy")
    except ImportError:
        raise NoDeveloper(
            "camera raw needs rawpy, which is not there for this machine: convert it to JPEG or TIFF"
        ) from None
