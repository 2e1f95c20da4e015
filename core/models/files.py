"""Recognising, moving and removing the files of models and segmentation networks. Standard library only: this runs in Blender's Python too."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import DA3Error, MissingModel
from ..files import ownership
from . import catalogue as models
from . import segmentation_catalogue
from .catalogue import SUFFIX, ModelInfo
from .folder import disk_problem, is_whole, locked, unfinished
from .segmentation_catalogue import SegModel

AnyModel = ModelInfo | SegModel


@dataclass(frozen=True)
class Contents:
    """The files of a model folder, as this add-on and the original name them.

    ``broken`` have a model's name and not all of their bytes (the original wrote downloads under the final name);
    ``unknown`` are other safetensors files, which nothing here touches; ``networks`` are those for segmentation.
    """

    models: tuple[ModelInfo, ...]
    broken: tuple[Path, ...]
    unknown: tuple[Path, ...]
    networks: tuple[SegModel, ...] = ()


def recognise(folder: Path) -> Contents:
    """What is in a folder; an empty or missing folder holds nothing."""
    folder = Path(folder)
    by_file = {model.file_name: model for model in models.MODELS if model.needs_file}
    files = sorted(file for file in folder.glob(f"*{SUFFIX}") if file.is_file() and not file.name.startswith("."))
    whole = {file.name for file in files if file.name in by_file and is_whole(file)}
    return Contents(
        tuple(model for name, model in by_file.items() if name in whole),
        tuple(file for file in files if file.name in by_file and file.name not in whole),
        tuple(file for file in files if file.name not in by_file),
        tuple(
            model
            for model in segmentation_catalogue.SEG_MODELS
            if segmentation_catalogue.is_whole(folder / model.file_name)
        ),
    )


def remove(name: str, folder: Path) -> int:
    """Delete a model's file and what an interrupted download of it has left.

    Returns
    -------
    The bytes that are free now.

    Raises
    ------
    MissingModel
        There is nothing of it, or no such model.
    DA3Error
        Another process is downloading it, or the system refuses.
    """
    model: AnyModel = next((m for m in segmentation_catalogue.SEG_MODELS if m.name == name), None) or models.find(name)
    if not model.needs_file:
        raise MissingModel(f"{model.label} has no file to remove")
    final = path_of(model, folder)
    if not final.parent.is_dir() or not (os.path.lexists(final) or unfinished(folder, name)):
        raise MissingModel(f"{model.label} is not installed: there is no {final.name} in {final.parent}")
    try:
        with locked(folder, name, refuse_to_wait):
            files = [file for file in (final, *unfinished(folder, name)) if os.path.lexists(file)]
            freed = sum(file.lstat().st_size for file in files)
            for file in files:
                ownership.delete_chosen(file)
            return freed
    except Busy:
        raise DA3Error(f"{model.label} is being downloaded or moved at the moment: cancel that first") from None
    except OSError as error:
        raise disk_problem(error, Path(folder)) from error


class Busy(Exception):
    """Another process is at this model."""


def refuse_to_wait() -> None:
    raise Busy


def path_of(model: AnyModel, folder: Path) -> Path:
    return Path(folder) / model.file_name
