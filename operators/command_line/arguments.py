"""The words of the command line, and checks of paths that cost nothing before work that costs minutes."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ...core.errors import BadInput
from ...core.files.names import LONGEST_FILE_NAME
from ...core.frames.input_files import SEPARATOR
from ...core.installer.torch_builds import Device
from ...core.settings import Choice, Settings, SplatFile, options

SMALLEST_SCENE = 1 << 18  # bytes; where there are fewer, no scene can be saved
PREFIX = "setting_"  # of a setting's name in what was parsed
OWN = ("input", "more_inputs")  # settings that have a place of their own in the command line


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as an exception."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[0].upper()}{message[1:]}; see '{self.prog} --help'")


def parser() -> Parser:
    """The commands and their flags; ``settings`` of the result: dict of the settings that were given."""
    main = Parser(prog="da3", description="Depth Anything 3 in Blender", allow_abbrev=False)
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    generate = commands.add_parser("generate", help="make a scene from images", allow_abbrev=False)
    words = "folder of images, an image or a video; given again, further ones of the same place"
    generate.add_argument("--input", action="append", metavar="PATH", help=words)
    generate.add_argument("--output", type=Path, metavar="FILE.blend", help="the scene")
    generate.add_argument(
        "--inputs", type=Path, metavar="LIST.csv", help="many shots instead, with columns input and output"
    )
    generate.add_argument("--skip-done", action="store_true", help="of --inputs: pass over shots whose scene is there")
    generate.add_argument("--render", type=Path, metavar="FILE.png", help="a picture of it from a new viewpoint")
    generate.add_argument("--report", type=Path, metavar="FILE.json", help="what was made and what it took")
    generate.add_argument(
        "--refine-splats", action="store_true", help="with splats, fitted to the images once the scene is saved"
    )
    generate.add_argument("--only", metavar="N|N-M", help="of --inputs: these shots only, counted from 1, for farms")
    _online(generate, "download a segmentation network that is not there")
    for option in options():
        if option.name in OWN:
            continue
        about: dict[str, Any] = {
            "dest": f"{PREFIX}{option.name}",
            "default": argparse.SUPPRESS,
            "help": option.help.replace("%", "%%"),
        }
        if option.type is bool:
            about |= {"nargs": "?", "const": "on", "metavar": "on|off"}
        elif issubclass(option.type, Choice):
            about["metavar"] = "|".join(str(choice) for choice in option.type)
        else:
            about["metavar"] = option.type.__name__.upper()
        generate.add_argument(option.flag, **about)
    install = commands.add_parser("install", help="install what the models need", allow_abbrev=False)
    devices = [device.value for device in Device]
    install.add_argument(
        "--device", choices=devices, metavar="|".join(devices), help="what for; the preferences' where it is left out"
    )
    install.add_argument("--wheels", metavar="FOLDER", help="install from the packages in it, without network")
    install.add_argument("--repair", action="store_true", help="compare every file, and install anew where one differs")
    install.add_argument("--ray", action="store_true", help="also Ray, for 'generate --ray': several cards or machines")
    _online(install, "download packages")
    models = commands.add_parser("models", help="the models", allow_abbrev=False)
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="all models, and which are there", allow_abbrev=False)
    for action in ("download", "remove"):
        one = actions.add_parser(action, help=f"{action} one", allow_abbrev=False)
        one.add_argument("name", metavar="NAME")
        if action == "download":
            _online(one, "download")
    doctor = commands.add_parser("doctor", help="what is there and what is missing", allow_abbrev=False)
    doctor.add_argument("--report", action="store_true", help="to be sent with a report of a fault: no names, no paths")
    return main


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The words of a whole command line.

    Raises
    ------
    BadInput
    """
    given = parser().parse_args(list(words))
    if given.command == "generate":
        files = [f"--{name}" for name in ("input", "output", "render", "report") if getattr(given, name)]
        if given.inputs and files:
            raise BadInput(f"With --inputs the list says what {files[0]} would: give one or the other")
        if not given.inputs and (given.only or given.skip_done):
            raise BadInput("--only and --skip-done are about a list of shots: give it with --inputs")
        lacks = [name for name in ("--input", "--output") if name not in files]
        if not given.inputs and lacks:
            raise BadInput(f"The following arguments are required: {', '.join(lacks)}; see 'da3 generate --help'")
    return given


def _online(command: argparse.ArgumentParser, to_do: str) -> None:
    command.add_argument(
        "--online", action="store_true", help=f"{to_do} also where Blender's preferences do not allow online access"
    )


def settings_of(arguments: argparse.Namespace, default_model: str) -> Settings:
    """The settings of a ``generate`` command.

    Raises
    ------
    BadInput
        A value cannot be read or is out of range.
    """
    given = {name.removeprefix(PREFIX): v for name, v in vars(arguments).items() if name.startswith(PREFIX)}
    given |= {o.name: _absolute(given[o.name]) for o in options() if o.is_path and o.name in given}
    first, *more = map(_absolute, arguments.input)
    if any(SEPARATOR in path for path in more):
        raise BadInput(f"The name of a further input cannot have a '{SEPARATOR}' in it: rename it, or give it first")
    return Settings.from_strings({"model": default_model, **given, "input": first, "more_inputs": SEPARATOR.join(more)})


def _absolute(path: str) -> str:
    """The worker runs in a folder of its own."""
    return str(Path(path).expanduser().absolute()) if path else ""


def check_input(path: str) -> None:
    """Raise ``BadInput`` where there is nothing; what it is, the worker looks at."""
    if not path or not os.path.lexists(path):
        raise BadInput(f"The input '{path}' does not exist: give a folder of images, or one image")


def check_refining(settings: Settings, *, draws_splats: bool, keeps_runs: bool) -> None:
    """Raise ``BadInput`` where refined splats would be of no use, or could not be made."""
    if not draws_splats and (settings.output_splats is SplatFile.OFF or not settings.output_folder):
        raise BadInput(
            "This Blender draws no splats (5.3 does): with --refine-splats give --output-splats and --output-folder"
        )
    if settings.generate_meshes or settings.fuse_frames:
        raise BadInput(
            "--refine-splats builds points, and meshes would go: leave out --generate-meshes and --fuse-frames"
        )
    if not keeps_runs:
        raise BadInput("--refine-splats builds on the kept run, and the preferences keep none: set Kept Runs there")


def check_outputs(scene: Path, picture: Path | None, report: Path | None, source: Path) -> None:
    """Raise ``BadInput`` unless all that was asked for can be written, each into a file of its own; nothing is changed.

    Parameters
    ----------
    source : the input, of which no file may be replaced
    """
    taken: dict[Path, Path] = {}
    for path, suffix in ((scene, ".blend"), (picture, ".png"), (report, ".json")):
        if path is None:
            continue
        check_output(path, suffix)
        real = path.resolve()
        if real in taken:
            raise BadInput(f"'{path}' and '{taken[real]}' are the same file: give each a name of its own")
        taken[real] = path
        is_of_input = suffix == ".png" and real.exists() and source.resolve() in (real, real.parent)
        if is_of_input:
            raise BadInput(f"'{path}' is one of the input's images, and would be replaced: choose another name")
    free = shutil.disk_usage(scene.resolve().parent).free
    if free < SMALLEST_SCENE:
        raise BadInput(f"'{scene}' cannot be saved: its disk is full. Free some space, or choose another place")


def check_output(path: Path, suffix: str) -> None:
    """Raise ``BadInput`` unless a file can be written there; nothing is changed."""
    if path.suffix.lower() != suffix:
        raise BadInput(f"'{path}' must end in {suffix}")
    if len(os.fsencode(path.name)) > LONGEST_FILE_NAME:
        raise BadInput(f"'{path}' has too long a name: choose one of at most {LONGEST_FILE_NAME} bytes")
    try:
        real = path.resolve()  # a link is followed: what it leads to is replaced, not the link
        if real.is_symlink():  # one that leads to itself; until Python 3.12 ``resolve`` itself says so
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if real.is_dir():
            raise BadInput(f"'{path}' is a folder: give the name of a file")
        if not real.parent.is_dir():
            raise BadInput(
                f"'{path}' cannot be written: there is no folder '{real.parent}'. Make it, or choose another"
            )
        if real.exists() and not real.is_file():
            raise BadInput(f"'{path}' is no ordinary file and will not be replaced: choose another name")
        with tempfile.TemporaryFile(dir=real.parent):
            pass
    except (OSError, RuntimeError) as error:  # the latter from a link that leads to itself
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"'{path}' cannot be written ({reason}): choose another folder") from None
    if real.exists() and not os.access(real, os.W_OK):
        raise BadInput(f"'{path}' is there and may not be overwritten: choose another name")
