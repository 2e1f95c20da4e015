"""A run as a whole: collections, names, the scene's size and frame range, and what a cancelled batch leaves."""

from dataclasses import replace

import bpy
import payloads
import pytest
from da3_blender.core.output import payload, point_clouds
from da3_blender.core.output.payload import Part
from da3_blender.nodes import assembly, placing, point_cloud
from da3_blender.nodes.datablocks import collections, point_trees
from da3_blender.nodes.datablocks import scene as scenes


def run(scene, name="courtyard", batches=1, cameras=3):
    run = assembly.begin(scene, name)
    for k in range(batches):
        cloud = payloads.random_cloud(50, seed=k)
        point_cloud.run_all(
            assembly.batch_steps(run, k, payloads.parts(cloud), payloads.random_records(cameras, seed=k))
        )
    assembly.end(run)
    return run


def outline(collection):
    return {collection.name: [o.name for o in collection.objects] + [outline(child) for child in collection.children]}


def test_one_batch_lies_flat_in_the_collection_of_its_run(scene):
    run(scene, batches=1, cameras=2)
    assert [outline(c) for c in scene.collection.children] == [
        {"courtyard": ["Points", {"Cameras": ["photo_000", "photo_001"]}]}
    ]


def test_of_several_batches_each_has_its_collection_with_objects_and_cameras(scene):
    run(scene, batches=3, cameras=1)
    assert [outline(c) for c in scene.collection.children] == [{"courtyard": [
        {"courtyard_Batch_0": ["courtyard_Batch_0_Points", {"Cameras": ["photo_000"]}]},
        {"courtyard_Batch_1": ["courtyard_Batch_1_Points", {"Cameras.001": ["photo_000.001"]}]},
        {"courtyard_Batch_2": ["courtyard_Batch_2_Points", {"Cameras.002": ["photo_000.002"]}]},
    ]}]  # fmt: skip


@pytest.mark.parametrize("is_long", [False, True], ids=["batches", "a long way's chunks"])
def test_cameras_of_several_inputs_have_a_collection_each_by_its_name(scene, is_long):
    run = assembly.begin(scene, "left + right", shares_collection=is_long)
    for k in range(2):
        cloud = payloads.random_cloud(50, seed=k)
        records = [
            replace(r, input=name)
            for r, name in zip(payloads.random_records(2, seed=k), ("left", "right"), strict=True)
        ]
        point_cloud.run_all(assembly.batch_steps(run, k, payloads.parts(cloud), records))
    assembly.end(run)
    found = {c.name.split(".")[0]: [] for c in run.top.children_recursive}
    for collection in run.top.children_recursive:
        found[collection.name.split(".")[0]] += [o.name.split(".")[0] for o in collection.objects if o.type == "CAMERA"]
    assert found["Cameras"] == [] and found["left"] == ["photo_000"] * 2 and found["right"] == ["photo_001"] * 2
    inner = [c for c in run.top.children_recursive if c.name.startswith("Cameras")]
    assert len(inner) == (1 if is_long else 2)
    assert all({child.name.split(".")[0] for child in c.children} == {"left", "right"} for c in inner)


def test_the_batches_of_a_run_share_material_and_node_group(scene):
    run(scene, batches=2)
    clouds = [o for o in bpy.data.objects if o.type == "MESH"]
    assert len({o.modifiers["GeometryNodes"].node_group for o in clouds}) == 1
    assert [m.name for m in bpy.data.materials] == ["PointMaterial"]


def test_running_twice_makes_a_second_set_that_shares_nothing_with_the_first(scene):
    first, second = run(scene), run(scene)
    assert (first.top.name, second.top.name) == ("courtyard", "courtyard.001")
    assert [o.name for o in second.top.objects] == ["Points.001"]
    assert first.tree != second.tree
    assert first.material != second.material
    assert not set(first.top.all_objects) & set(second.top.all_objects)
    assert len(first.top.all_objects) == len(second.top.all_objects) == 4


def test_the_scene_takes_size_camera_and_frame_range_of_the_images(scene):
    run(scene, cameras=5)
    assert scene.camera.name == "photo_000"
    assert (scene.render.resolution_x, scene.render.resolution_y) == (640, 428)
    assert (scene.frame_start, scene.frame_end, scene.frame_current) == (0, 4, 0)


@pytest.mark.parametrize("frames", [(0, 0), (300, 500), (3, 8)])
def test_any_frame_range_is_taken_over_exactly(scene, frames):
    scenes.frame_range(scene, frames)
    assert (scene.frame_start, scene.frame_end) == frames


def test_a_persons_colour_management_is_left_as_it_is(scene):
    before = scene.view_settings.view_transform
    run(scene)
    assert scene.view_settings.view_transform == before
    scenes.photo_colors(scene)
    assert scene.view_settings.view_transform == "Standard"


def test_the_text_block_lists_every_camera_of_every_batch(scene):
    run(scene, batches=2, cameras=3)
    lines = bpy.data.texts["DA3_Camera_Intrinsics"].as_string().splitlines()
    assert lines[0] == "frame,name,fx,fy,cx,cy,fov_h_deg,fov_v_deg"
    assert [line.split(",")[1] for line in lines[1:]] == ["photo_000", "photo_001", "photo_002"] * 2


def test_a_batch_cancelled_after_any_step_leaves_the_batches_before_it_and_nothing_else(scene):
    begun = assembly.begin(scene, "courtyard")
    cloud, records = payloads.random_cloud(50), payloads.random_records(3)
    point_cloud.run_all(assembly.batch_steps(begun, 0, payloads.parts(cloud), records))
    before = everything()
    taken = 0
    while True:
        taken += 1
        steps = assembly.batch_steps(begun, 1, payloads.parts(cloud), records)
        try:
            for _ in range(taken):
                next(steps)
        except StopIteration:
            break
        steps.close()
        assert everything() == before, f"after step {taken}"
    assert taken > 10


def test_a_run_that_built_nothing_leaves_nothing(scene):
    before = everything()
    begun = assembly.begin(scene, "courtyard")
    assert everything() != before
    assembly.end(begun)
    assert everything() == before


def everything():
    kinds = ("objects", "meshes", "cameras", "collections", "materials", "node_groups", "texts", "images")
    return {kind: sorted(d.name for d in getattr(bpy.data, kind)) for kind in kinds}


@pytest.mark.parametrize("name", ["x" * 400, "é" * 200, "院" * 150, ""])
def test_a_name_of_any_length_and_script_keeps_its_batch_number(scene, name):
    first, second = run(scene, name, batches=2), run(scene, name, batches=2)
    for made in (first, second):
        for number, batch in enumerate(made.top.children):
            assert batch.name.endswith(f"_Batch_{number}")
            assert [o.name.endswith(f"_Batch_{number}_Points") for o in batch.objects] == [True]
            assert len(batch.name.encode()) <= collections.LONGEST_NAME
    assert first.top != second.top


@pytest.mark.parametrize("name", ["x" * 200, "院" * 80])
def test_objects_called_after_images_fit_and_stay_apart_in_any_batch(scene, name):
    records = [replace(r, name=f"{name}{r.frame}") for r in payloads.random_records(3)]
    labels = point_clouds.frame_labels(records)
    begun = assembly.begin(scene, name)
    for number in range(2):
        parts = [
            Part(f"{kind}_{label}", payloads.random_cloud(5))
            for kind in ("_Mesh", "Moving", "table_12")
            for label in labels.values()
        ]
        point_cloud.run_all(assembly.batch_steps(begun, number, parts, records))
    assembly.end(begun)
    names = [obj.name for obj in begun.top.all_objects if obj.type == "MESH"]
    assert len(set(names)) == 18 and all(len(n.encode("utf-8")) <= collections.LONGEST_NAME for n in names)
    for kind in ("_Mesh", "Moving", "table_12"):
        assert sum(f"{kind}_{label}" in n for n in names for label in labels.values()) == 6


def test_more_points_than_one_object_holds_become_two_objects(scene, monkeypatch):
    monkeypatch.setattr("da3_blender.core.output.payload.split.__defaults__", (40,))
    begun = assembly.begin(scene, "courtyard")
    batch = point_cloud.run_all(assembly.batch_steps(begun, 0, payloads.parts(payloads.random_cloud(50)), []))
    assert [(o.name, len(o.data.vertices)) for o in batch.objects] == [
        ("Points_1", 25), ("Points_2", 25),
    ]  # fmt: skip


def test_threshold_and_scale_reach_the_modifier(scene):
    begun = assembly.begin(scene, "courtyard")
    steps = assembly.batch_steps(begun, 0, payloads.parts(payloads.random_cloud(9)), [], threshold=2.0, scale=4.0)
    (obj,) = point_cloud.run_all(steps).objects
    modifier = obj.modifiers["GeometryNodes"]
    assert (point_trees.get_input(modifier, "Threshold"), point_trees.get_input(modifier, "Point Size")) == (2.0, 4.0)


def test_a_cloud_too_large_for_one_tick_becomes_several_objects(scene, monkeypatch):
    run = assembly.begin(scene, "dog")
    cloud = payloads.random_cloud(70)
    monkeypatch.setattr(placing, "split", lambda points: payload.split(points, 30))
    batch = point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud), []))
    assert [(o.name, len(o.data.vertices)) for o in batch.objects] == [
        ("Points_1", 23), ("Points_2", 23), ("Points_3", 24),
    ]  # fmt: skip
