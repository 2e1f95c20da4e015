"""Those that compute: how many, what each gets of a machine, and whether it has what this one has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DA3Error
from ..models import catalogue
from ..prediction.executor import ANY
from . import connection, host

CORES = 4  # of a machine without cards, for each actor


@dataclass
class Actor:
    """One of those that compute; ``most``: frames of a pass that fit into its memory, as far as known."""

    handle: Any
    number: int
    most: int = ANY
    has: int = 0  # passes that it was given and that nobody has taken yet


@dataclass(frozen=True)
class Share:
    """``count`` actors, and what each of them gets of the cores and the cards."""

    count: int
    cores: float
    cards: float


def shares(have: dict[str, float], workers: int, device: str | None, address: str) -> Share:
    """What actors get: one for each card, or a part of one where there are more of them; else some cores each.

    Parameters
    ----------
    have : "CPU" and "GPU" of the cluster
    workers : as many as there shall be; 0 is one for each card, or one for every four cores
    """
    cards, cores = int(have.get("GPU", 0)), have.get("CPU", 1.0)
    if cards and device != "cpu":
        count = workers or cards
        return Share(count, 0.0, 1.0 if count <= cards else 1.0 / -(-count // cards))
    count = workers or max(1, int(cores) // CORES)
    if address == connection.LOCAL:  # nobody else has this one: there is nothing to share out
        return Share(count, 0.0, 0.0)
    return Share(count, cores / count if count > cores else float(int(cores) // count), 0.0)


def start(ray: Any, share: Share, number: int) -> Actor:
    """A process of its own, which has no model yet; it waits for as much room as its share."""
    kind = ray.remote(host.Host).options(num_cpus=share.cores, num_gpus=share.cards, max_restarts=0, max_task_retries=0)
    return Actor(kind.remote(), number)


def check(
    actors: Sequence[Actor],
    opening: host.Opening,
    given: Any,
    ask: Callable[..., Callable[[], Any]],
) -> list[host.About]:
    """Have them load the model, and see whether all have what this machine has.

    Parameters
    ----------
    given : reference to a ``host.Input``
    ask : makes a call of an actor, and gives what waits for its answer

    Raises
    ------
    DA3Error
    """
    here, digest = host.versions(), host.digest_of(opening)
    loading = [ask(actor.handle.open.remote, opening, given) for actor in actors]
    abouts = [answer() for answer in loading]
    for about in abouts:
        other = [f"{name} {about.versions.get(name)} instead of {here[name]}" for name in here]
        other = [words for name, words in zip(here, other, strict=True) if about.versions.get(name) != here[name]]
        if other:
            raise DA3Error(
                f"A machine of the cluster has other packages ({', '.join(other)}): install the same version of the add-on's "
                "dependencies there"
            )
        if about.digest != digest:
            raise DA3Error(
                f"A machine of the cluster has another file of {catalogue.find(opening.name).label} in '{Path(opening.folder)}': copy this "
                "machine's there"
            )
    return abouts
