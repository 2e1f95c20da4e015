"""Why images have no camera, in words a person can act on: one cause, its evidence, what to do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .processes.pair_motion import MIRRORED, MOVED, STATIC, TURNED

MODELS_HINT = "use a DA3 model such as DA3 Small"  # finds cameras where there is little to measure
DEPTH_HINT = "use the model DA3 Small or DA3 Mono Large, which need no second place"
FEW_FEATURES = 150  # in the median image
OVERLAPPING = 30  # matches of one geometry that say that two images see the same place
MATCHES_AT_ALL = 100  # that look alike, whether or not they fit one geometry
MOSTLY = 0.8  # of the pairs that overlap
PLACES = 3  # pairs that overlap and do not show the same view, at least, that speak for places that differ


@dataclass(frozen=True)
class Evidence:
    """What was seen on the way to the cameras.

    ``features`` (N,), found in each image; ``pairs`` (P, 5): image, image, matches, those that fit one geometry, kind of
    motion (``pair_motion``); ``sizes``: images of each of the separate models that were made, largest first.
    """

    features: np.ndarray
    pairs: np.ndarray
    sizes: tuple[int, ...] = ()

    def among(self, images: np.ndarray) -> Evidence:
        """Of the pairs of these images."""
        return replace(self, pairs=self.pairs[np.isin(self.pairs[:, :2], images).all(axis=1)])

    @property
    def apart(self) -> Evidence:
        """Of the pairs of images that do not show the same view as an earlier one of them."""
        same = self.overlapping[self.overlapping[:, 4] == STATIC]
        kept = np.zeros(len(self.features), bool)
        for image in range(len(kept)):
            kept[image] = not kept[same[same[:, 1] == image, 0]].any()
        return self.among(np.flatnonzero(kept))

    @property
    def overlapping(self) -> np.ndarray:
        """The pairs that see the same place."""
        return self.pairs[self.pairs[:, 3] >= OVERLAPPING]

    def share(self, *kinds: int) -> float:
        """Of the overlapping pairs, those of these kinds of motion; 0 where nothing overlaps."""
        pairs = self.overlapping
        return float(np.isin(pairs[:, 4], kinds).mean()) if len(pairs) else 0.0

    @property
    def shows_no_motion(self) -> bool:
        """Whether the camera stood still or only turned, or pictures were mirrored: then no place can be measured, whatever COLMAP makes of it."""
        apart = self.apart  # a video that begins with a minute on a tripod has moved all the same
        seen = [self, apart] if len(apart.overlapping) >= PLACES else [self]
        return all(one.share(STATIC, TURNED, MIRRORED) >= MOSTLY and one.share(MOVED) < 1.0 - MOSTLY for one in seen)


def why_nothing(evidence: Evidence) -> str:
    """The sentence for images of which no two have a camera."""
    count = len(evidence.features)
    both = "these two images" if count == 2 else f"these {count} images"
    start = f"The model classic found no cameras for {both}: "
    middle = int(np.median(evidence.features))
    pairs = evidence.overlapping
    if middle < FEW_FEATURES:
        return start + (
            f"there is too little to hold on to ({middle} features in the median image, {FEW_FEATURES} are needed). They may "
            f"be blurred, dark or plain: take sharper or brighter ones, or {MODELS_HINT}"
        )
    if len(pairs) == 0:
        most = int(evidence.pairs[:, 2].max()) if len(evidence.pairs) else 0
        best = int(evidence.pairs[:, 3].max()) if len(evidence.pairs) else 0
        if most >= MATCHES_AT_ALL:
            return start + (
                f"up to {most} details look alike in two images, but at most {best} fit one scene that stands still. What is "
                f"in view moves, or repeats: take images while nothing moves, or {MODELS_HINT}"
            )
        return start + (
            f"no overlap between {both} was found (at most {best} details fit in two of them, {OVERLAPPING} are needed); add "
            f"images in between, or {MODELS_HINT}"
        )
    if evidence.shows_no_motion:
        return start + _no_motion(evidence, len(pairs))
    if len(evidence.sizes) == 0 and evidence.share(STATIC) > 1.0 - MOSTLY:
        return start + (
            f"the camera stood still in {evidence.share(STATIC):.0%} of the {len(pairs)} pairs that overlap, and what moves is "
            f"in the scene. Move the camera, or {DEPTH_HINT}"
        )
    return start + (
        f"{len(pairs)} pair{'s overlap' if len(pairs) > 1 else ' overlaps'} (up to {int(pairs[:, 3].max())} details fit in two "
        "images), but no three-dimensional scene fits. The images may be of several cameras or edited, or show something that "
        f"moves or repeats; add images in between, or {MODELS_HINT}"
    )


def _no_motion(evidence: Evidence, count: int) -> str:
    pairs = f"the {count} pairs that overlap" if count > 1 else "the one pair that overlaps"
    if evidence.share(MIRRORED) > evidence.share(STATIC, TURNED):
        return (
            f"{evidence.share(MIRRORED):.0%} of {pairs} shows the same view once as it is and once mirrored. Give the images as "
            f"the camera took them, or {DEPTH_HINT}"
        )
    if evidence.share(STATIC) >= evidence.share(TURNED):
        return (
            f"the camera did not move ({evidence.share(STATIC):.0%} of {pairs} shows the same view). "
            f"Take images from different places (of a thing on a turntable: cut it out, with one colour around it), or {DEPTH_HINT}"
        )
    return (
        f"the camera only turned, it did not move to another place (so say {evidence.share(TURNED):.0%} of {pairs}"
        f"). Take a step between two images, or {DEPTH_HINT}"
    )


def why_not(index: int, evidence: Evidence, placed: np.ndarray) -> str:
    """A few words on why one image has no camera where others have.

    Parameters
    ----------
    placed : (N,) bool
    """
    features = int(evidence.features[index])
    if features < FEW_FEATURES:
        return f"too little to hold on to, {features} features"
    own = evidence.pairs[(evidence.pairs[:, :2] == index).any(axis=1)]
    others = np.where(own[:, 0] == index, own[:, 1], own[:, 0])
    to_placed = own[placed[others], 3] if len(own) else np.zeros(0, int)
    best = int(to_placed.max()) if len(to_placed) else 0
    mirrored = own[own[:, 4] == MIRRORED]
    if len(mirrored) and mirrored[:, 3].max() >= max(OVERLAPPING, best):
        return f"mirrored against the others and to be flipped back, {int(mirrored[:, 3].max())} matches"
    if best >= OVERLAPPING:
        return f"overlaps, {best} matches, but fits no place"
    if len(own) and int(own[:, 3].max()) >= OVERLAPPING:
        return "overlaps only with images that are not placed either"
    return f"no overlap, at most {best} matches"
