"""The splats' file of a refined run, under the name that the run's own has: one that this add-on wrote is replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..files import names
from ..output.output_folder import beside, descriptive_name, writable
from ..output.payload import PointArrays, split
from ..output.result_files import PART, PLY_COMMENT
from ..output.splats.files import SplatWriter
from ..settings import Settings, SplatFile


def write(settings: Settings, name: str, clouds: Iterable[PointArrays], warnings: list[str]) -> list[Path]:
    """The file that was written; none where none is wanted.

    Parameters
    ----------
    settings : ``output_folder``, and ``output_splats``, its form
    name : of the input

    Raises
    ------
    BadInput, OSError
        It cannot be written.
    """
    if not settings.output_folder.strip() or settings.output_splats is SplatFile.OFF:
        return []
    own, called = writable(settings.output_folder), descriptive_name(settings.input, name)
    spz = names.file_name("", called, ".spz", own.path) if settings.output_splats is SplatFile.SPZ else ""
    writer = SplatWriter(own.path / names.file_name("", called, "_splats.ply", own.path), PLY_COMMENT)
    try:
        for cloud in clouds:
            for part in split(cloud, PART):
                writer.add(0, part.given())
        wanted, written = writer.put(own, spz)
    finally:
        writer.close()
    if wanted != written:
        warnings.append(beside(wanted, written))
    return [written]
