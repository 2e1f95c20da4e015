"""``generate --inputs LIST.csv``: many shots, one after another, with one loaded model."""

from __future__ import annotations

import argparse
import csv
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import BadInput, Cancelled, DA3Error
from ...core.frames.input_files import SEPARATOR
from ...core.settings import options
from .arguments import OWN, PREFIX, parser, settings_of

FILES = ("input", "output", "render", "report")  # columns that name files; the others are settings
DONE, FAILED = 0, 1  # exit codes; any other of a shot is one of these two for the list


@dataclass(frozen=True)
class Shot:
    """One line of the list, as the words of a ``generate`` command would have it."""

    line: int
    arguments: argparse.Namespace

    @property
    def is_done(self) -> bool:
        """Whether all that it makes is there: a scene takes its name when it is whole."""
        wanted = (self.arguments.output, self.arguments.render, self.arguments.report)
        return all(path.is_file() for path in wanted if path is not None)


def read(file: Path, given: argparse.Namespace) -> list[Shot]:
    """The shots of a list; all lines are looked at before any work begins.

    Parameters
    ----------
    file : comma or semicolon between values, names of columns in the first line; relative paths start at its folder
    given : of the command line, for all shots; a value in the list goes before it

    Raises
    ------
    BadInput
        It names the first bad line.
    """
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise BadInput(f"The list '{file}' cannot be read ({reason}): give a CSV file of shots") from None
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    head = numbered[0][1] if numbered else ""
    cut = ";" if head.count(";") > head.count(",") else ","
    columns = [name.strip().replace("-", "_").lower() for name in _values(head, cut)]
    _check_columns(columns, file)
    shots: list[Shot] = []
    taken: dict[Path, int] = {}
    for number, line in numbered[1:]:
        try:
            shot = _shot(number, dict(zip(columns, _values(line, cut, len(columns)), strict=True)), file.parent, given)
            for path in filter(None, (getattr(shot.arguments, name) for name in FILES[1:])):
                if path in taken:
                    raise BadInput(f"line {taken[path]} makes '{path}' too; give each shot files of its own")
                taken[path] = number
        except BadInput as error:
            said = str(error).partition("; see '")[0]
            raise BadInput(f"Line {number} of '{file}': {said}") from None
        shots.append(shot)
    if not shots:
        raise BadInput(f"The list '{file}' has no shots: after the line of columns comes one line for each")
    return shots


def chosen(shots: Sequence[Shot], only: str | None) -> Sequence[Shot]:
    """Those of ``--only``: "3" or "3-5", counted from 1; all where it is left out.

    Raises
    ------
    BadInput
    """
    if not only:
        return shots
    first, _, last = only.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()):
        raise BadInput(f"'{only}' are no shots: --only takes a number, as 3, or a first and a last, as 3-5")
    start, end = int(first), int(last or first)
    if not 1 <= start <= end or start > len(shots):
        raise BadInput(f"The list has the shots 1 to {len(shots)}: --only {only} is not among them")
    return shots[start - 1 : end]


def run(
    shots: Sequence[Shot],
    generate: Callable[[argparse.Namespace], int],
    say: Callable[[str], None],
    *,
    skip_done: bool = False,
) -> int:
    """Make all shots; one that fails does not keep the others from being made.

    Parameters
    ----------
    generate : makes one, says what became of it on stdout, and gives its exit code

    Returns
    -------
    exit code: 0; 1 where a shot failed; else that of a scene which was saved while something beside it failed

    Raises
    ------
    Cancelled
    """
    codes: list[int] = []
    for number, shot in enumerate(shots, 1):
        if skip_done and shot.is_done:
            print(f"{shot.arguments.output}: passed over, it is there")
            continue
        say(f"Shot {number} of {len(shots)}: {shot.arguments.input[0]}")
        try:
            codes.append(generate(shot.arguments))
        except Cancelled:
            raise Cancelled(f"Cancelled in shot {number} of {len(shots)}; those before it are saved") from None
        except Exception as error:  # noqa: BLE001  # the edge of a shot: the next ones are made
            if not isinstance(error, DA3Error):
                traceback.print_exc()
            name = "" if isinstance(error, DA3Error) else f"unexpected {type(error).__name__}: "
            print(f"{shot.arguments.output}: failed: {name}{' '.join(str(error).split())}")
            codes.append(FAILED)
    failed = codes.count(FAILED)
    if failed:
        say(f"{failed} of {len(shots)} shots failed (line by line above); with --skip-done only those are made again")
    return FAILED if failed else max(codes, default=DONE)


def _values(line: str, cut: str, count: int = 0) -> list[str]:
    """Of one line; ``count``: how many there shall be."""
    try:
        (values,) = csv.reader([line], delimiter=cut, strict=True)
    except csv.Error as error:
        raise BadInput(f"it is no CSV ({error})") from None
    if count and len(values) != count:
        raise BadInput(f"{len(values)} values for {count} columns; a path with a '{cut}' in it wants quotation marks")
    return values


def _check_columns(columns: Sequence[str], file: Path) -> None:
    known = {*FILES, *(o.name for o in options() if o.name not in OWN)}
    if lacks := [name for name in FILES[:2] if name not in columns]:
        raise BadInput(f"The first line of '{file}' lacks '{lacks[0]}': it names the columns, as in 'input,output'")
    for name in columns:
        if name not in known:
            raise BadInput(f"'{file}' has a column '{name}', which is neither a file nor a setting; see docs/farm.md")
        if columns.count(name) > 1:
            raise BadInput(f"'{file}' has the column '{name}' twice")


def _shot(number: int, values: dict[str, str], folder: Path, given: argparse.Namespace) -> Shot:
    row = {name: value.strip() for name, value in values.items() if value.strip()}
    if lacks := [name for name in FILES[:2] if name not in row]:
        raise BadInput(f"it has no {lacks[0]}")
    paths = {o.name for o in options() if o.is_path}.union(FILES)
    row |= {name: str(folder.absolute() / Path(row[name]).expanduser()) for name in row if name in paths - {"input"}}
    every = row["input"].split(SEPARATOR)
    inputs = [str(folder.absolute() / Path(path.strip()).expanduser()) for path in every]
    words = [word for path in inputs for word in ("--input", path)]
    for name in row.keys() - {"input"}:
        words += [f"--{name.replace('_', '-')}={row[name]}"]
    own: dict[str, Any] = vars(parser().parse_args(["generate", *words]))
    own = {name: value for name, value in own.items() if name in FILES or name.startswith(PREFIX)}
    shot = argparse.Namespace(**{**vars(given), **own})
    settings_of(shot, "classic")  # whether its values can be read
    return Shot(number, shot)
