"""Payloads as the worker would send them: clouds and cameras with random numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from da3_blender.core.geometry.projection import cameras_to_blender, points_to_blender, unproject
from da3_blender.core.output.payload import CameraRecord, Part, PointArrays, by_frame, in_order_of_frames


def random_cloud(points: int, seed: int = 0) -> PointArrays:
    rng = np.random.default_rng(seed)
    return PointArrays(
        rng.normal(size=(points, 3)).astype(np.float32),
        rng.random((points, 4), np.float32),
        rng.uniform(0.0, 12.0, points).astype(np.float32),
        rng.integers(0, 9, points, np.int32),
    )


def parts(cloud: PointArrays, per_frame: bool = False) -> list[Part]:
    """A batch's objects: all points in one, or those of each frame in an object that shows at that frame only."""
    if not per_frame:
        return [Part("_Points", cloud)]
    ordered = in_order_of_frames(cloud)
    frames = np.unique(ordered.frame).tolist()
    return [Part(f"_Frame_{frame}", points, frame=frame) for frame, points in by_frame(ordered, frames)]


def random_pose(rng: np.random.Generator) -> np.ndarray:
    """(3, 4) world to camera: any rotation, up to 20 units from the origin."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    return np.concatenate([rotation, rng.uniform(-20.0, 20.0, (3, 1))], axis=1)


def record(
    extrinsics: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int], *, frame: int = 0,
    name: str = "photo", image: str = "", placement: tuple[int, int, int, int] | None = None, orientation: int = 1,
) -> CameraRecord:  # fmt: skip
    """The record of one camera; ``size`` is (width, height)."""
    return CameraRecord(
        name=name, frame=frame, camera_to_world=tuple(cameras_to_blender(extrinsics[None])[0].ravel().tolist()),
        fx=float(intrinsics[0, 0]), fy=float(intrinsics[1, 1]), cx=float(intrinsics[0, 2]), cy=float(intrinsics[1, 2]),
        width=size[0], height=size[1], image=image, placement=placement or (0, 0, *size), orientation=orientation,
    )  # fmt: skip


def random_records(count: int, seed: int = 0, images: list[Path] | None = None) -> list[CameraRecord]:
    """Cameras of a sequence that all see 640 x 428 pixels."""
    rng = np.random.default_rng(seed)
    k = np.array([[500.0, 0.0, 320.0], [0.0, 500.0, 214.0], [0.0, 0.0, 1.0]])
    return [
        record(
            random_pose(rng), k, (640, 428), frame=i, name=f"photo_{i:03d}", image=str(images[i]) if images else ""
        )
        for i in range(count)
    ]  # fmt: skip


def pixel_points(depth: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World points of one depth map in Blender's axes, and the (u, v) they come from: (P, 3) float32 and (P, 2)."""
    world = points_to_blender(unproject(depth[None], intrinsics[None], extrinsics[None]))[0]
    v, u = np.mgrid[0.5 : depth.shape[0], 0.5 : depth.shape[1]]
    known = depth > 0
    return world[known], np.stack([u[known], v[known]], axis=-1)
