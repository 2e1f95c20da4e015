"""What the numbers of a picture mean: from their colour space to sRGB.

Sources: ICC.1:2022 through LittleCMS; ITU-R BT.2100 (PQ and HLG), BT.2020, BT.709; BT.2408, 3.1, for where HDR has its white.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageCms

PQ, HLG = 16, 18  # transfer characteristics, as ITU-T H.273 counts them
HDR = (PQ, HLG)
REC2020, P3 = 9, 12  # colour primaries, there too
WIDE = (REC2020, P3)
_LUMA = {
    1: (0.2126, 0.0722),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    REC2020: (0.2627, 0.0593),
}  # red and blue, by matrix
HDR_WHITE = 203.0  # cd/m2 of what SDR shows as full white (BT.2408, table 1)
HLG_WHITE = 0.75  # of HLG's signal, the same white
KNEE = 0.94  # of white: up to here HDR is kept as it is, what is brighter is pressed into the rest
_MODES = {
    "RGB ": ("RGB", "RGBA"),
    "CMYK": ("CMYK",),
    "GRAY": ("L",),
}  # of an ICC profile: which of Pillow's it may describe
_TO_709 = {
    REC2020: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    P3: ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
#: Adobe RGB (1998), linear, to linear sRGB: both have the white D65.
_ADOBE = ((1.398358, -0.398358, 0.0), (0.0, 1.0, 0.0), (0.0, -0.042934, 1.042934))
_ADOBE_GAMMA = 563 / 256

Transform = Callable[[Image.Image], Image.Image]


def to_srgb(image: Image.Image) -> Transform | None:
    """What makes a part of an image sRGB by the image's ICC profile; None where it is that already.

    A profile that is damaged, or for other channels than the image has, is not believed.
    """
    data = image.info.get("icc_profile")
    if not isinstance(data, bytes) or not data:
        return None
    with contextlib.suppress(Exception):  # LittleCMS and Pillow raise what they meet
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        space = profile.profile.xcolor_space
        mode = "RGBA" if image.has_transparency_data else "RGB" if image.mode == "P" else image.mode
        if image.mode == "L" and space == "RGB ":  # grey is grey in all of these
            return None
        if mode not in _MODES.get(space, ()) or _is_srgb(data):
            return None
        goal = "RGBA" if mode == "RGBA" else "RGB"
        made = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, goal)
        return lambda part: _applied(part, made, mode)
    return None


def _applied(part: Image.Image, made: ImageCms.ImageCmsTransform, mode: str) -> Image.Image:
    return made.apply(part if part.mode == mode else part.convert(mode))


def _is_srgb(data: bytes) -> bool:
    """Whether a profile leaves colours as they are: a check of nine of them, to a level of 255."""
    return _greatest_change(data) <= 1


@functools.lru_cache(maxsize=16)
def _greatest_change(data: bytes) -> int:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    if profile.profile.xcolor_space != "RGB ":
        return 255
    levels = np.array([[0, 64, 128, 192, 255]], np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    seen = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB").apply(Image.fromarray(probe))
    return int(np.abs(np.asarray(seen).astype(int) - probe).max())


def adobe_to_srgb(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 in Adobe RGB, which cameras that follow DCF name in EXIF and not by a profile."""
    linear = np.power(np.arange(256) / 255.0, _ADOBE_GAMMA).astype(np.float32)[rgb]
    return np.round(255.0 * srgb(cv2.transform(linear, np.array(_ADOBE, np.float32)))).astype(np.uint8)


def srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light, 0 to 1 (others are clipped), in sRGB's curve (IEC 61966-2-1)."""
    clipped = np.clip(np.nan_to_num(linear, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * np.power(clipped, 1 / 2.4) - 0.055)


def developed(linear: np.ndarray, exposure: float = 0.0) -> np.ndarray:
    """Scene-linear light as an sRGB picture: (h, w, 3) float to uint8; ``exposure`` in stops. 1 becomes white."""
    return np.round(255.0 * srgb(linear * np.float32(2.0**exposure))).astype(np.uint8)


def video_to_sdr(signal: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """A video's R'G'B' as SDR shows it: tone-mapped where it is HDR, in BT.709's primaries.

    Up to ``KNEE`` of reference white, a picture is what the same scene is in SDR; above, it is pressed together with its hue
    kept. The values are BT.709's, which everybody takes for sRGB.

    Parameters
    ----------
    signal : (h, w, 3) uint16, full range
    transfer, primaries : as ITU-T H.273 counts them

    Returns
    -------
    (h, w, 3) uint8
    """
    light = _curve(transfer)[signal]
    if primaries in _TO_709:
        light = cv2.transform(light, np.array(_TO_709[primaries], np.float32))
    if transfer in HDR:
        top = light.max(axis=-1)
        bright = top > KNEE
        over = (top[bright] - KNEE) / (1.0 - KNEE)
        light[bright] *= ((KNEE + (1.0 - KNEE) * (1.0 - np.exp(-over))) / top[bright])[:, None]
    codes = np.clip(light * 65535.0 + 0.5, 0.0, 65535.0).astype(np.uint16)
    return _sdr_codes()[codes]


def signal_of(coded: np.ndarray, bits: int, matrix: int, *, is_full: bool) -> np.ndarray:
    """R'G'B' of Y'CbCr (BT.2100, tables 6 and 9).

    Parameters
    ----------
    coded : (3, h, w) unsigned integers
    matrix : coefficients, as ITU-T H.273 counts them; BT.2020's where that is not said
    is_full : whether the numbers use the whole range

    Returns
    -------
    (h, w, 3) uint16
    """
    kr, kb = _LUMA.get(matrix, _LUMA[REC2020])
    unit = float(1 << (bits - 8))
    low, luma, chroma = (0.0, (256 * unit - 1), (256 * unit - 1)) if is_full else (16 * unit, 219 * unit, 224 * unit)
    y = (coded[0].astype(np.float32) - low) / luma
    cb, cr = ((plane.astype(np.float32) - 128 * unit) / chroma for plane in coded[1:])
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    rgb = np.stack([red, green, blue], axis=-1)
    return np.clip(rgb * 65535.0 + 0.5, 0.0, 65535.0).astype(np.uint16)


@functools.cache
def _curve(transfer: int) -> np.ndarray:
    """(65536,) float32: linear light, 1 is the white of SDR, by the signal."""
    e = np.arange(65536) / 65535.0
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = e ** (1 / m2)
        light = 10000.0 / HDR_WHITE * (np.maximum(root - c1, 0.0) / (c2 - c3 * root)) ** (1 / m1)
    elif transfer == HLG:
        light = _hlg(e) / _hlg(np.array(HLG_WHITE))
    else:
        light = np.where(e < 0.081, e / 4.5, ((e + 0.099) / 1.099) ** (1 / 0.45))
    return light.astype(np.float32)


def _hlg(signal: np.ndarray) -> np.ndarray:
    """Light of the scene, 0 to 1 (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3.0, (np.exp((signal - c) / a) + b) / 12.0)


@functools.cache
def _sdr_codes() -> np.ndarray:
    """(65536,) uint8: BT.709's 8 bit values by linear light."""
    light = np.arange(65536) / 65535.0
    return np.round(255.0 * np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)).astype(np.uint8)


def eight_bit(values: np.ndarray, stated: float | None = None) -> np.ndarray:
    """Integers of more than 8 bits, scaled by what is there.

    Cameras of 10, 12 and 14 bits write files of 16: the smallest of these that holds the brightest pixel is the range.

    Parameters
    ----------
    values : any shape, unsigned integers
    stated : the greatest value there could be, where the file says; not believed where it is exceeded
    """
    brightest = int(values.max(initial=0))
    wide = values.dtype.itemsize > 2
    steps = (*((255,) if wide else ()), 1023, 4095, 16383, 65535, *((2**32 - 1,) if wide else ()))
    top = stated if stated and stated >= brightest else next(s for s in steps if brightest <= s)
    return np.round(values.astype(np.float32) * (255.0 / top)).astype(np.uint8)
