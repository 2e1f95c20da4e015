"""What DA3 Streaming's own tools read: each frame's depth, and short texts on size, path and loops."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.files import ownership
from ...core.prediction.prediction import Prediction
from ..registration import sim3
from . import npz_files

FOLDER = "results_output"
SAME_SCALE = 1e-6  # a batch whose scale moves by less at the end is left as it was written
PATH_COLOUR = "255 0 0"  # of the cameras in camera_poses.ply, as the official tool has it
LOOPS_HEADER = "# Loops that were looked at: frame, frame, trust (0: refused, 1: accepted)\n"
FRAME_BYTES = 11.1  # per pixel of a frame


class FrameFiles:
    """``results_output/frame_<n>.npz``: ``image`` (H, W, 3) uint8 RGB, ``depth`` and ``conf`` (H, W) float32 (confidence 0: makes no
    point), ``intrinsics`` (3, 3); n is the frame's number in the input.

    Parameters
    ----------
    folder : the output folder, which is there; what cannot be written raises OSError or NotOurs
    """

    def __init__(self, folder: Path):
        self._own = ownership.share(folder, "results")
        self._batches: list[list[str]] = []  # names of the files

    def add(self, prediction: Prediction, indices: Sequence[int]) -> None:
        """The frames of the next batch, N of each."""
        (self._own.path / FOLDER).mkdir(exist_ok=True)
        self._batches.append([])
        for row, index in enumerate(indices):
            data = npz_files.file_of(_arrays(prediction, row))
            self._batches[-1].append(self._own.write(f"{FOLDER}/frame_{index}.npz", data))

    def finish(self, moves: NDArray[Any]) -> None:
        """Depths at the scale of the final cameras; ``moves`` (B, 4, 4), a similarity for each batch."""
        for names, move in zip(self._batches, moves, strict=True):
            scale = float(sim3.scale_of(move))
            for name in names if abs(scale - 1.0) >= SAME_SCALE else ():
                self._own.write(name, self._scaled(name, scale))

    def _scaled(self, name: str, scale: float) -> bytes:
        """A frame's file with its depth times a factor."""
        file = (self._own.path / name).read_bytes()
        with np.load(io.BytesIO(file)) as kept:
            depth = (kept["depth"] * scale).astype(np.float32)
        return npz_files.replaced(file, "depth", depth)


def camera_path(positions: NDArray[Any]) -> bytes:
    """(N, 3) as a PLY file of text: a point for each camera."""
    lines = [
        "ply", "format ascii 1.0", f"element vertex {len(positions)}", "property float x", "property float y",
        "property float z", "property uchar red", "property uchar green", "property uchar blue", "end_header",
        *(" ".join(f"{float(v):.9g}" for v in position) + f" {PATH_COLOUR}" for position in positions),
    ]  # fmt: skip
    return ("\n".join(lines) + "\n").encode("ascii")


def loop_table(loops: Sequence[tuple[int, int, float]]) -> bytes:
    """Two frames of the input and how much the graph trusts that they show one place."""
    return (LOOPS_HEADER + "".join(f"{a}, {b}, {trust:.4f}\n" for a, b, trust in loops)).encode("ascii")


def _arrays(prediction: Prediction, row: int) -> dict[str, NDArray[Any]]:
    assert prediction.intrinsics is not None
    return {
        "image": prediction.images[row], "depth": prediction.depth[row].astype(np.float32),
        "conf": prediction.conf[row].astype(np.float32), "intrinsics": prediction.intrinsics[row],
    }  # fmt: skip
