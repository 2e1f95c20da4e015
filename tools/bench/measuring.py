"""What all benchmarks share: the package and the tests' helpers importable, options, times, and figures beside claims.

A benchmark puts this folder on ``sys.path``, imports this, and then whatever it wants of ``da3_blender``.
"""

from __future__ import annotations

import argparse
import os
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
Result = TypeVar("Result")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

sys.path[:0] = [str(SUPPORT), str(ROOT / "tools" / "bench"), str(ROOT / "tools" / "bench" / "accuracy")]
runpy.run_path(str(ROOT / "core" / "package.py"))["make_importable"]()

from da3_blender.core.worker.life.peak_memory import peak_memory as peak  # noqa: E402  # after the package is importable
from figures import AT_LEAST, AT_MOST, record  # noqa: E402  # by the path above


def options(doc: str | None, **defaults: Any) -> argparse.Namespace:
    """The command line: a type is an option without default, a tuple the words that may be chosen from, all by default."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        if isinstance(default, tuple):
            words = list(default)  # argparse checks the default, a list, too
            parser.add_argument(name, nargs="*", default=words, choices=[words, *words], metavar="|".join(words))
        elif isinstance(default, list):  # free words
            parser.add_argument(name, nargs="*", default=default)
        elif default is False:
            parser.add_argument(f"--{name.replace('_', '-')}", action="store_true")
        elif isinstance(default, type):
            parser.add_argument(f"--{name.replace('_', '-')}", type=default)
        else:
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args()


class Claims:
    """What was measured against what is claimed."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def at_least(self, what: str, figure: float, claim: float, form: str = ".3f") -> str:
        """A figure and its claim as text; noted where it falls short."""
        return self._check(what, figure, claim, AT_LEAST, form)

    def at_most(self, what: str, figure: float, claim: float, form: str = ".3f") -> str:
        """As ``at_least``, for what should be small."""
        return self._check(what, figure, claim, AT_MOST, form)

    def _check(self, what: str, figure: float, claim: float, bound: str, form: str) -> str:
        held = record(what, figure, bound, claim).held
        if not held:
            self.missed.append(what)
        return f"{figure:{form}} ({bound} {claim:{form}}{'' if held else ', MISSED'})"

    def verdict(self) -> int:
        """Say whether all were held; the process's exit code."""
        print(f"missed: {', '.join(self.missed)}" if self.missed else "every claim that was measured holds")
        return 1 if self.missed else 0


@dataclass(frozen=True)
class Steps:
    """Medians of some runs, seconds."""

    total: float
    longest: float  # of the steps


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """What a call gives, and the seconds that it takes."""
    started = time.perf_counter()
    found = call()
    return found, time.perf_counter() - started


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    return timed(call)[1]


def step_seconds(steps: Iterable[object]) -> list[float]:
    """How long each step of a generator takes, what comes after the last ``yield`` too."""
    found, end = [], object()
    waiting = iter(steps)
    value: object = None
    while value is not end:
        started = time.perf_counter()
        value = next(waiting, end)
        found.append(time.perf_counter() - started)
    return found


def take_turns(
    ways: dict[str, Callable[[], Iterable[object]]], runs: int, after: Callable[[], None]
) -> dict[str, Steps]:
    """Ways to do the same, one after another and all again; ``after`` each, off the clock, what was built is removed."""
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            found[name].append(step_seconds(way()))
            after()
    medians = {}
    for name, times in found.items():
        totals, longest = [sum(one) for one in times], [max(one) for one in times]
        medians[name] = Steps(statistics.median(totals), statistics.median(longest))
        print(
            f"{name:5} {medians[name].total * 1e3:9.1f} ms   longest step {medians[name].longest * 1e3:7.1f} ms, "
            f"worst of all {max(longest) * 1e3:.1f}; medians of {runs} runs"
        )
    return medians


def beside_lists(lists: Steps, ours: Steps, times_faster: float, tick_milliseconds: float = 50.0) -> int:
    """Print how much faster ours is, and whether Blender's window goes on meanwhile; the exit code."""
    claims = Claims()
    faster = claims.at_least("times faster than lists", lists.total / ours.total, times_faster, ".0f")
    longest = claims.at_most("longest step, ms", ours.longest * 1e3, tick_milliseconds, ".1f")
    print(f"times faster than lists: {faster}; ms of the longest step: {longest}")
    return claims.verdict()


def peak_memory(children: bool = False) -> int:
    """Bytes: the largest this process was, plus the largest of its children (each counted from its parent's size on)."""
    import resource  # there is none on Windows

    of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 if children else 0
    return peak() + of_children


def processor_seconds(pid: int | None) -> float:
    """All threads' seconds of a process; where the machine is busy with other things, this says more than the clock."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
