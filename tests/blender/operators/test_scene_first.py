"""What fails beside the scene costs nothing of it: the .blend is there and whole, the exit code is 5, the cause is named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import bpy
import pictures
import pytest
from da3_blender import addon
from da3_blender.operators.command_line import cli

LATE = Path(__file__).resolve().parents[2] / "support" / "late_failures.py"
FULL = "No space left on device"
OLD = "from an earlier run"


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, of 4 MB, that can be filled without harm."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def wall(tmp_path):
    return pictures.write(tmp_path / "wall", 6)


@pytest.fixture
def generate(enabled, capfd, tmp_path, monkeypatch, wall):
    """Runs ``generate`` as the command line does: exit code, lines on stderr."""
    addon.unregister()
    addon.register()  # the command line starts without what other tests have set

    def run(*words, spoil=None, kind="gone", source=wall, output=tmp_path / "scene.blend", passes=2):
        if spoil is not None:
            monkeypatch.setenv("DA3_SPOIL", str(spoil))
            monkeypatch.setenv("DA3_SPOIL_PASS", str(passes))
            monkeypatch.setenv("DA3_PREDICTOR", f"{LATE}:{kind}")
        command = ["generate", "--input", source, "--output", output, "--process-resolution", "56", "--batch-size", "3"]
        code = cli.main([str(word) for word in (*command, "--batch-mode", "no_overlap", *words)])
        return code, capfd.readouterr().err.strip().splitlines()

    return run


def check(run, file, cause, images=6):
    """The scene is whole and the sentence names the cause."""
    code, said = run
    assert code == 5, said
    assert said[-1].startswith("da3: The scene was saved, but: ") and cause in said[-1], said
    bpy.ops.wm.open_mainfile(filepath=str(file))
    cameras = [obj for obj in bpy.data.objects if obj.type == "CAMERA"]
    clouds = [obj for obj in bpy.data.objects if obj.type == "MESH" and len(obj.data.vertices)]
    assert len(cameras) == images and clouds
    assert not [path for path in file.parent.iterdir() if path.name.endswith("part")]


def test_an_output_folder_that_is_deleted(generate, tmp_path):
    out = tmp_path / "out"
    run = generate("--output-folder", out, "--output-debug-images", "on", spoil=out)
    check(run, tmp_path / "scene.blend", f"Not written into '{out}': point cloud, debug images")
    assert not out.exists()


def test_an_output_folder_that_is_full(generate, tmp_path, disk):
    run = generate("--output-folder", disk, "--output-debug-images", "on", spoil=disk, kind="full")
    check(run, tmp_path / "scene.blend", FULL)
    assert {path.name for path in disk.rglob("*part")} | {path.name for path in disk.glob("*.ply")} == set()


def test_debug_images_whose_folder_is_a_file(generate, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "debug").write_text(OLD)
    run = generate("--output-folder", out, "--output-debug-images", "on")
    check(run, tmp_path / "scene.blend", "debug images")
    assert (out / "debug").read_text() == OLD and (out / "wall.ply").stat().st_size > 1000


@pytest.mark.parametrize("kind", ["gone", "full"])
def test_a_kept_run_that_cannot_be_kept(generate, tmp_path, disk, monkeypatch, kind):
    kept = disk / "kept"
    kept.mkdir()
    monkeypatch.setenv("DA3_KEPT_RUNS", str(kept))
    run = generate(spoil=kept, kind=kind)
    check(run, tmp_path / "scene.blend", "could not be kept for Rebuild and Fuse")


def test_a_surface_that_was_asked_for_and_not_made(generate, tmp_path, monkeypatch):
    monkeypatch.setenv("DA3_PREDICTOR", f"{LATE}:unsure")
    run = generate("--fuse-frames", "on", "--report", tmp_path / "report.json")
    check(run, tmp_path / "scene.blend", "The frames were not fused: ")
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["failures"]) == 1 and report["failures"][0] in report["warnings"]


def test_a_surface_whose_frames_could_not_be_kept(generate, tmp_path, disk, monkeypatch):
    monkeypatch.setenv("DA3_KEPT_RUNS", str(disk))
    run = generate("--fuse-frames", "on", spoil=disk, kind="full")
    check(run, tmp_path / "scene.blend", "The frames were not fused: the run could not be kept")


@pytest.mark.parametrize("kind", ["gone", "full"])
@pytest.mark.parametrize("passes", [1, 2])
def test_streaming_that_cannot_store_its_chunks(generate, tmp_path, disk, kind, passes):
    out = disk / "out"
    out.mkdir()
    run = generate("--output-folder", out, "--batch-mode", "da3_streaming", spoil=out, kind=kind, passes=passes)
    check(run, tmp_path / "scene.blend", "so the run ended early: ", images=3 if passes == 1 else 5)


@pytest.mark.parametrize("kind", ["gone", "full"])
@pytest.mark.parametrize(
    ("option", "name", "what"), [("--render", "picture.png", "picture"), ("--report", "report.json", "report")]
)
def test_a_picture_or_report_that_cannot_be_written_leaves_the_old_one(
    generate, tmp_path, disk, kind, option, name, what
):
    place = disk / "place"
    place.mkdir()
    (place / name).write_text(OLD)
    run = generate(option, place / name, spoil=place, kind=kind)
    check(run, tmp_path / "scene.blend", f"The {what} '{place / name}' could not be written: ")
    assert kind == "gone" or (place / name).read_text() == OLD
    assert kind == "gone" or option == "--report" or len(list(place.iterdir())) == 3  # what fills it, and the old one


def test_a_scene_that_cannot_be_saved_leaves_the_old_one(generate, disk):
    old = disk / "scene.blend"
    old.write_text(OLD)
    code, said = generate(spoil=disk, kind="full", output=old)
    assert code == 1 and "could not be saved" in said[-1] and FULL in said[-1], said
    assert old.read_text() == OLD and len(list(disk.iterdir())) == 3


def test_a_run_that_breaks_off_leaves_what_was_built_beside_the_scene_of_before(generate, tmp_path):
    (tmp_path / "scene.blend").write_text(OLD)
    code, said = generate(spoil=tmp_path, kind="dies", passes=2)
    file = tmp_path / "scene_unfinished.blend"
    assert code == 1 and "exit code 7" in said[-1] and f"What was built until then is in '{file}'" in said[-1], said
    assert (tmp_path / "scene.blend").read_text() == OLD
    bpy.ops.wm.open_mainfile(filepath=str(file))
    assert len([obj for obj in bpy.data.objects if obj.type == "CAMERA"]) == 3


NAMES = [
    "a{x}",
    "{blend_name}",
    "a}",
    "a{{b",
    "back\\slash",
    "#",
    "%d",
    "caf\udce9",
    "\N{SNOWMAN}" * 60,
    "-" + "n" * 239,
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_that_others_read_as_something_else(generate, tmp_path, name):
    """Of the folder of everything, the input, and the files."""
    place = tmp_path / name
    source = pictures.write(tmp_path / "plain")
    place.mkdir()
    shutil.copytree(source, place / name)
    for number, file in enumerate(sorted((place / name).iterdir())):
        file.rename(file.with_name(f"{name}{number}.png"))
    wanted = {kind: place / f"{name}.{kind}" for kind in ("blend", "png", "json")}
    code, said = generate(
        "--render", wanted["png"], "--report", wanted["json"], "--output-folder", place / "out", "--output-debug-images", "on",
        "--generate-meshes", "on", "--output-colmap", "binary", source=place / name, output=wanted["blend"],
    )  # fmt: skip
    assert code == 0, said
    assert {path.name for path in place.iterdir()} == {name, "out", *(path.name for path in wanted.values())}
    assert wanted["png"].read_bytes().endswith(b"IEND\xaeB`\x82")
    report = json.loads(wanted["json"].read_text("utf-8"))
    assert len(report["cameras"]) == 3 and not report["failures"]
    assert (place / "out" / "camera_intrinsics.csv").read_text("utf-8").count("\n") == 4
    shutil.copy(wanted["blend"], tmp_path / "plain.blend")  # Blender does not open every name it can save
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "plain.blend"))
    assert len([obj for obj in bpy.data.objects if obj.type == "CAMERA"]) == 3
    assert [image for image in bpy.data.images if image.source == "FILE"]
    meshes = [obj for obj in bpy.data.objects if obj.type == "MESH"]
    assert meshes and all(obj.data.materials[0].node_tree.nodes.get("Image") for obj in meshes)


def test_what_can_be_told_before_the_work_is_told_before_it(generate, tmp_path, wall):
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "report.json")
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    device = tmp_path / "device.png"
    device.symlink_to("/dev/full")
    for words, cause in [
        (("--render", link, "--report", tmp_path / "report.json"), "are the same file"),
        (("--render", loop), "cannot be written"),
        (("--render", device), "no ordinary file"),
        (("--render", wall / "photo_001.png"), "one of the input's images"),
        (("--render", tmp_path / ("n" * 252 + ".png")), "too long a name"),
    ]:
        code, said = generate(*words)
        assert code == 2 and cause in said[-1] and len(said) == 1, said
    assert not (tmp_path / "scene.blend").exists()


def test_an_earlier_scene_is_kept_as_blender_keeps_it(generate, tmp_path):
    (tmp_path / "scene.blend").write_text(OLD)
    assert generate()[0] == 0
    assert (tmp_path / "scene.blend1").read_text() == OLD


def test_two_runs_into_one_output_folder_at_once(enabled, tmp_path, wall):
    tool = LATE.parents[2] / "tools" / "da3.py"
    command = [sys.executable, str(tool), "generate", "--input", str(wall), "--process-resolution", "56"]
    command += ["--output-folder", str(tmp_path / "out"), "--output-debug-images", "on"]
    runs = [
        subprocess.Popen([*command, "--output", str(tmp_path / name)], stderr=subprocess.PIPE, text=True)
        for name in ("a.blend", "b.blend")
    ]
    for run in runs:
        said = run.communicate(timeout=120)[1]
        assert run.returncode == 0, said
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.endswith("part")]
    header = (tmp_path / "out" / "wall.ply").read_bytes()[:512]
    count = int(header.split(b"element vertex ")[1].split()[0])
    assert (tmp_path / "out" / "wall.ply").stat().st_size == 512 + 19 * count
