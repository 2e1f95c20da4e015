"""Runs the programs that install: their output goes to a log and to the person, and they can be stopped at any time.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .errors import Cancelled, MissingEnvironment

# Stands between this process and the installer's: when this one is killed, its end of the pipe closes and the program
# ends too, instead of writing on into a folder that the next installation removes.
TETHER = """
import os, subprocess, sys, threading
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def watch():
    sys.stdin.buffer.read()
    process.kill()
threading.Thread(target=watch, daemon=True).start()
code = process.wait()
sys.stdout.flush()
os._exit(code & 0xFF)  # without waiting for the thread, which reads on
"""

#: Called with a stage, the fraction of the whole that is done (0 to 1) and the newest line of output.
Progress = Callable[[str, float, str], None]


class Run:
    """Runs programs one after another, into one log.

    Parameters
    ----------
    log : emptied first
    on_progress, cancelled : as in ``Environment.install``
    """

    def __init__(self, log: Path, on_progress: Progress, cancelled: Callable[[], bool]):
        self.on_progress = on_progress
        self._cancelled = cancelled
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("", "utf-8")

    def __call__(self, stage: str, fraction: float, command: list[str], *, until: float | None = None) -> None:
        """Run to the end; with ``until`` the fraction grows from the sizes that uv says it downloads."""
        sizes: dict[str, float] = {}
        done: set[str] = set()
        lines: list[str] = []
        with self._log.open("a", encoding="utf-8") as log, _started(command, self._log.parent) as process:
            log.write(f"$ {' '.join(command)}\n")
            output = _lines_of(process)
            self.on_progress(stage, fraction, "")
            while (line := self._next(output)) is not None:
                log.write(line + "\n")
                log.flush()
                lines.append(line)
                if match := re.match(r"\s*Downloading (\S+) \(([\d.]+)([KMG]?)i?B\)", line):
                    sizes[match[1]] = float(match[2]) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[match[3]]
                elif match := re.match(r"\s*Downloaded (\S+)", line):
                    done.add(match[1])
                now = fraction
                if until is not None and sizes:
                    now += (until - fraction) * sum(sizes[name] for name in done if name in sizes) / sum(sizes.values())
                self.on_progress(stage, now, line.strip())
            code = process.wait()
        if code != 0:
            raise MissingEnvironment(
                f"Installing the dependencies failed while {stage}: {_last_words(lines, code)}. The log is {self._log}"
            )

    def _next(self, output: queue.Queue[str | None]) -> str | None:
        while True:
            if self._cancelled():
                raise Cancelled
            with contextlib.suppress(queue.Empty):
                return output.get(timeout=0.1)


@contextlib.contextmanager
def _started(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A program in a process group of its own, which is gone when the block is left by an exception."""
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", TETHER, *command],
        cwd=folder,
        env=_environ(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        creationflags=flags,
    )
    try:
        yield process
    except BaseException:
        if sys.platform == "win32":
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, creationflags=flags)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        assert process.stdin is not None
        process.stdin.close()


def _lines_of(process: subprocess.Popen[str]) -> queue.Queue[str | None]:
    """The process's output as it comes, then None. Read on a thread: a read cannot be cancelled, waiting for a queue can."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what would lead the new environment's Python back into Blender's or another's packages."""
    leading = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX")
    return {name: value for name, value in environ.items() if name not in leading} | {"PYTHONNOUSERSITE": "1"}


def _last_words(lines: Sequence[str], code: int) -> str:
    said = [line.strip() for line in lines if line.strip()]
    errors = [
        line
        for line in said
        if line.lower().startswith(("error", "cause", "×", "modulenotfounderror", "importerror", "filenotfounderror"))
    ]
    return (errors or said or [f"exit code {code}"])[-1].rstrip(".")
