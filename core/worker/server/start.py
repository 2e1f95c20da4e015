"""The worker's first lines; run by path with the environment's Python (``-I``), see ``client.py``.

``start.py --folder FOLDER [--predictor FILE.py:FUNCTION]``: the second is for tests and benchmarks, a stand-in for
``core.predictors.opening.open_predictor``.
"""

import argparse
import contextlib
import faulthandler
import os
import runpy
import sys
from pathlib import Path

NICE = 5  # a third of an ordinary process's share where both want the same core; all of it where not


def main() -> None:
    """Take stdout for the protocol before anything can print to it, then serve."""
    give_way()
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what C libraries and stray prints write to stdout goes where stderr goes: into the log
    sys.stdout = sys.stderr
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # so that no child and no input() eats requests
    faulthandler.enable()

    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--predictor", default="")
    arguments = parser.parse_args()
    core = Path(__file__).resolve().parents[2]
    runpy.run_path(str(core / "package.py"))["make_importable"]()

    from da3_blender.core.worker.server.server import Server

    opener = None
    if arguments.predictor:
        file, _, function = arguments.predictor.rpartition(":")
        opener = runpy.run_path(file)[function]
    Server(requests, events, arguments.folder, opener, arguments.predictor).run()


def give_way() -> None:
    """Let Blender go first where both want a core: its interface has to live while this process computes on all of them.

    On Windows the one who starts this process says so.
    """
    if hasattr(os, "nice"):
        os.nice(NICE)
    # A Linux desktop shares its cores between sessions, of which this process is one, and looks at niceness only inside.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICE), "ascii")


if __name__ == "__main__":
    main()
