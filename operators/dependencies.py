"""Install, update, repair and remove the worker's environment; ask the worker for its device."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.types import Context, Event, Operator

from ..core.errors import DA3Error
from ..core.installer.condition import State
from ..core.installer.environment import Environment
from ..core.installer.torch_builds import Device
from .jobs.job import Job, JobOperator
from .jobs.thread_job import Tell, ThreadJob
from .state.places import places
from .state.session import Session, session

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


class _WarningJob(ThreadJob):
    """Has warnings to tell at its end."""

    def __init__(self, session: Session, title: str, work: Callable[..., str], after: Callable[[], None]):
        super().__init__(session, title, work, after)
        self.warnings: list[str] = []

    def _advance(self, budget: float) -> None:
        if not self._thread.is_alive():
            self.status.warnings.extend(self.warnings)
        super()._advance(budget)


def _no_job(operator: type[Operator], context: Context) -> bool:
    if session(context).job is not None:
        operator.poll_message_set("A job is running")
        return False
    return True


def _can_install(operator: type[Operator], context: Context) -> bool:
    if not _no_job(operator, context):
        return False
    if not bpy.app.online_access and places(context).wheels is None:
        operator.poll_message_set("Allow Online Access in the System preferences first, or give a folder of wheels")
        return False
    return True


class DA3_OT_set_up_dependencies(JobOperator, Operator):
    """Install what the models need (PyTorch and more) into an environment of its own; Blender itself stays as it is"""

    bl_idname = "da3.set_up_dependencies"
    bl_label = "Install Dependencies"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return _can_install(cls, context)

    def make_job(self, context: Context) -> Job:
        here = places(context)
        session(context).close()  # the worker runs from the folder that is made anew
        return install_job(session(context), Environment(here.environment), here.build, here.wheels)


class DA3_OT_repair_dependencies(JobOperator, Operator):
    """Compare every file of the dependencies with what it should be, and install anew where one differs"""

    bl_idname = "da3.repair_dependencies"
    bl_label = "Repair Dependencies"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return _can_install(cls, context)

    def make_job(self, context: Context) -> Job:
        here = places(context)
        session(context).close()
        return install_job(session(context), Environment(here.environment), here.build, here.wheels, repair=True)


class DA3_OT_remove_dependencies(Operator):
    """Delete the dependencies and free their disk space; models stay"""

    bl_idname = "da3.remove_dependencies"
    bl_label = "Remove Dependencies"

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not _no_job(cls, context):
            return False
        if not places(context).environment.exists():
            cls.poll_message_set("The dependencies are not installed")
            return False
        return True

    def invoke(self, context: Context, event: Event) -> set[str]:
        return context.window_manager.invoke_confirm(
            self, event, title="Remove Dependencies?", message="They can be installed again. Models stay.",
            confirm_text="Remove",
        )  # fmt: skip

    def execute(self, context: Context) -> set[str]:
        until = time.monotonic() + LOCK_PATIENCE
        session(context).close()
        try:
            Environment(places(context).environment).remove(cancelled=lambda: time.monotonic() > until)
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
    def poll(cls, context: Context) -> bool:
        if not _no_job(cls, context):
            return False
        here = places(context)
        if not here.is_development and session(context).environment_status(here.environment).state is not State.READY:
            cls.poll_message_set("Install the dependencies first")
            return False
        return True

    def make_job(self, context: Context) -> Job:
        from .jobs.device_job import InfoJob  # late: enabling the add-on should not pay for it

        return InfoJob(session(context), places(context))


CLASSES = (
    DA3_OT_set_up_dependencies,
    DA3_OT_repair_dependencies,
    DA3_OT_remove_dependencies,
    DA3_OT_check_device,
)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
