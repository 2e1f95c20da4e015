"""Real weights on the sample images: the same scores as ``classic.py`` prints, for every model that is installed.

Looks in ``models/``, or in ``$DA3_MODELS``; without weights it says so and stops. Started with any of the project's
interpreters, it goes on with the worker's.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import paths

SETS = ("courtyard", "passer_by", "portrait")


def main() -> int:
    runpy.run_path(str(paths.ROOT / "core" / "package.py"))["make_importable"]()
    from da3_blender.core.models import catalogue

    folder = Path(os.environ.get("DA3_MODELS") or paths.ROOT / "models")
    installed = [model for model in catalogue.installed(folder) if model.needs_file]
    if not installed:
        print(f"No weights in {folder}: nothing was run. Download a model first (da3 models download NAME)")
        return 0
    worker = paths.executable(paths.worker_environment(), "python")
    if Path(sys.executable).absolute() != worker.absolute():
        environ = {**os.environ, "PYTHONPATH": str(paths.test_packages())}
        return subprocess.call([str(worker), __file__], env=environ)
    sys.path[:0] = [str(paths.ROOT / "tests" / "support"), str(paths.ROOT / "tools" / "bench" / "accuracy")]
    for model in installed:
        print(f"--- {model.label}", flush=True)
        for name in SETS:
            print(score(model.name, folder, name), flush=True)
    return 0


def score(model: str, folder: Path, name: str) -> str:
    """One model on one sample set; a model without cameras is given the true ones, so that its depth can be judged."""
    import classic as bench_classic
    import truth as truths
    from da3_blender.core.frames.source import FrameSource
    from da3_blender.core.monitor import Monitor
    from da3_blender.core.predictors.opening import open_predictor
    from da3_blender.core.settings import Settings

    truth = truths.load(name)
    frames = FrameSource.open(truth.folder)
    predictor = open_predictor(model, folder, frames, Monitor())
    started = time.perf_counter()
    prediction = predictor.predict(list(truth.images), range(len(truth)), Settings())
    seconds = time.perf_counter() - started
    if prediction.extrinsics is None:
        scaled = truth.intrinsics.copy()
        scaled[:, 0] *= prediction.depth.shape[2] / truth.depth.shape[2]
        scaled[:, 1] *= prediction.depth.shape[1] / truth.depth.shape[1]
        prediction = replace(prediction, extrinsics=truth.extrinsics, intrinsics=scaled)
    return bench_classic.describe(name, bench_classic.measure(truth, prediction, seconds))


if __name__ == "__main__":
    sys.exit(main())
