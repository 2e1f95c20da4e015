"""Deletes large folders without keeping anyone waiting: moved aside at once, deleted by a process of its own.

Standard library only.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from ..files import ownership
from ..files.windows import NO_WINDOW

# Goes on when Blender ends. A killed installer may still write its last file: hence the second and third look.
DELETE = """
import pathlib, runpy, sys, time
runpy.run_path(sys.argv[1])["make_importable"]()
from da3_blender.core.files import ownership
for pause in (0, 0.2, 0.5, 1, 2):
    time.sleep(pause)
    if not any([ownership.remove(pathlib.Path(path), sys.argv[2]) for path in sys.argv[3:]]):
        break
"""
MOUNT = Path(__file__).resolve().parents[1] / "package.py"
MARK = ".trash-"
KIND = "environment"  # of every folder that is made and deleted here, for ``ownership``


def move_aside(folder: Path) -> Path:
    """Rename the folder to a name that ``sweep`` knows; takes no time, however large it is.

    Raises
    ------
    OSError
        It is in use (Windows), or the parent folder cannot be written to.
    """
    aside = folder.with_name(f"{folder.name}{MARK}{secrets.token_hex(4)}")
    ownership.move(folder, aside)
    return aside


def discard(*folders: Path) -> None:
    """Delete folders in the background; they are gone from their names at once where the system allows a rename.

    A folder without our marker stays.
    """
    doomed = []
    for folder in folders:
        if folder.is_symlink() or ownership.find(folder, KIND) is None:
            continue
        with contextlib.suppress(FileNotFoundError):
            try:
                doomed.append(folder if MARK in folder.name else move_aside(folder))
            except PermissionError:  # Windows, a file in it is still open: its content goes as far as possible
                doomed.append(folder)
    if doomed:  # no daemon: a program that ends right now still gets as far as starting the process that deletes
        threading.Thread(target=_delete, args=[doomed]).start()


def sweep(parent: Path, names: Iterable[str]) -> None:
    """Delete what earlier crashes left: every folder in ``parent`` whose name matches one of the glob patterns."""
    discard(*(path for name in names for path in sorted(parent.glob(name)) if path.is_dir()))


def _delete(folders: list[Path]) -> None:
    command = [sys.executable, "-I", "-S", "-c", DELETE, str(MOUNT), KIND, *map(str, folders)]
    null = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command,
            cwd=folders[0].parent,
            stdin=null,
            stdout=null,
            stderr=null,
            start_new_session=True,
            **NO_WINDOW,
        )
    except OSError:  # no process can be started: then it is done here
        for folder in folders:
            ownership.remove(folder, KIND)
        return
    threading.Thread(target=process.wait, daemon=True).start()  # so that no dead process stays in the list
