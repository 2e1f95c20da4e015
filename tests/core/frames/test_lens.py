"""Known lenses: what they bend is straightened before any model sees it; the maps say how, both ways."""

import io

import av
import cv2
import numpy as np
import pytest
import truth
from da3_blender.core.alignment import known_cameras
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.lens import typed
from da3_blender.core.frames.lens.bending import Lens
from da3_blender.core.frames.lens.straight import Bent, stmap
from da3_blender.core.frames.pixels import orientation
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.output.result_files import ResultFiles
from da3_blender.core.settings import Distortion, KnownCameras, Settings
from PIL import Image

LENSES = {
    "SIMPLE_RADIAL": [-0.12],
    "RADIAL": [-0.2, 0.05],
    "OPENCV": [-0.15, 0.04, 0.004, -0.006],
    "FULL_OPENCV": [-0.2, 0.06, 0.003, -0.002, 0.01, 0.02, -0.01, 0.002],
    "OPENCV_FISHEYE": [0.03, -0.02, 0.004, -0.001],
}
FOCAL = 210.0


def bent(straight, where):
    """The picture that a lens takes of what a pinhole sees as ``straight``."""
    return cv2.remap(straight, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def project(folder, model, bending, turned=1, count=4):
    """Pictures with a known lens, stored as ``turned`` says, and their COLMAP model; the straight pictures."""
    small = [
        cv2.resize(image, (320, 214), interpolation=cv2.INTER_AREA) for image in truth.load("courtyard").images[:count]
    ]
    originals = [cv2.GaussianBlur(image, (0, 0), 1.0) for image in small]
    (folder / "images").mkdir()
    names, where = [], None
    for i, original in enumerate(originals):
        back = {6: 8, 8: 6}.get(turned, turned)
        stored = orientation.upright(original, back)
        height, width = stored.shape[:2]
        intrinsics = np.array([[FOCAL, 0, width / 2 + 7], [0, FOCAL, height / 2 - 5], [0, 0, 1.0]])
        exif = Image.Exif()
        exif[0x0112] = turned
        names.append(f"{i}.png")
        if where is None:
            shape = Bent(Lens.of_colmap(model, bending), intrinsics, width, height)
            where = (shape.source_of_bent() - 0.5).astype(np.float32)
        picture = Image.fromarray(bent(stored, where))
        picture.save(folder / "images" / names[-1], exif=exif)
    focals = [FOCAL] if model in ("SIMPLE_RADIAL", "RADIAL") else [FOCAL, FOCAL]
    words = " ".join(map(str, [*focals, width / 2 + 7, height / 2 - 5, *bending]))
    (folder / "cameras.txt").write_text(f"1 {model} {width} {height} {words}\n")
    places = np.random.default_rng(0).normal(size=(count, 3))
    lines = [f"{i + 1} 1 0 0 0 {' '.join(map(str, places[i]))} 1 {name}\n\n" for i, name in enumerate(names)]
    (folder / "images.txt").write_text("".join(lines))
    return originals


def opened(folder, **more):
    settings = Settings(
        input=str(folder / "images"), model="da3-small", known_cameras=KnownCameras.COLMAP,
        known_cameras_folder=str(folder), **more,
    )  # fmt: skip
    frames = FrameSource.open(folder / "images")
    known = known_cameras.find(settings, frames, [], Monitor())
    return known.straightened(frames), known, settings


@pytest.mark.parametrize(
    ("distortion", "coefficients"),
    [
        ("perspective", "-0.15, 0.04 0.004; -0.006"),
        ("perspective", "-0.15 0.04 0 0 0.01"),
        ("perspective", "-0.15 0.04 0.001 0 0.01 0.002"),
        ("fisheye", "0.03 -0.02"),
    ],
)
def test_a_lens_that_is_typed_in_is_undone_as_a_known_one_is(tmp_path, distortion, coefficients):
    lens = typed.read(Distortion(distortion), coefficients)
    originals = [
        cv2.resize(image, (320, 214), interpolation=cv2.INTER_AREA) for image in truth.load("courtyard").images[:2]
    ]
    intrinsics = np.array([[FOCAL, 0, 160], [0, FOCAL, 107], [0, 0, 1.0]])
    where = (Bent(lens, intrinsics, 320, 214).source_of_bent() - 0.5).astype(np.float32)
    for i, original in enumerate(originals):
        Image.fromarray(bent(original, where)).save(tmp_path / f"{i}.png")
    settings = Settings(
        input=str(tmp_path), distortion=Distortion(distortion), distortion_coefficients=coefficients,
        lens_focal=FOCAL * 36.0 / 320.0,
    )  # fmt: skip
    frames = typed.undo(FrameSource.open(tmp_path), settings)
    assert frames.warnings == ["Lens distortion undone, as it was typed in: 2 images"]
    for index, original in enumerate(originals):
        straight, inner = frames.load(index).image[20:-20, 20:-20], original[20:-20, 20:-20]
        taken = np.array(Image.open(tmp_path / f"{index}.png"))[20:-20, 20:-20]
        off, before = (np.abs(picture.astype(int) - inner).mean() for picture in (straight, taken))
        assert off < before / 4.0  # of unsharpened pictures, twice interpolated


def test_coefficients_that_cannot_be_are_refused_and_a_missing_focal_length_is_asked_for(tmp_path):
    Image.new("RGB", (32, 20)).save(tmp_path / "a.png")
    for words in ("", "0.1 x", "nan", "1 2 3 4 5"):
        with pytest.raises(BadInput, match=r"Coefficients: .* is not 1 to 4 numbers"):
            typed.read(Distortion.FISHEYE, words)
    settings = Settings(input=str(tmp_path), distortion=Distortion.PERSPECTIVE, distortion_coefficients="-0.1")
    with pytest.raises(BadInput, match=r"needs the focal length, and a\.png does not tell it: set Lens"):
        typed.undo(FrameSource.open(tmp_path), settings)
    known = Settings(input=str(tmp_path), distortion=Distortion.PERSPECTIVE, known_cameras=KnownCameras.COLMAP)
    frames = FrameSource.open(tmp_path)
    assert typed.undo(frames, known) is frames and "has no effect" in frames.warnings[0]


@pytest.mark.parametrize(("model", "turned"), [*((model, 1) for model in LENSES), *(("OPENCV", t) for t in (3, 6, 8))])
def test_a_picture_taken_through_a_known_lens_becomes_the_one_a_pinhole_takes(tmp_path, model, turned):
    originals = project(tmp_path, model, LENSES[model], turned, count=3)
    frames, known, _ = opened(tmp_path)
    assert any(warning.startswith("Lens distortion undone") for warning in known.warnings)
    taken = FrameSource.open(tmp_path / "images")
    for index, original in enumerate(originals):
        straight, seen = frames.load(index).image, frames.opaque(index)
        inner = cv2.erode(seen.astype(np.uint8), np.ones((9, 9))) > 0
        inner[:4] = inner[-4:] = inner[:, :4] = inner[:, -4:] = False
        assert straight.shape == original.shape and inner.mean() > 0.75
        off = np.abs(straight.astype(int) - original)[inner].mean()
        before = np.abs(taken.load(index).image.astype(int) - original)[inner].mean()
        assert off < 1.5 and off < before / 8.0  # of 255: twice interpolated


def test_the_two_maps_are_each_others_inverse_and_exr_keeps_them():
    shape = Bent(
        Lens.of_colmap("OPENCV", LENSES["OPENCV"]), np.array([[300.0, 0, 160], [0, 310, 118], [0, 0, 1]]), 320, 240
    )
    there, back = shape.source_of_straight(), shape.source_of_bent()
    v, u = np.mgrid[0.5:240, 0.5:320]
    found = cv2.remap(back.astype(np.float32), (there - 0.5).astype(np.float32), None, cv2.INTER_LINEAR)
    inside = ((there > 1) & (there < (319, 239))).all(axis=-1)
    assert (
        np.abs(found - np.stack([u, v], axis=-1))[inside].max() < 1 / 32
    )  # pixels: the steps in which OpenCV looks up
    with av.open(io.BytesIO(stmap(there)), format="exr_pipe") as container:
        frame = next(container.decode(video=0))
    green, _, red = (np.frombuffer(p, np.float32).reshape(240, -1)[:, :320] for p in frame.planes)
    assert np.abs(red * 320 - there[..., 0]).max() < 1e-3 and np.abs((1.0 - green) * 240 - there[..., 1]).max() < 1e-3


def test_a_lens_that_folds_shows_nothing_beyond():
    """k1 of -0.5 turns back at 0.82 of the focal length: farther out the polynomial says nothing."""
    lens = Lens.of_colmap("SIMPLE_RADIAL", [-0.5])
    assert lens.reach == pytest.approx(np.sqrt(2.0 / 3.0), abs=0.01)
    assert np.isinf(lens.bend(np.array([[0.9, 0.0]]))).any() and np.isfinite(lens.bend(np.array([[0.7, 0.0]]))).all()


def test_straight_pictures_and_maps_are_written_and_stand_behind_the_cameras(tmp_path):
    project(tmp_path, "OPENCV", LENSES["OPENCV"], count=3)
    frames, _, settings = opened(tmp_path, output_folder=str(tmp_path / "out"), output_straightened=True)
    assert frames.picture(0) == ""
    with ResultFiles(settings, "images") as files:
        files.add_straight(frames, [0, 1, 2])
    assert sorted(p.name for p in (tmp_path / "out" / "straight").iterdir()) == [
        "0.jpg", "0_redistort.exr", "0_undistort.exr", "1.jpg", "2.jpg",
    ]  # fmt: skip
    written = np.asarray(Image.open(frames.picture(1)))
    assert np.abs(written.astype(int) - frames.load(1).image).mean() < 2.0
