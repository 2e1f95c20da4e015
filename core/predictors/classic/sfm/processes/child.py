"""What the child processes of structure from motion have in common. Imported by them as a file beside theirs."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path


def own_stdout(log: Path) -> Callable[[float], None]:
    """Keep the real standard output for reports, one line of JSON each, and send what libraries print to ``log``."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(sink, 1)
    os.dup2(sink, 2)

    said, writing = [0.0], threading.Lock()

    def report(fraction: float) -> None:
        with writing:
            said[0] = min(1.0, fraction)
            channel.write(json.dumps({"fraction": said[0]}) + "\n")
            channel.flush()

    def repeat() -> None:
        """What was said last, once a second: whoever hears it knows that this process has not been stopped."""
        while True:
            time.sleep(1.0)
            report(said[0])

    threading.Thread(target=repeat, daemon=True).start()
    return report


def listen() -> None:
    """End with the parent: when standard input ends, it is gone. The folder goes with the worker's private one."""
    threading.Thread(target=die_with_parent, daemon=True).start()


def die_with_parent() -> None:
    """Wait for the end of standard input, then end this process."""
    while os.read(0, 1024):
        continue
    os._exit(3)
