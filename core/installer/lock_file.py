"""Reads the requirements files that uv locks: which packages they hold for this machine, and which a folder lacks.

Standard library only.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingEnvironment

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Requirement:
    """One package of a lock.

    ``text`` is its block as it stands in the file, hashes and all; ``marker`` is empty where it is for every machine.
    """

    name: str
    version: str
    marker: str
    text: str

    def applies(self, machine: Mapping[str, str]) -> bool:
        """Whether that machine needs it; ``machine`` holds the marker variables, such as ``sys_platform``."""
        # Markers (PEP 508) are written like Python's own expressions, so Python's parser reads them.
        return not self.marker or bool(_value(ast.parse(self.marker, mode="eval").body, machine))


def read(lock: Path) -> list[Requirement]:
    """The packages of a lock file, in its order."""
    found = []
    for block in re.split(r"^(?=[A-Za-z0-9])", lock.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        head = block.splitlines()[0].split(" --hash")[0].rstrip("\\ ")
        pin, _, marker = head.partition(";")
        name, _, version = pin.strip().partition("==")
        found.append(Requirement(_normal(name), version.strip(), marker.strip(), block))
    return found


def missing_wheels(requirements: Iterable[Requirement], folder: Path, machine: Mapping[str, str]) -> list[str]:
    """Names and versions of what that machine needs and the folder of wheels does not hold, in the lock's order.

    A wheel for another Python or system counts as there; the installer is the one to refuse it.
    """
    there = {tuple(file.name.split("-")[:2]) for file in folder.glob("*.whl")}
    have = {(_normal(parts[0]), parts[1]) for parts in there if len(parts) == 2}
    needed = [requirement for requirement in requirements if requirement.applies(machine)]
    return [f"{need.name} {need.version}" for need in needed if (need.name, need.version) not in have]


def require_wheels(requirements: list[Requirement], folder: Path, machine: Mapping[str, str]) -> None:
    """Make sure that the folder of wheels is complete.

    Raises
    ------
    MissingEnvironment
        It is not; the sentence names what is missing.
    """
    missing = missing_wheels(requirements, folder, machine)
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        needed = sum(requirement.applies(machine) for requirement in requirements)
        raise MissingEnvironment(
            f"The wheel folder '{folder}' lacks {len(missing)} of {needed} packages: {shown}. Add their wheels"
        )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _value(node: ast.expr, machine: Mapping[str, str]) -> object:
    if isinstance(node, ast.BoolOp):
        values = [bool(_value(part, machine)) for part in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        versions = any(isinstance(side, ast.Name) and "version" in side.id for side in (node.left, node.comparators[0]))
        left, right = (_value(side, machine) for side in (node.left, node.comparators[0]))
        if versions:
            left, right = _numbers(str(left)), _numbers(str(right))
        return COMPARISONS[type(node.ops[0])](left, right)
    if isinstance(node, ast.Name) and node.id in machine:
        return machine[node.id]
    if isinstance(node, ast.Constant):
        return node.value
    raise ValueError(f"This marker is not understood: {ast.unparse(node)}")


def _numbers(version: str) -> tuple[int, ...]:
    """(3, 12) of "3.12" and of "3.12.0": what is equal compares equal."""
    numbers = [int(number) for number in re.findall(r"\d+", version)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
