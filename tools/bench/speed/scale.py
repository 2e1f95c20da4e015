"""What limits a run on several cards: measured costs of the parts played through the executor's rules, nothing is computed.

    python tools/bench/speed/scale.py

A card computes passes one after another and has two at most; the driver takes them in order, one at a time.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from figures import AT_LEAST, record

AHEAD = 2  # passes that an actor has, as in core/cluster/pool.py
PASSES = 1000


@dataclass(frozen=True)
class Costs:
    """Milliseconds for each new frame; ``seen``: in how many passes a frame is."""

    name: str
    model: float  # da3-large on a card, estimated
    decode: float  # with the model, wherever that is
    driver: float
    here: float  # all but model and decoding, where one process does it
    seen: float


# decode: docs/streaming.md. Streaming, 504 x 280, chunks of 20, loops off: measured on one core, 113 ms, of which 54 are
# ``streaming/refinement.py``, 19 deflate of frame files, 13 clouds on disk and the kept run; Ray adds 2. Batch modes: the sum of
# filters, alignment, points, arrays and the kept run, and 11 for Drop Sky
BEFORE = Costs("streaming, all but the model in the driver", 20.0, 11.0, 115.0, 113.0, 2.0)
STREAMING = Costs("streaming, a driver of one core", 20.0, 11.0, 61.0, 113.0, 2.0)
THREADS = Costs("streaming, a driver of four cores", 20.0, 11.0, 47.0, 99.0, 2.0)
BARE = Costs("streaming, no files, run not kept", 20.0, 11.0, 29.0, 81.0, 2.0)
GIANT = Costs("streaming, four cores, a model of 100 ms", 100.0, 11.0, 47.0, 99.0, 2.0)
BATCHES = Costs("batch modes", 20.0, 11.0, 28.0, 28.0, 1.1)
ALIGNER = Costs("aligner of 2 ms a frame", 20.0, 0.0, 2.0, 2.0, 1.0)
ALL = (BEFORE, STREAMING, THREADS, BARE, GIANT, BATCHES, ALIGNER)
CARDS = (1, 2, 4, 8, 16)


def seconds(costs: Costs, cards: int, frames: int = 30) -> float:
    """How long ``PASSES`` passes with ``frames`` new frames each take."""
    work = (costs.model * costs.seen + costs.decode) * frames / 1e3
    free, taken = [0.0] * cards, [0.0] * PASSES
    for number in range(PASSES):
        card = min(range(cards), key=lambda c: free[c])
        room = taken[number - AHEAD * cards] if number >= AHEAD * cards else 0.0
        free[card] = max(free[card], room) + work
        taken[number] = max(free[card], taken[number - 1] if number else 0.0) + costs.driver * frames / 1e3
    return taken[-1]


def alone(costs: Costs, frames: int = 30) -> float:
    """The same in one process, one thing after another."""
    return PASSES * (costs.model * costs.seen + costs.decode + costs.here) * frames / 1e3


def main() -> int:
    print(f"{'against one card without Ray':52}" + "".join(f"{cards:>7}" for cards in CARDS) + "   limited from")
    for costs in ALL:
        gains = [alone(costs) / seconds(costs, cards) for cards in CARDS]
        record(f"{costs.name}: times faster, {CARDS[-1]} cards", gains[-1], AT_LEAST)
        limit = (costs.model * costs.seen + costs.decode) / costs.driver
        print(f"{costs.name:52}" + "".join(f"{gain:6.1f}x" for gain in gains) + f"   {limit:.1f} cards on")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
