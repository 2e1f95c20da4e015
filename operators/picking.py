"""Points of a cloud picked in the 3D view: the one under the mouse is marked, a click takes it."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.types import Context, Event

REACH = 14.0  # pixels at scale 1 round the mouse, in which a point is looked for
NEAR = 4.0  # pixels at scale 1; so near to the mouse, things in front hide those behind
BEHIND = 0.03  # farther off than the foremost by this part of the cloud's depth is behind it
COLOR = (1.0, 0.75, 0.1, 1.0)
HINT = "{what} point: click it.  Backspace: back.  Esc: cancel"


class Picker:
    """Follows the mouse over a cloud of (P, 3) points in the region where it was begun."""

    def __init__(self, context: Context, points: np.ndarray):
        self.taken: list[tuple[float, float, float]] = []
        self._points = np.ascontiguousarray(points, np.float32)
        self._area = context.area
        self._region = next(region for region in context.area.regions if region.type == "WINDOW")
        self._under: np.ndarray | None = None
        self._mouse = (0.0, 0.0)
        self._drawing = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")
        self._tell(context)

    def is_inside(self, event: Event) -> bool:
        """Whether the mouse is over the region."""
        x, y = event.mouse_x - self._region.x, event.mouse_y - self._region.y
        return 0 <= x < self._region.width and 0 <= y < self._region.height

    def look(self, context: Context, event: Event) -> None:
        """Find the point under the mouse."""
        self._mouse = (event.mouse_x - self._region.x, event.mouse_y - self._region.y)
        view = self._area.spaces.active.region_3d
        scale = context.preferences.system.ui_scale or 1.0
        found = nearest(
            self._points,
            np.array(view.perspective_matrix),
            (self._region.width, self._region.height),
            self._mouse,
            scale,
        )
        self._under = None if found is None else self._points[found]
        self._tell(context)

    def take(self) -> bool:
        """Take the point under the mouse; False where there is none, or the same as before."""
        if self._under is None:
            return False
        x, y, z = self._under.tolist()
        point = (x, y, z)
        if point in self.taken:
            return False
        self.taken.append(point)
        return True

    def forget(self) -> None:
        """Give the last point back."""
        if self.taken:
            self.taken.pop()
        self._area.tag_redraw()

    def close(self, context: Context) -> None:
        """Leave nothing drawn."""
        bpy.types.SpaceView3D.draw_handler_remove(self._drawing, "WINDOW")
        context.workspace.status_text_set(None)
        self._area.header_text_set(None)
        self._area.tag_redraw()

    def _tell(self, context: Context) -> None:
        text = HINT.format(what="Second" if self.taken else "First")
        if self.taken and self._under is not None:
            text = f"{np.linalg.norm(np.subtract(self.taken[0], self._under)):.4g} units.  {text}"
        context.workspace.status_text_set(text)
        self._area.header_text_set(text)
        self._area.tag_redraw()

    def _draw(self) -> None:
        import gpu  # late: there is none without a window
        from bpy_extras.view3d_utils import location_3d_to_region_2d
        from gpu_extras.batch import batch_for_shader

        if bpy.context.area != self._area:
            return  # another 3D view
        view = self._area.spaces.active.region_3d
        marks = [*self.taken, *([] if self._under is None else [self._under.tolist()])]
        at = [location_3d_to_region_2d(self._region, view, mark) for mark in marks]
        at = [tuple(spot) for spot in at if spot is not None]
        shader = gpu.shader.from_builtin("UNIFORM_COLOR")
        shader.uniform_float("color", COLOR)
        gpu.state.point_size_set(9.0)
        gpu.state.line_width_set(2.0)
        batch_for_shader(shader, "POINTS", {"pos": at}).draw(shader)
        if len(at) > 1:
            batch_for_shader(shader, "LINES", {"pos": at[:2]}).draw(shader)
        gpu.state.line_width_set(1.0)


def nearest(
    points: np.ndarray, matrix: np.ndarray, size: tuple[int, int], mouse: tuple[float, float], scale: float = 1.0
) -> int | None:
    """Which of (P, 3) points is under the mouse; None where none is within reach.

    Parameters
    ----------
    matrix : (4, 4), world to clip space
    size : of the region, pixels
    mouse : pixels from its lower left corner
    scale : of the interface
    """
    if len(points) == 0:
        return None
    clip = points @ matrix[:, :3].T.astype(np.float32) + matrix[:, 3].astype(np.float32)
    ahead = np.flatnonzero(clip[:, 3] > 1e-9)
    if len(ahead) == 0:
        return None
    clip = clip[ahead]
    at = (clip[:, :2] / clip[:, 3:] + 1.0) * np.array(size, np.float32) / 2.0
    away = np.hypot(*(at - np.array(mouse, np.float32)).T)
    best = int(away.argmin())
    if away[best] > REACH * scale:
        return None
    # Of what is so near to the mouse, what another thing stands before is not meant; of the rest, the nearest is.
    near = np.flatnonzero(away <= max(NEAR * scale, away[best]))
    is_perspective = np.ptp(clip[:, 3]) > 1e-6
    distance = clip[:, 3] if is_perspective else clip[:, 2]
    in_front = near[distance[near] <= distance[near].min() + BEHIND * np.ptp(distance)]
    return int(ahead[in_front[away[in_front].argmin()]])
