"""DA3 Streaming's batches go to their final place, and every point still lies on the pixel it came from."""

import numpy as np
import payloads
import pytest
from da3_blender.nodes import animation, assembly, point_cloud

K = np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])


def similarity(angle, scale, shift):
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(4)
    matrix[:3, :3] = scale * np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    matrix[:3, 3] = shift
    return matrix


def pose(x):
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


@pytest.mark.parametrize("shares", [False, True], ids=["apart", "one_collection"])
@pytest.mark.parametrize("animate", [False, True], ids=["still", "moving"])
def test_clouds_and_cameras_move_together(scene, animate, shares):
    run = assembly.begin(scene, "walk", animation.Play(animate, True), shares_collection=shares)
    clouds = []
    for k in range(2):
        records = [payloads.record(pose(k), K, (64, 48), frame=k, name=f"f{k}")]
        clouds.append(payloads.random_cloud(20))
        point_cloud.run_all(assembly.batch_steps(run, k, payloads.parts(clouds[-1]), records))
    before = [np.reshape(record.camera_to_world, (4, 4)) for record in run.records]
    moves = {0: np.eye(4), 1: similarity(0.4, 1.3, [1.0, 2.0, 3.0])}
    for _ in assembly.settle_steps(run, moves):
        pass
    for k, built in run.batches.items():
        records = built.records
        [cloud] = [obj for obj in built.objects if obj.type == "MESH"]
        [camera] = [obj for obj in built.objects if obj.type == "CAMERA"]
        scene.view_layers[0].update()
        inside = (np.c_[clouds[k].position, np.ones(20)] @ np.linalg.inv(before[k]).T)[:, :3]
        world = np.c_[clouds[k].position, np.ones(20)] @ np.array(cloud.matrix_world).T
        seen = (world @ np.linalg.inv(np.array(camera.matrix_world)).T)[:, :3]
        scale = np.cbrt(np.linalg.det(moves[k][:3, :3]))
        np.testing.assert_allclose(seen, scale * inside, atol=1e-5)  # the same rays, at a depth scaled as the cloud is
        assert np.linalg.det(np.array(camera.matrix_world)[:3, :3]) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(
            np.reshape(records[0].camera_to_world, (4, 4)), np.array(camera.matrix_world), atol=1e-5
        )
    if animate:
        scene.frame_set(run.timeline.of(1))
        moved = np.reshape(run.records[1].camera_to_world, (4, 4))
        np.testing.assert_allclose(np.array(run.camera.matrix_world), moved, atol=1e-5)


def test_the_chunks_of_a_long_way_share_a_collection_or_have_their_own(scene):
    for shares, names in ((True, ["walk_Chunks"]), (False, ["walk.001_Batch_0", "walk.001_Batch_1"])):
        run = assembly.begin(scene, "walk", shares_collection=shares)
        for k in range(2):
            records = [payloads.record(pose(k), K, (64, 48), frame=k, name=f"f{k}")]
            point_cloud.run_all(assembly.batch_steps(run, k, payloads.parts(payloads.random_cloud(20)), records))
        assert [child.name for child in run.top.children] == names
        assert sum(obj.type == "CAMERA" for obj in run.top.all_objects) == 2
