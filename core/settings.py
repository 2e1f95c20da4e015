"""Every option once: name, type, default, range and help.

Blender's properties (``operators/state/properties.py``), the command line (``operators/command_line/cli.py``) and ``docs/settings.md`` are made
from this table; nothing else may define an option.
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Mapping
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
    AUTOMATIC = (
        "automatic", "Automatic",
        "Every frame is used: in one pass while they fit (Batch Size), else in passes as Last Frame makes them",
    )  # fmt: skip
    IGNORE_BATCH_SIZE = "ignore_batch_size", "All at Once", "All frames in one pass of the model"
    SKIP_FRAMES = "skip_frames", "Skip Frames", "One pass over that many evenly spaced frames"
    LAST_FRAME_OVERLAP = "last_frame_overlap", "Last Frame", "A pass starts with the last frame of the one before"
    FIRST_LAST_OVERLAP = (
        "first_last_overlap", "First and Last Frame",
        "A pass starts with the first and the last new frame of the one before: passes fit together best",
    )  # fmt: skip
    NO_OVERLAP = "no_overlap", "No Overlap", "Passes share no frame and are fitted together by the surfaces they see"
    DA3_STREAMING = (
        "da3_streaming", "DA3 Streaming",
        "Long sequences in bounded memory: chunks that overlap by half, with loops closed; a run can be continued",
    )  # fmt: skip


class MetricMode(Choice):
    SCALE_BASE = "scale_base", "Scale the Base Model", "One scale for the whole scene, found with the metric model"
    METRIC_DEPTH = "metric_depth", "Metric Depth", "The metric model's depth, seen by the base model's cameras"


class ResizeMethod(Choice):
    UPPER_BOUND = "upper_bound_resize", "Upper Bound", "The longest side gets the process resolution"
    LOWER_BOUND = "lower_bound_resize", "Lower Bound", "The shortest side gets the process resolution"


class KnownCameras(Choice):
    OFF = "off", "Off", "The model finds the cameras"
    COLMAP = "colmap", "COLMAP Model", "Of a COLMAP model, text or binary"
    COLLECTION = "collection", "Blender Collection", "Cameras of a collection, named after their images"
    STRUCTURE_FROM_MOTION = (
        "structure_from_motion", "Structure from Motion", "Found from the images beforehand, as the model classic does it"
    )  # fmt: skip


class ColmapExport(Choice):
    OFF = "off", "Off", "No COLMAP model"
    BINARY = "binary", "Binary", "The form that programs read fastest"
    TEXT = "text", "Text", "The form that people can read"


class AlignmentLibrary(Choice):
    TORCH = "torch", "Torch", "On the graphics card where there is one"
    NUMPY = "numpy", "NumPy", "On the processor"


class AlignmentMethod(Choice):
    SIM3 = "sim3", "Sim3", "Rotation, translation and scale of a chunk are found together"
    SE3 = "se3", "SE3", "Rotation and translation only: for models whose chunks have one scale"
    SCALE_SE3 = (
        "scale_se3",
        "Scale, then SE3",
        "The scale is found from the depths first, then rotation and translation",
    )


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

    input: str = option("", "Input", "Folder of images, one image, or a video", group="input", subtype="FILE_PATH")
    start_frame: int = option(0, "Start Frame", "First frame that is used, counted from 0", group="input", min=0)
    end_frame: int = option(-1, "End Frame", "Last frame that is used; -1 is the last there is", group="input", min=-1)
    frame_stride: int = option(1, "Frame Stride", "Keep every n-th frame", group="input", min=1)
    model: str = option("da3-large-1.1", "Model", "Which model computes depth and cameras", group="model")
    fp16: bool = option(
        False, "FP16 Weights", "Weights and activations in 16 bit, for half the memory (experimental)", group="model"
    )
    use_metric: bool = option(
        False, "Use Metric", "Bring the scene to metres with the model DA3 Metric Large", group="model"
    )
    metric_mode: MetricMode = option(
        MetricMode.SCALE_BASE, "Metric Mode", "What the metric model is used for", group="model"
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
    known_cameras: KnownCameras = option(
        KnownCameras.OFF, "Known Cameras", "Cameras that the model is given; the result lands in their frame and unit",
        group="cameras",
    )  # fmt: skip
    known_cameras_folder: str = option(
        "", "COLMAP Model", "Folder with cameras and images, .bin or .txt", group="cameras", subtype="DIR_PATH"
    )
    known_cameras_collection: str = option(
        "", "Camera Collection", "Name of the Blender collection that holds the cameras", group="cameras"
    )
    process_resolution: int = option(
        504, "Process Resolution", "Pixels along the bounded side, a multiple of 14", group="resolution",
        min=PATCH, soft_max=2016, step=PATCH,
    )  # fmt: skip
    resize_method: ResizeMethod = option(
        ResizeMethod.UPPER_BOUND, "Resize Method", "Which side the process resolution bounds", group="resolution"
    )
    batch_mode: BatchMode = option(
        BatchMode.AUTOMATIC, "Batch Mode", "How frames are shared out to passes of the model", group="batch"
    )
    batch_size: int = option(
        0, "Batch Size",
        "Images per pass of the model; 0 is automatic: as many as fit into the memory that is free, with Classic all",
        group="batch", min=0, soft_max=200,
    )  # fmt: skip
    ref_view_strategy: RefView = option(
        RefView.SADDLE_BALANCED, "Reference View", "Which frame of a pass the others are seen from (3 or more frames)",
        group="batch",
    )  # fmt: skip
    use_ray_pose: bool = option(
        False, "Ray-based Pose", "Cameras from the model's rays instead of its camera decoder (slower)", group="model"
    )
    filter_edges: bool = option(True, "Filter Edges", "Drop points where the depth changes steeply", group="filters")
    drop_sky: bool = option(True, "Drop Sky", "Drop points of the sky, which has no depth", group="filters")
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
    detect_motion: bool = option(
        False, "Detect Motion", "Find what moves: other frames see empty space where it was", group="motion"
    )
    motion_threshold: float = option(
        0.1, "Motion Threshold", "By how much, relative to the point's depth, another frame must see farther",
        group="motion", min=0.001, soft_max=1.0,
    )  # fmt: skip
    use_segmentation: bool = option(
        False, "Use Segmentation", "Find and follow things with names, with Ultralytics YOLO (licence AGPL-3.0)",
        group="motion",
    )  # fmt: skip
    seg_model: str = option("yoloe-11l-seg-pf", "Segmentation Model", "Which network finds the things", group="motion")
    seg_confidence: float = option(
        0.25, "Segmentation Confidence", "Things the network is less sure of are left out", group="motion",
        min=0.01, max=1.0,
    )  # fmt: skip
    generate_meshes: bool = option(
        False, "Generate Meshes", "One textured mesh per image instead of points", group="surfaces"
    )
    mesh_edge_length: float = option(
        0.1, "Edge Length", "Mesh edges longer than this part of their depth are dropped", group="surfaces",
        min=0.001, soft_max=1.0,
    )  # fmt: skip
    fuse_frames: bool = option(
        False, "Fuse Frames to Mesh", "One surface from all frames, each place once, with vertex colours",
        group="surfaces",
    )  # fmt: skip
    fuse_voxel_size: float = option(
        0.0, "Fusion Voxel Size", "Edge of a voxel in scene units; 0 takes it from the footprint of a pixel",
        group="surfaces", min=0.0, soft_max=1.0,
    )  # fmt: skip
    fuse_faces: int = option(
        0, "Faces", "Reduce the fused surface to about this many triangles; 0 keeps all", group="surfaces", min=0
    )
    fuse_texture: bool = option(
        False, "Bake Texture", "Give the fused surface a texture made from the images", group="surfaces"
    )
    point_scale: float = option(
        1.0, "Point Scale", "Dot radius in units of 0.002 scene units", group="output", min=0.0, soft_max=10.0
    )
    output_folder: str = option(
        "", "Output Folder", "Where the result files go; empty: none are written", group="output", subtype="DIR_PATH"
    )
    output_point_cloud: bool = option(
        True, "Output Point Cloud", "Write the points as a PLY file, with colour and confidence", group="output"
    )
    output_colmap: ColmapExport = option(
        ColmapExport.BINARY, "Output COLMAP Model", "Write cameras and some points as a COLMAP model", group="output"
    )
    output_debug_images: bool = option(
        False, "Output Debug Images", "Write pictures of each frame's depth, confidence and filters", group="output"
    )
    animate_sequence: bool = option(
        False, "Animate Sequence", "One camera, DA3_Camera, that moves along the path", group="animation"
    )
    keep_individual_cameras: bool = option(
        False, "Keep Individual Cameras", "Make the cameras of the frames also when Animate Sequence is on",
        group="animation",
    )  # fmt: skip
    per_frame_geometry: bool = option(
        False, "Per-frame Geometry", "Show the points of each frame on its own timeline frame only", group="animation"
    )

    loop_closure: bool = option(
        True, "Loop Closure", "Find places that the path comes back to, and correct the path by them", group="streaming"
    )
    alignment_library: AlignmentLibrary = option(
        AlignmentLibrary.TORCH, "Alignment Library", "What fits chunks to each other; the result is the same",
        group="streaming",
    )  # fmt: skip
    alignment_method: AlignmentMethod = option(
        AlignmentMethod.SIM3, "Alignment Method", "What may change from chunk to chunk", group="streaming"
    )
    depth_threshold: float = option(
        15.0, "Depth Threshold", "Points farther from their camera are dropped, in scene units", group="streaming",
        min=0.0, soft_max=200.0,
    )  # fmt: skip
    conf_threshold_coef: float = option(
        0.75, "Conf Threshold Coef", "Points below this part of a chunk's mean confidence are dropped",
        group="streaming", min=0.0, soft_max=2.0,
    )  # fmt: skip
    separate_chunk_collections: bool = option(
        False, "Separate Chunk Collections", "A collection of its own for each chunk, instead of one for all",
        group="streaming",
    )  # fmt: skip
    save_debug: bool = option(False, "Save Debug", "Keep the chunks on disk when the run is done", group="streaming")

    @property
    def resolution(self) -> int:
        """``process_resolution`` rounded to a multiple of 14 (pixels), at least one patch."""
        return max(PATCH, PATCH * round(self.process_resolution / PATCH))

    @property
    def shares_collection(self) -> bool:
        """Whether all batches go into one collection: the chunks of a long way, unless they are wanted apart."""
        return self.batch_mode is BatchMode.DA3_STREAMING and not self.separate_chunk_collections

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


@functools.cache
def options() -> tuple[Option, ...]:
    """The table's rows, in the order of the panel."""
    types = get_type_hints(Settings)
    return tuple(_row(f, types[f.name]) for f in fields(Settings))


def _row(f: Field[Any], type_: type) -> Option:
    assert f.default is not MISSING
    meta = dict(f.metadata)
    words = {key: meta.pop(key) for key in ("label", "help", "group", "subtype")}
    return Option(f.name, type_, f.default, **words, limits=meta)
