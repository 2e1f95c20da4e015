"""Runs the programs that install: their output goes to a log and to the person, and they can be stopped at any time.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ..errors import Cancelled, MissingEnvironment
from ..files.windows import NO_WINDOW
from .download_bytes import Download
from .signs_of_life import SignsOfLife

# Stands between this process and the installer's: when this one is killed, its end of the pipe closes and the program
# ends too, instead of writing on into a folder that the next installation removes. It goes behind Blender where both want
# a core, for the reason that core/worker/server/start.py gives.
TETHER = """
import contextlib, os, subprocess, sys, threading
if hasattr(os, "nice"):
    os.nice(5)
with contextlib.suppress(OSError):
    with open("/proc/self/autogroup", "w") as group:
        group.write("5")
hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, creationflags=hidden)
def watch():
    sys.stdin.buffer.read()
    process.kill()
threading.Thread(target=watch, daemon=True).start()
code = process.wait()
sys.stdout.flush()
os._exit(code & 0xFF or code != 0)  # without waiting for the thread, which reads on; Windows' codes have 32 bits
"""

LOG_HEAD = "# DA3 for Blender: the last installation"
ERRORS = ("error", "cause", "×", "modulenotfounderror", "importerror", "filenotfounderror")
#: A program and its arguments.
Command = list[str | Path]
#: Called with a stage, the fraction of the whole that is done (0 to 1) and the newest line of output.
Progress = Callable[[str, float, str], None]


def is_own_log(log: Path) -> bool:
    """Whether a file begins as our logs do."""
    try:
        with log.open("rb") as file:
            return not log.is_symlink() and file.read(len(LOG_HEAD)) == LOG_HEAD.encode()
    except OSError:
        return False


class Run:
    """Runs programs one after another, into one log.

    Parameters
    ----------
    log : emptied first, where it is a log of ours; to another file it is added
    on_progress, cancelled : as in ``Environment.install``
    environ : variables that every program gets besides this process's own
    """

    def __init__(
        self,
        log: Path,
        on_progress: Progress,
        cancelled: Callable[[], bool],
        environ: Mapping[str, str] = MappingProxyType({}),
    ):
        self._on_progress = on_progress
        self._cancelled = cancelled
        self._log = log
        self._variables = environ
        self._fraction = 0.0
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w" if is_own_log(log) else "a", encoding="utf-8") as file:
            file.write(LOG_HEAD + "\n")

    def tell(self, stage: str, fraction: float, line: str = "") -> None:
        """Report; the fraction never falls, even where a stage is done a second time."""
        self._fraction = max(self._fraction, fraction)
        self._on_progress(stage, self._fraction, line)

    def check(self) -> None:
        """Raise ``Cancelled`` if the person asked to stop."""
        if self._cancelled():
            raise Cancelled

    def note(self, line: str) -> None:
        """Write a line of one's own to the log."""
        with self._log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def __call__(
        self,
        stage: str,
        fraction: float,
        command: Command,
        *,
        until: float | None = None,
        linked: Callable[[], float] = lambda: 0.0,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> list[str]:
        """Run to the end.

        Parameters
        ----------
        stage, fraction : what is reported
        command : a program and its arguments
        until : the fraction grows to this with what uv says it downloads, and with ``linked``
        linked : the part of the packages that is in place, 0 to 1; asked twice a second
        environ : more variables, for this program only

        Returns
        -------
        The lines of its output.

        Raises
        ------
        Cancelled
        MissingEnvironment
            It failed; the sentence carries its own last words and names the log.
        """
        self.check()
        words = list(map(str, command))
        download = Download(self._log.parent)
        alive = SignsOfLife(self._log.parent)
        lines: list[str] = []
        variables = {**_environ(os.environ), **self._variables, **environ}
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(words)}\n")
            log.flush()
            with _started(words, self._log.parent, variables) as (process, output):
                self.tell(stage, fraction)
                while (line := self._next(output)) is not None:
                    if line:
                        log.write(line + "\n")
                        log.flush()
                        lines.append(line)
                        download.read(line)
                    alive.look(process.pid, stage, heard=bool(line))
                    now = fraction if until is None else fraction + (until - fraction) * download.fraction(linked())
                    self.tell(stage, now, download.text())
                code = process.wait()
        if code != 0:
            raise MissingEnvironment(
                f"Installing the dependencies failed while {stage}: {_last_words(lines, code)}. The log is {self._log}"
            )
        return lines

    def _next(self, output: queue.Queue[str | None]) -> str | None:
        """The next line, None at the end, and "" after half a second of silence."""
        for _ in range(10):
            self.check()
            with contextlib.suppress(queue.Empty):
                return output.get(timeout=0.05)
        return ""


@contextlib.contextmanager
def _started(
    command: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """A program in a process group of its own, which is gone when the block is left by an exception; and its output."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", TETHER, *command],
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        **NO_WINDOW,
    )
    output, ended = _lines_of(process)
    try:
        yield process, output
    except BaseException:
        if sys.platform == "win32":
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, **NO_WINDOW)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        ended.wait(0.05)  # the output ends when the last process of the group has: then none of them writes any more
        raise
    finally:
        assert process.stdin is not None
        process.stdin.close()


def _lines_of(process: subprocess.Popen[str]) -> tuple[queue.Queue[str | None], threading.Event]:
    """The process's output as it comes, then None, and what is set then.

    Read on a thread: a read cannot be cancelled, waiting for a queue can.
    """
    lines: queue.Queue[str | None] = queue.Queue()
    ended = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.strip():
                    lines.put(line.rstrip())
        ended.set()
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines, ended


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What the person has set, without what would lead packages elsewhere; pip and uv share the index that is set.

    The first are those that lead the new environment's Python back into Blender's or another's packages.
    """
    leading = {"PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX"}
    leading |= {
        "UV_TORCH_BACKEND",
        "UV_SYSTEM_PYTHON",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_REQUIRE_VIRTUALENV",
    }
    kept = {name: value for name, value in environ.items() if name not in leading}
    for name, other in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("UV_DEFAULT_INDEX", "PIP_INDEX_URL")):
        if other in environ and not kept.get(name):
            kept[name] = environ[other]
    return {**kept, "PYTHONNOUSERSITE": "1"}


def _last_words(lines: Sequence[str], code: int) -> str:
    said = [line.strip() for line in lines if line.strip()]
    for starts in (("could not fetch url",), ERRORS):  # pip's last line only says that it then found nothing
        errors = [line for line in said if line.lower().startswith(starts)]
        if errors:
            return errors[-1].rstrip(".")
    return (said or [f"exit code {code}"])[-1].rstrip(".")
