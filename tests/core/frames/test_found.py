"""What an input is made of is known from its names and the first image's header."""

import pytest
from da3_blender.core.frames.found import look_at, look_at_all
from PIL import Image


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_is_that_of_the_upright_image(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("b2", "b10"):
        Image.new("RGB", (40 if name == "b2" else 9, 30)).save(tmp_path / f"{name}.{suffix}", exif=exif)
    found = look_at(tmp_path)
    assert (found.images, found.size) == (2, (30, 40) if orientation > 4 else (40, 30))


def test_several_inputs_are_counted_together_and_the_one_with_a_problem_is_named(tmp_path):
    for name, count in (("hall", 2), ("yard", 3), ("none", 0)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("RGB", (40, 30)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "film.mp4").write_bytes(b"")
    found = look_at_all([tmp_path / "hall", tmp_path / "yard"])
    assert (found.images, found.each, found.size, found.problem) == (5, (2, 3), (40, 30), "")
    broken = look_at_all([tmp_path / "hall", tmp_path / "none"])
    assert (broken.where, broken.problem) == ("none", "There are no images in this folder")
    assert "all be videos, or all be images" in look_at_all([tmp_path / "hall", tmp_path / "film.mp4"]).problem
    assert look_at_all([tmp_path / "hall"]) == look_at(tmp_path / "hall")


def test_a_progressive_image_and_one_with_a_preview_have_a_size(tmp_path):
    Image.new("RGB", (64, 32)).save(tmp_path / "a.jpg", progressive=True, comment=b"x" * 60_000)
    assert look_at(tmp_path / "a.jpg").size == (64, 32)


def test_what_cannot_be_used_says_why(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("")
    (tmp_path / "film.mp4").write_bytes(b"")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert "no images" in look_at(tmp_path / "empty").problem
    assert "no such file" in look_at(tmp_path / "nothing").problem
    assert "no image or video" in look_at(tmp_path / "text.txt").problem
    assert look_at(tmp_path / "film.mp4").is_video
    broken = look_at(tmp_path / "broken.jpg")
    assert (broken.images, broken.size, broken.problem) == (1, None, "")


def test_a_pattern_and_a_name_that_lies_are_what_a_run_makes_of_them(tmp_path):
    for number in (1, 2, 3):
        Image.new("RGB", (40, 30)).save(tmp_path / f"shot_{number:03d}.png")
    assert look_at(tmp_path / "shot_###.png").images == 3
    (tmp_path / "shot_001.png").rename(tmp_path / "photo")
    (tmp_path / "clip.jpg").write_bytes(b"\0\0\0\x14ftypqt  ")
    assert (look_at(tmp_path / "photo").images, look_at(tmp_path / "clip.jpg").is_video) == (1, True)
