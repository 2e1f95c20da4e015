"""What the photographs say of a run's cameras and depths, before its splats are refined: where one frame's points are drawn into
another's photograph, colours and depths shall be the same (Engel et al., Direct Sparse Odometry, 2017, whose depths are single).

Each frame's camera turns and moves a little, and its depth is multiplied by a smooth factor, from coarse pictures to fine ones.
A run whose cameras are known stays. It is taken only where pixels that were not fitted to have come to be clearly more alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from ..monitor import Monitor
from ..prediction.batch import Batch

Array = NDArray[Any]

STAGE = "splats"  # as ``refining.STAGE``
STEPS = 120
SIDE = 320  # pixels, the longer side of the pictures that are compared
SAMPLES = 1200  # pixels of each frame and step
PARTNERS = 10  # frames that each one is compared with, evenly chosen
GRID = (4, 6)  # rows and columns of the depth's factor
BLURS = (4.0, 0.5)  # pixels, from the first step to the last
SAME = 0.08  # of the depth: nearer than that to the other frame's it is the same surface
RATES = {"turn": 3e-4, "shift": 3e-4, "depth": 2e-3, "gain": 3e-3}  # of Adam, radians and shares of the median depth
LIKELY = {"turn": 0.01, "shift": 0.01, "depth": 0.03, "gain": 0.15}  # deviations that are no surprise
CLEARLY = (
    0.9  # of the difference in colour that was may be left: small gains have cost more in new views than they gave
)
FIRM = 2e-3  # weight of that against colours


@dataclass(frozen=True)
class _Seen:
    """N frames on the device: ``pictures`` (N, 3, H, W) sRGB, ``depth`` (N, H, W), 0: not known, ``lens``, ``pose``; ``where``,
    which pixels of each have a point."""

    pictures: Tensor
    depth: Tensor
    lens: Tensor
    pose: Tensor
    where: list[Array]


def align(batches: Sequence[Batch], monitor: Monitor, device: str) -> bool:
    """Bring the frames of all batches into agreement, in place; whether that made them more alike, otherwise they stay."""
    all_ = [batch.prediction for batch in batches]
    if any(one.cameras_known or one.tracks is not None for one in all_):
        return False
    seen = _seen(batches, device)
    count = len(seen.pose)
    values = {
        "turn": torch.zeros(count, 3), "shift": torch.zeros(count, 3), "depth": torch.zeros(count, 1, *GRID), "gain": torch.zeros(count, 3)
    }  # fmt: skip
    values = {name: value.to(device).requires_grad_(True) for name, value in values.items()}
    optimizer = torch.optim.Adam([{"params": [values[n]], "lr": RATES[n]} for n in values], betas=(0.9, 0.99))
    slower = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1.0 / STEPS))
    random = np.random.default_rng(0)
    pictures = seen.pictures
    for step in range(STEPS):
        monitor.progress(STAGE, 0.1 * step / STEPS)
        if step % (STEPS // 10) == 0:
            blur = BLURS[0] * (BLURS[1] / BLURS[0]) ** min(1.0, step / (0.7 * STEPS))
            pictures = _blurred(seen.pictures, blur)
        colors, depths, both = _differences(values, seen, pictures, random)
        count_of = both.sum().clamp(min=1)
        loss = ((colors + depths) * both).sum() / count_of
        loss = loss + FIRM * sum(((values[n] / LIKELY[n]).square().mean() for n in values), torch.zeros(()).to(device))
        field = values["depth"]
        for axis in (2, 3):
            loss = loss + field.diff(dim=axis).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        slower.step()
    if not _is_better(values, seen):
        return False
    with torch.no_grad():
        turned, shifted = _poses(values, seen)
        poses = torch.cat([turned, shifted[:, :, None]], dim=-1).cpu().numpy().astype(np.float64)
        field = values["depth"].exp()
    starts = itertools.accumulate((len(one.depth) for one in all_), initial=0)
    for one, start in zip(all_, starts, strict=False):
        rows = slice(start, start + len(one.depth))
        v, u = (torch.arange(size, device=device) for size in one.depth.shape[1:])
        at = torch.stack(torch.meshgrid((u + 0.5) / len(u), (v + 0.5) / len(v), indexing="xy"), dim=-1)
        factor = _read(field[rows].detach(), at[None].expand(len(one.depth), -1, -1, -1))[:, 0]
        one.depth = one.depth * factor.cpu().numpy()
        one.extrinsics = poses[rows]
    return True


def _seen(batches: Sequence[Batch], device: str) -> _Seen:
    height, width = batches[0].prediction.depth.shape[1:]
    scale = min(1.0, SIDE / max(height, width))
    size = (round(width * scale), round(height * scale))
    pictures, depths, lenses, poses, where = [], [], [], [], []
    for batch in batches:
        p = batch.prediction
        assert p.extrinsics is not None and p.intrinsics is not None
        still = (p.depth > 0) & (p.conf > 0)
        if batch.moving is not None:
            still &= ~batch.moving
        for k in range(len(p.depth)):
            pictures.append(cv2.resize(p.images[k], size, interpolation=cv2.INTER_AREA).transpose(2, 0, 1) / 255.0)
            depth = cv2.resize(np.where(still[k], p.depth[k], 0.0), size, interpolation=cv2.INTER_NEAREST)
            depths.append(depth)
            where.append(np.flatnonzero(depth))
        lenses.append(p.intrinsics * np.array([[size[0] / width], [size[1] / height], [1.0]]))
        poses.append(p.extrinsics)

    def sent(arrays: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(arrays, np.float32)).to(device)

    return _Seen(
        sent(np.stack(pictures)), sent(np.stack(depths)), sent(np.concatenate(lenses)), sent(np.concatenate(poses)), where
    )  # fmt: skip


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    each = [cv2.GaussianBlur(one.permute(1, 2, 0).cpu().numpy(), (0, 0), sigma) for one in pictures]
    return torch.from_numpy(np.stack(each)).permute(0, 3, 1, 2).to(pictures.device)


def _poses(values: dict[str, Tensor], seen: _Seen) -> tuple[Tensor, Tensor]:
    """Rotations (N, 3, 3) and translations (N, 3), world to camera."""
    x, y, z = values["turn"].unbind(dim=1)
    none = torch.zeros_like(x)
    turns = torch.linalg.matrix_exp(torch.stack([none, -z, y, z, none, -x, -y, x, none], dim=-1).view(-1, 3, 3))
    median = seen.depth[seen.depth > 0].median()
    return turns @ seen.pose[:, :, :3], seen.pose[:, :, 3] + values["shift"] * median


def _read(maps: Tensor, at: Tensor, mode: str = "bilinear") -> Tensor:
    """(N, C, ...) of maps (N, C, H, W) at places (N, ..., 2) from 0 to 1."""
    return grid_sample(maps, at.float() * 2.0 - 1.0, mode=mode, padding_mode="border", align_corners=False)


def _differences(
    values: dict[str, Tensor], seen: _Seen, pictures: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Some points of each frame in the others' photographs, (M,) each: how unlike the colours are, how far apart the depths, and
    which of them both frames see."""
    count, height, width = seen.depth.shape
    device = pictures.device
    size = torch.tensor([width, height], device=device)
    drawn = [random.choice(one, SAMPLES) if len(one) else np.zeros(SAMPLES, np.int64) for one in seen.where]
    picked = torch.from_numpy(np.stack(drawn)).to(device)
    pixel = torch.stack([picked % width, picked // width], dim=-1) + 0.5
    turns, shifts = _poses(values, seen)
    own = pictures.flatten(2).gather(2, picked[:, None].expand(-1, 3, -1)).mT + values["gain"][:, None]
    field = values["depth"]
    depth = seen.depth.flatten(1).gather(1, picked) * _read(field, (pixel / size)[:, None])[:, 0, 0].exp()
    rays = torch.cat([pixel, torch.ones_like(pixel[..., :1])], dim=-1) @ torch.linalg.inv(seen.lens).mT
    world = (rays * depth[..., None] - shifts[:, None]) @ turns
    colors, depths, both = [], [], []
    for j in range(count):
        others = [i for i in range(count) if i != j]
        others = [others[k] for k in np.unique(np.linspace(0, count - 2, PARTNERS).astype(int))]
        there = world[others].flatten(0, 1) @ turns[j].T + shifts[j]
        z = there[:, 2]
        image = there @ seen.lens[j].T
        at = image[:, :2] / z.clamp(min=1e-6)[:, None] / size
        is_in = (z > 0) & ((at - 0.5).abs() < 0.495).all(dim=1)
        place = at[None, None]
        known = _read(seen.depth[j, None, None], place.detach(), "nearest")[0, 0, 0]
        apart = z.clamp(min=1e-6).log() - known.clamp(min=1e-6).log() - _read(field[j, None], place)[0, 0, 0]
        unlike = _read(pictures[j, None], place)[0, :, 0].T + values["gain"][j] - own[others].flatten(0, 1)
        colors.append((unlike.square().sum(dim=1) + 0.03**2).sqrt() - 0.03)
        depths.append((apart.square() + 0.01**2).sqrt() - 0.01)
        both.append(is_in & (known > 0) & (depth[others].flatten() > 0) & (apart.detach().abs() < SAME))
    return torch.cat(colors), torch.cat(depths), torch.cat(both)


def _is_better(values: dict[str, Tensor], seen: _Seen) -> bool:
    """Whether the colours of pixels that are seen before and after have come nearer, exposure aside."""
    pictures = _blurred(seen.pictures, BLURS[1])
    with torch.no_grad():
        before = {name: value if name == "gain" else torch.zeros_like(value) for name, value in values.items()}
        (old, _, old_both), (new, _, new_both) = (
            _differences(some, seen, pictures, np.random.default_rng(1)) for some in (before, values)
        )
        both = old_both & new_both
        return bool(both.any()) and float(new[both].mean()) < CLEARLY * float(old[both].mean())
