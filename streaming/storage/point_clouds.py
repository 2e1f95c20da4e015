"""The files of a streaming run: a point cloud per chunk while it goes on, all in their final place at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...core.errors import DA3Error
from ...core.files import ownership
from ...core.geometry.projection import homogeneous, unproject
from ...core.output import result_files
from ...core.output.ply import HEADER_BYTES, VERTEX, PlyWriter
from ...core.prediction.prediction import Prediction

PART = 1 << 18  # points in memory at a time, where a cloud is moved
COMMENT = "DA3 for Blender, OpenCV axes, as camera_poses.txt"


class StreamingFiles:
    """``pcd/<k>_pcd.ply``, ``pcd/combined_pcd.ply``, ``camera_poses.txt`` and ``intrinsic.txt``.

    Nothing is ever held in memory but a part of one cloud.

    Parameters
    ----------
    folder : the output folder; None writes nothing

    Raises
    ------
    DA3Error
        As every call below: the disk is full, or the folder has gone.
    """

    def __init__(self, folder: Path | None, min_confidence: float):
        self.warnings: list[str] = []
        self._folder = folder
        self._min_confidence = min_confidence
        self._clouds: list[Path] = []
        if folder is not None:
            with self._writing():
                (folder / "pcd").mkdir(parents=True, exist_ok=True)

    def add(self, prediction: Prediction) -> None:
        """The points of the next chunk's frames, where they are so far."""
        if self._folder is None:
            return
        path = self._folder / "pcd" / f"{len(self._clouds)}_pcd.ply"
        with self._writing(), PlyWriter(path, COMMENT) as ply:
            assert prediction.extrinsics is not None and prediction.intrinsics is not None
            for i, conf in enumerate(prediction.conf):
                one = slice(i, i + 1)
                world = unproject(prediction.depth[one], prediction.intrinsics[one], prediction.extrinsics[one])
                rows = np.flatnonzero((prediction.depth[i] > 0) & (conf > 0) & (conf >= self._min_confidence))
                position, color = (a.reshape(-1, 3).take(rows, axis=0) for a in (world, prediction.images[i]))
                ply.add(position, color, conf.ravel().take(rows))
            self._clouds.append(ply.finish())
        if self._clouds[-1] != path:
            self.warnings.append(result_files.beside(path, self._clouds[-1]))

    def finish(self, moves: np.ndarray, extrinsics: np.ndarray, intrinsics: np.ndarray) -> list[Path]:
        """Put everything in its final place.

        Parameters
        ----------
        moves : (B, 4, 4), a similarity for each cloud
        extrinsics, intrinsics : of all N frames in their order, (N, 3, 4) final and (N, 3, 3)

        Returns
        -------
        the files
        """
        if self._folder is None:
            return []
        rigid = homogeneous(extrinsics)
        tables = {
            "camera_poses.txt": np.linalg.inv(rigid).reshape(-1, 16),
            "intrinsic.txt": intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]],
        }
        with self._writing():
            own = ownership.share(self._folder, result_files.KIND)
            whole = self._folder / "pcd" / "combined_pcd.ply"
            combined = PlyWriter(whole, COMMENT)
            with combined:
                for path, move in zip(self._clouds, moves, strict=True):
                    still = bool(np.allclose(move, np.eye(4), rtol=0, atol=1e-12))
                    with PlyWriter(path, COMMENT) as cloud:
                        for part in _parts(path):
                            if not still:
                                part["position"] = part["position"] @ move[:3, :3].T + move[:3, 3]
                                cloud.add_vertices(part)
                            combined.add_vertices(part)
                        if not still:
                            cloud.finish()
                combined.finish()
            written = [self._folder / own.write(name, _rows(rows)) for name, rows in tables.items()]
        wanted = [*(self._folder / name for name in tables), whole]
        written.append(combined.path)
        self.warnings += [result_files.beside(old, new) for old, new in zip(wanted, written, strict=True) if old != new]
        return [*written, *self._clouds]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DA3Error(
                f"The point clouds in '{self._folder}' could not be written: {error.strerror or error}. What was built "
                "stays; free some space or choose another output folder, and run again"
            ) from error


def _parts(path: Path) -> Iterator[np.ndarray]:
    """A cloud's vertices, some at a time."""
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while len(part := np.fromfile(file, VERTEX, PART)):
            yield part


def _rows(rows: np.ndarray) -> bytes:
    return "".join(" ".join(repr(float(v)) for v in row) + "\n" for row in rows).encode("ascii")
