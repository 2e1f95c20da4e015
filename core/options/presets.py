"""Names for several options at once. They set options and read them back, and hold nothing themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .choices import BatchMode, ResizeMethod
from .option import Choice


class Quality(Choice):
    DRAFT = "draft", "Draft", "280 pixels: quick, to see whether the images fit together"
    STANDARD = "standard", "Standard", "504 pixels, the size the models were trained with"
    FINE = "fine", "Fine", "1008 pixels: four times the points, time and memory of Standard"
    CUSTOM = "custom", "Custom", "As the resolution and the passes under Advanced say"


_BASE = {"resize_method": str(ResizeMethod.UPPER_BOUND), "batch_mode": str(BatchMode.AUTOMATIC), "batch_size": 0}
#: What each quality sets. ``Quality.CUSTOM`` is whatever none of these is.
QUALITIES: dict[Quality, dict[str, Any]] = {
    Quality.DRAFT: {"process_resolution": 280, **_BASE},
    Quality.STANDARD: {"process_resolution": 504, **_BASE},
    Quality.FINE: {"process_resolution": 1008, **_BASE},
}


class Result(Choice):
    """What a run makes; one or several."""

    POINTS = "points", "Points", "A cloud of coloured points"
    SPLATS = "splats", "Splats", "Points that Blender draws as Gaussian splats, a picture without holes, or as dots"
    MESHES = "meshes", "Meshes", "One textured mesh per image, instead of points"
    SURFACE = "surface", "Surface", "One surface from all images, besides"


def quality_of(values: Mapping[str, Any]) -> Quality:
    """The quality that these options are."""
    for quality, wanted in QUALITIES.items():
        if all(values[name] == value for name, value in wanted.items()):
            return quality
    return Quality.CUSTOM


def results_of(values: Mapping[str, Any]) -> set[Result]:
    """What a run with these options makes."""
    points = Result.SPLATS if values["splats"] else Result.POINTS
    made = {Result.MESHES if values["generate_meshes"] else points}
    return made | ({Result.SURFACE} if values["fuse_frames"] else set())


def options_for(wanted: set[Result], values: Mapping[str, Any]) -> dict[str, bool]:
    """The options that make these results. Points, splats and meshes exclude each other: the one that is new counts; a
    surface comes beside one of them."""
    first = wanted - {Result.SURFACE}
    new = first - results_of(values) or first or results_of(values) - {Result.SURFACE}
    return {
        "generate_meshes": Result.MESHES in new, "splats": Result.SPLATS in new, "fuse_frames": Result.SURFACE in wanted,
    }  # fmt: skip
