"""What an actor reads by itself is what the driver would have read."""

import numpy as np
import pytest
from da3_blender.core.cluster.host import Input
from da3_blender.core.errors import BadInput
from da3_blender.core.files import exr
from da3_blender.core.frames.lens import typed
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.settings import Distortion, Settings


def light(folder):
    values = np.full((20, 30), 0.1, np.float32)
    values[:2] = 4.0
    (folder / "a.exr").write_bytes(exr.encode(dict.fromkeys("RGB", values)))
    return FrameSource.open(folder, exposure=1.0)


def test_images_that_hold_light_have_the_same_exposure_there(tmp_path):
    frames = light(tmp_path)
    np.testing.assert_array_equal(Input.of(frames).open().load(0).image, frames.load(0).image)


def test_images_that_no_file_holds_are_sent(tmp_path):
    settings = Settings(distortion=Distortion.PERSPECTIVE, distortion_coefficients="-0.1", lens_focal=30.0)
    straight = typed.undo(light(tmp_path), settings)
    with pytest.raises(BadInput):  # by which the driver knows
        Input.of(straight).open()
