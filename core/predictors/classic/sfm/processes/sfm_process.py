"""The child process that runs COLMAP. Started by ``reconstruction.py`` by path; imports nothing of the add-on but files beside it.

``python sfm_process.py FOLDER``. The folder holds ``job.json`` and the images ``000000.pgm``, ..., and, where features were
found elsewhere, ``learned.npz``; the file that the job names as ``result`` is left in it. Standard output carries one line of JSON per step and per second,
``{"fraction": 0.4}``; everything that COLMAP prints goes to ``log.txt``. Standard input says only one thing: when it ends, the
parent is gone, and so is this process. The folder is the parent's: it lies in the worker's private one, which goes with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import colmap_database as stored
import lens_checks
import mounted
import numpy as np
import pair_graph
import pycolmap
import triangulation
from child import listen, own_stdout
from lens_checks import FEW

FOCALS = 0.3, 3.0  # of the long side: what is believed where EXIF says nothing
NEAR_EXIF = 1.5  # a focal length outside of these is believed within this ratio of what EXIF says
SURE_MATCHES = 15  # learned ones that place an image; COLMAP wants 30 of any kind
FEWEST_POINTS = 12  # that an image must see to count as placed
FEWEST_IN_ALL = 50  # points of a model; a few of copies of things fit by chance
TORN = 0.05  # of the pairs, by their matches, that a model contradicts; one that was put together rightly contradicts 0.03 at most
MOST = 0.8  # of the images; where fewer are placed one after another, all pairs at once are tried
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
    torn: bool = False  # whether it contradicts too many of the pairs it is made of
    at_once: bool = (
        False  # whether only all pairs at once placed them, which few matches are enough for, and less exactly
    )
    groups: tuple[Any, ...] = ()  # of images, where some were cropped, squeezed or bent

    def beats(self, other: Outcome) -> bool:
        """Not torn, unless that costs half of the images; more images; of as many, more points, unless they fit worse."""
        if self.torn != other.torn and 2 * min(self.placed, other.placed) >= max(self.placed, other.placed):
            return other.torn
        if self.placed != other.placed:
            return self.placed > other.placed
        if self.error > EQUAL_ERROR * other.error:
            return False
        return self.error < other.error / EQUAL_ERROR or self.points > other.points


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    report = own_stdout(folder / "log.txt")
    listen()
    pycolmap.set_random_seed(stored.SEED)
    pycolmap.logging.logtostderr = True  # into our log; else it leaves files in the system's temporary folder
    pycolmap.logging.minloglevel = pycolmap.logging.Level.WARNING.value
    database = folder / f"{job['way']}.db"
    rungs = job["rungs"]
    if job["learned"]:
        stored.take_learned(rungs[0]["groups"], folder, database)
    else:
        stored.extract(job, folder, database, report)
        stored.match(job, folder, database, report)
    stored.write_rigs(database, job["rigs"])
    if job["cameras"] is None:
        best, groups = _climb(job, folder, database, report)
        if best.model is not None and not job["rigs"]:
            another = _as_rig if job["moments"] else _by_themselves
            best = another(job, best, groups, folder, database, report)
            lens_checks.polish(best.model, job["focal_is_known"])
    else:
        model = triangulation.from_known(job["cameras"], folder, database, _pipeline_options(job))
        best = _outcome("known", model, (), database)
    _save(folder, best, database, job)


def _climb(
    job: dict[str, Any], folder: Path, database: Path, report: Callable[[float], None]
) -> tuple[Outcome, list[dict[str, Any]]]:
    """One rung after another while images are missing; the best outcome of all, and its groups of images."""
    best, groups = Outcome("", None, 0, 0, np.inf), []
    for number, rung in enumerate(job["rungs"]):
        whole = best.placed == job["count"] and not best.torn
        if whole and not (rung["name"] == "lenses" and lens_checks.lenses_differ(best.model)):
            continue
        own = database
        if number:
            own = database.with_name(f"{database.stem}{number}.db")
            stored.copy_features(database, own, folder, rung["groups"], job["learned"])
        found = _map(job, rung, folder, own, report)
        if (found.torn or found.placed < MOST * job["count"]) and not job["rigs"]:
            at_once = replace(_map_at_once(job, rung, folder, own), at_once=True)
            found = at_once if at_once.beats(found) else found
        if found.beats(best):
            best, groups = found, rung["groups"]
    return best, groups


def _as_rig(
    job: dict[str, Any], best: Outcome, groups: list[dict[str, Any]], folder: Path, database: Path, _report: Any
) -> Outcome:
    """The best outcome with its mounted cameras as a rig, unless the images contradict that."""
    own = database.with_name(f"{database.stem} mounted.db")
    stored.copy_features(database, own, folder, groups, job["learned"])
    model = mounted.held(best.model, job["moments"], own, folder, _pipeline_options(job))
    if model is None:
        return best
    found = _outcome(f"{best.rung}{mounted.RUNG}", model, best.sizes, own)
    fits = found.error <= mounted.WORSE * best.error and found.points >= mounted.FEWER * best.points
    return found if fits and found.placed >= best.placed else best


def _by_themselves(
    job: dict[str, Any],
    best: Outcome,
    groups: list[dict[str, Any]],
    folder: Path,
    database: Path,
    report: Callable[[float], None],
) -> Outcome:
    """The best outcome, with a camera of their own for images that were cropped, squeezed or bent, if that fits better."""
    changed = None if job["one_lens"] else lens_checks.explained(best.model, groups)
    if changed is None:
        return best
    name, apart = changed
    own = database.with_name(f"{database.stem} apart.db")
    stored.copy_features(database, own, folder, apart, job["learned"])
    found = _map(job, {"name": f"{best.rung}, {name}", "groups": apart, "angle": None}, folder, own, report)
    if found.model is None or found.placed < best.placed or found.torn > best.torn:
        return best
    lens_checks.adjust_centres(found.model)
    found = replace(_outcome(found.rung, found.model, found.sizes, own), groups=tuple(apart))
    return found if found.error < lens_checks.BETTER_APART * best.error else best


def _pipeline_options(job: dict[str, Any], rung: dict[str, Any] | None = None) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = stored.SEED
    options.num_threads = options.mapper.num_threads = 1  # sums in one order: the same images, the same cameras
    options.ba_local_function_tolerance = options.ba_global_function_tolerance = lens_checks.CONVERGED
    options.min_model_size = 2
    options.ignore_watermarks = True
    options.extract_colors = False
    options.ba_refine_sensor_from_rig = False  # how a rig's cameras look is known exactly, and so are their lenses
    refine = rung is None or not _trusts_prior(job, rung)
    options.ba_refine_focal_length = options.mapper.abs_pose_refine_focal_length = refine
    if rung is not None and rung["angle"] is not None:
        options.mapper.init_min_tri_angle = rung["angle"]
    if job["learned"]:  # fewer matches than SIFT's, and hardly a wrong one among them
        options.mapper.abs_pose_min_num_inliers = SURE_MATCHES
        options.mapper.init_min_num_inliers = 2 * SURE_MATCHES
    if min([job["count"], *(len(rig["frames"]) for rig in job["rigs"])]) < FEW:  # most points are seen in two only
        options.triangulation.ignore_two_view_tracks = False
    return options


def _trusts_prior(job: dict[str, Any], rung: dict[str, Any]) -> bool:
    """Few views say less about the focal length than EXIF does, and none more than a person who knows it."""
    if job["focal_is_known"]:
        return True
    return job["count"] < FEW and all(group["focal"] is not None for group in rung["groups"])


def _map(
    job: dict[str, Any], rung: dict[str, Any], folder: Path, database: Path, report: Callable[[float], None]
) -> Outcome:
    options = _pipeline_options(job, rung)
    options.constant_cameras = stored.rig_cameras(database, job["rigs"])
    registered = [0]

    def another_image() -> None:
        registered[0] += 1
        report(stored.MATCHED + (0.95 - stored.MATCHED) * min(1.0, registered[0] / job["count"]))

    out = folder / "models"
    out.mkdir(exist_ok=True)
    models = pycolmap.incremental_mapping(
        database, folder, out, options, initial_image_pair_callback=another_image, next_image_callback=another_image
    )
    return _best_of(job, rung, models, database)


def _map_at_once(job: dict[str, Any], rung: dict[str, Any], folder: Path, database: Path) -> Outcome:
    """All rotations from all pairs, then all places (COLMAP's global mapper): where one image after another went astray or
    came to an end."""
    options = pycolmap.GlobalPipelineOptions()
    options.random_seed, options.num_threads = stored.SEED, 1
    options.ignore_watermarks = True
    out = folder / "models"
    out.mkdir(exist_ok=True)
    return _best_of(job, rung, pycolmap.global_mapping(database, folder, out, options), database)


def _best_of(job: dict[str, Any], rung: dict[str, Any], models: dict[int, Any], database: Path) -> Outcome:
    focals = {i: group["focal"] for group in rung["groups"] for i in group["images"]}
    good = [model for model in models.values() if _is_sane(model, focals)]
    sizes = tuple(sorted((model.num_reg_images() for model in good), reverse=True))
    if not good:
        return Outcome(rung["name"], None, 0, 0, np.inf)
    model = max(good, key=lambda m: (m.num_reg_images(), m.num_points3D()))
    model = model if job["rigs"] else lens_checks.simplest(model, not _trusts_prior(job, rung))
    model.update_point_3d_errors()
    return _outcome(rung["name"], model, sizes, database)


def _outcome(rung: str, model: Any, sizes: tuple[int, ...], database: Path) -> Outcome:
    seen = _points_seen(model)
    length = sum(point.track.length() for point in model.points3D.values())
    error = sum(point.error * point.track.length() for point in model.points3D.values()) / max(1, length)
    placed = sum(count >= FEWEST_POINTS for count in seen.values())
    torn = pair_graph.contradicted(model, database) > TORN
    return Outcome(rung, model, placed, model.num_points3D(), float(error), sizes, torn)


def _points_seen(model: Any) -> dict[int, int]:
    """How many points each placed image sees, by the image's number in the model."""
    return {image.image_id: image.num_points3D for image in model.images.values() if image.has_pose}


def _is_sane(model: Any, focals: dict[int, float | None]) -> bool:
    """Whether there are enough points, and the focal lengths can be those of a camera."""
    if model.num_points3D() < FEWEST_IN_ALL:
        return False
    for image in model.images.values():
        if image.has_pose:
            camera, exif = image.camera, focals[int(Path(image.name).stem)]
            focal = camera.params[0]
            ordinary = FOCALS[0] <= focal / max(camera.width, camera.height) <= FOCALS[1]
            if not ordinary and not (exif and exif / NEAR_EXIF <= focal <= exif * NEAR_EXIF):
                return False
    return True


def _save(folder: Path, best: Outcome, database: Path, job: dict[str, Any]) -> None:
    indices, extrinsics, intrinsics, distortion, away = [], [], [], [], []
    points, errors, observations, pixels = [], [], [], []
    if best.model is not None:
        model, seen, errors_of = best.model, _points_seen(best.model), lens_checks.frame_errors(best.model)
        needed = FEWEST_POINTS if job["cameras"] is None else 0
        rigged = {image for rig in job["rigs"] for frame in rig["frames"] for image in frame}
        if best.rung.endswith(mounted.RUNG):
            rigged = {i for i, moment in enumerate(job["moments"]) if moment >= 0}
        high = {i: group.get("stretch", 1.0) for group in best.groups for i in group["images"]}
        for image in sorted(model.images.values(), key=lambda i: i.name):
            if not image.has_pose or (seen[image.image_id] < needed and int(Path(image.name).stem) not in rigged):
                continue
            camera = image.camera
            indices.append(int(Path(image.name).stem))
            extrinsics.append(image.cam_from_world().matrix())
            intrinsics.append(np.diag([1.0, 1.0 / high.get(indices[-1], 1.0), 1.0]) @ camera.calibration_matrix())
            away.append(errors_of.get(image.image_id, 0.0))
            distortion.append([*(camera.params[3:] if "RADIAL" in camera.model_name else ()), 0.0, 0.0][:2])
        kept = set(indices)
        names = {image.image_id: int(Path(image.name).stem) for image in model.images.values()}
        places = {names[i]: [feature.xy for feature in image.points2D] for i, image in model.images.items()}
        for k, (_, point) in enumerate(sorted(model.points3D.items())):
            points.append(point.xyz)
            errors.append(point.error)
            seeing = {names[e.image_id]: e.point2D_idx for e in point.track.elements}
            for image in sorted(seeing.keys() & kept):
                observations.append((image, k))
                pixels.append(places[image][seeing[image]] / [1.0, high.get(image, 1.0)])
    with pycolmap.Database.open(database) as db:
        names = {image.image_id: int(Path(image.name).stem) for image in db.read_all_images()}
        features = [0] * job["count"]
        for number, i in names.items():
            features[i] = db.num_keypoints_for_image(number)
    np.savez(
        folder / job["result"], indices=np.array(indices, np.int64),
        extrinsics=np.array(extrinsics, np.float64).reshape(-1, 3, 4),
        intrinsics=np.array(intrinsics, np.float64).reshape(-1, 3, 3),
        distortion=np.array(distortion, np.float64).reshape(-1, 2), away=np.array(away, np.float64),
        points=np.array(points, np.float64).reshape(-1, 3), errors=np.array(errors, np.float64),
        observations=np.array(observations, np.int64).reshape(-1, 2),
        pixels=np.array(pixels, np.float64).reshape(-1, 2), pairs=stored.matched_pairs(database, names),
        features=np.array(features, np.int64), sizes=np.array(best.sizes, np.int64),
        rung=np.array(best.rung), error=np.array(best.error), torn=np.array(best.torn), at_once=np.array(best.at_once),
        holds_mounts=np.array(best.rung.endswith(mounted.RUNG)),
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
