"""Which images show the same place, by one vector per image pooled from its local features.

Imported by the child processes as a file beside theirs, so nothing of the add-on is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WORDS = 32  # cluster centres that a pooled vector is measured from
SAMPLED = 20_000  # local features that the centres are found from
ROUNDS = 8  # of k-means
ALIKE = 10  # images that an image is compared with for looking like it
REACH = 6  # images before and after it in order


def pooled(features: Sequence[np.ndarray], seed: int = 1) -> np.ndarray:
    """One vector of length 1 per image: VLAD (Jegou et al. 2010), with centres found in these images themselves.

    Parameters
    ----------
    features : N arrays (K_i, D), any scale; an image without features gets a vector of zeros

    Returns
    -------
    (N, WORDS * D) float32
    """
    random = np.random.default_rng(seed)
    share = max(1, SAMPLED // max(1, len(features)))
    some = [f[random.permutation(len(f))[:share]].astype(np.float32) for f in features if len(f)]
    width = some[0].shape[1] if some else 1
    if not some:
        return np.zeros((len(features), WORDS * width), np.float32)
    sample = _unit(np.concatenate(some))
    centres = sample[random.permutation(len(sample))[:WORDS]]
    for _ in range(ROUNDS):
        nearest = (sample @ centres.T).argmax(axis=1)
        centres = _unit(np.stack([_mean(sample[nearest == k], centres[k]) for k in range(len(centres))]))
    vectors = np.zeros((len(features), len(centres), width), np.float32)
    for i, own in enumerate(features):
        if len(own):
            own = _unit(own.astype(np.float32))
            nearest = (own @ centres.T).argmax(axis=1)
            np.add.at(vectors[i], nearest, own - centres[nearest])
    return _unit(_unit(vectors).reshape(len(features), -1))


def likely_pairs(vectors: np.ndarray, in_order: bool = True, taken: Sequence[int] = ()) -> list[tuple[int, int]]:
    """Pairs (a, b), a < b, worth comparing: neighbours in order, and those that look alike. Linear in the images.

    Parameters
    ----------
    vectors : (N, D) of length 1
    in_order : whether the images follow each other, as a video's frames and most people's photos do
    taken : N moments, or none: images of one moment are from one place, and comparing them says nothing
    """
    count = len(vectors)
    pairs = set()
    if in_order:
        pairs |= {(a, b) for a in range(count) for b in range(a + 1, min(count, a + 1 + REACH))}
    for a in range(count):
        alike = vectors @ vectors[a]
        alike[max(0, a - REACH) : a + REACH + 1 if in_order else a + 1] = -np.inf  # neighbours are there already
        if len(taken):
            alike[np.asarray(taken) == taken[a]] = -np.inf
        for b in np.argpartition(-alike, min(ALIKE, count - 1))[:ALIKE].tolist():
            if a != b and np.isfinite(alike[b]):
                pairs.add((min(a, b), max(a, b)))
    return sorted(pairs)


def _mean(members: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return members.mean(axis=0) if len(members) else otherwise


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
