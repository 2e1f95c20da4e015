"""Which splats each pixel of a view sees, front to back, and the picture that they make, differentiable by torch.

Centres, shapes and order stand still while splats are refined, so a view is rasterized once: each pixel keeps the splats in
front of it with their distance from its samples in standard deviations (Zwicker et al., EWA Splatting, 2002, eq. 17 to 22).
A splat's factor of size then only divides that distance, and a step of the fit is gathers and one product along the splats.

What Cycles of Blender 5.3 draws was measured with scenes of one and two splats (docs/splats.md): no low-pass, opacity where
the ray is nearest to the splat's middle, order by the depth of that point, mixed in linear light, averaged over the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DEEPEST = 16  # splats of a pixel, those that make most of its picture
FARTHEST = 2.8  # standard deviations at which a splat ends, as large as it may become
REACHES = (1, 2, 4, 8)  # pixels to each side that splats may cover, by groups
SIDE = 2  # samples along each side of a pixel
#: (S, 2) offsets of a pixel's samples from its centre, pixels.
SAMPLES = torch.cartesian_prod(*[(torch.arange(SIDE) + 0.5) / SIDE - 0.5] * 2)
CELL = 1.0 / (12.0 * SIDE**2)  # variance of the square around a sample, which a splat is averaged over
LEAST = 0.002  # of a pixel's picture that a splat makes
FAINTEST = 0.01  # opacity, of splats that Cycles draws


@dataclass(frozen=True)
class Splats:
    """P splats, float32 on one device: ``position`` (P, 3), OpenCV's world; ``scale`` (P, 3); ``axes`` (P, 3, 3), columns in
    OpenCV's world; ``opacity`` (P,)."""

    position: Tensor
    scale: Tensor
    axes: Tensor
    opacity: Tensor

    def __len__(self) -> int:
        return len(self.position)

    def rows(self, chosen: Tensor) -> Splats:
        """Those of the splats; ``chosen``: indices or (P,) bool."""
        return Splats(self.position[chosen], self.scale[chosen], self.axes[chosen], self.opacity[chosen])


@dataclass(frozen=True)
class SeenSplats:
    """What the pixels of a view see: ``number`` (Q, K) int32, the splats of each, front to back; ``distance`` (Q, K, S) float16,
    of the pixel's samples, squared, in standard deviations; ``share`` (Q, K) float16, of the opacity that is left when it is
    averaged over a sample's square, 0 where there is no splat; ``pixels`` (Q,) int64, which of the image's pixels, row by row.
    """

    number: Tensor
    distance: Tensor
    share: Tensor
    pixels: Tensor

    def rows(self, chosen: Tensor | slice) -> SeenSplats:
        """Those of the Q pixels."""
        return SeenSplats(self.number[chosen], self.distance[chosen], self.share[chosen], self.pixels[chosen])

    def weights(self, opacity: Tensor, size: Tensor) -> Tensor:
        """(Q, K), how much of a pixel's picture each splat is; ``opacity``, ``size`` (a factor): (P,).

        Each sample is laid over by itself and the pixel is their mean, as Cycles does it: of discs as small as a pixel those in
        front hide in one corner what is seen in another.
        """
        number = self.number.long()
        falloff = torch.exp(self.distance.float() * (-0.5 / size.square())[number][:, :, None])
        alpha = ((opacity[number] * self.share.float())[:, :, None] * falloff).clamp(max=0.999)
        logs = torch.log1p(-alpha)
        return (alpha * torch.exp(logs.cumsum(dim=1) - logs)).mean(dim=2)

    def render(self, colors: Tensor, opacity: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """The picture (Q, 3) over black of splats of linear ``colors`` (P, 3), and how much of it they cover (Q,)."""
        weight = self.weights(opacity, size)
        return torch.einsum("qk,qkc->qc", weight, colors[self.number.long()]), weight.sum(dim=1)

    def render_noisy(self, colors: Tensor, opacity: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """The picture (Q, 3) as ``render``'s, and the variance (Q, 3) of one sample of it: Cycles lets each ray hit one splat or
        none, by chance (Enderton et al., Stochastic Transparency, 2010)."""
        weight, own = self.weights(opacity, size), colors[self.number.long()]
        mean = torch.einsum("qk,qkc->qc", weight, own)
        return mean, torch.einsum("qk,qkc->qc", weight, own.square()) - mean.square()


def rasterize(splats: Splats, intrinsics: Tensor, extrinsics: Tensor, height: int, width: int) -> SeenSplats:
    """The splats that each pixel of one view sees.

    Parameters
    ----------
    intrinsics : (3, 3), pixels, the centre of the top-left pixel at (0.5, 0.5)
    extrinsics : (3, 4), world to camera, OpenCV axes; both float32 on the splats' device
    """
    camera = splats.position @ extrinsics[:, :3].T + extrinsics[:, 3]
    z = camera[:, 2]
    at = (camera @ intrinsics.T)[:, :2] / z.clamp(min=1e-12)[:, None]
    inside = (z > 0) & (splats.opacity >= FAINTEST) & (at > -REACHES[-1]).all(dim=1)
    inside &= (at[:, 0] < width + REACHES[-1]) & (at[:, 1] < height + REACHES[-1])
    rows = inside.nonzero()[:, 0]
    z, at = z[rows], at[rows]
    shape = _footprints(splats.rows(rows), camera[rows], intrinsics, extrinsics)
    # so far from a pixel's centre, in standard deviations, a splat may lie that one of its samples still sees
    farthest = (FARTHEST + float(SAMPLES.norm(dim=1).max()) / shape.narrowest).square()
    pairs: list[tuple[Tensor, Tensor]] = []
    for least, most in zip((0, *REACHES[:-1]), REACHES, strict=True):
        own = ((shape.reach > least) & ((shape.reach <= most) | (most == REACHES[-1]))).nonzero()[:, 0]
        corner = at[own].floor()
        to_corner = (corner + 0.5 - at[own]).T.contiguous()
        corner = corner.long().T.contiguous()
        conic, limit = shape.conic[:, own], farthest[own]
        for dy in range(-most, most + 1):
            for dx in range(-most, most + 1):
                near = _quadratic(conic, to_corner[0] + dx, to_corner[1] + dy) < limit
                x, y = corner[0] + dx, corner[1] + dy
                near &= (x >= 0) & (y >= 0) & (x < width) & (y < height)
                hit = near.nonzero()[:, 0]
                pairs.append(((y * width + x)[hit], own[hit]))
    pixel, number = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    del pairs
    centre = torch.stack([pixel % width, pixel // width], dim=-1) + 0.5
    off = (centre - at[number]).T
    # where the ray meets the splat: discs lie one behind another at their surfaces, not at their middles
    depth = z[number] + (shape.slope[:, number] * off).sum(dim=0)
    order = (
        pixel * 2**32 + depth.clamp(min=0.0).view(torch.int32)
    ).argsort()  # bits of positive floats lie in their order
    pixel, number, off = pixel[order], number[order], off[:, order]
    samples = SAMPLES.to(off.device)
    distance = torch.stack([_quadratic(shape.conic[:, number], *(off + one[:, None])) for one in samples], dim=-1)
    is_hit = distance.amin(dim=1) < FARTHEST**2
    pixel, number, distance = pixel[is_hit], number[is_hit], distance[is_hit]
    opacity, share = splats.opacity[rows[number]], shape.share[number]
    alpha = ((opacity * share)[:, None] * torch.exp(-0.5 * distance)).clamp(max=0.999)
    weight = (_light_before(pixel, alpha) * alpha).mean(dim=1)
    kept = (weight > LEAST) & (_rank(pixel, weight) < DEEPEST)
    pixel, number, distance = pixel[kept], number[kept], distance[kept]
    return _table(pixel, rows[number], distance, shape.share[number])


@dataclass(frozen=True)
class _Footprints:
    """P splats in the image: ``conic`` (3, P), of the squared distance in standard deviations, a x^2 + b x y + c y^2; ``reach``
    (P,) pixels; ``narrowest`` (P,) pixels, the smaller standard deviation; ``slope`` (2, P), of the depth of a ray's nearest point
    by the pixel; ``share`` (P,), of the opacity that is left by averaging over a sample's square.
    """

    conic: Tensor
    reach: Tensor
    narrowest: Tensor
    slope: Tensor
    share: Tensor


def _footprints(splats: Splats, camera: Tensor, intrinsics: Tensor, extrinsics: Tensor) -> _Footprints:
    z = camera[:, 2]
    zero, one = torch.zeros_like(z), torch.ones_like(z)
    fx, fy = intrinsics[0, 0], intrinsics[1, 1]
    by_camera = torch.stack(
        [fx / z, zero, -fx * camera[:, 0] / z**2, zero, fy / z, -fy * camera[:, 1] / z**2, zero, zero, one], dim=-1
    ).view(-1, 3, 3)  # derivative of pixel and depth by the point, eq. 19
    spread = by_camera @ extrinsics[:, :3] @ (splats.axes * splats.scale[:, None, :])
    covariance = spread @ spread.mT
    xx, xy, yy = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    before = (xx * yy - xy * xy).clamp(min=0.0)
    xx, yy = xx + CELL, yy + CELL
    after = xx * yy - xy * xy
    middle, half = 0.5 * (xx + yy), torch.hypot(0.5 * (xx - yy), xy)
    xz, yz = covariance[:, 0, 2], covariance[:, 1, 2]
    return _Footprints(
        torch.stack([yy, -2.0 * xy, xx]) / after,
        FARTHEST * (middle + half).sqrt(),
        (after / (middle + half)).sqrt(),  # not the difference, which rounding may make negative
        torch.stack([yy * xz - xy * yz, xx * yz - xy * xz]) / after,
        (before / after).sqrt(),
    )


def _quadratic(conic: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return (conic[0] * x + conic[1] * y) * x + conic[2] * y * y


def _light_before(pixel: Tensor, alpha: Tensor) -> Tensor:
    """(R, S) of the light that passes all pairs of the same pixel before each; rows ordered by pixel and depth."""
    logs = torch.log1p(-alpha.double())
    before = logs.cumsum(0) - logs
    return torch.exp(before - before[_first(pixel)]).float()


def _first(pixel: Tensor) -> Tensor:
    """(R,) int64, the first row of each one's pixel; rows ordered by pixel."""
    is_first = torch.ones_like(pixel, dtype=torch.bool)
    is_first[1:] = pixel[1:] != pixel[:-1]
    return is_first.nonzero()[:, 0][is_first.cumsum(0) - 1]


def _rank(pixel: Tensor, weight: Tensor) -> Tensor:
    """(R,) int64, how many pairs of the same pixel weigh more; rows ordered by pixel, ``weight`` from 0 to 1."""
    order = (pixel * 2**32 + (1.0 - weight).clamp(min=0.0).view(torch.int32)).argsort()
    rank = torch.empty_like(pixel)
    rank[order] = torch.arange(len(pixel), device=pixel.device) - _first(pixel)
    return rank


def _table(pixel: Tensor, number: Tensor, distance: Tensor, share: Tensor) -> SeenSplats:
    pixels, row, count = torch.unique_consecutive(pixel, return_inverse=True, return_counts=True)
    place = torch.arange(len(pixel), device=pixel.device) - _first(pixel)
    deepest = int(count.max()) if len(count) else 1

    def filled(values: Tensor) -> Tensor:
        table = torch.zeros(len(pixels), deepest, *values.shape[1:], dtype=values.dtype, device=values.device)
        table[row, place] = values
        return table

    far = distance.clamp(max=60_000.0).half()  # what float16 holds
    return SeenSplats(filled(number.int()), filled(far), filled(share.half()), pixels)
