"""Each pixel as a flat Gaussian disc on the surface that it sees: 3D Gaussian Splatting's scale, rotation and opacity.

The surface is the plane that fits the inverse depth around the pixel: of a plane, 1 / z is affine in the pixel's place. The
disc is what that plane shows within the pixel: the pixel's own round Gaussian, brought onto the plane by the derivative of
the point by the pixel (Zwicker et al., EWA Splatting, 2002, eq. 9, the other way round). So it stretches at grazing angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry.projection import BLENDER_FROM_OPENCV, invert_rigid

Array = NDArray[Any]

#: Standard deviation of a disc in pixels, as sharp as the picture (tools/bench/accuracy/splats.py). One frame's discs leave
#: gaps between them: the second and third frame that see a place fill them (``thinning.LAYERS``).
SIGMA = 0.42
ALONE = 0.7  # the same of a disc where no other frame's lies: four neighbours leave 3 % to be seen between them
STRETCH = 8.0  # of a disc's axes, at most: seen flatter than that, the plane is not known well enough
FLATNESS = 0.1  # thickness of a disc in its smaller axis
OPAQUE = 0.99  # of the surest point; a Gaussian that hides all has no inverse sigmoid, which files want
AGREES = 0.01  # of the inverse depth, for each pixel of distance: so far may a neighbour lie off the plane
REACH = 2  # pixels of the neighbourhood to each side
COLOR = 0.28209479177387814  # the constant spherical harmonic, 1 / (2 sqrt(pi))


@dataclass(frozen=True)
class Discs:
    """P Gaussians: ``scale`` (P, 3) float32, standard deviations in the scene's unit along their own axes, the third that of the
    normal; ``rotation`` (P, 4) float32 quaternions (w, x, y, z) from their axes to Blender's world; ``opacity`` (P,) float32;
    ``normal`` (P, 3) float32, of either side, Blender's world; ``area`` (P,) float32, of the surface within the pixel.
    """

    scale: Array
    rotation: Array
    opacity: Array
    normal: Array
    area: Array


def discs(depth: Array, conf: Array, intrinsics: Array, extrinsics: Array) -> Discs:
    """A disc for each pixel of one frame that has a depth and a confidence.

    Parameters
    ----------
    depth : (H, W) float32, z-depth, 0 where nothing is known
    conf : (H, W) float32, 0 where there is no point
    intrinsics : (3, 3), pixels
    extrinsics : (3, 4), world to camera, OpenCV axes

    Returns
    -------
    Those of the P pixels row by row.
    """
    known = (depth > 0) & (conf > 0)
    rows = np.flatnonzero(known)
    inverse = np.zeros(depth.shape, np.float32)
    np.divide(1.0, depth, out=inverse, where=known)
    by_u, by_v, agreeing = (values.ravel().take(rows) for values in _planes(inverse, known))
    to_ray = np.linalg.inv(intrinsics).astype(np.float32)
    v, u = np.divmod(rows, depth.shape[1])
    pixels = np.stack([u + 0.5, v + 0.5, np.ones(len(rows))], axis=-1).astype(np.float32)
    rays = pixels @ to_ray.T
    z = depth.ravel().take(rows)[:, None]
    along_u = z * to_ray[:, 0] - by_u[:, None] * z * z * rays
    along_v = z * to_ray[:, 1] - by_v[:, None] * z * z * rays
    axes, lengths = _ellipse(along_u, along_v)
    area = lengths[:, 0] * lengths[:, 1]
    lengths[:, 0] = np.minimum(lengths[:, 0], STRETCH * lengths[:, 1])
    to_blender = (BLENDER_FROM_OPENCV @ invert_rigid(extrinsics)[:, :3]).astype(np.float32)
    turned = np.stack([axis @ to_blender.T for axis in axes], axis=-1)
    sure = OPAQUE * (1.0 - np.exp(-conf.ravel().take(rows)))
    return Discs(
        np.concatenate([lengths, FLATNESS * lengths[:, 1:]], axis=-1) * np.float32(SIGMA),
        quaternions(turned),
        (sure * np.clip(2.0 * agreeing, 0.1, 1.0)).astype(np.float32),
        turned[:, :, 2],
        area,
    )


def of_network(gaussians: Array, depth: Array, kept: Array, intrinsics: Array, extrinsics: Array) -> dict[str, Array]:
    """The splats that a network gave, of the ``kept`` pixels, (N, H, W) bool, of N frames; by the names of ``PointArrays``.

    ``gaussians`` : (N, H, W, 11) float16, as ``Prediction.gaussians``; the rest as for ``discs``, for all frames. Where the
    frames have moved, or depths were scaled, so have they.
    """
    scales, rotations, harmonics = [], [], []
    for own, z, some, lens, pose in zip(gaussians, depth, kept, intrinsics, extrinsics, strict=True):
        picked = own[some].astype(np.float32)
        pixel = np.float32(0.5 / lens[0, 0] + 0.5 / lens[1, 1])
        scales.append(picked[:, :3] * (z[some] * pixel)[:, None])
        to_blender = BLENDER_FROM_OPENCV @ invert_rigid(pose)[:, :3]
        rotations.append(rotated(quaternions(to_blender[None])[0], picked[:, 3:7]))
        harmonics.append(picked[:, [8, 9, 10, 7]])
    scale, rotation, radiance = (np.concatenate(parts) for parts in (scales, rotations, harmonics))
    length = np.linalg.norm(rotation, axis=1, keepdims=True)
    return {"scale": scale, "rotation": rotation / np.maximum(length, 1e-6), "radiance": radiance}


def matrices(rotation: Array) -> Array:
    """(P, 3, 3) float32, the inverse of ``quaternions``: columns are the axes."""
    w, axis = rotation[:, :1], rotation[:, 1:]
    columns = []
    for unit in np.eye(3, dtype=np.float32):  # q v q*, written out
        twice = 2.0 * np.cross(axis, unit)
        columns.append(unit + w * twice + np.cross(axis, twice))
    return np.stack(columns, axis=-1)


def rotated(by: Array, rotation: Array) -> Array:
    """(P, 4) float32, the Hamilton product of one quaternion (w, x, y, z) and (P, 4)."""
    w, axis = by[0], by[1:]
    own, rest = rotation[:, :1], rotation[:, 1:]
    product = [w * own - rest @ axis[:, None], w * rest + own * axis + np.cross(axis, rest)]
    turned: Array = np.concatenate(product, axis=1).astype(np.float32)
    return turned


def radiance(colors: Array, opacity: Array) -> Array:
    """(P, 4) float32, Blender's ``radiance:base``: the constant spherical harmonic of (P, 3) uint8 sRGB, and opacity (P,)."""
    out = np.empty((len(colors), 4), np.float32)
    out[:, :3] = (colors * np.float32(1.0 / 255.0) - np.float32(0.5)) * np.float32(1.0 / COLOR)
    out[:, 3] = opacity
    return out


def colors_of(radiance: Array) -> Array:
    """The inverse of ``radiance``: (P, 3) uint8 sRGB."""
    colors: Array = np.round(np.clip(radiance[:, :3] * COLOR + 0.5, 0.0, 1.0) * 255.0).astype(np.uint8)
    return colors


def quaternions(matrices: Array) -> Array:
    """(P, 4) float32 (w, x, y, z), w >= 0, of (P, 3, 3) rotations: the row of 4 q q^T with the largest diagonal (Shepperd, 1978)."""
    m = matrices
    trace = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    outer = np.empty((len(m), 4, 4), np.float32)
    outer[:, 0, 0] = 1.0 + trace
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        outer[:, i + 1, i + 1] = 1.0 - trace + 2.0 * m[:, i, i]
        outer[:, 0, i + 1] = outer[:, i + 1, 0] = m[:, k, j] - m[:, j, k]
        outer[:, j + 1, k + 1] = outer[:, k + 1, j + 1] = m[:, k, j] + m[:, j, k]
    largest = np.argmax(np.einsum("pii->pi", outer), axis=1)
    q = outer[np.arange(len(m)), largest]
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    return np.where(q[:, :1] < 0, -q, q)


def _planes(inverse: Array, known: Array) -> tuple[Array, Array, Array]:
    """Slope of the inverse depth along u and v, by least squares over the neighbours that lie on the pixel's plane, and the
    share of them that do; (H, W) each.

    Which plane that is say the gentler of the steps to either side: across an outline one of the two is steep.
    """
    first_u, first_v = _gentler(inverse, known), _gentler(inverse.T, known.T).T
    sums = [np.zeros(inverse.shape, np.float32) for _ in range(9)]
    weight, su, sv, sq, suu, suv, svv, suq, svq = sums
    weight += known
    padded, padded_known = np.pad(inverse, REACH), np.pad(known, REACH)
    height, width = inverse.shape
    for dv in range(-REACH, REACH + 1):
        for du in range(-REACH, REACH + 1):
            if du == dv == 0:
                continue
            there = np.s_[REACH + dv : REACH + dv + height, REACH + du : REACH + du + width]
            step = padded[there] - inverse
            off = np.abs(step - du * first_u - dv * first_v)
            on = padded_known[there] & (off < AGREES * max(abs(du), abs(dv)) * inverse)
            step *= on
            for total, value in ((weight, 1), (su, du), (sv, dv), (suu, du * du), (suv, du * dv), (svv, dv * dv)):
                if value:
                    total += np.float32(value) * on
            sq += step
            suq += du * step
            svq += dv * step
    weight = np.maximum(weight, 1.0)
    share = (weight - 1.0) / ((2 * REACH + 1) ** 2 - 1)
    suu, svv, suv = suu - su * su / weight, svv - sv * sv / weight, suv - su * sv / weight
    suq, svq = suq - su * sq / weight, svq - sv * sq / weight
    divisor = suu * svv - suv * suv
    fits = divisor > 1.0
    divisor = np.where(fits, divisor, 1.0)
    by_u, by_v = (svv * suq - suv * svq) / divisor, (suu * svq - suv * suq) / divisor
    return np.where(fits, by_u, first_u), np.where(fits, by_v, first_v), share


def _gentler(inverse: Array, known: Array) -> Array:
    """The smaller of the steps to the left and to the right, of those whose both ends are known; (H, W)."""
    step = np.diff(inverse, axis=1)
    step[~(known[:, 1:] & known[:, :-1])] = np.inf
    none = np.full((len(inverse), 1), np.inf, np.float32)
    left, right = np.concatenate([none, step], axis=1), np.concatenate([step, none], axis=1)
    gentle = np.where(np.abs(left) < np.abs(right), left, right)
    return np.where(np.isfinite(gentle), gentle, np.float32(0.0))


def _ellipse(along_u: Array, along_v: Array) -> tuple[tuple[Array, ...], Array]:
    """What a unit circle becomes that two vectors (P, 3) span: its axes' directions and the normal, (P, 3) each, a right-handed
    frame, and the half axes' lengths, (P, 2), the longer one first.
    """
    uu, uv, vv = (np.einsum("pi,pi->p", a, b) for a, b in ((along_u, along_u), (along_u, along_v), (along_v, along_v)))
    angle = 0.5 * np.arctan2(2.0 * uv, uu - vv)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    axes = [cos * along_u + sin * along_v, cos * along_v - sin * along_u]
    lengths = np.stack([np.linalg.norm(axis, axis=-1) for axis in axes], axis=-1)
    long, short = (axis / np.maximum(length, 1e-30)[:, None] for axis, length in zip(axes, lengths.T, strict=True))
    return (long, short, np.cross(long, short)), lengths
