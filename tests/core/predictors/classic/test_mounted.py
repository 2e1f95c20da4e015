"""Cameras that are mounted on each other, by ``classic``: one rig through the whole input, in its bundle adjustment."""

import classic_room
import numpy as np
import pytest
from da3_blender.core.frames.input_files import SEPARATOR
from da3_blender.core.frames.several.joined import open_inputs
from da3_blender.core.geometry.projection import homogeneous, invert_rigid
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import scene
from da3_blender.core.settings import FeatureMatching, Settings
from PIL import Image

MOMENTS = 6
TURN = np.radians(14.0)
#: From the left camera's axes to the right one's: turned about the vertical, 0.35 aside.
RELATIVE = np.array(
    [[np.cos(TURN), 0, np.sin(TURN), -0.35], [0, 1, 0, 0.05], [-np.sin(TURN), 0, np.cos(TURN), 0.1], [0, 0, 0, 1]]
)
BLIND = 3  # the moment at which the right camera sees nothing that could be placed


@pytest.fixture(scope="module")
def rig():
    """(2, MOMENTS, 4, 4) world to camera, and the images that these see."""
    left = homogeneous(classic_room.arc(MOMENTS))
    poses = np.stack([left, RELATIVE @ left])
    focals = 280.0, 250.0
    return poses, [classic_room.render(own[:, :3], (320, 240), f).images for own, f in zip(poses, focals, strict=True)]


def opened(folder, images, **more):
    for name, own in zip(("left", "right"), images, strict=True):
        (folder / name).mkdir()
        for k, image in enumerate(own):
            Image.fromarray(image).save(folder / name / f"{k}.png")
    given = {"mounted_together": True, "feature_matching": FeatureMatching.SIFT, **more}
    settings = Settings(input=str(folder / "left"), more_inputs=SEPARATOR + str(folder / "right"), **given)
    return open_inputs(settings), settings


def relative_poses(found):
    """(M, 3, 4) from the left to the right camera, of the moments of which both are placed."""
    row = {index: k for k, index in enumerate(found.indices)}
    both = [(row[k], row[MOMENTS + k]) for k in range(MOMENTS) if k in row and MOMENTS + k in row]
    poses = homogeneous(found.sfm.extrinsics)
    return np.stack([(poses[b] @ np.linalg.inv(poses[a]))[:3] for a, b in both])


def test_the_rig_is_the_same_at_all_moments_and_places_what_nothing_else_could(rig, tmp_path):
    poses, images = rig
    gray = np.full((240, 320, 3), 128, np.uint8)
    images = [images[0], [gray if k == BLIND else image for k, image in enumerate(images[1])]]
    frames, settings = opened(tmp_path, images)
    found = scene.find(frames, frames.selected, settings, Monitor())
    assert found.sfm.holds_mounts and not found.warnings
    assert sorted(found.indices) == list(range(2 * MOMENTS))
    relative = relative_poses(found)
    assert np.abs(relative - relative[0]).max() < 1e-9
    scale = np.linalg.norm(RELATIVE[:3, 3]) / np.linalg.norm(relative[0, :, 3])
    cosine = (np.trace(relative[0, :, :3] @ RELATIVE[:3, :3].T) - 1.0) / 2.0
    assert np.degrees(np.arccos(min(1.0, cosine))) < 0.2
    assert np.linalg.norm(relative[0, :, 3] * scale - RELATIVE[:3, 3]) < 0.02 * np.linalg.norm(RELATIVE[:3, 3])
    world = [
        homogeneous(found.sfm.extrinsics)[found.indices.index(k + side * MOMENTS)]
        for k in (0, BLIND)
        for side in (0, 1)
    ]
    centres = np.stack([invert_rigid(pose[:3])[:, 3] for pose in world])
    true = np.stack(
        [invert_rigid((poses[side, k] @ np.linalg.inv(poses[0, 0]))[:3])[:, 3] for k in (0, BLIND) for side in (0, 1)]
    )
    assert np.linalg.norm(centres * scale - true, axis=1).max() < 0.01  # the room is six wide; the blind one too
    lenses = {round(float(found.sfm.intrinsics[found.indices.index(i), 0, 0])) for i in range(2 * MOMENTS)}
    assert len(lenses) == 2  # one for each camera


def test_images_that_do_not_belong_to_each_other_stay_free(rig, tmp_path):
    _, images = rig
    frames, settings = opened(tmp_path, [images[0], [images[1][k] for k in (4, 1, 5, 0, 3, 2)]])
    found = scene.find(frames, frames.selected, settings, Monitor())
    assert not found.sfm.holds_mounts and len(found.indices) == 2 * MOMENTS
    assert any("do not fit cameras that keep to each other" in warning for warning in found.warnings)


def test_without_the_setting_nothing_is_a_rig(rig, tmp_path):
    frames, _ = opened(tmp_path, rig[1], mounted_together=False)
    assert frames.mounted == {} and frames.selected == sorted(frames.selected)
