"""A minute of ``make abuse``: some of every kind of trouble, through the whole program."""

import subprocess
import sys
from pathlib import Path

import pytest

ABUSE = Path(__file__).resolve().parents[2] / "tools" / "abuse"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_minute_of_abuse_costs_nobody_anything():
    run = subprocess.run([sys.executable, str(ABUSE), "--short"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].split()[0] == "all", run.stdout
