"""docs/troubleshooting.md quotes what the code says: a page that lags fails here."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
QUOTED = re.findall(r"^\| `([^`]+)` \|", PAGE, re.M)


def said():
    """Every text in the program, with "…" where a value is filled in."""
    for room in ("core", "streaming", "operators"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


TEXTS = list(said())


def test_the_page_has_them():
    assert len(QUOTED) > 30


@pytest.mark.parametrize("sentence", QUOTED)
def test_the_program_says_it(sentence):
    pieces = [re.escape(piece.strip("'")) for piece in re.split("…", sentence) if piece.strip(" '")]
    wanted = re.compile(".*".join(pieces), re.S)
    assert any(wanted.search(text) for text in TEXTS), sentence
