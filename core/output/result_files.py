"""The files that a run leaves for the person: table of cameras, calibration, point cloud, COLMAP model, debug images.

Written by the worker into the output folder while batches come, each under a temporary name until it is whole. A file of the
same name goes only where this add-on wrote it; beside a person's the new one gets a number. Where no output folder is set,
nothing is written. What cannot be written is said, and never ends the run: the scene comes first.
"""

from __future__ import annotations

import errno
import functools
import shutil
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import Cancelled, DA3Error
from ..files import names
from ..files.ply import VERTEX, PlyWriter
from ..frames.lens import writing
from ..frames.source import FrameSource
from ..geometry import local_origin
from ..geometry.projection import points_from_blender
from ..prediction.batch import Batch
from ..settings import ColmapExport, Settings, SplatFile
from .blender_arrays import srgb_from_linear
from .calibration import calibration, camera_report, colmap_views, mirrored
from .camera_files import camera_files, depth_files, error_graph
from .cameras import colmap
from .debug_images import DebugImages
from .output_folder import beside, descriptive_name, writable
from .payload import CameraRecord, PointArrays, camera_table, split
from .point_clouds import EvenSample
from .splats.files import SPLAT_BYTES, SplatWriter

TABLE, REPORT = "camera_intrinsics.csv", "camera_report.txt"
COLMAP_POINTS = 200_000  # at most; enough to start a radiance field from, and COLMAP's tools stay quick
PART = 1 << 20  # points whose colours are converted at a time
PLY_COMMENT = "DA3 for Blender, z up, as in the scene"
CLOUD, SPLATS, CAMERAS, DEPTH, STRAIGHT = "point cloud", "splats", "camera files", "depth", "straightened images"
PICTURES, TABLES, COLMAP = "debug images", "tables of cameras", "COLMAP model"


class ResultFiles:
    """The result files of one run; use it in a ``with`` block. Left without ``finish``, it takes half files away.

    A kind of file that cannot be written is given up, and ``failures`` says so; the others go on.

    Parameters
    ----------
    settings : ``output_folder`` and which files are wanted
    name : of the input

    Raises
    ------
    BadInput
        The output folder cannot be made, or not be written into.
    """

    def __init__(self, settings: Settings, name: str):
        self._settings = settings
        self._name = descriptive_name(settings.input, name)
        self._own = writable(settings.output_folder) if settings.output_folder.strip() else None
        self._folder = self._own.path if self._own else None
        self._cameras: dict[int, CameraRecord] = {}  # by frame
        self._sizes: dict[int, tuple[int, int]] = {}
        self._batches: dict[int, int] = {}  # by frame
        self._batch = -1  # that was added last
        self._sample = EvenSample(COLMAP_POINTS)
        self._ply: PlyWriter | None = None
        self._depths: list[Path] = []
        self._splats: SplatWriter | None = None
        self._lenses: set[tuple[object, ...]] = set()  # whose distortion maps are written
        self._given_up: dict[str, str] = {}  # why, by kind of file
        self.warnings: list[str] = []
        self._pictures = self._debug_images()
        self.origin: np.ndarray | None = None  # (3,) of the scene in the known cameras' own world, Blender's axes

    def __enter__(self) -> ResultFiles:
        return self

    def __exit__(self, *_exception: object) -> None:
        for writer in (self._ply, self._splats):
            if writer:
                writer.close()

    @property
    def wanted(self) -> bool:
        """Whether there is an output folder."""
        return self._folder is not None

    @property
    def failures(self) -> list[str]:
        """One sentence on all that could not be written; none where all could."""
        if not self._given_up:
            return []
        kinds, reasons = ", ".join(self._given_up), ", ".join(dict.fromkeys(self._given_up.values()))
        return [
            f"Not written into '{self._folder or (self._pictures and self._pictures.folder)}': {kinds} ({reasons}). The scene is not affected; free some space or choose "
            "another output folder, and run again"
        ]

    def warn_of_space(self, frames: int, pixels: int) -> list[str]:
        """A sentence where the disk may be too small for the point cloud and the splats; ``pixels``: of a frame.

        Only a warning: how many points the filters leave is known afterwards, and the scene needs none of this.
        """
        wants_splats = self._settings.output_splats is not SplatFile.OFF
        sizes = {CLOUD: VERTEX.itemsize * self._settings.output_point_cloud, SPLATS: SPLAT_BYTES * wants_splats}
        needed = frames * pixels * sum(sizes.values())
        if self._folder is None or needed <= (free := shutil.disk_usage(self._folder).free):
            return []
        return [
            f"The {' and '.join(kind for kind, size in sizes.items() if size)} may take {needed / 1e9:.3g} GB in "
            f"'{self._folder}', where {free / 1e9:.3g} GB are free: what does not fit is left out"
        ]

    def add(
        self, clouds: Iterable[PointArrays], cameras: Sequence[CameraRecord], sizes: Sequence[tuple[int, int]]
    ) -> None:
        """Take in a batch as it goes to Blender.

        Parameters
        ----------
        clouds : its points
        cameras : its N cameras; a frame's later camera takes the place of an earlier one
        sizes : N, (width, height) of the originals
        """
        if not self.wanted:
            return
        self._batch += 1
        for camera, size in zip(cameras, sizes, strict=True):
            self._cameras[camera.frame], self._sizes[camera.frame] = camera, size
            self._batches[camera.frame] = self._batch
        for cloud in clouds:
            if self._settings.output_colmap is not ColmapExport.OFF:
                self._sample.add(cloud, self._batch)
            if self._settings.output_point_cloud:
                self._write(CLOUD, functools.partial(self._add_points, cloud))
            if self._settings.output_splats is not SplatFile.OFF:
                self._write(SPLATS, functools.partial(self._add_splats, cloud))
        for kind, writer in ((CLOUD, self._ply), (SPLATS, self._splats)):
            if writer and kind in self._given_up:
                writer.close()  # what is half there only fills the disk

    @property
    def _comment(self) -> str:
        return PLY_COMMENT + (f"; {local_origin.comment(self.origin)}" if self.origin is not None else "")

    def _add_splats(self, cloud: PointArrays) -> None:
        assert self._folder
        if self._splats is None:
            self._splats = SplatWriter(self._folder / self._named("", "_splats.ply"), self._comment)
        for part in split(cloud, PART):
            self._splats.add(self._batch, part.given())

    def _add_points(self, cloud: PointArrays) -> None:
        assert self._folder
        if self._ply is None:
            self._ply = PlyWriter(self._folder / self._named("", ".ply"), self._comment)
        for part in split(cloud, PART):
            self._ply.add(part.position, srgb_from_linear(part.point_color[:, :3]), part.conf)

    def _debug_images(self) -> DebugImages | None:
        """Where the debug images go: into the output folder, else beside the input, where that is wanted."""
        wanted, least = self._settings.output_debug_images, self._settings.min_confidence
        if wanted and self._own:
            return DebugImages(self._own, "debug", least)
        if wanted and self._settings.debug_beside_input:
            around = Path(self._settings.input).expanduser().resolve().parent
            return DebugImages(writable(str(around / names.file_name("", self._name, "_debug"))), "", least)
        if wanted:
            self.warnings.append("No debug images: they want an Output Folder, or Debug Images Beside Input")
        return None

    def add_straight(self, frames: FrameSource, indices: Sequence[int]) -> None:
        """Write the frames whose lens distortion was undone; from then on they are the pictures of their cameras."""
        if (own := self._own) and self._settings.output_straightened:
            self._write(STRAIGHT, lambda: writing.write(own, frames, indices, self._lenses))

    def add_pictures(self, batch: Batch, stems: Sequence[str]) -> None:
        """Write the debug images of a batch's N frames; ``stems``: N."""
        if pictures := self._pictures:
            self._write(PICTURES, lambda: pictures.add(batch, stems), pictures.folder.parent)

    def add_depths(self, batch: Batch, cameras: Sequence[CameraRecord]) -> None:
        """Write the depths of a batch's N frames."""
        if (own := self._own) and self._settings.output_depth:
            (own.path / "depth").mkdir(exist_ok=True)
            files = depth_files(batch.prediction, batch.names, cameras, min(self._cameras))
            written = self._depths
            self._write(DEPTH, lambda: written.extend(own.path / own.write(*file) for file in files))

    def finish(self, moves: Sequence[np.ndarray] = ()) -> list[Path]:
        """Write what needs all cameras, and give the point cloud its name; every file that was written.

        Parameters
        ----------
        moves : of streaming, (4, 4) similarities in Blender's axes, one for each batch added: where it goes at last. They
            reach the COLMAP model and the splats; a point cloud that is written as it comes cannot be moved
        """
        if self._own is None or not self._cameras:
            return self._pictures.written if self._pictures else []
        cameras = [self._cameras[frame] for frame in sorted(self._cameras)]
        if len(moves):
            cameras = [camera.moved(moves[self._batches[camera.frame]]) for camera in cameras]
            self._sample.move(moves)
        sizes = [self._sizes[camera.frame] for camera in cameras]
        written: list[Path] = [*self._depths]
        self._write(TABLES, lambda: self._write_tables(cameras, sizes, written))
        if self._settings.output_cameras:
            self._write(CAMERAS, lambda: self._write_cameras(cameras, sizes, written))
        if ply := self._ply:
            self._write(CLOUD, lambda: written.append(self._told(ply.path, ply.finish())))
        if splats := self._splats:
            own, spz = self._own, self._named("", ".spz") if self._settings.output_splats is SplatFile.SPZ else ""
            self._write(SPLATS, lambda: written.append(self._told(*splats.put(own, spz, moves))))
        if self._settings.output_colmap is not ColmapExport.OFF:
            self.warnings += mirrored(cameras)
            self._write(COLMAP, lambda: written.extend(self._write_colmap(colmap_views(cameras, sizes))))
        pictures = self._pictures.written if self._pictures else []
        return written + [picture for picture in pictures if picture.is_file()]

    def _write_tables(
        self, cameras: Sequence[CameraRecord], sizes: Sequence[tuple[int, int]], written: list[Path]
    ) -> None:
        assert self._own
        name = self._named("calib_", "_da3.txt").removeprefix("calib_").removesuffix("_da3.txt")
        tables = {TABLE: camera_table(cameras), REPORT: camera_report(cameras, self._name)}
        self._write_texts({**tables, **calibration(cameras, sizes, name), **error_graph(cameras)}, written)

    def _write_cameras(
        self, cameras: Sequence[CameraRecord], sizes: Sequence[tuple[int, int]], written: list[Path]
    ) -> None:
        assert self._folder
        views, _, _ = self._far(colmap_views(cameras, sizes), np.zeros((0, 3)), np.zeros((0, 3)))
        reach, named = self._settings.path_reach, functools.partial(self._named, "")
        self._write_texts(camera_files(cameras, views, self._folder, named, reach), written)

    def _write_texts(self, texts: Mapping[str, str | bytes], written: list[Path]) -> None:
        assert self._own
        for file, text in texts.items():
            data = text.encode() if isinstance(text, str) else text
            written.append(self._told(self._own.path / file, self._own.path / self._own.write(file, data)))

    def _write_colmap(self, views: Sequence[colmap.View]) -> list[Path]:
        assert self._folder
        as_text = self._settings.output_colmap is ColmapExport.TEXT
        if as_text and any(len(view.name.split()) != 1 for view in views):
            as_text = False
            self.warnings.append(
                "The COLMAP model was written in binary: its text form cannot hold image names with spaces in them"
            )
        place = self._folder / "colmap" / "sparse" / "0"
        return [
            self._told(place / file.name, file)
            for file in colmap.write(place, *self._far(views, *self._sample.points()), as_text=as_text)
        ]

    def _far(
        self, views: Sequence[colmap.View], points: np.ndarray, colors: np.ndarray
    ) -> tuple[Sequence[colmap.View], np.ndarray, np.ndarray]:
        """A COLMAP model has 64 bits, and so lies where the known cameras were."""
        if self.origin is None:
            return views, points, colors
        origin = points_from_blender(self.origin)
        back = [replace(view, extrinsics=local_origin.moved(view.extrinsics, -origin)) for view in views]
        return back, points + origin, colors

    def _told(self, wanted: Path, written: Path) -> Path:
        """The file that was written, with a warning where a person's has the name that was wanted."""
        if wanted != written:
            self.warnings.append(beside(wanted, written))
        return written

    def _named(self, before: str, after: str) -> str:
        """A file's name with the input's in it."""
        return names.file_name(before, self._name, after, self._folder)

    def _write(self, kind: str, work: Callable[[], None], into: Path | None = None) -> None:
        """Write files of a kind into the output folder or another, unless that has failed before."""
        folder = into or self._folder
        if folder is None or kind in self._given_up:
            return
        try:
            if not folder.is_dir():
                raise FileNotFoundError(errno.ENOENT, "the folder is gone")
            work()
        except Cancelled:
            raise
        except DA3Error as error:
            self._given_up[kind] = str(error)
        except OSError as error:
            self._given_up[kind] = error.strerror or str(error)
        except Exception as error:  # noqa: BLE001  # the edge of a side product: whatever it was, the scene goes on
            traceback.print_exc()
            self._given_up[kind] = f"unexpected {type(error).__name__}: {error}"
