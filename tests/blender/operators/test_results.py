"""A finished run in a person's scene: what it may set, how it is shown, and what is there again when it is deleted."""

import bpy
import numpy as np
import pictures
import pytest
from da3_blender.nodes.datablocks import borrowed, point_trees
from da3_blender.operators.jobs import showing

#: What a run might change of a scene, and a film's shot must keep.
TABLE = (
    "camera", "render.resolution_x", "render.resolution_y", "render.resolution_percentage", "render.pixel_aspect_x",
    "render.pixel_aspect_y", "render.fps", "render.fps_base", "frame_start", "frame_end", "frame_current",
    "view_settings.view_transform",
)  # fmt: skip


def table(scene):
    return {path: scene.path_resolve(path) for path in TABLE}


def shot(scene):
    """A scene as somebody works in: a camera, 1920 x 1080, 1001 to 1100, and content."""
    camera = bpy.data.objects.new("shot cam", bpy.data.cameras.new("shot cam"))
    prop = bpy.data.objects.new("prop", bpy.data.meshes.new("prop"))
    for obj in (camera, prop):
        scene.collection.objects.link(obj)
    scene.camera = camera
    scene.frame_start, scene.frame_end = 1001, 1100
    scene.frame_end = 1100
    scene.frame_set(1042)
    scene.render.fps, scene.render.fps_base = 24, 1.001
    return table(scene)


@pytest.fixture
def photos(tmp_path):
    """Of another size than the network's."""
    return str(pictures.write(tmp_path / "photos" / "wall", width=64, height=48))


@pytest.fixture
def scene(enabled, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("DA3_KEPT_RUNS", str(tmp_path / "kept"))
    bpy.context.scene.da3.input = photos
    return bpy.context.scene


def run_of(name="wall"):
    return bpy.data.collections[name]


def test_a_persons_scene_keeps_every_setting_through_run_undo_second_run_rebuild_and_delete(scene):
    before = shot(scene)
    bpy.ops.ed.undo_push(message="before")
    told = {}
    assert bpy.ops.da3.generate() == {"FINISHED"}
    told["a run"] = table(scene)
    bpy.ops.ed.undo_push(message="Generate")
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    assert "wall" not in bpy.data.collections
    told["an undo"] = table(scene)
    before["camera"] = scene.objects["shot cam"]  # another one since the undo
    assert bpy.ops.da3.generate() == {"FINISHED"}
    told["a second run"] = table(scene)
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    told["a rebuild"] = table(scene)
    assert bpy.ops.da3.delete_run() == {"FINISHED"}
    told["a delete"] = table(scene)
    for moment, found in told.items():
        same = [path for path in TABLE if found[path] == before[path] or (path == "camera" and moment == "a run")]
        print(f"{moment}: {len(same)} of {len(TABLE)} as they were")
        assert len(same) == len(TABLE), {path: (before[path], found[path]) for path in TABLE if path not in same}
    assert told["a run"]["camera"].name == "shot cam" if _is_there(told["a run"]["camera"]) else True
    assert sorted(obj.name for obj in scene.objects) == ["prop", "shot cam"]


def _is_there(obj):
    try:
        return bool(obj.name)
    except ReferenceError:
        return False


def test_use_for_rendering_takes_camera_size_and_frames_and_delete_brings_back_what_was_there(scene):
    before = shot(scene)
    bpy.ops.da3.generate()
    assert bpy.ops.da3.use_for_rendering() == {"FINISHED"}
    assert scene.camera.name in run_of().all_objects
    assert (scene.render.resolution_x, scene.render.resolution_y) == (64, 48)  # the pictures', not the network's
    assert (scene.render.pixel_aspect_x, scene.render.pixel_aspect_y) == (1.0, 1.0)
    assert scene.frame_end - scene.frame_start == 2
    scene.render.fps = 30  # the person's since then
    bpy.ops.da3.delete_run()
    assert table(scene) == {**before, "render.fps": 30}


def test_a_scene_as_blender_starts_it_is_set_up_and_is_again_as_it_was_after_delete(scene, photos):
    bpy.ops.wm.read_factory_settings()
    settings = bpy.context.scene.da3
    scene = bpy.context.scene
    before = table(scene)
    things = {obj.name: (obj.hide_viewport, obj.hide_render) for obj in scene.objects}
    assert borrowed.is_untouched(scene) and things.keys() == {"Camera", "Cube", "Light"}
    settings.input, settings.model, settings.process_resolution = photos, "da3-small", 56
    bpy.ops.da3.generate()
    assert scene.camera.name == "photo_000"
    assert (scene.render.resolution_x, scene.render.resolution_y) == (64, 48)
    cube = scene.objects["Cube"]
    assert cube.hide_render and cube.hide_viewport
    assert "cube" in bpy.context.window_manager.da3_session.status.outcome
    bpy.ops.da3.delete_run()
    assert table(scene) == before
    assert {obj.name: (obj.hide_viewport, obj.hide_render) for obj in scene.objects} == things
    assert not bpy.data.materials.get("PointMaterial") and not bpy.data.node_groups and not bpy.data.texts


def test_a_cube_that_somebody_has_touched_stays(scene):
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    cube.name = "Cube"
    cube.location.x = 0.1
    bpy.ops.da3.generate()
    assert not cube.hide_render and not cube.hide_viewport


def test_of_two_runs_the_first_deleted_hands_on_what_was_there_before_both(scene, photos):
    before = table(scene)
    bpy.ops.da3.generate()  # takes the untouched scene
    scene.da3.input = photos
    bpy.ops.da3.generate()
    first, second = run_of("wall"), run_of("wall.001")
    bpy.context.view_layer.objects.active = second.objects[0]
    bpy.ops.da3.use_for_rendering()
    for run in (first, second):
        bpy.context.view_layer.objects.active = run.objects[0]
        bpy.ops.da3.delete_run()
    assert table(scene) == before


def test_what_a_person_put_into_a_run_survives_its_deletion(scene):
    bpy.ops.da3.generate()
    lamp = bpy.data.objects.new("my lamp", bpy.data.lights.new("my lamp", "POINT"))
    run_of().children["Cameras"].objects.link(lamp)
    bpy.ops.da3.delete_run()
    assert [obj.name for obj in scene.collection.objects] == ["my lamp"]
    assert not bpy.data.collections and not bpy.data.cameras and not bpy.data.meshes


def test_the_result_is_selected_active_framed_and_in_colour(scene):
    [space] = [space for _, space in showing._views(bpy.context)]
    space.shading.type = "SOLID"
    far = bpy.data.objects.new("far", bpy.data.meshes.new("far"))
    scene.collection.objects.link(far)
    far.select_set(True)
    space.region_3d.view_location = (100.0, 100.0, 100.0)
    bpy.ops.da3.generate()
    assert [obj.name for obj in bpy.context.selected_objects] == ["Points"]
    assert bpy.context.view_layer.objects.active.name == "Points"
    assert space.shading.type == "MATERIAL"
    points = np.array([v.co for v in scene.objects["Points"].data.vertices])
    middle = np.array(space.region_3d.view_location)
    assert np.linalg.norm(middle - points.mean(axis=0)) < 1.5 * np.ptp(points, axis=0).max()


def test_a_view_through_a_camera_is_not_moved(scene):
    [space] = [space for _, space in showing._views(bpy.context)]
    space.region_3d.view_perspective = "CAMERA"
    place = space.region_3d.view_location.copy(), space.region_3d.view_distance
    bpy.ops.da3.generate()
    assert (space.region_3d.view_location, space.region_3d.view_distance) == place
    space.region_3d.view_perspective = "PERSP"


def test_show_colours_is_offered_while_a_view_is_solid_only(scene):
    [space] = [space for _, space in showing._views(bpy.context)]
    space.shading.type = "SOLID"
    assert bpy.ops.da3.show_colours() == {"FINISHED"}
    assert space.shading.type == "MATERIAL" and not bpy.ops.da3.show_colours.poll()


def test_the_panels_values_are_those_of_modifiers_material_and_objects(scene):
    bpy.ops.da3.generate()
    run = run_of()
    shown = run.da3
    modifier = scene.objects["Points"].modifiers["GeometryNodes"]
    shown.point_size, shown.min_confidence, shown.display = 2.5, 1.25, 40.0
    assert [point_trees.get_input(modifier, name) for name in ("Point Size", "Threshold", "Display")] == [
        2.5,
        1.25,
        40.0,
    ]
    point_trees.set_input(modifier, "Point Size", 0.5)
    assert shown.point_size == 0.5
    mix = bpy.data.materials["PointMaterial"].node_tree.nodes["Mix"]
    assert not shown.show_confidence
    shown.show_confidence = True
    assert mix.inputs[0].default_value == 1.0 and shown.show_confidence
    assert shown.show_points and shown.show_cameras and not shown.show_moving
    shown.show_cameras = False
    assert all(obj.hide_get() and obj.hide_render for obj in run.all_objects if obj.type == "CAMERA")
    assert shown.show_points and not shown.show_cameras


def test_rebuild_keeps_names_sizes_materials_visibility_parents_and_colours(scene):
    bpy.ops.da3.generate()
    run = run_of()
    cloud, camera = scene.objects["Points"], scene.objects["photo_001"]
    rig = bpy.data.objects.new("rig", None)
    pin = bpy.data.objects.new("pin", None)
    for obj in (rig, pin):
        scene.collection.objects.link(obj)
    rig.location.x = 2.0
    cloud.name, cloud.data.name, camera.name = "my cloud", "my mesh", "hero view"
    run.da3.point_size, run.da3.min_confidence = 3.0, 1.5
    mine = bpy.data.materials.new("mine")
    cloud.data.materials[0] = mine
    cloud.parent, pin.parent = rig, cloud
    cloud.location.z = 0.25
    camera.hide_set(True)
    scene.objects["photo_002"].hide_render = True
    run.color_tag = "COLOR_03"
    run.children[0].color_tag, run.children[0].name = "COLOR_05", "views"
    bpy.context.view_layer.update()
    place = cloud.matrix_world.copy()
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    bpy.context.view_layer.update()
    again = scene.objects["my cloud"]
    assert again.data.name == "my mesh" and "Points" not in scene.objects
    assert scene.objects["hero view"].hide_get() and scene.objects["photo_002"].hide_render
    assert not scene.objects["photo_000"].hide_get() and not scene.objects["photo_000"].hide_render
    assert (run.da3.point_size, run.da3.min_confidence) == (3.0, 1.5)
    assert again.data.materials[:] == [mine]
    assert again.parent == rig and pin.parent == again
    np.testing.assert_allclose(again.matrix_world, place, atol=1e-6)
    assert again.select_get() and bpy.context.view_layer.objects.active == again
    assert run.color_tag == "COLOR_03" and [(c.name, c.color_tag) for c in run.children] == [("views", "COLOR_05")]


def test_fuse_hides_the_points_and_selects_the_surface(scene):
    bpy.ops.da3.generate()
    scene.da3.fuse_voxel_size = 0.05
    assert bpy.ops.da3.fuse() == {"FINISHED"}
    [surface] = [obj for obj in scene.objects if obj.type == "MESH" and obj.data.polygons]
    assert bpy.context.selected_objects == [surface] and bpy.context.view_layer.objects.active == surface
    assert scene.objects["Points"].hide_get() and scene.objects["Points"].hide_render
    assert not surface.hide_get() and not run_of().da3.show_points and run_of().da3.show_surface


def test_colours_are_shown_as_photographed_when_asked_and_undone_with_the_rest(scene):
    view = scene.view_settings
    view.view_transform = "AgX"
    view.exposure = 0.5
    with bpy.context.temp_override(scene=scene):
        assert bpy.ops.da3.photo_colors.poll()
        assert bpy.ops.da3.photo_colors() == {"FINISHED"}
        assert (view.view_transform, view.exposure) == ("Standard", 0.0)
        assert not bpy.ops.da3.photo_colors.poll()
