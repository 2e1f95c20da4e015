"""Cameras that are known before the model runs: read, matched to the images by name, and shared out to the passes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..frames.lens.bending import Lens
from ..frames.lens.straight import Bent, StraightReader, straightened
from ..geometry import local_origin
from ..geometry.projection import BLENDER_FROM_OPENCV
from ..models import catalogue
from ..monitor import Monitor
from ..output.cameras import chan, colmap, nuke, transforms_json
from ..output.payload import CameraRecord
from ..prediction.conditioning import FEWEST, problem
from ..prediction.prediction import Cameras, Prediction
from ..settings import KnownCameras, Settings
from .blending import select
from .camera_matching import Candidate, match, numbered

if TYPE_CHECKING:
    from ..frames.source import FrameSource
    from ..prediction.predictor import Predictor


@dataclass(frozen=True)
class Known:
    """Cameras by frame. Frames that are not in it have none, and take no part in the run.

    ``extrinsics`` (3, 4) world to camera, OpenCV axes; ``intrinsics`` (3, 3), pixels of the original; ``origin`` (3,): of
    the world they are in, in the one that they were given in, where that one's coordinates are too large for points.
    """

    extrinsics: dict[int, np.ndarray]
    intrinsics: dict[int, np.ndarray]
    warnings: list[str] = field(default_factory=list)
    origin: np.ndarray | None = None
    lenses: dict[int, Lens] = field(default_factory=dict)  # of the frames whose lens bends lines

    def straightened(self, frames: FrameSource) -> FrameSource:
        """The input without the distortion of these cameras' lenses."""
        if not self.lenses:
            return frames
        self.warnings.append(f"Lens distortion undone, as the cameras say it: {len(self.lenses)} images")
        headers = frames.headers
        bent = {
            i: Bent(lens, self.intrinsics[i], headers[i].width, headers[i].height) for i, lens in self.lenses.items()
        }
        return straightened(frames, bent)

    @property
    def scene_origin(self) -> np.ndarray | None:
        """``origin`` in Blender's axes."""
        return None if self.origin is None else BLENDER_FROM_OPENCV @ self.origin

    def of(self, indices: Sequence[int]) -> Cameras:
        """The cameras of a pass's frames; KeyError for a frame without one."""
        return Cameras(np.stack([self.extrinsics[i] for i in indices]), np.stack([self.intrinsics[i] for i in indices]))

    def sufficient(self, indices: Sequence[int]) -> list[int]:
        """A pass that the model can be conditioned on: these frames, and as many others as it takes, in order.

        Three frames that do not stand on one line are enough; those nearest in order are added first.
        """
        chosen = list(dict.fromkeys(indices))
        others = sorted(self.extrinsics.keys() - set(chosen), key=lambda i: min(abs(i - j) for j in chosen))
        while others and not self._suffice(chosen):
            cure = next((i for i in others if self._suffice([*chosen, i])), others[0])
            others.remove(cure)
            chosen.append(cure)
        return sorted(chosen)

    def _suffice(self, indices: Sequence[int]) -> bool:
        return problem(np.stack([self.extrinsics[i] for i in indices])) is None


class ConditionedPredictor:
    """A predictor that is given the known cameras of each pass, and more frames where a pass alone has too few.

    All else (``model``, ``device``, ``free_cache``) is the predictor's own.
    """

    def __init__(self, predictor: Predictor, known: Known, frames: FrameSource):
        self._predictor = predictor
        self._known = known
        self._frames = frames

    find_cameras = None  # they are known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    @property
    def cameras_fingerprint(self) -> str:
        """Of all known cameras: others give other results."""
        known = self._known
        order = sorted(known.extrinsics)
        values = [
            np.ascontiguousarray(found[i]).tobytes() for found in (known.extrinsics, known.intrinsics) for i in order
        ] + [repr(sorted(known.lenses.items())).encode() if known.lenses else b""]
        origin = b"" if known.origin is None else known.origin.tobytes()
        return hashlib.sha256(repr(order).encode() + b"".join(values) + origin).hexdigest()

    def predict(
        self, images: Sequence[np.ndarray], indices: Sequence[int], settings: Settings, cameras: Cameras | None = None
    ) -> Prediction:
        """One pass; see ``Predictor``. The result lies in the known cameras' frame.

        Raises
        ------
        BadInput
            There are too few readable images with a camera, or theirs stand on one line.
        """
        chosen = self._known.sufficient(indices)
        while broken := [i for i in chosen if i not in indices and not self._readable(i)]:
            for index in broken:
                del self._known.extrinsics[index]
            chosen = self._known.sufficient(indices)
        if chosen != list(indices):
            images = self._frames.images(chosen)
        prediction = self._predictor.predict(images, chosen, settings, self._known.of(chosen))
        prediction = replace(prediction, cameras_known=True)
        return prediction if chosen == list(indices) else select(prediction, [chosen.index(i) for i in indices])

    def begin(self, indices: Sequence[int], settings: Settings, cameras: Cameras | None = None) -> None:
        """Of a predictor that computes ahead; see ``AheadPredictor``."""
        chosen = self._known.sufficient(indices)
        self._predictor.begin(chosen, settings, self._known.of(chosen))  # type: ignore[attr-defined]

    def unreadable(self, indices: Sequence[int]) -> dict[int, str]:
        """See ``AheadPredictor``; what was added to a pass and cannot be read is replaced by ``predict``."""
        lost = self._predictor.unreadable(self._known.sufficient(indices))  # type: ignore[attr-defined]
        return {index: reason for index, reason in lost.items() if index in indices}

    def _readable(self, index: int) -> bool:
        try:
            self._frames.load(index)
        except BadInput:
            return False
        return True


def find(
    settings: Settings,
    frames: FrameSource,
    records: Sequence[CameraRecord],
    monitor: Monitor,
    device: str | None = None,
) -> Known | None:
    """The cameras of the selected frames by the setting Known Cameras; None where that is off.

    Parameters
    ----------
    frames : the input; the selected images that have no camera should be left out of the run, see ``Known``
    records : what ``nodes/scene_cameras.py`` read of the Blender collection; those of this add-on's own cameras have a frame, and
        know where their image lies in their picture; others have the frame -1, and their picture is the image
    monitor : structure from motion takes its time
    device : where it may compute, "cpu" by default

    Raises
    ------
    BadInput
        There are no such cameras, they do not fit the images, or the model cannot use them.
    Cancelled
    """
    source = settings.known_cameras
    if source is KnownCameras.OFF:
        return None
    model = catalogue.find(settings.model)
    if not model.gives_cameras:
        raise BadInput(f"{model.label} cannot use known cameras; choose another model or turn them off")
    if frames.views and source is not KnownCameras.STRUCTURE_FROM_MOTION:
        raise BadInput(
            "The known cameras are for flat images, and there are 360-degree panoramas in the input: set Known Cameras to Off "
            "or to Structure from Motion, or Panorama to Never"
        )
    if source is KnownCameras.STRUCTURE_FROM_MOTION:
        if not model.needs_file:
            return None  # classic finds the cameras in this very way itself
        known = _from_motion(frames, settings, monitor, device)
    elif source is KnownCameras.COLMAP:
        views = colmap.read(Path(settings.known_cameras_folder))
        known = _near(_matched([Candidate.of_view(view) for view in views], frames, "the COLMAP model"))
    elif source is KnownCameras.FILE:
        known = _near(_of_file(Path(settings.known_cameras_file).expanduser(), frames), "camera file")
    elif source is KnownCameras.CAMERA:
        where = f"the camera '{settings.known_camera}'"
        first = int(records[0].name) - records[0].frame
        moving = {int(record.name): replace(Candidate.of_record(record), any_shape=False) for record in records}
        known = _matched(numbered(moving, first, frames, where), frames, where)
    else:
        where = f"the collection '{settings.known_cameras_collection}'"
        known = _matched([Candidate.of_record(record) for record in records], frames, where)
    if len(known.extrinsics) < FEWEST:
        raise BadInput(
            f"Known cameras need at least {FEWEST} images with a camera, and there are {len(known.extrinsics)}"
            + "".join(f". {warning}" for warning in known.warnings)
        )
    words = problem(np.stack(list(known.extrinsics.values())))
    if words:
        raise BadInput(words)
    if settings.use_metric:
        known.warnings.append("Use Metric has no effect: the scene is in the unit of the known cameras")
    return known


def _of_file(path: Path, frames: FrameSource) -> Known:
    """Of a transforms.json by the images' names, of a .chan or .nk by their numbers."""
    if path.suffix.lower() == ".json":
        return _matched([Candidate.of_view(view) for view in transforms_json.read(path)], frames, f"'{path.name}'")
    suffix = path.suffix.lower()
    if suffix not in (".chan", ".nk"):
        raise BadInput("Known Cameras: choose a transforms.json, a .chan or a .nk")
    header, where = frames.headers[frames.selected[0]], f"'{path.name}'"
    whole = 0.0, 0.0, float(header.width), float(header.height)
    size = header.width, header.height
    lines: Sequence[chan.Line | nuke.Line] = chan.read(path) if suffix == ".chan" else nuke.read(path)
    found = {line.number: Candidate("", *size, whole, line.intrinsics(*size), line.extrinsics) for line in lines}
    if not found:
        raise BadInput(f"There are no cameras in {where}")
    return _matched(numbered(found, min(found), frames, where), frames, where)


def _matched(candidates: Sequence[Candidate], frames: FrameSource, where: str) -> Known:
    found = match(candidates, frames, where)
    return Known(found.extrinsics, found.intrinsics, found.warnings, lenses=found.lenses)


def _near(known: Known, source: str = "COLMAP model") -> Known:
    """The same with an origin near the cameras, where their coordinates are too large for the 32 bits of a point."""
    origin = local_origin.find(list(known.extrinsics.values()))
    if origin is None:
        return known
    extrinsics = {index: local_origin.moved(one, origin) for index, one in known.extrinsics.items()}
    place = ", ".join(f"{value:.10g}" for value in origin)
    warning = (
        f"The {source}'s coordinates are too large for Blender: the scene's origin is at ({place}) of them, and the "
        "collection keeps it as 'da3_origin', in Blender's axes"
    )
    return replace(known, extrinsics=extrinsics, warnings=[*known.warnings, warning], origin=origin)


def _from_motion(frames: FrameSource, settings: Settings, monitor: Monitor, device: str | None) -> Known:
    from ..devices.choosing import choose
    from ..predictors.classic import scene
    from ..predictors.classic.predictor import STRAIGHT

    found = scene.find(frames, frames.selected, settings, monitor, str(choose(device, kinds=()).device))
    extrinsics = dict(zip(found.indices, found.sfm.extrinsics, strict=True))
    is_straight = isinstance(frames.reader, StraightReader)  # what is left then is no lens's
    lenses = {
        i: Lens(False, (k1, k2, 0.0, 0.0))
        for i, (k1, k2) in zip(found.indices, found.sfm.distortion.tolist(), strict=True)
        if max(abs(k1), abs(k2)) > STRAIGHT and not is_straight
    }
    intrinsics = dict(zip(found.indices, found.sfm.intrinsics, strict=True))
    return Known(extrinsics, intrinsics, found.warnings, lenses=lenses)
