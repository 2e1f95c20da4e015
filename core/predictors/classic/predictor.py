"""``classic`` behind the ``Predictor`` protocol."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from ...errors import BadInput
from ...frames.resizing import place
from ...frames.source import FrameSource
from ...monitor import Monitor
from ...prediction.prediction import Cameras, Prediction
from ...settings import Settings
from . import scene
from .scene import Scene
from .sfm.reconstruction import MODELS_HINT, SfmResult, structure_from_motion
from .stereo.consistency import Agreement, check
from .stereo.edges import trim, without_islands
from .stereo.parallel import run_all
from .stereo.view_depth import Stereo
from .stereo.view_selection import MATCHED, View, inverse_depths, plan

STRAIGHT = 1e-9  # |k1| below it is no distortion
SWEPT = 0.85  # share of the time for depth that goes into the sweeps; the rest into comparing the views
TOP_CONFIDENCE = 10.0  # DA3's confidences go about as far
FULL_QUALITY = 6.0  # agreement that earns it


class ClassicPredictor:
    """Depth, confidence and cameras of overlapping images, without a network.

    The cameras of a whole input are found before its passes (``find_cameras``). Without that, and of passes for which
    cameras are given, each ``predict`` finds its own. An image that structure from motion cannot place gets no depth and no confidence (0 everywhere), its nearest
    neighbour's camera, and a line in ``warnings``. The world is the first placed camera's frame, scaled to a median depth
    of about 1; or the frame of the cameras that are given.

    Parameters
    ----------
    focals : focal length of every frame of the input, pixels of the original upright image, None where EXIF has none
    watch : hears the stages "cameras" and "depth"
    device : where the sweep runs; a GPU if torch sees one, by default
    """

    def __init__(self, focals: Sequence[float | None], monitor: Monitor, device: str | None = None):
        self.focals = list(focals)
        self.monitor = monitor
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.warnings: list[str] = []
        self._scene: Scene | None = None

    def find_cameras(
        self, frames: FrameSource, indices: Sequence[int], settings: Settings
    ) -> tuple[list[int], list[str]]:
        """Find the cameras of these frames at once; passes of them are then seen in that one frame.

        Returns
        -------
        the frames that have a camera, and what a person should know of the others

        Raises
        ------
        BadInput
            No two of them have one.
        Cancelled
        """
        self._scene = scene.find(frames, indices, settings.feature_matching, self.monitor, self.device.type)
        return self._scene.indices, self._scene.warnings

    @property
    def cameras_fingerprint(self) -> str:
        """Of the cameras that were found for the whole input: others give other results."""
        return self._scene.fingerprint if self._scene else ""

    def predict(
        self,
        images: Sequence[np.ndarray],
        indices: Sequence[int],
        settings: Settings,
        cameras: Cameras | None = None,
    ) -> Prediction:
        """See ``Predictor``.

        Raises
        ------
        BadInput
            One image, images that do not overlap, or a camera that did not move.
        Cancelled
        """
        self.warnings.clear()
        found = self._scene.of(indices) if self._scene and cameras is None else None
        if found is None:
            focals = [self.focals[i] if i < len(self.focals) else None for i in indices]
            sfm = structure_from_motion(
                images, focals, self.monitor, cameras, settings.feature_matching, self.device.type
            )
        else:
            sfm = found
        if not sfm.registered.all():
            lost = [str(indices[i]) for i in np.flatnonzero(~sfm.registered).tolist()]
            self.warnings.append(
                f"classic could not place {len(lost)} of {len(images)} images (frame {', '.join(lost)}); they are left out"
            )
        straight = [undistort(image, sfm, i) for i, image in enumerate(images)]
        canvas, valid, placements = place(straight, settings.resolution, settings.resize_method)
        intrinsics = np.stack([p.to_processed(k) for p, k in zip(placements, sfm.intrinsics, strict=True)])
        depth, conf = dense(canvas, valid, intrinsics, sfm, self.monitor, self.device)
        return Prediction(
            depth, conf, sfm.extrinsics, intrinsics, canvas, cameras_known=found is not None, scale_known=found is None
        )


def undistort(image: np.ndarray, sfm: SfmResult, index: int) -> np.ndarray:
    """The image as a pinhole camera of the same focal length sees it."""
    k1 = float(sfm.distortion[index])
    if abs(k1) < STRAIGHT:
        return image
    matrix = sfm.intrinsics[index].copy()
    matrix[:2, 2] -= 0.5  # OpenCV counts from the centre of the first pixel
    return cv2.undistort(image, matrix, np.array([k1, 0.0, 0.0, 0.0]))


def dense(
    canvas: np.ndarray,
    valid: np.ndarray,
    intrinsics: np.ndarray,
    sfm: SfmResult,
    monitor: Monitor,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Depth and confidence of every view.

    Parameters
    ----------
    canvas : (N, H, W, 3) uint8
    valid : (N, H, W) bool
    intrinsics : (N, 3, 3), pixels of the canvas

    Returns
    -------
    depth, conf : (N, H, W) float32, 0 where no other view confirms the depth

    Raises
    ------
    BadInput
        No two views share enough points.
    """
    count, height, width = valid.shape
    views = plan(sfm)
    if not views:
        raise BadInput(
            f"The model classic found too little that two images share; add images in between, or {MODELS_HINT}"
        )
    gray = torch.from_numpy(np.stack([cv2.cvtColor(c, cv2.COLOR_RGB2GRAY) for c in canvas])).to(device).float() / 255.0
    k = torch.from_numpy(intrinsics).to(device)
    e = torch.from_numpy(np.ascontiguousarray(sfm.extrinsics)).to(device)
    depth = torch.zeros((count, height, width), device=device)
    stereo = Stereo(gray, k, e)
    ratio = np.array([stereo.swept_size[1] / width, stereo.swept_size[0] / height, 1.0])

    def sweep(view: View, inner: Monitor) -> None:
        planes = inverse_depths(view, np.diag(ratio) @ intrinsics, sfm.extrinsics, stereo.swept_size)
        planes_there = torch.from_numpy(planes).float().to(device)
        surface = stereo.inverse_depth(view.index, view.neighbours[:MATCHED], planes_there, inner)
        near_enough = surface > 1.0 / view.farthest
        depth[view.index] = torch.where(near_enough, 1.0 / surface.clamp(min=1e-9), 0.0)

    run_all([functools.partial(sweep, view) for view in views], monitor, "depth", 0.0, SWEPT, device)
    depth *= torch.from_numpy(valid).to(device)
    depth, conf = confirm(depth, canvas, k, e, views, monitor)
    return depth.cpu().numpy(), conf.cpu().numpy()


def confirm(
    depth: torch.Tensor, canvas: np.ndarray, k: torch.Tensor, e: torch.Tensor, views: list[View], monitor: Monitor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth averaged over the views that agree, and confidence; both 0 where too few do."""
    fused, conf = torch.zeros_like(depth), torch.zeros_like(depth)

    def compare(view: View, _watch: Monitor) -> None:
        found = check(depth, k, e, view.index, view.neighbours)
        colour = torch.from_numpy(canvas[view.index]).to(depth.device).permute(2, 0, 1).float() / 255.0
        keep = without_islands(trim(is_kept(found, min(2, len(view.neighbours))), colour))
        fused[view.index] = torch.where(keep, found.depth, 0.0)
        conf[view.index] = torch.where(keep, confidence(found), 0.0)

    run_all([functools.partial(compare, view) for view in views], monitor, "depth", SWEPT, 1.0, depth.device)
    return fused, conf


def is_kept(found: Agreement, needed: int) -> torch.Tensor:
    """(H, W) bool: confirmed by enough views, and by more than see through the point."""
    return (found.count >= needed) & (found.count > found.against)


def confidence(found: Agreement) -> torch.Tensor:
    """(H, W) 1 to ``TOP_CONFIDENCE``, by how many views agree and how well."""
    return 1.0 + (TOP_CONFIDENCE - 1.0) * (found.quality / FULL_QUALITY).clamp(max=1.0)
