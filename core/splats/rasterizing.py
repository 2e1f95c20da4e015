"""Which splats each pixel of a view sees, front to back, and the picture that they make, differentiable by torch.

Centres, shapes and order stand still while splats are refined, so a view is rasterized once: each pixel keeps the splats in
front of it with their distance from its centre in standard deviations (Zwicker et al., EWA Splatting, 2002, eq. 17 to 22).
A splat's factor of size then only divides that distance, and a step of the fit is gathers and one product along the splats.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DEEPEST = 16  # splats of a pixel, the nearest of those that let it be seen
FARTHEST = 2.8  # standard deviations at which a splat ends, as large as it may become
REACHES = (1, 2, 4, 8)  # pixels to each side that splats may cover, by groups
PIXEL = 1.0 / 12.0  # variance of a pixel's square, which its colour is the mean of
LEAST = 1.0 / 255.0  # of light that still arrives


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
    """What the pixels of a view see: ``number`` (Q, K) int32, the splats of each, front to back; ``distance`` (Q, K) float16,
    squared, in standard deviations; ``share`` (Q, K) float16, of the opacity that is left when it is averaged over the pixel's
    square, 0 where there is no splat; ``pixels`` (Q,) int64, which of the image's pixels, row by row.
    """

    number: Tensor
    distance: Tensor
    share: Tensor
    pixels: Tensor

    def rows(self, chosen: Tensor) -> SeenSplats:
        """Those of the Q pixels."""
        return SeenSplats(self.number[chosen], self.distance[chosen], self.share[chosen], self.pixels[chosen])

    def alphas(self, opacity: Tensor, size: Tensor) -> Tensor:
        """(Q, K), of the light from behind that each splat holds back; ``opacity``, ``size`` (a factor): (P,)."""
        number = self.number.long()
        falloff = torch.exp(-0.5 * self.distance.float() / size[number].square())
        return (opacity[number] * self.share.float() * falloff).clamp(max=0.999)

    def render(self, colors: Tensor, opacity: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """The picture (Q, 3) over black of splats of linear ``colors`` (P, 3), and how much of it they cover (Q,)."""
        alpha = self.alphas(opacity, size)
        left = torch.cumprod(1.0 - alpha, dim=1)
        weight = alpha * torch.cat([torch.ones_like(left[:, :1]), left[:, :-1]], dim=1)
        return (weight[:, :, None] * colors[self.number.long()]).sum(dim=1), 1.0 - left[:, -1]


def rasterize(splats: Splats, intrinsics: Tensor, extrinsics: Tensor, height: int, width: int) -> SeenSplats:
    """The splats that each pixel of one view sees.

    Parameters
    ----------
    intrinsics : (3, 3), pixels, the centre of the top-left pixel at (0.5, 0.5)
    extrinsics : (3, 4), world to camera, OpenCV axes; both float32 on the splats' device
    """
    camera = splats.position @ extrinsics[:, :3].T + extrinsics[:, 3]
    z = camera[:, 2]
    image = camera @ intrinsics.T
    at = image[:, :2] / z.clamp(min=1e-12)[:, None]
    inside = (
        (z > 0) & (at > -REACHES[-1]).all(dim=1) & (at[:, 0] < width + REACHES[-1]) & (at[:, 1] < height + REACHES[-1])
    )
    rows = inside.nonzero()[:, 0]
    z, at = z[rows], at[rows]
    xx, xy, yy, share = _footprints(splats.rows(rows), camera[rows], intrinsics, extrinsics)
    reach = FARTHEST * torch.maximum(xx, yy).sqrt()
    wide = 1.0 / (xx * yy - xy * xy).clamp(min=1e-12)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for least, most in zip((0, *REACHES[:-1]), REACHES, strict=True):
        own = ((reach > least) & ((reach <= most) | (most == REACHES[-1]))).nonzero()[:, 0]
        corner, shape = at[own].floor(), torch.stack([yy, -2.0 * xy, xx])[:, own] * wide[own]
        to_corner = (corner + 0.5 - at[own]).T.contiguous()
        corner = corner.long().T.contiguous()
        for dy in range(-most, most + 1):
            for dx in range(-most, most + 1):
                off_x, off_y = to_corner[0] + dx, to_corner[1] + dy
                distance = (shape[0] * off_x + shape[1] * off_y) * off_x + shape[2] * off_y * off_y
                hit = (distance < FARTHEST**2).nonzero()[:, 0]
                x, y = corner[0, hit] + dx, corner[1, hit] + dy
                inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
                hit = hit[inside]
                pairs.append(((y * width + x)[inside], own[hit], distance[hit]))
    pixel, number, distance = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    del pairs
    # one key, sorted: the pixel, then the rank of the depth
    rank = torch.empty_like(rows)
    rank[z.argsort()] = torch.arange(len(rows), device=rows.device)
    order = (pixel * max(1, len(rows)) + rank[number]).argsort()
    pixel, number, distance = pixel[order], number[order], distance[order]
    alpha = (splats.opacity[rows[number]] * share[number] * torch.exp(-0.5 * distance)).clamp(max=0.999)
    is_seen = _light_before(pixel, alpha) > LEAST
    pixel, number, distance = pixel[is_seen], number[is_seen], distance[is_seen]
    return _table(pixel, rows[number], distance, share[number])


def _footprints(
    splats: Splats, camera: Tensor, intrinsics: Tensor, extrinsics: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Covariance in the image (xx, xy, yy), with the pixel's own, and how much of the opacity that spreading leaves; (P,) each."""
    z = camera[:, 2]
    zero = torch.zeros_like(z)
    fx, fy = intrinsics[0, 0], intrinsics[1, 1]
    by_camera = torch.stack(
        [fx / z, zero, -fx * camera[:, 0] / z**2, zero, fy / z, -fy * camera[:, 1] / z**2], dim=-1
    ).view(-1, 2, 3)  # derivative of the pixel by the point, eq. 19
    spread = by_camera @ extrinsics[:, :3] @ (splats.axes * splats.scale[:, None, :])
    covariance = spread @ spread.mT
    xx, xy, yy = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    before = (xx * yy - xy * xy).clamp(min=1e-12)
    xx, yy = xx + PIXEL, yy + PIXEL
    return xx, xy, yy, (before / (xx * yy - xy * xy)).sqrt()


def _light_before(pixel: Tensor, alpha: Tensor) -> Tensor:
    """(R,) of the light that passes all pairs of the same pixel before each; rows ordered by pixel and depth."""
    logs = torch.log1p(-alpha.double())
    before = logs.cumsum(0) - logs
    is_first = torch.ones_like(pixel, dtype=torch.bool)
    is_first[1:] = pixel[1:] != pixel[:-1]
    start = is_first.cumsum(0) - 1
    return torch.exp(before - before[is_first][start]).float()


def _table(pixel: Tensor, number: Tensor, distance: Tensor, share: Tensor) -> SeenSplats:
    pixels, count = torch.unique_consecutive(pixel, return_counts=True)
    first = count.cumsum(0) - count
    row = torch.repeat_interleave(torch.arange(len(pixels), device=pixel.device), count)
    place = torch.arange(len(pixel), device=pixel.device) - first[row]
    kept = place < DEEPEST
    row, place = row[kept], place[kept]
    deepest = min(DEEPEST, int(count.max())) if len(count) else 1

    def filled(values: Tensor) -> Tensor:
        table = torch.zeros(len(pixels), deepest, dtype=values.dtype, device=values.device)
        table[row, place] = values[kept]
        return table

    return SeenSplats(filled(number.int()), filled(distance.half()), filled(share.half()), pixels)
