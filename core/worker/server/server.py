"""The worker: one thread reads requests, the main thread computes.

``reconstruction`` (and with it cv2) is imported with the first job, torch by the model that needs it, so that the
greeting is quick.
"""

from __future__ import annotations

import os
import platform
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...devices.installed import versions
from ...errors import BY_NAME, Cancelled, DA3Error, EngineDied
from ...memory import free_memory
from .. import protocol
from ..life import private_folder, pulse
from ..lines import read_lines
from .explaining import explained

if TYPE_CHECKING:
    from .loaded_model import LoadedModel, OpenPredictor

MAX_LOG = 1 << 20  # bytes; the log is cut to nothing between jobs when it is longer
PACKAGES = ("torch", "torchvision", "numpy", "depth-anything-3", "opencv-python", "opencv-python-headless", "pycolmap")


class Server:
    """Serves one Blender.

    Parameters
    ----------
    requests, events : the two ends of the protocol
    folder : this session's, made by the client; holds the log and the job folders
    open_predictor : a stand-in for ``core.predictors.opening.open_predictor``; ``stand_in`` says where it is from
    """

    def __init__(
        self, requests: BinaryIO, events: BinaryIO, folder: Path, open_predictor: OpenPredictor | None = None,
        stand_in: str = "",
    ):  # fmt: skip
        self._requests = requests
        self._events = events
        self._folder = folder
        self._open_predictor, self._stand_in = open_predictor, stand_in
        self._queue: queue.SimpleQueue[protocol.Message] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._writing = threading.Lock()
        self._ending = threading.Lock()  # taken by the thread that ends the process
        self._model: LoadedModel | None = None
        self._greeted = False

    def run(self) -> None:
        """Serve until end-of-file or ``Quit``; both end the process."""
        pulse.die_with_parent()
        pulse.start(lambda: self._emit(protocol.Alive()))
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while True:
            self._answer(self._queue.get())

    # ------------------------------------------------------------------------------------------ the reader's thread

    def _read(self) -> None:
        """Cancelling and ending act at once, whatever the main thread is doing; the rest waits for it."""
        try:
            for line in read_lines(self._requests.fileno()):
                if isinstance(request := self._request(line), protocol.Quit):
                    break
                if request is not None:
                    self._queue.put(request)
        except protocol.ProtocolError as error:  # the rest of a line without an end is not waited for
            self._emit(protocol.Failed(None, "DA3Error", str(error), ""))
        self._end()

    def _request(self, line: bytes) -> protocol.Message | None:
        """What the main thread shall answer; None where there is nothing left to do."""
        try:
            request = protocol.decode(line, protocol.REQUESTS)
        except protocol.ProtocolError as error:
            self._emit(protocol.Failed(None, "DA3Error", str(error), ""))
            return None
        if isinstance(request, protocol.Cancel):
            self._cancelled.add(request.job)
            return None
        return request

    def _emit(self, event: protocol.Message) -> None:
        line = protocol.encode(event)
        try:
            with self._writing:
                self._events.write(line)
                self._events.flush()
        except OSError:
            self._end()  # nobody reads any more

    def _end(self, leaves_files: bool = False) -> None:
        """End now, with every child; only the first thread that wants to does so.

        No file is left behind. With ``leaves_files`` they are Blender's to delete: it is there, and may still read what was made before.
        """
        self._ending.acquire()  # never released: a second one would kill the first between two of its deletions
        pulse.take_time()
        os.chdir(self._folder.parent)  # Windows deletes no folder that is somebody's current one
        if not leaves_files:
            private_folder.remove(self._folder)
        if hasattr(os, "getpgrp") and os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(0)

    # -------------------------------------------------------------------------------------------- the main thread

    def _answer(self, request: protocol.Message) -> None:
        job = request.job if isinstance(request, protocol.Job) else None
        if isinstance(request, protocol.Hello):
            self._greet(request)
            return
        try:
            if not self._greeted:
                raise protocol.ProtocolError("The first message must be 'hello' with a protocol this worker speaks")
            if isinstance(request, protocol.Generate):
                self._generate(request)
            elif isinstance(request, protocol.Rebuild):
                self._rebuild(request)
            elif isinstance(request, protocol.Download):
                self._download(request)
            elif isinstance(request, protocol.Unload):
                if self._model:
                    self._model.unload()
                self._emit(protocol.Unloaded())
            elif isinstance(request, protocol.Info):
                self._emit(_state(self._model.name if self._model else None))
        except Exception as error:  # noqa: BLE001  # the edge of a job: whatever it was becomes a message
            if job is not None and (isinstance(error, Cancelled) or job in self._cancelled):
                self._emit(protocol.Stopped(job))
                return
            self._emit(failure(job, error))
            if isinstance(error, EngineDied) or "CUDA error" in str(error):
                # Ray, or the CUDA context, is lost for this process; the next job gets a new one.
                self._end(leaves_files=True)
        finally:
            if job is not None:
                self._cancelled.discard(job)
            sys.stderr.flush()

    def _greet(self, hello: protocol.Hello) -> None:
        if hello.protocol != protocol.VERSION:
            message = (
                f"The worker speaks protocol {protocol.VERSION}, Blender asks for {hello.protocol}: "
                "restart Blender, so that both are of one version of the add-on"
            )
            self._emit(protocol.Failed(None, "DA3Error", message, ""))
            return
        self._greeted = True
        self._emit(protocol.Greeting(protocol.VERSION, platform.python_version(), versions(PACKAGES)))

    def _generate(self, request: protocol.Generate) -> None:
        _shorten_log()
        if request.job in self._cancelled:
            raise Cancelled
        from . import generate_job, loaded_model  # late: brings cv2 with it

        if self._model is None:
            self._model = loaded_model.LoadedModel(self._open_predictor or _default_opener(), self._stand_in)
        report = generate_job.generate(request, self._model, self._emit, lambda: request.job in self._cancelled)
        self._emit(protocol.Done(request.job, report))

    def _rebuild(self, request: protocol.Rebuild) -> None:
        _shorten_log()
        from . import rebuild_job  # late: brings cv2 with it

        report = rebuild_job.rebuild(request, self._emit, lambda: request.job in self._cancelled)
        self._emit(protocol.Done(request.job, report))

    def _download(self, request: protocol.Download) -> None:
        _shorten_log()
        from . import download_job  # late: the greeting is quick

        report = download_job.download(request, self._emit, lambda: request.job in self._cancelled)
        self._emit(protocol.Done(request.job, report))


def failure(job: int | None, error: BaseException) -> protocol.Failed:
    """The message an exception becomes: one sentence for the person, the traceback for the log."""
    for cls in type(error).__mro__:
        if cls.__name__ in BY_NAME and issubclass(cls, DA3Error):
            return protocol.Failed(job, cls.__name__, str(error), "")
    detail = "".join(traceback.format_exception(error))
    print(detail, file=sys.stderr, flush=True)
    kind = "MissingEnvironment" if isinstance(error, ModuleNotFoundError) else "DA3Error"
    return protocol.Failed(job, kind, explained(error), detail)


def _default_opener() -> OpenPredictor:
    from ...predictors.opening import open_predictor

    return open_predictor


def _state(model: str | None) -> protocol.State:
    import torch

    from ...devices.choosing import choose

    choice = choose()
    kind, name = choice.device.type, platform.machine()
    if kind == "cuda":
        name = torch.cuda.get_device_name(choice.device)
    elif kind == "cpu":
        name = platform.processor() or name
    return protocol.State(kind, name, free_memory(kind), versions(PACKAGES), model, choice.warning)


def _shorten_log() -> None:
    if os.fstat(2).st_size > MAX_LOG:
        os.ftruncate(2, 0)  # it is open for appending, so writing goes on at the start
