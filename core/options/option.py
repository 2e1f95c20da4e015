"""One option: its row in the table, and what a value for it must be."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field
from typing import Any

from ..errors import BadInput

LARGEST_INT = 2**31 - 1  # that Blender's properties hold
SHOWN = 40  # characters of a wrong value, at most


class Choice(str, enum.Enum):
    """An enum whose members carry a label and a sentence for the person."""

    label: str
    help: str

    def __new__(cls, value: str, label: str, help: str) -> Choice:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.help = help
        return member

    def __str__(self) -> str:
        return str(self.value)


def option(
    default: Any, label: str, help: str, *, group: str, subtype: str = "", word: str = "", instead: float = 0,
    **limits: float,
) -> Any:  # fmt: skip
    """A field of ``Settings``.

    Parameters
    ----------
    subtype : Blender's
    word : what the panel says instead of the default, where that is a number that means something else, such as -1
    instead : the number to begin with, where one is wanted after all
    limits : ``min``, ``max``, ``soft_max``, ``step``
    """
    words = {"label": label, "help": help, "group": group, "subtype": subtype, "word": word, "instead": instead}
    return field(default=default, metadata={**words, **limits})


@dataclass(frozen=True)
class Option:
    """One row of the table, as the property and command line makers read it."""

    name: str
    type: type
    default: Any
    label: str
    help: str
    group: str
    subtype: str
    word: str
    instead: float
    limits: Mapping[str, float]

    @property
    def flag(self) -> str:
        """The option's name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_path(self) -> bool:
        """Whether the value names a file or a folder, which the worker wants absolute."""
        return self.subtype in ("FILE_PATH", "DIR_PATH")

    def parse(self, value: Any) -> Any:
        """The value in the option's type; an angle as text is in degrees.

        Raises
        ------
        BadInput
            With what would be right.
        """
        try:
            parsed = self._convert(value)
        except (ValueError, TypeError, OverflowError):
            raise BadInput(f"{self.label}: '{str(value)[:SHOWN]}' is not {self._expected()}") from None
        low, high = self.limits.get("min"), self.limits.get("max")
        if isinstance(parsed, int) and abs(parsed) > LARGEST_INT:
            raise BadInput(f"{self.label}: {str(value)[:SHOWN]} is out of range ({LARGEST_INT} at most)")
        out_of_range = (low is not None and parsed < low) or (high is not None and parsed > high)
        if out_of_range or (isinstance(parsed, float) and not math.isfinite(parsed)):
            raise BadInput(f"{self.label}: {value} is out of range ({self._expected()})")
        return parsed

    def _convert(self, value: Any) -> Any:
        if self.type is bool:
            if isinstance(value, bool):
                return value
            words = {"true": True, "on": True, "yes": True, "1": True}
            words |= {"false": False, "off": False, "no": False, "0": False}
            if str(value).lower() not in words:
                raise ValueError(value)
            return words[str(value).lower()]
        if self.subtype == "ANGLE" and isinstance(value, str):
            return math.radians(float(value))
        return self.type(value)

    def _expected(self) -> str:
        if issubclass(self.type, Choice):
            return "one of " + ", ".join(str(c) for c in self.type)
        noun = {bool: "on or off", int: "a whole number", float: "a number"}.get(self.type, "a text")
        low, high = self.limits.get("min"), self.limits.get("max")
        if self.subtype == "ANGLE" and low is not None and high is not None:
            return f"a number of degrees from {math.degrees(low):g} to {math.degrees(high):g}"
        if low is not None:
            noun += f" from {low:g}"
        if high is not None:
            noun += f" to {high:g}"
        return noun


def row_of(f: Field[Any], type_: type) -> Option:
    assert f.default is not MISSING
    meta = dict(f.metadata)
    words = {key: meta.pop(key) for key in ("label", "help", "group", "subtype", "word", "instead")}
    return Option(f.name, type_, f.default, **words, limits=meta)
