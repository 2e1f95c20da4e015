"""Install Dependencies: makes the worker's environment on a thread, so that Blender stays alive."""

from __future__ import annotations

import threading

import bpy
from bpy.types import Context, Operator

from ..core.environment import Environment
from ..core.errors import DA3Error
from ..panels.preferences import places
from .job import Job, JobOperator
from .session import Session, session


class InstallJob(Job):
    """The installation in one folder."""

    def __init__(self, session: Session, environment: Environment):
        super().__init__(session)
        self._environment = environment
        self._cancelled = threading.Event()
        self._failure: BaseException | None = None
        self._told = ("", 0.0)
        self._thread = threading.Thread(target=self._install, name="install dependencies", daemon=True)

    def _start(self) -> None:
        self._thread.start()

    def _install(self) -> None:
        try:
            self._environment.install(self._tell, self._cancelled.is_set)
        except BaseException as error:  # noqa: BLE001  # carried over to the main thread, which raises it
            self._failure = error

    def _tell(self, stage: str, fraction: float, _line: str) -> None:
        self._told = (stage, fraction)

    def _wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _advance(self, budget: float) -> None:
        self.status.stage, self.status.fraction = self._told
        if self._thread.is_alive():
            return
        if self._failure is None:
            self.end("The dependencies are installed")
        else:
            known = self._failure if isinstance(self._failure, DA3Error) else None
            self.fail(known or DA3Error(f"The installation failed: {self._failure}"))

    def _stop(self) -> None:
        self._cancelled.set()  # the thread stops what runs and removes the half environment


class DA3_OT_install_dependencies(JobOperator, Operator):
    """Install what the models need (PyTorch and more) into an environment of its own; Blender itself stays as it is"""

    bl_idname = "da3.install_dependencies"
    bl_label = "Install Dependencies"

    @classmethod
    def poll(cls, context: Context) -> bool:
        if session(context).job is not None:
            cls.poll_message_set("A job is running")
            return False
        if not bpy.app.online_access:
            cls.poll_message_set("Allow Online Access in the System preferences first")
            return False
        return True

    def make_job(self, context: Context) -> Job:
        session(context).close()  # the worker runs from the folder that is made anew
        return InstallJob(session(context), Environment(places(context).environment))


CLASSES = (DA3_OT_install_dependencies,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
