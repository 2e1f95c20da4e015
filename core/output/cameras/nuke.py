"""A camera of Nuke as its scripts (.nk) hold it: curves for place, rotation and lens, written by us or by other trackers.

The world is y up, the camera looks along its -z. ``haperture`` (mm) is the picture's width; ``win_translate`` moves the picture in
halves of that width, in both directions, and ``win_scale`` makes it so many times as large: (x - translate) / scale.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...geometry.projection import cameras_from_blender, cameras_to_blender
from .chan import Y_UP, about, angles
from .colmap import View

Floats = NDArray[np.float64]

NODE = re.compile(r"Camera\d*")
KEY = re.compile(r"x(-?[\d.]+(?:e[+-]?\d+)?)")
WORD = re.compile(r'\s+|#[^\n]*|"((?:[^"\\]|\\.)*)"|([^\s{}"][^\s{}]*)', re.DOTALL)
APERTURE = 36.0  # mm, of what we write
AT_REST = {  # what a knob is that a script does not name
    "translate": [0.0] * 3, "rotate": [0.0] * 3, "pivot": [0.0] * 3, "win_translate": [0.0] * 2, "win_scale": [1.0] * 2,
    "haperture": [24.576], "focal": [50.0],
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One frame: its number, (3, 4) world to camera in OpenCV's axes, and its lens; the last three as in the module's words."""

    number: int
    extrinsics: Floats
    focal: float  # in widths of the picture
    translate: tuple[float, float]
    scale: tuple[float, float]

    def intrinsics(self, width: int, height: int) -> Floats:
        """(3, 3) in pixels of a picture of that size."""
        (x, y), (across, down) = self.translate, self.scale
        fx, fy = self.focal * width / across, self.focal * width / down
        cx, cy = width / 2.0 * (1.0 - x / across), (height + width * y / down) / 2.0
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def text(views: Sequence[View], numbers: Sequence[int], name: str = "DA3_Camera") -> str:
    """A script with one camera: N views at N numbered frames. It can also be pasted."""
    rows = sorted(zip(numbers, views, strict=True), key=lambda row: row[0])
    frames, seen = [number for number, _ in rows], [view for _, view in rows]
    placed = Y_UP @ cameras_to_blender(np.stack([view.extrinsics for view in seen]))[:, :3]
    turns = np.unwrap([angles(matrix[:, :3]) for matrix in placed], period=360.0, axis=0)
    k = np.stack([view.intrinsics for view in seen])
    size = np.array([(view.width, view.height) for view in seen], np.float64)
    fx, fy, (wide, high) = k[:, 0, 0], k[:, 1, 1], size.T
    shape = fx / fy  # of a pixel
    shift = np.stack([1.0 - 2.0 * k[:, 0, 2] / wide, (2.0 * k[:, 1, 2] - high) / wide * shape], axis=1)
    knobs = {
        "translate": placed[:, :, 3], "rotate": turns, "focal": APERTURE * (fx / wide)[:, None],
        "haperture": np.array([[APERTURE]]), "vaperture": (APERTURE * high / wide * shape)[:1, None],
        "win_translate": shift, "win_scale": np.stack([np.ones_like(shape), shape], axis=1),
    }  # fmt: skip
    lines = [f" {knob} {_knob(values, frames)}" for knob, values in knobs.items()]
    return "\n".join(["Camera2 {", " inputs 0", " rot_order ZXY", *lines, f" name {name}", "}", ""])


def _knob(values: Floats, frames: Sequence[int]) -> str:
    """(N, C) values of a knob as the script has them: curves, or numbers where nothing changes."""
    words = []
    for column in values.T:
        if np.ptp(column) <= 1e-12 * np.abs(column).max(initial=1.0):
            words.append(f"{column[0]:.15g}")
        else:
            words.append("{curve" + "".join(f" x{f} {v:.15g}" for f, v in zip(frames, column, strict=True)) + "}")
    return "{" + " ".join(words) + "}" if len(words) > 1 or words[0].startswith("{") else words[0]


def read(path: Path) -> list[Line]:
    """The frames of the one camera of a script that moves, by number.

    Raises
    ------
    BadInput
        It cannot be read, has no such camera or several, or a curve whose values only Nuke can know.
    """
    try:
        words = list(_words(path.read_text("utf-8")))
    except OSError as error:
        raise BadInput(f"'{path}' cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadInput(f"'{path}' is no script of Nuke: its braces do not match") from None
    nodes = [
        (kind, dict(zip(body[::2], body[1::2], strict=False)))
        for kind, own in zip(words, words[1:], strict=False)
        if own.startswith("{") and (body := list(_words(own[1:-1])))
    ]
    try:
        cameras = [_Camera(node) for kind, node in nodes if NODE.fullmatch(kind)]
        moving = [camera for camera in cameras if camera.frames]
        if len(moving) != 1:
            raise BadInput(f"'{path}' has {len(moving)} cameras that move, and one is wanted: export it alone")
        if moving[0].has_parent and any(_moves(node) for kind, node in nodes if kind.startswith("Axis")):
            raise BadInput(f"'{path}': an Axis moves the camera: bake it into the camera, and export that")
        return moving[0].lines()
    except _Unknown as error:
        raise BadInput(f"'{path}': {error}: bake the camera's curves, a key at every frame") from None
    except ValueError:
        raise BadInput(f"'{path}': its camera holds what is no number and no curve: bake its curves") from None


class _Unknown(Exception):
    """A value that the script does not say."""


class _Camera:
    """The knobs of one camera, by name; see ``AT_REST``."""

    def __init__(self, node: Mapping[str, str]):
        self.has_parent = node.get("inputs", "1") != "0"
        self._order = node.get("rot_order", "ZXY")
        if not node.get("xform_order", "SRT").endswith("T") or sorted(self._order) != ["X", "Y", "Z"]:
            raise _Unknown("it is moved before it is turned")
        self._uses_matrix = node.get("useMatrix", "false") in ("true", "1")
        wanted = [*AT_REST, *(["matrix"] if self._uses_matrix else [])]
        self._knobs: dict[str, list[float | dict[int, float]]] = {
            name: list(_values(node[name])) if name in node else list(AT_REST.get(name, [])) for name in wanted
        }
        curves = [value for values in self._knobs.values() for value in values if isinstance(value, dict)]
        self.frames = sorted({frame for curve in curves if len(curve) > 1 for frame in curve})

    def lines(self) -> list[Line]:
        """Of all frames."""
        found = {name: self._at_frames(name) for name in self._knobs}
        matrices = found["matrix"].reshape(-1, 4, 4)[:, :3].copy() if self._uses_matrix else self._placed(found)
        matrices[:, :, :3] /= np.linalg.norm(matrices[:, :, :3], axis=1, keepdims=True)
        extrinsics = cameras_from_blender(Y_UP.T @ matrices)
        return [
            Line(number, pose, float(focal / aperture), tuple(translate), tuple(scale))
            for number, pose, (focal,), (aperture,), translate, scale in zip(
                self.frames, extrinsics, found["focal"], found["haperture"], found["win_translate"].tolist(),
                found["win_scale"].tolist(), strict=True,
            )
        ]  # fmt: skip

    def _placed(self, found: Mapping[str, Floats]) -> Floats:
        """(N, 3, 4) camera to world, from place, rotation and pivot."""
        matrices = np.zeros((len(self.frames), 3, 4))
        for matrix, place, degrees, pivot in zip(
            matrices, found["translate"], found["rotate"], found["pivot"], strict=True
        ):
            turn = np.eye(3)
            for axis in self._order:
                turn = about(axis, degrees["XYZ".index(axis)]) @ turn
            matrix[:, :3], matrix[:, 3] = turn, place + pivot - turn @ pivot
        return matrices

    def _at_frames(self, name: str) -> Floats:
        """(N, C) a knob's values at all frames."""
        return np.array([[_at(value, frame, name) for value in self._knobs[name]] for frame in self.frames], np.float64)


def _at(value: float | Mapping[int, float], frame: int, name: str) -> float:
    """A curve's value at a frame; between two keys only where they are the same, for it depends on tangents else."""
    if isinstance(value, float):
        return value
    if frame in value:
        return value[frame]
    before, after = [key for key in value if key < frame], [key for key in value if key > frame]
    around = {value[key] for key in (max(before, default=None), min(after, default=None)) if key is not None}
    if len(around) != 1:
        raise _Unknown(f"{name} has no key at frame {frame}")
    return around.pop()


def _moves(node: Mapping[str, str]) -> bool:
    """Whether an Axis does anything."""
    still = {"translate": 0.0, "rotate": 0.0, "scaling": 1.0, "uniform_scale": 1.0}
    own = [(value, rest) for name, rest in still.items() if name in node for value in _values(node[name])]
    return "matrix" in node or any(value != rest for value, rest in own)


def _values(word: str) -> Iterator[float | dict[int, float]]:
    """The numbers of a knob, and for what is animated its keys."""
    if not word.startswith("{"):
        yield float(word)
        return
    inner = list(_words(word[1:-1]))
    if not any(KEY.fullmatch(one) for one in inner):
        for one in inner:
            yield from _values(one)
        return
    keys, frame = dict[int, float](), 0.0
    for one in inner:
        if key := KEY.fullmatch(one):
            frame = float(key.group(1))
        elif not one[0].isalpha():  # letters are kinds of keys and their tangents
            keys[round(frame)] = float(one)
            frame += 1.0
    yield keys


def _words(script: str) -> Iterator[str]:
    """The words of a list, as Tcl has them; one in braces keeps its outer ones. ValueError where braces do not match."""
    at = 0
    while at < len(script):
        if script[at] == "{":
            end = _closing(script, at)
            yield script[at : end + 1]
            at = end + 1
        elif found := WORD.match(script, at):
            quoted, bare = found.groups()
            if quoted is not None or bare is not None:  # no space, no comment
                yield quoted if quoted is not None else bare
            at = found.end()
        else:
            raise ValueError


def _closing(script: str, start: int) -> int:
    """Where the brace that opens at ``start`` closes."""
    depth = 0
    for found in re.compile(r"\\.|[{}]", re.DOTALL).finditer(script, start):
        depth += {"{": 1, "}": -1}.get(found.group(), 0)
        if depth == 0:
            return found.start()
    raise ValueError
