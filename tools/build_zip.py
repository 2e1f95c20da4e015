"""Builds the extension's zip in dist/ and has Blender's own tool validate it. Run with the interpreter that has bpy."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import paths

FILES = ("__init__.py", "addon.py", "blender_manifest.toml", "README.md", "LICENSE", "models/README.md")
FOLDERS = ("core", "streaming", "nodes", "operators", "panels", "sample_images")
TRUTH = "_truth"  # ground truth of the sample images is for the tests
STAMP = (1980, 1, 1, 0, 0, 0)  # the same files give the same zip


def main(arguments: list[str]) -> int:
    target = build(paths.ROOT, Path(arguments[0]) if arguments else paths.ROOT / "dist")
    problems = validate(target)
    if problems is not None:
        print(f"{target} is not a valid extension:\n{problems}", file=sys.stderr)
        return 1
    with zipfile.ZipFile(target) as archive:
        count = len(archive.namelist())
    print(f"{target} ({count} files, {target.stat().st_size / 1e6:.1f} MB), validated")
    return 0


def build(root: Path, folder: Path) -> Path:
    """The zip of the add-on in ``root``, written into ``folder``."""
    manifest = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{manifest['id']}-{manifest['version']}.zip"
    part = target.with_suffix(".part")
    wheel = pip_wheel()
    files = {name: root / name for name in contents(root)} | {f"core/requirements/{wheel.name}": wheel}
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(files.items()):
            entry = zipfile.ZipInfo(name, STAMP)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    part.replace(target)
    return target


def contents(root: Path) -> Iterator[str]:
    """What belongs into the zip, relative to ``root``, sorted."""
    names = [name for name in FILES if (root / name).is_file()]
    for folder in FOLDERS:
        names += [path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.is_file()]
    yield from sorted(name for name in names if not _left_out(name))


def pip_wheel() -> Path:
    """pip at the hash that requirements/pip.txt pins: a distribution's Blender may have none, and uv comes through it.

    Downloaded once, by the pip of the environment that the setup makes first, from the index that the user has set.
    """
    folder = paths.pip_folder()
    if not any(folder.glob("pip-*.whl")):
        pip = [str(paths.executable(paths.boot_environment(), "python")), "-m", "pip", "download", "--quiet"]
        pip += ["--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
        pip += ["--python-version", paths.BLENDER_PYTHON]  # which may be newer than the pip at hand
        code = subprocess.call([*pip, "--dest", str(folder), "-r", str(paths.PIP_LOCK)], stdout=sys.stderr)
        if code != 0:
            raise SystemExit("The zip brings pip, and its wheel could not be downloaded (see above)")
    return next(folder.glob("pip-*.whl"))


def _left_out(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__pycache__" or part.endswith((".pyc", "~")) for part in parts)
    return hidden or (parts[0] == "sample_images" and any(TRUTH in part for part in parts))


def validate(zip_file: Path) -> str | None:
    """None if Blender's extension tool finds nothing wrong with the zip, else what it says."""
    command = [sys.executable, str(_extension_tool()), "validate", str(zip_file)]
    result = subprocess.run(command, capture_output=True, text=True)
    return None if result.returncode == 0 else result.stdout + result.stderr


def _extension_tool() -> Path:
    spec = find_spec("bpy")
    assert spec is not None and spec.origin is not None, "run this with the interpreter that has bpy"
    return next(Path(spec.origin).parent.glob("*.*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
