"""Which lenses took the images of a model: bent or straight, one or several, and pictures that were cropped.

Imported by ``sfm_process.py`` as a file beside it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

FEW = 4  # images; fewer than these are treated as too few to calibrate the camera from
STRAIGHT_RATIO = 1.03  # distortion is believed when the reprojection error without it is larger by more
MOST_COMPARED = 40  # images for which it is looked at whether their lenses differ
LENSES_DIFFER = 1.05  # ratio of focal lengths, found one by one, that says that images do not share a camera
BETTER_APART = 0.9  # and of the reprojection errors, apart over shared
ODD = 1.4  # times the median image's reprojection error: such an image may be a part of another
MOST_ODD = 0.5  # of the images; more say nothing of the others
ASKED = 100  # points an image, and twenty times as many at least, of which it is asked what happened to the images
CAUCHY, EXACT = 0.5, 0.01  # of the mean reprojection error, from there on a match counts less; and pixels, at least
CONVERGED = (
    1e-6  # relative change of the cost that ends a bundle adjustment (Ceres's default; COLMAP goes on for 100 rounds)
)
OFF_CENTRE = 0.005  # of the long side, that a cropped picture's centre is away from the lens's
OFF_SQUARE = 0.03  # that a squeezed picture's pixels are not square
CROPPED, BENT, SQUEEZED = "cropped images", "bent images", "squeezed images"


def lenses_differ(model: Any) -> bool:
    """Whether images that share a camera in a model were taken with different ones: found by giving each its own."""
    placed = sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
    if not FEW <= len(placed) <= MOST_COMPARED or len({image.camera_id for image in placed}) == len(placed):
        return False
    if any(camera.has_prior_focal_length for camera in model.cameras.values()):
        return False  # EXIF has told images of different focal lengths apart
    apart = _apart(model, {image.image_id for image in placed})
    before = model.compute_mean_reprojection_error()
    adjust(apart, refine_focal=True, refine_bending=False)
    focals = [camera.params[0] for camera in apart.cameras.values()]
    return max(focals) / min(focals) > LENSES_DIFFER and apart.compute_mean_reprojection_error() < BETTER_APART * before


def simplest(model: Any, refine_focal: bool) -> Any:
    """The model with as few coefficients of radial distortion as explain the images: none, k1, or k1 and k2 (COLMAP's RADIAL)."""
    best = _bending(model, 0, refine_focal)
    for count in (1, 2):
        other = _bending(model, count, refine_focal)
        if best.compute_mean_reprojection_error() <= STRAIGHT_RATIO * other.compute_mean_reprojection_error():
            break
        best = other
    return best


def _bending(model: Any, count: int, refine_focal: bool) -> Any:
    """The model, adjusted with that many coefficients."""
    own = copy.deepcopy(model)
    for camera in own.cameras.values():
        focal, x, y, k1 = camera.params[:4]
        if count == 2:
            camera.model = pycolmap.CameraModelId.RADIAL
        camera.params = [focal, x, y, *(k1 if count else 0.0, 0.0)[: max(1, count)]]
    adjust(own, refine_focal, refine_bending=count > 0)
    return own


def polish(model: Any, focal_is_known: bool) -> None:
    """A last bundle adjustment in which what fits badly counts little, in place.

    Cauchy's loss (Triggs et al., Bundle Adjustment, a Modern Synthesis, 2000): noise leaves some matches a pixel or two away
    from their place, and squares let those few bend the cameras. What the ladder compares stays the plain error.
    """
    few = model.num_reg_images() < FEW and all(camera.has_prior_focal_length for camera in model.cameras.values())
    bent = any(camera.params[3] for camera in model.cameras.values())
    options = _options(refine_focal=not (focal_is_known or few), refine_bending=bent)
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = max(CAUCHY * model.compute_mean_reprojection_error(), EXACT)
    centred = _centred(model)
    if len(centred) < len(model.cameras):
        _adjust_with_centres(model, centred, options)
    else:
        pycolmap.bundle_adjustment(model, options)
        model.update_point_3d_errors()


def adjust(model: Any, refine_focal: bool, refine_bending: bool) -> None:
    """Bundle adjustment, with its errors noted."""
    pycolmap.bundle_adjustment(model, _options(refine_focal, refine_bending))
    model.update_point_3d_errors()


def _options(refine_focal: bool, refine_bending: bool) -> Any:
    options = pycolmap.BundleAdjustmentOptions()
    options.min_track_length = 2
    options.refine_focal_length = refine_focal
    options.refine_extra_params = refine_bending
    options.refine_sensor_from_rig = (
        True  # of cameras that are mounted on each other; the rigs of panoramas come not here
    )
    options.ceres.solver_options.num_threads = 1
    options.ceres.solver_options.function_tolerance = CONVERGED
    return options


def explained(model: Any, groups: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]] | None:
    """What happened to images that fit badly, and the groups of images that share a camera with those by themselves; or None.

    A picture that was cropped has its lens's middle elsewhere (its group has a ``centre``), one that was squeezed has pixels that
    are not square (``stretch``, of its height), and one by another lens is bent otherwise. Each such image bends all cameras. What is
    taken lowers all errors, and more than what is simpler: a few images that stand out before all.
    """
    errors = frame_errors(model)
    if len(errors) <= FEW:
        return None
    odd = {i for i, error in errors.items() if error > ODD * float(np.median(list(errors.values())))}
    few = odd if len(odd) <= MOST_ODD * len(errors) else set()
    every = set(errors) if len(errors) <= MOST_COMPARED else set()
    some = _apart(model, set(), max(20, len(errors)) * ASKED)
    best, least = None, some.compute_mean_reprojection_error()
    for name, images in ((CROPPED, few), (BENT, few), (SQUEEZED, few), (CROPPED, every), (SQUEEZED, every)):
        free = _freed(some, images, name) if images else None
        if free is not None and free.compute_mean_reprojection_error() < BETTER_APART * least:
            best, least = (name, images, free), free.compute_mean_reprojection_error()
    if best is None:
        return None
    name, images, free = best
    apart = [group for i in sorted(images) if (group := _by_itself(free.images[i], name))]
    alone = {group["images"][0] for group in apart}
    rest = [{**group, "images": [i for i in group["images"] if i not in alone]} for group in groups]
    return (name, [group for group in rest if group["images"]] + apart) if apart else None


def _freed(model: Any, images: set[int], name: str) -> Any:
    """The model with what may have happened to these images found by a bundle adjustment."""
    free = _apart(model, images)
    own = {free.images[i].camera_id for i in images}
    if name == BENT:
        adjust(free, refine_focal=True, refine_bending=True)
        return free
    for number, camera in free.cameras.items():
        focal, x, y, *bent = camera.params
        if name == SQUEEZED and number in own:
            camera.model, camera.params = pycolmap.CameraModelId.PINHOLE, [focal, focal, x, y]
        else:
            camera.params = [focal, x, y, *[0.0] * len(bent)]
    if name == SQUEEZED:
        adjust(free, refine_focal=True, refine_bending=False)
    else:
        _adjust_with_centres(free, set(free.cameras) - own, _options(refine_focal=True, refine_bending=False))
    return free


def _by_itself(image: Any, name: str) -> dict[str, Any] | None:
    """The group of an image alone, with what happened to it; None where next to nothing did."""
    camera, size = image.camera, (image.camera.width, image.camera.height)
    group = {
        "images": [int(Path(image.name).stem)],
        "focal": float(camera.params[0]),
        "width": size[0],
        "height": size[1],
    }
    if name == SQUEEZED:
        stretch = round(size[1] * camera.params[0] / camera.params[1]) / size[1]  # so that the new height is whole
        return {**group, "stretch": stretch} if abs(stretch - 1.0) > OFF_SQUARE else None
    if name == CROPPED:
        centre = [float(value) for value in camera.params[1:3]]
        away = np.hypot(*np.subtract(centre, np.divide(size, 2.0)))
        return {**group, "centre": centre} if away > OFF_CENTRE * max(size) else None
    return group


def adjust_centres(model: Any) -> None:
    """Bundle adjustment in which the centres that are not the picture's are free."""
    _adjust_with_centres(model, _centred(model), _options(refine_focal=True, refine_bending=False))


def _centred(model: Any) -> set[int]:
    """The cameras whose centre is the picture's."""
    return {i for i, c in model.cameras.items() if np.allclose(c.params[1:3], [c.width / 2.0, c.height / 2.0])}


def _adjust_with_centres(model: Any, centred: set[int], options: Any) -> None:
    """What the options say, and the centres of all cameras but these."""
    options.refine_principal_point = True
    config = pycolmap.BundleAdjustmentConfig()
    for i, image in model.images.items():
        if image.has_pose:
            config.add_image(i)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    for i in centred:
        camera = model.cameras[i]
        camera.params = [camera.params[0], camera.width / 2.0, camera.height / 2.0, *camera.params[3:]]
    for i in set(model.cameras) - centred:
        config.set_constant_cam_intrinsics(i)
    options.refine_principal_point = False
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    model.update_point_3d_errors()


def frame_errors(model: Any) -> dict[int, float]:
    """Mean reprojection error of each placed image, in pixels, by its number in the model."""
    found = {}
    for i, image in model.images.items():
        seen = image.get_observation_points2D() if image.has_pose else []
        if seen:
            places = np.array([model.points3D[point.point3D_id].xyz for point in seen])
            there = image.camera.img_from_cam(image.cam_from_world() * places)
            away = np.linalg.norm(there - np.array([point.xy for point in seen]), axis=1)
            found[i] = float(away[np.isfinite(away)].mean()) if np.isfinite(away).any() else np.inf
    return found


def _apart(model: Any, alone: set[int], most: int | None = None) -> Any:
    """The model with a camera of their own for these images, and with so many of its points at most."""
    out, next_camera = pycolmap.Reconstruction(), max(model.cameras) + 1
    for image in sorted((i for i in model.images.values() if i.has_pose), key=lambda i: i.name):
        camera = copy.deepcopy(image.camera)
        if image.image_id in alone:
            camera.camera_id, next_camera = next_camera, next_camera + 1
        if camera.camera_id not in out.cameras:
            out.add_camera_with_trivial_rig(camera)
        own = pycolmap.Image(name=image.name, camera_id=camera.camera_id, image_id=image.image_id)
        own.points2D = pycolmap.Point2DList([pycolmap.Point2D(point.xy) for point in image.points2D])
        out.add_image_with_trivial_frame(own, image.cam_from_world())
    every = sorted(model.points3D.items())
    for _, point in every[:: -(-len(every) // (most or len(every) or 1)) or 1]:
        out.add_point3D(point.xyz, point.track, point.color)
    out.update_point_3d_errors()
    return out
