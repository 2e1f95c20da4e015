"""What the scenarios need outside of the chroot; they are played once, their claims are tests of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from window import ROOT


def pytest_collection_modifyitems(items):
    if not os.environ.get("DA3_CHROOT"):
        for item in items:
            item.add_marker(pytest.mark.skip(reason="run by make test-app, which makes the chroot"))


@pytest.fixture(scope="session")
def hub():
    """A Hugging Face of this machine, slow enough to be interrupted; its endpoint."""
    command = [
        sys.executable,
        str(ROOT / "tests" / "support" / "hub.py"),
        "depth-anything/DA3-SMALL=12",
        "--rate",
        "3000000",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout and server.stdin
        yield server.stdout.readline().strip()
        server.stdin.close()


@pytest.fixture(scope="session")
def stand_ins():
    return str(ROOT / "tests" / "support" / "stand_ins.py")
