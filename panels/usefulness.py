"""Which settings do nothing with the others as they are, and why: such are drawn grey, with the reason."""

from __future__ import annotations

from bpy.types import PropertyGroup

from ..core.models import catalogue
from ..core.settings import BatchMode, options

STREAMING = frozenset(option.name for option in options() if option.group == "streaming")


def why_unused(name: str, settings: PropertyGroup) -> str:
    """A few words on why a setting does nothing now; empty where it matters."""
    model = catalogue.known(settings.model) or catalogue.CLASSIC
    all_at_once = settings.batch_mode == str(BatchMode.IGNORE_BATCH_SIZE)
    match name:
        case "mounted_together" if not settings.more_inputs:
            return "Only with More Inputs"
        case "fp16" if not model.needs_file:
            return "Classic has no weights"
        case "ref_view_strategy" | "use_ray_pose" if not (model.needs_file and model.gives_cameras):
            return "Only for DA3 models with cameras"
        case "field_of_view" if model.gives_cameras:
            return "This model finds it itself"
        case "ray" if not model.needs_file:
            return "Classic computes on this machine's processor"
        case "ray_workers" if not settings.ray or not model.needs_file:
            return "Only with Ray"
        case "use_metric" | "metric_mode" if model.metric_focal is not None:
            return "This is the metric model"
        case "metric_mode" | "metric_source" if not settings.use_metric:
            return "Only with Use Metric"
        case "known_cameras_folder" if settings.known_cameras != "colmap":
            return "Only with a COLMAP model"
        case "known_cameras_collection" if settings.known_cameras != "collection":
            return "Only with a Blender collection"
        case "lens" if not model.gives_cameras or settings.known_cameras in ("colmap", "collection", "camera", "file"):
            return "Only where the model finds the cameras"
        case "distortion" if settings.known_cameras == "colmap":
            return "The COLMAP model says it"
        case "distortion_coefficients" if settings.distortion == "off" or why_unused("distortion", settings):
            return "Only with Distortion"
        case "lens_focal" | "lens_sensor" if why_unused("distortion_coefficients", settings) and (
            settings.lens != "fixed" or why_unused("lens", settings)
        ):
            return "Only with a fixed lens, or with Distortion"
        case "lens_sensor" if not settings.lens_focal:
            return "The files tell it"
        case "known_camera" if settings.known_cameras != "camera":
            return "Only with a moving camera"
        case "known_cameras_file" if settings.known_cameras != "file":
            return "Only with a camera file"
        case "feature_matching" if model.needs_file and settings.known_cameras != "structure_from_motion":
            return "Only for Classic, and for Known Cameras by Structure from Motion"
        case "output_straightened" if not settings.output_folder:
            return "Only with an Output Folder"
        case "output_point_cloud" | "output_splats" | "output_colmap" | "output_cameras" | "output_depth" if (
            not settings.output_folder
        ):
            return "Only with an Output Folder"
        case "debug_beside_input" if settings.output_folder or not settings.output_debug_images:
            return "Only for Output Debug Images without an Output Folder"
        case "smooth_path" if settings.animate_sequence and (
            settings.lens == "per_frame" or why_unused("lens", settings)
        ):
            return "Only with one lens for the shot"
        case "keep_individual_cameras" | "smooth_path" if not settings.animate_sequence:
            return "Only with Animate Sequence"
        case "batch_size" if all_at_once:
            return "All frames go in one pass"
        case "batch_size" if not model.needs_file and settings.batch_mode == str(BatchMode.AUTOMATIC):
            return "Classic takes all images at once"
        case "fuse_voxel_size" | "fuse_faces" | "fuse_texture" if not settings.fuse_frames:
            return "Only with Fuse Frames to Mesh, here or as a button after a run"
        case "point_scale" | "splats" if settings.generate_meshes:
            return "Meshes have no dots"
        case "merge_points" | "merge_voxel_size" if settings.generate_meshes and not settings.output_folder:
            return "Meshes are not merged"
        case "merge_voxel_size" if not settings.merge_points:
            return "Only with Merge Overlapping Points"
        case "motion_threshold" if not settings.detect_motion:
            return "Only with Detect Motion"
        case "seg_model" | "seg_confidence" if not settings.use_segmentation:
            return "Only with Use Segmentation"
        case "mesh_edge_length" if not settings.generate_meshes:
            return "Only with Generate Meshes"
        case _ if name in STREAMING and settings.batch_mode != str(BatchMode.DA3_STREAMING):
            return f"Only with Batch Mode: {BatchMode.DA3_STREAMING.label}"
    return ""
