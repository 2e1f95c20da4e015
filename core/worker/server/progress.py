"""From stages and fractions to one fraction that never falls, the time left, and the seconds each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

#: Stages in their order and how long each takes, in parts of a pass. A guess that is wrong makes the bar uneven, nothing
#: else; measured on a CPU.
# Once, before all passes, for as many images as all passes have; courtyard: 240 s of cameras to 216 of depth.
CLASSIC_START = {"load": 1.0, "images": 3.0, "cameras": 70.0}
CLASSIC = {"images": 3.0, "depth": 68.0, "alignment": 1.0, "points": 3.0}
NETWORK = {"load": 15.0, "images": 2.0, "model": 75.0, "metric": 2.0, "alignment": 5.0, "points": 3.0}

MIN_ELAPSED = 2.0  # seconds before the time left is worth saying
MIN_FRACTION = 0.03
# Of the time that runs like this one took: how much of this one has to be over before its own pace counts for more.
TRUST = 0.05


class Progress:
    """Follows one job.

    Parameters
    ----------
    weights : the stages, ``CLASSIC`` or ``NETWORK``; another stage leaves the fraction where it is
    passes : how many passes of the model the job will make
    clock : seconds, monotone
    at_end : stages that come once, after all passes, and how long each takes in the same parts
    at_start : stages that come once, before all passes, and how long each takes for each pass; one that comes in passes too
        is of the start until a later one of that has come
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        passes: int = 1,
        clock: Callable[[], float] = time.monotonic,
        at_end: Mapping[str, float] | None = None,
        at_start: Mapping[str, float] | None = None,
    ):
        self.passes = passes
        self._weights = weights
        self._at_end = dict(at_end or {})
        self._at_start = dict(at_start or {})
        self.fraction = 0.0
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._started = self._since = clock()
        self._begun: float | None = None  # when the first of the stages did
        # The fraction as it is known now, which may fall when more passes are planned, and since when.
        self._last = (0.0, 0.0)
        self._stage = ""
        self._pass = 0
        self._is_starting, self._reached = bool(at_start), 0  # and how far in ``at_start``
        self._expected = 0.0  # seconds of all stages from ``_begun`` on; 0 where nobody knows

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Count from now, with the seconds that each stage took in runs like this one; nothing where these are not known, as
        after runs that had no such start."""
        took = {name: value for name, value in seconds.items() if name != "load"}
        names = dict.fromkeys((*self._at_start, *self._weights, *self._at_end))
        known = sum(took.get(name, 0.0) for name in names)
        if known <= 0.0 or any(name not in seconds for name in self._at_start):
            return
        self._expected, self._begun = known, self._clock()
        in_passes = set(self._weights)  # what comes in both is counted there
        self._at_start = {n: 0.0 if n in in_passes else took.get(n, 0.0) / self.passes for n in self._at_start}
        self._weights = {name: took.get(name, 0.0) / self.passes for name in self._weights}
        self._at_end = {name: took.get(name, 0.0) for name in self._at_end}

    def report(self, stage: str, fraction: float) -> bool:
        """Note that ``fraction`` (0 to 1) of ``stage`` is done; True where the stage is a new one."""
        new = stage != self._stage
        self._enter(stage)
        if self._begun is None and any(stage in weights for weights in (self._weights, self._at_end, self._at_start)):
            self._begun = self._clock()
        self._is_starting &= self._is_of_start(stage)
        whole, first = sum(self._weights.values()), self._first
        at_start = {name: weight * self.passes for name, weight in self._at_start.items()}
        for weights, start in (
            (at_start, 0.0), (self._weights, first + self._pass * whole), (self._at_end, first + self.passes * whole),
        ):  # fmt: skip
            if stage in weights:
                names = list(weights)
                before = start + sum(weights[name] for name in names[: names.index(stage)])
                self._raise_to(before + weights[stage] * min(max(fraction, 0.0), 1.0))
                if self._is_starting:
                    break
        return new

    def _is_of_start(self, stage: str) -> bool:
        """Whether a stage comes before all passes: one that comes in both does until a later one of the start has come."""
        names = list(self._at_start)
        if stage not in names:
            return stage not in self._weights
        place = names.index(stage)
        is_again = stage in self._weights and place < self._reached
        self._reached = max(self._reached, place)
        return not is_again

    def pass_done(self) -> None:
        """One pass of the model is through, its points are delivered."""
        self._pass += 1
        self._raise_to(self._first + self._pass * sum(self._weights.values()))

    def finish(self) -> dict[str, float]:
        """Seconds by stage, "total" among them."""
        self._enter("")
        return {**{k: round(v, 3) for k, v in self.seconds.items()}, "total": round(self._elapsed(), 3)}

    @property
    def remaining(self) -> float | None:
        """Seconds left at the pace of the stages so far; None while it is too early to say.

        Where it is known how long such runs take, that counts at first, and the pace of this one more and more.
        """
        (fraction, since), now = self._last, self._clock()
        if self._expected and self._begun is not None:
            trust = TRUST * self._expected
            pace = (max(0.0, since - self._begun) + trust) / (fraction * self._expected + trust)
            return max(0.0, pace * (1.0 - fraction) * self._expected - (now - max(since, self._begun)))
        if self._begun is None or now - self._begun < MIN_ELAPSED or fraction < MIN_FRACTION:
            return None
        return max(0.0, (since - self._begun) * (1.0 - fraction) / fraction - (now - since))

    @property
    def _first(self) -> float:
        """Parts that come before all passes."""
        return self.passes * sum(self._at_start.values())

    def _elapsed(self) -> float:
        return self._clock() - self._started

    def _enter(self, stage: str) -> None:
        now = self._clock()
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now

    def _raise_to(self, done: float) -> None:
        """``done``: in the parts in which the stages are weighed."""
        whole = self._first + self.passes * sum(self._weights.values()) + sum(self._at_end.values())
        fraction = min(done / whole, 1.0)
        self._last = fraction, self._clock()
        self.fraction = max(self.fraction, fraction)
