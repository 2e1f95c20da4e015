"""A result one sees: selected, framed in the 3D view that the person looks at, and in colour."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import gpu
import numpy as np
from bpy.types import Area, Collection, Context, Object, Scene, SpaceView3D
from mathutils import Vector

from ...nodes.edits import look, transforming
from ..state.places import preferences

HALF_SENSOR = 36.0  # mm: a 3D view sees as wide as a camera with twice a full frame's sensor
MOST_POINTS = 20_000  # enough to find the middle
INNER = (2.0, 98.0)  # percent of the points along an axis; what flies about beyond them is no reason to step back
# A budget as viewers of point clouds have one. The smaller: 1.2 million points thinned to it take as long as bare vertices.
MOST_DOTS, MOST_DOTS_SOFTWARE = 4_000_000, 450_000
CLOSER = 0.95  # of the distance from which the whole box is in the picture: a scene seldom fills its corners


class Showing:
    """Shows one run's result: once its first batch is there, and again at its end unless the person has turned the view since.

    Parameters
    ----------
    area : pointer of the 3D view's area in which the button was pressed; else the largest is taken
    """

    def __init__(self, scene: Scene, area: int = 0):
        self._scene, self._area = scene, area
        self._set: tuple[float, ...] | None = None  # what we have set the view to
        self._selected: set[Object] | None = None  # what we have selected
        self._percent = 100.0  # of the points that the viewport draws

    def show(self, run: Collection) -> None:
        """Select, frame, colour."""
        context = bpy.context
        self._percent = look.thin(run, most_dots(), self._percent)
        if context.scene != self._scene:
            return
        if context.mode == "OBJECT":
            self._select(context, run)
        space = _view(context, self._area)
        is_free = space is not None and space.region_3d.view_perspective != "CAMERA"
        if space is not None and is_free and self._set in (None, _state(space)):
            frame(space, transforming.read_points(run, MOST_POINTS))
            self._set = _state(space)
        chosen = preferences(context)
        if chosen is None or getattr(chosen, "show_colours", True):
            show_colours(context)

    def _select(self, context: Context, run: Collection) -> None:
        selected = set(context.view_layer.objects.selected)
        if self._selected is not None and selected != self._selected:
            return  # the person goes on with something else
        select(
            context, [obj for kind in (look.SURFACE, look.POINTS, look.MESHES) for obj in look.objects_of(run, kind)]
        )
        self._selected = set(context.view_layer.objects.selected)


def most_dots() -> int:
    """How many dots a viewport draws without being slow; one without a graphics card draws 0.7 million in a second."""
    try:
        is_software = gpu.platform.device_type_get() == "SOFTWARE"
    except SystemError:  # without a window there is nothing to draw with, nor to wait for
        is_software = False
    return MOST_DOTS_SOFTWARE if is_software else MOST_DOTS


def select(context: Context, objects: list[Object]) -> None:
    """Select these objects and no others; the first of them that can be becomes active."""
    there = context.view_layer.objects
    chosen = [obj for obj in objects if obj.name in there and not obj.hide_get()]
    if not chosen:
        return
    for obj in list(there.selected):
        obj.select_set(False)
    for obj in chosen:
        obj.select_set(True)
    there.active = chosen[0]


def frame(space: SpaceView3D, points: np.ndarray) -> None:
    """Bring (P, 3) points into a 3D view; where it looks from stays."""
    if len(points) == 0:
        return
    low, high = np.percentile(points, INNER, axis=0)
    reach = max(float(np.linalg.norm(high - low)) / 2.0, 1e-3)
    sizes = {
        r.type: (r.width, r.height) for r in _area_of(space).regions if r.alignment != "NONE" or r.type == "WINDOW"
    }
    width, height = sizes["WINDOW"] if min(sizes.get("WINDOW", (0, 0))) > 1 else (16, 9)
    left, right = (sizes.get(side, (0, 0))[0] for side in ("TOOLS", "UI"))  # they lie over the view
    free = max(width - left - right, width // 3)
    view, pixel = space.region_3d, 2.0 * HALF_SENSOR / space.lens / max(width, height)  # its width at distance 1
    distance = CLOSER * reach / np.sin(np.arctan(pixel * min(free, height) / 2.0))
    aside = view.view_rotation @ Vector(((right - left) / 2.0 * pixel * distance, 0.0, 0.0))
    view.view_location = Vector(((low + high) / 2.0).tolist()) + aside
    view.view_distance = distance


def gray_views(context: Context) -> list[SpaceView3D]:
    """The 3D views that show no colours of points."""
    return [space for _, space in _views(context) if space.shading.type == "SOLID"]


def show_colours(context: Context) -> None:
    """Material Preview where Solid was; a wireframe or a rendered view is somebody's choice."""
    for space in gray_views(context):
        space.shading.type = "MATERIAL"


def _views(context: Context) -> Iterator[tuple[Area, SpaceView3D]]:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                yield area, area.spaces.active


def _view(context: Context, pointer: int) -> SpaceView3D | None:
    found = list(_views(context))
    chosen = [space for area, space in found if area.as_pointer() == pointer]
    largest = max(found, key=lambda one: one[0].width * one[0].height, default=(None, None))[1]
    return chosen[0] if chosen else largest


def _area_of(space: SpaceView3D) -> Area:
    return next(area for area in space.id_data.areas if area.spaces.active == space)


def _state(space: SpaceView3D) -> tuple[float, ...]:
    view = space.region_3d
    return (*view.view_location, *view.view_rotation, view.view_distance)
