"""What ``make release`` refuses and writes, and that the recipes for hosting services try every Blender."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def release():
    sys.path.insert(0, str(ROOT / "tools"))
    yield runpy.run_path(str(ROOT / "tools" / "hosting" / "release.py"))
    sys.path.remove(str(ROOT / "tools"))


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "blender_manifest.toml").write_text('version = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 (2026-12-01)\n\n* All.\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


def test_only_a_clean_checkout_with_a_dated_entry_is_released(release, checkout):
    assert release["why_not"](checkout) == ""
    (checkout / "new.txt").write_text("new")
    assert release["why_not"](checkout) == "1 files are not committed"
    (checkout / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased (1.2.3)\n")
    assert "begins with 'Unreleased (1.2.3)'" in release["why_not"](checkout)


def test_the_digest_is_what_sha256sum_checks(release, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"zip")
    note = release["write_digest"](tmp_path / "a.zip")
    subprocess.run(["sha256sum", "--check", "--quiet", note.name], cwd=tmp_path, check=True)


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_a_hosting_service_tries_every_blender(release, service):
    recipe = (ROOT / "tools" / "hosting" / f"{service}.yml").read_text("utf-8")
    tried = re.search(r"(?:blender|BLENDER): \[(.*)\]", recipe)[1]
    known = {*release["paths"].OTHER_BLENDERS, release["versions"].MAIN}
    assert {word.strip(' "') for word in tried.split(",")} == known
