"""Upright copies of the pictures that Blender cannot show out of their own files: HEIC, AVIF, raw, other colours, videos."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from ..frames.source import FrameSource
from ..output.payload import CameraRecord

LONGEST_STEM = 60  # characters, so that a file's name stays below the 255 bytes of every file system
JPEG_QUALITY = 95  # 0.6 levels are lost on average, and it is a third as large as a PNG
#: Pixels of the longer side of a copy that only lies behind a camera: it goes into the .blend.
BEHIND = 2048


def write_frames(frames: FrameSource, indices: Sequence[int], folder: Path) -> list[str]:
    """Write the frames that Blender cannot show from their own file as pictures of full size, for meshes.

    Returns
    -------
    N file names, empty for those that Blender can show

    Raises
    ------
    BadInput
        The input cannot be read any more.
    """
    return [_write(frames, index, folder) if frames.needs_copy(index) else "" for index in indices]


def behind_cameras(
    frames: FrameSource,
    indices: Sequence[int],
    records: Sequence[CameraRecord],
    folder: Path,
    there: Sequence[str] = (),
) -> list[CameraRecord]:
    """The records, each with a copy to lie behind its camera where Blender cannot show the original there.

    Parameters
    ----------
    indices, records : N of the same frames
    folder : of the job, for copies of ``BEHIND`` pixels at most
    there : N file names in it, of copies that meshes have; empty for none

    Raises
    ------
    BadInput
        The input cannot be read any more.
    """
    made = list(records)
    for k, (index, record) in enumerate(zip(indices, records, strict=True)):
        is_shown = record.video or (record.image and not (_is_own(frames, index, record) and frames.needs_copy(index)))
        if is_shown or record.turn:  # Blender shows it, or it is a view into a panorama
            continue
        made[k] = replace(record, copy=(there[k] if there else "") or _write(frames, index, folder, BEHIND))
    return made


def kept_behind(
    records: Sequence[CameraRecord], pictures: Sequence[str], folder: Path, *, meshes: bool
) -> tuple[list[CameraRecord], list[str]]:
    """The same of a kept run: what the model saw takes the place of what Blender cannot show.

    Parameters
    ----------
    pictures : N kept files, or empty where Blender shows the original; they are copied into ``folder``, the job's

    Returns
    -------
    The records, and N file names of what was copied; ``meshes``: they need the pictures too

    Raises
    ------
    OSError
    """
    copied, names = [], []
    for record, picture in zip(records, pictures, strict=True):
        is_behind = not (record.video or record.turn)
        name = Path(picture).name if picture and (meshes or is_behind) else ""
        if name:
            shutil.copyfile(picture, folder / name)
        copied.append(replace(record, copy=name if is_behind else ""))
        names.append(name)
    return copied, names


def _is_own(frames: FrameSource, index: int, record: CameraRecord) -> bool:
    """Whether a record shows the input's own file, and no straightened picture of it."""
    return record.image == str(frames.paths[index])


def _write(frames: FrameSource, index: int, folder: Path, most: int = 0) -> str:
    """``most``: pixels of the longer side; 0 keeps all."""
    number = "" if frames.is_video else f"{index}_"  # X.JPG and x.jpg are one name to some file systems
    name = f"{number}{frames.names[index][-LONGEST_STEM:]}.jpg"
    picture = Image.fromarray(frames.load(index).image)
    if most and max(picture.size) > most:
        picture.thumbnail((most, most), Image.Resampling.LANCZOS)
    picture.save(folder / name, quality=JPEG_QUALITY, subsampling=0)
    return name
