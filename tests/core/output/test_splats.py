"""Splats: each disc is its pixel's footprint on the surface, those that lie on others are left out, and files give all back."""

import gzip

import numpy as np
import pytest
import truth as truths
from da3_blender.core.geometry.projection import points_from_blender, points_to_blender, project, unproject
from da3_blender.core.options.presets import Result, options_for, results_of
from da3_blender.core.output import blender_arrays
from da3_blender.core.output.payload import PointArrays
from da3_blender.core.output.result_files import ResultFiles
from da3_blender.core.output.splats import discs, files
from da3_blender.core.output.splats.thinning import LAYERS, Thinner
from da3_blender.core.output.voxel_merging import merge
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings, SplatFile
from plyfile import PlyData

SIZE = (40, 60)  # of a test's frames: height, width
K = np.array([[50.0, 0.0, 31.0], [0.0, 48.0, 19.0], [0.0, 0.0, 1.0]])


def matrices(q):
    """(P, 3, 3) of (P, 4) quaternions (w, x, y, z)."""
    w, x, y, z = q.T.astype(np.float64)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def random_rotations(count, seed=0):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(count, 3, 3)))
    q *= np.sign(np.einsum("pii->pi", r))[:, None]
    return q * np.linalg.det(q)[:, None, None]


def plane(normal, distance):
    """(H, W) float32 z-depth of the plane normal . X = distance, camera's axes."""
    v, u = np.mgrid[0.5 : SIZE[0], 0.5 : SIZE[1]]
    rays = np.stack([u, v, np.ones(SIZE)], axis=-1) @ np.linalg.inv(K).T
    return (distance / (rays @ normal)).astype(np.float32)


def prediction(depth, extrinsics, conf=5.0, images=None):
    count = len(depth)
    return Prediction(
        depth, np.where(depth > 0, conf, 0).astype(np.float32), extrinsics, np.repeat(K[None], count, axis=0),
        np.full((*depth.shape, 3), 90, np.uint8) if images is None else images,
    )  # fmt: skip


@pytest.mark.parametrize("normal", [(0, 0, 1), (0.5, -0.2, 1), (-1.2, 0.5, 1), (0, 2, 1)])
def test_a_disc_is_as_large_in_its_own_picture_whatever_the_surface_s_angle(normal):
    normal = np.array(normal) / np.linalg.norm(normal)
    depth = plane(normal, 3.0)
    pose = np.concatenate([random_rotations(1)[0], [[0.3], [-1.0], [2.0]]], axis=1)
    made = discs.discs(depth, np.full(SIZE, 5.0, np.float32), K, pose)
    world = unproject(depth[None], K[None], pose[None])[0].reshape(-1, 3)
    axes = matrices(made.rotation)
    inner = made.scale[:, 0] < 0.9 * discs.STRETCH * made.scale[:, 1]  # but where it is held back
    assert inner.mean() > 0.5
    centre, _ = project(world, K, pose)
    off = []
    for axis in (0, 1):
        small = 1e-2 * made.scale[:, axis, None] * axes[:, :, axis]  # the derivative: perspective bends what is larger
        moved, _ = project(world + points_from_blender(small), K, pose)
        off.append((moved - centre)[inner] * 1e2)
    lengths = np.linalg.norm(off, axis=-1)
    assert np.allclose(lengths, discs.SIGMA, rtol=0.02)
    assert np.abs(np.einsum("pi,pi->p", *off)).max() < 0.05 * discs.SIGMA**2
    assert np.allclose(np.abs(axes[:, :, 2] @ points_to_blender(pose[:, :3].T @ normal)), 1.0, atol=1e-4)


def test_a_plane_does_not_bend_at_an_outline_and_its_edge_is_less_opaque():
    near, far = plane(np.array([0.0, 0.0, 1.0]), 1.0), plane(np.array([0.6, 0.0, 0.8]), 4.0)
    depth = np.where(np.arange(SIZE[1]) < 30, near, far)
    made = discs.discs(depth, np.full(SIZE, 5.0, np.float32), K, np.eye(4)[:3])
    normals = np.abs(made.normal @ points_to_blender(np.array([[0.0, 0.0, 1.0], [0.6, 0.0, 0.8]])).T).reshape(*SIZE, 2)
    assert normals[:, :30, 0].min() > 0.9999 and normals[:, 30:, 1].min() > 0.9999
    opacity = made.opacity.reshape(SIZE)
    assert opacity[5:-5, 10].min() > 0.95
    lone = depth.copy()
    lone[20, 10] *= 1.5  # an outlier stands alone
    alone = discs.discs(lone, np.full(SIZE, 5.0, np.float32), K, np.eye(4)[:3]).opacity.reshape(SIZE)
    assert alone[20, 10] < 0.5 * opacity[20, 10]


def test_an_unsure_point_is_less_opaque():
    depth = plane(np.array([0.0, 0.0, 1.0]), 1.0)
    unsure, sure = (discs.discs(depth, np.full(SIZE, c, np.float32), K, np.eye(4)[:3]).opacity for c in (1.0, 6.0))
    assert unsure.max() < 0.7 < 0.95 < sure[SIZE[1] * 20 + 30]


def test_quaternions_turn_as_their_matrices():
    half_turns = np.array(
        [np.diag(d) for d in ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))]
    )
    given = np.concatenate([half_turns, random_rotations(500)])
    q = discs.quaternions(given)
    assert np.abs(matrices(q) - given).max() < 1e-6 and (q[:, 0] >= 0).all()


def test_colours_come_back_from_their_harmonics():
    colors = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    assert (discs.colors_of(discs.radiance(colors, np.ones(256, np.float32))) == colors).all()


@pytest.fixture(scope="module")
def courtyard():
    """Every second pixel of six frames of the courtyard, as the truth has them, as a cloud of splats."""
    known = truths.load("courtyard")
    chosen = range(0, 12, 2)
    k = known.intrinsics[chosen] * np.array([[0.5], [0.5], [1.0]])
    k[:, :2, 2] += 0.25  # the pixels' centres: every second lies at 2 i + 0.5 of the large picture
    depth = known.depth[chosen][:, ::2, ::2]
    conf = np.where(depth > 0, 5.0, 0.0).astype(np.float32)
    return Prediction(depth, conf, known.extrinsics[chosen], k, known.images[chosen][:, ::2, ::2])


@pytest.fixture(scope="module")
def thinned(courtyard):
    return blender_arrays.points(courtyard, range(6), 0.5, splats=True, thinner=Thinner())


def test_every_place_is_still_covered_and_by_few(courtyard, thinned):
    """What any frame sees is, after thinning, within two pixels of a disc that is drawn."""
    drawn = thinned.scale[:, 0] > 0
    assert 0.3 < drawn.mean() < 0.8  # of six frames that look at one yard
    points = points_from_blender(thinned.position[drawn])
    high, wide = courtyard.depth.shape[1:]
    lost, layers = 0, []
    for i in range(6):
        pixels, depth = project(points, courtyard.intrinsics[i], courtyard.extrinsics[i])
        inside = (depth > 0) & (pixels > 0).all(axis=1) & (pixels[:, 0] < wide) & (pixels[:, 1] < high)
        u, v = pixels[inside].astype(int).T
        same = np.abs(courtyard.depth[i, v, u] - depth[inside]) < 0.03 * depth[inside]
        count = np.zeros((high, wide), int)
        np.add.at(count, (v[same], u[same]), 1)
        near = sum(count[2 + y : high - 2 + y, 2 + x : wide - 2 + x] for y in range(-2, 3) for x in range(-2, 3))
        seen = courtyard.depth[i, 2:-2, 2:-2] > 0
        lost += (near[seen] == 0).mean() / 6
        layers.append(count[courtyard.depth[i] > 0].mean())
    assert lost < 0.002, lost
    assert np.mean(layers) < LAYERS + 1


def test_later_batches_leave_out_what_earlier_ones_show(courtyard):
    thinner = Thinner()
    one = Prediction(**{n: getattr(courtyard, n)[:1] for n in ("depth", "conf", "extrinsics", "intrinsics", "images")})
    shares = [
        float((blender_arrays.points(one, [0], 0.5, splats=True, thinner=thinner).scale[:, 0] > 0).mean())
        for _ in range(5)
    ]  # the same frame again and again
    assert shares[:LAYERS] == [1.0] * LAYERS
    assert max(shares[LAYERS:]) < 0.02


def test_merged_splats_are_as_large_as_their_voxel(courtyard):
    cloud = blender_arrays.points(courtyard, range(6), 0.5, splats=True)
    merged = merge(cloud, 0.2)
    assert len(merged) < len(cloud) / 10
    assert (merged.scale[:, :2] >= 0.2 * discs.ALONE * 0.999).all() and np.isfinite(merged.radiance).all()


def written(folder, kind, cloud, moves=()):
    settings = Settings(output_folder=str(folder), output_splats=kind, output_point_cloud=False)
    camera = blender_arrays.cameras(
        prediction(plane(np.array([0.0, 0.0, 1.0]), 1.0)[None], np.eye(4)[None, :3]), [0], ["a"], [""],
        [type("P", (), {"left": 0, "top": 0, "width": 60, "height": 40, "original_width": 60, "original_height": 40})()],
    )  # fmt: skip
    with ResultFiles(settings, "yard") as out:
        out.add([cloud], camera, [(60, 40)])
        made = out.finish(moves)
        assert out.failures == []
    return next(path for path in made if path.suffix in (".ply", ".spz"))


def some(count=500, seed=1):
    random = np.random.default_rng(seed)
    scale = np.exp(random.uniform(-6, 1, (count, 3))).astype(np.float32)
    scale[::7] = 0.0  # another covers these
    colors = random.integers(0, 256, (count, 3)).astype(np.uint8)
    return PointArrays(
        random.normal(size=(count, 3)).astype(np.float32) * 5, blender_arrays.rgba(colors), np.ones(count, np.float32),
        np.zeros(count, np.int32), scale=scale, rotation=discs.quaternions(random_rotations(count, seed)),
        radiance=discs.radiance(colors, random.uniform(0.02, 0.99, count).astype(np.float32)),
    )  # fmt: skip


def test_another_program_reads_what_the_ply_says(tmp_path):
    cloud = some()
    drawn = cloud.select(cloud.scale[:, 0] > 0)
    vertex = PlyData.read(written(tmp_path, SplatFile.PLY, cloud))["vertex"]
    column = lambda *names: np.stack([vertex[name] for name in names], axis=-1)  # noqa: E731
    assert np.array_equal(column("x", "y", "z"), drawn.position)
    color = np.round((0.5 + discs.COLOR * column("f_dc_0", "f_dc_1", "f_dc_2")) * 255)
    assert np.array_equal(color.astype(np.uint8), discs.colors_of(drawn.radiance))
    assert np.allclose(np.exp(column("scale_0", "scale_1", "scale_2")), drawn.scale, rtol=1e-4)
    assert np.allclose(1 / (1 + np.exp(-vertex["opacity"])), drawn.radiance[:, 3], atol=1e-4)
    assert np.allclose(column("rot_0", "rot_1", "rot_2", "rot_3"), drawn.rotation)


def test_splats_of_a_long_way_are_written_where_its_batches_go_at_last(tmp_path):
    cloud = some()
    drawn = cloud.select(cloud.scale[:, 0] > 0)
    turn = random_rotations(1, 9)[0]
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = 2.5 * turn, (1.0, 2.0, 3.0)
    vertex = PlyData.read(written(tmp_path, SplatFile.PLY, cloud, [move]))["vertex"]
    at = np.stack([vertex[name] for name in "xyz"], axis=-1)
    assert np.allclose(at, drawn.position @ move[:3, :3].T + move[:3, 3], atol=1e-4)
    q = np.stack([vertex[f"rot_{k}"] for k in range(4)], axis=-1)
    assert np.abs(matrices(q) - turn @ matrices(drawn.rotation)).max() < 1e-5
    assert np.allclose(np.exp(vertex["scale_1"]), 2.5 * drawn.scale[:, 1], rtol=1e-4)


def test_an_spz_file_says_the_same_in_fewer_bytes(tmp_path):
    cloud = some()
    drawn = cloud.select(cloud.scale[:, 0] > 0)
    data = gzip.decompress(written(tmp_path, SplatFile.SPZ, cloud).read_bytes())
    count = len(drawn)
    assert data[:4] == b"NGSP" and np.frombuffer(data, "<u4", 2, 4).tolist() == [3, count]
    assert len(data) == 16 + count * 20
    fixed = np.frombuffer(data, np.uint8, 9 * count, 16).reshape(count, 3, 3).astype(np.int32)
    whole = fixed[..., 0] | fixed[..., 1] << 8 | fixed[..., 2] << 16
    x, y, z = (np.where(whole >= 1 << 23, whole - (1 << 24), whole) / float(1 << data[13])).T
    assert np.abs(np.stack([x, -z, y], axis=-1) - drawn.position).max() < 2 / (1 << data[13])
    colors = np.frombuffer(data, np.uint8, 3 * count, 16 + 10 * count).reshape(count, 3) / 255.0
    harmonics = (colors - 0.5) / 0.15
    assert np.abs(harmonics - drawn.radiance[:, :3]).max() < 1 / (0.15 * 255)


def test_files_alone_leave_the_scene_s_points_as_they_are():
    assert Settings(output_folder="x", output_splats=SplatFile.PLY).makes_splats and Settings(splats=True).makes_splats
    assert not Settings(output_splats=SplatFile.PLY).makes_splats
    assert some().without_splats().given().keys() == {"position", "point_color", "conf", "frame"}


def test_splats_points_and_meshes_exclude_each_other():
    off = {"generate_meshes": False, "splats": False, "fuse_frames": False}
    chosen = options_for({Result.POINTS, Result.SPLATS}, off)
    assert chosen == {**off, "splats": True} and results_of(chosen) == {Result.SPLATS}
    assert options_for({Result.SPLATS, Result.MESHES}, chosen) == {**off, "generate_meshes": True}
    assert files.rows(np.zeros((1, 3)), np.ones((1, 3)), np.ones((1, 4)), np.ones((1, 4))).shape == (
        1,
        len(files.COLUMNS),
    )
