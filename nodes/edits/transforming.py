"""A whole reconstruction moved, turned or scaled: its objects, and the ways of those that move on the timeline.

What was done to a run is kept with its collection, so that what is built into it later lands in the same place.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion

from .. import animation

PLACE = "da3_place"  # 16 numbers of a (4, 4) similarity, row by row: from the world the run was built in to where it is
RUN = "da3_run"  # under which id the run is kept
MOVING = "Moving"
MOST_POINTS = 400_000  # enough to find the ground, and to pick one
MOST_READ = 12_000_000  # that are copied out of Blender for it, 30 ms
# What a similarity keeps of a camera in proportion to the scene.
LENGTHS = ("display_size", "clip_start", "clip_end")


def run_of(context: bpy.types.Context) -> bpy.types.Collection | None:
    """The run that the person means: that of the active object, else of the active collection, else the newest."""
    runs = runs_of(context.scene)
    active = getattr(context, "active_object", None)
    chosen = getattr(context, "collection", None)
    for run in reversed(runs):
        if active is not None and active.name in run.all_objects:
            return run
    for run in reversed(runs):
        if chosen is not None and (chosen == run or chosen in run.children_recursive):
            return run
    return runs[-1] if runs else None


def runs_of(scene: bpy.types.Scene) -> list[bpy.types.Collection]:
    """All runs of a scene, the newest last."""
    return [c for c in scene.collection.children_recursive if is_run(c)]


def is_run(collection: bpy.types.Collection) -> bool:
    """Whether a collection is a run's own; one that was cancelled has an empty id."""
    if RUN in collection or PLACE in collection:
        return True
    names = (f"{collection.name}_Batch_", f"{collection.name}_Chunks")  # of a file from before all had an id
    return any(child.name.startswith(names) for child in collection.children)


def place_of(run: bpy.types.Collection) -> np.ndarray:
    """(4, 4) what has been done to a run since it was built."""
    kept = run.get(PLACE)
    return np.reshape(np.array(kept, np.float64), (4, 4)) if kept is not None else np.eye(4)


def move_steps(run: bpy.types.Collection, similarity: np.ndarray) -> Iterator[None]:
    """Move all that a run has made; an object in a step.

    Parameters
    ----------
    similarity : (4, 4), from where it is to where it shall be
    """
    yield from move_objects_steps(list(run.all_objects), similarity)
    run[PLACE] = (similarity @ place_of(run)).ravel().tolist()


def move_objects_steps(objects: list[bpy.types.Object], similarity: np.ndarray) -> Iterator[None]:
    """Move objects; one whose parent is among them goes with that."""
    own = set(objects)
    scaled: set[bpy.types.Camera] = set()  # several objects may share a camera's data
    for obj in objects:
        if obj.parent not in own:
            _move(obj, similarity)
        if obj.type == "CAMERA" and obj.data not in scaled:
            scaled.add(obj.data)
            _scale_lengths(obj.data, _scale(similarity))
        yield


def read_points(run: bpy.types.Collection, most: int = MOST_POINTS) -> np.ndarray:
    """(P, 3) float64, about ``most`` points of a run in the world, evenly thinned; what moves is left out.

    Of a run with many objects some are left out, so that it takes no longer than a click may.
    """
    objects = [obj for obj in run.all_objects if obj.type == "MESH" and len(obj.data.vertices)]
    moving = {obj for child in run.children_recursive if child.name.startswith(MOVING) for obj in child.all_objects}
    objects = [obj for obj in objects if obj not in moving] or objects
    total = sum(len(obj.data.vertices) for obj in objects)
    objects = objects[:: max(1, -(-total // MOST_READ))]
    every = max(1, sum(len(obj.data.vertices) for obj in objects) // most)
    parts = [world_positions(obj, every) for obj in objects]
    return np.concatenate(parts) if parts else np.zeros((0, 3))


def world_positions(obj: bpy.types.Object, every: int = 1) -> np.ndarray:
    """(P, 3) float64 positions of every n-th vertex of a mesh object, in the world; no modifier is evaluated."""
    flat = np.empty(3 * len(obj.data.vertices), np.float32)
    obj.data.attributes["position"].data.foreach_get("vector", flat)
    matrix = np.array(_world(obj), np.float64)
    return flat.reshape(-1, 3)[::every] @ matrix[:3, :3].T + matrix[:3, 3]


def camera_matrices(run: bpy.types.Collection) -> np.ndarray:
    """(C, 4, 4) camera to world of a run's cameras; of the moving one, where it is alone, every place of its way."""
    found = [obj for obj in run.all_objects if obj.type == "CAMERA"]
    still = [obj for obj in found if not _curves(obj)]
    if still:
        return np.array([_world(obj) for obj in still], np.float64).reshape(-1, 4, 4)
    ways = [_way(obj, _frames(obj)) for obj in found]
    return np.concatenate(ways) if ways else np.zeros((0, 4, 4))


def _world(obj: bpy.types.Object) -> Matrix:
    """Where an object is. One that is hidden was perhaps never evaluated: without a parent its own values say it."""
    return obj.matrix_world if obj.parent else obj.matrix_basis


def _move(obj: bpy.types.Object, similarity: np.ndarray) -> None:
    target = Matrix((similarity @ np.array(_world(obj), np.float64)).tolist())
    frames = _frames(obj)
    if obj.type == "CAMERA":
        target = _without_scale(target)
    if len(frames):
        _move_way(obj, frames, similarity)
    obj.matrix_world = target


def _without_scale(matrix: Matrix) -> Matrix:
    """A camera that is drawn larger sees no more: how large it is drawn is ``display_size``."""
    place, turn, _ = matrix.decompose()
    return Matrix.LocRotScale(place, turn, None)


def _scale_lengths(data: bpy.types.Camera, scale: float) -> None:
    if abs(scale - 1.0) > 1e-9:
        for name in LENGTHS:
            setattr(data, name, getattr(data, name) * scale)


def _scale(similarity: np.ndarray) -> float:
    return float(np.cbrt(np.linalg.det(similarity[:3, :3])))


# ------------------------------------------------------------------------------------------- what moves on the timeline


def _curves(obj: bpy.types.Object) -> dict[tuple[str, int], bpy.types.FCurve]:
    """The curves of place and rotation by path and index."""
    if not (obj.animation_data and obj.animation_data.action):
        return {}
    if animation.SLOTS and not _has_channels(obj.animation_data):
        return {}
    paths = ("location", _turn_path(obj))
    return {(c.data_path, c.array_index): c for c in animation.read_curves(obj) if c.data_path in paths}


def _has_channels(data: bpy.types.AnimData) -> bool:
    """Whether an action, which may be a person's own, has curves for this object where we look for them."""
    strips = data.action.layers[0].strips if data.action.layers else ()
    return bool(strips and data.action_slot and strips[0].channelbag(data.action_slot))


def _turn_path(obj: bpy.types.Object) -> str:
    return "rotation_quaternion" if obj.rotation_mode == "QUATERNION" else "rotation_euler"


def _frames(obj: bpy.types.Object) -> np.ndarray:
    """(K,) float32 all frames at which place or rotation has a key."""
    found = [animation.keys_of(curve)[:, 0] for curve in _curves(obj).values()]
    return np.unique(np.concatenate(found)).astype(np.float32) if found else np.zeros(0, np.float32)


def _way(obj: bpy.types.Object, frames: np.ndarray) -> np.ndarray:
    """(K, 4, 4) where an object is at those frames."""
    curves, turn = _curves(obj), _turn_path(obj)
    is_quaternion = obj.rotation_mode == "QUATERNION"

    def values(path: str, index: int, otherwise: float) -> np.ndarray:
        curve = curves.get((path, index))
        return np.full(len(frames), otherwise) if curve is None else np.array([curve.evaluate(f) for f in frames])

    places = np.stack([values("location", i, obj.location[i]) for i in range(3)], axis=-1)
    angles = getattr(obj, turn)
    turns = np.stack([values(turn, i, angles[i]) for i in range(4 if is_quaternion else 3)], axis=-1)
    out = np.tile(np.eye(4), (len(frames), 1, 1))
    for matrix, value in zip(out, turns.tolist(), strict=True):
        rotation = Quaternion(value).normalized() if is_quaternion else Euler(value, obj.rotation_mode)
        matrix[:3, :3] = np.array(rotation.to_matrix())
    out[:, :3, 3] = places
    return out


def _move_way(obj: bpy.types.Object, frames: np.ndarray, similarity: np.ndarray) -> None:
    """Write place and rotation anew, with a key at each of the frames."""
    way = similarity @ _way(obj, frames)
    way[:, :3, :3] /= _scale(similarity)
    if obj.rotation_mode == "QUATERNION":
        turns = animation.quaternions(way)
    else:
        turns, before = np.empty((len(way), 3)), Euler((0.0, 0.0, 0.0), obj.rotation_mode)
        for row, matrix in zip(turns, way, strict=True):
            before = Matrix(matrix.tolist()).to_euler(obj.rotation_mode, before)
            row[:] = before[:]
    path, curves = _turn_path(obj), animation.read_curves(obj)
    for curve in list(_curves(obj).values()):
        curves.remove(curve)
    for axis in range(3):
        animation.write_curve(curves, "location", axis, frames, way[:, axis, 3])
    for part, values in enumerate(turns.T):
        animation.write_curve(curves, path, part, frames, values)
