"""What Blender cannot show of the originals lies behind the cameras as a copy, upright and of the same picture."""

import clips
import numpy as np
import pillow_heif
import pytest
from da3_blender.core import pipeline
from da3_blender.core.frames.several.joined import open_inputs
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.core.surfaces import pictures
from PIL import Image
from seen import Seen
from surfaces import waves


def _records(settings):
    frames = open_inputs(settings)
    (batch,) = pipeline.reconstruct(frames, settings, Seen(), on_progress=lambda *_: None, cancelled=lambda: False)
    return frames, batch, pipeline.camera_records(batch, frames, settings)


def _settings(folder, **more):
    return Settings(input=str(folder), process_resolution=140, batch_mode=BatchMode.IGNORE_BATCH_SIZE, **more)


def test_only_what_blender_cannot_show_gets_a_copy_upright_and_small(tmp_path):
    folder, job = tmp_path / "phone", tmp_path / "job"
    folder.mkdir(), job.mkdir()
    pillow_heif.register_heif_opener()
    wide = Image.fromarray(np.concatenate([waves(320, 240, k) for k in range(8)], axis=1))  # 2560 x 240
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(waves(320, 240, 0)).save(folder / "a.jpg", exif=exif)
    Image.fromarray(waves(320, 240, 0)).save(folder / "b.avif")
    Image.fromarray(waves(320, 240, 0)).save(folder / "c.heic", quality=95)
    frames, batch, records = _records(_settings(folder))
    given = pictures.behind_cameras(frames, batch.indices, records, job)
    assert [record.copy for record in given] == ["", "1_b.avif.jpg", "2_c.heic.jpg"]
    for record in given[1:]:
        shown = np.asarray(Image.open(job / record.copy)).astype(float)
        # levels: AVIF's and HEIC's own losses, and a JPEG's
        assert shown.shape == (240, 320, 3) and np.abs(shown - waves(320, 240, 0)).mean() < 4.0
    wide.save(folder / "c.heic", quality=95)
    frames, batch, records = _records(_settings(folder, start_frame=2))
    (record,) = pictures.behind_cameras(frames, batch.indices, records, job)
    assert Image.open(job / record.copy).size == (pictures.BEHIND, 240 * pictures.BEHIND // 2560)
    assert record.image == str(folder / "c.heic")  # the table and COLMAP's files still name the original


def test_the_copies_that_meshes_have_serve_the_cameras_too(tmp_path):
    Image.fromarray(waves(320, 240, 0)).save(tmp_path / "b.avif")
    frames, batch, records = _records(_settings(tmp_path))
    there = pictures.write_frames(frames, batch.indices, tmp_path)
    (record,) = pictures.behind_cameras(frames, batch.indices, records, tmp_path, there)
    assert [record.copy] == there and sorted(p.name for p in tmp_path.iterdir()) == [*there, "b.avif"]


def test_frames_of_the_second_video_have_a_copy_and_each_camera_knows_its_input(tmp_path):
    videos = [tmp_path / "left.mp4", tmp_path / "right.mp4"]
    for video in videos:
        clips.write(video, [waves(320, 240, k) for k in range(2)])
    frames, batch, records = _records(_settings(videos[0], more_inputs=str(videos[1])))
    given = pictures.behind_cameras(frames, batch.indices, records, tmp_path)
    assert [record.input for record in given] == ["left", "left", "right", "right"]
    assert [bool(record.copy) for record in given] == [False, False, True, True]
    assert [bool(record.video) for record in given] == [True, True, False, False]


@pytest.mark.parametrize("meshes", [True, False])
def test_a_kept_run_shows_what_the_model_saw(tmp_path, meshes):
    Image.fromarray(waves(320, 240, 0)).save(tmp_path / "b.avif")
    _, _, records = _records(_settings(tmp_path))
    kept, job = tmp_path / "000000.png", tmp_path / "job"
    job.mkdir()
    Image.fromarray(waves(140, 105, 0)).save(kept)
    given, names = pictures.kept_behind(records, [str(kept)], job, meshes=meshes)
    assert names == ["000000.png"] == [record.copy for record in given] and (job / "000000.png").is_file()
    given, names = pictures.kept_behind(records, [""], job, meshes=meshes)
    assert names == [""] == [record.copy for record in given]
