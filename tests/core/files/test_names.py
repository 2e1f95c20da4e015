"""Names from the file system: readable, and short enough."""

import json
import os

import pytest
from da3_blender.core.files import names


def test_bytes_that_are_not_utf_8_become_the_letters_of_latin_1():
    assert names.readable(os.fsdecode(b"caf\xe9 \xc3\xa9")) == "caf\u00e9 \u00e9"
    assert names.readable("\ud83d") == "\ufffd"  # half a character, as Windows allows it
    assert names.readable("plain \N{SNOWMAN}") == "plain \N{SNOWMAN}"


def test_every_text_of_a_report_can_be_written_as_utf_8():
    report = {"files": ["/tmp/caf\udce9.ply"], "n": 1, "cameras": [{"name": "\udcff", "fx": 1.5}], "none": None}
    json.dumps(names.readable_values(report), ensure_ascii=False).encode("utf-8")
    assert names.readable_values(report)["n"] == 1


@pytest.mark.parametrize("stem", ["n" * 250, "\N{SNOWMAN}" * 84, "\udce9" * 250, "short", ""])
def test_a_file_s_name_fits_whatever_the_input_is_called(tmp_path, stem):
    name = names.file_name("calib_", stem, "_da3.txt", tmp_path)
    assert name.startswith("calib_") and name.endswith("_da3.txt")
    (tmp_path / ("." + "x" * (names.ROOM_FOR_TEMPORARY - 1) + name)).touch()  # under a temporary name, too
    assert len(stem) > 10 or name == f"calib_{stem}_da3.txt"
    name.removesuffix("_da3.txt").encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
