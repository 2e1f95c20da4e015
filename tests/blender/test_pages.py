"""The pages for users: their commands run, their links lead somewhere."""

import csv
import importlib
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


def test_every_picture_that_a_page_shows_is_as_make_pictures_made_it(monkeypatch):
    """Whether it is younger than what it shows is asked by ``make release``: a picture is looked at before it is committed."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "pictures"))
    making, record = importlib.import_module("making"), importlib.import_module("record")
    shown = {name for page in PAGES for name in re.findall(r"images/([\w.-]+\.\w+)\)", page.read_text("utf-8"))}
    there = {path.name for path in record.FOLDER.iterdir()} - {record.MADE.name}
    known = record.read()
    assert shown == there == set(making.PICTURES) == set(known)
    for name in there:
        now = record.about(name)
        assert (known[name]["bytes"], known[name]["sha256"]) == (now["bytes"], now["sha256"]), (
            f"{name} was changed by hand"
        )


def test_a_picture_is_old_when_it_or_what_it_shows_has_changed(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "pictures"))
    making, record = importlib.import_module("making"), importlib.import_module("record")
    monkeypatch.setattr(record.paths, "ROOT", tmp_path)
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    monkeypatch.setattr(record, "MADE", tmp_path / "made.json")
    monkeypatch.setattr(making, "PICTURES", {"a.jpg": making.Picture(lambda folder, target: "", ("code/*.py",))})
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "shown.py").write_text("one", "utf-8")
    (tmp_path / "a.jpg").write_bytes(b"picture")
    assert record.outdated() == ["a.jpg"]  # nobody knows what it was made from
    record.note("a.jpg")
    assert record.outdated() == []
    for changed, text in ((tmp_path / "code" / "shown.py", "two"), (tmp_path / "a.jpg", "painted over")):
        before = changed.read_text("utf-8")
        changed.write_text(text, "utf-8")
        assert record.outdated() == ["a.jpg"]
        changed.write_text(before, "utf-8")
        assert record.outdated() == []
    (tmp_path / "code" / "shown.py").unlink()
    with pytest.raises(ValueError, match="names no file"):
        record.outdated()
