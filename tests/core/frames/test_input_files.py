"""Which input a choice of files is."""

from pathlib import Path

import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.input_files import Selection, select

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        (tmp_path / f"frame{number}.jpg").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def chosen(folder, *numbers):
    return [folder / f"frame{number}.jpg" for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "start", "end", "stride"),
    [(range(12), 0, -1, 1), ((3, 4, 5), 3, 5, 1), ((2, 5, 8, 11), 2, -1, 3), ((9, 10), 9, 10, 1), ((0, 10), 0, 10, 10)],
)
def test_several_images_are_their_folder_from_first_to_last(folder, numbers, start, end, stride):
    assert select(chosen(folder, *numbers)) == Selection(folder, start, end, stride)


def test_one_thing_is_taken_as_it_is(folder):
    (folder / "film.mp4").touch()
    for path in (folder, folder / "frame3.jpg", folder / "film.mp4"):
        assert select([path]) == Selection(path)
    assert select([folder / "frame3.jpg", folder / "notes.txt"]) == Selection(folder / "frame3.jpg")


def test_several_videos_or_folders_are_taken_one_after_another(folder, tmp_path):
    films = [folder / "b2.mp4", folder / "b10.mp4", folder / "a.mov"]
    for film in films:
        film.touch()
    assert select(films) == Selection(folder / "a.mov", more=(folder / "b2.mp4", folder / "b10.mp4"))
    other = tmp_path / "zz"
    other.mkdir()
    assert select([other, folder]) == Selection(folder, more=(other,))


def test_a_choice_that_cannot_be_said_is_refused(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for files, words in [
        (chosen(folder, 0, 1, 5), "folder of their own"),
        ([folder / "frame1.jpg", other / "frame2.jpg"], "several folders"),
        ([folder / "notes.txt"], "no image"),
        ([folder / "notes.txt", folder / "more.txt"], "Choose"),
        (chosen(folder, 3, 77), "any more"),
    ]:
        with pytest.raises(BadInput, match=words):
            select(files)
