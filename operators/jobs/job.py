"""Long work: a job that is advanced in small steps, and the modal operator that advances it."""

from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.types import Context, Event, Operator

from ...core.errors import Cancelled, DA3Error
from ...core.files.names import readable
from ..state.polling import PollMessage
from ..state.session import Session, Status, session
from .display import Display
from .stopping import Wish, wish

TICK = 0.02  # seconds between two ticks of the timer
BUDGET = 0.01  # seconds that a tick may spend on building; what it has built is drawn before the next
WAIT = 0.05  # seconds a job without a window waits for news


class Job:
    """Long work in small steps. Derive, and give ``_start``, ``_advance``, ``_stop``.

    ``start``, then ``step`` until ``ended``; then ``error`` says whether and why it failed.
    """

    title = "Job"  # as on its button
    builds = False  # whether it changes the scene, so that an undo or another file concerns it

    def __init__(self, session: Session):
        self.session = session
        self.ended = False
        self.on_end: Callable[[], None] | None = None  # of whoever shows the job; called once
        self.error: DA3Error | None = None
        self.changed = False  # whether the scene is another than before
        self.area = 0  # pointer of the 3D view's area in which it was asked for

    @property
    def status(self) -> Status:
        return self.session.status

    def start(self) -> None:
        """Begin; raises ``DA3Error`` where that is not possible."""
        self.session.status = Status(title=self.title)
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
            import logging  # late: enabling the add-on should not pay for it

            logging.getLogger(__name__).exception("A job failed")
            self.fail(DA3Error(f"Unexpected error in Blender: {type(error).__name__}: {error}"))

    def cancel(self) -> None:
        """Stop now. What is whole stays."""
        self.fail(Cancelled())

    def fail(self, error: DA3Error) -> None:
        """End with an error; only the first counts."""
        if not self.ended:
            self.error = error
            self.status.failed = not isinstance(error, Cancelled)
            self.end(str(error))

    def end(self, message: str) -> None:
        """End; ``message`` is how, for the panel."""
        self.ended = True
        if self.session.job is self:
            self.session.job = None
        self.status.outcome = message
        try:
            self._stop()
        finally:
            if self.on_end:
                self.on_end()

    def scene_was_replaced(self) -> None:
        """Blender has undone or redone something: what the job holds of the scene may be gone."""

    def settle(self) -> None:
        """After the end: wait a moment for what is still being cleaned up, before Blender leaves."""

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


class JobOperator(PollMessage):
    """Runs a job behind the window: timer, Esc, progress in the status bar. Mix into an ``Operator``.

    Derive and give ``make_job``. One run is one undo step (``bl_options`` must have "UNDO").
    """

    bl_label: str
    _job: Job
    _display: Display | None = None

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
        return self.execute(context) if bpy.app.background else self.begin(context)

    def begin(self: Operator, context: Context) -> set[str]:
        """With a window: start, and go on with its timer."""
        try:
            self._job = self.make_job(context)
            if context.area is not None and context.area.type == "VIEW_3D":
                self._job.area = context.area.as_pointer()
            self._job.start()
        except DA3Error as error:
            return self._fail(error)
        # In the first window, wherever the button was: closing the preferences must not end an installation.
        window = context.window_manager.windows[0]
        self._display = Display(context, window, TICK, self._job.session)
        self._job.on_end = self._display.close  # not this operator: disabling the add-on takes it away without a word
        with context.temp_override(window=window):
            context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self: Operator, context: Context, event: Event) -> set[str]:
        asked = wish(context, event)
        if asked is Wish.STOP:
            self._job.cancel()
        elif asked is Wish.MAYBE:
            bpy.ops.da3.ask_to_cancel("INVOKE_DEFAULT")
            return {"RUNNING_MODAL"}
        elif event.type == "TIMER":
            self._job.step(BUDGET)
            if self._display:
                self._display.show()
        elif event.type == "Z" and (event.ctrl or event.oskey) and self._job.builds:
            if event.value == "PRESS":
                self.report({"INFO"}, f"Undo waits for {self._job.title} to end; Esc over the 3D view cancels it")
            return {"RUNNING_MODAL"}
        return self._finish() if self._job.ended else {"PASS_THROUGH"}

    def cancel(self: Operator, _context: Context) -> None:
        """Blender itself ends the operator: another file is opened, the window closes."""
        self._job.cancel()

    def _finish(self: Operator) -> set[str]:
        if self._job.error:
            result = self._fail(self._job.error)
            return {"FINISHED"} if self._job.changed else result  # what stays in the scene wants its undo step
        status = self._job.status
        told = [*status.failures, *(warning for warning in status.warnings if warning not in status.failures)]
        self.report({"WARNING"} if told else {"INFO"}, readable(". ".join([status.outcome, *told])))
        return {"FINISHED"}

    def _fail(self: Operator, error: DA3Error) -> set[str]:
        self.report({"INFO"} if isinstance(error, Cancelled) else {"ERROR"}, readable(str(error)))
        return {"CANCELLED"}


def stop(context: Context) -> set[str]:
    """Cancel the job that runs, for an operator."""
    job = session(context).job
    if job:
        job.cancel()
    return {"FINISHED"}


class DA3_OT_cancel(PollMessage, Operator):
    """Stop the job that runs; what is whole stays"""

    bl_idname = "da3.cancel"
    bl_label = "Cancel"

    @classmethod
    def why_not(cls, context: Context) -> str:
        return "" if session(context).job else "Nothing is running"

    def execute(self, context: Context) -> set[str]:
        return stop(context)


class DA3_OT_ask_to_cancel(Operator):
    """Ask whether the job that runs is to be stopped"""

    bl_idname = "da3.ask_to_cancel"
    bl_label = "Stop the Run?"
    bl_options = {"INTERNAL"}

    def invoke(self, context: Context, event: Event) -> set[str]:
        job = session(context).job
        if job is None:
            return {"CANCELLED"}
        return context.window_manager.invoke_confirm(
            self, event, title=f"Stop '{job.title}'?", message="What is whole stays", confirm_text="Stop"
        )

    def execute(self, context: Context) -> set[str]:
        return stop(context)


class DA3_OT_listen(Operator):
    """Hear Esc in a window beside the first, as long as a job runs"""

    bl_idname = "da3.listen"
    bl_label = "Listen for Esc"
    bl_options = {"INTERNAL"}

    def invoke(self, context: Context, _event: Event) -> set[str]:
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        job = session(context).job
        asked = wish(context, event) if job else Wish.NOTHING
        if job and asked is Wish.STOP:
            job.cancel()
            return {"FINISHED"}
        if asked is Wish.MAYBE:
            bpy.ops.da3.ask_to_cancel("INVOKE_DEFAULT")
            return {"RUNNING_MODAL"}
        return {"PASS_THROUGH"} if job else {"FINISHED", "PASS_THROUGH"}


CLASSES = (DA3_OT_cancel, DA3_OT_ask_to_cancel, DA3_OT_listen)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
