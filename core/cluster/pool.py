"""A predictor whose passes are computed by Ray's actors: which there are, and what becomes of those that die."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..errors import DA3Error, OutOfMemory
from ..frames.source import FrameSource
from ..models import catalogue
from ..monitor import Monitor
from ..prediction.prediction import Cameras, Prediction
from ..settings import Settings
from . import connection, host
from .actors import CORES, Actor, check, shares, start
from .calling import PATIENCE, Caller, Watch, beside, own, taken

T = TypeVar("T")
AHEAD = 2  # passes that an actor has: the one that it computes, and the next
TRIES = 3  # times that a pass is made again, where whoever computes it dies


@dataclass
class Flight:
    """A pass on its way."""

    indices: list[int]
    settings: Settings
    cameras: Cameras | None
    images: list[np.ndarray] | None
    actor: Actor
    answer: Any = None  # reference to a ``host.Answer``
    prediction: Any = None  # reference to a ``Prediction``
    tries: int = 0
    said: host.Answer | None = None


class RayPredictor:
    """See ``executor.AheadPredictor``. Stays between jobs; ``attach`` it to each.

    Parameters
    ----------
    opening : what the actors open
    address : "local" or a cluster's
    workers : actors; 0 is one for each card, or one for every four cores

    Raises
    ------
    MissingEnvironment, MissingModel, BadInput, Cancelled
    DA3Error
        A machine has other versions, or another file of the model, than this one.
    """

    computes_ahead = True

    def __init__(self, opening: host.Opening, frames: FrameSource, monitor: Monitor, address: str, workers: int = 0):
        self.model = catalogue.find(opening.name)
        self.monitor = monitor
        self.device = "cpu"
        self._opening, self._address = opening, address
        self._flights: dict[tuple[int, ...], Flight] = {}
        self._abouts: list[host.About] = []
        self._call = Caller(self._look)
        self._watch: Watch | None = None
        self._send = False  # images, for the actors do not see their files
        cores = os.cpu_count() or 1
        variables = {"OMP_NUM_THREADS": str(max(1, cores // max(1, workers or cores // CORES)))}
        self._variables = {**variables, "OPENBLAS_NUM_THREADS": connection.threads(), "OMP_WAIT_POLICY": "PASSIVE"}
        self._actors: list[Actor] = []
        self._ray = self._call(connection.connect, address, self._variables)
        self._watch = Watch(self._ray, self._call, address == connection.LOCAL)
        self._share = shares(self._call(self._ray.cluster_resources), workers, opening.device, address)
        self.attach(frames, monitor)

    # ------------------------------------------------------------------------------------------------ jobs

    def attach(self, frames: FrameSource, monitor: Monitor) -> None:
        """Another job with the same model; actors that are not there, or not any more, are started."""
        self.monitor, self._frames = monitor, frames
        self._look()  # Ray may have died since the job before, and ends whoever calls it then
        self._input = self._call(self._ray.put, host.Input.of(frames))
        self.forget()
        try:
            if not self._actors:
                self._actors = [self._call(start, self._ray, self._share, n) for n in range(self._share.count)]
                self._check(self._actors)
            seen = [self._ask(actor.handle.attach.remote, self._input) for actor in self._actors]
            sees = [answer() for answer in seen]
            self._send = not all(sees)
        except BaseException:
            self.unload()
            raise

    def free_memory(self) -> int | None:
        """Bytes that a pass may take with each of the actors, the least of them."""
        free = [about.free for about in self._abouts if about.free is not None]
        beside = len(self._actors) if self.device == "cpu" and self._address == connection.LOCAL else 1
        return min(free) // beside if free else None

    def unload(self) -> None:
        """End the actors; nothing is waited for, as Ray may be dead."""
        for actor in self._actors:
            self._call.post(self._ray.kill, actor.handle)
        self._actors, self._flights = [], {}

    # ---------------------------------------------------------------------------------------------- passes

    @property
    def helpers(self) -> int:
        """How much work may be given to ``elsewhere`` at a time."""
        return len(self._actors)

    def elsewhere(self, work: Callable[..., T], *arguments: Any) -> Callable[[], T]:
        """Have a function of the add-on computed by a process beside the actors; what waits for its result."""
        return taken(self._ray, self._ask(beside(self._ray, work, TRIES), *arguments))

    def begin(self, indices: Sequence[int], settings: Settings, cameras: Cameras | None = None) -> None:
        """See ``AheadPredictor``; where the actors do not see the files, their images are decoded here and sent."""
        if tuple(indices) in self._flights:
            return
        fitting = [actor for actor in self._actors if actor.most >= len(indices)]
        flight = Flight(list(indices), settings, cameras, None, min(fitting or self._actors, key=lambda a: a.has))
        if self._send:
            self._frames.prefetch(indices)
            flight.images, lost = host.decoded(self._frames, indices)
            self._frames.release(keep=indices[-1:])
            if lost:
                flight.said = host.Answer(lost)
        self._flights[tuple(indices)] = flight
        self._give(flight, flight.actor)

    def room(self) -> int:
        """See ``AheadPredictor``."""
        free = [actor for actor in self._actors if actor.has < AHEAD]
        return min(free, key=lambda actor: actor.has).most if free else 0

    def unreadable(self, indices: Sequence[int]) -> dict[int, str]:
        """See ``AheadPredictor``.

        Raises
        ------
        Cancelled
            The actors that computed are ended.
        OutOfMemory
            Of all of them, or whoever computed it died three times.
        """
        said = self._arrived(indices).said
        assert said is not None
        return said.unreadable

    def predict(
        self, images: Sequence[np.ndarray], indices: Sequence[int], settings: Settings, cameras: Cameras | None = None
    ) -> Prediction:
        """One pass, which may have been begun before; see ``Predictor`` and ``unreadable``."""
        self.begin(indices, settings, cameras)
        while True:
            flight = self._arrived(indices)
            try:
                prediction = self._wait(flight.prediction)
                break
            except self._ray.exceptions.RayError as error:  # it was on a machine that is gone
                flight.said = None
                self._again(flight, error)
        self._forget(flight)
        return own(prediction)

    def forget(self) -> None:
        """See ``AheadPredictor``."""
        for flight in list(self._flights.values()):
            if flight.answer is not None:
                self._call.post(self._ray.cancel, flight.answer)
            self._forget(flight)

    # ------------------------------------------------------------------------------------------- the inside

    def _arrived(self, indices: Sequence[int]) -> Flight:
        """Wait for a pass; meanwhile those that failed are given to others."""
        flight = self._flights[tuple(indices)]
        while flight.said is None:
            for one in list(self._flights.values()):
                if one.said is None and self._is_there(one.answer, 0.0):
                    self._hear(one)
            if flight.said is None:
                self._look()
                self._is_there(flight.answer, PATIENCE)
        return flight

    def _hear(self, flight: Flight) -> None:
        try:
            said: host.Answer = self._wait(flight.answer)
        except self._ray.exceptions.RayTaskError:
            raise  # of the model, and not of Ray
        except self._ray.exceptions.RayError as error:
            self._again(flight, error)
            return
        if not said.out_of_memory:
            flight.said = said
            return
        flight.actor.most = min(flight.actor.most, max(1, len(flight.indices) // 2))
        better = [actor for actor in self._actors if actor.most >= len(flight.indices)]
        if not better:
            self._forget(flight)
            raise OutOfMemory(f"Memory ran out with {len(flight.indices)} images on every worker")
        self._frames.warnings.append(
            f"Memory ran out with {len(flight.indices)} images on worker {flight.actor.number + 1}; its passes now have at "
            f"most {flight.actor.most}"
        )
        self._give(flight, min(better, key=lambda actor: actor.has))

    def _again(self, flight: Flight, error: Exception) -> None:
        """Whoever computed a pass is gone: another takes the place, and the pass is computed again."""
        dead = flight.actor
        if (
            dead in self._actors
        ):  # the first that is heard of is the one that it computed; its next had only been waiting
            flight.tries += 1
            self._frames.warnings.append(f"Worker {dead.number + 1} died; its passes are computed again")
            self._replace(dead)
        if flight.tries > TRIES:
            self._forget(flight)
            raise OutOfMemory(
                f"A pass of {len(flight.indices)} images was begun {flight.tries} times, and each time its worker died ({error})"
            )
        self._give(flight, min(self._actors, key=lambda actor: actor.has))

    def _replace(self, dead: Actor) -> None:
        """Start another in its place; where that dies too, several times, the others do without.

        Raises
        ------
        DA3Error
            There are no others.
        """
        place = self._actors.index(dead)
        for _ in range(TRIES):
            actor = self._actors[place] = self._call(start, self._ray, self._share, dead.number)
            actor.most = dead.most
            try:
                self._check([actor])
                self._ask(actor.handle.attach.remote, self._input)()
                return
            except self._ray.exceptions.RayError as error:
                reason = " ".join(str(error).split())[:200]
        del self._actors[place]
        if not self._actors:
            raise DA3Error(f"All workers died, and none could be started again ({reason})")

    def _give(self, flight: Flight, actor: Actor) -> None:
        flight.actor.has -= flight.answer is not None
        flight.actor = actor
        actor.has += 1
        if flight.said is not None:  # nobody has to be asked
            return
        compute = actor.handle.compute.options(num_returns=2).remote
        flight.answer, flight.prediction = self._call(
            compute, flight.indices, flight.settings, flight.cameras, flight.images
        )

    def _forget(self, flight: Flight) -> None:
        if self._flights.pop(tuple(flight.indices), None) is not None:
            flight.actor.has -= 1

    def _look(self) -> None:
        """Stop here where the person wants it: actors in the middle of a pass are ended, for nobody can say how long it takes."""
        try:
            self.monitor.check()
            if self._watch is not None:
                self._watch.check()
        except BaseException:
            self.unload()
            raise

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """Call an actor; what waits for its answer."""
        return functools.partial(self._wait, self._call(call, *arguments))

    def _is_there(self, reference: Any, patience: float) -> bool:
        ready, _ = self._call(functools.partial(self._ray.wait, [reference], timeout=patience))
        return bool(ready)

    def _wait(self, reference: Any) -> Any:
        """What a call gives; ``get`` itself waits for ever where Ray's process has died, whatever its timeout is."""
        try:
            return self._call.await_(self._call(reference.future))
        except self._ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, DA3Error) else error) from None

    def _check(self, actors: Sequence[Actor]) -> None:
        abouts = check(actors, self._opening, self._input, self._ask)
        self._abouts = [*self._abouts, *abouts][-self._share.count :]
        self.device = abouts[0].device
