"""What the zip holds, and that Blender takes it."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# In a Blender of its own: sys.argv is [-c, zip]. Prints the module's name once the add-on is enabled.
INSTALL = """
import sys, bpy
bpy.ops.extensions.package_install_files(
    filepath=sys.argv[1], repo="user_default", enable_on_install=True, overwrite=True)
print("enabled:", [a for a in bpy.context.preferences.addons.keys() if a.endswith("da3_blender")])
from bl_ext.user_default.da3_blender.operators.state import places
print("folder:", places.data_folder())
print("heavy:", sorted({"torch", "cv2"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def build_zip():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import build_zip
    finally:
        sys.path.remove(str(ROOT / "tools"))
    return build_zip


@pytest.fixture(scope="module")
def built(build_zip, tmp_path_factory) -> Path:
    return build_zip.build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def names(built) -> list[str]:
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_blender_s_own_tool_finds_the_zip_valid(build_zip, built):
    assert build_zip.validate(built) is None


def test_the_zip_holds_the_add_on_its_locks_and_its_licence(names):
    needed = {"__init__.py", "blender_manifest.toml", "LICENSE", "README.md", "models/README.md", "core/package.py"}
    needed |= {"core/requirements/worker.txt", "core/requirements/uv.txt", "operators/command_line/cli.py"}
    assert needed <= set(names)


def test_the_zip_holds_every_module_of_the_add_on(names):
    modules = {
        path.relative_to(ROOT).as_posix()
        for folder in ("core", "streaming", "nodes", "operators", "panels")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert modules <= set(names)


def test_the_zip_holds_no_tests_tools_or_ground_truth(names):
    assert {name.split("/")[0] for name in names if "/" in name} <= {
        *("core", "streaming", "nodes", "operators", "panels", "models", "sample_images")
    }
    assert [name for name in names if "truth" in name] == []
    assert [name for name in names if name.endswith((".pyc", ".safetensors")) or "/." in name] == []


def test_the_manifest_says_where_it_runs_and_whose_it_is():
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text("utf-8"))
    assert manifest["website"].startswith("https://") and manifest["copyright"]
    assert manifest["platforms"] == ["windows-x64", "linux-x64", "macos-arm64"]
    for line in (
        manifest["tagline"],
        *manifest["permissions"].values(),
    ):  # the manual: 64 characters, no dot at the end
        assert len(line) <= 64 and line[-1].isalnum()
    assert "blender" not in manifest["name"].lower()  # rule 2.1 of the platform


def test_the_same_checkout_gives_the_same_zip(build_zip, built, tmp_path):
    assert build_zip.build(ROOT, tmp_path).read_bytes() == built.read_bytes()


def test_blender_installs_and_enables_the_zip_without_torch_or_cv2(built, tmp_path):
    environ = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", INSTALL, built], env=environ, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "enabled: ['bl_ext.user_default.da3_blender']" in result.stdout
    assert f"folder: {tmp_path / 'extensions' / '.user' / 'user_default' / 'da3_blender'}" in result.stdout
    assert "heavy: []" in result.stdout
