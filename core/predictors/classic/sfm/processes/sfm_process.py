"""The child process that runs COLMAP. Started by ``reconstruction.py`` by path; imports nothing of the add-on but files beside it.

``python sfm_process.py FOLDER``. The folder holds ``job.json`` and the images ``000000.png``, ..., and, where features were
found elsewhere, ``learned.npz``; the file that the job names as ``result`` is left in it. Standard output carries one line of JSON per step and per second,
``{"fraction": 0.4}``; everything that COLMAP prints goes to ``log.txt``. Standard input says only one thing: when it ends, the
parent is gone, and so is this process. The folder is the parent's: it lies in the worker's private one, which goes with it.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from child import listen, own_stdout
from colmap_database import MATCHED, SEED, copy_features, extract, match, matched_pairs, take_learned

FEW = 4  # images; fewer than these are treated as too few to calibrate the camera from
STRAIGHT_RATIO = 1.03  # distortion is believed when the reprojection error without it is larger by more
FOCALS = 0.3, 3.0  # of the long side: what is believed where EXIF says nothing
NEAR_EXIF = 1.5  # a focal length outside of these is believed within this ratio of what EXIF says
SURE_MATCHES = 15  # learned ones that place an image; COLMAP wants 30 of any kind
FEWEST_POINTS = 12  # that an image must see to count as placed
MOST_COMPARED = 40  # images for which it is looked at whether their lenses differ
LENSES_DIFFER = 1.05  # ratio of focal lengths, found one by one, that says that images do not share a camera
BETTER_APART = 0.9  # and of the reprojection errors, apart over shared
EQUAL_ERROR = 1.1  # reprojection errors this near are no reason to prefer one of two models


@dataclass(frozen=True)
class Outcome:
    """What one rung of the ladder gave. ``model`` is None where it gave nothing."""

    rung: str
    model: Any | None
    placed: int  # images that see enough points
    points: int
    error: float  # pixels, mean over all observations
    sizes: tuple[int, ...] = ()  # images of each of the models that COLMAP made, largest first

    def beats(self, other: Outcome) -> bool:
        """More images; of as many, more points, unless they fit worse."""
        if self.placed != other.placed:
            return self.placed > other.placed
        if self.error > EQUAL_ERROR * other.error:
            return False
        return self.error < other.error / EQUAL_ERROR or self.points > other.points


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    report = own_stdout(folder / "log.txt")
    listen()
    pycolmap.set_random_seed(SEED)
    pycolmap.logging.logtostderr = True  # into our log; else it leaves files in the system's temporary folder
    pycolmap.logging.minloglevel = pycolmap.logging.Level.WARNING.value
    database = folder / f"{job['way']}.db"
    rungs = job["rungs"]
    if job["learned"]:
        take_learned(rungs[0]["groups"], folder, database)
    else:
        extract(job, folder, database, report)
        match(job, folder, database, report)
    if job["cameras"] is None:
        best = _climb(job, folder, database, report)
    else:
        best = _outcome("known", _triangulate(job, folder, database), ())
    _save(folder, best, database, job)


def _climb(job: dict[str, Any], folder: Path, database: Path, report: Callable[[float], None]) -> Outcome:
    """One rung after another while images are missing; the best outcome of all."""
    best = Outcome("", None, 0, 0, np.inf)
    for number, rung in enumerate(job["rungs"]):
        if best.placed == job["count"] and not (rung["name"] == "lenses" and _lenses_differ(best.model)):
            continue
        own = database
        if number:
            own = database.with_name(f"{database.stem}{number}.db")
            copy_features(database, own, folder, rung["groups"], job["learned"])
        found = _map(job, rung, folder, own, report)
        if found.beats(best):
            best = found
    return best


def _pipeline_options(job: dict[str, Any], rung: dict[str, Any] | None = None) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = SEED
    options.num_threads = options.mapper.num_threads = 1  # sums in one order: the same images, the same cameras
    options.min_model_size = 2
    options.extract_colors = False
    refine = rung is None or not _trusts_prior(job, rung)
    options.ba_refine_focal_length = options.mapper.abs_pose_refine_focal_length = refine
    if rung is not None and rung["angle"] is not None:
        options.mapper.init_min_tri_angle = rung["angle"]
    if job["learned"]:  # fewer matches than SIFT's, and hardly a wrong one among them
        options.mapper.abs_pose_min_num_inliers = SURE_MATCHES
        options.mapper.init_min_num_inliers = 2 * SURE_MATCHES
    if job["count"] < FEW:  # most points of so few images are seen in two of them only
        options.triangulation.ignore_two_view_tracks = False
    return options


def _trusts_prior(job: dict[str, Any], rung: dict[str, Any]) -> bool:
    """Few views say less about the focal length than EXIF does."""
    return job["count"] < FEW and all(group["focal"] is not None for group in rung["groups"])


def _map(
    job: dict[str, Any], rung: dict[str, Any], folder: Path, database: Path, report: Callable[[float], None]
) -> Outcome:
    options = _pipeline_options(job, rung)
    registered = [0]

    def another_image() -> None:
        registered[0] += 1
        report(MATCHED + (0.95 - MATCHED) * min(1.0, registered[0] / job["count"]))

    out = folder / "models"
    out.mkdir(exist_ok=True)
    models = pycolmap.incremental_mapping(
        database, folder, out, options, initial_image_pair_callback=another_image, next_image_callback=another_image
    )
    focals = {i: group["focal"] for group in rung["groups"] for i in group["images"]}
    good = [model for model in models.values() if _is_sane(model, focals)]
    sizes = tuple(sorted((model.num_reg_images() for model in good), reverse=True))
    if not good:
        return Outcome(rung["name"], None, 0, 0, np.inf)
    model = max(good, key=lambda m: (m.num_reg_images(), m.num_points3D()))
    return _outcome(rung["name"], _simplest(model, not _trusts_prior(job, rung)), sizes)


def _outcome(rung: str, model: Any, sizes: tuple[int, ...]) -> Outcome:
    seen = _points_seen(model)
    length = sum(point.track.length() for point in model.points3D.values())
    error = sum(point.error * point.track.length() for point in model.points3D.values()) / max(1, length)
    placed = sum(count >= FEWEST_POINTS for count in seen.values())
    return Outcome(rung, model, placed, model.num_points3D(), float(error), sizes)


def _points_seen(model: Any) -> dict[int, int]:
    """How many points each placed image sees, by the image's number in the model."""
    return {image.image_id: image.num_points3D for image in model.images.values() if image.has_pose}


def _is_sane(model: Any, focals: dict[int, float | None]) -> bool:
    """Whether there are points, and the focal lengths can be those of a camera."""
    if not model.num_points3D():
        return False
    for image in model.images.values():
        if image.has_pose:
            camera, exif = image.camera, focals[int(Path(image.name).stem)]
            focal = camera.params[0]
            ordinary = FOCALS[0] <= focal / max(camera.width, camera.height) <= FOCALS[1]
            if not ordinary and not (exif and exif / NEAR_EXIF <= focal <= exif * NEAR_EXIF):
                return False
    return True


def _lenses_differ(model: Any) -> bool:
    """Whether images that share a camera in a model were taken with different ones: found by giving each its own."""
    placed = sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
    if not FEW <= len(placed) <= MOST_COMPARED or len({image.camera_id for image in placed}) == len(placed):
        return False
    if any(camera.has_prior_focal_length for camera in model.cameras.values()):
        return False  # EXIF has told images of different focal lengths apart
    apart = pycolmap.Reconstruction()
    for image in placed:
        camera = copy.deepcopy(image.camera)
        camera.camera_id = image.image_id
        apart.add_camera_with_trivial_rig(camera)
        own = pycolmap.Image(name=image.name, camera_id=image.image_id, image_id=image.image_id)
        own.points2D = pycolmap.Point2DList([pycolmap.Point2D(point.xy) for point in image.points2D])
        apart.add_image_with_trivial_frame(own, image.cam_from_world())
    for _, point in sorted(model.points3D.items()):
        apart.add_point3D(point.xyz, point.track, point.color)
    before = model.compute_mean_reprojection_error()
    _adjust(apart, refine_focal=True, refine_bending=False)
    focals = [camera.params[0] for camera in apart.cameras.values()]
    return max(focals) / min(focals) > LENSES_DIFFER and apart.compute_mean_reprojection_error() < BETTER_APART * before


def _simplest(model: Any, refine_focal: bool) -> Any:
    """The model without lens distortion if that explains the images as well, else the one with it."""
    straight = copy.deepcopy(model)
    for camera in straight.cameras.values():
        camera.params = [*camera.params[:3], 0.0]
    errors = []
    for candidate in (straight, model):
        _adjust(candidate, refine_focal, refine_bending=candidate is model)
        errors.append(candidate.compute_mean_reprojection_error())
    return straight if errors[0] <= STRAIGHT_RATIO * errors[1] else model


def _adjust(model: Any, refine_focal: bool, refine_bending: bool) -> None:
    """Bundle adjustment, with its errors noted."""
    adjustment = pycolmap.BundleAdjustmentOptions()
    adjustment.min_track_length = 2
    adjustment.refine_focal_length = refine_focal
    adjustment.refine_extra_params = refine_bending
    adjustment.ceres.solver_options.num_threads = 1
    pycolmap.bundle_adjustment(model, adjustment)
    model.update_point_3d_errors()


def _triangulate(job: dict[str, Any], folder: Path, database: Path) -> Any:
    """Points from cameras that are known."""
    model = pycolmap.Reconstruction()
    with pycolmap.Database.open(database) as db:
        images = {int(Path(image.name).stem): image for image in db.read_all_images()}
    for index, image in sorted(images.items()):
        known = job["cameras"][index]
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
    return pycolmap.triangulate_points(model, database, folder, folder, True, _pipeline_options(job), False)


def _save(folder: Path, best: Outcome, database: Path, job: dict[str, Any]) -> None:
    indices, extrinsics, intrinsics, distortion = [], [], [], []
    points, errors, observations = [], [], []
    if best.model is not None:
        model, seen = best.model, _points_seen(best.model)
        needed = FEWEST_POINTS if job["cameras"] is None else 0
        for image in sorted(model.images.values(), key=lambda i: i.name):
            if not image.has_pose or seen[image.image_id] < needed:
                continue
            camera = image.camera
            indices.append(int(Path(image.name).stem))
            extrinsics.append(image.cam_from_world().matrix())
            intrinsics.append(camera.calibration_matrix())
            distortion.append(camera.params[3] if camera.model_name == "SIMPLE_RADIAL" else 0.0)
        kept = set(indices)
        names = {image.image_id: int(Path(image.name).stem) for image in model.images.values()}
        for k, (_, point) in enumerate(sorted(model.points3D.items())):
            points.append(point.xyz)
            errors.append(point.error)
            seeing = sorted({names[e.image_id] for e in point.track.elements} & kept)
            observations += [(image, k) for image in seeing]
    with pycolmap.Database.open(database) as db:
        names = {image.image_id: int(Path(image.name).stem) for image in db.read_all_images()}
        features = [0] * job["count"]
        for number, i in names.items():
            features[i] = db.num_keypoints_for_image(number)
    np.savez(
        folder / job["result"],
        indices=np.array(indices, np.int64),
        extrinsics=np.array(extrinsics, np.float64).reshape(-1, 3, 4),
        intrinsics=np.array(intrinsics, np.float64).reshape(-1, 3, 3),
        distortion=np.array(distortion, np.float64),
        points=np.array(points, np.float64).reshape(-1, 3),
        errors=np.array(errors, np.float64),
        observations=np.array(observations, np.int64).reshape(-1, 2),
        pairs=matched_pairs(database, names),
        features=np.array(features, np.int64),
        sizes=np.array(best.sizes, np.int64),
        rung=np.array(best.rung),
        error=np.array(best.error),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
