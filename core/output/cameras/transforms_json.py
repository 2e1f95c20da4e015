"""transforms.json, the camera file of nerfstudio and instant-ngp: poses are camera to world, z up, cameras as Blender's.

The format is nerfstudio's own (its documentation, "Data conventions") and that of instant-ngp's scripts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput
from ...frames.lens.bending import Lens
from ...geometry.projection import cameras_from_blender, cameras_to_blender
from .colmap import View

NAME = "transforms.json"
PINHOLES = ("", "OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
BENDING = ("k1", "k2", "p1", "p2", "k3")  # as OpenCV has them


def text(views: Sequence[View], paths: Sequence[str]) -> str:
    """The file's content.

    Parameters
    ----------
    views : N
    paths : N, of the images, as the file is to name them
    """
    frames = []
    matrices = cameras_to_blender(np.stack([view.extrinsics for view in views]))
    for view, path, matrix in zip(views, paths, matrices, strict=True):
        (fx, _, cx), (_, fy, cy), _ = view.intrinsics.tolist()
        lens = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": view.width, "h": view.height}
        frames.append({"file_path": path, **lens, "transform_matrix": matrix.tolist()})
    shared = {key: frames[0][key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")}
    if all(frame[key] == value for frame in frames for key, value in shared.items()):
        frames = [{key: frame[key] for key in ("file_path", "transform_matrix")} for frame in frames]
    else:
        shared = {}
    return json.dumps({"camera_model": "OPENCV", **shared, "frames": frames}, indent=1) + "\n"


def read(path: Path) -> list[View]:
    """The cameras of a file, in its order.

    Raises
    ------
    BadInput
        It cannot be read, or its lenses are no pinholes.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        return [_view(path, found, frame) for frame in found["frames"]]
    except OSError as error:
        raise BadInput(f"'{path}' cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        raise BadInput(
            f"'{path}' is no transforms.json: it needs frames with file_path and transform_matrix, w, h and fl_x"
        ) from None


def _view(path: Path, shared: dict[str, Any], frame: dict[str, Any]) -> View:
    about = {**shared, **frame}
    if about.get("camera_model", "") not in PINHOLES or about.get("is_fisheye") or about.get("k4"):
        raise BadInput(f"'{path}': its lens is {about.get('camera_model', 'a fisheye')}, and only pinholes can be used")
    width, height = int(about["w"]), int(about["h"])
    fx = float(about["fl_x"]) if "fl_x" in about else width / 2.0 / math.tan(float(about["camera_angle_x"]) / 2.0)
    fy = float(about.get("fl_y", fx))
    cx, cy = float(about.get("cx", width / 2.0)), float(about.get("cy", height / 2.0))
    matrix = np.array(frame["transform_matrix"], np.float64).reshape(-1, 4)[:3]
    matrix[:, :3] /= np.linalg.norm(matrix[:, :3], axis=0)
    (extrinsics,) = cameras_from_blender(matrix[None])
    intrinsics = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    bending = [float(about.get(key, 0.0)) for key in BENDING]
    return View(str(frame["file_path"]), width, height, intrinsics, extrinsics, Lens.of_colmap("FULL_OPENCV", bending))
