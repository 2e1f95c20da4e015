"""What is filtered, what is merged, and which frames a pass takes."""

import numpy as np
import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.output import voxel_merging
from da3_blender.core.output.payload import PointArrays
from da3_blender.core.prediction import filters
from da3_blender.core.prediction.batching import plan
from da3_blender.core.settings import BatchMode, Settings


def test_a_depth_step_is_an_edge_and_a_slope_is_not():
    depth = np.tile(np.linspace(5, 5.5, 60, dtype=np.float32), (1, 40, 1))
    depth[:, :, 30:] += 5
    edge = filters.edges(depth)
    np.testing.assert_array_equal(np.flatnonzero(edge[0, 20]), [29, 30])  # what a 3x3 window sees of the step


def test_a_flat_image_has_no_edges():
    assert not filters.edges(np.full((2, 10, 10), 3.0, np.float32)).any()


def test_the_border_of_unknown_depth_is_no_edge_and_does_not_hide_one():
    depth = np.full((1, 40, 60), 5.0, np.float32)
    depth[:, :, 40:] = 5.5
    depth[:, :10] = 0
    edge = filters.edges(depth)
    assert edge[0, 20, 39] and edge[0, 20, 40]
    assert not edge[0, :12, :38].any()


def test_each_image_has_a_scale_of_its_own():
    step = np.full((2, 20, 20), 1.0, np.float32)
    step[0, :, 10:] = 2.0
    step[1, :, 10:] = 1.001
    edge = filters.edges(step)
    np.testing.assert_array_equal(edge[0], edge[1])


def cloud(position, conf, color=None):
    position = np.asarray(position, np.float32)
    color = np.ones((len(position), 4), np.float32) if color is None else np.asarray(color, np.float32)
    return PointArrays(position, color, np.asarray(conf, np.float32), np.arange(len(position), dtype=np.int32))


def test_points_of_a_voxel_become_their_confidence_weighted_mean():
    merged = voxel_merging.merge(
        cloud([[0, 0, 0], [0.3, 0, 0], [5, 5, 5]], [1, 3, 2], [[0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1]]), 1.0
    )
    assert len(merged) == 2
    first = int(np.argmin(merged.position[:, 0]))
    assert merged.position[first, 0] == pytest.approx(0.225)  # (0 * 1 + 0.3 * 3) / 4
    np.testing.assert_allclose(merged.point_color[first], [0.75, 0, 0, 1])
    assert (merged.conf[first], merged.frame[first]) == (3, 1)


def test_merging_leaves_one_point_in_each_occupied_voxel():
    random = np.random.default_rng(0)
    points = cloud(random.uniform(-3, 3, (20000, 3)), random.uniform(1, 5, 20000))
    merged = voxel_merging.merge(points, 0.5)
    voxels = np.unique(np.floor((points.position - points.position.min(axis=0)) / 0.5), axis=0)
    assert len(merged) == len(voxels)
    assert merged.position.dtype == merged.point_color.dtype == merged.conf.dtype == np.float32


def test_no_points_merge_to_no_points():
    empty = cloud(np.zeros((0, 3)), [])
    assert len(voxel_merging.merge(empty, 1.0)) == 0


def test_voxels_too_small_to_count_are_refused():
    with pytest.raises(BadInput, match="too small"):
        voxel_merging.merge(cloud([[0, 0, 0], [1e4, 1e4, 1e4]], [1, 1]), 1e-9)


def test_the_footprint_is_the_median_of_depth_over_focal_length():
    depth = np.full((1, 4, 4), 8.0, np.float32)
    depth[0, 0] = 0
    assert voxel_merging.median_footprint(
        depth, np.ones_like(depth), np.diag([400.0, 400.0, 1.0])[None]
    ) == pytest.approx(0.02)


def test_skip_frames_takes_evenly_spaced_frames_with_both_ends():
    mode = BatchMode.SKIP_FRAMES
    assert plan(range(100), Settings(batch_mode=mode, batch_size=10)) == [[0, 11, 22, 33, 44, 55, 66, 77, 88, 99]]
    assert plan([3, 5, 9], Settings(batch_mode=mode, batch_size=10)) == [[3, 5, 9]]
    assert plan(range(7), Settings(batch_mode=mode, batch_size=1)) == [[0]]


def test_automatic_uses_every_frame_in_one_pass_while_they_fit():
    assert plan(range(10), Settings(), 10) == [list(range(10))]
    passes = plan(range(50), Settings(), 10)
    assert {i for one in passes for i in one} == set(range(50)) and max(map(len, passes)) == 10
    assert all(a[-1] == b[0] for a, b in zip(passes, passes[1:], strict=False))


def test_all_at_once_takes_all():
    assert plan(range(50), Settings(batch_mode=BatchMode.IGNORE_BATCH_SIZE)) == [list(range(50))]
