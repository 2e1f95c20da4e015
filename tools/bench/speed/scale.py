"""What limits a run on several cards: measured costs of the parts played through the executor's rules, nothing is computed.

    python tools/bench/speed/scale.py

A card computes passes one after another and has two at most; the driver takes them in order, one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

AHEAD = 2  # passes that an actor has, as in core/cluster/pool.py
PASSES = 1000


@dataclass(frozen=True)
class Costs:
    """Milliseconds for each new frame; ``seen``: in how many passes a frame is."""

    name: str
    model: float  # da3-large on a card, estimated
    decode: float  # with the model, wherever that is
    driver: float
    seen: float


# driver: docs/streaming.md (54 ms, decoding among them) and the sum of filters, alignment, points, arrays and the kept run
STREAMING = Costs("streaming, as built", 20.0, 11.0, 43.0, 2.0)
BATCHES = Costs("batch modes, as built", 20.0, 11.0, 17.0, 1.1)
REFINED = Costs("streaming, polish and bring_together on the cards", 20.0, 11.0, 10.0, 2.0)
ALIGNER = Costs("aligner of 2 ms a frame", 20.0, 0.0, 2.0, 1.0)


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


def main() -> int:
    print(f"{'':52}" + "".join(f"{cards:>7}" for cards in (1, 2, 4, 8, 16, 100)) + "   limited from")
    for costs in (STREAMING, BATCHES, REFINED, ALIGNER):
        one = seconds(costs, 1)
        gains = [one / seconds(costs, cards) for cards in (1, 2, 4, 8, 16, 100)]
        limit = (costs.model * costs.seen + costs.decode) / costs.driver
        print(f"{costs.name:52}" + "".join(f"{gain:6.1f}x" for gain in gains) + f"   {limit:.1f} cards on")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
