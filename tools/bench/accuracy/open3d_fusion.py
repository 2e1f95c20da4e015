"""Fuses frames with Open3D's VoxelBlockGrid, for fusion.py; runs in an environment of its own.

python open3d_fusion.py FRAMES VOXEL      prints JSON: seconds, faces, bytes
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

BAND = 4.0  # voxels


def main(folder: Path, voxel: float) -> None:
    import open3d

    core = open3d.core
    depths, images = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("depth", "images"))
    intrinsics, extrinsics = (np.load(folder / f"{name}.npy") for name in ("intrinsics", "extrinsics"))
    started = time.perf_counter()
    grid = open3d.t.geometry.VoxelBlockGrid(
        attr_names=("tsdf", "weight", "color"), attr_dtypes=(core.float32,) * 3, attr_channels=((1), (1), (3)),
        voxel_size=voxel, block_resolution=8, block_count=10_000, device=core.Device("CPU:0"),
    )  # fmt: skip
    for i in range(len(depths)):
        depth = open3d.t.geometry.Image(np.ascontiguousarray(depths[i]))
        color = open3d.t.geometry.Image(np.ascontiguousarray(images[i]).astype(np.float32) / 255)
        camera, pose = core.Tensor(intrinsics[i]), core.Tensor(np.vstack([extrinsics[i], [0, 0, 0, 1]]))
        farthest = float(depths[i].max()) + 1.0
        blocks = grid.compute_unique_block_coordinates(depth, camera, pose, 1.0, farthest, BAND)
        grid.integrate(blocks, depth, color, camera, camera, pose, 1.0, farthest, BAND)
    mesh = grid.extract_triangle_mesh(1.0).to_legacy()
    seconds = time.perf_counter() - started
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "faces": len(mesh.triangles), "bytes": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
