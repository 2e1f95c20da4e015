"""Long work: a job that is advanced in small steps, and the modal operator that advances it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import bpy
from bpy.types import Context, Event, Operator, Timer

from ..core.errors import Cancelled, DA3Error
from .session import Session, Status, session, status_text

TICK = 0.02  # seconds between two ticks of the timer, and what a tick may spend on building
WAIT = 0.05  # seconds a job without a window waits for news


class Job:
    """Long work in small steps. Derive, and give ``_start``, ``_advance``, ``_stop``.

    ``start``, then ``step`` until ``ended``; then ``error`` says whether and why it failed.
    """

    def __init__(self, session: Session):
        self.session = session
        self.ended = False
        self.error: DA3Error | None = None
        self.changed = False  # whether the scene is another than before

    @property
    def status(self) -> Status:
        return self.session.status

    def start(self) -> None:
        """Begin; raises ``DA3Error`` where that is not possible."""
        self.session.status = Status()
        self._start()
        self.session.job = self

    def step(self, budget: float) -> None:
        """Work for about ``budget`` seconds; less where nothing is to do."""
        try:
            if not self.ended:
                self._advance(budget)
        except DA3Error as error:
            self.fail(error)
        except Exception as error:  # the edge of a job: whatever it was becomes a message and an entry in the log
            logging.getLogger(__name__).exception("A job failed")
            self.fail(DA3Error(f"Unexpected error in Blender: {type(error).__name__}: {error}"))

    def cancel(self) -> None:
        """Stop now. What is whole stays."""
        self.fail(Cancelled())

    def fail(self, error: DA3Error) -> None:
        """End with an error; only the first counts."""
        if not self.ended:
            self.error = error
            self.end(str(error))

    def end(self, message: str) -> None:
        """End; ``message`` is how, for the panel."""
        self.ended = True
        if self.session.job is self:
            self.session.job = None
        self.status.outcome = message
        self._stop()

    def run(self, asked_to_stop: Callable[[], bool] = lambda: False, tell: Callable[[], None] = lambda: None) -> None:
        """From start to end, without a window; raises the job's error."""
        self.start()
        while not self.ended:
            if asked_to_stop():
                self.cancel()
                break
            self._wait(WAIT)
            self.step(budget=WAIT)
            tell()
        if self.error:
            raise self.error

    def _start(self) -> None:
        raise NotImplementedError

    def _advance(self, budget: float) -> None:
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        """Until there is news, or so long."""
        raise NotImplementedError

    def _stop(self) -> None:
        """Leave nothing running and nothing half-built."""
        raise NotImplementedError


class JobOperator:
    """Runs a job behind the window: timer, Esc, right-click, progress in the status bar. Mix into an ``Operator``.

    Derive and give ``make_job``. One run is one undo step (``bl_options`` must have "UNDO").
    """

    bl_label: str
    _job: Job
    _timer: Timer | None = None

    def make_job(self, context: Context) -> Job:
        raise NotImplementedError

    def execute(self: Operator, context: Context) -> set[str]:
        """Without a window: wait for the end."""
        try:
            self._job = self.make_job(context)
            self._job.run()
        except DA3Error as error:
            return self._fail(error)
        return {"FINISHED"}

    def invoke(self: Operator, context: Context, _event: Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        try:
            self._job = self.make_job(context)
            self._job.start()
        except DA3Error as error:
            return self._fail(error)
        manager = context.window_manager
        self._timer = manager.event_timer_add(TICK, window=context.window)
        manager.progress_begin(0, 1000)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self: Operator, context: Context, event: Event) -> set[str]:
        if event.type in {"ESC", "RIGHTMOUSE"} and event.value == "PRESS":
            self._job.cancel()
        elif event.type == "TIMER":
            self._job.step(TICK)
            self._show(context)
        elif event.type == "Z" and (event.ctrl or event.oskey):
            return {"RUNNING_MODAL"}  # an undo now would take away what is being built
        return self._finish(context) if self._job.ended else {"PASS_THROUGH"}

    def cancel(self: Operator, context: Context) -> None:
        """Blender itself ends the operator: another file is opened, the window closes."""
        self._job.cancel()
        self._leave(context)

    def _finish(self: Operator, context: Context) -> set[str]:
        self._leave(context)
        if self._job.error:
            result = self._fail(self._job.error)
            return {"FINISHED"} if self._job.changed else result  # what stays in the scene wants its undo step
        status = self._job.status
        self.report({"WARNING"} if status.warnings else {"INFO"}, ". ".join([status.outcome, *status.warnings]))
        return {"FINISHED"}

    def _fail(self: Operator, error: DA3Error) -> set[str]:
        self.report({"INFO"} if isinstance(error, Cancelled) else {"ERROR"}, str(error))
        return {"CANCELLED"}

    def _show(self, context: Context) -> None:
        status = self._job.status
        context.window_manager.progress_update(round(status.fraction * 1000))
        if context.workspace:
            context.workspace.status_text_set(f"{self.bl_label}: {status_text(status)}  |  Esc: cancel")
        redraw_sidebars(context)

    def _leave(self, context: Context) -> None:
        manager = context.window_manager
        if self._timer is not None:
            manager.event_timer_remove(self._timer)
            self._timer = None
            manager.progress_end()
        if context.workspace:
            context.workspace.status_text_set(None)
        redraw_sidebars(context)


def redraw_sidebars(context: Context) -> None:
    """Ask every 3D view to draw its sidebar anew."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


class DA3_OT_cancel(Operator):
    """Stop the job that runs; what is whole stays"""

    bl_idname = "da3.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: Context) -> bool:
        if session(context).job is None:
            cls.poll_message_set("Nothing is running")
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        job = session(context).job
        if job:
            job.cancel()
        return {"FINISHED"}


CLASSES = (DA3_OT_cancel,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
