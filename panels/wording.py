"""Text that fits: a label of Blender's is one line, and is cut off where that is too narrow."""

from __future__ import annotations

import blf
import bpy
from bpy.types import Context, UILayout

from ..core.files.names import readable

POINTS = 11  # size of Blender's own labels
MARGIN = 56.0  # pixels at scale 1 that panel, tabs and the label itself take from a region's width
INDENT = 26.0  # what an icon and the gap behind it take
BOX = 10.0  # pixels at scale 1 that a box takes
NO_REGION = 260.0  # pixels; the width of the sidebar as Blender opens it
NARROWEST = 60.0  # pixels at scale 1
WIDEST = 640.0  # pixels at scale 1; longer lines are hard to read


def lines_of(context: Context, text: str, *, icon: bool = False, nested: int = 0) -> list[str]:
    """A text in lines that fit into the region.

    Parameters
    ----------
    icon : whether room for one is needed
    nested : how many boxes the text stands in
    """
    scale = ui_scale(context)
    region = context.region.width if context.region else NO_REGION * scale
    room = max(min(region / scale - MARGIN - INDENT * icon - BOX * nested, WIDEST), NARROWEST) * scale
    blf.size(0, POINTS * scale)
    lines = [""]
    for word in text.split():
        for piece in _pieces(word, room):
            longer = f"{lines[-1]} {piece}".strip()
            if not lines[-1] or _width(longer) <= room:
                lines[-1] = longer
            else:
                lines.append(piece)
    return lines


def _pieces(word: str, room: float) -> list[str]:
    """A word, cut only where it does not fit into a line of its own, as a path may not."""
    pieces = []
    while _width(word) > room and len(word) > 1:
        count = max(1, next((n for n in range(len(word), 0, -1) if _width(word[:n]) <= room), 1))
        pieces.append(word[:count])
        word = word[count:]
    return [*pieces, word]


def _width(text: str) -> float:
    return blf.dimensions(0, text)[0]


def ui_scale(context: Context) -> float:
    """Pixels per unit of Blender's layout; Blender without a window knows none."""
    return context.preferences.system.ui_scale or 1.0


def fits(context: Context, text: str, taken: float = 0.0, share: float = 1.0) -> bool:
    """Whether a text can be read in a row of a panel.

    Parameters
    ----------
    taken : pixels at scale 1 that stand beside it in the row
    share : the part of the row that it has
    """
    scale = ui_scale(context)
    region = context.region.width if context.region else NO_REGION * scale
    blf.size(0, POINTS * scale)
    return _width(text) <= (region - MARGIN * scale) * share - taken * scale


def tr(text: str) -> str:
    """A text in the language of Blender's interface; as it is where that is off or the catalogue has it not."""
    return str(bpy.app.translations.pgettext_iface(text))


def label(
    layout: UILayout, context: Context, text: str, icon: str = "NONE", *, alert: bool = False, nested: int = 0
) -> None:
    """A label over as many lines as it takes; the icon stands before the first."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    column.alert = alert
    for number, line in enumerate(lines_of(context, readable(tr(text)), icon=icon != "NONE", nested=nested)):
        mark = icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE"
        column.label(text=line, icon=mark, translate=False)
