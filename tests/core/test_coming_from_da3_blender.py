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


# What DA3-blender makes: objects, attributes, nodes, modifiers, files.
MADE = """
Points point_color conf motion PointMaterial GeometryNodes PointCloud Threshold Mesh_<image> FilterMesh FilterDepthMesh UVMap
Moving_<image> <class>_<id> <input> <input>_Batch_<k> <input>_chunk_<k> <input>_chunk_<k>_Cloud <input>_StreamingCloud <image>
fx fy cx cy fov_h_deg fov_v_deg DA3_Camera DA3_Camera_Intrinsics camera_intrinsics.csv calib_<name>.txt calib_<name>_da3.txt
debug_output/<image>_depth.png _conf _color _grad _bad pcd/<k>_pcd.ply combined_pcd.ply camera_poses.txt camera_poses.ply
intrinsic.txt intrinsic_image_size.txt loop_closures.txt results_output/frame_<n>.npz _tmp_results_unaligned
_tmp_results_aligned _tmp_results_loop segmented_chunks sim3_opt_result.png
""".split()


@pytest.fixture(scope="module")
def code():
    folders = ("core", "streaming", "nodes", "operators")
    return "\n".join(path.read_text("utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_all_that_they_make_has_one_row():
    named = [name for row in rows("What is made") for name in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(named) == sorted(MADE)


@pytest.mark.parametrize("row", rows("What is made"), ids=lambda row: row[0][:30])
def test_what_stands_for_it_is_a_name_that_the_code_gives(row, code):
    assert row[0] and row[1] and "missing" not in " ".join(row).lower()
    if row[1] == NONE:
        return
    names = re.findall(r"`([^`]+)`", row[1])
    assert names
    for name in names:  # what is filled in is left out, and folders are joined to their files by the code
        for piece in re.split(r"<[^>]*>|/", name):
            assert piece.rstrip("_") in code, (name, piece)


def test_no_row_is_missing():
    everything = [row for title in ("Settings", "Operators", "What is made") for row in rows(title)]
    assert not [row for row in everything if "missing" in " ".join(row).lower()]
