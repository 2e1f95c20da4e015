"""The house: no circle, no arrow up, no crowded room, and the drawing in docs/architecture.md is the truth."""

import shutil
from pathlib import Path

import import_graph
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
ROOMS = import_graph.order(PAGE)


def test_no_circle_of_imports():
    assert import_graph.circles(import_graph.imports(ROOT)) == []


def test_no_arrow_goes_up():
    assert import_graph.upward(import_graph.imports(ROOT), ROOMS) == []


def test_no_room_is_crowded_and_no_file_too_long():
    assert import_graph.crowded(ROOT) == []
    assert import_graph.too_long(ROOT) == []


def test_the_drawing_shows_the_arrows_that_there_are():
    arrows = import_graph.needed_arrows(import_graph.between_rooms(import_graph.imports(ROOT), ROOMS))
    assert import_graph.drawn(PAGE) == arrows, "\n" + import_graph.drawing(arrows)


def test_every_file_that_the_page_names_is_there():
    named = {word for word in PAGE.split("`") if "/" in word and " " not in word and word.endswith(".py")}
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_a_walk_enters_a_room_once():
    for walk in PAGE.split("\n**")[1:3]:
        steps = [line.split("`")[1] for line in walk.splitlines() if line[:1].isdigit()]
        rooms = [import_graph.room(step.removesuffix(".py").replace("/", "."), ROOMS) for step in steps]
        assert len(steps) >= 5 and None not in rooms
        assert len(set(rooms)) == len(rooms), rooms


# ------------------------------------------------------------------------------------------------ a test of the tests


@pytest.fixture
def copy(tmp_path):
    for top in ("core", "streaming", "nodes", "operators", "panels", "tools"):
        shutil.copytree(ROOT / top, tmp_path / top, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "addon.py", tmp_path)
    return tmp_path


def plant(file, line):
    file.write_text(line + "\n" + file.read_text("utf-8"), "utf-8")


def test_a_planted_circle_is_found(copy):
    plant(copy / "core" / "errors.py", "from .settings import Settings")
    circle = import_graph.circles(import_graph.imports(copy))
    assert len(circle) == 1 and {"core.errors", "core.settings"} <= set(circle[0])


def test_a_planted_arrow_up_is_found(copy):
    plant(copy / "core" / "frames" / "stills.py", "def late():\n    from ..output import calibration\n")
    assert import_graph.upward(import_graph.imports(copy), ROOMS) == [
        "core.frames.stills imports core.output.calibration"
    ]


def test_a_thirteenth_file_is_found(copy):
    for number in range(13 - len(list((copy / "core" / "geometry").glob("*.py")))):
        (copy / "core" / "geometry" / f"more_{number}.py").touch()
    assert import_graph.crowded(copy) == ["core/geometry has 13 files"]


def test_a_long_file_is_found(copy):
    (copy / "panels" / "long.py").write_text("x = 1\n" * 301, "utf-8")
    assert import_graph.too_long(copy) == ["panels/long.py has 301 lines"]


def test_an_arrow_that_the_drawing_lacks_is_found(copy):
    plant(copy / "core" / "installer" / "trash.py", "from ..geometry import projection")
    arrows = import_graph.needed_arrows(import_graph.between_rooms(import_graph.imports(copy), ROOMS))
    assert ("core.installer", "core.geometry") in arrows - import_graph.drawn(PAGE)
