"""The words of the command line, and checks of paths that cost nothing before work that costs minutes."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from ...core.errors import BadInput
from ...core.installer.torch_builds import Device
from ...core.settings import Choice, Settings, options

OWN = ("input",)  # settings that have a place of their own in the command line


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as an exception."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[0].upper()}{message[1:]}; see '{self.prog} --help'")


def parser() -> Parser:
    """The commands and their flags; ``settings`` of the result: dict of the settings that were given."""
    main = Parser(prog="da3", description="Depth Anything 3 in Blender", allow_abbrev=False)
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    generate = commands.add_parser("generate", help="make a scene from images", allow_abbrev=False)
    generate.add_argument("--input", required=True, metavar="PATH", help="folder of images, or one image")
    generate.add_argument("--output", required=True, type=Path, metavar="FILE.blend", help="the scene")
    generate.add_argument("--render", type=Path, metavar="FILE.png", help="a picture of it from a new viewpoint")
    generate.add_argument("--report", type=Path, metavar="FILE.json", help="what was made and what it took")
    _online(generate, "download a segmentation network that is not there")
    for option in options():
        if option.name in OWN:
            continue
        words: dict[str, Any] = {
            "dest": f"setting_{option.name}",
            "default": argparse.SUPPRESS,
            "help": option.help.replace("%", "%%"),
        }
        if option.type is bool:
            words |= {"nargs": "?", "const": "on", "metavar": "on|off"}
        elif issubclass(option.type, Choice):
            words["metavar"] = "|".join(str(choice) for choice in option.type)
        else:
            words["metavar"] = option.type.__name__.upper()
        generate.add_argument(option.flag, **words)
    install = commands.add_parser("install", help="install what the models need", allow_abbrev=False)
    devices = [device.value for device in Device]
    install.add_argument(
        "--device", choices=devices, metavar="|".join(devices), help="what for; the preferences' where it is left out"
    )
    install.add_argument("--wheels", metavar="FOLDER", help="install from the packages in it, without network")
    install.add_argument("--repair", action="store_true", help="compare every file, and install anew where one differs")
    _online(install, "download packages")
    models = commands.add_parser("models", help="the models", allow_abbrev=False)
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="all models, and which are there", allow_abbrev=False)
    for action in ("download", "remove"):
        one = actions.add_parser(action, help=f"{action} one", allow_abbrev=False)
        one.add_argument("name", metavar="NAME")
        if action == "download":
            _online(one, "download")
    commands.add_parser("doctor", help="what is there and what is missing", allow_abbrev=False)
    return main


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
    prefix = "setting_"
    given = {name.removeprefix(prefix): v for name, v in vars(arguments).items() if name.startswith(prefix)}
    given |= {o.name: _absolute(given[o.name]) for o in options() if o.is_path and o.name in given}
    return Settings.from_strings({"model": default_model, **given, "input": _absolute(arguments.input)})


def _absolute(path: str) -> str:
    """The worker runs in a folder of its own."""
    return str(Path(path).expanduser().absolute()) if path else ""


def check_input(path: str) -> None:
    """Raise ``BadInput`` where there is nothing; what it is, the worker looks at."""
    if not path or not os.path.lexists(path):
        raise BadInput(f"The input '{path}' does not exist: give a folder of images, or one image")


def check_output(path: Path, suffix: str) -> None:
    """Raise ``BadInput`` unless a file can be written there; nothing is changed."""
    folder = path.parent
    if path.suffix.lower() != suffix:
        raise BadInput(f"'{path}' must end in {suffix}")
    if path.is_dir():
        raise BadInput(f"'{path}' is a folder: give the name of a file")
    if not folder.is_dir():
        raise BadInput(f"'{path}' cannot be written: there is no folder '{folder}'. Make it, or choose another")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"'{path}' cannot be written ({error.strerror}): choose another folder") from None
    if path.exists() and not os.access(path, os.W_OK):
        raise BadInput(f"'{path}' is there and may not be overwritten: choose another name")
