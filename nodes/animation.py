"""What moves on the timeline: one camera along the path, and geometry that shows on its own frame only.

Which frame of the input shows when, ``nodes/timeline.py`` says. Curves are written whole, by ``foreach_set``; ten thousand keys take a millisecond.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from . import cameras
from .datablocks.created import Created
from .datablocks.point_trees import SHOWN_FROM, SHOWN_UNTIL
from .timeline import Timeline

if TYPE_CHECKING:
    from ..core.output.payload import CameraRecord
    from ..core.settings import Settings

CAMERA = "DA3_Camera"
# Blender's numbers for how values run between two keys.
CONSTANT, LINEAR = 0, 1
HIDES = ("hide_viewport", "hide_render")
# 4.4 gave actions slots, one per animated thing; 5.0 took the curves away that an action had without them.
SLOTS = bpy.app.version >= (4, 4, 0)


@dataclass(frozen=True)
class Play:
    """How a run plays; the settings of the same names."""

    animate_sequence: bool = False
    keep_individual_cameras: bool = False
    path_reach: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Play:
        return cls(settings.animate_sequence, settings.keep_individual_cameras, settings.path_reach)

    @property
    def has_frame_cameras(self) -> bool:
        """Whether each frame gets a camera of its own."""
        return self.keep_individual_cameras or not self.animate_sequence


@dataclass(frozen=True)
class Path:
    """The moving camera and its way, not in use yet."""

    camera: bpy.types.Object
    poses: bpy.types.Action
    lenses: bpy.types.Action
    frames: list[int]  # of the input, one for each key
    consensus: dict[str, float]  # and standard deviation of the cameras' intrinsics, by the names of custom properties


def path_steps(
    records: Sequence[CameraRecord],
    camera: bpy.types.Object | None = None,
    timeline: Timeline | None = None,
    reach: int = 0,
) -> Generator[None, None, Path]:
    """Build the way through the records in small steps. Closed half-way, it leaves nothing behind.

    Between two keys everything runs linearly, so that a timeline of which only every n-th frame has a key still plays
    smoothly. The picture's size and pixel aspect belong to the scene and cannot be animated: the camera keeps those of the
    record it is made with, and where pixel shapes differ it shares the error between width and height.

    Parameters
    ----------
    records : at least one; of several with the same frame the first counts
    camera : that already moves; None makes one, in no collection yet
    timeline : says when each frame shows; by default frame k of the input shows at frame k
    reach : frames before and after, over which the way is smoothed
    """
    from ..core.geometry.smoothing import smooth_path  # late: enabling the add-on should not pay for it
    from ..core.output.calibration import consensus

    by_frame = {record.frame: record for record in reversed(records)}
    ordered = [by_frame[frame] for frame in sorted(by_frame)]
    with Created() as made:
        if camera is None:
            data = made.add(bpy.data.cameras.new(CAMERA))
            camera = made.add(bpy.data.objects.new(CAMERA, data))
            cameras.set_up(camera, records[0], cameras.spacing_of(ordered))
            del camera["frame"]  # it has many
            yield
        frames = np.array([(timeline or Timeline()).of(record.frame) for record in ordered], np.float32)
        matrices = np.array([record.camera_to_world for record in ordered]).reshape(-1, 4, 4)
        yield
        if reach:
            matrices = smooth_path(matrices, frames.astype(np.float64), reach)
            yield
        poses = made.add(bpy.data.actions.new(CAMERA))
        channels = new_curves(poses, camera)
        for axis in range(3):
            write_curve(channels, "location", axis, frames, matrices[:, axis, 3])
        yield
        turns = quaternions(matrices)
        yield
        for part, values in enumerate(turns.T):
            write_curve(channels, "rotation_quaternion", part, frames, values)
        away = np.array([record.reprojection_error for record in ordered])
        if away.any():
            camera[cameras.REPROJECTION_ERROR] = float(away[0])
            known = away > 0.0
            write_curve(channels, f'["{cameras.REPROJECTION_ERROR}"]', 0, frames[known], away[known])
        yield
        lenses = made.add(bpy.data.actions.new(f"{CAMERA}_Lens"))
        channels = new_curves(lenses, camera.data)
        aspect = camera["pixel_aspect_y"] / camera["pixel_aspect_x"]
        sensor, values = _lenses(ordered, aspect)
        for name, curve in zip(("lens", "shift_x", "shift_y"), values, strict=True):
            write_curve(channels, name, 0, frames, curve)
        write_curve(channels, "sensor_width", 0, frames[:1], np.array([sensor]))
        yield
    agreed = {
        f"{key}_{kind}": value
        for key, pair in consensus(ordered).items()
        for kind, value in zip(("consensus", "std"), pair, strict=True)
    }
    return Path(camera, poses, lenses, [record.frame for record in ordered], agreed)


def follow(path: Path) -> None:
    """Put the camera on its way; the one it was on before is gone."""
    path.camera["frames"] = path.frames
    for key, value in path.consensus.items():
        path.camera[key] = value
    for owner, action in ((path.camera, path.poses), (path.camera.data, path.lenses)):
        before = owner.animation_data.action if owner.animation_data else None
        assign(owner, action)
        if before is not None:
            bpy.data.actions.remove(before)


def show_only_at(obj: bpy.types.Object, shown: int, until: int, current: int) -> bpy.types.Action:
    """Hide an object, in view and in renders, but from one frame of the timeline to the next that has something to show.

    Parameters
    ----------
    until : the first frame at which it is hidden again
    current : where the timeline stands now
    """
    action = bpy.data.actions.new(obj.name)
    channels = new_curves(action, obj)
    frames, hidden = np.array([shown - 1, shown, until], np.float32), np.array([1.0, 0.0, 1.0])
    for name in HIDES:
        write_curve(channels, name, 0, frames, hidden, CONSTANT)
        setattr(obj, name, not shown <= current < until)  # Blender looks at the curves when the frame changes next
    assign(obj, action)
    return action


def hold(obj: bpy.types.Object, timeline: Timeline) -> None:
    """Have what shows up to the next used frame learn which one that is, once it is known."""
    if SHOWN_UNTIL in obj.data.attributes:
        write_frames_shown(obj, timeline)
    elif "frame" in obj and obj.animation_data and obj.animation_data.action:
        until = timeline.until(obj["frame"])
        for curve in [
            curve for curve in read_curves(obj) if curve.data_path in HIDES and len(curve.keyframe_points) == 3
        ]:
            curve.keyframe_points[2].co.x = until
            curve.update()


def write_frames_shown(obj: bpy.types.Object, timeline: Timeline) -> None:
    """Give the points of an object that plays the frames of the timeline from which and until which each is shown."""
    attributes = obj.data.attributes
    frames = np.empty(len(attributes["frame"].data), np.int32)
    attributes["frame"].data.foreach_get("value", frames)
    found, inverse = np.unique(frames, return_inverse=True)
    for name, look in ((SHOWN_FROM, timeline.of), (SHOWN_UNTIL, timeline.until)):
        attribute = attributes.get(name) or attributes.new(name, "INT", "POINT")
        attribute.data.foreach_set("value", np.array([look(frame) for frame in found.tolist()], np.int32)[inverse])


def quaternions(matrices: np.ndarray) -> np.ndarray:
    """(N, 4) w x y z of (N, 4, 4) transforms, each on the side of the one before it, so that none turns the long way."""
    out = np.array([Matrix(matrix.tolist()).to_quaternion()[:] for matrix in matrices])
    flips = np.einsum("ij,ij->i", out[1:], out[:-1]) < 0.0
    out[1:][np.cumsum(flips) % 2 == 1] *= -1.0
    return out


def frame_by_frame(
    found: Sequence[bpy.types.Object],
) -> tuple[list[bpy.types.Object], np.ndarray, np.ndarray]:
    """The cameras of single frames: where there are none, the moving camera once for every key.

    Returns
    -------
    cameras : N, the same one again and again if it moves
    matrices : (N, 4, 4), camera to world
    frames : (N,) int
    """
    still = [camera for camera in found if "frame" in camera]
    if still or not found:
        matrices = np.array([camera.matrix_world for camera in still], np.float64).reshape(-1, 4, 4)
        return still, matrices, np.array([camera["frame"] for camera in still], int)
    (moving, *_) = found
    curves = {(c.data_path, c.array_index): keys_of(c) for c in read_curves(moving)}
    keys = curves["location", 0][:, 0].astype(int)
    frames = np.array(moving.get("frames", keys), int)
    frames = frames if len(frames) == len(keys) else keys  # a person has taken keys away
    matrices = np.tile(np.eye(4), (len(frames), 1, 1))
    turns = np.stack([curves["rotation_quaternion", part][:, 1] for part in range(4)], axis=-1)
    matrices[:, :3, :3] = [Quaternion(turn).normalized().to_matrix() for turn in turns.tolist()]
    matrices[:, :3, 3] = np.stack([curves["location", axis][:, 1] for axis in range(3)], axis=-1)
    return [moving] * len(frames), matrices, frames


# ------------------------------------------------------------------------------------------------------- actions


def new_curves(action: bpy.types.Action, owner: bpy.types.ID) -> bpy.types.bpy_prop_collection:
    """Where a new action keeps the curves of ``owner``."""
    if not SLOTS:
        action.id_root = owner.id_type
        return action.fcurves
    slot = action.slots.new(owner.id_type, owner.name)
    return action.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True).fcurves


def read_curves(owner: bpy.types.ID) -> bpy.types.bpy_prop_collection:
    """The curves of an action that ``new_curves`` began."""
    action = owner.animation_data.action
    if not SLOTS:
        return action.fcurves
    return action.layers[0].strips[0].channelbag(owner.animation_data.action_slot).fcurves


def assign(owner: bpy.types.ID, action: bpy.types.Action) -> None:
    """Let an action that ``new_curves`` began drive its owner."""
    data = owner.animation_data or owner.animation_data_create()
    data.action = action
    if SLOTS:
        data.action_slot = action.slots[0]


def write_curve(
    curves: bpy.types.bpy_prop_collection,
    path: str,
    index: int,
    frames: np.ndarray,
    values: np.ndarray,
    interpolation: int = LINEAR,
) -> None:
    """A curve with N keys; ``frames`` (N,) rising, ``values`` (N,)."""
    keys = curves.new(path, index=index).keyframe_points
    keys.add(len(frames))
    keys.foreach_set("co", np.stack([frames, values], axis=-1).astype(np.float32).ravel())
    keys.foreach_set("interpolation", np.full(len(frames), interpolation, np.int32))
    curves.find(path, index=index).update()


def keys_of(curve: bpy.types.FCurve) -> np.ndarray:
    """(N, 2) frames and values."""
    out = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", out)
    return out.reshape(-1, 2).astype(np.float64)


def _lenses(records: Sequence[CameraRecord], aspect: float) -> tuple[float, np.ndarray]:
    """Sensor width (mm), and (3, N) lens (mm) and shifts, of cameras that share it and the pixel aspect y / x."""
    fx, fy, cx, cy, width, height = np.array([(r.fx, r.fy, r.cx, r.cy, r.width, r.height) for r in records]).T
    focal = np.sqrt(fx * fy * aspect)  # pixels; exact for both axes where the pixels' shape is the scene's
    sensor = max(cameras.SENSOR_WIDTH, float((width / focal).max()) * cameras.SHORTEST_LENS)
    shift_x, shift_y = (width / 2.0 - cx) / width, (cy - height / 2.0) * aspect / width
    return sensor, np.stack([focal * sensor / width, shift_x, shift_y])
