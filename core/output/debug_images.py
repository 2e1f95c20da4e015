"""Pictures for who wants to see what a model and the filters did with a frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..files import ownership
from ..prediction.filters import normalised_gradient
from ..prediction.prediction import Prediction

#: Parts of the known inverse depths that become the darkest and the brightest colour.
SHOWN_DEPTHS = (2.0, 98.0)  # percent
TOP_CONFIDENCE = 10.0  # as in the point clouds' material
BAD = np.array([255, 0, 0], np.uint8)
BAD_SHARE = 0.7  # of red in the overlay; the rest is the photograph


def pictures(prediction: Prediction, i: int, min_confidence: float) -> dict[str, np.ndarray]:
    """The pictures of frame ``i`` of a prediction, (H, W, 3) uint8 RGB, by name.

    ``depth``: near is bright, unknown black; ``confidence``: 0 is dark, 10 and more bright; ``color``: what the model saw;
    ``gradient``: white where the depth is steepest; ``bad_confidence``: red where no point is made.
    """
    depth, conf, color = prediction.depth[i], prediction.conf[i], prediction.images[i]
    bad = (conf < min_confidence) | (conf <= 0.0) | (depth <= 0.0)
    overlay = color.copy()
    overlay[bad] = np.round(BAD_SHARE * BAD + (1.0 - BAD_SHARE) * color[bad]).astype(np.uint8)
    return {
        "depth": depth_picture(depth),
        "confidence": _colored(np.clip(conf / TOP_CONFIDENCE, 0.0, 1.0)),
        "color": color,
        "gradient": np.repeat(np.round(normalised_gradient(depth) * 255.0).astype(np.uint8)[..., None], 3, axis=-1),
        "bad_confidence": overlay,
    }


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


def _colored(values: np.ndarray) -> np.ndarray:
    """(H, W) 0 to 1 as (H, W, 3) uint8 RGB, brighter where greater."""
    return cv2.cvtColor(
        cv2.applyColorMap(np.round(values * 255.0).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB
    )
