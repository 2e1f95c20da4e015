"""The worker's process as Blender sees it: pipes, private folder, life and death. Standard library only."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import MissingEnvironment
from ..files.patience import Patience
from ..files.silence import PATIENCE
from . import checking, protocol
from .life import death, private_folder
from .life.death import NEXT
from .life.private_folder import TEMP, PrivateFolder, remove_abandoned
from .life.variables import worker_variables
from .threads import read, watch, write

CANCEL_PATIENCE = 2.0  # seconds a cancelled job may take to stop before its worker is killed
DEAF_PATIENCE = 1.0  # seconds between the end of what a worker says and its own end
MANY = 1000  # events that nobody has taken yet; beyond that, news of how far the work is are left out
# Lines that a worker may say at once (a warning for each of as many images), and how many more a second, which is five
# times what progress needs. One that says more keeps Blender from its own work.
AT_ONCE, A_SECOND = 50_000.0, 100.0


class Process:
    """One worker process: its pipes, its private folder, the job it has.

    Three threads: one reads what it says, one writes what is said to it (a stopped process reads nothing, and Blender must
    not wait for it), one looks whether it lives.

    Raises
    ------
    DA3Error
        The temporary folder cannot be written to.
    MissingEnvironment
        Its Python does not start.
    """

    def __init__(
        self,
        python: Path,
        predictor: str,
        environment: Mapping[str, str],
        events: queue.SimpleQueue[tuple[Process, protocol.Message]],
        patience: float = PATIENCE,
    ):
        remove_abandoned()
        self._private = PrivateFolder()
        self.folder = self._private.path
        self.died_idle = False  # while it had nothing to do, though a job may have been sent before anybody noticed
        self._idle_before = self._heard = False  # whether it has ended a job before this one; has spoken of this one
        self.stopping = False
        self.model: str | None = None  # in its memory
        self._request: protocol.Job | None = None
        self._newest = 0  # job that it was given
        self._greeted = self._over = False
        self._stage = "starting"
        self._verdict: tuple[str, str] | None = None  # kind and sentence, where it is ended for what it did
        self._events = events
        self._patience = Patience(patience)
        self._allowance = AT_ONCE, time.monotonic()
        self._job_ended = threading.Event()
        self._lock = threading.Lock()  # of the job, ``stopping`` and ``_over``, which several threads change
        self._process = self._start(python, predictor, environment)
        assert self._process.stdout and self._process.stdin
        self.pid = self._process.pid
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Runs at exit and when nobody holds this object any more; the threads must not hold it either.
        self.end = weakref.finalize(self, death.end, self._process, self._private, self._outbox)
        me = weakref.ref(self)
        for name, work, *arguments in (
            ("worker events", read, me, self._process.stdout),
            ("worker requests", write, self._process.stdin, self._outbox),
            ("worker watch", watch, me, self._patience.interval),
        ):
            threading.Thread(target=work, args=arguments, name=name, daemon=True).start()
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
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=self.folder, bufsize=0,
                    env={**worker_variables(self.folder / TEMP), **environment}, **options,
                )  # fmt: skip
        except OSError as error:
            self._private.close()
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

    @property
    def job(self) -> int | None:
        """That it has."""
        return self._request.job if self._request else None

    def send(self, request: protocol.Message) -> None:
        """Say it as soon as the worker listens; the reader tells how it died, should it not."""
        self._outbox.put(protocol.encode(request))

    def begin(self, request: protocol.Job) -> bool:
        """Give it a job; False where it has died before, which ``alive`` may say a moment too late.

        Raises
        ------
        ProtocolError
            The request is too long.
        """
        line = protocol.encode(request)
        with self._lock:
            if self._over:
                return False
            self._request, self._newest = request, request.job
            self._heard = False
            self._job_ended.clear()
            self._stage = "starting"
            self._outbox.put(line)
        return True

    def ask(self) -> None:
        """Have it say ``State``; it may have to load torch for that."""
        self._stage = "info"
        self.send(protocol.Info())

    def stop(self) -> None:
        with self._lock:
            if self.stopping or self._request is None:  # it is being stopped, or has just ended
                return
            self.stopping = True
            self.send(protocol.Cancel(self._request.job))
        threading.Thread(target=self._kill_unless_stopped, daemon=True).start()

    def kill(self) -> None:
        death.kill(self._process)

    def _kill_unless_stopped(self) -> None:
        if not self._job_ended.wait(CANCEL_PATIENCE):
            death.kill(self._process)

    # ------------------------------------------------------------------------------------------- the threads' part

    def heard(self, line: bytes) -> None:
        """On the reader's thread: what the worker says, passed on once it has been looked into.

        Raises
        ------
        ProtocolError
            It is nothing that a worker says, or cannot be true.
        """
        self._patience.silence.heard()
        self._count()
        event = protocol.decode(line, protocol.EVENTS)
        if isinstance(event, protocol.Alive):
            return
        if not self._greeted:
            self._greet(event)
        job = getattr(event, "job", None)
        if job is not None and job != self.job:
            if not 0 < job <= self._newest:
                raise protocol.ProtocolError(f"'{event.type}' is of job {job}, which nobody gave it")
            return  # of one that has ended
        event = checking.checked(event, self._request, self.folder / f"job{job}")
        if isinstance(event, protocol.Progress | protocol.Transfer):
            self._stage = event.stage
            if self._events.qsize() > MANY:
                return
        self._patience.silence.heard()  # looking into a large batch takes a while
        self.received(event)

    def _count(self) -> None:
        (left, since), now = self._allowance, time.monotonic()
        left = min(AT_ONCE, left + (now - since) * A_SECOND) - 1.0
        if left < 0.0:
            raise protocol.ProtocolError("It says more than anybody can hear")
        self._allowance = left, now

    def _greet(self, event: protocol.Message) -> None:
        if isinstance(event, protocol.Failed) and event.job is None:
            raise protocol.ProtocolError(checking.plain(event.message))
        if not isinstance(event, protocol.Greeting):
            raise protocol.ProtocolError(f"'{event.type}' came before its greeting")
        if event.protocol != protocol.VERSION:
            raise protocol.ProtocolError(
                f"It speaks protocol {event.protocol}, Blender {protocol.VERSION}: restart Blender, so that both are of one "
                "version of the add-on"
            )
        self._greeted = True

    def received(self, event: protocol.Message) -> None:
        """Pass an event on; an ended job makes room for the next."""
        self._heard = self._heard or getattr(event, "job", None) == self.job is not None
        if isinstance(event, protocol.Done | protocol.Failed | protocol.Stopped) and event.job is not None:
            with self._lock:
                if event.job == self.job:
                    if self.stopping:  # asked for, even where the job was done a moment before
                        private_folder.remove_job(self.folder, event.job)
                        event = protocol.Stopped(event.job)
                    self._request, self.stopping = None, False
                    self._idle_before = True
                    self._stage = "waiting"
                    self._job_ended.set()
        elif isinstance(event, protocol.State):
            self._stage = "waiting"
        elif isinstance(event, protocol.Loaded):
            self.model = event.model
        elif isinstance(event, protocol.Unloaded):
            self.model = None
        self._events.put((self, event))

    def look(self) -> bool:
        """On the watch's thread: whether to look again. A worker that has been silent for too long is ended."""
        if self._over or not self.end.alive:
            return False
        if not self.alive:  # though the reader has seen no end: a child of its child may hold the pipe
            if self._patience.silence.look() > DEAF_PATIENCE:
                self.died()
            return True
        if how := self._patience.ended(self.pid, self._stage):
            doing = f"in its stage '{self._stage}'" if self.job is not None else "while it had nothing to do"
            self.condemn("WorkerDied", f"The worker process {how} {doing} and was ended. {NEXT}")
        return True

    def condemn(self, kind: str, sentence: str) -> None:
        """End it with all its children; the job ends with this sentence."""
        self._verdict = self._verdict or (kind, sentence)
        death.kill(self._process)

    def lied(self, error: Exception) -> None:
        """On the reader's thread: nothing that it says from now on counts."""
        known = isinstance(error, protocol.ProtocolError)
        sentence = str(error).rstrip(".") if known else f"{type(error).__name__}: {checking.plain(str(error))}"
        self.condemn("WorkerDied", f"The worker process went wrong ({sentence}) and was ended. {NEXT}")

    def died(self) -> None:
        """On the reader's or the watch's thread: the worker is gone; without being asked to, that is news."""
        try:
            code = self._process.wait(DEAF_PATIENCE)
        except subprocess.TimeoutExpired:
            sentence = (
                f"The worker process closed its output in its stage '{self._stage}' and lived on; it was ended. {NEXT}"
            )
            self.condemn("WorkerDied", sentence)
            code = self._process.wait()
        with self._lock:
            if self._over:
                return
            self._over = True
            job = self.job
            self.died_idle = job is None or (self._idle_before and not self._heard)
        if job is not None and self.stopping:
            self.received(protocol.Stopped(job))
        else:
            kind, sentence = self._verdict or ("WorkerDied", death.obituary(code, self.log))
            self.received(protocol.Failed(job, kind, sentence, death.last_lines(self.log)))
