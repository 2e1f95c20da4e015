"""What a run sets on a person's scene, with what was there before it, so that it can be put back.

A scene is only touched where it is as Blender starts it, or where the person asks for it (Use for Rendering). What was
there before stands with the run's collection: it is saved, undone and copied together with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy

BEFORE, AFTER = "da3_before", "da3_after"  # values by name, on the run's collection
CAMERA = "da3_camera_before"  # the scene's camera before the run's took its place
CUBE = "da3_hidden"  # Blender's own cube, that lies where the cloud is
RENDER = (
    "resolution_x", "resolution_y", "pixel_aspect_x", "pixel_aspect_y", "fps", "fps_base", "engine", "film_transparent",
)  # fmt: skip
VIEW = "view_transform", "look", "exposure", "gamma"  # of the scene's view settings
FACTORY = {
    "resolution_x": 1920, "resolution_y": 1080, "pixel_aspect_x": 1.0, "pixel_aspect_y": 1.0, "fps": 24, "fps_base": 1.0,
    "frame_start": 1, "frame_end": 250,
}  # fmt: skip
FACTORY_CAMERA = (7.3589, -6.9258, 4.9583)  # where Blender's own camera stands


def is_untouched(scene: bpy.types.Scene) -> bool:
    """Whether a scene is as Blender starts it: factory size, rate and range, and no camera of the person's."""
    if any(_value(scene, name) != value for name, value in FACTORY.items()):
        return False
    cameras = [obj for obj in scene.objects if obj.type == "CAMERA"]
    return all("placement" in camera or _is_factory_camera(camera) for camera in cameras)


def lend(
    scene: bpy.types.Scene, run: bpy.types.Collection, values: Mapping[str, Any], *, is_asked_for: bool = False
) -> None:
    """Set settings of a scene, and keep with the run what was there; what the person has changed since is left alone.

    Parameters
    ----------
    values : by the names in ``RENDER`` and ``VIEW``, and frame_start, frame_end, frame_current
    is_asked_for : by the person, who then wants all of it
    """
    before, after = _read(run, BEFORE), _read(run, AFTER)
    wanted = {
        name: value
        for name, value in values.items()
        if is_asked_for or after.get(name, _value(scene, name)) == _value(scene, name)
    }
    for name in wanted:
        if name not in before or after.get(name) != _value(scene, name):  # else what is there is the run's already
            before[name] = _value(scene, name)
    _write(scene, wanted)
    after |= {name: _value(scene, name) for name in wanted}
    run[BEFORE], run[AFTER] = before, after


def lend_camera(scene: bpy.types.Scene, run: bpy.types.Collection, camera: bpy.types.Object) -> None:
    """Make a run's camera the scene's."""
    if scene.camera is not None and CAMERA not in run and scene.camera.name not in run.all_objects:
        run[CAMERA] = scene.camera
    scene.camera = camera


def give_back(scene: bpy.types.Scene, run: bpy.types.Collection) -> None:
    """Put back what a run has set, but for what the person has changed since. The run's camera is still there.

    Another run that has set something after this one then knows what was there before both.
    """
    before, after = _read(run, BEFORE), _read(run, AFTER)
    for other in scene.collection.children_recursive:
        if other != run and BEFORE in other:
            theirs = _read(other, BEFORE)
            other[BEFORE] = theirs | {k: v for k, v in before.items() if k in theirs and theirs[k] == after.get(k)}
            if other.get(CAMERA) is not None and other[CAMERA].name in run.all_objects:
                _hand_on(run, other)
    _write(scene, {name: value for name, value in before.items() if _value(scene, name) == after.get(name)})
    if scene.camera is None or scene.camera.name in run.all_objects:
        scene.camera = run.get(CAMERA)
    hidden = run.get(CUBE)
    if hidden is not None and hidden.name in scene.objects:
        _show(hidden, True)
    for key in (BEFORE, AFTER, CAMERA, CUBE):
        if key in run:
            del run[key]


def hide_factory_cube(scene: bpy.types.Scene, run: bpy.types.Collection) -> bool:
    """Hide the cube that Blender starts with, where nobody has touched it; whether there was one."""
    cube = scene.objects.get("Cube")
    if cube is None or not _is_factory_cube(cube) or cube.hide_render:
        return False
    _show(cube, False)
    run[CUBE] = cube
    return True


def _show(obj: bpy.types.Object, is_visible: bool) -> None:
    obj.hide_render = obj.hide_viewport = not is_visible


def _hand_on(run: bpy.types.Collection, other: bpy.types.Collection) -> None:
    if run.get(CAMERA) is not None:
        other[CAMERA] = run[CAMERA]
    else:
        del other[CAMERA]


def _is_factory_camera(camera: bpy.types.Object) -> bool:
    near = all(abs(a - b) < 1e-3 for a, b in zip(camera.location, FACTORY_CAMERA, strict=True))
    return camera.name == "Camera" and near and camera.animation_data is None


def _is_factory_cube(cube: bpy.types.Object) -> bool:
    if cube.type != "MESH" or cube.modifiers or cube.animation_data or cube.parent or cube.children or cube.constraints:
        return False
    mesh, unmoved = cube.data, all(cube.matrix_basis[i][j] == (i == j) for i in range(4) for j in range(4))
    corners = len(mesh.vertices) == 8 and len(mesh.polygons) == 6
    return unmoved and corners and all(abs(value) == 1.0 for vertex in mesh.vertices for value in vertex.co)


def _holder(scene: bpy.types.Scene, name: str) -> bpy.types.bpy_struct:
    if name in VIEW:
        return scene.view_settings
    return scene.render if name in RENDER else scene


def _value(scene: bpy.types.Scene, name: str) -> Any:
    return getattr(_holder(scene, name), name)


def _write(scene: bpy.types.Scene, values: dict[str, Any]) -> None:
    for _ in range(2):  # again: Blender moves whichever end of the range the other would overtake
        for name, value in values.items():
            setattr(_holder(scene, name), name, value)


def _read(run: bpy.types.Collection, key: str) -> dict[str, Any]:
    kept = run.get(key)
    return kept.to_dict() if kept is not None else {}
