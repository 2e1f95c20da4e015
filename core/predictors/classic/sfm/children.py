"""Starts the child processes of structure from motion, passes on their progress, and kills them when asked to stop."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ....errors import DA3Error
from ....files.patience import Patience
from ....files.silence import PATIENCE
from ....files.windows import NO_WINDOW, how_it_ended
from ....monitor import Monitor

POLL_SECONDS = 0.05


def run(script: str, folder: Path, result: str, log: str, monitor: Monitor, told: Callable[[float], None]) -> None:
    """A child, watched until it ends; killed when anything here is raised.

    Parameters
    ----------
    script : a file of ``processes``
    folder : its only argument, which is also where it works
    result, log : files that it leaves there
    told : hears the fraction of its work that is done

    Raises
    ------
    Cancelled
    DA3Error
        It ended without a result, or was silent for too long.
    """
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "processes" / script), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **NO_WINDOW,
    )  # fmt: skip
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    patience, next_look = Patience(PATIENCE, alone=True), 0.0
    assert process.stdout is not None and process.stdin is not None
    reader = threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        while process.poll() is None:
            with contextlib.suppress(queue.Empty):
                while True:
                    told(float(json.loads(lines.get_nowait())["fraction"]))
                    patience.silence.heard()
            monitor.check()
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + patience.interval
                if what := patience.ended(process.pid, "cameras"):
                    raise DA3Error(f"Structure from motion {what} in its stage 'cameras' and was ended: run again")
            time.sleep(POLL_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdin.close()
        reader.join()
        process.stdout.close()
    if process.returncode != 0 or not (folder / result).exists():
        raise DA3Error(_how_it_ended(process.returncode, folder / log))


def _pass_on(stream: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    for line in stream:
        lines.put(line)


def _how_it_ended(code: int, log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
    return f"Structure from motion {how_it_ended(code)}{f' ({lines[0].strip()})' if lines else ''}; " + (
        "the machine may be out of memory: use fewer or smaller images" if code == -9 else "see the worker's log"
    )
