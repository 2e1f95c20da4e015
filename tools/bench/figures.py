"""What benchmarks measured, as JSON: kept by a run, compared with an older run's, and as the table of the pages.

Standard library only: the runner and the tests read it with any Python.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = "DA3_BENCH_FIGURES"  # where each benchmark adds a line of JSON a figure
NOISE = 0.1  # of a figure's size: what two runs of the same code differ by on a shared machine
AT_LEAST, AT_MOST = "at least", "at most"


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    benchmark: str
    what: str  # with its unit
    value: float
    bound: str  # AT_LEAST or AT_MOST: which way is good
    claim: float | None = None

    @property
    def held(self) -> bool:
        """Whether its claim holds; one without a claim does."""
        if self.claim is None:
            return True
        return self.value >= self.claim if self.bound == AT_LEAST else self.value <= self.claim

    def worse_than(self, old: Figure) -> bool:
        """Whether it is worse by more than ``NOISE``."""
        loss = old.value - self.value if self.bound == AT_LEAST else self.value - old.value
        return loss > NOISE * abs(old.value)


def record(what: str, value: float, bound: str, claim: float | None = None) -> Figure:
    """Keep a figure of the benchmark that is running, where the runner asks for them."""
    figure = Figure(Path(sys.argv[0]).stem, what, float(value), bound, claim)
    if FILE in os.environ:
        with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(figure)) + "\n")
    return figure


def recorded(file: Path) -> list[Figure]:
    """What ``record`` has kept there."""
    return [Figure(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]


def machine() -> dict[str, Any]:
    """What it was measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "system": platform.system(),
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9),
        "load_before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def read(file: Path) -> dict[str, Any]:
    """A run's JSON, its ``figures`` as ``Figure``; raises ``SystemExit`` with the reason where it is none."""
    try:
        run: dict[str, Any] = json.loads(file.read_text("utf-8"))
        run["figures"] = [Figure(**one) for one in run["figures"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"'{file}' is not what an earlier benchmark run wrote ({error}): name such a file") from None
    return run


def compared(new: Iterable[Figure], old: Iterable[Figure]) -> list[str]:
    """A line for each figure that both runs have and that has changed by more than ``NOISE``; the worse ones are marked."""
    before = {(one.benchmark, one.what): one for one in old}
    lines = []
    for one in new:
        was = before.get((one.benchmark, one.what))
        if was is not None and (one.worse_than(was) or was.worse_than(one)):
            mark = "WORSE " if one.worse_than(was) else "better"
            lines.append(f"{mark} {one.benchmark}: {one.what} {was.value:.4g} -> {one.value:.4g}")
    return lines


def table(run: Mapping[str, Any], *, claims_only: bool = False) -> str:
    """The run as Markdown: where and when, and a row a figure, or each that has a claim."""
    about = run["machine"]
    took = sum(run["seconds"].values()) / 60
    rows = [
        f"Measured {run['date']} at {run['commit']} by `make bench` in {took:.0f} minutes: {about['system']}, "
        f"{about['processor']}, {about['cores']} cores, {about['memory_gb']} GB, load before {about['load_before']}, no GPU.",
        "",
        "| benchmark | figure | measured | claimed |",
        "| --- | --- | --- | --- |",
    ]
    for one in run["figures"]:
        if claims_only and one.claim is None:
            continue
        claim = "" if one.claim is None else f"{one.bound} {one.claim:.4g}{'' if one.held else ' **missed**'}"
        rows.append(f"| {one.benchmark} | {one.what} | {one.value:.4g} | {claim} |")
    return "\n".join(rows) + "\n"
