"""Answers from the disk for drawing, which may not wait for one: a network drive takes seconds. Looked up on a thread, and kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import bpy

Key = TypeVar("Key")
Answer = TypeVar("Answer")

FRESH = 1.0  # seconds for which an answer is taken as it is
POLL = 0.05  # seconds between two looks at whether the thread has its answer


class Looked(Generic[Key, Answer]):
    """What a function that reads the disk says, asked from drawing code.

    Parameters
    ----------
    look : may take long, touches nothing of Blender's
    waits_first : whether the first answer for a key is waited for; else it is None until there is one
    """

    def __init__(self, look: Callable[[Key], Answer], *, waits_first: bool = True):
        self._look, self._waits_first = look, waits_first
        self._answers: dict[Key, tuple[float, Answer]] = {}
        self._thread: threading.Thread | None = None
        self._changed = False

    def get(self, key: Key) -> Answer | None:
        """The answer, at most about ``FRESH`` old when somebody keeps drawing; without a window it is looked up now."""
        if bpy.app.background:
            return self._look(key)
        known = self._answers.get(key)
        if known is None and self._waits_first:
            known = self._answers[key] = (time.monotonic(), self._look(key))
        if (known is None or time.monotonic() - known[0] > FRESH) and self._thread is None:
            self._thread = threading.Thread(target=self._renew, args=(key,), daemon=True)
            self._thread.start()
            bpy.app.timers.register(self._hear, first_interval=POLL)
        return known[1] if known else None

    def forget(self) -> None:
        """Look anew the next time."""
        self._answers.clear()

    def _renew(self, key: Key) -> None:
        answer = self._look(key)
        known = self._answers.get(key)
        self._changed = known is None or known[1] != answer
        self._answers[key] = (time.monotonic(), answer)

    def _hear(self) -> float | None:
        """On the main thread: redraw once the answer is there and is another."""
        if self._thread is not None and self._thread.is_alive():
            return POLL
        self._thread = None
        if self._changed:
            redraw()
        return None


def redraw() -> None:
    """Draw all sidebars and preferences again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("VIEW_3D", "PREFERENCES"):
                area.tag_redraw()
