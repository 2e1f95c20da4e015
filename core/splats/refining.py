"""Colours, opacities and sizes of splats, fitted to the photographs that they came from (Kerbl et al., 2023, section 5.1, by
Adam); where they are and which way they lie stays as it is. Views that take no part say how far the fit is good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import BadInput
from ..monitor import Monitor
from .rasterizing import SeenSplats, Splats, rasterize

Array = NDArray[Any]

STAGE = "splats"
FEWEST = 3  # views: two to fit to, one to judge by
HELD_EVERY = 8  # of the views, one judges
MOST_HELD = 4
ROUND = 15  # steps between two judgements
MOST_STEPS = 120
PATIENCE = 3  # judgements without a better one, until it ends
COVERED = 0.5  # of a pixel, to take part
EDGE = 0.05  # of an error in sRGB, from where on it counts by its size and no longer by its square
#: Samples of a pixel, by whose noise a picture is judged too: what mixes unlike colours needs more of them.
RENDERED = 16
RATES = {"color": 0.02, "opacity": 0.2, "size": 0.03}
SLOWER = 0.1  # than at the first step is the last one
MOST_VIEWS = 40  # evenly chosen
MOST_PIXELS = 6_000_000  # of all views that are fitted to, 250 bytes each: of more a share takes part, by chance
AT_ONCE = 50_000  # pixels of a step, which take 1 KB each
LARGEST = 1.5  # factor of a splat's size, and one over the smallest


@dataclass(frozen=True)
class View:
    """A photograph: ``image`` (H, W, 3) uint8 sRGB, ``intrinsics`` (3, 3), ``extrinsics`` (3, 4), ``frame`` and ``valid``
    (H, W) bool, the pixels that may be fitted to."""

    image: Array
    intrinsics: Array
    extrinsics: Array
    frame: int
    valid: Array


@dataclass(frozen=True)
class Refined:
    """P splats' ``colors`` (P, 3) float32 sRGB 0 to 1, ``opacity`` (P,), ``size`` (P,), a factor; PSNR in dB of the views that
    took no part, at the start and now, and the steps made."""

    colors: Array
    opacity: Array
    size: Array
    before: float
    after: float
    steps: int


def refine(
    splats: Splats, colors: Tensor, frames: Tensor, views: Sequence[View], monitor: Monitor, steps: int = MOST_STEPS
) -> Refined:
    """Fit P splats to the views.

    Parameters
    ----------
    colors : (P, 3) sRGB 0 to 1; ``frames`` (P,) int, the view that each splat came from; both on the splats' device

    Raises
    ------
    BadInput
        Too few views.
    Cancelled
    """
    if len(views) < FEWEST:
        raise BadInput(f"Refine Splats needs {FEWEST} images or more: some to fit to, and one to judge by")
    views = [views[i] for i in np.unique(np.linspace(0, len(views) - 1, MOST_VIEWS).astype(int))]
    held = set(range(HELD_EVERY // 2, len(views), HELD_EVERY)[:MOST_HELD]) or {1}
    device = splats.position.device
    share = min(1.0, MOST_PIXELS / sum(view.valid.size for view in views))
    seen: list[tuple[SeenSplats, Tensor]] = []
    for i, view in enumerate(views):
        monitor.progress(STAGE, 0.3 * i / len(views))
        if i in held:
            seen.append(_seen(splats, frames != view.frame, view, view.valid, device))
        else:
            chance = np.random.default_rng(i).random(view.valid.shape, np.float32)
            seen.append(_seen(splats, None, view, view.valid & (chance <= share), device))
    judges = [one for i, one in enumerate(seen) if i in held]
    fitted = [one for i, one in enumerate(seen) if i not in held]
    values = {
        "color": colors.clone(),
        "opacity": torch.logit(splats.opacity.clamp(0.01, 0.99)),
        "size": torch.zeros_like(splats.opacity),
    }
    for value in values.values():
        value.requires_grad_(True)
    optimizer = torch.optim.Adam([{"params": [values[name]], "lr": rate} for name, rate in RATES.items()], eps=1e-8)
    slower = torch.optim.lr_scheduler.ExponentialLR(optimizer, SLOWER ** (1.0 / steps))
    before = best = _judged(values, judges)
    kept, made, worse = {name: value.detach().clone() for name, value in values.items()}, 0, 0
    order = np.random.default_rng(0)
    queue: list[int] = []
    for step in range(1, steps + 1):
        monitor.progress(STAGE, 0.3 + 0.7 * step / steps)
        queue = queue or order.permutation(len(fitted)).tolist()
        optimizer.zero_grad(set_to_none=True)
        _add_slope(values, *fitted[queue.pop()])
        optimizer.step()
        slower.step()
        if step % ROUND == 0:
            now = _judged(values, judges)
            worse += 1
            if now > best:
                best, made, worse = now, step, 0
                kept = {name: value.detach().clone() for name, value in values.items()}
            if worse == PATIENCE:
                break
    color, opacity, size = (kept[name] for name in ("color", "opacity", "size"))
    out = (color.clamp(0.0, 1.0), torch.sigmoid(opacity), _size(size))
    colors_out, opacity_out, size_out = (value.cpu().numpy() for value in out)
    return Refined(colors_out, opacity_out, size_out, before, best, made)


def _seen(
    splats: Splats, chosen: Tensor | None, view: View, valid: Array, device: torch.device
) -> tuple[SeenSplats, Tensor]:
    """What the ``valid`` pixels of a view, (H, W) bool, see of the ``chosen`` splats, (P,) bool, where those cover it, and its
    photograph there, (Q, 3) sRGB."""
    height, width = view.image.shape[:2]
    lens, pose = (torch.from_numpy(np.float32(value)).to(device) for value in (view.intrinsics, view.extrinsics))
    one = rasterize(splats if chosen is None else splats.rows(chosen), lens, pose, height, width)
    one = one.rows(torch.from_numpy(valid.ravel()).to(device)[one.pixels])
    if chosen is not None:
        one = replace(one, number=chosen.nonzero()[:, 0].int()[one.number.long()])
    covered = [part.weights(splats.opacity, torch.ones_like(splats.opacity)).sum(dim=1) for part in _parts(one)]
    one = one.rows(torch.cat(covered) > COVERED)
    photo = torch.from_numpy(view.image.reshape(-1, 3)).to(device)[one.pixels].float() / 255.0
    return one, photo


def _parts(one: SeenSplats) -> Iterator[SeenSplats]:
    for start in range(0, max(1, len(one.pixels)), AT_ONCE):
        yield one.rows(slice(start, start + AT_ONCE))


def _add_slope(values: dict[str, Tensor], one: SeenSplats, photo: Tensor) -> None:
    """Add the derivative of a view's error to that of the values, some pixels at a time."""
    shown = _shown(values)
    own = [value.detach().requires_grad_(True) for value in shown]
    for part, wanted in zip(_parts(one), photo.split(AT_ONCE), strict=True):
        picture, noise = _picture(own, part)
        error = torch.nn.functional.smooth_l1_loss(picture, wanted, beta=EDGE, reduction="sum")
        (error + noise.sum() / (2.0 * EDGE)).backward()
    torch.autograd.backward(shown, [value.grad for value in own])


def _shown(values: dict[str, Tensor]) -> list[Tensor]:
    """Linear colours (P, 3), opacities (P,) and factors of the size (P,)."""
    color = values["color"].clamp(0.0, 1.0)
    linear = torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return [linear, torch.sigmoid(values["opacity"]), _size(values["size"])]


def _picture(shown: Sequence[Tensor], one: SeenSplats) -> tuple[Tensor, Tensor]:
    """(Q, 3) sRGB, mixed in linear light as Blender does, and the variance of its noise at ``RENDERED`` samples, (Q, 3)."""
    mixed, variance = one.render_noisy(*shown)
    light = mixed.clamp(min=0.0031308)
    picture = torch.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * light ** (1.0 / 2.4) - 0.055)
    slope = 1.055 / 2.4 * light.detach() ** (1.0 / 2.4 - 1.0)  # of sRGB by light
    return picture, variance * slope.square() / RENDERED


def _size(value: Tensor) -> Tensor:
    return torch.exp(float(np.log(LARGEST)) * torch.tanh(value))


def _judged(values: dict[str, Tensor], judges: Sequence[tuple[SeenSplats, Tensor]]) -> float:
    """Mean PSNR (dB) of the views that take no part, with the noise of their rendering."""
    with torch.no_grad():
        shown = _shown(values)
        errors = []
        for one, photo in judges:
            picture, noise = (
                torch.cat(pieces) for pieces in zip(*(_picture(shown, part) for part in _parts(one)), strict=True)
            )
            if len(photo):
                errors.append(((picture - photo).square() + noise).mean().clamp(min=1e-10))
    return float(-10.0 * torch.stack(errors).log10().mean()) if errors else 0.0
