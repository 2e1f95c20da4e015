"""Nothing after the model loses accuracy, and what people bring is taken as it is."""

from dataclasses import replace

import numpy as np
import pytest
import truth
from da3_blender.core import pipeline
from da3_blender.core.errors import BadInput, Cancelled
from da3_blender.core.frames.resizing import place
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry import projection
from da3_blender.core.geometry.similarity import umeyama
from da3_blender.core.output.voxel_merging import VoxelMerger
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import BatchMode, Settings
from disturbed_predictor import Disturbance, DisturbedPredictor
from PIL import Image
from truth_predictor import TruthPredictor

ALL = {"batch_mode": BatchMode.IGNORE_BATCH_SIZE}


def run(folder, settings, predictor, on_progress=lambda *_: None, cancelled=lambda: False):
    frames = FrameSource.open(folder, settings.start_frame, settings.end_frame, settings.frame_stride)
    batches = list(pipeline.reconstruct(frames, settings, predictor, on_progress=on_progress, cancelled=cancelled))
    return frames, batches


def delivered_from(batch, frames, settings, merger=None):
    return pipeline.deliver(batch, pipeline.camera_records(batch, frames, settings), settings, merger)


def opencv(blender):
    """Points of Blender's world in OpenCV axes."""
    return blender.astype(np.float64) @ projection.BLENDER_FROM_OPENCV


@pytest.mark.parametrize("name", ["courtyard", "portrait"])
def test_with_true_depth_every_point_lies_on_the_true_surface(name):
    known = truth.load(name)
    predictor = TruthPredictor(known, seed=3)
    settings = Settings(**ALL)
    frames, [batch] = run(known.folder, settings, predictor)
    delivered = delivered_from(batch, frames, settings)
    extent = np.ptp(known.camera_to_world[:, :3, 3], axis=0).max() + np.median(known.depth[known.depth > 0])
    checked = 0
    for part in delivered.clouds:
        world = predictor.to_truth(opencv(part.position))
        for frame in np.unique(part.frame):
            own = part.frame == frame
            pixels, z = projection.project(world[own], known.intrinsics[frame], known.extrinsics[frame])
            off_centre = np.abs(pixels - np.floor(pixels) - 0.5)
            assert off_centre.max() < 0.01  # px; float32 positions some 20 units from the origin keep 2e-6 of them
            u, v = np.floor(pixels).astype(int).T
            assert np.abs(z - known.depth[frame, v, u]).max() < 1e-3 * extent  # the claim; float32 allows 1e-6
            checked += own.sum()
    kept = (known.depth > 0).mean()
    assert checked > 0.7 * kept * known.depth.size  # edges are filtered, most of the picture is not


def test_colours_are_the_photograph_s_in_linear_light():
    known = truth.load("portrait")
    settings = Settings(**ALL, filter_edges=False, drop_sky=False)
    frames, [batch] = run(known.folder, settings, TruthPredictor(known))
    cloud = delivered_from(batch, frames, settings).clouds[0]
    srgb = np.where(
        cloud.point_color <= 0.0031308, 12.92 * cloud.point_color, 1.055 * cloud.point_color ** (1 / 2.4) - 0.055
    )
    pixels = frames.load(0).image[known.depth[0] > 0]
    own = cloud.frame == 0
    np.testing.assert_allclose(srgb[own][:, :3] * 255, pixels, atol=1e-3)
    assert (cloud.point_color[:, 3] == 1).all()


def test_skip_frames_makes_one_batch_of_that_many_frames():
    known = truth.load("courtyard")
    settings = Settings(batch_mode=BatchMode.SKIP_FRAMES, batch_size=4)
    _, [batch] = run(known.folder, settings, TruthPredictor(known))
    assert len(batch.indices) == len(batch.prediction) == 4
    assert batch.indices[0] == 0 and batch.indices[-1] == len(known.names) - 1


def test_merging_thins_out_what_many_views_saw_and_keeps_its_place():
    known = truth.load("courtyard")
    predictor = TruthPredictor(known)
    settings = Settings(batch_mode=BatchMode.SKIP_FRAMES, batch_size=4)
    frames, [batch] = run(known.folder, settings, predictor)
    plain = delivered_from(batch, frames, settings).clouds
    merged = delivered_from(batch, frames, replace(settings, merge_points=True)).clouds
    assert sum(map(len, merged)) < 0.7 * sum(map(len, plain))


class Flat:
    """A wall at depth 2 without cameras, like a mono model; ``blind`` frames get no confidence."""

    def __init__(self, blind=(), metric_focal=None):
        self.blind = blind
        self.metric_focal = metric_focal

    def predict(self, images, indices, settings, cameras=None):
        canvas, valid, _ = place(images, settings.resolution, settings.resize_method)
        conf = valid.astype(np.float32)
        conf[[i for i, index in enumerate(indices) if index in self.blind]] = 0
        return Prediction(
            np.where(valid, 2.0, 0.0).astype(np.float32), conf, None, None, canvas, metric_focal=self.metric_focal
        )


def save(folder, *sizes, mode="RGB"):
    for i, (width, height) in enumerate(sizes):
        Image.new(mode, (width, height), (200, 100, 50, 0)[: len(mode)]).save(folder / f"{i}.png")


def test_one_image_of_a_model_without_cameras_gets_a_pinhole_of_the_set_field_of_view(tmp_path):
    save(tmp_path, (280, 140))
    settings = Settings(process_resolution=140, field_of_view=np.radians(90))
    frames, [batch] = run(tmp_path, settings, Flat())
    delivered = delivered_from(batch, frames, settings)
    assert delivered.cameras[0].fx == pytest.approx(70)  # half of 140 px, tan 45 degrees
    assert delivered.clouds[0].position[:, 1] == pytest.approx(2.0)  # Blender's y is depth
    assert not batch.warnings


def test_a_metric_model_s_depth_becomes_metres_with_the_focal_length_of_the_set_field_of_view(tmp_path):
    save(tmp_path, (140, 140))
    settings = Settings(process_resolution=140, field_of_view=np.radians(90))
    _, [batch] = run(tmp_path, settings, Flat(metric_focal=300.0))
    assert batch.prediction.is_metric
    assert batch.prediction.depth == pytest.approx(2.0 * 70 / 300, rel=1e-6)  # depth x focal / 300


def test_several_images_without_cameras_are_told_as_such(tmp_path):
    save(tmp_path, (140, 140), (140, 140))
    _, [batch] = run(tmp_path, Settings(process_resolution=140), Flat())
    assert any("no cameras" in w for w in batch.warnings)


def test_images_of_other_sizes_lose_no_pixel_and_gain_no_point(tmp_path):
    save(tmp_path, (140, 70), (70, 140))
    settings = Settings(process_resolution=140)
    frames, [batch] = run(tmp_path, settings, Flat())
    assert batch.prediction.depth.shape == (2, 140, 140)
    delivered = delivered_from(batch, frames, settings)
    assert sum(map(len, delivered.clouds)) == 2 * 140 * 70
    assert [c.placement for c in delivered.cameras] == [(0, 35, 140, 70), (35, 0, 70, 140)]


def test_transparent_parts_make_no_points(tmp_path):
    rgba = np.full((140, 140, 4), 255, np.uint8)
    rgba[:, :70, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    settings = Settings(process_resolution=140, drop_sky=False)  # plain white
    frames, [batch] = run(tmp_path, settings, Flat())
    assert sum(map(len, delivered_from(batch, frames, settings).clouds)) == 140 * 70


def test_frames_the_model_could_not_place_are_named_and_left_out(tmp_path):
    save(tmp_path, (70, 70), (70, 70), (70, 70))
    _, [batch] = run(tmp_path, Settings(process_resolution=70), Flat(blind=[1]))
    assert batch.indices == [0, 2] and len(batch.prediction) == 2
    assert any("1.png" in w for w in batch.warnings)


def test_a_prediction_without_any_depth_is_an_error_not_an_empty_scene(tmp_path):
    save(tmp_path, (70, 70))
    with pytest.raises(BadInput, match="no depth"):
        run(tmp_path, Settings(process_resolution=70), Flat(blind=[0]))


def test_a_strip_is_refused_with_its_size(tmp_path):
    save(tmp_path, (2000, 20))
    with pytest.raises(BadInput, match="2000 x 20"):
        run(tmp_path, Settings(), Flat())


def test_cancelling_stops_before_the_next_step(tmp_path):
    save(tmp_path, (70, 70))
    with pytest.raises(Cancelled):
        run(tmp_path, Settings(process_resolution=70), Flat(), cancelled=lambda: True)


OVERLAPS = [BatchMode.LAST_FRAME_OVERLAP, BatchMode.FIRST_LAST_OVERLAP]


@pytest.mark.parametrize("mode", [*OVERLAPS, BatchMode.NO_OVERLAP])
@pytest.mark.parametrize("size", [2, 5, 10])
def test_every_frame_is_given_out_once_and_in_one_world(mode, size):
    known = truth.load("courtyard")
    exact = DisturbedPredictor(known, 1, Disturbance.none())
    settings = Settings(batch_mode=mode, batch_size=size)
    _, batches = run(known.folder, settings, exact)
    assert len(batches) > 1
    assert sorted(i for b in batches for i in b.indices) == list(range(len(known)))
    poses = np.concatenate([projection.invert_rigid(b.prediction.extrinsics) for b in batches])
    true = known.camera_to_world[[i for b in batches for i in b.indices]]
    found = umeyama(poses[:, :, 3], true[:, :3, 3])
    placed = found.scale * poses[:, :, 3] @ found.rotation.T + found.translation
    # Exact but for float32 depths where frames are shared; else features, to a pixel, are all there is.
    tolerance = 0.05 if mode is BatchMode.NO_OVERLAP else 1e-4
    assert np.linalg.norm(placed - true[:, :3, 3], axis=1).max() < tolerance * np.ptp(true[:, :3, 3], axis=0).max()


def test_a_batch_is_given_out_before_the_next_but_one_is_computed():
    known = truth.load("walk")
    predictor = DisturbedPredictor(known)
    settings = Settings(batch_mode=BatchMode.LAST_FRAME_OVERLAP, batch_size=5, process_resolution=252, end_frame=20)
    frames = FrameSource.open(known.folder, 0, 20)
    batches = pipeline.reconstruct(frames, settings, predictor, on_progress=lambda *_: None, cancelled=lambda: False)
    seen = []
    for number, batch in enumerate(batches, 1):
        assert len(predictor.passes) == number
        seen += batch.indices
    assert seen == list(range(21))  # the shared frames wait for the pass that completes them


def test_a_broken_shared_frame_does_not_part_the_passes(tmp_path):
    known = truth.load("walk")
    for path in known.paths[:12]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "004.jpg").write_bytes(known.paths[4].read_bytes()[:2000])  # the last of the first pass
    exact = DisturbedPredictor(known, 1, Disturbance.none())
    settings = Settings(batch_mode=BatchMode.LAST_FRAME_OVERLAP, batch_size=5, process_resolution=252)
    frames, batches = run(tmp_path, settings, exact)
    assert sorted(i for b in batches for i in b.indices) == [0, 1, 2, 3, *range(5, 12)]
    assert exact.passes[1][0] == exact.passes[0][-1]
    assert any("004.jpg" in w for w in frames.warnings) and not any(b.warnings for b in batches)


def test_known_cameras_stay_where_they_are_known_to_be():
    known = truth.load("walk")

    class Known(TruthPredictor):
        def predict(self, images, indices, settings, cameras=None):
            prediction = super().predict(images, indices, settings)
            prediction.depth *= np.float32(1 + 0.05 * (indices[0] % 3))  # passes that disagree about the depth
            prediction.cameras_known = True
            return prediction

    predictor = Known(known)
    settings = Settings(batch_mode=BatchMode.FIRST_LAST_OVERLAP, batch_size=10, process_resolution=252, end_frame=24)
    _, batches = run(known.folder, settings, predictor)
    for batch in batches:
        centres = projection.invert_rigid(batch.prediction.extrinsics)[:, :, 3]
        np.testing.assert_allclose(predictor.to_truth(centres), known.camera_to_world[batch.indices, :3, 3], atol=1e-9)


def test_passes_that_share_nothing_are_told_as_such():
    known = truth.load("walk")
    seen = DisturbedPredictor(known)
    settings = Settings(batch_mode=BatchMode.NO_OVERLAP, batch_size=10, process_resolution=252, end_frame=19)
    _, batches = run(known.folder, settings, seen)
    assert [any("no frame" in w for w in b.warnings) for b in batches] == [False, True]

    settings = Settings(batch_mode=BatchMode.NO_OVERLAP, batch_size=3, process_resolution=252, frame_stride=15)
    _, batches = run(known.folder, settings, seen)
    assert any("guessed scale" in w for w in batches[1].warnings)


def test_merging_goes_over_all_batches():
    known = truth.load("courtyard")
    exact = DisturbedPredictor(known, 1, Disturbance.none())
    settings = Settings(batch_mode=BatchMode.LAST_FRAME_OVERLAP, batch_size=5, merge_points=True, merge_voxel_size=0.05)
    frames, batches = run(known.folder, settings, exact)
    merger = VoxelMerger(settings.merge_voxel_size)
    clouds = [p for b in batches for p in delivered_from(b, frames, settings, merger).clouds]
    apart = sum(len(p) for b in batches for p in delivered_from(b, frames, settings).clouds)
    voxels = np.concatenate([np.floor(c.position.astype(np.float64) / 0.05) for c in clouds])
    # A mean can round onto its voxel's wall, so a few in a thousand may seem to share one.
    assert len(np.unique(voxels, axis=0)) > 0.99 * len(voxels)
    assert len(voxels) < 0.7 * apart


class WarningPredictor(TruthPredictor):
    def predict(self, images, indices, settings, cameras=None):
        return replace(super().predict(images, indices, settings, cameras), warnings=("Only 9% got depth",))


def test_what_a_predictor_says_of_a_pass_reaches_its_batch():
    known = truth.load("portrait")
    _, [batch] = run(known.folder, Settings(**ALL), WarningPredictor(known))
    assert "Only 9% got depth" in batch.warnings
