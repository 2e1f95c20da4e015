"""How a worker's process ends, and what is said of it. Standard library only."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

from ...files.windows import NO_WINDOW, how_it_ended
from .private_folder import PrivateFolder

QUIT_PATIENCE = 1.0  # seconds between closing the worker's stdin and killing it
CLOSING_PATIENCE = 0.5  # seconds; a child of the worker's child may hold the pipe for as long as it likes
LOG_LINES = 12  # of the log, quoted when the worker dies
NEXT = "The scene is untouched; the next run starts a new worker"


def end(process: subprocess.Popen[bytes], folder: PrivateFolder, outbox: queue.SimpleQueue[bytes | None]) -> None:
    """End a worker: its end-of-file, which None in the outbox is, then force; reap it, and leave no file."""
    outbox.put(None)
    try:
        process.wait(QUIT_PATIENCE)
    except subprocess.TimeoutExpired:
        kill(process)
        process.wait()
    until = time.monotonic() + CLOSING_PATIENCE
    while process.stdout is not None and not process.stdout.closed and time.monotonic() < until:
        time.sleep(0.005)  # the reader's thread closes it at its end-of-file
    folder.close()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and its children, stopped ones too."""
    if sys.platform == "win32":
        command = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False, **NO_WINDOW)
    elif process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself in this very moment
            os.killpg(process.pid, signal.SIGKILL)


def obituary(code: int, log: Path) -> str:
    """The sentence on a worker that ended by itself with that exit code."""
    killed = hasattr(signal, "SIGKILL") and code == -signal.SIGKILL
    reason = how_it_ended(code) + (". The system kills so when memory runs out" if killed else "")
    last = last_lines(log).splitlines()
    said = f" (its last words: {last[-1][:200]})" if last and code >= 0 else ""
    return f"The worker process {reason}{said}. {NEXT}"


def last_lines(log: Path) -> str:
    """The end of its log."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""  # the folder is gone, and the log with it
    return "\n".join(lines[-LOG_LINES:])
