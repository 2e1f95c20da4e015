"""The worker's process as Blender sees it: pipes, private folder, life and death. Standard library only."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DA3Error, MissingEnvironment
from . import protocol

CANCEL_PATIENCE = 2.0  # seconds a cancelled job may take to stop before its worker is killed
QUIT_PATIENCE = 1.0  # seconds between closing the worker's stdin and killing it
LOG_LINES = 12  # of the log, quoted when the worker dies


class Process:
    """One worker process: its pipes, its private folder, the job it has."""

    def __init__(
        self,
        python: Path,
        predictor: str,
        environment: Mapping[str, str],
        events: queue.SimpleQueue[tuple[Process, protocol.Message]],
    ):
        remove_abandoned_folders()
        self.folder = _private_folder()
        self.job: int | None = None
        self.died_idle = False  # while it had nothing to do, though a job may have been sent before anybody noticed
        self._idle_before = self._heard = False  # whether it has ended a job before this one; has spoken of this one
        self.stopping = False
        self.model: str | None = None  # in its memory
        self._events = events
        self._job_ended = threading.Event()
        self._lock = threading.Lock()  # of ``job`` and ``stopping``, which both threads change
        self._process = self._start(python, predictor, environment)
        assert self._process.stdout
        self.pid = self._process.pid
        # Runs at exit and when nobody holds this object any more; the reader thread must not hold it either.
        self.end = weakref.finalize(self, _end, self._process, self.folder)
        reader = threading.Thread(
            target=_read, args=(weakref.ref(self), self._process.stdout), name="worker events", daemon=True
        )
        reader.start()
        self.send(protocol.Hello(protocol.VERSION))

    def _start(self, python: Path, predictor: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        command = [str(python), "-I", "-X", "utf8", str(Path(__file__).parent / "server" / "start.py")]
        command += ["--folder", str(self.folder)]
        command += ["--predictor", predictor] if predictor else []
        options: dict[str, Any] = {"start_new_session": True}  # a group of its own: killed whole, and no Ctrl-C
        if sys.platform == "win32":
            flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
            options = {"creationflags": flags | subprocess.BELOW_NORMAL_PRIORITY_CLASS}  # see start.py's give_way
        try:
            with self.log.open("ab") as log:
                return subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=self.folder,
                    env={**clean_environment(), **environment}, **options,
                )  # fmt: skip
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise MissingEnvironment(
                f"The worker's Python '{python}' does not start ({error.strerror}): install the dependencies"
            ) from None

    @property
    def log(self) -> Path:
        """What the worker prints."""
        return self.folder / "worker.log"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def job_folder(self, job: int) -> Path:
        folder = self.folder / f"job{job}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def send(self, request: protocol.Message) -> bool:
        """Whether there was somebody to read it; the reader tells how the worker died."""
        assert self._process.stdin
        try:
            self._process.stdin.write(protocol.encode(request))
            self._process.stdin.flush()
        except OSError:
            return False
        return True

    def begin(self, request: protocol.Job) -> bool:
        """Give it a job; False where it has died before, which ``alive`` may say a moment too late."""
        with self._lock:  # held while sending: the reader must not bury a job that was never begun
            if not self.send(request):
                return False
            self.job = request.job
            self._heard = False
            self._job_ended.clear()
        return True

    def stop(self) -> None:
        with self._lock:
            if self.stopping or self.job is None:  # it is being stopped, or has just ended
                return
            self.stopping = True
            self.send(protocol.Cancel(self.job))
        threading.Thread(target=self._kill_unless_stopped, daemon=True).start()

    def kill(self) -> None:
        kill(self._process)

    def _kill_unless_stopped(self) -> None:
        if not self._job_ended.wait(CANCEL_PATIENCE):
            kill(self._process)

    def received(self, event: protocol.Message) -> None:
        """On the reader's thread: pass an event on; an ended job makes room for the next."""
        self._heard = self._heard or getattr(event, "job", None) == self.job is not None
        if isinstance(event, protocol.Done | protocol.Failed | protocol.Stopped) and event.job is not None:
            with self._lock:
                if event.job == self.job:
                    if self.stopping:  # asked for, even where the job was done a moment before
                        shutil.rmtree(self.folder / f"job{event.job}", ignore_errors=True)
                        event = protocol.Stopped(event.job)
                    self.job, self.stopping = None, False
                    self._idle_before = True
                    self._job_ended.set()
        elif isinstance(event, protocol.Loaded):
            self.model = event.model
        elif isinstance(event, protocol.Unloaded):
            self.model = None
        self._events.put((self, event))

    def died(self) -> None:
        """On the reader's thread: the worker is gone; without being asked to, that is news."""
        code = self._process.wait()
        with self._lock:
            job = self.job
            self.died_idle = job is None or (self._idle_before and not self._heard)
        if job is not None and self.stopping:
            self.received(protocol.Stopped(job))
        else:
            self.received(protocol.Failed(job, "WorkerDied", self._obituary(code), self._last_lines()))

    def _obituary(self, code: int) -> str:
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            hint = ". The system kills so when memory runs out" if name == "SIGKILL" else ""
            reason = f"was killed by {name}{hint}"
        else:
            reason = f"ended with exit code {code}"
        last = self._last_lines().splitlines()
        said = f" (its last words: {last[-1][:200]})" if last and code >= 0 else ""
        return f"The worker process {reason}{said}. The scene is untouched; the next run starts a new worker"

    def _last_lines(self) -> str:
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()
        except OSError:
            return ""  # the folder is gone, and the log with it
        return "\n".join(lines[-LOG_LINES:])


def _read(owner: weakref.ref[Process], stream: BinaryIO) -> None:
    """The reader's thread: whole lines from the worker until it is gone or nobody is interested."""
    for line in stream:
        worker = owner()
        if worker is None:
            return
        try:
            event = protocol.decode(line, protocol.EVENTS)
        except protocol.ProtocolError as error:
            event = protocol.Failed(worker.job, "DA3Error", str(error), "")
        worker.received(event)
        del worker
    worker = owner()
    if worker is not None and worker.end.alive:
        worker.died()


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End a worker: its end-of-file, then force; reap it, and leave no file."""
    assert process.stdin
    with contextlib.suppress(OSError):  # what cannot be flushed into a dead worker's pipe is of no use
        process.stdin.close()
    try:
        process.wait(QUIT_PATIENCE)
    except subprocess.TimeoutExpired:
        kill(process)
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and its children."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    elif process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself in this very moment
            os.killpg(process.pid, signal.SIGKILL)


def clean_environment() -> dict[str, str]:
    """This process's variables without those that would lead the worker's Python into Blender's packages."""
    env = {
        k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k not in ("VIRTUAL_ENV", "CONDA_PREFIX")
    }
    env["PYTHONNOUSERSITE"] = "1"
    # Threads that wait for work by spinning make every call many times slower beside a busy Blender; a passive wait costs
    # at most a third on an idle machine. Somebody who has set it knows better.
    env.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    env.setdefault("DA3_LOG_LEVEL", "ERROR")
    return env


def _private_folder() -> Path:
    """A new one in the temporary folder, mode 0700."""
    try:
        return Path(tempfile.mkdtemp(prefix=f"{protocol.SESSION_PREFIX}{os.getpid()}-"))
    except OSError as error:
        where = os.environ.get("TMPDIR") or os.environ.get("TEMP") or tempfile.tempdir or "the temporary folder"
        raise DA3Error(
            f"Nothing can be written to {where} ({error.strerror or error}): make room there, or set TMPDIR to another folder"
        ) from error


def remove_abandoned_folders() -> None:
    """Remove the private folders of Blenders that were killed before they could."""
    if sys.platform == "win32":
        return  # there a worker outlives its Blender long enough to do it itself
    for folder in Path(tempfile.gettempdir()).glob(f"{protocol.SESSION_PREFIX}*-*"):
        owner = folder.name.removeprefix(protocol.SESSION_PREFIX).partition("-")[0]
        with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
            if owner.isdecimal() and not _exists(int(owner)) and folder.stat().st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
