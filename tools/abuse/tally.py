"""The one way of counting and printing: a campaign is tries, a try finds faults or none, a table says how many."""

from __future__ import annotations

import hashlib
import random
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAULTS = ("lost", "hangs", "unexpected", "crashes", "wrong")


@dataclass
class Found:
    """What a try was, and its faults: (kind of ``FAULTS``, what was seen)."""

    what: str = ""
    faults: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, seen: str) -> None:
        assert kind in FAULTS
        self.faults.append((kind, seen))

    def compare(self, before: dict[Path, object], after: dict[Path, object]) -> None:
        """A person's files as they were and as they are: what is gone or changed is lost."""
        for what, paths in (
            ("gone", [path for path in before if path not in after]),
            ("changed", [path for path, value in before.items() if path in after and after[path] != value]),
        ):
            if paths:
                self.add(
                    "lost", f"{len(paths)} of {len(before)} files {what}, as {paths[0].parent.name}/{paths[0].name}"
                )


@dataclass(frozen=True)
class Campaign:
    """Tries of one kind.

    Parameters
    ----------
    tries, short : how many there are, and of these the first so many in the short form
    prepare : called once, with a folder and the seed; what it returns goes to each try
    play : one try: what was prepared, its number, dice of its own, an empty folder of its own
    at_once : tries side by side
    waits : whether tries mostly wait, so that they go on beside another campaign
    """

    name: str
    tries: int
    short: int
    prepare: Callable[[Path], Any]
    play: Callable[[Any, int, random.Random, Path], Found]
    at_once: int = 2
    waits: bool = False


@dataclass
class Row:
    """A line of the table."""

    name: str
    tries: int
    seconds: float
    faults: list[tuple[int, str, str, str]] = field(default_factory=list)  # number, what, kind, seen

    def count(self, kind: str) -> int:
        """Tries that have such a fault."""
        return len({number for number, _, one, _ in self.faults if one == kind})


class Tally:
    """Plays campaigns and keeps their rows."""

    def __init__(self, root: Path, seed: int, is_short: bool):
        self.rows: list[Row] = []
        self._root, self._seed, self._is_short = root, seed, is_short
        self._printing = threading.Lock()

    def play(self, campaign: Campaign, only: int | None = None) -> None:
        """All tries of a campaign, or one."""
        started = time.monotonic()
        total = campaign.short if self._is_short else campaign.tries
        numbers = range(total) if only is None else [only]
        place = self._root / campaign.name
        place.mkdir()
        prepared = campaign.prepare(place)
        row = Row(campaign.name, len(numbers), 0.0)

        def one(number: int) -> None:
            own = place / f"try{number}"
            own.mkdir()
            found = self._try(campaign, prepared, number, own)
            if found.faults:
                self._tell(campaign, number, found)
                row.faults += [(number, found.what, *fault) for fault in found.faults]
            shutil.rmtree(own, ignore_errors=True)

        with ThreadPoolExecutor(campaign.at_once) as pool:
            list(pool.map(one, numbers))
        if hasattr(prepared, "close"):
            prepared.close()
        row.seconds = time.monotonic() - started
        with self._printing:
            self.rows.append(row)
            print(f"{campaign.name}: {row.tries} tries in {row.seconds:.0f} s", flush=True)

    def _try(self, campaign: Campaign, prepared: Any, number: int, own: Path) -> Found:
        text = f"{self._seed} {campaign.name} {number}".encode()
        dice = random.Random(int.from_bytes(hashlib.sha256(text).digest()[:8], "big"))
        try:
            return campaign.play(prepared, number, dice, own)
        except Exception:  # noqa: BLE001  # a fault of the campaign itself is to be seen, and not to end the others
            found = Found("the campaign itself")
            found.add("wrong", traceback.format_exc(limit=-3))
            return found

    def _tell(self, campaign: Campaign, number: int, found: Found) -> None:
        with self._printing:
            for kind, seen in found.faults:
                print(f"{campaign.name} {number} ({found.what}): {kind}: {seen}", flush=True)
            print(f"    again: make abuse ARGS='--only {campaign.name} --seed {self._seed} --try {number}'", flush=True)

    @property
    def failed(self) -> bool:
        return any(row.faults for row in self.rows)

    def table(self) -> str:
        """All campaigns, and their sum."""
        titles = ("campaign", "tries", *FAULTS, "seconds")
        lines = [titles, *(_cells(row.name, [row]) for row in self.rows)]
        lines.append(_cells("all", self.rows))
        widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
        return "\n".join(
            "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        )  # fmt: skip


def _cells(name: str, rows: Iterable[Row]) -> tuple[str, ...]:
    rows = list(rows)
    counts = (str(sum(row.count(kind) for row in rows)) for kind in FAULTS)
    return (name, str(sum(row.tries for row in rows)), *counts, f"{sum(row.seconds for row in rows):.0f}")
