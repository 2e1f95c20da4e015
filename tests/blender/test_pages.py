"""The pages for users: their commands run, their links lead somewhere."""

import csv
import re
import shlex
from pathlib import Path

import pytest
from da3_blender import addon
from da3_blender.operators.command_line import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
COMMANDS = re.findall(r"^da3 (.+)$", (ROOT / "docs" / "tasks.md").read_text("utf-8"), flags=re.M)


@pytest.fixture
def enabled(empty_file, tmp_path, monkeypatch):
    monkeypatch.setenv("DA3_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("DA3_PREDICTOR", f"{ROOT / 'tests' / 'support' / 'truth_predictor.py'}:open_predictor")
    addon.register()
    yield
    addon.unregister()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_tasks_runs(enabled, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "sample_images").symlink_to(ROOT / "sample_images", target_is_directory=True)
    with (tmp_path / "LIST.csv").open("w", newline="") as file:
        rows = ["input", "output", "model"], ["sample_images/portrait", "out/portrait.blend", "classic"]
        csv.writer(file).writerows(rows)
    assert cli.main([*shlex.split(command), "--process-resolution", "140"]) == 0
    made = [word for word in shlex.split(command) if word.startswith("out/")] or ["out/portrait.blend"]
    assert all((tmp_path / name).exists() for name in made)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_make_targets_are_there(page):
    text = page.read_text("utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.M))
    assert set(re.findall(r"`make (?:-s )?([a-z-]+)", text)) <= targets
    programs = set(re.findall(r"`?((?:tools|tests)/[\w/]+\.(?:py|js|yaml))", text))
    assert [name for name in programs if not (ROOT / name).exists()] == []
