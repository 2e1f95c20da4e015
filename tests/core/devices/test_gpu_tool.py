"""`make test-gpu`, on a card that is none and with a network of a few million weights: that it runs where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3.registry")

import depth_anything_3  # noqa: E402
import tiny_da3  # noqa: E402
from da3_blender.core.models import catalogue  # noqa: E402
from pretended_card import pretended_card  # noqa: E402

BENCH = Path(__file__).resolve().parents[3] / "tools" / "bench"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import gpu

    return gpu


def test_without_a_card_it_says_so_and_stops():
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, BENCH / "gpu.py"], env=environ, capture_output=True, text=True)
    if not torch.backends.mps.is_available():
        assert (done.returncode, done.stdout) == (0, "PyTorch finds no graphics card here: nothing was run\n"), (
            done.stderr
        )


def test_its_claims_hold_on_the_pretended_card(tool, tmp_path):
    with pretended_card((8, 6)):
        assert "Pretended, compute capability 8.6, 24.0 GiB free, bfloat16" in tool.about("cuda")
        found = dict(tool.claims("cuda", tmp_path))
    # Which has as much memory as one asks for.
    assert [claim for claim, held in found.items() if not held] in (
        [],
        ["memory that runs out is known, and the card computes on"],
    )
    assert len(found) == 10


def test_a_row_has_both_times_and_the_peak(tool, tmp_path, monkeypatch):
    tiny = tiny_da3.any_view(tmp_path)
    monkeypatch.setattr(catalogue, "find", lambda name: tiny.info)
    monkeypatch.setattr(tool, "WIDTH", 112)
    monkeypatch.setattr(tool, "HEIGHT", 84)
    monkeypatch.setattr(tool, "TIMED", 1)
    # Imported anew, inside: its decorators would else have the real ``inference_mode``, which the pretended card has not.
    monkeypatch.delitem(sys.modules, "depth_anything_3.api", raising=False)
    monkeypatch.delattr(depth_anything_3, "api", raising=False)
    with pretended_card((8, 6)):
        (row,) = tool.rows("cuda", ("tiny",), (2,))
    assert row.images == 2 and row.seconds > 0 and row.packages_seconds > 0 and row.peak > 1 << 20
    assert str(row).count("|") == 7
