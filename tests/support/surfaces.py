"""Meshes of frames, as the worker would send them, and photos for them. numpy and Pillow only: both sides' tests read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import payloads
from da3_blender.core.output.payload import CameraRecord, Part
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings
from da3_blender.core.surfaces import image_meshes
from PIL import Image

K = np.array([[60.0, 0.0, 32.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]])
SIZE = (64, 48)  # width, height


def flat(count: int = 1, depth: float = 2.0) -> Prediction:
    """Frames of 64 x 48 pixels that see a wall from random places."""
    rng = np.random.default_rng(0)
    shape = (count, *SIZE[::-1])
    return Prediction(
        np.full(shape, depth, np.float32), np.full(shape, 3.0, np.float32),
        np.stack([payloads.random_pose(rng) for _ in range(count)]), np.repeat(K[None], count, axis=0),
        rng.integers(0, 256, (*shape, 3), np.uint8),
    )  # fmt: skip


def bumpy(count: int = 1) -> Prediction:
    """The same with depths between 2 and 4, a jump among them, and any confidence from 1 to 9."""
    prediction = flat(count)
    rng = np.random.default_rng(5)
    v, u = np.mgrid[0:48, 0:64]
    prediction.depth[:] = 2.2 + 0.2 * np.sin(u / 7.0) * np.cos(v / 5.0)
    prediction.depth[:, :, 40:] += 1.5
    prediction.conf[:] = rng.uniform(1.0, 9.0, prediction.conf.shape)
    return prediction


def records_of(prediction: Prediction, images: list[Path] | None = None, **given: object) -> list[CameraRecord]:
    """Its cameras; ``given``: more for each of them."""
    height, width = prediction.depth.shape[1:]
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    return [
        payloads.record(
            w2c, k, (width, height), frame=i, name=f"photo_{i:03d}", image=str(images[i]) if images else "", **given
        )
        for i, (w2c, k) in enumerate(zip(prediction.extrinsics, prediction.intrinsics, strict=True))
    ]


def parts_of(
    prediction: Prediction, settings: Settings | None = None, images: list[Path] | None = None, **given: object
) -> list[Part]:
    """Its meshes; ``given``: as ``mesh_parts`` takes it."""
    records = records_of(prediction, images)
    return image_meshes.mesh_parts(prediction, range(len(prediction)), records, settings or Settings(), **given)


def waves(width: int, height: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8, a picture so smooth that resampling changes it by less than a level."""
    v, u = np.mgrid[0.5:height, 0.5:width] / max(width, height)
    rng = np.random.default_rng(seed)
    across, down = rng.uniform(0.6, 1.4, (2, 3)) * (7 if max(width, height) > 140 else 4)
    start = rng.uniform(0, 3, 3)
    slopes = [128 + 110 * np.sin(u * across[c] + v * down[c] + start[c]) for c in range(3)]
    return np.round(np.stack(slopes, -1)).astype(np.uint8)


def save_photos(folder: Path, count: int = 1, size: tuple[int, int] = (256, 192), orientation: int = 1) -> list[Path]:
    """Photos that EXIF says to be turned."""
    folder.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    paths = [folder / f"photo_{i:03d}.png" for i in range(count)]
    for i, path in enumerate(paths):
        Image.fromarray(waves(*size, i)).save(path, exif=exif)
    return paths
