"""Everything the add-on registers, in order."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from .operators import (
    coming_over,
    dependencies,
    fault_report,
    finished_runs,
    generate,
    handlers,
    inputs,
    models,
    results,
    upright,
)
from .operators.jobs import job
from .operators.state import properties, run_properties, session
from .panels import menu, preferences, result_box, sidebar, start
from .panels.translations import catalogues

MODULES = (
    properties, run_properties, session, handlers, job, preferences, generate, models, coming_over, dependencies, fault_report, inputs, upright, finished_runs,
    results, start, result_box, sidebar, menu, catalogues
)  # fmt: skip


def register() -> None:
    for module in MODULES:
        module.register()
    session.session(bpy.context).command = bpy.utils.register_cli_command("da3", _command)


def unregister() -> None:
    session.session(bpy.context).close()  # while all that a running job needs for its end is still registered
    bpy.utils.unregister_cli_command(session.session(bpy.context).command)
    for module in reversed(MODULES):
        module.unregister()


def _command(arguments: Sequence[str]) -> int:
    """``blender --command da3 ...``"""
    from .operators.command_line.cli import main  # late: enabling should not pay for it

    return main(arguments)
