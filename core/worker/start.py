"""The worker's first lines; run by path with the environment's Python (``-I``), see ``client.py``.

``start.py --folder FOLDER [--predictor FILE.py:FUNCTION]``: the second is for tests and benchmarks, a stand-in for
``core.predictor.open_predictor``.
"""

import argparse
import faulthandler
import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Take stdout for the protocol before anything can print to it, then serve."""
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
    core = Path(__file__).resolve().parent.parent
    runpy.run_path(str(core / "mount.py"))["mount"]()

    from da3_blender.core.worker.server import Server

    opener = None
    if arguments.predictor:
        file, _, function = arguments.predictor.rpartition(":")
        opener = runpy.run_path(file)[function]
    Server(requests, events, arguments.folder, opener).run()


if __name__ == "__main__":
    main()
