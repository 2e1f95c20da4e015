"""What is handed out; run by ``make release``: a clean checkout with a dated entry in CHANGELOG.md becomes dist/<zip> and its SHA-256.

One zip serves all platforms: it holds no compiled code, the dependencies come from the lock files on the user's machine.
1. the checkout is clean, CHANGELOG.md's newest entry is the manifest's version with its date, and no picture is older than what it shows   2. the zip, validated
3. all tests, and the tests on every supported Blender   4. dist/<zip>.sha256
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOOLS), str(TOOLS / "pictures")]

import build_zip  # noqa: E402  # a file of tools/
import paths  # noqa: E402
import record  # noqa: E402  # a file of tools/pictures
import test as tests  # noqa: E402
import versions  # noqa: E402


def main(arguments: list[str]) -> int:
    problem = why_not(paths.ROOT) or old_pictures()
    if problem:
        print(f"make release: {problem}", file=sys.stderr)
        return 1
    target = build_zip.build(paths.ROOT, paths.ROOT / "dist")
    invalid = build_zip.validate(target)
    if invalid is not None or tests.main([]) or versions.main([]):
        print(f"make release: not released{': ' + invalid if invalid else ', see the tests above'}", file=sys.stderr)
        return 1
    note = write_digest(target)
    print(f"{target} and {note.name}: tag this commit v{manifest_version(paths.ROOT)}")
    return 0


def why_not(root: Path) -> str:
    """What keeps the checkout from being released; empty where nothing does."""
    version = manifest_version(root)
    heading = re.search(r"^## (.+)$", (root / "CHANGELOG.md").read_text("utf-8"), re.M)
    if heading is None or not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading[1]):
        said = heading[1] if heading else "nothing"
        return f"CHANGELOG.md begins with '{said}': it must begin with '{version} (YEAR-MONTH-DAY)', as the manifest has it"
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    return f"{len(changed.splitlines())} files are not committed" if changed else ""


def old_pictures() -> str:
    """Which pictures of the pages are older than what they show; empty where none is."""
    old = record.outdated()
    return f"{', '.join(old)} of docs/images are older than what they show: make pictures" if old else ""


def manifest_version(root: Path) -> str:
    """Of the extension."""
    return str(tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))["version"])


def write_digest(target: Path) -> Path:
    """The SHA-256 beside a file, as ``sha256sum --check`` reads it."""
    note = target.with_name(target.name + ".sha256")
    note.write_text(f"{hashlib.sha256(target.read_bytes()).hexdigest()}  {target.name}\n", "utf-8")
    return note


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
