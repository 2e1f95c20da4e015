"""Writes docs/settings.md from the table of options: ``python tools/settings_doc.py``."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
runpy.run_path(str(ROOT / "core" / "package.py"))["make_importable"]()

from da3_blender.core.settings import Choice, Option, options  # noqa: E402


def render() -> str:
    """The page as Markdown."""
    lines = [
        "# Settings",
        "",
        "The same in the panel (tab DA3) and on the command line. Made from `core/settings.py` by `tools/settings_doc.py`.",
        "",
        "| setting | command line | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {o.label} | {_flag(o)} | {_default(o)} | {o.help}{_choices(o)} |" for o in options()]
    return "\n".join(lines) + "\n"


def _flag(option: Option) -> str:
    return "`--input` again" if option.name == "more_inputs" else f"`{option.flag}`"


def _default(option: Option) -> str:
    if option.default == "":
        return ""
    if option.subtype == "ANGLE":
        return f"{math.degrees(option.default):g} degrees"
    if isinstance(option.default, bool):
        return "on" if option.default else "off"
    return f"`{option.default}`"


def _choices(option: Option) -> str:
    if not issubclass(option.type, Choice):
        return ""
    return ". " + "; ".join(f"`{c}`: {c.help}" for c in option.type)


if __name__ == "__main__":
    (ROOT / "docs" / "settings.md").write_text(render())
