"""Structure from motion of ``classic``, done once for the same images.

faiss, by which COLMAP matches SIFT, rarely gives another match the second time (COLMAP's pull request 3874), which moves a focal
length by 1e-5; and a hundred images take minutes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import SfmResult, scene


@contextmanager
def sfm_once() -> Iterator[dict[str, SfmResult]]:
    """What was found, by what it was found from, filled while this lasts."""
    real, made = scene.structure_from_motion, dict[str, SfmResult]()

    def find(images: Any, focals: Any, monitor: Monitor, **more: Any) -> SfmResult:
        pixels = hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()
        key = f"{pixels} {focals} {sorted(more.items())}"
        if key not in made:
            made[key] = real(images, focals, monitor, **more)
        return made[key]

    with patch.object(scene, "structure_from_motion", find):
        yield made
