"""Cameras in Nuke's scripts: ours come back, and what others write is read as Nuke means it."""

import numpy as np
import payloads
import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.geometry.projection import cameras_to_blender
from da3_blender.core.output.cameras import nuke
from da3_blender.core.output.cameras.colmap import View

SAME = 1e-4  # of a pose's numbers, as the issue asks
SIZE = (640, 360)


def written(tmp_path, words):
    file = tmp_path / "shot.nk"
    file.write_text(words)
    return file


def test_poses_zoom_shifts_and_pixel_aspect_come_back(tmp_path):
    rng = np.random.default_rng(0)
    views = [
        View(f"{k}.png", *SIZE, np.array([[500.0 + k, 0.0, 310.0 + 2 * k], [0.0, 480.0, 190.0 - k], [0.0, 0.0, 1.0]]),
             payloads.random_pose(rng)) for k in range(30)
    ]  # fmt: skip
    lines = nuke.read(written(tmp_path, nuke.text(views, range(1001, 1031))))
    assert [line.number for line in lines] == list(range(1001, 1031))
    for line, view in zip(lines, views, strict=True):
        assert np.abs(line.extrinsics - view.extrinsics).max() < SAME
        assert line.intrinsics(*SIZE) == pytest.approx(view.intrinsics, abs=SAME)


def test_a_turn_over_half_a_circle_does_not_jump(tmp_path):
    """Nuke's curves run from key to key: motion blur would see a camera that spins."""
    views = []
    for degrees in range(170, 200, 5):
        s, c = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        views.append(
            View("", *SIZE, np.diag([500.0, 500.0, 1.0]), np.array([[c, 0, s, 1.0], [0, 1, 0, 2.0], [-s, 0, c, 3.0]]))
        )
    (rotate,) = [line for line in nuke.text(views, range(6)).splitlines() if line.startswith(" rotate")]
    (curve,) = [part for part in rotate.split("{") if "x5" in part]
    assert np.abs(np.diff([float(word) for word in curve.partition("}")[0].split()[2::2]])).max() < 6.0


SCRIPT = """#! /usr/bin/nuke -nx {
version 12.2 v5
Root {
 inputs 0
 label "a \\{ and a \\}"
}
Axis2 {
 inputs 0
 name Axis_Scene
}
push 0
Camera2 {
 rot_order XYZ
 translate {{curve i x1 0 1 2 3} 2 {curve x1 5 x2 5 x3 5 x4 5}}
 rotate {0 90 0}
 focal {{curve i x1 24 s0 x4 24}}
 haperture 36
 win_translate {0.1 -0.2}
 name tracked
}
Camera3 {
 inputs 0
 name still
}
"""


def test_a_script_is_read_as_nuke_reads_it(tmp_path):
    """By hand: 2 up, 5 back, a step to the right for each frame, turned by 90 degrees to the left: it looks along -x."""
    lines = nuke.read(written(tmp_path, SCRIPT))
    matrices = cameras_to_blender(np.stack([line.extrinsics for line in lines]))
    assert [line.number for line in lines] == [1, 2, 3, 4]
    assert matrices[2, :3, 3] == pytest.approx([2.0, -5.0, 2.0])
    assert -matrices[2, :3, 2] == pytest.approx([-1.0, 0.0, 0.0])
    k = lines[0].intrinsics(360, 200)
    assert k == pytest.approx(np.array([[240.0, 0.0, 162.0], [0.0, 240.0, 64.0], [0.0, 0.0, 1.0]]))


def test_the_order_of_turns_and_a_matrix_say_the_same(tmp_path):
    """X first, then Y, then Z: Rz Ry Rx; as a matrix, row by row."""
    turned = SCRIPT.replace("rotate {0 90 0}", "rotate {10 20 30}")
    by_turns = nuke.read(written(tmp_path, turned))
    a, b, c = np.radians([10.0, 20.0, 30.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    r = (about_z @ about_y @ about_x).tolist()
    rows = [[*r[0], "{curve x1 0 x2 1 x3 2 x4 3}"], [*r[1], 2], [*r[2], 5], [0, 0, 0, 1]]
    matrix = " ".join("{" + " ".join(map(str, row)) + "}" for row in rows)
    as_matrix = turned.replace(" rot_order XYZ", f" useMatrix true\n matrix {{{matrix}}}")
    for one, other in zip(by_turns, nuke.read(written(tmp_path, as_matrix)), strict=True):
        assert one.extrinsics == pytest.approx(other.extrinsics)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("x4 24", "x4 30", "no key at frame 2"),
        ("{0 90 0}", "{0 {parent.turn} 0}", "bake"),
        (" name Axis_Scene", " translate {1 0 0}", "an Axis moves the camera"),
        ("Camera3 {\n inputs 0", "Camera3 {\n focal {{curve x1 20 x2 21}}", "2 cameras that move"),
        ("{curve i x1 0 1 2 3}", "0", "0 cameras that move"),
    ],
)
def test_what_only_nuke_knows_is_said(tmp_path, old, new, said):
    script = SCRIPT.replace(old, new)
    if said.startswith("0 cameras"):
        script = script.replace("{curve x1 5 x2 5 x3 5 x4 5}", "5").replace("{{curve i x1 24 s0 x4 24}}", "24")
    with pytest.raises(BadInput, match=said):
        nuke.read(written(tmp_path, script))
