"""360-degree panoramas: told from what only says so, cut into flat views, and back into one cloud and one camera."""

import cv2
import numpy as np
import panorama_truth
import pytest
import truth
from da3_blender.core.alignment.rigs.panorama import RigPredictor
from da3_blender.core.frames.panorama import detection, rig, views
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.output.payload import cameras_of
from da3_blender.core.pipeline import camera_records, deliver, reconstruct
from da3_blender.core.settings import Panorama, Settings
from da3_blender.core.surfaces.pictures import write_frames
from PIL import Image

GPANO = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular"%s/></rdf:RDF></x:xmpmeta>'
)


def full_turn(seed, shift=0):
    """(512, 1024, 3) of a texture without a seam."""
    noise = np.random.default_rng(seed).uniform(0, 255, (64, 128, 3)).astype(np.float32)
    wide = cv2.resize(np.concatenate([noise] * 3, axis=1), (3072, 512), interpolation=cv2.INTER_CUBIC)
    return np.roll(np.clip(wide[:, 1024:2048], 0, 255).astype(np.uint8), shift, axis=1)


@pytest.fixture
def folder(tmp_path):
    """a: a panorama; b: a photograph that says so; c: 2:1 and silent; d: a part of a panorama; e: a silent panorama."""
    photo = Image.fromarray(truth.load("courtyard").images[0]).resize((1024, 512))
    part = b' GPano:FullPanoWidthPixels="4096" GPano:CroppedAreaImageWidthPixels="1024"'
    turn = Image.fromarray(full_turn(1))
    for name, image, xmp in (
        ("a", turn, b""),
        ("b", photo, b""),
        ("c", photo, None),
        ("d", turn, part),
        ("e", turn, None),
    ):
        given = {} if xmp is None else {"xmp": GPANO % xmp}
        image.save(tmp_path / f"{name}.jpg", quality=92, **given)
    return tmp_path


@pytest.mark.parametrize("seed", range(5))
def test_a_full_turn_closes_wherever_it_is_cut_and_a_photograph_does_not(seed):
    assert detection.closes(full_turn(seed, 200 * seed))
    photo = truth.load("courtyard").images[2 * seed]
    assert not detection.closes(cv2.resize(photo, (1024, 512)))


def test_a_panorama_is_cut_and_what_only_says_so_is_taken_as_a_photograph(folder):
    frames = views.cut(FrameSource.open(folder), Panorama.AUTOMATIC)
    assert len(frames.selected) == 10 + 4 and {view.name for view in frames.views.values()} == {"a"}
    ordinary, panorama = frames.warnings
    assert ordinary.startswith("Taken as ordinary photographs: b.jpg, d.jpg.")
    assert panorama == "360-degree panorama, cut into flat views: a.jpg"
    assert [frames.place(i) for i in frames.selected] == [0] * 10 + [1, 2, 3, 4]
    assert [frames.stem(i) for i in (0, 9, 10, 13)] == ["a_view0", "a_view9", "b", "e"]


def test_always_takes_the_shape_and_never_takes_nothing(folder, tmp_path_factory):
    always = views.cut(FrameSource.open(folder), Panorama.ALWAYS)
    assert {view.name for view in always.views.values()} == set("abcde")
    never = FrameSource.open(folder)
    assert views.cut(never, Panorama.NEVER) is never
    assert never.warnings == ["Taken as ordinary photographs, since Panorama is set to Never: a.jpg, b.jpg, d.jpg"]
    silent = tmp_path_factory.mktemp("silent")
    (folder / "e.jpg").rename(silent / "e.jpg")
    asked = FrameSource.open(silent)
    assert views.cut(asked, Panorama.AUTOMATIC) is asked and asked.warnings[0].endswith("set Panorama to Always")


def test_the_views_leave_no_direction_out():
    random = np.random.default_rng(0).normal(size=(20000, 3))
    seen = np.zeros(len(random), bool)
    for turn in rig.rotations():
        assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) > 0
        x, y, z = (random @ turn.T).T
        seen |= (z > 0) & (np.maximum(np.abs(x), np.abs(y)) < rig.REACH * z)
    assert seen.all()


def test_a_view_shows_what_the_panorama_shows_there():
    """A smooth function of the direction, as a panorama; each view is that function of its own rays."""
    shade = np.array([[1.0, 2.0, 0.5], [-1.5, 0.7, 1.0], [0.3, -1.0, 2.0]])
    height, width = 512, 1024
    longitude = ((np.arange(width) + 0.5) / width - 0.5) * 2.0 * np.pi
    down = (((np.arange(height) + 0.5) / height - 0.5) * np.pi)[:, None]
    sphere = np.stack(
        np.broadcast_arrays(np.cos(down) * np.sin(longitude), np.sin(down), np.cos(down) * np.cos(longitude)), -1
    )
    image = (127.5 + 100.0 * np.sin(sphere @ shade.T)).round().astype(np.uint8)
    for turn in rig.rotations():
        rays = rig.rays(rig.intrinsics(200), 200, 200) @ turn
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        wanted = 127.5 + 100.0 * np.sin(rays @ shade.T)
        assert np.abs(rig.view(image, turn, 200) - wanted).max() < 2.0  # two roundings


def test_the_points_of_a_panorama_lie_on_the_true_surface_in_the_colour_that_it_has_there():
    """From the truth predictor's views: 1 % in the median is asked for; they are as good as nearest pixels are."""
    settings = Settings(process_resolution=224)
    frames = views.cut(FrameSource.open(truth.load("panorama").folder), Panorama.AUTOMATIC)
    model = RigPredictor(panorama_truth.PanoramaTruth(frames), frames)
    batches = list(reconstruct(frames, settings, model, on_progress=lambda *_: None, cancelled=lambda: False))
    true = truth.load("panorama")
    off, tint = [], []
    for batch in batches:
        records = camera_records(batch, frames, settings)
        cameras = cameras_of(records)
        assert [camera.name for camera in cameras] == ["000", "001", "002"]
        (cloud,) = deliver(batch, records, settings).clouds
        for camera in cameras:
            own = cloud.frame == camera.frame
            matrix = np.reshape(camera.camera_to_world, (4, 4))
            local = (cloud.position[own] - matrix[:3, 3]) @ matrix[:3, :3] * (1.0, -1.0, -1.0)  # OpenCV's axes
            u, v = rig.seen_at(local, camera.width, camera.height)
            row, column = v.astype(int).clip(0, 511), u.astype(int) % 1024
            distance = true.depth[camera.frame][row, column]
            off.append(np.abs(np.linalg.norm(local, axis=1) / np.where(distance > 0, distance, np.nan) - 1.0))
            colour = true.images[camera.frame][row, column].astype(float)
            shown = 255.0 * np.clip(cloud.point_color[own, :3], 0, 1) ** (1 / 2.2)
            tint.append(np.abs(shown - colour).mean(axis=1))
    assert sum(map(len, off)) > 80_000
    assert np.nanmedian(np.concatenate(off)) < 0.002
    assert np.median(np.concatenate(tint)) < 12.0  # of 255: a picture that is turned or mirrored is off by 50


def test_a_mesh_of_each_view_has_a_name_and_a_picture_of_its_own(tmp_path):
    settings = Settings(process_resolution=56, generate_meshes=True)
    frames = views.cut(FrameSource.open(truth.load("panorama").folder, end=0), Panorama.AUTOMATIC)
    model = RigPredictor(panorama_truth.PanoramaTruth(frames), frames)
    (batch,) = reconstruct(frames, settings, model, on_progress=lambda *_: None, cancelled=lambda: False)
    packed = write_frames(frames, batch.indices, tmp_path)
    parts = deliver(batch, camera_records(batch, frames, settings), settings, packed=packed).parts
    assert len({part.name for part in parts}) == len(parts) and len({part.image for part in parts}) == len(parts)
    assert [part.name for part in parts[:2]] == ["_Mesh_000_0", "_Mesh_000_1"]
    for part in parts:
        picture = np.asarray(Image.open(tmp_path / part.image)).astype(float)
        u, v = part.arrays.uv[::7].T
        size = picture.shape[0]
        seen = picture[((1.0 - v) * size).astype(int).clip(0, size - 1), (u * size).astype(int).clip(0, size - 1)]
        shown = 255.0 * part.arrays.point_color[part.arrays.corners.ravel()[::7], :3] ** (1 / 2.2)
        assert np.abs(seen - shown).mean() < 40.0  # a pixel of the mesh is 40 of the picture
