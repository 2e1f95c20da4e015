"""Predictors that stand in for a model inside the real worker (``start.py --predictor <this file>:<function>``).

Each function has the face of ``core.predictors.opening.open_predictor``. ``$DA3_STAND_IN_LOG`` names a file that gets a line per load.
"""

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from da3_blender.core.frames.resizing import place
from da3_blender.core.prediction.prediction import Prediction, Tracks

SHAKEN = 0.02  # by how much the places of ``shaken`` tremble


class Plane:
    """A wall 2 units in front of every camera; cameras 0.1 units apart on a line."""

    def __init__(self, monitor, before):
        self.monitor = monitor
        self._before = before

    def predict(self, images, indices, settings, cameras=None):
        self._before(self.monitor)
        canvas, valid, _placements = place(images, settings.resolution, settings.resize_method)
        n, height, width = valid.shape
        extrinsics = np.repeat(np.eye(4)[None, :3], n, axis=0)
        extrinsics[:, 0, 3] = -0.1 * np.asarray(indices)
        focal = float(max(width, height))
        intrinsics = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
        return Prediction(
            np.where(valid, 2.0, 0.0).astype(np.float32), np.where(valid, 1.5, 0.0).astype(np.float32), extrinsics,
            np.repeat(intrinsics[None], n, axis=0), canvas,
        )  # fmt: skip

    def unload(self):
        _log("unload")


class Shaken(Plane):
    """The same with places that tremble, and points of the wall that were followed: where the cameras truly are, they fit."""

    def predict(self, images, indices, settings, cameras=None):
        prediction = super().predict(images, indices, settings, cameras)
        u, v = (grid.ravel() for grid in np.meshgrid(np.linspace(-0.5, 0.5, 5), np.linspace(-0.4, 0.4, 4)))
        points = np.stack([u, v, np.full(u.shape, 2.0)], axis=1)
        seen = np.array([(frame, row) for frame in indices for row in range(len(points))])
        flat = (points[seen[:, 1], :2] - 0.1 * np.stack([seen[:, 0], 0 * seen[:, 0]], axis=1)) / 2.0
        k = prediction.intrinsics[0]
        prediction.tracks = Tracks(
            np.arange(len(points)), points, np.zeros(len(points)), np.full(len(points), len(indices)), seen,
            flat * k[[0, 1], [0, 1]] + k[:2, 2],
        )  # fmt: skip
        prediction.extrinsics[:, :, 3] += np.random.default_rng(0).normal(0.0, SHAKEN, (len(indices), 3))
        return prediction


def _log(line):
    if os.environ.get("DA3_STAND_IN_LOG"):
        with Path(os.environ["DA3_STAND_IN_LOG"]).open("a", encoding="utf-8") as log:
            log.write(line + "\n")


def _opener(before, kind=Plane):
    def open_predictor(name, folder, frames, monitor, *, fp16=False, device=None):
        _log(f"load {name}")
        return kind(monitor, before)

    return open_predictor


def _blocks(monitor):
    """A pass of 10 s in blocks of 10 ms, each asking whether to stop, as a network does."""
    for i in range(1000):
        monitor.progress("model", i / 1000)
        time.sleep(0.01)


def _one_block(_watch):
    """A pass of 0.4 s."""
    time.sleep(0.4)


def _chatter(_watch):
    """What libraries print on their own: Python, a raw descriptor, C's buffered stdout, a child."""
    print('{"type": "done", "job": 1, "report": {}}')
    os.write(1, b"raw\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"from C")
    libc.fflush(None)
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)


def _deaf(_watch):
    """Python code that never asks."""
    while True:
        time.sleep(0.0)


def _stuck(_watch):
    """A call into C that keeps the interpreter's lock."""
    ctypes.PyDLL(None).sleep(60)


def _computing(_watch):
    """One call into C that computes for some seconds and keeps the interpreter's lock."""
    sum(range(400_000_000))


def _with_child(_watch):
    """Work in a child process."""
    child = subprocess.Popen(["sleep", "60"])
    _log(f"child {child.pid}")
    child.wait()


def _faulty(_watch):
    raise KeyError("nobody knows this key")


def _out_of_memory(_watch):
    raise MemoryError


def _crash(_watch):
    ctypes.string_at(0)  # SIGSEGV


def _leave(_watch):
    os.write(2, b"the driver has gone away\n")
    os._exit(7)


quick = _opener(lambda monitor: None)
shaken = _opener(lambda monitor: None, Shaken)
slow = _opener(_blocks)
steady = _opener(_one_block)
chatter = _opener(_chatter)
deaf = _opener(_deaf)
stuck = _opener(_stuck)
with_child = _opener(_with_child)
computing = _opener(_computing)
faulty = _opener(_faulty)
out_of_memory = _opener(_out_of_memory)
crash = _opener(_crash)
leave = _opener(_leave)
