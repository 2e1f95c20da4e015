"""What the child processes of structure from motion have in common. Imported by them as a file beside theirs."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path


def own_stdout(log: Path) -> Callable[[float], None]:
    """Keep the real standard output for reports, one line of JSON each, and send what libraries print to ``log``."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(sink, 1)
    os.dup2(sink, 2)

    def report(fraction: float) -> None:
        channel.write(json.dumps({"fraction": min(1.0, fraction)}) + "\n")
        channel.flush()

    return report


def listen(folder: Path) -> None:
    """End with the parent: when standard input ends, it is gone."""
    threading.Thread(target=die_with_parent, args=(folder,), daemon=True).start()


def die_with_parent(folder: Path) -> None:
    """Wait for the end of standard input, then remove the folder and end this process."""
    while os.read(0, 1024):
        continue
    shutil.rmtree(folder, ignore_errors=True)  # the parent, who would do it, is dead
    os._exit(3)
