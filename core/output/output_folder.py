"""The folder that the result files go into, and what they are called."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..errors import BadInput
from ..files import ownership

KIND = "results"  # of folder, for ``ownership``
GENERAL = ("frames", "images")  # names of folders that say nothing: many shots have one


def descriptive_name(path: str, name: str) -> str:
    """What files of an input are called: of a folder ``frames`` or ``images`` it is the folder around it.

    So shots that share an output folder do not write over each other's calibration.
    """
    folder = Path(path).expanduser()
    return folder.resolve().parent.name or name if name.casefold() in GENERAL and folder.is_dir() else name


def writable(path: str) -> ownership.Folder:
    """The output folder, made if it is not there; found out before the long work whether it can be written into."""
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        return ownership.share(folder, KIND)
    except OSError as error:
        raise BadInput(
            f"The output folder '{folder}' cannot be written into ({error.strerror}): choose another"
        ) from None


def beside(wanted: Path, written: Path) -> str:
    """What is said where a person's file has the name of a result."""
    return f"'{wanted}' is not a file that this add-on wrote: it stays as it is, and the new one is '{written}'"
