"""What a worker leaves open when it has ended: nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

STAND_INS = Path(__file__).resolve().parents[2] / "support" / "stand_ins.py"
PACKAGE = Path(__file__).resolve().parents[3] / "core" / "package.py"


@pytest.mark.parametrize("how", ["closed", "killed", "forgotten"])
def test_a_worker_that_has_ended_leaves_no_pipe_and_no_process_to_be_cleared_away(tmp_path, how):
    """Python would say so with a ResourceWarning, in Blender's own terminal."""
    folder = tmp_path / "wall"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((28, 42, 3), 60 * i + 40, np.uint8)).save(folder / f"{i}.png")
    settings = {"input": str(folder), "model": "da3-small", "process_resolution": 42, "filter_edges": False}
    code = f"""
import gc, os, runpy, signal, sys, time
from pathlib import Path
runpy.run_path({str(PACKAGE)!r})["make_importable"]()
from da3_blender.core.worker.client import WorkerClient
client = WorkerClient(Path(sys.executable), predictor={f"{STAND_INS}:quick"!r}, environment={{"DA3_STAND_IN_LOG": os.devnull}})
client.generate({settings!r}, Path("."))
events = []
while not any(e.type == "done" for e in events):
    events += client.wait(1.0)
if {how == "killed"}:
    os.kill(client.pid, signal.SIGKILL)
    time.sleep(0.5)
if {how != "forgotten"}:
    client.close()
del client
gc.collect()
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr, done.stderr
