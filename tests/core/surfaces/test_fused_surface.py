"""One surface from many frames: where it lies, how it hangs together, what it costs."""

import dataclasses

import numpy as np
import pytest
import surface_score
import truth
from da3_blender.core.errors import BadInput, Cancelled, DA3Error
from da3_blender.core.geometry.projection import unproject
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings
from da3_blender.core.surfaces import fused_surface
from da3_blender.core.surfaces.fusion import marching_cubes_table, mesh_cleaning
from da3_blender.core.surfaces.fusion.depth_agreement import Agreement, bring_together
from da3_blender.core.surfaces.fusion.depth_maps import facing_of, frames
from da3_blender.core.surfaces.fusion.marching_cubes import extract
from da3_blender.core.surfaces.fusion.tsdf_volume import SIDE, View, Volume, VolumeFull
from disturbed_predictor import Disturbance, DisturbedPredictor

CAMERA = np.array([[100.0, 0, 60], [0, 100, 40], [0, 0, 1]])


@pytest.fixture(scope="module")
def courtyard():
    return truth.load("courtyard")


@pytest.fixture(scope="module")
def true_surface(courtyard):
    return surface_score.TrueSurface(courtyard)


@pytest.fixture(scope="module")
def exact(courtyard):
    """What a model that knows the truth would say."""
    conf = np.where(courtyard.depth > 0, 5, 0).astype(np.float32)
    return Prediction(courtyard.depth, conf, courtyard.extrinsics, courtyard.intrinsics, courtyard.images)


@pytest.fixture(scope="module")
def disturbed(courtyard):
    """What a model that errs would say, and the predictor that says it."""
    predictor = DisturbedPredictor(courtyard, 1)
    return predictor.predict(courtyard.images, range(len(courtyard)), Settings()), predictor


def fuse(prediction, piece=4, **settings):
    def pieces():
        for begin in range(0, len(prediction), piece):
            rows = range(begin, min(begin + piece, len(prediction)))
            yield list(rows), rows_of(prediction, rows)

    return fused_surface.fuse(pieces, Settings(**settings), Monitor())


def rows_of(prediction, rows):
    chosen = list(rows)
    parts = {
        field.name: value[chosen]
        for field in dataclasses.fields(prediction)
        if isinstance(value := getattr(prediction, field.name), np.ndarray)
    }
    return dataclasses.replace(prediction, **parts)


def wall(distance=4.0, count=2, color=(200, 100, 50), step=0.1):
    """Frames of a plain wall, from cameras side by side."""
    depth = np.full((count, 80, 120), distance, np.float32)
    images = np.broadcast_to(np.array(color, np.uint8), (count, 80, 120, 3)).copy()
    extrinsics = np.repeat(np.eye(4)[None, :3], count, axis=0)
    extrinsics[:, 0, 3] = -step * np.arange(count)
    return Prediction(depth, np.full_like(depth, 3.0), extrinsics, np.repeat(CAMERA[None], count, axis=0), images)


class Field:
    """A distance field that is given, with the face of a ``Volume``."""

    voxel, origin = 0.1, np.array([1.0, -2.0, 3.0])

    def __init__(self, values):
        count = np.array(values.shape) // SIDE
        self.numbers = np.stack(np.meshgrid(*map(np.arange, count), indexing="ij"), -1).reshape(-1, 3).astype(np.int32)
        self._values, self._count = values.astype(np.float32), count

    def __len__(self):
        return len(self.numbers)

    def finish(self):
        """Nothing runs."""

    def find(self, numbers):
        inside = ((numbers >= 0) & (numbers < self._count)).all(axis=1)
        return np.where(inside, numbers @ [self._count[1] * self._count[2], self._count[2], 1], -1)

    def take(self, slots, part):
        blocks = [self._values[tuple(slice(n * SIDE, (n + 1) * SIDE) for n in self.numbers[s])] for s in slots]
        values = np.array(blocks, np.float32).reshape(-1, SIDE, SIDE, SIDE)
        values = values[(slice(None), *part)]
        return values, np.ones_like(values)


def test_every_cube_is_cut_at_exactly_the_edges_whose_ends_differ():
    count, table = marching_cubes_table.triangles()
    for case in range(256):
        differ = {n for n, (a, b) in enumerate(marching_cubes_table.EDGES) if (case >> a & 1) != (case >> b & 1)}
        assert set(table[case, : count[case]].ravel()) == differ


def test_the_worst_field_there_is_gives_no_edge_to_three_faces_and_no_crack():
    values = np.random.default_rng(0).normal(size=(32, 24, 24))  # noise: every one of the 256 cases many times over
    values[[0, -1]] = values[:, [0, -1]] = values[:, :, [0, -1]] = 1.0  # closed at the sides
    vertices, faces = extract(Field(values), 0.0, Monitor())
    uses = mesh_cleaning.edges_of(faces)[2]
    assert len(faces) > 20_000
    assert (uses == 2).all()
    assert mesh_cleaning.face_areas(vertices, faces).min() > 0


def test_a_sphere_is_closed_round_and_turned_outwards():
    grid = np.stack(np.meshgrid(*[np.arange(32.0)] * 3, indexing="ij"), -1) - 15.3
    vertices, faces = extract(Field(np.linalg.norm(grid, axis=-1) - 11.0), 0.0, Monitor())
    middle = Field.origin + 15.3 * Field.voxel
    radius = np.linalg.norm(vertices - middle, axis=1) / Field.voxel
    assert np.abs(radius - 11.0).max() < 0.02  # voxels; between voxels the distance is not quite linear
    assert len(vertices) - len(mesh_cleaning.edges_of(faces)[0]) + len(faces) == 2  # Euler's number of a sphere
    outwards = np.einsum("ij,ij->i", mesh_cleaning.normals(vertices, faces), vertices - middle)
    assert outwards.min() > 0


def test_a_wall_seen_at_a_slant_is_fused_where_it_stands():
    random = np.random.default_rng(0)
    v, u = np.mgrid[0.5:80, 0.5:120]
    rays = np.stack([(u - 60) / 100, (v - 40) / 100, np.ones_like(u)], -1)
    normal, away = np.array([0.6, -0.2, 0.77]), 3.0
    normal /= np.linalg.norm(normal)
    depth = (away / (rays @ normal)).astype(np.float32)
    volume = Volume(0.05, random.normal(size=3), 0.15, 10_000)
    facing = facing_of(depth, CAMERA)
    assert np.allclose(facing[2:-2, 2:-2], (rays @ normal)[2:-2, 2:-2], atol=1e-3)  # central differences of a curve
    volume.integrate(View(depth, np.ones_like(depth), facing, 0.0, CAMERA, np.eye(4)[:3]))
    vertices, _ = extract(volume, 0.0, Monitor())
    # A pixel is 0.03 wide and seen at a slant of up to 60 degrees; the field takes the nearest pixel's depth.
    assert np.abs(vertices @ normal - away).max() < 0.03


def test_memory_follows_the_surface_and_not_the_box_around_it():
    def blocks(*shifts):
        volume = Volume(0.05, np.zeros(3), 0.15, 10_000)
        for shift in shifts:
            extrinsics = np.eye(4)[:3]
            extrinsics[:, 3] = shift
            depth = np.full((80, 120), 4.0, np.float32)
            volume.integrate(View(depth, np.ones_like(depth), np.ones_like(depth), 0.0, CAMERA, extrinsics))
        return len(volume)

    one = blocks((0, 0, 0))
    assert blocks((0, 0, 0), (400, 400, 400)) == 2 * one  # 8000 voxels away, a multiple of a block's edge
    assert blocks((0, 0, 0), (0, 0, 0)) == one  # nor does it follow the number of frames


def test_a_frame_with_hardly_a_pixel_is_no_trouble():
    depth = np.zeros((80, 120), np.float32)
    depth[0, 0] = 4.0
    volume = Volume(0.5, np.zeros(3), 0.15, 10)
    volume.integrate(View(depth, depth, depth, 0.0, CAMERA, np.eye(4)[:3]))
    assert len(volume) == 0


def test_a_volume_has_a_budget():
    volume = Volume(0.05, np.zeros(3), 0.15, 10)
    depth = np.full((80, 120), 4.0, np.float32)
    with pytest.raises(VolumeFull):
        volume.integrate(View(depth, np.ones_like(depth), np.ones_like(depth), 0.0, CAMERA, np.eye(4)[:3]))


def test_true_depths_of_the_courtyard_give_the_true_surface(exact, true_surface):
    mesh = fuse(exact)
    score = true_surface.score(surface_score.sampled(mesh.vertices, mesh.faces))
    assert score.f >= 0.99  # the claims, here and below
    assert surface_score.main_share(mesh.vertices, mesh.faces) >= 0.95
    assert surface_score.crowded_edges(mesh.faces) == 0
    assert surface_score.faces_of_image_meshes(exact) >= 20 * len(mesh.faces)
    assert mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32 and mesh.colors.dtype == np.uint8
    assert mesh.warnings == []


def test_disturbed_depths_give_a_better_surface_than_their_own_cloud(disturbed, true_surface):
    prediction, predictor = disturbed
    back = surface_score.back_to_truth(predictor, range(len(prediction)))
    cloud = back(unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics))
    # Whatever confidence the cloud is cut at.
    clouds = [
        true_surface.score(cloud[prediction.conf > least]).f for least in (0.5, 6)
    ]  # all of it, and what scores best
    mesh = fuse(prediction)
    score = true_surface.score(back(surface_score.sampled(mesh.vertices, mesh.faces)))
    assert score.f > max(clouds)
    assert surface_score.main_share(mesh.vertices, mesh.faces) >= 0.95
    assert surface_score.crowded_edges(mesh.faces) == 0
    assert surface_score.faces_of_image_meshes(prediction) >= 20 * len(mesh.faces)
    assert mesh.noise.after < 0.5 * mesh.noise.before


def test_frames_that_disagree_smoothly_are_brought_together_and_exact_ones_left_alone(courtyard, exact, disturbed):
    prediction, predictor = disturbed
    indices = range(len(courtyard))
    scale = predictor._frame(np.random.default_rng([predictor.seed, len(indices), *indices]))[0]
    errors = []
    for given, unit in ((prediction, scale), (exact, 1.0)):
        agreement = Agreement()
        found = list(frames(lambda given=given: [(indices, given)], 0.5))
        for frame in found:
            agreement.add(frame)
        agreement.solve(Monitor())
        for corrected in (False, True):
            error = []
            for number, frame in enumerate(found):
                seen = (frame.depth > 0) & (courtyard.depth[number] > 0)
                factor = agreement.correction(number, frame.depth.shape)[seen] if corrected else 1.0
                error.append(np.abs(np.log(frame.depth[seen] * factor / unit / courtyard.depth[number][seen])))
            errors.append(np.median(np.concatenate(error)))
    before, after, _, left_alone = errors
    assert after < 0.6 * before
    assert left_alone < 0.002  # what sampling a frame at every eleventh pixel leaves


def test_the_surface_has_the_colour_that_the_frames_show():
    mesh = fuse(wall())
    assert np.abs(mesh.colors.astype(int) - (200, 100, 50)).max() <= 1  # rounding
    assert np.abs(mesh.vertices[:, 2] - 4.0).max() < 1e-3
    faced = mesh_cleaning.normals(mesh.vertices.astype(np.float64), mesh.faces)
    assert (faced[:, 2] < 0).all()  # towards the cameras


def test_pixels_without_confidence_and_people_are_left_out():
    prediction = wall()
    prediction.conf[:, :, :40] = 0.0
    prediction.people = np.zeros(prediction.depth.shape, bool)
    prediction.people[:, :, 80:] = True
    mesh = fuse(prediction)
    # The pixels 40 to 80 of two cameras that stand 0.1 apart, at a distance of 4, are x = -0.8 to 0.9; a voxel is 0.12.
    assert mesh.vertices[:, 0].min() > -0.8 - 0.12
    assert mesh.vertices[:, 0].max() < 0.9 + 0.12


def test_the_size_of_the_pieces_does_not_matter(exact):
    few = rows_of(exact, range(0, 14, 4))
    meshes = [fuse(few, piece=piece) for piece in (1, 4)]
    assert np.array_equal(meshes[0].vertices, meshes[1].vertices)
    assert np.array_equal(meshes[0].faces, meshes[1].faces)


def test_frames_that_cannot_be_read_stop_it(exact):
    def pieces():
        yield [0], rows_of(exact, [0])
        raise BadInput("the disk is gone")

    with pytest.raises(BadInput, match="the disk is gone"):
        fused_surface.fuse(pieces, Settings(), Monitor())


def test_a_wished_number_of_faces_is_kept_and_stays_manifold(exact):
    mesh = fuse(rows_of(exact, range(0, 14, 4)), fuse_faces=20_000)
    assert 15_000 < len(mesh.faces) <= 20_500  # the library stops when it has no edge left that it may collapse
    assert surface_score.crowded_edges(mesh.faces) == 0
    assert len(mesh.colors) == len(mesh.vertices)


def test_a_texture_shows_at_each_corner_what_the_frames_show_there():
    prediction = wall(step=0.3)
    u = np.arange(120)
    world = (u + 0.5 - 60) / 100 * 4.0  # x of the first frame's columns; the second stands 0.3 further
    for image, shift in zip(prediction.images, (0.0, 0.3), strict=True):
        image[..., 0] = 128 + 40 * (world + shift)
        image[..., 1] = (60 + 1.5 * np.arange(80))[:, None]
    mesh = fuse(prediction, fuse_texture=True)
    assert mesh.uv.shape == (3 * len(mesh.faces), 2) and mesh.uv.min() >= 0 and mesh.uv.max() <= 1
    height, width = mesh.texture.shape[:2]
    column, row = (mesh.uv * (width, -height) + (0, height)).astype(int).T
    shown = mesh.texture[row.clip(0, height - 1), column.clip(0, width - 1)].astype(float)
    place = mesh.vertices[mesh.faces.reshape(-1)]
    true = np.stack(
        [128 + 40 * place[:, 0], 60 + 1.5 * (place[:, 1] / 4.0 * 100 + 40), np.full(len(place), 50)], axis=-1
    )
    assert np.median(np.abs(shown - true)) < 1.5  # half a texel is 0.4, rounding to whole colours 0.5
    # A corner at the frames' border lies up to half a voxel outside of what they show.
    assert np.quantile(np.abs(shown - true), 0.95) < 4.0


def test_a_textured_surface_is_reduced_to_what_can_be_unfolded_and_it_is_said(monkeypatch):
    monkeypatch.setattr(fused_surface.texture, "MOST_FACES", 500)
    mesh = fuse(wall(), fuse_texture=True)
    assert len(mesh.faces) <= 510
    assert mesh.texture.ndim == 3 and len(mesh.uv) == 3 * len(mesh.faces)
    assert any("500 faces" in warning for warning in mesh.warnings)


def test_a_given_voxel_size_is_kept(exact):
    mesh = fuse(rows_of(exact, range(0, 14, 4)), fuse_voxel_size=0.2)
    assert mesh.voxel == 0.2 and mesh.warnings == []


def test_voxels_that_would_not_fit_into_memory_are_made_larger_and_it_is_said(exact, monkeypatch):
    monkeypatch.setattr(fused_surface, "MOST_BLOCKS", 300)
    mesh = fuse(rows_of(exact, range(0, 14, 4)))
    assert len(mesh.faces) and mesh.voxel > 0.05
    assert len(mesh.warnings) == 1 and "too fine" in mesh.warnings[0]


def test_a_device_that_fails_leaves_the_work_to_the_processor_and_it_is_said():
    pieces = [([0, 1], wall())]
    mesh = fused_surface.fuse(
        lambda: pieces, Settings(), Monitor(), device="meta"
    )  # torch's device that computes nothing
    assert np.array_equal(mesh.vertices, fused_surface.fuse(lambda: pieces, Settings(), Monitor()).vertices)
    assert len(mesh.warnings) == 1 and "on the processor" in mesh.warnings[0]


def test_many_frames_of_one_place_give_the_colours_of_all():
    # Only a part of them is looked at, but of every place enough: the wall is bright on one side and dark on the other.
    prediction = wall(count=30, step=0.2)
    shade = (60 + (np.arange(120) + 0.5 - 60) / 100 * 4.0 * 10 + 2.0 * np.arange(30)[:, None]).clip(0, 255)
    prediction.images = np.repeat(np.rint(shade)[:, None, :, None].astype(np.uint8), 80, axis=1).repeat(3, axis=3)
    mesh = fuse(prediction)
    seen = np.abs(mesh.colors - (60 + 10 * mesh.vertices[:, :1]))
    assert (
        np.quantile(seen, 0.99) < 1.5
    )  # rounding to whole colours 0.5, and once more in the picture; at the border, more


def test_what_cannot_be_fused_is_said():
    nothing = wall()
    nothing.conf[:] = 0.0
    with pytest.raises(BadInput, match="Min Confidence"):
        fuse(nothing)
    with pytest.raises(BadInput, match="Min Confidence"):
        fused_surface.fuse(list, Settings(), Monitor())
    blind = dataclasses.replace(wall(), extrinsics=None)
    with pytest.raises(DA3Error, match="cameras"):
        fused_surface.fuse(lambda: [([0, 1], blind)], Settings(), Monitor())


def test_broken_depths_are_left_out():
    prediction = wall()
    prediction.depth[0, :40] = np.nan
    prediction.depth[1, 40:] = np.inf
    mesh = fuse(prediction)
    assert np.isfinite(mesh.vertices).all()
    assert np.abs(mesh.vertices[:, 2] - 4.0).max() < 1e-3


def test_a_frame_that_shows_nothing_changes_nothing():
    prediction = wall(count=3)
    prediction.conf[2] = 0.0
    with_it, without = fuse(prediction), fuse(rows_of(prediction, range(2)))
    assert np.allclose(with_it.colors, without.colors) and np.array_equal(with_it.faces, without.faces)


def test_one_frame_and_frames_of_other_sizes_are_fused_too():
    assert len(fuse(wall(count=1)).faces)
    large, small = wall(), wall()
    small.depth, small.conf, small.images = small.depth[:, ::2, ::2], small.conf[:, ::2, ::2], small.images[:, ::2, ::2]
    small.intrinsics = small.intrinsics * [[0.5], [0.5], [1.0]]
    mesh = fused_surface.fuse(lambda: [([0, 1], large), ([2, 3], small)], Settings(), Monitor())
    assert np.abs(mesh.vertices[:, 2] - 4.0).max() < 1e-3


def test_it_stops_when_asked_to():
    with pytest.raises(Cancelled):
        fused_surface.fuse(lambda: [([0, 1], wall())], Settings(), Monitor(cancelled=lambda: True))


def test_the_smooth_error_inside_depth_maps_goes_and_their_means_stay():
    known = truth.load("courtyard")
    rows = list(range(0, len(known), 2))
    random = DisturbedPredictor(known, seed=5, disturbance=Disturbance(outliers=0.0, bleeding=0))
    prediction = random.predict(list(known.images[rows]), rows, Settings())
    before = prediction.depth.copy()
    bring_together(prediction, Monitor())
    seen = known.depth[rows] > 0

    def unevenness(depth):
        """Standard deviation of the log error inside a frame, median over frames."""
        return np.median([np.std(np.log(d[s] / t[s])) for d, t, s in zip(depth, known.depth[rows], seen, strict=True)])

    # Seven frames that share half of what they see leave about half of it; all of the walk leave less.
    assert unevenness(prediction.depth) < 0.6 * unevenness(before)
    for now, then, s in zip(prediction.depth, before, seen, strict=True):
        assert np.log(now[s]).mean() == pytest.approx(np.log(then[s]).mean(), abs=1e-4)
