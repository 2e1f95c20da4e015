"""One table makes the properties, the command line and the documentation."""

import json
import math
import runpy
from pathlib import Path

import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.settings import BatchMode, Choice, Settings, options


def test_every_option_has_a_label_a_help_and_a_default_in_range():
    for option in options():
        assert option.label and option.help and not option.help.endswith(".")
        assert option.parse(option.default) == option.default


def test_defaults_are_the_specification_s():
    s = Settings()
    assert (s.start_frame, s.end_frame, s.frame_stride, s.model) == (0, -1, 1, "da3-large-1.1")
    assert (s.fp16, s.process_resolution, str(s.resize_method)) == (False, 504, "upper_bound_resize")
    assert (str(s.batch_mode), s.batch_size, str(s.ref_view_strategy)) == ("automatic", 0, "saddle_balanced")
    assert (s.use_ray_pose, s.filter_edges, s.min_confidence, s.merge_points, s.point_scale) == (
        False, True, 0.5, False, 1.0,
    )  # fmt: skip


def test_settings_survive_the_wire():
    settings = Settings(batch_mode=BatchMode.IGNORE_BATCH_SIZE, process_resolution=280, fp16=True)
    assert Settings.from_strings(json.loads(json.dumps(settings.to_json()))) == settings


def test_text_is_read_as_the_option_s_type():
    settings = Settings.from_strings(
        {"fp16": "on", "batch_size": "4", "min_confidence": "2.5", "batch_mode": "skip_frames"}
    )
    assert settings == Settings(fp16=True, batch_size=4, min_confidence=2.5, batch_mode=BatchMode.SKIP_FRAMES)
    assert isinstance(settings.batch_mode, Choice)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("batch_size", "many", "Batch Size: 'many' is not a whole number from 0"),
        ("batch_size", "-1", "out of range"),
        ("batch_mode", "all", "ignore_batch_size, skip_frames"),
        ("fp16", "perhaps", "on or off"),
        ("min_confidence", "nan", "out of range"),
        ("field_of_view", "200", "degrees from 1 to 170"),
        ("colour", "red", "no setting 'colour'"),
    ],
)
def test_a_wrong_value_is_said_with_what_would_be_right(name, value, said):
    with pytest.raises(BadInput, match=said):
        Settings.from_strings({name: value})


def test_an_angle_as_text_is_in_degrees():
    assert Settings.from_strings({"field_of_view": "90"}).field_of_view == pytest.approx(math.pi / 2)


@pytest.mark.parametrize(("asked", "used"), [(504, 504), (500, 504), (510, 504), (512, 518), (14, 14), (15, 14)])
def test_the_process_resolution_is_rounded_to_whole_patches(asked, used):
    assert Settings(process_resolution=asked).resolution == used


def test_the_documentation_is_made_from_the_table():
    root = Path(__file__).resolve().parents[2]
    made = runpy.run_path(str(root / "tools" / "settings_doc.py"))["render"]()
    assert (root / "docs" / "settings.md").read_text() == made, "run python tools/settings_doc.py"
