"""The command line: what it writes, its exit codes, and what its last line says."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np
import pictures
import pytest
from da3_blender import addon
from da3_blender.core.settings import options
from da3_blender.nodes.datablocks import splat_nodes
from da3_blender.operators import fault_report
from da3_blender.operators.command_line import arguments, cli
from da3_blender.operators.state.places import Places, places

ROOT = Path(__file__).resolve().parents[3]
STAND_INS = ROOT / "tests" / "support" / "stand_ins.py"


@pytest.fixture(autouse=True)
def enabled(empty_file, tmp_path, monkeypatch):
    """The add-on, with a stand-in for da3-small and nothing else installed."""
    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "da3-small.safetensors").write_bytes(b"a stand-in is loaded instead")
    monkeypatch.setenv("DA3_MODELS", str(folder))
    monkeypatch.setenv("DA3_PREDICTOR", f"{STAND_INS}:quick")
    addon.register()
    yield
    addon.unregister()
    assert list(temp.iterdir()) == []


@pytest.fixture
def wall(tmp_path):
    return pictures.write(tmp_path / "wall")


@pytest.fixture
def run(capfd, tmp_path, wall):
    """Runs a command; exit code and the lines on stderr."""

    def run(*words):
        code = cli.main([str(word) for word in words])
        said = capfd.readouterr().err.strip().splitlines()
        return code, said

    return run


def generate(wall, tmp_path, *more):
    return "generate", "--input", wall, "--output", tmp_path / "scene.blend", "--process-resolution", "56", *more


def test_refined_splats_come_into_the_scene_that_was_saved_and_into_their_file(run, wall, tmp_path):
    report, folder = tmp_path / "report.json", tmp_path / "files"
    files = ("--output-folder", folder, "--output-splats", "ply")
    code, said = run(*generate(wall, tmp_path, "--refine-splats", *files, "--report", report))
    assert code == 0, said
    made = json.loads(report.read_text())
    assert any("views that took no part have" in warning for warning in made["warnings"])
    (splats,) = folder.glob("*_splats.ply")
    assert made["files"].count(str(splats)) == 1
    assert sum(one["vertices"] for one in made["objects"]) == made["points"] == 3 * 56 * 42
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    (cloud,) = [obj for obj in bpy.data.objects if obj.name == made["objects"][0]["name"]]
    assert ("radiance:base" in cloud.data.attributes) == splat_nodes.DRAWN


@pytest.mark.skipif(splat_nodes.DRAWN, reason="Blender draws splats from 5.3 on")
def test_refined_splats_that_nobody_would_see_are_refused(run, wall, tmp_path):
    code, said = run(*generate(wall, tmp_path, "--refine-splats"))
    assert code == 2 and "give --output-splats" in said[-1]
    assert not (tmp_path / "scene.blend").exists()


@pytest.mark.parametrize("also", ["--generate-meshes", "--fuse-frames"])
def test_refined_splats_take_no_meshes_away(run, wall, tmp_path, also):
    files = "--output-splats", "ply", "--output-folder", tmp_path / "files"
    code, said = run(*generate(wall, tmp_path, "--refine-splats", *files, also, "on"))
    assert code == 2 and "leave out --generate-meshes and --fuse-frames" in said[-1]


def test_the_picture_of_meshes_shows_their_photographs_and_the_scene_finds_them(run, wall, tmp_path):
    picture = tmp_path / "picture.png"
    code, said = run(*generate(wall, tmp_path, "--generate-meshes", "on", "--render", picture))
    assert code == 0, said
    image = bpy.data.images.load(str(picture))
    pixels = np.array(image.pixels[:]).reshape(-1, 4)
    missing = (
        (pixels[:, 0] > 0.9) & (pixels[:, 1] < 0.1) & (pixels[:, 2] > 0.9)
    )  # what Blender paints without its image
    assert missing.mean() < 0.001
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    paths = [image.filepath for image in bpy.data.images if image.source == "FILE"]
    assert len(paths) == 3 and all(path.startswith("//") and Path(bpy.path.abspath(path)).exists() for path in paths)


def test_generate_saves_a_scene_a_picture_and_a_report(run, wall, tmp_path):
    report, picture = tmp_path / "report.json", tmp_path / "picture.png"
    code, said = run(*generate(wall, tmp_path, "--report", report, "--render", picture, "--filter-edges", "off"))
    assert code == 0, said
    assert "da3: Model: da3-small, the best that is installed" in said
    assert picture.stat().st_size > 1000
    made = json.loads(report.read_text())
    assert (made["frames"], made["batches"], made["model"], made["warnings"]) == (3, 1, "da3-small", [])
    assert made["points"] == 3 * 56 * 42
    assert all(made["peak_memory"][side] > 10 << 20 for side in ("worker", "blender"))
    assert {"load", "images", "points", "build", "render", "save", "total"} <= made["seconds"].keys()
    assert [c["name"] for c in made["cameras"]] == ["photo_000", "photo_001", "photo_002"]
    first = made["cameras"][0]
    assert first.keys() == {"name", "frame", "camera_to_world", "fx", "fy", "cx", "cy", "width", "height"}
    assert len(first["camera_to_world"]) == 16 and (first["width"], first["height"]) == (56, 42)
    clouds = [o for o in made["objects"] if o["type"] == "MESH"]
    assert [(o["collection"], o["vertices"]) for o in clouds] == [("wall", made["points"])]
    assert len(made["objects"]) == 4


def test_a_fused_surface_is_in_the_scene_and_alone_in_the_picture(run, wall, tmp_path):
    report, picture = tmp_path / "report.json", tmp_path / "picture.png"
    code, said = run(*generate(wall, tmp_path, "--report", report, "--render", picture, "--fuse-frames", "on"))
    assert code == 0, said
    objects = {entry["name"]: entry for entry in json.loads(report.read_text())["objects"]}
    assert objects["wall_Fused"]["vertices"] > 0 and objects["wall_Fused"]["collection"] == "wall"
    assert picture.stat().st_size > 0


def test_the_saved_scene_holds_the_run_its_settings_and_nothing_else(run, wall, tmp_path):
    bpy.ops.wm.read_factory_settings()  # with the cube, the lamp and the camera of every new file
    assert run(*generate(wall, tmp_path, "--min-confidence", "0.25"))[0] == 0
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert sorted({o.type for o in bpy.data.objects}) == ["CAMERA", "MESH"] and len(bpy.data.objects) == 4
    assert bpy.context.scene.da3.min_confidence == pytest.approx(0.25)
    photos = [image for image in bpy.data.images if image.source == "FILE"]
    assert photos and all(image.filepath.startswith("//wall/photo_") for image in photos)
    assert all(Path(bpy.path.abspath(image.filepath)).is_file() for image in photos)
    with (tmp_path / "scene.blend").open("rb") as file:
        assert not file.read(7).startswith(b"BLENDER"), "not compressed"


def test_a_scene_that_is_there_is_replaced(run, wall, tmp_path):
    for _ in range(2):
        assert run(*generate(wall, tmp_path))[0] == 0


def test_a_broken_picture_among_good_ones_is_left_out_and_named(run, wall, tmp_path):
    (wall / "photo_001.png").write_bytes((wall / "photo_001.png").read_bytes()[:90])
    code, said = run(*generate(wall, tmp_path))
    assert code == 0 and any("photo_001.png" in line for line in said)


def empty(folder):
    folder.mkdir()
    return folder


def texts(folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    return folder


def narrow(folder):
    return pictures.write(folder, 2, width=2000, height=20)


def broken(folder):
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    return folder


BAD_INPUTS = [
    (lambda folder: folder, "does not exist"),
    (empty, "No images"),
    (texts, "No images"),
    (narrow, "too narrow"),
    (broken, "a.jpg"),
]


@pytest.mark.parametrize(("make", "words"), BAD_INPUTS, ids=["missing", "empty", "texts", "narrow", "broken"])
def test_an_unusable_input_is_exit_code_2_and_one_line_that_says_why(run, tmp_path, make, words, monkeypatch):
    monkeypatch.delenv("DA3_PREDICTOR")
    code, said = run(*generate(make(tmp_path / "input"), tmp_path, "--model", "classic"))
    assert code == 2 and words in said[-1], said
    assert not (tmp_path / "scene.blend").exists() and "Traceback" not in "\n".join(said)


def test_one_image_with_classic_is_bad_input_that_names_other_models(run, tmp_path, monkeypatch):
    monkeypatch.delenv("DA3_PREDICTOR")
    code, said = run(*generate(pictures.write(tmp_path / "one", 1), tmp_path, "--model", "classic"))
    assert code == 2 and "DA3" in said[-1], said


def test_bad_words_are_exit_code_2(run, wall, tmp_path):
    good = generate(wall, tmp_path)
    for words, said_so in [
        ((*good, "--batch-size", "many"), "many"),
        ((*good, "--batch-size", "-1"), "-1"),
        ((*good, "--batch-mode", "sideways"), "skip_frames"),
        ((*good, "--fp16", "perhaps"), "perhaps"),
        ((*good, "--colour", "blue"), "--colour"),
        (good[:3], "--output"),
        (("dance",), "dance"),
        ((), "COMMAND"),
        (("models",), "ACTION"),
    ]:
        code, said = run(*words)
        assert code == 2 and said_so in said[-1] and len(said) == 1, (words, said)


def test_an_output_that_cannot_be_written_is_told_before_the_work(run, wall, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder.blend").mkdir()
    for output, said_so in [
        (tmp_path / "nowhere" / "scene.blend", "no folder"),
        (tmp_path / "file" / "scene.blend", "no folder"),
        (tmp_path / "folder.blend", "is a folder"),
        (tmp_path / "scene.txt", ".blend"),
        (Path("/proc/scene.blend"), "cannot be written"),
    ]:
        code, said = run("generate", "--input", wall, "--output", output)
        assert code == 2 and said_so in said[-1] and not any("Load" in line for line in said), said
    code, said = run(*generate(wall, tmp_path, "--report", tmp_path / "nowhere" / "report.json"))
    assert code == 2 and "report.json" in said[-1]


def test_an_unknown_and_a_missing_model_are_exit_code_3(run, wall, tmp_path):
    code, said = run(*generate(wall, tmp_path, "--model", "da3-enormous"))
    assert code == 3 and "da3-enormous" in said[-1] and "classic" in said[-1]
    code, said = run(*generate(wall, tmp_path, "--model", "da3-base"))
    assert code == 3 and "da3-base.safetensors" in said[-1]


def test_a_missing_environment_is_exit_code_3(run, wall, tmp_path, monkeypatch):
    monkeypatch.delenv("DA3_WORKER_PYTHON", raising=False)
    monkeypatch.setenv("DA3_ENVIRONMENT", str(tmp_path / "nothing"))
    for words in (generate(wall, tmp_path), ("doctor",)):
        code, said = run(*words)
        assert code == 3 and "not installed" in said[-1]


@pytest.mark.parametrize(("stand_in", "words"), [("leave", "exit code 7"), ("faulty", "KeyError")])
def test_a_failing_worker_is_exit_code_1(run, wall, tmp_path, stand_in, words, monkeypatch):
    monkeypatch.setenv("DA3_PREDICTOR", f"{STAND_INS}:{stand_in}")
    code, said = run(*generate(wall, tmp_path))
    assert code == 1 and words in said[-1] and "Traceback" not in "\n".join(said)


def test_without_a_downloaded_model_the_default_is_classic(run, wall, tmp_path, monkeypatch):
    monkeypatch.setenv("DA3_MODELS", str(tmp_path))
    code, said = run(*generate(wall, tmp_path))
    assert said[0] == "da3: Model: classic, the best that is installed"
    assert code == 0, said


def test_models_are_listed_and_removed(run, capfd, tmp_path):
    assert cli.main(["models", "list"]) == 0
    rows = {line.split()[0]: line for line in capfd.readouterr().out.splitlines()}
    assert "not installed" not in rows["da3-small"] and "not installed" in rows["da3-base"]
    assert cli.main(["models", "remove", "da3-small"]) == 0
    assert not (tmp_path / "models" / "da3-small.safetensors").exists()
    assert run("models", "remove", "da3-small")[0] == 3
    assert run("models", "remove", "classic")[0] == 2


def test_doctor_says_what_is_there(capfd):
    assert cli.main(["doctor"]) == 0
    said = capfd.readouterr().out
    assert "torch" in said and "da3-small" in said and "Ready: yes" in said and bpy.app.version_string in said


def test_the_report_that_is_sent_names_no_person_machine_or_path(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr("getpass.getuser", lambda: "Ada")
    monkeypatch.setattr(fault_report.platform, "node", lambda: "adas-pc")
    assert cli.main(["doctor", "--report"]) == 0
    said = capfd.readouterr().out
    for word in (
        "0.1.0",
        bpy.app.version_string,
        "torch",
        "Platform of wheels: linux-x86_64 (there are wheels of all packages)",
        "Device: cpu",
        "Models: da3-small",
    ):
        assert word in said, word
    here = places(bpy.context)
    for secret in (
        str(here.models),
        str(here.environment),
        str(Path.home()),
        str(tmp_path),
        "Ada",
        "adas-pc",
        *Path.home().parts[2:],
    ):
        assert secret not in said, secret


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("'/home/ada lovelace/env' is broken", "'<path>' is broken"),
        (r"C:\Users\Ada\models is full", "<path> is full"),
        (r"\\server\share\x (ada, on ADAS-PC)", "<path> (<user>, on <machine>)"),
        ("CUDA 13.0 and 2/3 of 4 GB, and/or Adamant", "CUDA 13.0 and 2/3 of 4 GB, and/or Adamant"),
    ],
)
def test_a_sentence_is_sent_without_what_tells_who(monkeypatch, said, sent):
    monkeypatch.setattr("getpass.getuser", lambda: "Ada")
    monkeypatch.setattr(fault_report.platform, "node", lambda: "adas-pc")
    here = Places(Path("/home/ada lovelace/env"), Path("/models of mine"))
    assert fault_report.anonymous(said, here) == sent


def test_copy_report_puts_the_same_into_the_clipboard(monkeypatch):
    copied = []
    monkeypatch.setattr(fault_report, "to_clipboard", copied.append)
    assert bpy.ops.da3.copy_report() == {"FINISHED"}
    assert "Dependencies: " in copied[0] and "Platform of wheels: " in copied[0]


def test_every_setting_has_its_flag(capfd):
    assert cli.main(["generate", "--help"]) == 0
    said = capfd.readouterr().out
    assert all(option.flag in said for option in options() if option.name != "more_inputs")  # --input, given again


def test_a_switch_needs_no_word(tmp_path):
    words = ["generate", "--input", "x", "--output", "y", "--fp16", "--filter-edges", "off"]
    settings = arguments.settings_of(arguments.parser().parse_args(words), "da3-small")
    assert settings.fp16 and not settings.filter_edges and settings.model == "da3-small"
    assert Path(settings.input).is_absolute()


def start_tool(*words, **variables):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "da3.py"), *map(str, words)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **variables},
    )  # fmt: skip


def test_ctrl_c_cancels_with_exit_code_4_and_leaves_nothing(wall, tmp_path):
    temp = tmp_path / "temp"
    variables = {"DA3_PREDICTOR": f"{STAND_INS}:slow", "TMPDIR": str(temp)}
    with start_tool(*generate(wall, tmp_path), **variables) as tool:
        for line in tool.stderr:
            if "Model 1" in line or "Model 2" in line:  # the pass itself
                break
        (worker,) = [int(p) for p in Path(f"/proc/{tool.pid}/task/{tool.pid}/children").read_text().split()]
        tool.send_signal(signal.SIGINT)
        _, said = tool.communicate(timeout=10)
    assert tool.returncode == 4 and said.splitlines()[-1] == "da3: Cancelled"
    assert not Path(f"/proc/{worker}").exists()
    assert not (tmp_path / "scene.blend").exists() and list(temp.glob("da3_blender*")) == []


def test_the_tool_speaks_the_same_command_line(tmp_path):
    with start_tool("models", "list") as tool:
        said, _ = tool.communicate(timeout=60)
    assert tool.returncode == 0 and "da3-large-1.1" in said
    with start_tool("generate") as tool:
        _, said = tool.communicate(timeout=60)
    assert tool.returncode == 2 and said.splitlines()[-1].startswith("da3: The following arguments are required")


def test_an_input_given_several_times_is_several_inputs(tmp_path):
    words = ["generate", "--input", str(tmp_path), "--input", str(tmp_path / "b"), "--output", "x.blend"]
    settings = arguments.settings_of(arguments.parser().parse_args(words), "classic")
    assert [settings.input, settings.more_inputs] == [str(tmp_path), str(tmp_path / "b")]
