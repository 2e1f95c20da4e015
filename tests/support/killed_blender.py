"""A Blender that asks its worker for a run, as a process that a test may kill; and what tests see of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from da3_blender.core import package

SUPPORT = Path(__file__).parent
ASKS = """
import runpy, sys, time
runpy.run_path(sys.argv[1])["make_importable"]()
from pathlib import Path
from da3_blender.core.worker import protocol
from da3_blender.core.worker.client import WorkerClient
client = WorkerClient(Path(sys.executable), predictor=sys.argv[2])
client.generate({"input": sys.argv[3], "model": "da3-small", "process_resolution": 42}, Path("x"))
while not any(isinstance(e, protocol.Loaded) for e in client.wait(0.1)):
    pass
print(client.pid, flush=True)
if sys.argv[4] == "leave":
    sys.exit(0)
time.sleep(60)
"""


def start(images: str | Path, stand_in: str, temp: Path, way: str = "killed") -> subprocess.Popen[str]:
    """Prints its worker's process id once the model is loaded, and then waits to be killed, or ends (``way`` "leave")."""
    command = [sys.executable, "-c", ASKS, package.__file__, f"{SUPPORT / 'stand_ins.py'}:{stand_in}", str(images), way]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(temp)})


def gone(pid: int, seconds: float = 8.0) -> bool:
    """Whether a process ends by then; a zombie has."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = Path(f"/proc/{pid}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return True
        time.sleep(0.02)
    return False
