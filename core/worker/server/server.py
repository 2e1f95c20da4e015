"""The worker: one thread reads requests, the main thread computes.

``reconstruction`` (and with it cv2) is imported with the first job, torch by the model that needs it, so that the
greeting is quick.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import queue
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...errors import BY_NAME, Cancelled, DA3Error
from .. import protocol

if TYPE_CHECKING:
    from .loaded_model import LoadedModel, OpenPredictor

MAX_LOG = 1 << 20  # bytes; the log is cut to nothing between jobs when it is longer
PACKAGES = ("torch", "torchvision", "numpy", "depth-anything-3", "opencv-python", "opencv-python-headless", "pycolmap")

_PR_SET_PDEATHSIG = 1  # Linux, prctl(2)


class Server:
    """Serves one Blender.

    Parameters
    ----------
    requests, events : the two ends of the protocol
    folder : this session's, made by the client; holds the log and the job folders
    open_predictor : a stand-in for ``core.prediction.predictor.open_predictor``
    """

    def __init__(self, requests: BinaryIO, events: BinaryIO, folder: Path, open_predictor: OpenPredictor | None = None):
        self._requests = requests
        self._events = events
        self._folder = folder
        self._open_predictor = open_predictor
        self._queue: queue.SimpleQueue[protocol.Message] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._writing = threading.Lock()
        self._model: LoadedModel | None = None
        self._greeted = False

    def run(self) -> None:
        """Serve until end-of-file or ``Quit``; both end the process."""
        _die_with_parent()
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while True:
            self._answer(self._queue.get())

    # ------------------------------------------------------------------------------------------ the reader's thread

    def _read(self) -> None:
        """Cancelling and ending act at once, whatever the main thread is doing; the rest waits for it."""
        for line in self._requests:
            try:
                request = protocol.decode(line, protocol.REQUESTS)
            except protocol.ProtocolError as error:
                self._emit(protocol.Failed(None, "DA3Error", str(error), ""))
                continue
            if isinstance(request, protocol.Cancel):
                self._cancelled.add(request.job)
            elif isinstance(request, protocol.Quit):
                break
            else:
                self._queue.put(request)
        self._end()

    def _emit(self, event: protocol.Message) -> None:
        line = protocol.encode(event)
        try:
            with self._writing:
                self._events.write(line)
                self._events.flush()
        except OSError:
            self._end()  # nobody reads any more

    def _end(self) -> None:
        """End now, with every child, leaving no file behind."""
        if self._folder.name.startswith(protocol.SESSION_PREFIX):
            shutil.rmtree(self._folder, ignore_errors=True)
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
            if "CUDA error" in str(error):
                self._end()  # the CUDA context is lost for this process; the next job gets a new one
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
        self._emit(protocol.Greeting(protocol.VERSION, platform.python_version(), versions()))

    def _generate(self, request: protocol.Generate) -> None:
        _shorten_log()
        if request.job in self._cancelled:
            raise Cancelled
        from . import generate_job, loaded_model  # late: brings cv2 with it

        if self._model is None:
            self._model = loaded_model.LoadedModel(self._open_predictor or _default_opener())
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
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        message = f"The worker's environment is not whole: {error.name} is missing. Install the dependencies again"
        return protocol.Failed(job, "MissingEnvironment", message, detail)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in text:
        message = "Out of memory: lower the Batch Size or the Process Resolution, or choose a smaller model"
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or f"{tempfile.gettempdir()} (TMPDIR) or the output folder"
        message = f"The disk is full at {where}: free some space and run again"
    else:
        message = f"Unexpected error in the worker: {type(error).__name__}: {text[:300]}"
    return protocol.Failed(job, "DA3Error", message, detail)


def versions() -> dict[str, str]:
    """Installed versions of the packages that matter, without importing them."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # not there is an answer too
    return found


def _default_opener() -> OpenPredictor:
    from ...prediction.predictor import open_predictor

    return open_predictor


def _state(model: str | None) -> protocol.State:
    import torch

    if torch.cuda.is_available():
        free, _total = torch.cuda.mem_get_info()
        return protocol.State("cuda", torch.cuda.get_device_name(), int(free), versions(), model)
    if torch.backends.mps.is_available():
        return protocol.State("mps", platform.machine(), None, versions(), model)
    free_memory = None
    if "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", {}):
        free_memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return protocol.State("cpu", platform.processor() or platform.machine(), free_memory, versions(), model)


def _shorten_log() -> None:
    if os.fstat(2).st_size > MAX_LOG:
        os.ftruncate(2, 0)  # it is open for appending, so writing goes on at the start


def _die_with_parent() -> None:
    """Linux ends this process when Blender's main thread ends, even if a C call keeps the reader from running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
