"""Every option once: name, type, default, range and help.

Blender's properties (``operators/state/properties.py``), the command line (``operators/command_line/cli.py``) and ``docs/settings.md`` are made
from this table; nothing else may define an option.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from .errors import BadInput
from .options.choices import (
    AlignmentLibrary,
    AlignmentMethod,
    BatchMode,
    ColmapExport,
    Distortion,
    FeatureMatching,
    KnownCameras,
    Lens,
    MetricMode,
    MetricSource,
    Panorama,
    RefView,
    ResizeMethod,
    SplatFile,
)
from .options.option import Choice, Option, option, row_of

ALL_DEPTHS = 200.0  # Depth Threshold's default, as in DA3-blender; a scene whose unit nobody knows may be larger
PATCH = 14  # pixels; DA3 sees an image as patches of 14 x 14


@dataclass(frozen=True)
class Settings:
    """What a person can set. Units stand in the help."""

    input: str = option("", "Input", "Folder of images, one image, or a video", group="input", subtype="FILE_PATH")
    more_inputs: str = option(
        "", "More Inputs", "Further folders or videos of the same place, a vertical bar between two", group="input"
    )
    mounted_together: bool = option(
        False, "Mounted Together", "The inputs come from cameras that are mounted on each other and started at the same moment: "
        "each keeps its place and direction beside the others", group="input")  # fmt: skip
    start_frame: int = option(0, "Start Frame", "First frame that is used, counted from 0", group="input", min=0)
    end_frame: int = option(
        -1, "End Frame", "Last frame that is used; -1 is the last there is", group="input", min=-1, word="To the End",
        instead=100)  # fmt: skip
    frame_stride: int = option(1, "Frame Stride", "Keep every n-th frame", group="input", min=1)
    exposure: float = option(
        0.0, "Exposure", "In stops, of images that hold light (EXR, Radiance, film scans): 1 becomes white, as with Standard",
        group="input", min=-20.0, soft_max=20.0)  # fmt: skip
    model: str = option("da3-large-1.1", "Model", "Which model computes depth and cameras", group="model")
    fp16: bool = option(
        False, "FP16 Weights", "Weights and activations in 16 bit, for half the memory (experimental)", group="model"
    )
    use_metric: bool = option(
        False, "Use Metric", "Bring the scene to metres, with the model DA3 Metric Large or by GPS", group="model"
    )
    metric_mode: MetricMode = option(
        MetricMode.SCALE_BASE, "Metric Mode", "What the metric model is used for", group="model"
    )
    metric_source: MetricSource = option(
        MetricSource.AUTOMATIC, "Metres From", "What Use Metric takes the scale from", group="model"
    )
    field_of_view: float = option(
        math.radians(60.0), "Field of View",
        "Angle across the longest side, for models that give no cameras (metric, mono)", group="model", subtype="ANGLE",
        min=math.radians(1.0), max=math.radians(170.0))  # fmt: skip
    known_cameras: KnownCameras = option(
        KnownCameras.OFF, "Known Cameras", "Cameras that the model is given; the result lands in their frame and unit",
        group="cameras")  # fmt: skip
    known_cameras_folder: str = option(
        "", "COLMAP Model", "Folder with cameras and images, .bin or .txt", group="cameras", subtype="DIR_PATH"
    )
    known_cameras_collection: str = option(
        "", "Camera Collection", "Name of the Blender collection that holds the cameras", group="cameras"
    )
    known_camera: str = option(
        "", "Moving Camera", "Name of the camera; its frames are those of the files, or count from the scene's start",
        group="cameras")  # fmt: skip
    known_cameras_file: str = option(
        "", "Camera File", "A transforms.json, .chan or .nk with the cameras", group="cameras", subtype="FILE_PATH"
    )
    lens: Lens = option(Lens.PER_FRAME, "Lens", "Whether all frames were taken with one focal length", group="cameras")
    lens_focal: float = option(
        0.0, "Focal Length", "In mm; 0 takes what the files say (EXIF)", group="cameras", min=0.0, soft_max=500.0,
        word="From the Files", instead=35.0)  # fmt: skip
    lens_sensor: float = option(
        36.0, "Sensor Size", "Of the longest side of the picture, in mm", group="cameras", min=0.1, soft_max=70.0
    )
    distortion: Distortion = option(
        Distortion.OFF, "Distortion", "Of a lens that you know: undone before any model sees the images", group="cameras")  # fmt: skip
    distortion_coefficients: str = option(
        "", "Coefficients", "k1 k2 p1 p2 and up to k6, of a fisheye k1 to k4, with spaces between; they go with a focal length",
        group="cameras")  # fmt: skip
    feature_matching: FeatureMatching = option(
        FeatureMatching.AUTOMATIC, "Feature Matching",
        "By which details images are compared when cameras are found: for Classic and Structure from Motion", group="cameras")  # fmt: skip
    panorama: Panorama = option(
        Panorama.AUTOMATIC, "Panorama", "Which images are 360-degree panoramas, to be cut into flat views", group="cameras")  # fmt: skip
    process_resolution: int = option(
        504, "Process Resolution", "Pixels along the bounded side, a multiple of 14", group="resolution",
        min=PATCH, soft_max=2016, step=PATCH)  # fmt: skip
    resize_method: ResizeMethod = option(
        ResizeMethod.UPPER_BOUND, "Resize Method", "Which side the process resolution bounds", group="resolution"
    )
    batch_mode: BatchMode = option(
        BatchMode.AUTOMATIC, "Batch Mode", "How frames are shared out to passes of the model", group="batch"
    )
    batch_size: int = option(
        0, "Batch Size",
        "Images per pass of the model; 0 is automatic: as many as fit into the memory that is free, with Classic all",
        group="batch", min=0, soft_max=200, word="Automatic", instead=8)  # fmt: skip
    ray: str = option(
        "", "Ray", "Where passes of the model are computed at the same time: 'local' is all graphics cards of this machine, or "
        "the address of a Ray cluster; empty is one card, without Ray", group="devices")  # fmt: skip
    ray_workers: int = option(
        0, "Ray Workers", "Models that are loaded; 0 is one for each card, or one for every four cores", group="devices",
        min=0, soft_max=64, word="Automatic", instead=2)  # fmt: skip
    ref_view_strategy: RefView = option(
        RefView.SADDLE_BALANCED, "Reference View", "Which frame of a pass the others are seen from (3 or more frames)",
        group="batch")  # fmt: skip
    use_ray_pose: bool = option(
        False, "Ray-based Pose", "Cameras from the model's rays instead of its camera decoder (slower)", group="model"
    )
    filter_edges: bool = option(True, "Filter Edges", "Drop points where the depth changes steeply", group="filters")
    drop_sky: bool = option(True, "Drop Sky", "Drop points of the sky, which has no depth", group="filters")
    min_confidence: float = option(
        0.5, "Min Confidence", "Points below are dropped. A model's confidence is 1 or more, a filtered point's is 0",
        group="filters", min=0.0, soft_max=10.0)  # fmt: skip
    merge_points: bool = option(
        False, "Merge Overlapping Points", "One point per voxel, weighted by confidence", group="filters"
    )
    merge_voxel_size: float = option(
        0.0, "Voxel Size", "Edge of a voxel in scene units; 0 takes the median footprint of a pixel", group="filters",
        min=0.0, soft_max=1.0, word="Automatic", instead=0.02)  # fmt: skip
    detect_motion: bool = option(
        False, "Detect Motion", "Find what moves: other frames see empty space where it was", group="motion"
    )
    motion_threshold: float = option(
        0.1, "Motion Threshold", "By how much, relative to the point's depth, another frame must see farther",
        group="motion", min=0.001, soft_max=1.0)  # fmt: skip
    use_segmentation: bool = option(
        False, "Use Segmentation", "Find and follow things with names, with Ultralytics YOLO (licence AGPL-3.0)", group="motion")  # fmt: skip
    seg_model: str = option("yoloe-11s-seg-pf", "Segmentation Model", "Which network finds the things", group="motion")
    seg_confidence: float = option(
        0.25, "Segmentation Confidence", "Things the network is less sure of are left out", group="motion",
        min=0.01, max=1.0)  # fmt: skip
    generate_meshes: bool = option(
        False, "Generate Meshes", "One textured mesh per image instead of points", group="surfaces"
    )
    mesh_edge_length: float = option(
        0.1, "Edge Length", "Mesh edges longer than this part of their depth are dropped", group="surfaces",
        min=0.001, soft_max=1.0)  # fmt: skip
    fuse_frames: bool = option(
        False, "Fuse Frames to Mesh", "One surface from all frames, each place once, with vertex colours",
        group="surfaces")  # fmt: skip
    fuse_voxel_size: float = option(
        0.0, "Fusion Voxel Size", "Edge of a voxel in scene units; 0 takes it from the footprint of a pixel",
        group="surfaces", min=0.0, soft_max=1.0, word="Automatic", instead=0.02)  # fmt: skip
    fuse_faces: int = option(
        0, "Faces", "Reduce the fused surface to about this many triangles; 0 keeps all", group="surfaces", min=0,
        word="All", instead=100_000)  # fmt: skip
    fuse_texture: bool = option(
        False, "Bake Texture", "Give the fused surface a texture made from the images", group="surfaces"
    )
    splats: bool = option(
        False, "Splats", "Points get what Blender 5.3 and later draw as Gaussian splats, and older ones as flat discs",
        group="surfaces")  # fmt: skip
    point_scale: float = option(
        1.0, "Point Size", "Size of the dots; 1 is the footprint of a pixel, near and far", group="output", min=0.0,
        soft_max=10.0)  # fmt: skip
    output_folder: str = option(
        "", "Output Folder", "Where the result files go; empty: none are written", group="output", subtype="DIR_PATH"
    )
    output_point_cloud: bool = option(
        True, "Output Point Cloud", "Write the points as a PLY file, with colour and confidence", group="output"
    )
    output_splats: SplatFile = option(
        SplatFile.OFF, "Output Splats", "Write the points as Gaussian splats, for Blender 5.3 and other viewers",
        group="output")  # fmt: skip
    output_colmap: ColmapExport = option(
        ColmapExport.BINARY, "Output COLMAP Model", "Write cameras and some points as a COLMAP model", group="output"
    )
    output_cameras: bool = option(
        False, "Output Camera Files", "Write the cameras as transforms.json (nerfstudio), .chan and .nk (Nuke)", group="output")  # fmt: skip
    output_depth: bool = option(
        False,
        "Output Depth",
        "Write each frame's depth, normals, confidence and things as EXR, 32 bit float",
        group="output",
    )
    output_straightened: bool = option(
        False, "Output Straightened Images", "Write images without their known lens distortion, and STMaps", group="output")  # fmt: skip
    output_debug_images: bool = option(
        False, "Output Debug Images", "Write pictures of each frame's depth, confidence and filters", group="output"
    )
    debug_beside_input: bool = option(
        False, "Debug Images Beside Input", "Without an Output Folder: into a folder <name>_debug next to the input",
        group="output")  # fmt: skip
    animate_sequence: bool = option(
        False, "Animate Sequence", "One camera, DA3_Camera, that moves along the path", group="animation"
    )
    keep_individual_cameras: bool = option(
        False, "Keep Individual Cameras", "Make the cameras of the frames also when Animate Sequence is on",
        group="animation")  # fmt: skip
    smooth_path: int = option(
        0, "Smooth Path", "Used frames before and after, over which the moving camera is smoothed; what that costs is told",
        group="animation", min=0, soft_max=25, word="Off", instead=5)  # fmt: skip
    per_frame_geometry: bool = option(
        False, "Per-frame Geometry", "Show the points of each frame on its own timeline frame only", group="animation"
    )

    loop_closure: bool = option(
        True, "Loop Closure", "Find places that the path comes back to, and correct the path by them", group="streaming"
    )
    alignment_library: AlignmentLibrary = option(
        AlignmentLibrary.TORCH, "Alignment Library", "What fits chunks to each other; the result is the same",
        group="streaming")  # fmt: skip
    alignment_method: AlignmentMethod = option(
        AlignmentMethod.SIM3, "Alignment Method", "What may change from chunk to chunk", group="streaming"
    )
    depth_threshold: float = option(
        ALL_DEPTHS, "Depth Threshold",
        "Points farther from their camera are dropped, in scene units; 200 keeps all", group="streaming",
        min=0.0, soft_max=200.0, word="Keep All", instead=15.0)  # fmt: skip
    conf_threshold_coef: float = option(
        0.0, "Conf Threshold Coef", "Points below this part of a chunk's mean confidence are dropped; 0 keeps all",
        group="streaming", min=0.0, soft_max=2.0)  # fmt: skip
    separate_chunk_collections: bool = option(
        False, "Separate Chunk Collections", "A collection of its own for each chunk, instead of one for all",
        group="streaming")  # fmt: skip
    save_debug: bool = option(False, "Save Debug", "Keep the chunks on disk when the run is done", group="streaming")

    @property
    def resolution(self) -> int:
        """``process_resolution`` rounded to a multiple of 14 (pixels), at least one patch."""
        return max(PATCH, PATCH * round(self.process_resolution / PATCH))

    @property
    def makes_splats(self) -> bool:
        """Whether points get what splats need: for Blender, or for a file."""
        return self.splats or bool(self.output_folder.strip() and self.output_splats is not SplatFile.OFF)

    @property
    def farthest(self) -> float:
        """Depth (scene units) beyond which DA3 Streaming drops points."""
        return math.inf if self.depth_threshold == ALL_DEPTHS else self.depth_threshold

    @property
    def shares_collection(self) -> bool:
        """Whether all batches go into one collection: the chunks of a long way, unless they are wanted apart."""
        return self.batch_mode is BatchMode.DA3_STREAMING and not self.separate_chunk_collections

    @property
    def path_reach(self) -> int:
        """``smooth_path``, where there is a moving camera that the model has found, with one lens.

        With a lens that breathes, how near a camera is and how long its lens are one guess: one cannot be smoothed alone.
        """
        found = self.known_cameras in (KnownCameras.OFF, KnownCameras.STRUCTURE_FROM_MOTION)
        return self.smooth_path if self.animate_sequence and found and self.lens is not Lens.PER_FRAME else 0

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
        for name in values.keys() - known.keys():
            raise BadInput(f"There is no setting '{name}'. Settings: {', '.join(known)}")
        return cls(**{name: known[name].parse(value) for name, value in values.items()})


@functools.cache
def options() -> tuple[Option, ...]:
    """The table's rows, in the order of the panel."""
    types = get_type_hints(Settings)
    return tuple(row_of(f, types[f.name]) for f in fields(Settings))
