"""Whether loading hides behind computing: photographs through the passes, with a model that takes as long as the loading.

    python tools/bench/speed/throughput.py [--images 60] [--batch-size 4] [--megapixels 12]

Runs in the worker's environment. The model waits instead of computing, as the processor does for a GPU; where both share
the processor's cores, nothing could hide.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import cv2
import numpy as np
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction import passes
from da3_blender.core.prediction.batching import Planner
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import BatchMode, Settings


class Waiting:
    """A model that takes a time for each image and says nothing."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def predict(
        self, images: Sequence[np.ndarray], indices: Sequence[int], settings: Settings, cameras: Any = None
    ) -> Prediction:
        time.sleep(self.seconds * len(images))
        nothing = np.zeros((len(images), 14, 14), np.float32)
        return Prediction(nothing, nothing, None, None, np.zeros((len(images), 14, 14, 3), np.uint8))


def main() -> int:
    arguments = measuring.options(__doc__, images=60, batch_size=4, megapixels=12.0)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), arguments.images, arguments.megapixels)
        run(Path(folder), Waiting(0.0), arguments.batch_size)  # so that the files are in the system's cache
        loading = run(Path(folder), Waiting(0.0), arguments.batch_size)
        each = loading / arguments.images
        whole = run(Path(folder), Waiting(each), arguments.batch_size)
    print(f"{arguments.images} photographs of {arguments.megapixels:g} megapixels, {arguments.batch_size} per pass")
    print(f"loading alone {loading:.2f} s, computing alone {each * arguments.images:.2f} s, both {whole:.2f} s")
    claims = measuring.Claims()
    print(f"ratio to the longer one: {claims.at_most('both beside the longer one', whole / loading, 1.15, '.2f')}")
    return claims.verdict()


def make(folder: Path, count: int, megapixels: float) -> None:
    """Copies of one JPEG of 4:3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    noise = np.random.default_rng(0).integers(0, 255, (height // 8, height // 6, 3), np.uint8)
    picture = cv2.resize(noise, (height * 4 // 3, height), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    for i in range(count):
        (folder / f"{i:04d}.jpg").write_bytes(data)


def run(folder: Path, model: Waiting, batch_size: int) -> float:
    """Seconds for the whole of it."""
    settings = Settings(batch_mode=BatchMode.NO_OVERLAP, batch_size=batch_size)
    begin = time.perf_counter()
    source = FrameSource.open(folder)
    planner = Planner(source.selected, settings, batch_size)
    frames = sum(len(indices) for indices, _ in passes.predictions(source, settings, model, planner, Monitor()))
    assert frames == len(source.selected)
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
