"""Everything the add-on registers, in order."""

from __future__ import annotations

from ..panels import preferences, properties, sidebar
from . import cli, dependencies, generate, job, models, session

MODULES = (properties, session, job, preferences, generate, models, dependencies, sidebar, cli)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
