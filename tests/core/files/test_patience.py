"""A process that computes is waited for, however silent and slow; one that was stopped is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from da3_blender.core.files.patience import Patience

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="sends signals, and looks into /proc")


@pytest.fixture
def child():
    """Computes and says nothing; in the tests' own process group."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


def watched(patience, pid, seconds):
    """What ends its wait within so many seconds; empty where nothing does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if why := patience.ended(pid, "cameras"):
            return why
        time.sleep(patience.interval)
    return ""


def test_one_silent_child_that_computes_is_waited_for_and_a_stopped_one_is_not(child):
    patience = Patience(1.0, alone=True)
    assert watched(patience, child.pid, 3.0) == ""
    os.kill(child.pid, signal.SIGSTOP)
    assert "was stopped" in watched(patience, child.pid, 60.0)


def test_one_that_sleeps_is_ended():
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert "said nothing" in watched(Patience(4.0, alone=True), sleeper.pid, 60.0)
    finally:
        sleeper.kill()
        sleeper.wait()
