"""How long each stage took in this machine's last runs: what the time left of the next one is computed from.

Without it the time left came from a guess of how the stages share a run, which is another on every machine. Kept as a small
file in the folder of kept runs; where none are kept, nothing is learned.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import ownership

FILE = "pace.json"
FORMAT = "da3-pace-1"
MOST = 40  # runs that are remembered
LEAST_DISTURBED = 3  # of the runs most like this one: the fastest of them had the machine for itself
NOT_WORK = ("total", "build", "save", "render")  # of a report's seconds
#: Settings that are work of their own, and so make another kind of run.
EXTRAS = ("use_metric", "use_segmentation", "detect_motion", "generate_meshes", "merge_points", "fuse_frames", "fp16")


@dataclass(frozen=True)
class Kind:
    """What the time of a run depends on."""

    model: str
    device: str
    images: int
    pixels: int  # of one processed image

    def scale_from(self, other: Kind) -> float:
        """How many times as much work this is; images are compared in pairs where their cameras are found, hence not exact."""
        return self.images * self.pixels / (other.images * other.pixels)

    def distance(self, other: Kind) -> float:
        """How unlike two runs of one model are."""
        return abs(math.log(self.images / other.images)) + abs(math.log(self.pixels / other.pixels))


def work_of(settings: Any) -> str:
    """The model and what else there is to do, as ``Kind.model``; ``settings``: ``Settings``, or the panel's with the same names."""
    known = "" if str(settings.known_cameras) == "off" else "+known_cameras"  # their cameras take no time
    return str(settings.model) + "".join(f"+{name}" for name in EXTRAS if getattr(settings, name)) + known


def before_a_run(folder: Path | None, work: str, images: int, pixels: int) -> float | None:
    """Seconds that a run will take, on the device of this machine's newest run of that work; None before the first.

    Parameters
    ----------
    folder, work : as ``expected`` and ``work_of`` have them
    images : that take part
    pixels : of one processed image
    """
    devices = [run["kind"]["device"] for run in _read(folder) if run["kind"]["model"] == work]
    if not devices or images < 1 or pixels < 1:
        return None
    return sum(expected(folder, Kind(work, devices[-1], images, pixels)).values())


def expected(folder: Path | None, kind: Kind) -> dict[str, float]:
    """Seconds that each stage will take; empty where this machine has not run that model yet.

    Parameters
    ----------
    folder : of kept runs; None where none are kept
    """
    runs = [(Kind(**run["kind"]), run["seconds"]) for run in _read(folder)]
    alike = [run for run in runs if (run[0].model, run[0].device) == (kind.model, kind.device)]
    alike = sorted(alike, key=lambda run: kind.distance(run[0]))[:LEAST_DISTURBED]
    found: dict[str, float] = {}
    for known, seconds in alike:
        for stage, took in seconds.items():
            scaled = took * (1.0 if stage == "load" else kind.scale_from(known))
            found[stage] = min(found.get(stage, scaled), scaled)
    return found


def learn(folder: Path | None, kind: Kind, seconds: Mapping[str, float]) -> None:
    """Remember a run that came to its end; a folder that cannot be written to costs only that.

    Parameters
    ----------
    seconds : by stage, of the report
    """
    if folder is None or kind.images < 1:
        return
    took = {stage: value for stage, value in seconds.items() if stage not in NOT_WORK}
    runs = [*_read(folder), {"kind": asdict(kind), "seconds": took}][-MOST:]
    file = folder / FILE
    if file.exists() and not _is_ours(file):
        return
    part = ownership.part_of(file)
    try:
        part.write_text(json.dumps({"format": FORMAT, "runs": runs}), "utf-8")
        ownership.put(part, file, _is_ours)
    except OSError:
        return  # a full disk, or a folder that has gone: the next run guesses


def _is_ours(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_text("utf-8")).get("format") == FORMAT)
    except (OSError, ValueError, AttributeError):
        return False


def _read(folder: Path | None) -> list[dict[str, Any]]:
    """The runs that are remembered; none where the file is not there, or broken."""
    if folder is None:
        return []
    try:
        about = json.loads((folder / FILE).read_text("utf-8"))
        runs = about["runs"] if about["format"] == FORMAT else []
        for run in runs:
            Kind(**run["kind"]).distance(Kind(**run["kind"]))
            sum(float(value) for value in run["seconds"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return []
    return list(runs)
