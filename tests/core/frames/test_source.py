"""Files as people have them: turned, transparent, deep, of mixed sizes, broken."""

import threading

import numpy as np
import pytest
from da3_blender.core.errors import BadInput, Cancelled
from da3_blender.core.frames import decoding, resizing
from da3_blender.core.frames import source as source_module
from da3_blender.core.frames.resizing import place, resized
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.frames.stills import decode, read_header
from da3_blender.core.monitor import Monitor
from da3_blender.core.settings import ResizeMethod
from PIL import Image


def picture(width=64, height=48, seed=0):
    """A smooth picture, so that JPEG changes it little."""
    v, u = np.mgrid[0:height, 0:width]
    r = np.random.default_rng(seed).uniform(0.5, 1.5, 3)
    waves = [128 + 100 * np.sin(u / 9 * r[0] + c) * np.cos(v / 11 * r[1] + c * r[2]) for c in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    for i in (1, 2, 10):
        Image.fromarray(picture(seed=i)).save(tmp_path / f"img{i}.png")
    return tmp_path


def test_images_come_in_natural_order_and_other_files_are_passed_over(folder):
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    source = FrameSource.open(folder)
    assert source.names == ["img1.png", "img2.png", "img10.png"]
    assert source.name == folder.name
    np.testing.assert_array_equal(source.load(2).image, picture(seed=10))


@pytest.mark.parametrize(
    ("start", "end", "stride", "expected"),
    [(0, -1, 1, [0, 1, 2]), (1, -1, 1, [1, 2]), (0, 1, 1, [0, 1]), (0, -1, 2, [0, 2]), (0, 99, 1, [0, 1, 2])],
)
def test_start_end_and_stride_choose_frames_and_end_is_inclusive(folder, start, end, stride, expected):
    assert FrameSource.open(folder, start, end, stride).selected == expected


def test_a_range_without_frames_is_refused(folder):
    with pytest.raises(BadInput, match="No frame from 5 to -1.*3 images"):
        FrameSource.open(folder, start=5)


def test_a_single_image_is_an_input(folder):
    source = FrameSource.open(folder / "img2.png")
    assert (source.name, source.selected) == ("img2", [0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_turned_by_exif_is_seen_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    raw = picture()
    turned = {
        1: raw, 2: raw[:, ::-1], 3: raw[::-1, ::-1], 4: raw[::-1], 5: raw.transpose(1, 0, 2),
        6: np.rot90(raw, -1), 7: raw[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(raw),
    }[orientation]  # fmt: skip
    np.testing.assert_array_equal(decode(tmp_path / "a.png").image, turned)
    header = read_header(tmp_path / "a.png")
    assert (header.height, header.width) == turned.shape[:2]
    assert header.orientation == orientation


def test_transparent_parts_are_marked_and_become_white(tmp_path):
    rgba = np.dstack([picture(), np.full((48, 64), 255, np.uint8)])
    rgba[:, :20, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    frame = decode(tmp_path / "a.png")
    assert not frame.opaque[:, :20].any() and frame.opaque[:, 20:].all()
    assert (frame.image[:, :20] == 255).all()
    np.testing.assert_array_equal(frame.image[:, 20:], picture()[:, 20:])


def test_16_bit_images_are_scaled_not_clipped(tmp_path):
    grey = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    image = decode(tmp_path / "a.png").image
    assert np.abs(image[..., 0].astype(float) - grey / 257).max() <= 0.51
    Image.fromarray(grey.astype(np.float32) / 65535).save(tmp_path / "b.tif")
    assert np.abs(decode(tmp_path / "b.tif").image[..., 1].astype(float) - grey / 257).max() <= 0.51


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA"])
def test_every_colour_mode_becomes_rgb(tmp_path, mode):
    suffix = "tif" if mode == "CMYK" else "png"
    Image.fromarray(picture()).convert(mode).save(tmp_path / f"a.{suffix}")
    image = decode(tmp_path / f"a.{suffix}").image
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8 and image.flags.c_contiguous


def test_the_focal_length_in_35_mm_spans_the_diagonal(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50
    Image.fromarray(picture(600, 400)).save(tmp_path / "a.jpg", exif=exif)
    assert read_header(tmp_path / "a.jpg").focal == pytest.approx(50 / 36 * 600, rel=1e-3)  # 3:2, as the 35 mm frame


def test_nonsense_in_exif_is_no_focal_length(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x920A] = (5, 0)
    exif.get_ifd(0x8769)[0xA20E] = (1, 1)
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=exif)
    assert read_header(tmp_path / "a.jpg").focal is None


def broken_files(folder):
    (folder / "a_empty.jpg").write_bytes(b"")
    (folder / "b_text.png").write_text("not an image")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "c_truncated.jpg").write_bytes(whole[: len(whole) // 2])


def test_broken_files_are_left_out_by_name_and_the_rest_goes_on(folder):
    broken_files(folder)
    source = FrameSource.open(folder)
    good = source.usable(source.selected, Monitor())
    assert [source.names[i] for i in good] == ["img1.png", "img2.png", "img10.png", "whole.jpg"]
    for name in ("a_empty.jpg", "b_text.png", "c_truncated.jpg"):
        assert sum(name in w for w in source.warnings) == 1


def test_a_folder_of_broken_files_names_them(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 no")
    with pytest.raises(BadInput, match=r"a\.jpg"):
        FrameSource.open(tmp_path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p / "nowhere", "does not exist"),
        (lambda p: p, "No images in"),
        (lambda p: _file(p / "a.txt"), "not an image"),
        (lambda p: _file(p / "a.mp4").parent, "choose the file itself .a.mp4"),
        (lambda p: "", "No input is set"),
    ],
)
def test_each_bad_input_has_its_own_message(tmp_path, make, said):
    with pytest.raises(BadInput, match=said):
        FrameSource.open(make(tmp_path))


def test_a_folder_without_a_readable_photo_names_what_is_there(tmp_path):
    _file(tmp_path / "a.heic")
    with pytest.raises(BadInput, match=r"a\.heic was left out: it is"):
        FrameSource.open(tmp_path)


def test_decoding_stops_when_asked(folder):
    source = FrameSource.open(folder)
    with pytest.raises(Cancelled):
        source.usable(source.selected, Monitor(cancelled=lambda: True))


def test_images_are_a_sequence_that_holds_nothing(folder):
    source = FrameSource.open(folder)
    images = source.images([2, 0])
    assert len(images) == 2
    np.testing.assert_array_equal(images[0], picture(seed=10))
    np.testing.assert_array_equal(next(iter(images[1:])), picture(seed=1))


def _file(path):
    path.write_bytes(b"some bytes")
    return path


def big_folder(folder, count=6):
    for i in range(count):
        Image.fromarray(picture(64, 50, seed=i)).save(folder / f"{i}.png")
    return FrameSource.open(folder)


def test_decoded_originals_are_held_only_as_far_as_the_budget_goes(tmp_path):
    source = big_folder(tmp_path)
    source.held_most = 3 * 64 * 50 * 3  # three images
    source.usable([0, 1], Monitor())
    source.prefetch([2, 3, 4])
    assert source.decoding.held == [0, 1, 2]
    assert source.usable([2, 3, 4, 5], Monitor()) == [2, 3, 4, 5]
    assert source.decoding.held == [2, 3, 4]
    for index, image in zip([2, 3, 4, 5], source.images([2, 3, 4, 5]), strict=True):
        np.testing.assert_array_equal(image, picture(64, 50, seed=index))


def test_what_two_passes_share_is_decoded_once(tmp_path, monkeypatch):
    source = big_folder(tmp_path)
    asked = []
    read = source.reader.read
    monkeypatch.setattr(source.reader, "read", lambda i, ahead=(): asked.append(i) or read(i, ahead))
    source.usable([0, 1, 2], Monitor())
    list(source.images([0, 1, 2]))
    source.usable([2, 3], Monitor())
    assert sorted(asked) == [0, 1, 2, 3]


def test_without_any_budget_every_image_is_still_to_be_had(tmp_path):
    source = big_folder(tmp_path)
    source.held_most = 1
    assert source.usable(source.selected, Monitor()) == source.selected
    images = list(source.images(source.selected))
    np.testing.assert_array_equal(images[5], picture(64, 50, seed=5))
    np.testing.assert_array_equal(source.images([4, 4])[1], images[4])
    assert len(list(source.images([4, 4, 1]))) == 3


def test_a_released_source_can_be_asked_again(tmp_path):
    source = big_folder(tmp_path)
    source.usable([0, 1], Monitor())
    source.release()
    assert not source.decoding.held
    np.testing.assert_array_equal(source.load(1).image, picture(64, 50, seed=1))


def test_opening_a_folder_of_png_files_decodes_none(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    assert FrameSource.open(tmp_path).selected == [0]


def test_an_orientation_that_a_png_tells_after_its_pixels_counts_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    png = (tmp_path / "a.png").read_bytes()
    at, pixels, end = (png.index(word) - 4 for word in (b"eXIf", b"IDAT", b"IEND"))
    assert at < pixels
    (tmp_path / "a.png").write_bytes(png[:at] + png[pixels:end] + png[at:pixels] + png[end:])
    header, image = read_header(tmp_path / "a.png"), decode(tmp_path / "a.png").image
    assert (header.height, header.width) == image.shape[:2] == (64, 48)


def test_images_of_the_next_pass_are_resized_where_they_are_decoded(tmp_path, monkeypatch):
    """Not where the model is asked: it would wait for that."""
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    frames, size = FrameSource.open(tmp_path), (56, ResizeMethod.UPPER_BOUND)
    threads, resized = [], resizing.resized

    def noted(*arguments):
        threads.append(threading.current_thread().name)
        return resized(*arguments)

    for module in (decoding, source_module, resizing):
        monkeypatch.setattr(module, "resized", noted)
    for wanted in ([0, 1], [2, 3], [4, 5]):
        assert frames.usable(wanted, Monitor()) == wanted
        canvas, _, _ = place(frames.images(wanted), *size)
        plain, _, _ = place([decode(tmp_path / f"{i}.png").image for i in wanted], *size)
        np.testing.assert_array_equal(canvas, plain)
    frames.release()
    own = threading.current_thread().name
    # Two of the first pass, of which nobody knew the size, and each of the three passes once more for comparison.
    assert threads.count(own) == 2 + 6
    assert sum(name.startswith("decode") for name in threads) == 4


def test_what_is_held_for_a_model_is_in_its_size_and_nothing_is_decoded_twice(tmp_path, monkeypatch):
    source = big_folder(tmp_path)
    asked, read = [], source.reader.read
    monkeypatch.setattr(source.reader, "read", lambda i, ahead=(): asked.append(i) or read(i, ahead))
    source.usable([0, 1], Monitor())
    place(source.images([0, 1]), 28, ResizeMethod.UPPER_BOUND)  # from here on a size is known
    source.held_most = 4 * 28 * 28 * 3  # four small ones
    source.usable([2, 3, 4, 5], Monitor())
    assert source.decoding.held == [2, 3, 4, 5]
    canvas, _, places = place(source.images([2, 3, 4, 5]), 28, ResizeMethod.UPPER_BOUND)
    assert sorted(asked) == list(range(6))
    for index, small, at in zip([2, 3, 4, 5], canvas, places, strict=True):
        np.testing.assert_array_equal(small, resized(picture(64, 50, seed=index), 28, ResizeMethod.UPPER_BOUND))
        assert (at.original_width, at.original_height) == (64, 50)


def test_somebody_beside_the_model_gets_the_originals_and_they_are_kept_from_then_on(tmp_path, monkeypatch):
    source = big_folder(tmp_path)
    asked, read = [], source.reader.read
    monkeypatch.setattr(source.reader, "read", lambda i, ahead=(): asked.append(i) or read(i, ahead))
    place(source.images([0]), 28, ResizeMethod.UPPER_BOUND)
    for indices in ([1], [2], [3]):
        source.usable(indices, Monitor())
        np.testing.assert_array_equal(source.load(indices[0]).image, picture(64, 50, seed=indices[0]))
    assert sorted(asked) == [0, 1, 1, 2, 3]


def test_a_reduced_frame_still_knows_which_parts_are_transparent(tmp_path):
    rgba = np.dstack([picture(64, 50), np.full((50, 64), 255, np.uint8)])
    rgba[:20, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    source = FrameSource.open(tmp_path)
    place(source.images([0]), 28, ResizeMethod.UPPER_BOUND)
    source.usable([0], Monitor())
    assert source.opaque(0).shape == (50, 64)
    assert source.opaque(0)[20:].all() and not source.opaque(0)[:20].any()
