"""A run that is kept on disk, built again with other settings: Rebuild, Merge Points, Refine Splats, Fuse Frames to Mesh."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

import bpy
from bpy.types import Collection, Scene

from ...core.errors import DA3Error
from ...core.settings import Settings
from ...core.worker import protocol
from ...nodes import assembly
from ...nodes.datablocks.created import is_there
from ...nodes.edits import look, replacing, transforming
from ..state.places import Places
from ..state.session import Session
from .generation import GenerateJob
from .showing import most_dots, select


class RebuildJob(GenerateJob):
    """Builds a kept run beside what is there, out of sight, and puts it in its place when it is whole.

    Parameters
    ----------
    top : the run's collection
    what : ``ALL`` takes the place of all that the run had built, ``REFINED`` too, with splats fitted to the photographs;
        ``FUSED`` adds a surface to it
    """

    title = "Rebuild"

    def __init__(
        self,
        session: Session,
        scene: Scene,
        settings: Settings,
        places: Places,
        top: Collection,
        what: str = protocol.ALL,
    ):
        super().__init__(session, scene, settings, places)
        self._top, self._top_name, self._id = top, top.name, str(top.get(transforming.RUN, ""))
        self._what = what
        self._seen = replacing.Seen(scene)
        self._is_replaced = False

    @property
    def collection(self) -> Collection | None:
        return self._top

    def _start(self) -> None:
        self._started = time.monotonic()
        self._client = self.session.client(self._places)
        kept, device = self._places.kept_runs, self._places.device
        self._number = self._client.rebuild(self._settings.to_json(), kept, self._id, self._what, device)

    def _require_target(self) -> None:
        super()._require_target()
        if not is_there(self._top) or not self._top.users:
            again = bpy.data.collections.get(self._top_name)  # after an undo it is another one of that name
            if again is None or again.get(transforming.RUN) != self._id:
                raise DA3Error(f"The collection '{self._top_name}' was deleted, so nothing is built into it")
            self._top = again

    def _build_again(self) -> None:
        self._is_replaced = False
        super()._build_again()

    def _receive(self, event: protocol.Message) -> None:
        is_own = getattr(event, "job", None) == self._number
        if is_own and isinstance(event, protocol.Done) and self._run is not None and not self._is_replaced:
            self._inbox.appendleft(event)  # it is not done before what is built is where it belongs
            self._building = self._replace_steps(event.report)
            return
        super()._receive(event)

    def _batch_steps(self, event: protocol.BatchReady) -> Generator[None, None, None]:
        if self._run is None:
            yield from self._begin_steps(event)
        assert self._run
        before = len(self._run.built)
        yield from super()._batch_steps(event)
        self._seen.restore()
        objects = [made for made in self._run.built[before:] if isinstance(made, bpy.types.Object)]
        yield from transforming.move_objects_steps(
            [obj for obj in objects if obj != self._run.camera], transforming.place_of(self._top)
        )

    def _begin_steps(self, event: protocol.BatchReady) -> Iterator[None]:
        """The collection that is built into, out of sight."""
        play = assembly.animation.Play.of(self._settings)
        self._run = assembly.begin(
            self._scene, event.name, play, event.frame_rate,
            shares_collection=any(child.name.startswith(f"{self._top.name}_Chunks") for child in self._top.children),
            takes_scene=False,
        )  # fmt: skip
        del self._run.top[assembly.RUN]  # nobody's run until it is in the other's place
        self._run.top.hide_viewport = self._run.top.hide_render = True
        yield

    def _replace_steps(self, report: dict[str, object]) -> Generator[None, None, None]:
        assert self._run
        if self._run.camera is not None and is_there(self._run.camera):
            yield from transforming.move_objects_steps([self._run.camera], transforming.place_of(self._top))
        (replacing.add if self._what == protocol.FUSED else replacing.replace)(self._run, self._top)
        report["run"] = self._id
        self._is_replaced = True
        look.thin(self._top, most_dots(), 100.0)
        if self._what == protocol.FUSED:
            self._show_surface(self._run)
        self.changed = True
        self._seen.restore()
        self._seen.evaluate()
        yield

    def _show(self) -> None:
        """What is built again is where the person left it."""

    def _show_surface(self, run: assembly.Run) -> None:
        """A surface lies where its points are: they are hidden, and it is selected."""
        if bpy.context.scene != self._scene:
            return
        look.set_visible(self._top, look.POINTS, False)
        if bpy.context.mode == "OBJECT":
            select(bpy.context, [obj for obj in look.objects_of(self._top, look.SURFACE) if obj in run.built])

    def _stop(self) -> None:
        if self._run is not None and not self._is_replaced:  # half of a run is in nobody's place
            if self._building is not None:
                self._building.close()
                self._building = None
            assembly.discard(self._run)
            self._run = None
            self._seen.restore()
        super()._stop()

    def end(self, message: str) -> None:
        if not self.error and self._what == protocol.FUSED and self._run is not None:
            faces = sum(len(obj.data.polygons) for obj in self._run.built if is_there(obj) and look.is_mesh(obj))
            message = f"A surface of {faces:,} faces was added to '{self._top_name}'"
        super().end(message)
