"""One point per voxel, against the plain way to say it."""

import numpy as np
import pytest
from da3_blender.core.output import voxel_merging
from da3_blender.core.output.payload import PointArrays


def cloud(count, seed, reach=1.0):
    random = np.random.default_rng(seed)
    return PointArrays(
        position=(reach * random.normal(size=(count, 3))).astype(np.float32),
        point_color=random.random((count, 4), np.float32),
        conf=random.choice(np.array([1, 2, 2, 3], np.float32), count),  # equals among them: then the first counts
        frame=np.arange(count, dtype=np.int32),
    )


def plainly(points, size, taken):
    """(position, colour, conf, frame) by voxel, in the order of z, y and x; voxels that are ``taken`` before are left out."""
    rows = {}
    for row, position in enumerate(points.position.astype(np.float64)):
        rows.setdefault(tuple(np.floor(position / size).astype(int)[::-1]), []).append(row)
    merged = []
    for voxel in sorted(set(rows) - taken):
        own = rows[voxel]
        weight = points.conf[own].astype(np.float64)
        best = own[int(np.argmax(points.conf[own]))]
        means = [np.average(values[own], axis=0, weights=weight) for values in (points.position, points.point_color)]
        merged.append((*means, points.conf[best], points.frame[best]))
    taken |= set(rows)
    return [np.array(part) for part in zip(*merged, strict=True)]


@pytest.mark.parametrize("reach", [1.0, 3e4], ids=["usual", "so far apart that rows are sorted by their numbers"])
def test_clouds_one_after_another_are_merged_as_the_plain_way_merges_them(reach):
    merger, taken = voxel_merging.VoxelMerger(0.2), set()
    for seed in range(9):
        points = cloud(700, seed, reach)
        expected = plainly(points, merger._voxel_size, taken)
        merged = merger.add(points, 0.0)
        for name, values in zip(("position", "point_color", "conf", "frame"), expected, strict=True):
            np.testing.assert_allclose(getattr(merged, name), values, rtol=1e-6, atol=1e-6 * reach)
    lengths = [len(filled) for filled in merger._filled]
    assert sum(lengths) == len(taken)
    assert all(one > 2 * other for one, other in zip(lengths, lengths[1:], strict=False))


def test_a_cloud_in_voxels_that_are_all_filled_gives_no_point():
    merger, points = voxel_merging.VoxelMerger(0.5), cloud(200, 0)
    assert len(merger.add(points, 0.0)) > 0
    assert len(merger.add(points, 0.0)) == 0
