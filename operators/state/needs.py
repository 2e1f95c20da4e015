"""What a run still lacks, and which button mends it. Cheap: asked on every redraw."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import bpy
from bpy.types import Context

from ...core.frames.found import Found
from ...core.frames.input_files import inputs_of
from ...core.installer.condition import State
from ...core.models import catalogue
from ...core.models.catalogue import ModelInfo
from .places import Places, places
from .polling import why_busy
from .session import session

NO_INPUT = "Choose an input: a folder of images, an image or a video"
METRIC = "da3metric-large"  # what Use Metric needs beside the chosen model


class Mend(enum.Enum):
    """Which button stands beside what is missing."""

    INPUT = enum.auto()
    ENVIRONMENT = enum.auto()
    MODEL = enum.auto()
    NOTHING = enum.auto()


@dataclass(frozen=True)
class Lack:
    """Something without which Generate cannot start; ``model`` where one is to be downloaded."""

    reason: str
    mend: Mend
    model: ModelInfo | None = None


def first_lack(context: Context) -> Lack | None:
    """What is missing, most basic first; None where Generate can start. A running job is not looked at."""
    settings, here = context.scene.da3, places(context)
    lack = environment_lack(context, here)
    if lack:
        return lack
    if catalogue.known(settings.model) is None:
        return Lack("This file names a model that is not known here: choose another", Mend.NOTHING)
    for model in needed_models(settings):
        if not session(context).has(model, here.models):
            broken = {file.name for file in session(context).contents(here.models).broken}
            state = "has a broken file: download it again" if model.file_name in broken else "is not downloaded"
            return Lack(f"{model.label} {state}", Mend.MODEL, model)
    if not settings.input:
        return Lack(NO_INPUT, Mend.INPUT)
    found = looked_at(context)
    return Lack(found.problem, Mend.INPUT) if found and found.problem else None


def looked_at(context: Context) -> Found | None:
    """What all inputs are made of; None where there is none, and as long as that is not known."""
    settings = context.scene.da3
    paths = inputs_of(settings.input, settings.more_inputs)
    return session(context).inputs.get(tuple(map(bpy.path.abspath, paths))) if settings.input else None


def environment_lack(context: Context, here: Places) -> Lack | None:
    """What is wrong with the worker's environment."""
    if here.is_development:
        return None
    status = session(context).environment_status(here.environment)
    return None if status.state is State.READY else Lack(status.reason, Mend.ENVIRONMENT)


def needed_models(settings: bpy.types.PropertyGroup) -> list[ModelInfo]:
    """The chosen model, and the metric one where the settings ask for it."""
    model = catalogue.find(settings.model)
    by_model = getattr(settings, "use_metric", False) and getattr(settings, "metric_source", "") != "gps"
    wants_metric = by_model and not model.is_metric and model.name != METRIC
    return [model, catalogue.find(METRIC)] if wants_metric else [model]


def why_not(context: Context) -> str:
    """Why Generate cannot start now; empty where it can."""
    busy = why_busy(context)
    lack = None if busy else first_lack(context)
    return lack.reason if lack else busy
