"""The worker tells that it lives, and ends when its Blender does."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable

INTERVAL = 1.0  # seconds between two heartbeats
REMOVAL = 5  # seconds for removing the private folder; the next Blender removes what is left of it then

_PR_SET_PDEATHSIG = 1  # Linux, prctl(2): the signal that this process gets when the thread that started it ends
_IGNORE = 1  # SIG_IGN


def start(beat: Callable[[], None]) -> None:
    """Call ``beat`` once a second on a thread of its own, whatever the main thread computes."""

    def run() -> None:
        _ask_for(signal.SIGCONT if sys.platform == "linux" else 0)
        while True:
            beat()
            time.sleep(INTERVAL)

    threading.Thread(target=run, name="pulse", daemon=True).start()


def die_with_parent() -> None:
    """End a second after Blender's main thread, even if a C call keeps the interpreter's lock; call it on the main thread.

    The reader, who sees the end of Blender too, has that second to remove the private folder. Linux only: SIGHUP calls
    C's ``alarm`` with its own number, 1; SIGALRM then ends the process. Each thread may ask for a signal: the pulse's
    SIGCONT wakes a process that somebody has stopped, so that it can end.
    """
    if sys.platform == "linux":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        libc = ctypes.CDLL(None)
        _handle(signal.SIGHUP, ctypes.cast(libc.alarm, ctypes.c_void_p))
        _ask_for(signal.SIGHUP)


def take_time() -> None:
    """End in ``REMOVAL`` seconds at the latest: the end has begun, but a C call may take the interpreter's lock from it."""
    if sys.platform == "linux":
        _handle(signal.SIGHUP, ctypes.c_void_p(_IGNORE))
        signal.alarm(REMOVAL)


def _handle(number: int, handler: ctypes.c_void_p) -> None:
    """C's own ``signal``: Python's handlers run on the main thread alone, between two of its instructions."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    libc.signal(number, handler)


def _ask_for(number: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
