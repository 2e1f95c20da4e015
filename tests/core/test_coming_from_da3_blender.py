"""The page for those who come from DA3-blender, against the settings and operators that there are."""

import re
from pathlib import Path

import pytest
from da3_blender.core.settings import options

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "coming_from_da3_blender.md").read_text("utf-8")
NONE = "none needed"
# Properties of DA3-blender 1.1 and of its newest version.
THEIRS = """
input_folder output_folder streaming_output model_name use_metric metric_mode process_res process_res_method load_half_precision
use_ray_pose batch_size batch_mode start_frame end_frame frame_stride ref_view_strategy streaming_loop_enable
streaming_use_db_ow streaming_config streaming_align_lib streaming_align_method streaming_depth_threshold
streaming_conf_threshold_coef streaming_save_debug streaming_chunk_collections filter_edges min_confidence detect_motion
motion_threshold use_segmentation segmentation_model segmentation_conf generate_mesh output_debug_images animate_sequence
keep_individual_cameras per_frame_geometry point_scale progress progress_stage ui_model_open ui_batch_open
ui_seg_motion_open streaming_advanced_open
""".split()
OPERATORS = {"generate_point_cloud", "download_model", "unload_model", "move_models", "install_dependencies"}
OPERATORS |= {"install_streaming_deps", "update_da3_repo"}


def rows(title):
    """Cells of the table under a heading, without its head."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_setting_of_theirs_has_one_row_and_what_stands_beside_it_is_a_setting_with_that_default():
    named = [name for row in rows("Settings") for name in re.findall(r"`da3_(\w+)`", row[0])]
    assert sorted(named) == sorted(THEIRS)
    ours = {o.name: o for o in options()}
    for theirs, _, here, default, _ in rows("Settings"):
        if here == NONE:
            continue
        option = ours[here.strip("`")]
        shown = getattr(option.default, "value", option.default)
        shown = {True: "on", False: "off"}[shown] if isinstance(shown, bool) else str(shown)
        assert default.strip("`") == shown, theirs


def test_every_operator_of_theirs_has_a_row_and_ours_are_there():
    there = set()
    for path in (ROOT / "operators").rglob("*.py"):
        there |= set(re.findall(r'bl_idname = "(da3\.\w+)"', path.read_text("utf-8")))
    table = rows("Operators")
    assert {name for theirs, _ in table for name in re.findall(r"`da3\.(\w+)`", theirs)} == OPERATORS
    for _, here in table:
        assert here.strip("`") in there


@pytest.mark.parametrize("row", rows("What is made"), ids=lambda row: row[0][:30])
def test_nothing_that_they_make_lacks_a_word_on_what_stands_for_it(row):
    assert all(row) and "missing" not in row[1].lower()
