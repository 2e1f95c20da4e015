"""Whether there is a run that something can be done with. Cheap: asked on every redraw."""

from __future__ import annotations

from bpy.types import Context

from ...nodes.edits import linked, transforming
from .needs import environment_lack
from .places import places
from .polling import why_busy
from .session import session

NO_RUN = "There is no reconstruction in this scene: Generate one first"
NOT_KEPT = "This run is not kept on disk: Generate it again to use this (Preferences: Kept Runs)"


def why_no_run(context: Context, *, moves: bool = False) -> str:
    """Why nothing can be done to a run now; empty where it can. ``moves``: all of its objects, as in ``why_not_local``."""
    busy = why_busy(context)
    if busy:
        return busy
    run = transforming.run_of(context)
    if run is None:
        return NO_RUN
    if context.mode.startswith("EDIT"):
        return "Leave Edit Mode first"
    return linked.why_not_local(run, moves=moves)


def why_not_kept(context: Context) -> str:
    """Why the run cannot be built again without the model; empty where it can."""
    reason = why_no_run(context)
    if reason:
        return reason
    here, top = places(context), transforming.run_of(context)
    run = str(top.get(transforming.RUN, "")) if top else ""
    if not run or not session(context).is_kept(here.kept_runs / run):
        return NOT_KEPT
    lack = environment_lack(context, here)
    return lack.reason if lack else ""
