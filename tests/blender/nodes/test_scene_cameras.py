"""Known cameras on Blender's side: what ``nodes/cameras.py`` makes, ``nodes/scene_cameras.py`` reads back."""

from dataclasses import replace

import bpy
import numpy as np
import payloads
import pytest
from bpy_extras.object_utils import world_to_camera_view
from da3_blender.core.errors import BadInput
from da3_blender.core.output.payload import CameraRecord
from da3_blender.nodes import assembly, point_cloud, scene_cameras
from mathutils import Matrix, Vector

# Blender keeps a camera's numbers in float32: 6e-8 of each.
RELATIVE = 1e-6


@pytest.mark.parametrize("size", [(640, 428), (378, 504), (504, 504)], ids=["landscape", "portrait", "square"])
def test_what_was_made_is_read_back(scene, size):
    rng = np.random.default_rng(1)
    made = []
    for i in range(8):
        fx, fy = rng.uniform(0.3, 3.0, 2) * size[0]
        cx, cy = rng.uniform(0.2, 0.8, 2) * size
        k = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        made.append(
            payloads.record(payloads.random_pose(rng), k, size, frame=i, name=f"p{i}", placement=(0, 14, size[0], 99))
        )
    run = assembly.begin(scene, "rig")
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(payloads.random_cloud(3)), made))
    bpy.context.view_layer.update()

    read = {record.name: record for record in scene_cameras.read_collection(scene, "rig")}

    assert sorted(read) == [record.name for record in made]
    for record in made:
        back = read[record.name]
        assert CameraRecord.from_json(back.to_json()) == back
        for name in ("frame", "width", "height", "placement"):
            assert getattr(back, name) == getattr(record, name)
        numbers = [(r.fx, r.fy, r.cx, r.cy) for r in (back, record)]
        assert numbers[0] == pytest.approx(numbers[1], abs=RELATIVE * max(*numbers[1], size[0]))
        poses = [np.reshape(r.camera_to_world, (4, 4)) for r in (back, record)]
        assert np.abs(poses[0] - poses[1]).max() < RELATIVE * 40.0  # up to 20 units on each axis from the origin


def camera_of_a_person(scene, size=(1920, 1080), **words):
    data = bpy.data.cameras.new("cam")
    for key, value in words.items():
        setattr(data, key, value)
    camera = bpy.data.objects.new("photo", data)
    camera.matrix_world = Matrix.Translation((1.0, 2.0, 3.0)) @ Matrix.Rotation(0.4, 4, "X") @ Matrix.Scale(2.5, 4)
    rig = bpy.data.collections.new("Rig")
    scene.collection.children.link(rig)
    rig.objects.link(camera)
    scene.render.resolution_x, scene.render.resolution_y = size
    bpy.context.view_layer.update()
    return camera


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920)], ids=["landscape", "portrait"])
@pytest.mark.parametrize("aspect", [(1.0, 1.0), (1.0, 1.5), (2.0, 1.0)])
def test_any_perspective_camera_is_read_as_blender_itself_projects(scene, fit, size, aspect):
    camera = camera_of_a_person(
        scene, size, sensor_fit=fit, lens=31.0, sensor_width=30.0, sensor_height=21.0, shift_x=0.11, shift_y=-0.07
    )
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = aspect
    (record,) = scene_cameras.read_collection(scene, "Rig")
    assert (record.name, record.frame, record.placement) == ("photo", scene_cameras.FOREIGN, (0, 0, *size))
    world_to_camera = np.linalg.inv(np.reshape(record.camera_to_world, (4, 4)))
    for point in ((1.5, 3.0, -4.0), (0.0, 4.0, -2.0), (2.0, 2.5, -9.0)):
        x, y, z, _ = world_to_camera @ (*point, 1.0)
        u, v = record.fx * x / -z + record.cx, record.cy - record.fy * y / -z
        seen = world_to_camera_view(scene, camera, Vector(point))
        # Blender computes this in float32, of a picture 2,000 pixels wide
        assert (u, v) == pytest.approx((seen.x * size[0], (1.0 - seen.y) * size[1]), abs=5e-3)


def test_no_collection_an_empty_one_and_other_projections_are_named(scene):
    with pytest.raises(BadInput, match="choose a collection"):
        scene_cameras.read_collection(scene, "")
    with pytest.raises(BadInput, match="no collection 'Rig'"):
        scene_cameras.read_collection(scene, "Rig")
    camera = camera_of_a_person(scene)
    camera.data.type = "ORTHO"
    with pytest.raises(BadInput, match="'photo' is not a perspective camera"):
        scene_cameras.read_collection(scene, "Rig")
    bpy.data.objects.remove(camera)
    with pytest.raises(BadInput, match="no cameras in the collection 'Rig'"):
        scene_cameras.read_collection(scene, "Rig")


def test_cameras_in_collections_inside_are_found(scene):
    run = assembly.begin(scene, "rig")
    records = payloads.random_records(4)
    for k in range(2):
        chosen = [replace(r) for r in records[2 * k : 2 * k + 2]]
        point_cloud.run_all(assembly.batch_steps(run, k, payloads.parts(payloads.random_cloud(3)), chosen))
    assert len(scene_cameras.read_collection(scene, "rig")) == 4


# ---------------------------------------------------------------------------------------- with the real worker


def test_the_cameras_of_a_run_are_the_known_cameras_of_the_next(enabled):
    bpy.ops.da3.generate()
    scene = bpy.context.scene
    scene.da3.known_cameras, scene.da3.known_cameras_collection = "collection", "wall"
    with pytest.raises(RuntimeError, match="one straight line"):  # as the stand-in's do
        bpy.ops.da3.generate()
    scene.objects["photo_001"].location.z += 0.5
    bpy.context.view_layer.update()
    assert bpy.ops.da3.generate() == {"FINISHED"}
    scene.da3.known_cameras_collection = "nowhere"
    with pytest.raises(RuntimeError, match="no collection 'nowhere'"):
        bpy.ops.da3.generate()


def test_a_run_with_animation_and_result_files_is_built_as_its_settings_say(enabled, tmp_path):
    scene = bpy.context.scene
    scene.da3.animate_sequence = scene.da3.per_frame_geometry = True
    scene.da3.output_folder = str(tmp_path / "out")
    assert bpy.ops.da3.generate() == {"FINISHED"}
    assert [o.name for o in scene.objects if o.type == "CAMERA"] == ["DA3_Camera"]
    for frame in range(3):
        scene.frame_set(frame)
        assert [o.name for o in scene.objects if o.type == "MESH" and not o.hide_render] == [f"Frame_photo_{frame:03d}"]
        assert scene.objects["DA3_Camera"].location.x == pytest.approx(0.1 * frame)
    names = {path.name for path in (tmp_path / "out").glob("[!.]*")}  # without what says which files are ours
    assert names == {
        "wall.ply",
        "camera_intrinsics.csv",
        "camera_report.txt",
        "calib_wall.txt",
        "calib_wall_da3.txt",
        "colmap",
    }
