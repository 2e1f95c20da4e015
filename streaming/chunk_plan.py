"""Which frames go into which chunk: each starts with the second half of the one before."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.prediction.batching import Planner
from ..core.settings import Settings


class ChunkPlanner(Planner):
    """Hands out chunks of ``batch_size`` frames of which half overlap; plans anew when one does not fit into memory.

    Parameters
    ----------
    indices : the frames there are, in order
    """

    def __init__(self, indices: Sequence[int], settings: Settings, batch_size: int):
        super().__init__(indices, settings, max(2, batch_size))
        self._shared, self._new, self.batch_size = [], list(indices), max(2, batch_size)

    def resume(self, chunks: Sequence[Sequence[int]]) -> None:
        """Go on after these, which were handed out in a run before."""
        if chunks:
            last = list(chunks[-1])
            self._new = [i for i in self._new if i > last[-1]]
            self._shared = last[-(len(last) // 2) :]
            self._handed_out = len(chunks)

    @property
    def frames_left(self) -> int:
        """That no chunk had yet."""
        return len(self._new)

    def rest(self) -> list[list[int]]:
        """The chunks to come, as planned now."""
        shared, new, coming = self._shared, self._new, []
        while (made := self._pass(shared, new)) is not None:
            coming.append(made)
            shared, new = self._after(made, shared, new)
        return coming

    @property
    def left(self) -> tuple[int, int]:
        """Chunks to come, and frames that they will see, those seen twice counted twice; ``rest`` counted without making it."""
        new, shared = len(self._new), min(len(self._shared), self.batch_size // 2)
        if not new:
            return 0, 0
        first = min(self.batch_size, shared + new)
        new -= first - shared
        again = self.batch_size // 2
        more = -(-new // (self.batch_size - again))
        return 1 + more, first + new + more * again

    @property
    def _smallest(self) -> int:
        return 2

    def _pass(self, shared: list[int], new: list[int]) -> list[int] | None:
        if not new:
            return None
        shared = shared[-(self.batch_size // 2) :]
        return shared + new[: self.batch_size - len(shared)]

    def _after(self, made: list[int], shared: list[int], new: list[int]) -> tuple[list[int], list[int]]:
        known = set(shared)
        fresh = sum(i not in known for i in made)
        return made[-(len(made) // 2) :] if len(made) > 1 else list(made), new[fresh:]
