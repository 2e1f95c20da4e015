"""Calls into Ray: on a thread of their own, for they may never come back where one of Ray's processes has died."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from ..errors import DA3Error, EngineDied

PATIENCE = 0.05  # seconds between two looks at whether to stop
INTERVAL = 2.0  # seconds between two questions to a cluster whether its nodes live
SILENCE = 60.0  # seconds that a cluster may take to answer
T = TypeVar("T")


class Caller:
    """One thread for all calls, in their order. It stays as long as the process: Linux ends what Ray started with it.

    Parameters
    ----------
    look : called while a call is waited for; what it raises ends the waiting, not the call
    """

    def __init__(self, look: Callable[[], None]):
        self._look = look
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="calls into Ray", daemon=True).start()

    def _serve(self) -> None:
        while True:
            future, function, arguments = self._calls.get()
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # noqa: BLE001  # goes to whoever waits for it
                future.set_exception(error)

    def post(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Have a call made, and wait for nothing."""
        future: Future[T] = Future()
        self._calls.put((future, function, arguments))
        return future

    def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a call gives, or raises."""
        return self.await_(self.post(function, *arguments))

    def await_(self, future: Future[T]) -> T:
        """What comes, with looks meanwhile."""
        while True:
            try:
                return future.result(timeout=PATIENCE)
            except TimeoutError:
                if future.done():  # it is the call's own
                    raise
                self._look()


class Watch:
    """Whether Ray itself lives: its processes on this machine where it was started here, else the nodes of the cluster.

    Parameters
    ----------
    ray : the module, connected
    local : whether this process started it
    """

    def __init__(self, ray: Any, caller: Caller, local: bool):
        self._ray, self._caller = ray, caller
        self._processes = _started(ray) if local else {}
        self._asked: Future[Any] | None = None
        self._since = time.monotonic()

    def check(self) -> None:
        """Returns at once.

        Raises
        ------
        EngineDied
        """
        dead = [name for name, process in self._processes.items() if process.poll() is not None]
        if dead or (not self._processes and not self._answers()):
            raise EngineDied(
                "Ray itself has died, and all workers with it. What was whole is kept; start the run again"
            )

    def _answers(self) -> bool:
        """Of a cluster, whether a node of it lives, as far as it has said."""
        now = time.monotonic()
        if self._asked is None:
            if now - self._since > INTERVAL:
                self._asked, self._since = self._caller.post(self._ray.nodes), now
            return True
        if not self._asked.done():
            return now - self._since < SILENCE
        asked, self._asked = self._asked, None
        return asked.exception() is None and any(node["Alive"] for node in asked.result())


def beside(ray: Any, work: Callable[..., Any], retries: int) -> Callable[..., Any]:
    """What has a function computed by a process beside the actors, on whichever machine: it asks for no core of its own."""
    remote: Callable[..., Any] = ray.remote(num_cpus=0, max_retries=retries, scheduling_strategy="SPREAD")(work).remote
    return remote


def taken(ray: Any, answer: Callable[[], T]) -> Callable[[], T]:
    """What waits for such work, and gives a result of one's own.

    Raises
    ------
    DA3Error
        Whoever computed it died, and those after it.
    """

    def take() -> T:
        try:
            return own(answer())
        except ray.exceptions.RayTaskError:
            raise  # of the work itself
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:200]
            raise DA3Error(
                f"A process of Ray died in its work on a chunk, and so did the next ones ({reason})"
            ) from error

    return take


def own(result: T) -> T:
    """A copy of an object's arrays: Ray's memory is read only, and is free again once nobody holds it."""
    arrays = {name: np.array(value) for name, value in vars(result).items() if isinstance(value, np.ndarray)}
    return replace(result, **arrays)  # type: ignore[type-var]


def _started(ray: Any) -> dict[str, Any]:
    """The processes (``Popen``) without which nothing goes on; Ray has no public name for them."""
    node = ray._private.worker._global_node
    every = node.all_processes if node is not None else {}
    return {name: every[name][0].process for name in ("raylet", "gcs_server") if every.get(name)}
