"""Cameras that are mounted on each other, as one of COLMAP's rigs. Imported by ``sfm_process.py`` as a file beside it.

Each camera is found by itself first. How they stand to each other is what the moments agree on; with that as a start, points
are triangulated anew and everything, the rig too, goes into one bundle adjustment. An image that could not be placed by
itself stands where its rig stands.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import colmap_database as stored
import lens_checks
import numpy as np
import pair_graph
import pycolmap

RUNG = ", mounted"  # behind the name of the rung whose cameras became a rig
WORSE, FEWER = 1.5, 0.6  # of the error and of the points without a rig: beyond, the images contradict it
ROUNDS = 2  # of triangulation and adjustment


def held(model: Any, moments: list[int], database: Path, folder: Path, options: Any) -> Any | None:
    """The model as a rig; None where no two cameras have a moment in common.

    Parameters
    ----------
    model : each image placed by itself, a camera for each of the mounted ones
    moments : of all images, when they were taken; -1 says nothing
    database : features and matches of the same images, whose rigs are written here
    """
    placed = {number_of(image): image for image in model.images.values() if image.has_pose}
    with pycolmap.Database.open(database) as db:
        images = {number_of(image): image for image in db.read_all_images()}
        cameras = {image.camera_id for image in images.values()}
        lenses = {}  # of the model, by the database's numbers
        for number, image in placed.items():
            lens = copy.deepcopy(image.camera)
            lens.camera_id = images[number].camera_id
            lenses[lens.camera_id] = lens
        for lens in lenses.values():
            db.update_camera(lens)
    sensor_of = {number: image.camera_id for number, image in images.items()}
    relative = _relative({i: _matrix(image.cam_from_world()) for i, image in placed.items()}, sensor_of, moments)
    if len(relative) < 2:
        return None
    rig = {
        "sensors": [
            {"images": [i for i in images if sensor_of[i] == s], "turn": pose[:3, :3], "shift": pose[:3, 3]}
            for s, pose in relative.items()
        ],
        "frames": _frames(sorted(i for i in images if sensor_of[i] in relative), moments),
    }
    stored.write_rigs(database, [rig])
    out = _posed(database, placed, {**relative, **{s: np.eye(4) for s in cameras - set(relative)}}, lenses)
    for _ in range(ROUNDS):
        out = pycolmap.triangulate_points(out, database, folder, folder, True, options, False)
        lens_checks.adjust(out, refine_focal=options.ba_refine_focal_length, refine_bending=_bends(out))
    return out


def number_of(image: Any) -> int:
    """An image's place in the input."""
    return int(Path(image.name).stem)


def _relative(poses: dict[int, np.ndarray], sensor_of: dict[int, int], moments: list[int]) -> dict[int, np.ndarray]:
    """(4, 4) from the first camera's axes to each one's own, by camera; the first is the one with the most images.

    Of the rotations the one that is nearest to all others, of the places the median: a start for the adjustment.
    """
    by_moment: dict[int, dict[int, np.ndarray]] = {}
    for i, pose in poses.items():
        if moments[i] >= 0:
            by_moment.setdefault(moments[i], {})[sensor_of[i]] = pose
    counts: dict[int, int] = {}
    for members in by_moment.values():
        for sensor in members:
            counts[sensor] = counts.get(sensor, 0) + 1
    if not counts:
        return {}
    first = max(sorted(counts), key=lambda sensor: counts[sensor])
    found = {first: np.eye(4)}
    for sensor in sorted(set(counts) - {first}):
        both = [m[sensor] @ np.linalg.inv(m[first]) for m in by_moment.values() if first in m and sensor in m]
        if both:
            found[sensor] = _agreed(np.stack(both))
    return found


def _agreed(poses: np.ndarray) -> np.ndarray:
    """(V, 4, 4) to the (4, 4) that most of them are near to."""
    away = [
        pair_graph.angles(np.broadcast_to(one, poses[:, :3, :3].shape), poses[:, :3, :3]).sum()
        for one in poses[:, :3, :3]
    ]
    agreed = poses[int(np.argmin(away))].copy()
    agreed[:3, 3] = np.median(poses[:, :3, 3], axis=0)
    return agreed


def _frames(images: list[int], moments: list[int]) -> list[list[int]]:
    """Images of one moment together; those of none each for itself."""
    frames: dict[tuple[bool, int], list[int]] = {}
    for i in images:
        frames.setdefault((moments[i] >= 0, moments[i] if moments[i] >= 0 else i), []).append(i)
    return list(frames.values())


def _posed(database: Path, placed: dict[int, Any], relative: dict[int, np.ndarray], lenses: dict[int, Any]) -> Any:
    """A reconstruction without points: a rig for each moment, where its placed cameras put it."""
    out = pycolmap.Reconstruction()
    with pycolmap.Database.open(database) as db:
        images = {image.image_id: image for image in db.read_all_images()}
        rigs, frames = db.read_all_rigs(), db.read_all_frames()
        known = {camera.camera_id: camera for camera in db.read_all_cameras()}
    for number, camera in known.items():
        out.add_camera(lenses.get(number, camera))
    for rig in rigs:
        out.add_rig(rig)
    for frame in frames:
        members = [images[data.id] for data in frame.image_ids]
        own = [
            np.linalg.inv(relative[image.camera_id]) @ _matrix(placed[number_of(image)].cam_from_world())
            for image in members
            if number_of(image) in placed
        ]
        if own:
            frame.rig_from_world = pycolmap.Rigid3d(_agreed(np.stack(own))[:3])
        out.add_frame(frame)
        for image in members:
            fresh = pycolmap.Image(name=image.name, camera_id=image.camera_id, image_id=image.image_id)
            fresh.frame_id = frame.frame_id
            fresh.points2D = pycolmap.Point2DList()
            out.add_image(fresh)
    return out


def _bends(model: Any) -> bool:
    return any(camera.params[3] for camera in model.cameras.values())


def _matrix(pose: Any) -> np.ndarray:
    return np.vstack([pose.matrix(), [0.0, 0.0, 0.0, 1.0]])
