"""Install, update, repair and remove the worker's environment; ask the worker for its device."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
from bpy.types import Context, Event, Operator

from ..core.errors import DA3Error
from .jobs.job import Job, JobOperator
from .jobs.thread_job import Tell, ThreadJob
from .state.needs import environment_lack
from .state.places import environment_in, places
from .state.polling import PollMessage, why_busy
from .state.session import Session, session

if TYPE_CHECKING:
    from ..core.installer.environment import Environment
    from ..core.installer.torch_builds import Device

LOCK_PATIENCE = 2.0  # seconds to wait for another Blender that works on the same environment


def install_job(
    session: Session, environment: Environment, device: Device | None, wheels: Path | None, *, repair: bool = False
) -> ThreadJob:
    """Install, update or repair in one folder; see ``Environment.install``."""

    def work(tell: Tell, cancelled: Callable[[], bool]) -> str:
        act = environment.repair if repair else environment.install
        status = act(tell, cancelled, device=device, wheels=wheels)
        if status.warning:
            job.warnings.append(status.warning)
        return status.reason

    job = _WarningJob(session, "Repair" if repair else "Install Dependencies", work, session.forget_environment)
    return job


def ray_job(session: Session, environment: Environment, wheels: Path | None) -> ThreadJob:
    """Add Ray; see ``Environment.install_ray``."""

    def work(tell: Tell, cancelled: Callable[[], bool]) -> str:
        environment.install_ray(tell, cancelled, wheels)
        return "Ray is installed"

    return ThreadJob(session, "Install Ray", work, session.forget_environment)


class _WarningJob(ThreadJob):
    """Has warnings to tell at its end."""

    def __init__(self, session: Session, title: str, work: Callable[..., str], after: Callable[[], None]):
        super().__init__(session, title, work, after)
        self.warnings: list[str] = []

    def _advance(self, budget: float) -> None:
        if not self._thread.is_alive():
            self.status.warnings.extend(self.warnings)
        super()._advance(budget)


class _Installs(JobOperator):
    """Mix into an ``Operator`` that makes the environment."""

    repair = False

    @classmethod
    def why_not(cls, context: Context) -> str:
        offline = not bpy.app.online_access and places(context).wheels is None
        lack = "Allow Online Access in the System preferences first, or give a folder of wheels" if offline else ""
        return why_busy(context) or lack

    def make_job(self, context: Context) -> Job:
        here = places(context)
        session(context).close()  # the worker runs from the folder that is made anew
        return install_job(
            session(context), environment_in(here.environment), here.build, here.wheels, repair=self.repair
        )


class DA3_OT_set_up_dependencies(_Installs, Operator):
    """Install what the models need (PyTorch and more) into an environment of its own; Blender itself stays as it is"""

    bl_idname = "da3.set_up_dependencies"
    bl_label = "Install Dependencies"


class DA3_OT_repair_dependencies(_Installs, Operator):
    """Compare every file of the dependencies with what it should be, and install anew where one differs"""

    bl_idname = "da3.repair_dependencies"
    bl_label = "Repair Dependencies"
    repair = True


class DA3_OT_install_ray(_Installs, Operator):
    """Install Ray beside the dependencies: passes of the model are then computed on several cards or machines"""

    bl_idname = "da3.install_ray"
    bl_label = "Install Ray"

    def make_job(self, context: Context) -> Job:
        here = places(context)
        return ray_job(session(context), environment_in(here.environment), here.wheels)


class DA3_OT_remove_dependencies(PollMessage, Operator):
    """Delete the dependencies and free their disk space; models stay"""

    bl_idname = "da3.remove_dependencies"
    bl_label = "Remove Dependencies"

    @classmethod
    def why_not(cls, context: Context) -> str:
        there = places(context).environment.exists()
        return why_busy(context) or ("" if there else "The dependencies are not installed")

    def invoke(self, context: Context, event: Event) -> set[str]:
        return context.window_manager.invoke_confirm(
            self, event, title="Remove Dependencies?", message="They can be installed again. Models stay.",
            confirm_text="Remove",
        )  # fmt: skip

    def execute(self, context: Context) -> set[str]:
        until = time.monotonic() + LOCK_PATIENCE
        session(context).close()
        try:
            environment_in(places(context).environment).remove(cancelled=lambda: time.monotonic() > until)
        except DA3Error as error:
            self.report({"ERROR"}, f"The dependencies were not removed: {error}")
            return {"CANCELLED"}
        finally:
            session(context).forget_environment()
        self.report({"INFO"}, "The dependencies were removed")
        return {"FINISHED"}


class DA3_OT_check_device(JobOperator, Operator):
    """Start the worker and ask which device it computes on, and how much of its memory is free"""

    bl_idname = "da3.check_device"
    bl_label = "Check Device"

    @classmethod
    def why_not(cls, context: Context) -> str:
        lack = environment_lack(context, places(context))
        return why_busy(context) or ("Install the dependencies first" if lack else "")

    def make_job(self, context: Context) -> Job:
        from .jobs.device_job import InfoJob  # late: enabling the add-on should not pay for it

        return InfoJob(session(context), places(context))


CLASSES = (
    DA3_OT_set_up_dependencies,
    DA3_OT_repair_dependencies,
    DA3_OT_install_ray,
    DA3_OT_remove_dependencies,
    DA3_OT_check_device,
)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
