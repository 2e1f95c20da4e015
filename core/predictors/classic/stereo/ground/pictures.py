"""Planes compared by what the pictures show on them: a ground of lawn or gravel, on which next to nothing is sure.

Small windows of a lawn match nothing; some ten thousand of its pixels at once do, but only on the right plane. So the views are
correlated over all that is unknown, in details of three sizes: the largest tell roughly where the plane is, the finest to a part of a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from .plane import Plane

DETAILS = ((0.7, 2.0), (1.5, 5.0), (4.0, 14.0))  # pixels, deviations of the two blurs between which they are
FINE, MIDDLE, COARSE = range(len(DETAILS))
VIEWS, PARTNERS = 12, 3  # that are compared, and with how many others each
PIXELS = 2500  # of each view that are compared
RIM = 5  # pixels; nothing known and no sky is within two of what is compared
DARKEST = 0.015
BEYOND = 1.5  # times the farthest point, as far as planes are compared
LEAST = 50  # pixels that two views have in common
SHOWN = 0.2  # correlation of the finest details on a plane of sure points that goes on where nothing is sure


class Seen(Protocol):
    """A view that takes part: its number among the pictures, the best others for it, and its farthest point (z)."""

    @property
    def index(self) -> int: ...

    @property
    def neighbours(self) -> list[int]: ...

    @property
    def farthest(self) -> float: ...


class Pictures:
    """Views of a scene, compared at some of their unknown pixels.

    A plane is a vector m here: the points X with ``m @ (X - middle) + 1`` = 0, ``middle`` that of the cameras.

    Parameters
    ----------
    gray : (N, H, W) float32, 0 to 1
    unknown : (N, H, W) bool
    intrinsics, extrinsics : (N, 3, 3) and (N, 3, 4)
    """

    def __init__(
        self,
        gray: np.ndarray,
        unknown: np.ndarray,
        intrinsics: np.ndarray,
        extrinsics: np.ndarray,
        views: Sequence[Seen],
    ):
        some = [views[k] for k in np.unique(np.linspace(0, len(views) - 1, min(len(views), VIEWS)).round().astype(int))]
        self.views = {view.index: view for view in some}
        self.intrinsics, self.extrinsics = intrinsics, extrinsics
        self.centres = -np.einsum("nji,nj->ni", extrinsics[:, :, :3], extrinsics[:, :, 3])
        self.middle = self.centres[list(self.views)].mean(axis=0)
        known = {view.index for view in views}
        self.pairs = [
            (i, j) for i in self.views for j in [j for j in self.views[i].neighbours if j in known][:PARTNERS]
        ]
        random, rim = np.random.default_rng(0), np.ones((RIM, RIM), np.uint8)
        self.shown: dict[int, np.ndarray] = {}  # (H, W, 4): details, and whether it may be compared
        self.places: dict[int, np.ndarray] = {}  # (3, P), homogeneous pixels
        self.values: dict[int, np.ndarray] = {}  # (P, 3)
        for i in sorted({i for pair in self.pairs for i in pair}):
            usable = cv2.erode(unknown[i].astype(np.uint8), rim)
            self.shown[i] = np.dstack([details(gray[i]), usable.astype(np.float32)])
            if i not in self.views:
                continue
            flat = np.flatnonzero(usable)
            row, column = np.divmod(random.choice(flat, min(PIXELS, len(flat)), replace=False), gray.shape[2])
            self.places[i] = np.stack([column + 0.5, row + 0.5, np.ones(len(row))])
            self.values[i] = self.shown[i][row, column, :-1]
        self.views = {i: view for i, view in self.views.items() if i in self.places}
        self.rays = {i: extrinsics[i, :, :3].T @ np.linalg.inv(intrinsics[i]) @ at for i, at in self.places.items()}
        # Of each pair: (3, P) where a view's places at infinity are in the other, homogeneous, and (3,) how they move as they come near.
        self.across = {pair: self._across(*pair) for pair in self.pairs}

    def inverse_depth(self, m: np.ndarray, view: int, most: int = PIXELS) -> np.ndarray:
        """(P,) at a view's places, 0 where they are above the horizon, or too far."""
        height = m @ (self.centres[view] - self.middle) + 1.0
        inverse = -(m / height) @ self.rays[view][:, :most]
        return np.where(inverse * BEYOND * self.views[view].farthest > 1.0, inverse, 0.0)

    def over_all_cameras(self, m: np.ndarray) -> bool:
        """Whether the plane is not under all of them."""
        return bool(((self.centres[list(self.views)] - self.middle) @ m).min() <= -1.0)

    def show(self, plane: Plane) -> bool:
        """Whether a plane goes on in what is unknown: the pictures are alike on it."""
        if not self.pairs:
            return False
        away = float(plane.normal @ self.middle) + plane.offset
        return away > 0.0 and float(self.likeness(plane.normal / away)[0][FINE]) >= SHOWN

    def likeness(self, m: np.ndarray, pairs: slice = slice(None), most: int = PIXELS) -> tuple[np.ndarray, int]:
        """(3,) correlation of the pictures on a plane, in each size of details, and over how many pixels."""
        sums, count = self.products([m], pairs, most)
        return sums[:, 0, 1] / np.sqrt(np.maximum(sums[:, 0, 0] * sums[:, 1, 1], 1e-12)), count

    def products(
        self, planes: Sequence[np.ndarray], pairs: slice = slice(None), most: int = PIXELS
    ) -> tuple[np.ndarray, int]:
        """What views show, and what others show there on Q planes: sums of the products of each two of these.

        Returns
        -------
        (3, Q + 1, Q + 1) of each size of details, the view itself first, and over how many pixels, those of the first plane
        """
        sums, count = np.zeros((len(DETAILS), len(planes) + 1, len(planes) + 1)), 0
        if any(self.over_all_cameras(m) for m in planes):
            return sums, 0
        inverse: dict[int, list[np.ndarray]] = {}
        for one, other in self.pairs[pairs]:
            if one not in inverse:
                inverse[one] = [self.inverse_depth(m, one, most) for m in planes]
            ahead = np.flatnonzero(inverse[one][0] > 0.0)
            if len(ahead) < LEAST:
                continue
            there = self._there(one, other, ahead, inverse[one][0])
            both = there[:, -1] > 0.99
            ahead = ahead[both]
            if len(ahead) < LEAST:
                continue
            others = [self._there(one, other, ahead, value)[:, :-1] for value in inverse[one][1:]]
            all_of_them = np.stack([self.values[one][ahead], there[both, :-1], *others])
            sums += np.einsum("apd,bpd->dab", all_of_them, all_of_them)
            count += len(ahead)
        return sums, count

    def _across(self, one: int, other: int) -> tuple[np.ndarray, np.ndarray]:
        k, e = self.intrinsics, self.extrinsics
        turn = e[other, :, :3] @ e[one, :, :3].T
        at_infinity = k[other] @ turn @ np.linalg.inv(k[one]) @ self.places[one]
        return at_infinity, k[other] @ (e[other, :, 3] - turn @ e[one, :, 3])

    def _there(self, one: int, other: int, some: np.ndarray, inverse: np.ndarray) -> np.ndarray:
        """(P, 4) what another view shows at some of a view's places, (P,) int, by the inverse depths of all."""
        at_infinity, shift = self.across[one, other]
        u, v, z = at_infinity[:, some] + shift[:, None] * inverse[some]
        x, y = (np.where(z > 1e-6, p / np.maximum(z, 1e-6) - 0.5, -9.0).astype(np.float32)[None] for p in (u, v))
        return cv2.remap(self.shown[other], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[0]

    def apart(self, m: np.ndarray, other: np.ndarray) -> float:
        """How far a plane's inverse depths are from another's, relative: the median over all places."""
        if self.over_all_cameras(m) or self.over_all_cameras(other):
            return 1.0
        inverse = [np.stack([self.inverse_depth(plane, i) for plane in (m, other)]) for i in self.views]
        here, there = np.concatenate(inverse, axis=1)
        on = here > 0.0
        return float(np.median(np.abs(there[on] / here[on] - 1.0))) if on.any() else 1.0

    def by_a_pixel(self, m: np.ndarray) -> np.ndarray:
        """(3, 3), columns: changes of a plane, independent of each other, that move what is on it by a pixel between two views."""
        total, count = np.zeros((3, 3)), 0
        for i in self.views:
            rays = self.rays[i][:, self.inverse_depth(m, i) > 0.0]
            total, count = total + rays @ rays.T, count + rays.shape[1]
        spread, axes = np.linalg.eigh(total / max(count, 1))
        step = np.median([np.linalg.norm(self.centres[i] - self.centres[j]) for i, j in self.pairs])
        moved = float(step) * float(np.median(self.intrinsics[list(self.views), 0, 0]))
        out: np.ndarray = axes / np.sqrt(np.maximum(spread, spread.max() * 1e-3 + 1e-12)) / max(moved, 1e-9)
        return out


def details(gray: np.ndarray) -> np.ndarray:
    """(H, W, 3) of each size; of the logarithm, so that exposures do not matter."""
    brightness = np.log(np.maximum(gray, DARKEST))
    blurred = {s: cv2.GaussianBlur(brightness, (0, 0), s) for s in {s for pair in DETAILS for s in pair}}
    return np.dstack([blurred[a] - blurred[b] for a, b in DETAILS])
