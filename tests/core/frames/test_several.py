"""Several inputs in one run: every frame is the one of its own input, under its name."""

import numpy as np
import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.input_files import SEPARATOR
from da3_blender.core.frames.panorama import views
from da3_blender.core.frames.several.joined import open_inputs
from da3_blender.core.monitor import Monitor
from da3_blender.core.settings import Panorama, Settings
from PIL import Image


def folder_of(path, shades):
    path.mkdir(parents=True)
    for number, shade in enumerate(shades):
        Image.new("RGB", (64, 48), (shade, shade, shade)).save(path / f"IMG_{number}.png")
    return path


def opened(*paths, **more):
    return open_inputs(Settings(input=str(paths[0]), more_inputs=SEPARATOR.join(map(str, paths[1:])), **more))


def test_two_folders_with_the_same_names_are_one_input(tmp_path):
    frames = opened(folder_of(tmp_path / "left", (10, 20, 30)), folder_of(tmp_path / "right", (40, 50)))
    assert frames.name == "left + right" and frames.length == frames.wanted == 5
    assert [frames.stem(i) for i in frames.selected] == [
        "left_IMG_0",
        "left_IMG_1",
        "left_IMG_2",
        "right_IMG_0",
        "right_IMG_1",
    ]
    assert frames.usable(frames.selected, Monitor()) == [0, 1, 2, 3, 4]
    assert [int(image[0, 0, 0]) for image in frames.images(frames.selected)] == [10, 20, 30, 40, 50]
    assert frames.picture(3) == str(tmp_path / "right" / "IMG_0.png")
    frames.release()


def test_start_and_stride_go_for_each_and_folders_of_one_name_are_told_apart(tmp_path):
    one, two = folder_of(tmp_path / "a" / "images", (1, 2, 3)), folder_of(tmp_path / "b" / "images", (4, 5, 6, 7))
    frames = opened(one, two, start_frame=1, frame_stride=2)
    assert [frames.stem(i) for i in frames.selected] == ["images1_IMG_1", "images2_IMG_1", "images2_IMG_3"]
    assert [int(frames.load(i).image[0, 0, 0]) for i in frames.selected] == [2, 5, 7]


def test_two_videos_are_one(tmp_path):
    import av

    for name, shade in (("walk", 60), ("back", 180)):
        with av.open(str(tmp_path / f"{name}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=10, width=64, height=48, pix_fmt="yuv420p")
            for step in range(4):
                picture = np.full((48, 64, 3), shade + 10 * step, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            container.mux(stream.encode(None))
    frames = opened(tmp_path / "walk.mkv", tmp_path / "back.mkv", frame_stride=3)
    assert frames.is_video and [frames.stem(i) for i in frames.selected] == [
        "walk_000000", "walk_000003", "back_000000", "back_000003",
    ]  # fmt: skip
    shades = [int(frames.load(i).image.mean()) for i in frames.selected]
    assert np.abs(np.subtract(shades, [60, 90, 180, 210])).max() <= 3  # 8 bit video
    frames.release()
    with pytest.raises(BadInput, match="all be videos, or all be images"):
        opened(tmp_path / "walk.mkv", folder_of(tmp_path / "left", (1,)))


def test_panoramas_of_two_folders_are_cut(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (128, 64), (90, 90, 90)).save(tmp_path / name / "p.png")
    frames = views.cut(opened(tmp_path / "one", tmp_path / "two"), Panorama.ALWAYS)
    assert len(frames.selected) == 20 and {view.name for view in frames.views.values()} == {"one_p", "two_p"}


def test_frames_of_one_moment_stand_together(tmp_path):
    one, two = folder_of(tmp_path / "left", (1, 2, 3, 4, 5)), folder_of(tmp_path / "right", (6, 7, 8, 9))
    frames = opened(one, two, start_frame=1, frame_stride=2, mounted_together=True)
    assert frames.selected == [1, 6, 3, 8]  # left 1, right 1, left 3, right 3
    assert [(frames.mounted[i].camera, frames.mounted[i].moment) for i in frames.selected] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 1),
    ]
    frames = opened(one, two, mounted_together=True)
    assert frames.selected == [0, 5, 1, 6, 2, 7, 3, 8, 4] and 4 not in frames.mounted
    assert any("5, 4 images; the first 4 of each" in warning for warning in frames.warnings)
    alone = opened(one, mounted_together=True)
    assert not alone.mounted and any("no effect on one input" in warning for warning in alone.warnings)
