"""The sample images' ground truth, as arrays. numpy and Pillow only: the worker's and Blender's tests both read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

SAMPLE_IMAGES = Path(__file__).resolve().parents[2] / "sample_images"
SETS = ("courtyard", "walk", "passer_by", "portrait")


@dataclass(frozen=True)
class Truth:
    """One set of sample images and what is true of it.

    Attributes
    ----------
    names : file names of the N images, in order
    paths : the images themselves
    depth : (N, H, W) float32, z-depth in metres at the pixels' centres, 0 = sky
    ids : (N, H, W) uint8, which object is seen at the pixel's centre, 0 = sky
    intrinsics : (N, 3, 3) float64, pixels, the centre of the top-left pixel at (0.5, 0.5)
    extrinsics : (N, 3, 4) float64, world to camera, OpenCV axes, metres
    camera_to_world : (N, 4, 4) float64
    objects : id -> name
    moving : ids of the objects that move from frame to frame
    depth_step : step of the stored inverse depth, 1/m; the depth's own rounding error is up to half of it
    """

    name: str
    names: list[str]
    paths: list[Path]
    depth: np.ndarray
    ids: np.ndarray
    intrinsics: np.ndarray
    extrinsics: np.ndarray
    camera_to_world: np.ndarray
    objects: dict[int, str]
    moving: list[int]
    depth_step: float

    def __len__(self) -> int:
        return len(self.names)

    @property
    def folder(self) -> Path:
        """The folder of images, as a user would choose it."""
        return self.paths[0].parent

    @cached_property
    def images(self) -> np.ndarray:
        """(N, H, W, 3) uint8, RGB; read when first asked for."""
        return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in self.paths])


def load(name: str, root: Path = SAMPLE_IMAGES) -> Truth:
    """Read a set's truth; raises FileNotFoundError where the set is not there."""
    folder = root / f"{name}_truth"
    about = json.loads((folder / "cameras.json").read_text(encoding="utf-8"))
    frames = about["frames"]
    stems = [Path(frame["name"]).stem for frame in frames]
    inverse = np.stack([np.asarray(Image.open(folder / "depth" / f"{stem}.png")) for stem in stems])
    ids = np.stack([np.asarray(Image.open(folder / "ids" / f"{stem}.png")) for stem in stems])
    step = 1.0 / (65535 * about["depth_nearest"])
    depth = np.zeros(inverse.shape, np.float32)
    np.divide(1.0 / step, inverse, out=depth, where=inverse > 0, casting="unsafe")
    intrinsics = np.zeros((len(frames), 3, 3))
    for matrix, frame in zip(intrinsics, frames, strict=True):
        fx, fy, cx, cy = frame["intrinsics"]
        matrix[:] = (fx, 0, cx), (0, fy, cy), (0, 0, 1)
    camera_to_world = np.array([frame["camera_to_world"] for frame in frames]).reshape(-1, 4, 4)
    rotation = camera_to_world[:, :3, :3].transpose(0, 2, 1)
    return Truth(
        name=name,
        names=[frame["name"] for frame in frames],
        paths=[root / name / frame["name"] for frame in frames],
        depth=depth,
        ids=ids.astype(np.uint8),
        intrinsics=intrinsics,
        extrinsics=np.concatenate([rotation, -rotation @ camera_to_world[:, :3, 3:]], axis=2),
        camera_to_world=camera_to_world,
        objects={int(number): label for number, label in about["objects"].items()},
        moving=list(about["moving"]),
        depth_step=step,
    )
