"""Which frame of the timeline shows which frame of the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.files.names import sequence_numbers

if TYPE_CHECKING:
    from ..core.output.payload import CameraRecord

LAST = 1_048_574  # of Blender's timeline


class Timeline:
    """Files with numbers keep them (``plate_1001``, ``plate_1002``), all else begins at the scene's first frame.

    Parameters
    ----------
    start : frame of the timeline at which an input without numbers begins; None: frame k of the input is its frame k
    is_video : a video's frames have no numbers of their own
    """

    def __init__(self, start: int | None = None, *, is_video: bool = False):
        self._start = start
        self._first = 0  # of the input's frames
        self._has_numbers: bool | None = False if is_video else None  # not known before the first batch
        self._known: dict[int, int] = {}

    def learn(self, records: Sequence[CameraRecord]) -> None:
        """Look at a batch's frames; what was known before stays as it was."""
        if not records:
            return
        numbers = _numbers(records)
        if self._has_numbers is None:
            self._has_numbers = numbers is not None
        if not self._known:
            self._first = min(record.frame for record in records)
        new = [record.frame for record in records if record.frame not in self._known]
        if self._has_numbers:
            new_numbers = {frame: (numbers or {}).get(frame, self.of(frame)) for frame in new}
        else:
            new_numbers = {frame: self._plain(frame) for frame in new}
        self._known |= new_numbers

    def of(self, frame: int) -> int:
        """The timeline's frame for one of the input."""
        if frame in self._known or not self._known:
            return self._known.get(frame, frame)
        nearest = min(self._known, key=lambda known: abs(known - frame))
        return self._known[nearest] + frame - nearest

    @property
    def has_numbers(self) -> bool:
        """Whether the files' own numbers are the timeline's frames."""
        return bool(self._has_numbers)

    def _plain(self, frame: int) -> int:
        return frame if self._start is None else self._start + frame - self._first

    @property
    def used(self) -> list[int]:
        """The timeline's frames that show something, in order."""
        return sorted(set(self._known.values()))

    def until(self, frame: int) -> int:
        """When what is of one frame of the input gives way: at the next used frame of the timeline.

        The last one is held as long as frames usually are, for nobody knows yet whether more will come.
        """
        shown, used = self.of(frame), self.used
        following = next((number for number in used if number > shown), None)
        if following is not None:
            return following
        return shown + (max(1, round(float(np.median(np.diff(used))))) if len(used) > 1 else 1)


def _numbers(records: Sequence[CameraRecord]) -> dict[int, int] | None:
    """The number at the end of each file's name by frame, where all have one and it grows with the frame."""
    names = {record.frame: record.name for record in records}
    numbers = sequence_numbers([names[frame] for frame in sorted(names)])
    if numbers is None or max(numbers) > LAST:
        return None
    return dict(zip(sorted(names), numbers, strict=True))
