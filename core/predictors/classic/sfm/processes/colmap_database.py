"""Features, matches and cameras in COLMAP's database. Imported by ``sfm_process.py`` as a file beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pair_graph
import pycolmap
import retrieval
from pair_motion import OVER, kind_of_motion, turned_over

SEED = 1
PAIRS_PER_STEP = 16  # image pairs matched between two reports
# Where the parts of the work begin and end on the way from 0 to 1, by the time they take on 16 images.
EXTRACTED, MATCHED = 0.35, 0.65
FEWEST_FITTING, FITTING = 25, 0.6  # learned matches of a pair that have to fit one geometry, and their share
# How far a match may lie from its pair's geometry. COLMAP's 4 pixels are so many of 252 that a plane fits a video's neighbours, and leaves open which of two turns.
FARTHEST, OF_SIDE, NEAREST = 4.0, 4.0 / 1000, 1.0  # pixels; share of the long side; pixels, the features' own errors
POOLED = 300  # features of an image that its pooled vector is made from


def image_name(index: int) -> str:
    return f"{index:06d}.pgm"


def extract(job: dict[str, Any], folder: Path, database: Path, report: Callable[[float], None]) -> None:
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = job["threads"]
    options.sift.max_num_features = job["features"]
    options.sift.first_octave = job["octave"]
    groups = job["rungs"][0]["groups"]
    readers = _import_images(database, folder, groups)
    done, total = 0, sum(len(group["images"]) for group in groups)
    for group, reader in zip(groups, readers, strict=True):
        for some in _slices([image_name(i) for i in group["images"]], max(2, job["threads"])):
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


def _import_images(database: Path, folder: Path, groups: list[dict[str, Any]]) -> list[Any]:
    """A new database of images and their cameras; what reads each group's images from then on.

    Before any features are found, so that the images' numbers do not depend on which thread is done first.
    """
    pycolmap.Database.open(database).close()
    readers = []
    for group in groups:
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = "SIMPLE_RADIAL"
        if group["focal"] is not None:
            x, y = group.get("centre", (group["width"] / 2, group["height"] / 2))
            reader.camera_params = f"{group['focal']},{x},{y},0"
        overlay = folder / f"overlay {group['width']}x{group['height']}.png"
        if overlay.is_file():
            reader.camera_mask_path = overlay
        names = [image_name(i) for i in group["images"]]
        pycolmap.import_images(database, folder, pycolmap.CameraMode.SINGLE, names, reader)
        with pycolmap.Database.open(database) as db:
            reader.existing_camera_id = db.read_image_with_name(names[0]).camera_id
            camera = db.read_camera(reader.existing_camera_id)
            camera.has_prior_focal_length = group["focal"] is not None
            db.update_camera(camera)
        readers.append(reader)
    return readers


def write_rigs(database: Path, rigs: list[dict[str, Any]]) -> None:
    """Cameras that keep to each other, instead of each for itself; the first of a rig is what the others refer to.

    ``turn`` of a sensor is from the rig's axes to its own; ``shift``, where the rig's origin lies in them (0 by default).
    """
    if not rigs:
        return
    with pycolmap.Database.open(database) as db:
        images = {int(Path(image.name).stem): image for image in db.read_all_images()}
        together = {i for rig in rigs for frame in rig["frames"] for i in frame}
        alone = [images[i] for i in sorted(images) if i not in together]
        db.clear_frames()
        db.clear_rigs()

        def sensor(image: Any) -> Any:
            return pycolmap.sensor_t(pycolmap.SensorType.CAMERA, image.camera_id)

        def write(rig: Any, frames: list[list[Any]]) -> None:
            number = db.write_rig(rig)
            for members in frames:
                frame = pycolmap.Frame()
                frame.rig_id = number
                for image in members:
                    frame.add_data_id(pycolmap.data_t(sensor(image), image.image_id))
                db.write_frame(frame)

        for rig in rigs:
            first, *others = rig["sensors"]
            made = pycolmap.Rig()
            made.add_ref_sensor(sensor(images[first["images"][0]]))
            for other in others:
                turn = np.array(other["turn"]) @ np.array(first["turn"]).T
                shift = np.array(other.get("shift", (0.0, 0.0, 0.0)))
                pose = pycolmap.Rigid3d(np.column_stack([turn, shift]))
                made.add_sensor(sensor(images[other["images"][0]]), pose)
            write(made, [[images[i] for i in frame] for frame in rig["frames"]])
        for camera in dict.fromkeys(image.camera_id for image in alone):
            own = [image for image in alone if image.camera_id == camera]
            made = pycolmap.Rig()
            made.add_ref_sensor(sensor(own[0]))
            write(made, [[image] for image in own])


def rig_cameras(database: Path, rigs: list[dict[str, Any]]) -> set[int]:
    """The cameras of rigs, whose lenses are known exactly."""
    with pycolmap.Database.open(database) as db:
        images = {int(Path(image.name).stem): image.camera_id for image in db.read_all_images()}
    return {images[sensor["images"][0]] for rig in rigs for sensor in rig["sensors"]}


def take_learned(groups: list[dict[str, Any]], folder: Path, database: Path) -> None:
    """The features and matches that ``features_process.py`` has left."""
    _import_images(database, folder, groups)
    with np.load(folder / "learned.npz") as found:
        learned = dict(found)
    with pycolmap.Database.open(database) as db:
        numbers = {int(Path(image.name).stem): image.image_id for image in db.read_all_images()}
        ends = np.cumsum(learned["counts"])
        for i, (end, count) in enumerate(zip(ends, learned["counts"], strict=True)):
            db.write_keypoints(numbers[i], learned["keypoints"][end - count : end])
        ends = np.cumsum(learned["match_counts"])
        for (a, b), end, count in zip(learned["pairs"].tolist(), ends, learned["match_counts"], strict=True):
            db.write_matches(numbers[a], numbers[b], learned["matches"][end - count : end])
    _verify(folder, database, [(a, b) for a, b in learned["pairs"].tolist()], _verification(groups, learned=True))


def copy_features(source: Path, database: Path, folder: Path, groups: list[dict[str, Any]], learned: bool) -> None:
    """The same features and matches with other cameras: what matches fit one geometry is found anew."""
    _import_images(database, folder, groups)
    pairs = []
    with pycolmap.Database.open(source) as old, pycolmap.Database.open(database) as new:
        before = {image.name: image.image_id for image in old.read_all_images()}
        images = sorted(new.read_all_images(), key=lambda image: image.name)
        stretched = {image_name(i): g["stretch"] for g in groups if "stretch" in g for i in g["images"]}
        for image in images:
            places = np.array(old.read_keypoints(before[image.name]))
            if image.name in stretched:  # its pixels are square again
                places[:, 1] *= stretched[image.name]
                camera = new.read_camera(image.camera_id)
                camera.height = round(camera.height * stretched[image.name])
                camera.params = [camera.params[0], camera.width / 2.0, camera.height / 2.0, 0.0]
                new.update_camera(camera)
            new.write_keypoints(image.image_id, places)
        for k, a in enumerate(images):
            for b in images[k + 1 :]:
                if old.exists_matches(before[a.name], before[b.name]):
                    matches = old.read_matches(before[a.name], before[b.name])
                    new.write_matches(a.image_id, b.image_id, matches)
                    pairs.append((int(Path(a.name).stem), int(Path(b.name).stem)))
    _verify(folder, database, pairs, _verification(groups, learned))


def match(job: dict[str, Any], folder: Path, database: Path, report: Callable[[float], None]) -> None:
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = job["threads"]
    verification = _verification(job["rungs"][0]["groups"])
    steps = list(_slices(job["pairs"] or _likely_pairs(job, database), PAIRS_PER_STEP))
    for k, pairs in enumerate(steps):
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = _listing(folder, pairs)
        pycolmap.match_image_pairs(
            database, matching_options=matching, pairing_options=pairing, verification_options=verification,
            device=pycolmap.Device.cpu,
        )  # fmt: skip
        report(EXTRACTED + (MATCHED - EXTRACTED) * (k + 1) / len(steps))
    _settle(database)


def matched_pairs(database: Path, names: dict[int, int]) -> np.ndarray:
    """(P, 5) int64: image, image, matches, those that fit one geometry, and the kind of motion (``pair_motion``)."""
    rows = []
    with pycolmap.Database.open(database) as db:
        cameras = {camera.camera_id: camera for camera in db.read_all_cameras()}
        seen = {image.image_id: cameras[image.camera_id] for image in db.read_all_images()}
        geometries = {pair: geometry.inlier_matches for pair, geometry in pair_graph.geometries(db)}
        places = {i: np.asarray(db.read_keypoints(i))[:, :2] for i in names}
        for number, count in zip(*db.read_num_matches(), strict=True):
            a, b = sorted(pycolmap.pair_id_to_image_pair(number))
            fitting = geometries.get((a, b), np.zeros((0, 2), np.int64))
            if names[b] < names[a]:
                (a, b), fitting = (b, a), fitting[:, ::-1]
            kind = 0
            if len(fitting):
                sizes = [(seen[i].width, seen[i].height) for i in (a, b)]
                kind = kind_of_motion(places[a][fitting[:, 0]], places[b][fitting[:, 1]], *sizes)
            rows.append((names[a], names[b], count, len(fitting), kind))
    return np.array(sorted(rows), np.int64).reshape(-1, 5)


def _verify(folder: Path, database: Path, pairs: list[tuple[int, int]], options: Any) -> None:
    pycolmap.verify_matches(database, _listing(folder, pairs), options)
    _settle(database)


def _verification(groups: list[dict[str, Any]], learned: bool = False) -> Any:
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.max_error = min(FARTHEST, max(NEAREST, OF_SIDE * max(max(g["width"], g["height"]) for g in groups)))
    if learned:  # where images share nothing LightGlue still pairs a few details, and some of these fit by chance
        options.min_num_inliers, options.min_inlier_ratio = FEWEST_FITTING, FITTING
    options.ransac.random_seed = SEED
    return options


def _listing(folder: Path, pairs: list[tuple[int, int]]) -> Path:
    listing = folder / "pairs.txt"
    listing.write_text("".join(f"{image_name(a)} {image_name(b)}\n" for a, b in pairs))
    return listing


def _likely_pairs(job: dict[str, Any], database: Path) -> list[tuple[int, int]]:
    """Of many images those that look alike, and neighbours; of the views of panoramas those that look alike."""
    features = []
    with pycolmap.Database.open(database) as db:
        for i in range(job["count"]):
            own = db.read_descriptors(db.read_image_with_name(image_name(i)).image_id)
            features.append(np.asarray(own.data if hasattr(own, "data") else own)[:POOLED])
    moments = {image: k for k, frame in enumerate(f for rig in job["rigs"] for f in rig["frames"]) for image in frame}
    taken = [moments.get(i, -1 - i) for i in range(job["count"])]
    return retrieval.likely_pairs(retrieval.pooled(features), in_order=not moments, taken=taken)


def _settle(database: Path) -> None:
    """The matched pairs in order, which threads leave to chance and decides how sums are rounded; contradicting ones emptied,
    mirrored ones marked as ``NO_SCENE``: they go on to say why an image has no camera."""
    with pycolmap.Database.open(database) as db:
        ids = sorted(image.image_id for image in db.read_all_images())
        found = pair_graph.geometries(db)
        pairs, geometries = [pair for pair, _ in found], [geometry for _, geometry in found]
        places = {i: np.asarray(db.read_keypoints(i))[:, :2] for i in ids}
        for (a, b), geometry in found:
            first, second = geometry.inlier_matches.T.reshape(2, -1)
            if turned_over(places[a][first], places[b][second]) > OVER:
                geometry.config = pair_graph.NO_SCENE
        for k in pair_graph.contradicting_pairs(db, ids, pairs, geometries):
            geometries[k] = pycolmap.TwoViewGeometry()
        db.clear_two_view_geometries()
        for (a, b), geometry in zip(pairs, geometries, strict=True):
            db.write_two_view_geometry(a, b, geometry)


def _slices(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
