"""The programs of docs/scripting.md, and what ``reconstruct`` does with arrays, streaming and bad input; no torch, no Pillow here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from da3_blender.core.errors import BadInput, Cancelled, MissingEnvironment
from da3_blender.core.worker import scripting
from da3_blender.core.worker.client import WorkerClient

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = ROOT / "tests" / "support" / "stand_ins.py"
PROGRAMS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "scripting.md").read_text("utf-8"), re.S)


def test_the_page_s_first_program_runs_as_it_stands(tmp_path):
    for name in ("core", "streaming", "sample_images"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "out").mkdir()
    assert len(PROGRAMS[0].splitlines()) <= 24
    run = subprocess.run(
        [sys.executable, "-c", PROGRAMS[0]], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ)
    )
    assert run.returncode == 0, run.stderr
    assert "4 cameras" in run.stdout or "5 cameras" in run.stdout, run.stdout
    saved = np.load(tmp_path / "out" / "courtyard_points.npz")
    assert len(saved["position"]) == len(saved["color"]) > 10_000
    assert "torch" not in run.stderr


@pytest.fixture
def stand_in(monkeypatch):
    """Every worker has a stand-in for its model."""
    chosen = {"predictor": f"{STAND_INS}:quick"}
    monkeypatch.setattr(scripting, "WorkerClient", lambda python: WorkerClient(python, predictor=chosen["predictor"]))
    return chosen


def pictures(count):
    return [np.full((28, 42, 3), 40 * k + 20, np.uint8) for k in range(count)]


def test_arrays_come_back_as_points_of_their_own_colour(stand_in):
    found = scripting.reconstruct(pictures(4), model="da3-small", process_resolution=42, filter_edges=False)
    assert [camera.name for camera in found.cameras] == [f"{k:06d}" for k in range(4)]
    assert found.report["frames"] == 4 and len(found.points) == 4 * 28 * 42 == found.report["points"]
    for k in range(4):
        shade = found.points.point_color[found.points.frame == k][:, :3]
        value = (40 * k + 20) / 255
        np.testing.assert_allclose(
            shade, value / 12.92 if value < 0.04045 else ((value + 0.055) / 1.055) ** 2.4, atol=1e-3
        )
    assert isinstance(found.points.position, np.ndarray) and not isinstance(found.points.position, np.memmap)


def test_what_cannot_be_is_said_in_a_sentence(stand_in, monkeypatch, tmp_path):
    with pytest.raises(BadInput, match="at least one"):
        scripting.reconstruct([])
    with pytest.raises(BadInput, match=r"Image 1 is float32"):
        scripting.reconstruct([pictures(1)[0], pictures(1)[0].astype(np.float32)])
    with pytest.raises(BadInput, match="no setting 'quallity'"):
        scripting.reconstruct(pictures(2), quallity="fine")
    with pytest.raises(BadInput, match="not"):
        scripting.reconstruct(tmp_path / "nothing")
    with pytest.raises(Cancelled):
        scripting.reconstruct(pictures(2), model="da3-small", process_resolution=42, cancelled=lambda: True)
    monkeypatch.setenv("DA3_ENVIRONMENT", str(tmp_path / "none"))
    with pytest.raises(MissingEnvironment):
        scripting.reconstruct(pictures(2))
