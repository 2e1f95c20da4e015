"""A machine with a graphics card: what the tests claim of cards, with real kernels; speed and memory of every network.

Without a card it says so and stops. Weights are random, so nothing is downloaded; the package's own ``inference()`` runs
beside ours with the same ones. Send what it prints: ``python tools/bench/gpu.py`` with the Python of the add-on's dependencies, or
``make test-gpu`` in a checkout.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import paths

FAMILIES = ("da3-small", "da3-base", "da3-large-1.1", "da3-giant-1.1", "da3metric-large", "da3nested-giant-large-1.1")
COUNTS = (1, 8, 32)  # images of a pass
WIDTH, HEIGHT = 504, 280
TIMED = 3  # passes, of which the median counts, after one that is not timed
CLOSE = 5e-3  # of float32 on a card: convolutions there round to 11 bits (TF32)


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds, bytes; None where it does not fit or is not told."""

    model: str
    images: int
    seconds: float | None
    packages_seconds: float | None
    peak: int | None
    table: int

    def __str__(self) -> str:
        def ms(value: float | None) -> str:
            return "-" if value is None else f"{1000 * value / self.images:.1f}"

        peak = "-" if self.peak is None else f"{self.peak / 2**20:.0f}"
        cells = (
            self.model,
            self.images,
            ms(self.seconds),
            ms(self.packages_seconds),
            peak,
            f"{self.table / 2**20:.0f}",
        )
        return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    worker = paths.executable(paths.worker_environment(), "python")
    if importlib.util.find_spec("depth_anything_3") is None:
        if not worker.exists():
            print("No environment with PyTorch: install the dependencies, or start this by make test-gpu")
            return 3
        return subprocess.call([str(worker), __file__], env={**os.environ, "PYTHONPATH": str(paths.test_packages())})
    runpy.run_path(str(paths.ROOT / "core" / "package.py"))["make_importable"]()
    sys.path.insert(0, str(paths.ROOT / "tests" / "support"))
    from da3_blender.core.devices.choosing import choose

    choice = choose()
    if choice.device.type == "cpu":
        print(f"{choice.warning or 'PyTorch finds no graphics card here'}: nothing was run")
        return 0
    device = str(choice.device)
    print(about(device), flush=True)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for claim, held in claims(device, Path(folder)):
            failed += not held
            print(f"{'passed' if held else 'FAILED'}  {claim}", flush=True)
    print(f"\n| model | images | ours, ms an image | the package's, ms | peak, MiB | table, MiB |\n|{' --- |' * 6}")
    for row in rows(device, FAMILIES, COUNTS):
        failed += row.peak is not None and row.peak > row.table
        print(row, flush=True)
    print(f"\n{failed} failed; a peak above its table counts" if failed else "\nall passed")
    return 1 if failed else 0


def about(device: str) -> str:
    """The machine, in a line."""
    import torch
    from da3_blender.core.devices.choosing import capability_of, short_type
    from da3_blender.core.memory import free_memory

    at = torch.device(device)
    name = torch.cuda.get_device_name(at) if at.type == "cuda" else platform.machine()
    capability = capability_of(at)
    shown = f", compute capability {capability[0]}.{capability[1]}" if capability else ""
    free = (free_memory(at.type) or 0) / 2**30
    build = torch.version.cuda or torch.version.hip or "Metal"
    precision = str(short_type(at) or torch.float32).removeprefix("torch.")
    system = f"{platform.system()} {platform.release()}"
    return f"{name}{shown}, {free:.1f} GiB free, {precision}; torch {torch.__version__} ({build}), {system}\n"


def claims(device: str, folder: Path) -> Iterator[tuple[str, bool]]:
    """What is claimed of cards, and whether it holds here."""
    import tiny_da3
    from da3_blender.core.settings import BatchMode, Settings

    small = Settings(process_resolution=112)
    tinies = {make.__name__: make(folder) for make in (tiny_da3.any_view, tiny_da3.metric, tiny_da3.nested)}
    paths_of = {
        "depth and cameras": ("any_view", small, {}),
        "FP16 weights": ("any_view", small, {"fp16": True}),
        "ray-based pose": ("any_view", replace(small, use_ray_pose=True), {}),
        "known cameras": ("any_view", small, {"cameras": tiny_da3.cameras_around(4, 112, 84)}),
        "descriptors": ("any_view", replace(small, batch_mode=BatchMode.DA3_STREAMING), {}),
        "metric": ("metric", small, {}),
        "nested": ("nested", small, {}),
    }
    for name, (family, settings, how) in paths_of.items():
        yield f"{name}: the processor's numbers", _tried(_alike, tinies[family], settings, how, device)
    yield "attention in pieces: the same numbers", _tried(_pieces, device)
    yield "memory that runs out is known, and the card computes on", _tried(_runs_out, device)
    yield "a cancelled pass ends, and the model stays", _tried(_cancelled, tinies["any_view"], small, device)


def _tried(check: Callable[..., bool], *arguments: Any) -> bool:
    try:
        return check(*arguments)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other claims are looked at too
        print(f"        {type(error).__name__}: {str(error)[:300]}")
        return False


def _images(count: int, width: int = 112, height: int = 84) -> list[Any]:
    import numpy as np

    return list(np.random.default_rng(0).integers(0, 255, (count, height, width, 3), dtype=np.uint8))


def _alike(tiny: Any, settings: Any, how: dict[str, Any], device: str) -> bool:
    """In float32 where weights are: 16 bit differ by their rounding, which is no fault."""
    import numpy as np
    from da3_blender.core.predictors.da3 import DA3Predictor, predictor

    cameras, fp16 = how.get("cameras"), how.get("fp16", False)
    with mock.patch.object(predictor, "short_type", lambda _device: None):
        one, other = (
            DA3Predictor(tiny.info, tiny.file, fp16=fp16, device=place).predict(_images(4), range(4), settings, cameras)
            for place in (device, "cpu")
        )
    same = one.sky == other.sky if one.sky is not None else np.ones(one.depth.shape, bool)
    error = np.abs(one.depth / other.depth - 1)[same]
    print(f"        depth differs by {np.median(error):.1e}, at most {error.max():.1e}")
    return bool(np.median(error) < CLOSE and same.mean() > 0.98)


def _pieces(device: str) -> bool:
    import torch
    from da3_blender.core.predictors.da3 import attention

    query, key, value = (torch.randn(1, 4, 700, 64).to(device) for _ in range(3))
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    with mock.patch.object(attention, "SCORES", 4 * 4 * 700 * 100):
        found = attention.in_pieces(query, key, value)
    return bool((found - whole).abs().max() < CLOSE)


def _runs_out(device: str) -> bool:
    import torch
    from da3_blender.core import memory

    try:
        torch.empty(1 << 46, dtype=torch.uint8, device=device)
    except (RuntimeError, MemoryError) as error:
        return memory.is_out_of_memory(error) and float(torch.ones(3, device=device).sum()) == 3.0
    return False


def _cancelled(tiny: Any, settings: Any, device: str) -> bool:
    from da3_blender.core.errors import Cancelled
    from da3_blender.core.monitor import Monitor
    from da3_blender.core.predictors.da3 import DA3Predictor

    predictor = DA3Predictor(tiny.info, tiny.file, device=device)
    predictor.monitor = Monitor(lambda *_: None, lambda: True)
    try:
        predictor.predict(_images(2), range(2), settings)
    except Cancelled:
        predictor.monitor = Monitor()
        return len(predictor.predict(_images(2), range(2), settings)) == 2
    return False


def rows(device: str, families: tuple[str, ...], counts: tuple[int, ...]) -> Iterator[Row]:
    """Speed and memory of each network with random weights; a pass that the table says is too large is left out."""
    import gc

    from da3_blender.core import memory
    from da3_blender.core.models import catalogue
    from da3_blender.core.settings import PATCH

    kind = device.partition(":")[0]
    for name in families:
        model = catalogue.find(name)
        free = memory.free_memory(kind)
        if free is not None and free < model.file_bytes * 1.1:
            print(f"{name} does not fit")
            continue
        predictor = random_predictor(model, device)
        for count in counts:
            table = memory.cost_of(model.config, kind).of(count, WIDTH * HEIGHT // PATCH**2)
            free = memory.free_memory(kind)
            if free is not None and table > memory.USABLE * free:
                break
            yield measured(predictor, name, count, table)
        predictor.unload()
        del predictor
        gc.collect()


def random_predictor(model: Any, device: str) -> Any:
    """The model without its file."""
    import tiny_da3
    from da3_blender.core.predictors.da3 import DA3Predictor, network, predictor

    def load(info: Any, _file: Path, _device: Any, **_: Any) -> Any:
        net = network.build(info)
        weights = tiny_da3.random_weights(info, device=device)
        net.load_state_dict({key.removeprefix("model."): w for key, w in weights.items()}, strict=False, assign=True)
        return net.requires_grad_(False)

    with mock.patch.object(predictor, "load", load):
        return DA3Predictor(model, Path(), device=device)


def measured(predictor: Any, name: str, count: int, table: int) -> Row:
    """One row: our pass, and the package's, which is left out where it fails."""
    import tiny_da3
    import torch
    from da3_blender.core.settings import Settings

    images = _images(count, WIDTH, HEIGHT)
    on_cuda = predictor.device.type == "cuda"
    seconds = _timed(lambda: predictor.predict(images, range(count), Settings()))
    peak = None
    if on_cuda:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        predictor.predict(images, range(count), Settings())
        peak = torch.cuda.max_memory_allocated() - before
    own = tiny_da3.packages_own(predictor._net, float32=not on_cuda)
    own.device = predictor.device
    try:
        packages = _timed(lambda: own.inference(images, process_res=WIDTH))
    except (RuntimeError, AssertionError, TypeError) as error:
        print(f"        the package's inference() failed: {str(error)[:200]}")
        packages = None
    return Row(name, count, seconds, packages, peak, table)


def _timed(work: Callable[[], Any]) -> float:
    work()
    taken = []
    for _ in range(TIMED):
        started = time.perf_counter()
        work()  # ends with its arrays on the processor, so nothing is still being computed
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
