"""The modules that are not strictly typed yet: their list in pyproject.toml only gets shorter."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST = 33  # lower it with the list


def test_the_list_of_what_is_not_strictly_typed_only_gets_shorter():
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["overrides"]
    left = next(o["module"] for o in overrides if "disable_error_code" in o)
    assert len(left) <= MOST
    assert [name for name in left if not (ROOT / (name.partition(".")[2].replace(".", "/") + ".py")).is_file()] == []
