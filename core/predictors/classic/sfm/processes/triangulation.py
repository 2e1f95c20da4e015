"""Points from cameras that somebody knows already. Imported by ``sfm_process.py`` as a file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pycolmap


def from_known(cameras: list[dict[str, Any]], folder: Path, database: Path, options: Any) -> Any:
    """A model of points that matches of images from known cameras give; ``cameras``: as ``child_input.job`` describes them."""
    model = pycolmap.Reconstruction()
    with pycolmap.Database.open(database) as db:
        images = {int(Path(image.name).stem): image for image in db.read_all_images()}
    for index, image in sorted(images.items()):
        known = cameras[index]
        (fx, _, cx), (_, fy, cy), _ = known["intrinsics"]
        camera = pycolmap.Camera(
            model="PINHOLE", width=known["width"], height=known["height"], params=[fx, fy, cx, cy],
            camera_id=image.camera_id,
        )  # fmt: skip
        with pycolmap.Database.open(database) as db:
            db.update_camera(camera)
        model.add_camera_with_trivial_rig(camera)
        fresh = pycolmap.Image(name=image.name, camera_id=image.camera_id, image_id=image.image_id)
        fresh.points2D = pycolmap.Point2DList()
        pose = pycolmap.Rigid3d(np.array(known["extrinsics"]))
        model.add_image_with_trivial_frame(fresh, pose)
    return pycolmap.triangulate_points(model, database, folder, folder, True, options, False)
