"""The child process that runs COLMAP. Started by ``sfm.py`` by path; imports nothing of the add-on.

``python sfm_process.py FOLDER``. The folder holds ``job.json`` and the images ``000000.png``, ...; ``result.npz`` is left in
it. Standard output carries one line of JSON per step, ``{"fraction": 0.4}``; everything that COLMAP prints goes to
``log.txt``. Standard input says only one thing: when it ends, the parent is gone, and so is this process.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

SEED = 1
FEW = 4  # images; fewer than these are treated as too few to calibrate the camera from
PAIRS_PER_STEP = 16  # image pairs matched between two reports
# Where the parts of the work begin and end on the way from 0 to 1, by the time they take on 16 images.
EXTRACTED, MATCHED = 0.35, 0.65
STRAIGHT_RATIO = 1.03  # distortion is believed when the reprojection error without it is larger by more


def image_name(index: int) -> str:
    return f"{index:06d}.png"


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    report = _own_stdout(folder / "log.txt")
    threading.Thread(target=_die_with_parent, args=(folder,), daemon=True).start()
    pycolmap.set_random_seed(SEED)
    pycolmap.logging.logtostderr = True  # into our log; else it leaves files in the system's temporary folder
    pycolmap.logging.minloglevel = pycolmap.logging.Level.WARNING.value
    database = folder / "database.db"
    _extract(job, folder, database, report)
    _match(job, folder, database, report)
    if job["cameras"] is None:
        model = _map(job, folder, database, report)
    else:
        model = _triangulate(job, folder, database)
    _save(folder, model, _verified_pairs(database))


def _own_stdout(log: Path) -> Callable[[float], None]:
    """Keep the real standard output for reports, and send what libraries print to the log."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(sink, 1)
    os.dup2(sink, 2)

    def report(fraction: float) -> None:
        channel.write(json.dumps({"fraction": min(1.0, fraction)}) + "\n")
        channel.flush()

    return report


def _die_with_parent(folder: Path) -> None:
    while os.read(0, 1024):
        continue
    shutil.rmtree(folder, ignore_errors=True)  # the parent, who would do it, is dead
    os._exit(3)


def _extract(job: dict[str, Any], folder: Path, database: Path, report: Callable[[float], None]) -> None:
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = job["threads"]
    options.sift.max_num_features = job["features"]
    # Doubling the image finds the fine features that a small one lives from, and costs too much on a large one.
    options.sift.first_octave = -1 if job["long_side"] <= 1000 else 0
    pycolmap.Database.open(database).close()
    done, total = 0, sum(len(group["images"]) for group in job["groups"])
    for group in job["groups"]:
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = "SIMPLE_RADIAL"
        if group["focal"] is not None:
            reader.camera_params = f"{group['focal']},{group['width'] / 2},{group['height'] / 2},0"
        names = [image_name(i) for i in group["images"]]
        # First, so that the images' numbers do not depend on which thread is done first.
        pycolmap.import_images(database, folder, pycolmap.CameraMode.SINGLE, names, reader)
        with pycolmap.Database.open(database) as db:
            reader.existing_camera_id = db.read_image_with_name(names[0]).camera_id
        for some in _slices(names, max(2, job["threads"])):
            pycolmap.extract_features(
                database,
                folder,
                image_names=some,
                camera_mode=pycolmap.CameraMode.SINGLE,
                reader_options=reader,
                extraction_options=options,
                device=pycolmap.Device.cpu,
            )
            done += len(some)
            report(EXTRACTED * done / total)
    with pycolmap.Database.open(database) as db:
        focals = {i: group["focal"] for group in job["groups"] for i in group["images"]}
        for image in db.read_all_images():
            camera = db.read_camera(image.camera_id)
            camera.has_prior_focal_length = focals[int(Path(image.name).stem)] is not None
            db.update_camera(camera)


def _match(job: dict[str, Any], folder: Path, database: Path, report: Callable[[float], None]) -> None:
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = job["threads"]
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = SEED
    steps = list(_slices(job["pairs"], PAIRS_PER_STEP))
    for k, pairs in enumerate(steps):
        listing = folder / "pairs.txt"
        listing.write_text("".join(f"{image_name(a)} {image_name(b)}\n" for a, b in pairs))
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = listing
        pycolmap.match_image_pairs(
            database, matching_options=matching, pairing_options=pairing, verification_options=verification,
            device=pycolmap.Device.cpu,
        )  # fmt: skip
        report(EXTRACTED + (MATCHED - EXTRACTED) * (k + 1) / len(steps))
    _sort_pairs(database)


def _sort_pairs(database: Path) -> None:
    """The order of the matched pairs, which threads leave to chance, decides how sums are rounded."""
    with pycolmap.Database.open(database) as db:
        ids = sorted(image.image_id for image in db.read_all_images())
        pairs = [(a, b) for a in ids for b in ids if a < b and db.exists_two_view_geometry(a, b)]
        geometries = [db.read_two_view_geometry(a, b) for a, b in pairs]
        db.clear_two_view_geometries()
        for (a, b), geometry in zip(pairs, geometries, strict=True):
            db.write_two_view_geometry(a, b, geometry)


def _pipeline_options(job: dict[str, Any]) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = SEED
    options.num_threads = options.mapper.num_threads = 1  # sums in one order: the same images, the same cameras
    options.min_model_size = 2
    options.extract_colors = False
    options.ba_refine_focal_length = not _trusts_prior(job)
    options.mapper.abs_pose_refine_focal_length = not _trusts_prior(job)
    if job["count"] < FEW:  # most points of so few images are seen in two of them only
        options.triangulation.ignore_two_view_tracks = False
    return options


def _trusts_prior(job: dict[str, Any]) -> bool:
    """Few views say less about the focal length than EXIF does."""
    return job["count"] < FEW and all(group["focal"] is not None for group in job["groups"])


def _map(job: dict[str, Any], folder: Path, database: Path, report: Callable[[float], None]) -> Any | None:
    options = _pipeline_options(job)
    registered = [0]

    def another_image() -> None:
        registered[0] += 1
        report(MATCHED + (0.95 - MATCHED) * min(1.0, registered[0] / job["count"]))

    models = pycolmap.incremental_mapping(
        database, folder, folder, options, initial_image_pair_callback=another_image, next_image_callback=another_image
    )
    if not models:
        return None
    model = max(models.values(), key=lambda m: (m.num_reg_images(), m.num_points3D()))
    return _simplest(model, not _trusts_prior(job))


def _simplest(model: Any, refine_focal: bool) -> Any:
    """The model without lens distortion if that explains the images as well, else the one with it."""
    straight = copy.deepcopy(model)
    for camera in straight.cameras.values():
        camera.params = [*camera.params[:3], 0.0]
    errors = []
    for candidate in (straight, model):
        adjustment = pycolmap.BundleAdjustmentOptions()
        adjustment.min_track_length = 2
        adjustment.refine_focal_length = refine_focal
        adjustment.refine_extra_params = candidate is model
        adjustment.ceres.solver_options.num_threads = 1
        pycolmap.bundle_adjustment(candidate, adjustment)
        candidate.update_point_3d_errors()
        errors.append(candidate.compute_mean_reprojection_error())
    return straight if errors[0] <= STRAIGHT_RATIO * errors[1] else model


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


def _verified_pairs(database: Path) -> np.ndarray:
    """(P, 3) int64: image, image, number of matches that fit one geometry."""
    rows = []
    with pycolmap.Database.open(database) as db:
        names = {image.image_id: int(Path(image.name).stem) for image in db.read_all_images()}
        for a in names:
            for b in names:
                if a < b and db.exists_two_view_geometry(a, b):
                    rows.append((names[a], names[b], len(db.read_two_view_geometry(a, b).inlier_matches)))
    return np.array(rows, np.int64).reshape(-1, 3)


def _save(folder: Path, model: Any | None, pairs: np.ndarray) -> None:
    indices, extrinsics, intrinsics, distortion = [], [], [], []
    points, errors, observations = [], [], []
    if model is not None:
        for image in sorted(model.images.values(), key=lambda i: i.name):
            if not image.has_pose:
                continue
            camera = image.camera
            indices.append(int(Path(image.name).stem))
            extrinsics.append(image.cam_from_world().matrix())
            intrinsics.append(camera.calibration_matrix())
            distortion.append(camera.params[3] if camera.model_name == "SIMPLE_RADIAL" else 0.0)
        names = {image.image_id: int(Path(image.name).stem) for image in model.images.values()}
        for k, (_, point) in enumerate(sorted(model.points3D.items())):
            points.append(point.xyz)
            errors.append(point.error)
            observations += [(image, k) for image in sorted({names[e.image_id] for e in point.track.elements})]
    np.savez(
        folder / "result.npz",
        indices=np.array(indices, np.int64),
        extrinsics=np.array(extrinsics, np.float64).reshape(-1, 3, 4),
        intrinsics=np.array(intrinsics, np.float64).reshape(-1, 3, 3),
        distortion=np.array(distortion, np.float64),
        points=np.array(points, np.float64).reshape(-1, 3),
        errors=np.array(errors, np.float64),
        observations=np.array(observations, np.int64).reshape(-1, 2),
        pairs=pairs,
    )


def _slices(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
