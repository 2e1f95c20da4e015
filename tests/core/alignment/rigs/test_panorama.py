"""The views into one panorama are one rig: a centre, known directions, one scale, each direction once."""

import numpy as np
import panorama_room as room
import pytest
from da3_blender.core.alignment.rigs import panorama as rig_fit
from da3_blender.core.frames.panorama import rig, views
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry.projection import invert_rigid, unproject
from da3_blender.core.output.payload import cameras_of
from da3_blender.core.pipeline import camera_records
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.settings import Panorama, Settings
from PIL import Image

SETTINGS = Settings(process_resolution=168)


def turned(angle):
    """(3, 3) of a camera that has turned about the vertical."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])


POSES = {0: (np.array([0.3, 0.1, -0.4]), turned(0.7)), 1: (np.array([1.4, 0.0, 1.1]), turned(-2.0))}


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panoramas")
    for name, (centre, rotation) in zip(("a", "b"), POSES.values(), strict=True):
        Image.fromarray(room.panorama(centre, rotation, 256)).save(folder / f"{name}.png")
    return views.cut(FrameSource.open(folder), Panorama.ALWAYS)


def off(prediction):
    """Median and 99 % of how far points are from the walls, relative to their distance; and the kept pixels."""
    kept = prediction.conf > 0
    points = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)[kept].astype(np.float64)
    wall = np.minimum(np.abs(points - room.LOW), np.abs(points - room.HIGH)).min(axis=-1)
    outside = np.maximum(room.LOW - points, points - room.HIGH).max(axis=-1)
    return np.quantile(np.where(outside > 0, outside, wall), (0.5, 0.99)), kept


def test_the_truth_stays_the_truth_and_every_direction_is_there_once(frames):
    prediction = rig_fit.RigPredictor(room.RoomPredictor(frames, POSES), frames).predict([], frames.selected, SETTINGS)
    (median, most), kept = off(prediction)
    assert median < 1e-5 and most < 0.01  # metres; in the room's corners a view between two pixels sees neither wall
    turns = rig.rotations()
    rays = rig.rays(prediction.intrinsics[0], 168, 168)
    solid = (np.linalg.inv(prediction.intrinsics[0])[0, 0] ** 2) / np.linalg.norm(
        rays, axis=-1
    ) ** 3  # steradians of a pixel
    assert (solid[None] * kept[: len(turns)]).sum() == pytest.approx(4.0 * np.pi, rel=0.01)


def test_views_with_scales_and_places_of_their_own_become_one_rig(frames):
    """Scales off by 5 %, places by 3 cm and 1.7 degrees: as a model's views of one panorama are."""
    wrong = room.RoomPredictor(frames, POSES, scale_error=0.05, pose_error=0.03)
    (before, _), _ = off(wrong.predict([], frames.selected, SETTINGS))
    prediction = rig_fit.RigPredictor(wrong, frames).predict([], frames.selected, SETTINGS)
    centres = invert_rigid(prediction.extrinsics)[:, :, 3].reshape(2, -1, 3)
    assert np.ptp(centres, axis=1).max() < 1e-9
    for panorama, own in enumerate(centres):
        assert np.linalg.norm(own[0] - POSES[panorama][0]) < 0.03  # the mean of ten is nearer than each
    first = prediction.conf[:10] > 0
    distances = np.linalg.norm(rig.rays(prediction.intrinsics[0], 168, 168), axis=-1) * prediction.depth[:10]
    rays = np.stack([rig.rays(prediction.intrinsics[0], 168, 168) @ r @ POSES[0][1] for r in rig.rotations()])
    ratio = (distances / room.distances(POSES[0][0], rays))[first]
    assert np.quantile(np.abs(np.log(ratio / np.median(ratio))), 0.99) < 0.003  # one scale for all of the panorama
    (after, _), _ = off(prediction)
    assert after < 0.5 * before


def test_a_model_without_cameras_gets_the_rig(frames):
    class Mono(room.RoomPredictor):
        def predict(self, *given):
            found = super().predict(*given)
            found.extrinsics = found.intrinsics = None
            return found

    own = [i for i in frames.selected if frames.views[i].panorama == 0]
    prediction = rig_fit.RigPredictor(Mono(frames, POSES), frames).predict([], own, SETTINGS)
    kept = prediction.conf > 0
    points = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)[kept] @ POSES[0][1] + POSES[0][0]
    assert np.median(np.minimum(np.abs(points - room.LOW), np.abs(points - room.HIGH)).min(axis=-1)) < 1e-4


def test_a_panorama_becomes_one_camera_that_stands_and_looks_as_it_does(frames):
    prediction = rig_fit.RigPredictor(room.RoomPredictor(frames, POSES), frames).predict([], frames.selected, SETTINGS)
    records = camera_records(Batch(frames.selected, prediction), frames, SETTINGS)
    cameras = cameras_of(records)
    assert [(c.name, c.frame, c.width, c.height, c.is_panorama) for c in cameras] == [
        ("a", 0, 256, 128, True), ("b", 1, 256, 128, True),
    ]  # fmt: skip
    for camera, (centre, rotation) in zip(cameras, POSES.values(), strict=True):
        matrix = np.reshape(camera.camera_to_world, (4, 4))
        x, y, z = centre
        assert np.allclose(matrix[:3, 3], (x, z, -y))
        ahead = rotation[2]  # the panorama's z axis in the room
        assert np.allclose(-matrix[:3, 2], (ahead[0], ahead[2], -ahead[1]))
    assert cameras[0].field_of_view == pytest.approx((360.0, 180.0))
