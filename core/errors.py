"""One family of errors; each is a sentence a person can act on and an exit code."""

from __future__ import annotations


class DA3Error(Exception):
    """Something went wrong that the person at the panel should read as it is."""

    exit_code = 1


class BadInput(DA3Error):
    """The input, an option or an output path is not usable."""

    exit_code = 2


class MissingEnvironment(DA3Error):
    """The worker's environment is not there, or not whole."""

    exit_code = 3


class MissingModel(DA3Error):
    """The chosen model is unknown, not downloaded, or its file is wrong."""

    exit_code = 3


class OutOfMemory(DA3Error):
    """A pass does not fit into memory; a smaller one may."""


class Cancelled(DA3Error):
    """The person asked to stop."""

    exit_code = 4

    def __init__(self, message: str = "Cancelled"):
        super().__init__(message)


class WorkerDied(DA3Error):
    """The worker process ended without being asked to."""


class EngineDied(DA3Error):
    """Something that this process has joined for good is dead: only another process can go on."""


#: How an error's class is named on the wire between worker and Blender.
BY_NAME: dict[str, type[DA3Error]] = {
    cls.__name__: cls
    for cls in (DA3Error, BadInput, MissingEnvironment, MissingModel, OutOfMemory, Cancelled, WorkerDied, EngineDied)
}
