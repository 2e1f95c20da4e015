"""Rebuild, Merge Points, Fuse and Split on a run in the scene, through the real worker and without a model."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import bpy
import numpy as np
import payloads
import pytest
from addon_fixtures import datablocks, new_run, step_until
from da3_blender import addon
from da3_blender.core.output.payload import MeshArrays, Part
from da3_blender.nodes import assembly, point_cloud
from da3_blender.nodes.datablocks import splat_nodes
from da3_blender.nodes.edits import transforming
from da3_blender.operators import handlers
from da3_blender.operators.jobs.rebuilding import RebuildJob
from da3_blender.operators.state import kept_run
from da3_blender.operators.state.places import places
from da3_blender.operators.state.properties import read
from da3_blender.operators.state.session import session
from da3_blender.panels import sidebar


@pytest.fixture
def run(enabled):
    """A run of three pictures in the scene, kept; its worker still knows the model."""
    bpy.context.scene.da3.min_confidence = 0.5
    job = new_run()
    job.run()
    return job.collection


def objects(top, kind="MESH"):
    return sorted((obj for obj in top.all_objects if obj.type == kind), key=lambda obj: obj.name)


def points(top):
    return sum(len(obj.data.vertices) for obj in objects(top))


def test_rebuild_replaces_what_was_built_and_loads_no_model(run, tmp_path):
    before, names = points(run), sorted(obj.name for obj in run.all_objects)
    loaded = (tmp_path / "loads.txt").read_text()
    bpy.context.scene.da3.min_confidence = 1.6  # the stand-in's confidence is 1.5
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    assert points(run) == 0
    bpy.context.scene.da3.min_confidence = 0.5
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    assert points(run) == before
    assert sorted(obj.name for obj in run.all_objects) == names
    assert (tmp_path / "loads.txt").read_text() == loaded
    assert bpy.context.scene.collection.children[:] == [run]
    assert run.name in bpy.data.collections and len(bpy.data.texts) == 2  # the cameras' table and report
    assert len(bpy.data.materials) == 1 and len(bpy.data.node_groups) == 1
    assert len(bpy.data.meshes) == 1 and len(bpy.data.cameras) == 3
    assert not run.hide_viewport and not run.hide_render


def test_rebuild_makes_meshes_instead_of_points_and_animates(run):
    settings = bpy.context.scene.da3
    settings.generate_meshes, settings.animate_sequence, settings.per_frame_geometry = True, True, True
    bpy.context.scene.frame_set(1)
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    assert len(objects(run)) == 3 and all(len(obj.data.polygons) for obj in objects(run))
    assert [obj.hide_viewport for obj in objects(run)] == [True, False, True]  # the scene stands at frame 1
    assert [obj.name for obj in objects(run, "CAMERA")] == ["DA3_Camera"]
    settings.generate_meshes = settings.animate_sequence = settings.per_frame_geometry = False
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    assert not any(len(obj.data.polygons) for obj in objects(run)) and len(objects(run, "CAMERA")) == 3
    assert len(bpy.data.actions) == 0


def test_what_a_person_has_changed_stays(run):
    own = bpy.data.objects.new("my lamp", bpy.data.lights.new("my lamp", "POINT"))
    run.children["Cameras"].objects.link(own)
    run.name = "my place"
    material = bpy.data.materials[0]
    material["mine"] = True
    scene = bpy.context.scene
    scene.frame_set(2)
    scene.render.resolution_x = 1234
    bpy.ops.da3.scale_by_distance(first=(0, 0, 0), second=(0, 0, 1), distance=3.0)
    place = transforming.place_of(run)
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    assert own.name in run.all_objects and run.name == "my place"
    assert scene.frame_current == 2 and scene.render.resolution_x == 1234
    assert bpy.data.materials[:] == [material]
    assert scene.camera is not None and scene.camera.name in run.all_objects
    np.testing.assert_allclose(transforming.place_of(run), place)
    (cloud,) = objects(run)
    np.testing.assert_allclose(np.array(cloud.matrix_world), place, atol=1e-6)
    assert cloud.name == "Points"
    camera = objects(run, "CAMERA")[1]
    assert camera.location.length == pytest.approx(0.3, abs=1e-5)  # 0.1 as it was made


def test_merging_points_makes_fewer_and_fusing_adds_a_surface(run):
    before = points(run)
    bpy.context.scene.da3.merge_voxel_size = 0.2
    assert bpy.ops.da3.merge_points() == {"FINISHED"}
    assert 0 < points(run) < before / 4
    assert bpy.context.scene.da3.merge_points is False  # the scene's settings stay
    clouds = objects(run)
    bpy.context.scene.da3.fuse_voxel_size = 0.05
    assert bpy.ops.da3.fuse() == {"FINISHED"}
    (surface,) = [obj for obj in objects(run) if obj not in clouds]
    assert surface.name == f"{run.name}_Fused" and len(surface.data.polygons) > 100
    world = transforming.world_positions(surface)
    assert np.abs(world[:, 1] - 2.0).max() < 0.1  # the stand-in sees a wall, 2 in front of it
    assert set(clouds) < set(objects(run)) and len(bpy.context.scene.collection.children) == 1
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    assert surface.name in run.all_objects  # it took long, and nobody asked for another


def test_cancelled_it_leaves_everything_as_it_was(run):
    before = datablocks()
    context = bpy.context
    for stop in (lambda job: job._run is not None, lambda job: len(bpy.data.meshes) > 1):
        job = RebuildJob(session(context), context.scene, read(context.scene), places(context), run)
        job.start()
        step_until(job, lambda job=job, stop=stop: stop(job))
        job.cancel()
        assert datablocks() == before and not job.changed


def test_an_undo_while_it_builds_is_answered_by_building_again(run):
    context, names = bpy.context, sorted(obj.name for obj in run.all_objects)
    job = RebuildJob(session(context), context.scene, read(context.scene), places(context), run)
    job.start()
    step_until(job, lambda: len(bpy.data.meshes) > 1)
    bpy.data.batch_remove([made for made in bpy.data.collections if made.hide_viewport])
    handlers.scene_was_replaced()
    step_until(job, lambda: job.ended)
    assert job.error is None and sorted(obj.name for obj in run.all_objects) == names
    assert context.scene.collection.children[:] == [run] and len(bpy.data.meshes) == 1


def test_a_run_that_is_not_kept_says_so(run, own_kept_runs):
    assert kept_run.why_not_kept(bpy.context) == ""
    shutil.rmtree(own_kept_runs)
    assert kept_run.why_not_kept(bpy.context) == kept_run.NOT_KEPT
    for call in (bpy.ops.da3.rebuild, bpy.ops.da3.fuse, bpy.ops.da3.merge_points):
        with pytest.raises(RuntimeError, match="poll"):
            call()


def test_a_broken_kept_run_is_an_error_and_changes_nothing(run, own_kept_runs):
    before = sorted(obj.name for obj in run.all_objects)
    (folder,) = (path for path in own_kept_runs.iterdir() if path.is_dir())  # beside it lies what the run took
    (folder / "0.npz").write_bytes(b"not an archive")
    with pytest.raises(RuntimeError, match="generate it again"):
        bpy.ops.da3.rebuild()
    assert sorted(obj.name for obj in run.all_objects) == before
    assert bpy.context.scene.collection.children[:] == [run]


# ------------------------------------------------------------------------------------------------- Split by Object


@pytest.fixture
def built(scene):
    """A function that builds parts into the scene as a run."""
    addon.register()

    def build(*parts):
        run = assembly.begin(bpy.context.scene, "wall")
        point_cloud.run_all(assembly.batch_steps(run, 0, parts, []))
        return run.top

    yield build
    addon.unregister()


def test_a_cloud_is_split_by_its_things_and_no_point_is_lost(built, own_kept_runs):
    cloud = payloads.random_cloud(400)
    ids = np.random.default_rng(0).choice(np.array([0, 1, 7], np.int32), 400)
    top = built(Part("_Points", replace(cloud, object_id=ids)))
    folder = own_kept_runs / "some_run"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"batches": [{"names": {"1": "chair_1"}}]}))
    top[transforming.RUN] = "some_run"
    bpy.ops.da3.scale_by_distance(first=(0, 0, 0), second=(0, 0, 1), distance=2.0)
    place = transforming.place_of(top)
    assert bpy.ops.da3.split_by_object() == {"FINISHED"}
    (segmented,) = [c for c in top.children if c.name == "Segmented"]
    assert sorted(obj.name for obj in segmented.objects) == ["Background", "chair_1", "thing_7"]
    assert objects(top) == sorted(segmented.objects, key=lambda obj: obj.name)
    for name, thing in (("Background", 0), ("chair_1", 1), ("thing_7", 7)):
        obj, own = segmented.objects[name], ids == thing
        for array in ("position", "point_color", "conf", "frame", "object_id"):
            expected = ids if array == "object_id" else getattr(cloud, array)
            np.testing.assert_array_equal(values(obj.data, array), expected[own].reshape(-1))
        np.testing.assert_allclose(np.array(obj.matrix_world), place)
        assert obj.modifiers[0].node_group is not None
    assert bpy.ops.da3.split_by_object() == {"FINISHED"}
    assert session(bpy.context).status.outcome == "There is one thing only"


def values(mesh, name):
    attribute = mesh.attributes[name]
    value, width = {
        "FLOAT": ("value", 1),
        "INT": ("value", 1),
        "FLOAT_VECTOR": ("vector", 3),
        "FLOAT_COLOR": ("color", 4),
    }[attribute.data_type]
    flat = np.empty(width * len(attribute.data), np.int32 if attribute.data_type == "INT" else np.float32)
    attribute.data.foreach_get(value, flat)
    return flat


def test_a_mesh_is_split_between_its_faces_and_keeps_uvs_and_material(built):
    side = 12
    v, u = np.mgrid[:side, :side].astype(np.float32)
    position = np.stack([u, np.zeros_like(u), v], axis=-1).reshape(-1, 3)
    first = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    corners = np.stack([first, first + 1, first + side + 1, first + side], axis=-1).astype(np.int32)
    uv = position[corners.ravel()][:, (0, 2)] / side
    top = built(Part(
        "_Mesh", MeshArrays(
            position, corners, np.ones((side * side, 4), np.float32), uv=uv.astype(np.float32),
            object_id=(position[:, 0] > 4).astype(np.int32),
        )
    ))  # fmt: skip
    material = objects(top)[0].data.materials[0]
    assert bpy.ops.da3.split_by_object() == {"FINISHED"}
    parts = objects(top)
    assert [obj.name for obj in parts] == ["Background", "thing_1"]
    assert sum(len(obj.data.polygons) for obj in parts) == len(corners)
    for part in parts:
        mesh = part.data
        assert not mesh.validate() and mesh.materials[0] == material and len(mesh.edges)
        for loop in mesh.loops:
            x, _, z = mesh.vertices[loop.vertex_index].co
            np.testing.assert_allclose(mesh.uv_layers[0].uv[loop.index].vector, (x / side, z / side), atol=1e-6)


def test_what_shows_at_one_frame_only_still_does_when_it_is_split(built):
    top = built(
        Part("_Frame_3", replace(payloads.random_cloud(40), object_id=np.arange(40, dtype=np.int32) % 2), frame=3)
    )
    assert bpy.ops.da3.split_by_object() == {"FINISHED"}
    for frame, hidden in ((3, False), (4, True)):
        bpy.context.scene.frame_set(frame)
        assert [obj.hide_viewport for obj in objects(top)] == [hidden, hidden]


def test_without_things_split_says_what_is_missing(built):
    built(Part("_Points", payloads.random_cloud(10)))
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.da3.split_by_object()


def test_the_panel_shows_what_can_be_done_once_there_is_a_run(built):
    assert "da3.rebuild" not in shown(drawn_sidebar())
    top = built(Part("_Points", payloads.random_cloud(10)))
    drawn = drawn_sidebar()
    assert {"da3.rebuild", "da3.fuse", "da3.merge_points", "da3.split_by_object", "da3.set_upright"} < shown(drawn)
    texts = " ".join(str(call.kwargs.get("text")) for call in drawn.mock_calls if call[0].endswith("label"))
    assert top.name in texts and "not kept" in texts


def drawn_sidebar():
    drawn = MagicMock()
    sidebar.DA3_PT_main.draw(SimpleNamespace(layout=drawn), bpy.context)
    return drawn


def shown(drawn):
    return {call.args[0] for call in drawn.mock_calls if call[0].endswith("operator")}


@pytest.mark.skipif(not splat_nodes.DRAWN, reason="Blender draws splats from 5.3 on")
def test_refining_splats_gives_the_run_splats_in_its_place(run):
    before = points(run)
    assert bpy.ops.da3.refine_splats() == {"FINISHED"}
    assert points(run) == before
    assert all("radiance:base" in obj.data.attributes for obj in objects(run))


@pytest.mark.skipif(splat_nodes.DRAWN, reason="Blender draws splats from 5.3 on")
def test_an_older_blender_says_why_it_refines_no_splats(run):
    with pytest.raises(RuntimeError, match="from version 5.3 on"):
        bpy.ops.da3.refine_splats()


@pytest.mark.skipif(not splat_nodes.DRAWN, reason="Blender draws splats from 5.3 on")
def test_refining_splats_takes_no_surface_away(run):
    bpy.ops.mesh.primitive_plane_add()
    run.objects.link(bpy.context.object)
    bpy.context.view_layer.objects.active = objects(run)[0]
    with pytest.raises(RuntimeError, match="the run's meshes would go"):
        bpy.ops.da3.refine_splats()
