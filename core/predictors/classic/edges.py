"""Outlines of what is known, moved to edges of colour.

Windows that straddle an outline match where its near side matches, so that near things grow by some pixels into what is
behind them. Every view grows them alike, so that no comparison of views finds it; colour does.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as functional

BAND = 6  # pixels from the outline within which a pixel may be dropped
OUTSIDE = 2  # pixels from the outline from which the unknown side's colour is taken
REACH = 11  # pixels, how far around a pixel the two sides' colours are taken
STRIDE = 2  # every other pixel of that window is enough
NOISE = 0.03  # colours (0 to 1) of one surface differ by it
CLEARER = 2.0  # how many times better (squared) the unknown side's colour has to fit
LEAST = 4  # pixels of each side that must be there
ISLAND = 20  # pixels; smaller patches with nothing known around them are chance


def trim(keep: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """Drop the pixels next to an outline whose colour is that of the other side.

    Parameters
    ----------
    keep : (H, W) bool, where depth is known
    colour : (3, H, W) float32, 0 to 1

    Returns
    -------
    (H, W) bool
    """
    rows, columns = torch.nonzero(keep & ~_eroded(keep, BAND), as_tuple=True)
    if not len(rows):
        return keep
    inside = functional.pad(_eroded(keep, BAND).float(), (REACH,) * 4)
    outside = functional.pad(_eroded(~keep, OUTSIDE).float(), (REACH,) * 4)
    colours = functional.pad(colour, (REACH,) * 4)
    fits = [_misfit(colour[:, rows, columns], colours, side, rows, columns) for side in (inside, outside)]
    drop = (fits[0] + 1.0 > CLEARER * (fits[1] + 1.0)) & fits[0].isfinite() & fits[1].isfinite()
    kept = keep.clone()
    kept[rows[drop], columns[drop]] = False
    return kept


def _misfit(
    here: torch.Tensor, colours: torch.Tensor, side: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """(P,) squared distance of P colours (3, P) from the colours of a side around them, in its deviations."""
    count = torch.zeros(len(rows), device=side.device)
    total, square = torch.zeros_like(here), torch.zeros_like(here)
    for dy in range(0, 2 * REACH + 1, STRIDE):
        for dx in range(0, 2 * REACH + 1, STRIDE):
            weight, tint = side[rows + dy, columns + dx], colours[:, rows + dy, columns + dx]
            count += weight
            total += weight * tint
            square += weight * tint * tint
    number = count.clamp(min=1.0)
    mean = total / number
    variance = (square / number - mean * mean).clamp(min=0.0) + NOISE**2
    return torch.where(count >= LEAST, ((here - mean) ** 2 / variance).sum(dim=0), torch.inf)


def _eroded(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Pixels with nothing but ``mask`` within ``radius``; the image's border is no outline."""
    return functional.max_pool2d((~mask)[None, None].float(), 2 * radius + 1, 1, radius)[0, 0] == 0.0


def without_islands(keep: torch.Tensor) -> torch.Tensor:
    """``keep`` (H, W) bool without connected patches of fewer than ``ISLAND`` pixels."""
    mask = keep.cpu().numpy().astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    large = statistics[:, cv2.CC_STAT_AREA] >= ISLAND
    return keep & torch.from_numpy(large[labels]).to(keep.device)
