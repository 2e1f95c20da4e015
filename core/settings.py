"""Every option once: name, type, default, range and help.

Blender's properties (``panels/properties.py``), the command line (``operators/cli.py``) and ``docs/settings.md`` are made
from this table; nothing else may define an option.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, get_type_hints

from .errors import BadInput

PATCH = 14  # pixels; DA3 sees an image as patches of 14 x 14


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


class BatchMode(Choice):
    IGNORE_BATCH_SIZE = "ignore_batch_size", "All at Once", "All frames in one pass of the model"
    SKIP_FRAMES = "skip_frames", "Skip Frames", "One pass over that many evenly spaced frames"


class ResizeMethod(Choice):
    UPPER_BOUND = "upper_bound_resize", "Upper Bound", "The longest side gets the process resolution"
    LOWER_BOUND = "lower_bound_resize", "Lower Bound", "The shortest side gets the process resolution"


class RefView(Choice):
    SADDLE_BALANCED = "saddle_balanced", "Saddle, Balanced", "The view that is most central by several measures"
    SADDLE_SIM_RANGE = "saddle_sim_range", "Saddle, Similarity Range", "The view whose similarities spread the most"
    FIRST = "first", "First", "The first frame of the pass"
    MIDDLE = "middle", "Middle", "The middle frame of the pass"


def option(default: Any, label: str, help: str, *, group: str, subtype: str = "", **limits: float) -> Any:
    """A field of ``Settings``; ``limits``: ``min``, ``max``, ``soft_max``, ``step``; ``subtype``: Blender's."""
    return field(default=default, metadata={"label": label, "help": help, "group": group, "subtype": subtype, **limits})


@dataclass(frozen=True)
class Settings:
    """What a person can set. Units stand in the help."""

    input: str = option("", "Input", "Folder of images, or one image", group="input", subtype="FILE_PATH")
    start_frame: int = option(0, "Start Frame", "First frame that is used, counted from 0", group="input", min=0)
    end_frame: int = option(-1, "End Frame", "Last frame that is used; -1 is the last there is", group="input", min=-1)
    frame_stride: int = option(1, "Frame Stride", "Keep every n-th frame", group="input", min=1)
    model: str = option("da3-large-1.1", "Model", "Which model computes depth and cameras", group="model")
    fp16: bool = option(
        False, "FP16 Weights", "Weights and activations in 16 bit, for half the memory (experimental)", group="model"
    )
    field_of_view: float = option(
        math.radians(60.0),
        "Field of View",
        "Angle across the longest side, for models that give no cameras (metric, mono)",
        group="model",
        subtype="ANGLE",
        min=math.radians(1.0),
        max=math.radians(170.0),
    )
    process_resolution: int = option(
        504, "Process Resolution", "Pixels along the bounded side, a multiple of 14", group="resolution",
        min=PATCH, soft_max=2016, step=PATCH,
    )  # fmt: skip
    resize_method: ResizeMethod = option(
        ResizeMethod.UPPER_BOUND, "Resize Method", "Which side the process resolution bounds", group="resolution"
    )
    batch_mode: BatchMode = option(
        BatchMode.SKIP_FRAMES, "Batch Mode", "How frames are shared out to passes of the model", group="batch"
    )
    batch_size: int = option(10, "Batch Size", "Images per pass of the model", group="batch", min=1, soft_max=200)
    ref_view_strategy: RefView = option(
        RefView.SADDLE_BALANCED, "Reference View", "Which frame of a pass the others are seen from (3 or more frames)",
        group="batch",
    )  # fmt: skip
    use_ray_pose: bool = option(
        False, "Ray-based Pose", "Cameras from the model's rays instead of its camera decoder (slower)", group="model"
    )
    filter_edges: bool = option(True, "Filter Edges", "Drop points where the depth changes steeply", group="filters")
    min_confidence: float = option(
        0.5, "Min Confidence", "Points below are dropped. A model's confidence is 1 or more, a filtered point's is 0",
        group="filters", min=0.0, soft_max=10.0,
    )  # fmt: skip
    merge_points: bool = option(
        False, "Merge Overlapping Points", "One point per voxel, weighted by confidence", group="filters"
    )
    merge_voxel_size: float = option(
        0.0, "Voxel Size", "Edge of a voxel in scene units; 0 takes the median footprint of a pixel", group="filters",
        min=0.0, soft_max=1.0,
    )  # fmt: skip
    point_scale: float = option(
        1.0, "Point Scale", "Dot radius in units of 0.002 scene units", group="output", min=0.0, soft_max=10.0
    )

    @property
    def resolution(self) -> int:
        """``process_resolution`` rounded to a multiple of 14 (pixels), at least one patch."""
        return max(PATCH, PATCH * round(self.process_resolution / PATCH))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the worker's protocol."""
        return {name: str(v) if isinstance(v, Choice) else v for name, v in asdict(self).items()}

    @classmethod
    def from_strings(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from names and values as text or as plain values.

        Raises
        ------
        BadInput
            An unknown name, a value that cannot be read, or one out of range; the sentence names all three.
        """
        known = {o.name: o for o in options()}
        parsed = {}
        for name, value in values.items():
            if name not in known:
                raise BadInput(f"There is no setting '{name}'. Settings: {', '.join(known)}")
            parsed[name] = known[name].parse(value)
        return cls(**parsed)


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
    limits: Mapping[str, float]

    @property
    def flag(self) -> str:
        """The option's name on the command line."""
        return "--" + self.name.replace("_", "-")

    def parse(self, value: Any) -> Any:
        """The value in the option's type; an angle as text is in degrees.

        Raises
        ------
        BadInput
            With what would be right.
        """
        try:
            parsed = self._convert(value)
        except (ValueError, TypeError):
            raise BadInput(f"{self.label}: '{value}' is not {self._expected()}") from None
        low, high = self.limits.get("min"), self.limits.get("max")
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


def options() -> Iterator[Option]:
    """The table's rows, in the order of the panel."""
    types = get_type_hints(Settings)
    for f in fields(Settings):
        yield _row(f, types[f.name])


def _row(f: Field[Any], type_: type) -> Option:
    assert f.default is not MISSING
    meta = dict(f.metadata)
    words = {key: meta.pop(key) for key in ("label", "help", "group", "subtype")}
    return Option(f.name, type_, f.default, **words, limits=meta)
