"""Tracks in a scene: bare vertices with their error, and empties on the best of them."""

from types import SimpleNamespace

import bmesh
import bpy
import numpy as np
import payloads
import pytest
from da3_blender.core.output.payload import Part, TrackArrays
from da3_blender.nodes import assembly, point_cloud
from da3_blender.nodes.edits import deleting, look, tracks, transforming
from da3_blender.operators.command_line import cli

COUNT = 200


@pytest.fixture
def run(scene):
    random = np.random.default_rng(0)
    arrays = TrackArrays(
        random.uniform(-1.0, 1.0, (COUNT, 3)).astype(np.float32),
        np.linspace(0.1, 0.9, COUNT, dtype=np.float32),
        np.full(COUNT, 5, np.int32),
    )
    run = assembly.begin(scene, "shot")
    point_cloud.run_all(
        assembly.batch_steps(run, 0, payloads.parts(payloads.random_cloud(20)), payloads.random_records(2))
    )
    point_cloud.run_all(assembly.batch_steps(run, None, [Part("_Tracks", arrays)], []))
    assembly.end(run)
    return run.top, arrays


def test_tracks_are_vertices_with_error_and_length(run):
    top, arrays = run
    (obj,) = look.objects_of(top, look.TRACKS)
    assert obj.name == "shot_Tracks" and not obj.modifiers and not obj.data.polygons
    assert transforming.world_positions(obj) == pytest.approx(arrays.position)
    error = np.empty(COUNT, np.float32)
    obj.data.attributes["error"].data.foreach_get("value", error)
    assert np.array_equal(error, arrays.error)
    assert obj.data.attributes["track_length"].data[7].value == 5


def test_tracks_are_hidden_until_somebody_wants_them(run):
    top, _ = run
    assert look.is_visible(top, look.POINTS) and not look.is_visible(top, look.TRACKS)
    look.set_visible(top, look.TRACKS, True)
    assert look.is_visible(top, look.TRACKS)


def test_a_picture_of_the_run_does_not_ask_for_the_colour_of_tracks(run, tmp_path, monkeypatch):
    top, _ = run
    given = []
    monkeypatch.setattr(cli, "render_preview", lambda clouds, cameras, _file: given.extend([clouds, cameras]))
    cli._render(SimpleNamespace(collection=top), tmp_path / "run.png")
    clouds, cameras = given
    assert [obj.name for obj in clouds] == ["Points"] and len(cameras) == 2


def test_empties_stand_on_the_best_tracks_spread_over_the_scene_and_move_with_the_run(run):
    top, arrays = run
    obj = tracks.object_of(top)
    rows = tracks.best(obj, 8)
    places = arrays.position[rows]
    assert len(rows) == 8 and rows[0] == 0
    assert np.ptp(places, axis=0).min() > 1.0  # of 2 in each direction
    made = tracks.as_empties(obj, rows)
    assert tracks.as_empties(obj, rows) == []  # they are there
    bpy.context.view_layer.update()
    assert np.array([empty.matrix_world.translation for empty in made]) == pytest.approx(places, abs=1e-6)
    assert made[3]["error"] == pytest.approx(float(arrays.error[rows[3]]))
    move = np.diag([2.0, 2.0, 2.0, 1.0])
    move[:3, 3] = 1.0, 0.0, -1.0
    for _ in transforming.move_steps(top, move):
        pass
    bpy.context.view_layer.update()
    moved = np.array([empty.matrix_world.translation for empty in made])
    assert moved == pytest.approx(2.0 * places + move[:3, 3], abs=1e-5)


def test_those_that_were_selected_in_edit_mode_become_empties(enabled, run):
    top, arrays = run
    obj = tracks.object_of(top)
    bpy.context.view_layer.objects.active = obj
    assert tracks.selected(obj) == []
    bpy.ops.object.mode_set(mode="EDIT")
    vertices = bmesh.from_edit_mesh(obj.data).verts
    vertices.ensure_lookup_table()
    for row in (3, 150):
        vertices[row].select = True
    bpy.ops.object.mode_set(mode="OBJECT")
    assert bpy.ops.da3.tracks_as_empties(count=9) == {"FINISHED"}
    assert sorted(empty[tracks.TRACK] for empty in tracks.empties_of(top)) == [3, 150]
    (first, _) = sorted(tracks.empties_of(top), key=lambda empty: empty.name)
    assert list(first.location) == pytest.approx(arrays.position[3].tolist(), abs=1e-6)


def test_delete_run_takes_tracks_and_empties_along(scene, run):
    top, _ = run
    tracks.as_empties(tracks.object_of(top), [0, 1])
    deleting.delete(scene, top)
    assert not [obj for obj in bpy.data.objects if "Tracks" in obj.name]
