"""Pictures for who wants to see what a model and the filters did with a frame."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..files import names, ownership
from ..prediction.batch import Batch
from ..prediction.filters import normalised_gradient

#: Parts of the known inverse depths that become the darkest and the brightest colour.
SHOWN_DEPTHS = (2.0, 98.0)  # percent
TOP_CONFIDENCE = 10.0  # as in the point clouds' material
#: Confidences up to which a pixel is shown as hardly known (a model's confidence begins at 1) and as doubtful, as in DA3-blender.
NO_CONFIDENCE, LOW_CONFIDENCE = 1.0, 2.0
RED, MAGENTA, YELLOW = (255, 0, 0), (255, 0, 255), (255, 255, 0)
BAD_SHARE = 0.7  # of these colours in the overlay; the rest is the photograph
HUE_STEP = (5.0**0.5 - 1.0) / 2.0  # golden section: neighbouring ids get hues that are far apart


class DebugImages:
    """Writes the pictures of a run's frames as its batches come; raises OSError.

    Parameters
    ----------
    own : the folder that is ours or shared
    inner : the folder in it that they go into; empty: into itself
    min_confidence : pixels below make no point
    """

    def __init__(self, own: ownership.Folder, inner: str, min_confidence: float):
        self.folder = own.path / inner
        self.written: list[Path] = []
        self._own, self._inner, self._min_confidence = own, inner, min_confidence

    def add(self, batch: Batch, stems: Sequence[str]) -> None:
        """The pictures of a batch's N frames; ``stems``: N, of their files."""
        self.folder.mkdir(exist_ok=True)
        for i, (index, stem) in enumerate(zip(batch.indices, stems, strict=True)):
            for kind, picture in pictures(batch, i, self._min_confidence).items():
                file = names.file_name(f"{index:06d}_", stem, f"_{kind}.png", self.folder)
                self.written.append(save(picture, self._own, f"{self._inner}/{file}" if self._inner else file))


def pictures(batch: Batch, i: int, min_confidence: float) -> dict[str, np.ndarray]:
    """The pictures of frame ``i`` of a batch, (H, W, 3) uint8 RGB, by name.

    ``depth``: near is bright, unknown black; ``confidence``: 0 is dark, 10 and more bright; ``color``: what the model saw;
    ``gradient``: white where the depth is steepest; ``bad_confidence``: what ``bad_confidence`` says; where they are known
    ``mask``: each thing in a colour of its own, and ``moving``: white where something moves.
    """
    prediction = batch.prediction
    depth, conf, color = prediction.depth[i], prediction.conf[i], prediction.images[i]
    gone = (conf < min_confidence) | (conf <= 0.0) | (depth <= 0.0)
    out = {
        "depth": depth_picture(depth),
        "confidence": _colored(np.clip(conf / TOP_CONFIDENCE, 0.0, 1.0)),
        "color": color,
        "gradient": _gray(normalised_gradient(depth)),
        "bad_confidence": bad_confidence(color, conf, gone),
    }
    if prediction.object_id is not None:
        out["mask"] = mask_picture(prediction.object_id[i])
    if batch.moving is not None:
        out["moving"] = _gray(batch.moving[i].astype(np.float32))
    return out


def bad_confidence(color: np.ndarray, conf: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """A photograph with what is not sure in three colours, as DA3-blender has them; (H, W, 3) uint8 RGB.

    Yellow: confidence of 2 or less. Red: of 1 or less, or no point is made; magenta where such a pixel touches a better one,
    which is the rim that Filter Edges leaves.

    Parameters
    ----------
    color : (H, W, 3) uint8 RGB
    conf : (H, W)
    gone : (H, W) bool, makes no point
    """
    bad = gone | (conf <= NO_CONFIDENCE)
    rim = bad & cv2.dilate((~bad).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    out = color.copy()
    for chosen, paint in ((~bad & (conf <= LOW_CONFIDENCE), YELLOW), (bad & ~rim, RED), (rim, MAGENTA)):
        mixed = BAD_SHARE * np.array(paint) + (1.0 - BAD_SHARE) * color[chosen]
        out[chosen] = np.round(mixed).astype(np.uint8)
    return out


def mask_picture(object_id: np.ndarray) -> np.ndarray:
    """(H, W) ids of things as (H, W, 3) uint8 RGB: a thing has its colour in every frame, no thing (0) is black."""
    found, inverse = np.unique(object_id, return_inverse=True)
    paints = [colorsys.hsv_to_rgb(number * HUE_STEP % 1.0, 0.75, 1.0) if number else (0, 0, 0) for number in found]
    return np.round(np.array(paints) * 255.0).astype(np.uint8)[inverse.reshape(object_id.shape)]


def depth_picture(depth: np.ndarray) -> np.ndarray:
    """(H, W) depth as (H, W, 3) uint8 RGB by its inverse: near is bright, pixels without a depth are black."""
    known = depth > 0.0
    if not known.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    inverse = np.zeros(depth.shape, np.float32)
    inverse[known] = 1.0 / depth[known]
    low, high = np.percentile(inverse[known], SHOWN_DEPTHS)
    picture = _colored(np.clip((inverse - low) / max(high - low, 1e-12), 0.0, 1.0))
    picture[~known] = 0
    return picture


def save(picture: np.ndarray, own: ownership.Folder, name: str) -> Path:
    """As PNG into a folder; the file takes its place when it is whole. Which file; raises OSError."""
    good, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not good:
        raise OSError(f"'{name}' could not be packed as PNG")
    return own.path / own.write(name, data.tobytes())


def _gray(values: np.ndarray) -> np.ndarray:
    """(H, W) 0 to 1 as (H, W, 3) uint8."""
    return np.repeat(np.round(values * 255.0).astype(np.uint8)[..., None], 3, axis=-1)


def _colored(values: np.ndarray) -> np.ndarray:
    """(H, W) 0 to 1 as (H, W, 3) uint8 RGB, brighter where greater."""
    return cv2.cvtColor(
        cv2.applyColorMap(np.round(values * 255.0).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB
    )
