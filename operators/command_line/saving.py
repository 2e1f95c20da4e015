"""What the command line leaves on disk: the scene first, whole or not at all; then picture and report."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

from ...core.errors import DA3Error
from ...core.files import ownership
from ...core.files.names import file_name, readable_values

FULL_BELOW = 1 << 20  # bytes
BACKUP = "1"  # what Blender adds to the name of the file that was there before


def save_scene(file: Path) -> None:
    """Save the scene, compressed, with the images' paths relative to it.

    It takes its name when it is whole, so that a disk that gets full does not cost the old file. That one is kept beside
    it as Blender does, by the preference Save Versions.

    Raises
    ------
    DA3Error
        It could not be saved; the old file is as it was.
    """
    file = file.resolve()
    temporary = ownership.part_of(file)
    try:
        with _relative_to(file.parent), _as_blender_takes_it(temporary) as path:
            bpy.ops.wm.save_as_mainfile(
                filepath=path, compress=True, relative_remap=False, check_existing=False, copy=True
            )
        with temporary.open("rb") as written:
            os.fsync(written.fileno())  # a disk over a network may say only now that it is full
        _replace(file, temporary)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):  # it may never have been there
            ownership.drop_part(temporary)
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else _said(error)
        full = os.strerror(errno.ENOSPC)
        if full not in reason and _free(file) < FULL_BELOW:  # Blender 5.3 does not say why
            reason += f" ({full})"
        raise DA3Error(
            f"'{file}' could not be saved: {reason}. A file of that name is as it was; free some space, or choose another place"
        ) from None


def _free(file: Path) -> int:
    """Bytes that are free beside a file; all there could be, where nobody knows."""
    try:
        return shutil.disk_usage(file.parent).free
    except OSError:
        return sys.maxsize


def unfinished(file: Path) -> Path:
    """Where the scene of a run goes that did not come to its end: beside a whole one from before, not in its place."""
    return file.with_name(file_name("", file.stem, f"_unfinished{file.suffix}"))


def beside(report: dict[str, Any], name: str, file: Path, work: Callable[[], None]) -> None:
    """Make something beside the scene, which is saved by now: what goes wrong is noted in ``report`` and ends nothing.

    Parameters
    ----------
    name, file : what is made, for the sentence
    """
    try:
        work()
    except OSError as error:
        reason = error.strerror or str(error)
    except DA3Error as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001  # the edge of a side product: whatever it was, the scene is saved
        traceback.print_exc()
        reason = f"unexpected {type(error).__name__}: {error}"
    else:
        return
    message = f"The {name} '{file}' could not be written: {' '.join(reason.split())}"
    report["warnings"].append(message)
    report["failures"].append(message)


def write_report(file: Path, report: dict[str, Any]) -> None:
    """Write the report; raises OSError, and then an older one is as it was."""
    ownership.write_chosen(file.resolve(), json.dumps(readable_values(report), indent=1).encode("utf-8"))


@contextlib.contextmanager
def _relative_to(folder: Path) -> Iterator[None]:
    """Images have paths relative to a folder while it lasts: the scene is saved as a copy, and what is open has no place of its own."""
    before: list[tuple[bpy.types.Image, str]] = []
    for image in bpy.data.images:
        is_relative = image.filepath.startswith("//")  # also of a picture that is in the file itself
        if image.source == "FILE" and not is_relative and Path(image.filepath).is_absolute():
            try:
                relative = "//" + os.path.relpath(image.filepath, folder).replace(os.sep, "/")
            except ValueError:
                continue  # on another drive of Windows there is no relative path
            before.append((image, image.filepath_raw))
            image.filepath_raw = relative
    try:
        yield
    finally:
        for image, path in before:
            image.filepath_raw = path


@contextlib.contextmanager
def _as_blender_takes_it(file: Path) -> Iterator[str]:
    """A path of the file: Blender takes every backslash for a separator, so a folder with one is reached by a link."""
    if os.sep == "\\" or "\\" not in str(file):
        yield str(file)
        return
    with tempfile.TemporaryDirectory() as private:
        link = Path(private) / "folder"
        link.symlink_to(file.parent, target_is_directory=True)
        yield str(link / file.name)


def _replace(file: Path, temporary: Path) -> None:
    """Give the new file its name, and what was there before the name of a backup, where the person wants one."""
    if file.exists() and bpy.context.preferences.filepaths.save_version:
        backup = file.with_name(file.name + BACKUP)
        ownership.replace_chosen(file, backup)
        try:
            ownership.replace_chosen(temporary, file)
        except OSError:
            ownership.replace_chosen(backup, file)
            raise
    else:
        ownership.replace_chosen(temporary, file)


def _said(error: RuntimeError) -> str:
    """What Blender says of an error, without its "Error: "."""
    return " ".join(str(error).removeprefix("Error: ").split()).rstrip(".")
