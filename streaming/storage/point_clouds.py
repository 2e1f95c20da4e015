"""The files of a streaming run: a point cloud per chunk while it goes on, all in their final place at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ...core.files import ownership
from ...core.files.ply import HEADER_BYTES, VERTEX, PlyWriter
from ...core.geometry import local_origin
from ...core.geometry.projection import homogeneous, invert_rigid
from ...core.output import output_folder
from ...core.prediction.prediction import Prediction
from . import cloud_kernels, frame_files

PART = 1 << 18  # points in memory at a time, where a cloud is moved
COMMENT = "DA3 for Blender, OpenCV axes, as camera_poses.txt"


class StreamingFiles:
    """``pcd/<k>_pcd.ply``, ``combined_pcd.ply``, ``camera_poses.txt``, ``camera_poses.ply``, ``intrinsic.txt``,
    ``intrinsic_image_size.txt``, ``loop_closures.txt`` and ``results_output/frame_<n>.npz``.

    Nothing is ever held in memory but a part of one cloud.

    Parameters
    ----------
    folder : the output folder; None writes nothing
    origin : (3,) of the scene in the known cameras' own world, for the header
    clouds : whether the point clouds are wanted

    What cannot be written is given up, and ``failures`` says so: the scene goes on.
    """

    def __init__(
        self, folder: Path | None, min_confidence: float, origin: np.ndarray | None = None, *, clouds: bool = True
    ):
        self._comment = COMMENT if origin is None else f"{COMMENT}; {local_origin.comment(origin)}"
        self.warnings: list[str] = []
        self._folder = folder
        self._min_confidence = min_confidence
        self._wants_clouds = clouds
        self._frames: frame_files.FrameFiles | None = None
        self._size = (0, 0)  # width, height of the frames
        self._clouds: list[Path] = []
        self.failures: list[str] = []
        self._try(self._make_folder)

    def _make_folder(self) -> None:
        assert self._folder
        (self._folder / "pcd" if self._wants_clouds else self._folder).mkdir(parents=True, exist_ok=True)

    def add(self, prediction: Prediction, indices: Sequence[int]) -> None:
        """The next chunk's frames, where they are so far; ``indices``: N, in the input."""
        self._size = prediction.depth.shape[2], prediction.depth.shape[1]
        if self._wants_clouds:
            self._try(lambda: self._add(prediction))
        self._try(lambda: self._add_frames(prediction, indices))

    def _add_frames(self, prediction: Prediction, indices: Sequence[int]) -> None:
        assert self._folder
        self._frames = self._frames or frame_files.FrameFiles(self._folder)
        self._frames.add(prediction, indices)

    def _add(self, prediction: Prediction) -> None:
        assert self._folder
        path = self._folder / "pcd" / f"{len(self._clouds)}_pcd.ply"
        with PlyWriter(path, self._comment) as ply:
            assert prediction.extrinsics is not None and prediction.intrinsics is not None
            cameras = invert_rigid(np.asarray(prediction.extrinsics, np.float64))
            room = np.empty(prediction.depth[0].size, cloud_kernels.FLAT)
            for i, (camera, intrinsics) in enumerate(zip(cameras, prediction.intrinsics, strict=True)):
                to_world, centre = camera[:, :3] @ np.linalg.inv(intrinsics), camera[:, 3].copy()
                pixels = prediction.depth[i], prediction.conf[i], prediction.images[i]
                count = cloud_kernels.fill(room, *pixels, self._min_confidence, to_world, centre)
                ply.add_vertices(room[:count].view(VERTEX))
            self._clouds.append(self._told(path, ply.finish()))

    def finish(
        self,
        moves: np.ndarray,
        extrinsics: np.ndarray,
        intrinsics: np.ndarray,
        loops: Sequence[tuple[int, int, float]] = (),
    ) -> list[Path]:
        """Put everything in its final place.

        Parameters
        ----------
        moves : (B, 4, 4), a similarity for each cloud
        extrinsics, intrinsics : of all N frames in their order, (N, 3, 4) final and (N, 3, 3)
        loops : that were looked at: two frames of the input, and the trust in them

        Returns
        -------
        the files
        """
        written: list[Path] = []
        if self._wants_clouds:
            self._try(lambda: written.extend(self._finish_clouds(moves)))
        if frames := self._frames:
            self._try(lambda: frames.finish(moves))
        self._try(lambda: written.extend(self._write_cameras(extrinsics, intrinsics, loops)), also_after_failures=True)
        return written

    def _write_cameras(
        self, extrinsics: np.ndarray, intrinsics: np.ndarray, loops: Sequence[tuple[int, int, float]]
    ) -> list[Path]:
        assert self._folder
        own = ownership.share(self._folder, output_folder.KIND)
        cameras = np.linalg.inv(homogeneous(extrinsics))
        tables = {
            "camera_poses.txt": _rows(cameras.reshape(-1, 16)),
            "camera_poses.ply": frame_files.camera_path(cameras[:, :3, 3]),
            "intrinsic.txt": _rows(intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]]),
            "intrinsic_image_size.txt": "{} {}\n".format(*self._size).encode("ascii"),
            "loop_closures.txt": frame_files.loop_table(loops),
        }
        return [self._told(self._folder / name, self._folder / own.write(name, data)) for name, data in tables.items()]

    def _finish_clouds(self, moves: np.ndarray) -> list[Path]:
        assert self._folder
        whole = self._folder / "combined_pcd.ply"
        combined = PlyWriter(whole, self._comment)
        with combined:
            for path, move in zip(self._clouds, moves, strict=True):
                still = bool(np.allclose(move, np.eye(4), rtol=0, atol=1e-12))
                with PlyWriter(path, self._comment) as cloud:
                    for part in _parts(path):
                        if not still:
                            cloud_kernels.move(part.view(cloud_kernels.FLAT), move)
                            cloud.add_vertices(part)
                        combined.add_vertices(part)
                    if not still:
                        cloud.finish()
            combined.finish()
        return [self._told(whole, combined.path), *self._clouds]

    def _told(self, wanted: Path, written: Path) -> Path:
        """The file that was written, with a warning where a person's has the name that was wanted."""
        if wanted != written:
            self.warnings.append(output_folder.beside(wanted, written))
        return written

    def _try(self, work: Callable[[], None], *, also_after_failures: bool = False) -> None:
        """Write; by default not after something failed, for the clouds after a gap would not be those of their number."""
        if self._folder is None or (self.failures and not also_after_failures):
            return
        try:
            work()
        except (OSError, ownership.NotOurs) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.failures[:] = self.failures or [
                f"The files of DA3 Streaming in '{self._folder}' are not whole: {reason}. The scene is not affected; free some "
                "space or choose another output folder, and run again"
            ]


def _parts(path: Path) -> Iterator[np.ndarray]:
    """A cloud's vertices, some at a time."""
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while len(part := np.fromfile(file, VERTEX, PART)):
            yield part


def _rows(rows: np.ndarray) -> bytes:
    return "".join(" ".join(repr(float(v)) for v in row) + "\n" for row in rows).encode("ascii")
