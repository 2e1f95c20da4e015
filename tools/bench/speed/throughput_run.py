"""One run of ``throughput.py`` in a process of its own, with the add-on's code in any folder: so an older tree can be measured beside.

    python throughput_run.py TREE INPUT KIND SECONDS_A_FRAME

Prints a line of JSON. Only what older trees have too is asked of them.
"""

from __future__ import annotations

import json
import runpy
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TREE = Path(sys.argv[1]).resolve() if __name__ == "__main__" else Path(__file__).resolve().parents[3]
runpy.run_path(str(TREE / "core" / "package.py"))["make_importable"]()
sys.path.append(str(Path(__file__).resolve().parents[3] / "tests" / "support"))

import cv2  # noqa: E402  # the add-on is importable from here on
import long_walk  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402, F401  # a real model has loaded it by now
from da3_blender.core.frames.resizing import place  # noqa: E402
from da3_blender.core.prediction.prediction import Prediction  # noqa: E402
from da3_blender.core.settings import BatchMode, Settings  # noqa: E402
from da3_blender.core.worker import protocol  # noqa: E402
from da3_blender.core.worker.server import generate_job  # noqa: E402
from da3_blender.core.worker.server.loaded_model import LoadedModel  # noqa: E402

LAP = 40  # frames of the path, which is walked again and again
PASS = 20  # frames of one pass
KINDS: dict[str, dict[str, Any]] = {
    "batches": {"batch_mode": BatchMode.LAST_FRAME_OVERLAP},
    "streaming": {"batch_mode": BatchMode.DA3_STREAMING},
    "meshes": {"batch_mode": BatchMode.LAST_FRAME_OVERLAP, "generate_meshes": True},
    "motion": {"batch_mode": BatchMode.LAST_FRAME_OVERLAP, "detect_motion": True},
    "merge": {"batch_mode": BatchMode.LAST_FRAME_OVERLAP, "merge_points": True},
}


class FixedTime:
    """A model that takes a time for each frame, as a card does: the processor is free meanwhile. It knows the truth."""

    device = SimpleNamespace(type="cuda")
    computes_beside = takes_reduced = True

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.computed: list[tuple[float, float]] = []  # when each pass began and ended
        self._walk = long_walk.make(LAP)
        self._depth: np.ndarray | None = None  # (LAP, H, W), once the size is known

    def free_memory(self) -> None:
        """Nobody tells: the size of a pass is set."""

    def free_cache(self) -> None:
        """It holds nothing."""

    def predict(self, images: Any, indices: Any, settings: Settings, cameras: Any = None) -> Prediction:
        canvas, _, _ = place(images, settings.resolution, settings.resize_method)
        began = time.perf_counter()
        time.sleep(self.seconds * len(canvas))
        self.computed.append((began, time.perf_counter()))
        height, width = canvas.shape[1:3]
        if self._depth is None:
            sizes = (width, height)
            self._depth = np.stack([cv2.resize(d, sizes, interpolation=cv2.INTER_NEAREST) for d in self._walk.depth])
        at = np.asarray(indices) % LAP
        scale = np.array([[width / long_walk.WIDTH], [height / long_walk.HEIGHT], [1.0]])
        intrinsics, extrinsics = self._walk.intrinsics[at] * scale, self._walk.extrinsics[at].copy()
        return Prediction(self._depth[at], np.full(canvas.shape[:3], 5.0, np.float32), extrinsics, intrinsics, canvas)


def run(given: str, kind: str, seconds_a_frame: float) -> dict[str, float]:
    """Seconds, processor seconds, frames and points of a job, and for how much of its time the model had nothing to do."""
    model = FixedTime(seconds_a_frame)
    with tempfile.TemporaryDirectory() as name:
        folder, job = Path(name), Path(name) / "job"
        job.mkdir()

        def emit(event: Any) -> None:
            if isinstance(event, protocol.BatchReady):
                for part in event.parts:  # Blender would have them in memory by now
                    for file in part["files"].values():
                        (job / file).unlink()

        settings = Settings(input=given, model="da3-large", batch_size=PASS, **KINDS[kind])
        output = {"output_folder": str(folder / "out")} if kind == "streaming" else {}
        (folder / "out").mkdir()
        request = protocol.Generate(
            1, str(job), settings.to_json() | output, name, kept_folder=str(folder / "kept"), kept_bytes=sys.maxsize
        )
        started, processor = time.perf_counter(), time.process_time()
        report = generate_job.generate(request, LoadedModel(lambda *_, **__: model), emit, lambda: False)
        ended, processor = time.perf_counter(), time.process_time() - processor
    computing = sum(end - begin for begin, end in model.computed)
    at_work = model.computed[-1][1] - model.computed[0][0]
    return {
        "frames": report["frames"], "points": report["points"], "seconds": ended - started, "processor": processor,
        "waiting": 1.0 - computing / at_work, "passes": len(model.computed),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[2], sys.argv[3], float(sys.argv[4]))))
