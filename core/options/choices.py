"""The choices that options offer, each with a label and a sentence for the person."""

from __future__ import annotations

from .option import Choice


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


class MetricSource(Choice):
    AUTOMATIC = (
        "automatic", "Automatic",
        "The positions of the photographs (GPS) where they tell the scale to 5 %, with north and up; else the metric model",
    )  # fmt: skip
    MODEL = "model", "Metric Model", "The model DA3 Metric Large"
    GPS = "gps", "GPS", "The positions of the photographs: scale, north and up; needs no metric model"


class ResizeMethod(Choice):
    UPPER_BOUND = "upper_bound_resize", "Upper Bound", "The longest side gets the process resolution"
    LOWER_BOUND = "lower_bound_resize", "Lower Bound", "The shortest side gets the process resolution"


class KnownCameras(Choice):
    OFF = "off", "Off", "The model finds the cameras"
    COLMAP = "colmap", "COLMAP Model", "Of a COLMAP model, text or binary"
    COLLECTION = "collection", "Blender Collection", "Cameras of a collection, named after their images"
    CAMERA = "camera", "Moving Camera", "One camera of the scene and its way: a solve, an import of FBX, Alembic or USD"
    FILE = "file", "Camera File", "A transforms.json (nerfstudio, instant-ngp), or a .chan or .nk (Nuke)"
    STRUCTURE_FROM_MOTION = (
        "structure_from_motion", "Structure from Motion", "Found from the images beforehand, as the model classic does it"
    )  # fmt: skip


class Distortion(Choice):
    OFF = "off", "Off", "The lens bends nothing, or the known cameras say how it does"
    PERSPECTIVE = "perspective", "Perspective", "OpenCV's model, which is COLMAP's OPENCV and FULL_OPENCV"
    FISHEYE = "fisheye", "Fisheye", "OpenCV's fisheye, which is COLMAP's OPENCV_FISHEYE"


class Lens(Choice):
    PER_FRAME = "per_frame", "Per Frame", "As the model finds it, anew for every frame; zooms stay"
    SHOT = "shot", "One for the Shot", "The median of the first pass; poses and depths are refined for it"
    FIXED = "fixed", "Fixed", "A known focal length; poses and depths are refined for it"


class Panorama(Choice):
    AUTOMATIC = (
        "automatic", "Automatic",
        "What says so and closes: photo sphere metadata (GPano) in photographs, spherical metadata in videos",
    )  # fmt: skip
    ALWAYS = "always", "Always", "Every image or video that is twice as wide as high is a 360-degree panorama"
    NEVER = "never", "Never", "All images are flat, whatever their metadata says"


class FeatureMatching(Choice):
    AUTOMATIC = (
        "automatic", "Automatic",
        "SIFT, and learned features where it leaves images without a camera; with a graphics card learned ones first",
    )  # fmt: skip
    SIFT = "sift", "SIFT", "Corners and blobs: precise and quick on sharp, textured images"
    LEARNED = "learned", "Learned", "ALIKED and LightGlue, two small networks: for few, dark, plain or distant views"


class ColmapExport(Choice):
    OFF = "off", "Off", "No COLMAP model"
    BINARY = "binary", "Binary", "The form that programs read fastest"
    TEXT = "text", "Text", "The form that people can read"


class AlignmentLibrary(Choice):
    TORCH = "torch", "Torch", "On the processor: the points are too few for a graphics card"
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


class SplatFile(Choice):
    OFF = "off", "Off", "No file of splats"
    PLY = "ply", "PLY", "As 3D Gaussian Splatting writes it: what every viewer reads, 56 bytes a splat"
    SPZ = "spz", "SPZ", "Compressed to about a fifth: positions to a 4096th of a unit, colours and scales in 8 bits"
