"""Which frames go into which pass of the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ..errors import OutOfMemory
from ..settings import BatchMode, Settings

GUESS = 10  # images per pass, before memory is looked at
FEWEST = 3  # frames of a last pass, where the others can spare them: known cameras and reference views need three


class Planner:
    """Hands out the passes one by one, and plans the rest anew when one does not fit into memory.

    ``automatic`` is one pass if all frames fit into it, else passes as ``last_frame_overlap`` makes them. ``skip_frames`` and ``ignore_batch_size`` are one pass; when that does not fit, its frames are shared out to smaller
    passes as ``first_last_overlap`` does it, so that every frame chosen still gets into the scene.

    Parameters
    ----------
    indices : the frames there are, in order
    batch_size : frames per pass; where two passes must share a frame, 2 is the least
    """

    def __init__(self, indices: Sequence[int], settings: Settings, batch_size: int):
        frames = list(indices)
        mode = settings.batch_mode
        if mode is BatchMode.IGNORE_BATCH_SIZE:
            batch_size = len(frames)
        elif mode is BatchMode.SKIP_FRAMES and len(frames) > batch_size:
            frames = [frames[i] for i in np.linspace(0, len(frames) - 1, batch_size).round().astype(int)]
        self._shared_most = {BatchMode.NO_OVERLAP: 0, BatchMode.LAST_FRAME_OVERLAP: 1, BatchMode.AUTOMATIC: 1}.get(
            mode, 2
        )
        self.batch_size = max(batch_size, self._smallest)
        self._shared: list[int] = []  # frames that the next pass has in common with the one before
        self._new = frames  # frames that no pass had yet
        self._before: tuple[list[int], list[int]] | None = None  # both, before the pass handed out last
        self._handed_out = 0
        self._reserved: list[list[int]] = []  # passes to come that stay as they are, for somebody computes them already

    def next(self) -> list[int] | None:
        """The next pass's frames, those it shares with the pass before in front; None at the end."""
        made = self.peek()
        if made is not None:
            self._before = self._shared, self._new
            self._shared, self._new = self._after(made, self._shared, self._new)
            self._handed_out += 1
            self._reserved = self._reserved[1:]
        return made

    def peek(self) -> list[int] | None:
        """What ``next`` will give."""
        return self._reserved[0] if self._reserved else self._pass(self._shared, self._new)

    def coming(self, count: int) -> list[list[int]]:
        """So many of what ``next`` will give, as planned now; fewer at the end."""
        shared, new = self._shared, self._new
        found: list[list[int]] = []
        while len(found) < count:
            fixed = self._reserved[len(found)] if len(found) < len(self._reserved) else None
            made = fixed or self._pass(shared, new)
            if made is None:
                break
            found.append(made)
            shared, new = self._after(made, shared, new)
        return found

    def reserve(self, most: int) -> list[int] | None:
        """Fix one pass more beyond what ``next`` gave, of ``most`` frames at most; ``halve`` and ``drop`` undo it.

        Returns
        -------
        its frames; None at the end
        """
        shared, new = self._shared, self._new
        for before in self._reserved:
            shared, new = self._after(before, shared, new)
        size, self.batch_size = self.batch_size, max(min(self.batch_size, most), self._smallest)
        made = self._pass(shared, new)
        self.batch_size = size
        if made is not None:
            self._reserved = [*self._reserved, made]
        return made

    def halve(self) -> int:
        """The pass handed out last did not fit: it is taken back, and the plan from there on is made with half the size.

        Returns
        -------
        the new batch size

        Raises
        ------
        OutOfMemory
            A pass cannot get smaller.
        """
        self._take_back()
        size = min(self.batch_size, len(self.peek() or ()))
        smaller = max((size + 1) // 2, self._smallest)
        if smaller >= size:
            raise OutOfMemory(
                f"Out of memory with {size} {'image' if size == 1 else 'images'} per pass, and a pass cannot get smaller:"
                " lower Process Resolution, switch FP16 Weights on, or choose a smaller model"
            )
        self.batch_size = smaller
        return smaller

    def drop(self, lost: Collection[int]) -> None:
        """Frames that cannot be read: the pass handed out last is taken back, and the plan is made without them."""
        self._take_back()
        self._shared = [i for i in self._shared if i not in lost]
        self._new = [i for i in self._new if i not in lost]

    @property
    def total(self) -> int:
        """Passes in all, as planned now."""
        shared, new, count = self._shared, self._new, self._handed_out
        while (made := self._pass(shared, new)) is not None:
            shared, new = self._after(made, shared, new)
            count += 1
        return count

    @property
    def _smallest(self) -> int:
        """Least frames of a pass: one new, and one in common where passes overlap."""
        return 2 if self._shared_most else 1

    def _pass(self, shared: list[int], new: list[int]) -> list[int] | None:
        if not new:
            return None
        shared = shared[-(self.batch_size - 1) :] if self.batch_size > 1 else []
        count = min(self.batch_size - len(shared), len(new))
        missing = FEWEST - min(self._shared_most, self.batch_size - 1) - (len(new) - count)  # to the pass after this
        if 0 < missing < FEWEST and len(new) > count and len(shared) + count - missing >= FEWEST:
            count -= missing
        return shared + new[:count]

    def _after(self, made: list[int], shared: list[int], new: list[int]) -> tuple[list[int], list[int]]:
        """What is shared and new after a pass."""
        fresh = [i for i in made if i not in shared]
        ends = [] if self._shared_most == 0 else fresh[-1:] if self._shared_most == 1 else [fresh[0], fresh[-1]]
        return list(dict.fromkeys(ends)), new[len(fresh) :]

    def _take_back(self) -> None:
        if self._before is None:
            raise ValueError("no pass to take back")
        (self._shared, self._new), self._before = self._before, None
        self._reserved = []
        self._handed_out -= 1


def plan(indices: Sequence[int], settings: Settings, batch_size: int | None = None) -> list[list[int]]:
    """All passes, each a list of frame indices; ``batch_size``: the settings' by default, a guess where that is auto."""
    planner = Planner(indices, settings, batch_size or settings.batch_size or GUESS)
    passes = []
    while (made := planner.next()) is not None:
        passes.append(made)
    return passes
