"""``classic`` on many images: processor time and memory of its parts at three sizes, and the exponents that fit, 1 where twice as many
images take twice as long.

    python tools/bench/large/large.py [sift] [learned] [depth] [--frames 300]

Runs in the worker's environment. The images are the first quarter, half and all of a drive along a painted street (``street.py``), at
160 x 120. "pairs" is matching and verification; depth has the true cameras. Each part at each size has a process of its own, for its
peak of memory. ``sift`` takes about ten minutes of a processor, ``learned`` more.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import numpy as np
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.resizing import place
from da3_blender.core.geometry import projection
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import SfmResult, structure_from_motion
from da3_blender.core.predictors.classic.stereo.depths import dense
from da3_blender.core.settings import FeatureMatching, ResizeMethod
from evo.core.geometry import umeyama_alignment
from street import Street

SIZES = (1 / 4, 1 / 2, 1)  # of --frames
FEW = (
    40  # images: up to as many all pairs are compared, and a view has fewer neighbours; of them no exponent is claimed
)
LINEAR = 1.15  # the exponent of what should grow linearly, with what the steps at the start hide
MEMORY = 6e9  # bytes
RESOLUTION = 252  # pixels
SEEDS = 200  # sparse points of an image
ALIKE = 0.02  # relative depth; a point that another view sees as near as that is the same
# Where the parts of the way to the cameras end, as fractions of its progress (``reconstruction._try``, ``colmap_database``).
SIFT_PARTS = {"features": 0.28, "pairs": 0.52, "mapping": 1.0}
LEARNED_PARTS = {"features": 0.256, "pairs": 0.64, "mapping": 1.0}


def main() -> int:
    given = measuring.options(__doc__, parts=("sift", "learned", "depth"), frames=300, one=int)
    if given.one:
        print(json.dumps(measured(given.parts[0], given.one)))
        return 0
    claims = measuring.Claims()
    counts = [round(given.frames * size) for size in SIZES]
    for part in given.parts:
        runs = [apart(part, count) for count in counts]
        for count, run in zip(counts, runs, strict=True):
            each = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in run["seconds"].items())
            print(f"{part} {count}: {each}; {run['memory'] / 1e9:.2f} GB; {run['said']}", flush=True)
        for name in runs[0]["seconds"]:
            power = np.polyfit(np.log(counts), np.log([max(run["seconds"][name], 1e-3) for run in runs]), 1)[0]
            if name == "all" and counts[0] > FEW:
                print(f"{part}: exponent {claims.at_most(f'{part}, exponent over images', power, LINEAR, '.2f')}")
            else:
                print(f"{part}, {name}: exponent {power:.2f}")
        memory = claims.at_most(
            f"{part}, {counts[-1]} images: memory, GB", runs[-1]["memory"] / 1e9, MEMORY / 1e9, ".2f"
        )
        print(f"{part}: GB {memory}", flush=True)
    return claims.verdict()


def apart(part: str, count: int) -> dict[str, Any]:
    """``measured``, in a process of its own."""
    command = [sys.executable, __file__, part, "--one", str(count)]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
    return found


def measured(part: str, count: int) -> dict[str, Any]:
    """``seconds`` of the processor for each part and for "all", ``memory`` in bytes, and what is ``said`` of the result."""
    scene = Street(count)
    if part == "depth":
        return depth(scene)
    parts = SIFT_PARTS if part == "sift" else LEARNED_PARTS
    seconds, passed, largest = dict.fromkeys(parts, 0.0), [0.0], [0]

    def note(_stage: str, fraction: float) -> None:
        """Time since the last report goes to the part that it was in."""
        now, memory = with_children()
        largest[0] = max(largest[0], memory)
        name = next(name for name, end in parts.items() if fraction <= end)
        seconds[name] += max(0.0, now - passed[0])
        passed[0] = max(passed[0], now)

    passed[0] = with_children()[0]
    focals = scene.intrinsics[:, 0, 0].tolist()
    matching = FeatureMatching.SIFT if part == "sift" else FeatureMatching.LEARNED
    try:
        found = structure_from_motion(scene.images, focals, Monitor(note), matching=matching)
        said = (
            f"{int(found.registered.sum())} of {count} registered ({found.way}), {away(found, scene):.2%} of the path"
        )
    except BadInput as error:
        said = str(error)
    note("", 1.0)
    return {"seconds": {**seconds, "all": sum(seconds.values())}, "memory": largest[0], "said": said}


def with_children() -> tuple[float, int]:
    """Processor seconds of this process and all that it started, and bytes that they have taken at most, together."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() + ended.ru_utime + ended.ru_stime
    memory = measuring.peak()
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            status = Path(f"/proc/{child}/status")
            try:
                lines = status.read_text().splitlines()
                seconds += measuring.processor_seconds(int(child))
            except OSError:  # it has ended meanwhile
                continue
            memory += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return seconds, memory


def away(found: SfmResult, scene: Street) -> float:
    """RMSE of the registered cameras' places after a similarity, of the path's extent."""
    rows = np.flatnonzero(found.registered)
    own = projection.invert_rigid(found.extrinsics[rows])[:, :, 3].T
    true = scene.camera_to_world[rows, :3, 3].T
    rotation, shift, scale = umeyama_alignment(own, true, with_scale=True)
    error = np.linalg.norm(scale * rotation @ own + shift[:, None] - true, axis=0)
    path = scene.camera_to_world[:, :3, 3]
    return float(np.sqrt((error**2).mean()) / np.linalg.norm(np.ptp(path, axis=0)))


def depth(scene: Street) -> dict[str, Any]:
    """The depth stage by true cameras, and how right it is."""
    sfm = true_cameras(scene)
    canvas, valid, placements = place(scene.images, RESOLUTION, ResizeMethod.UPPER_BOUND)
    intrinsics = np.stack([at.to_processed(k) for at, k in zip(placements, sfm.intrinsics, strict=True)])
    started = time.process_time()
    found, conf, _ = dense(canvas, valid, intrinsics, sfm, Monitor())
    seconds = time.process_time() - started
    memory = measuring.peak()
    errors, kept = [], 0.0
    for one, sure, true in zip(found, conf, scene.depth, strict=False):
        rows = np.arange(one.shape[0]) * true.shape[0] // one.shape[0]
        columns = np.arange(one.shape[1]) * true.shape[1] // one.shape[1]
        nearest = true[rows[:, None], columns]
        both = (sure > 0) & (nearest > 0)
        kept += both.sum() / max(1, (nearest > 0).sum()) / len(found)
        errors.append(float(np.median(np.abs(one[both] / nearest[both] - 1.0))) if both.any() else np.nan)
    said = f"kept {kept:.1%}, median error {np.nanmedian(errors):.2%}"
    return {"seconds": {"all": seconds}, "memory": memory, "said": said}


def true_cameras(scene: Street) -> SfmResult:
    """What structure from motion would find, from the truth: points of each image, and who else sees them."""
    random = np.random.default_rng(0)
    count, height, width = scene.depth.shape
    k, e = scene.intrinsics, scene.extrinsics
    points, observations = [], []
    for i in range(count):
        v, u = random.integers(0, height, SEEDS), random.integers(0, width, SEEDS)
        far = scene.depth[i, v, u]
        u, v, far = u[far > 0], v[far > 0], far[far > 0].astype(np.float64)
        rays = np.linalg.inv(k[i]) @ np.stack([u + 0.5, v + 0.5, np.ones(len(u))])
        world = (rays * far - e[i, :, 3:]).T @ e[i, :, :3]
        there = np.einsum("nij,pj->npi", e[:, :, :3], world) + e[:, None, :, 3]
        pixel = np.einsum("nij,npj->npi", k, there)
        z = np.maximum(pixel[..., 2], 1e-6)
        x, y = np.floor(pixel[..., 0] / z).astype(int), np.floor(pixel[..., 1] / z).astype(int)
        inside = (there[..., 2] > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        image, point = np.nonzero(inside)
        seen = scene.depth[image, y[inside], x[inside]]
        same = np.abs(seen / there[image, point, 2] - 1.0) < ALIKE
        observations.append(np.stack([image[same], point[same] + sum(map(len, points))], axis=1))
        points.append(world)
    every = np.concatenate(points)
    return SfmResult(
        np.ones(count, bool), e.copy(), k.copy(), np.zeros((count, 2)), every, np.zeros(len(every)), np.concatenate(observations)
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
