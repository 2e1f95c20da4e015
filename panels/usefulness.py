"""Which settings do nothing with the others as they are, and why: such are drawn grey, with the reason."""

from __future__ import annotations

from bpy.types import PropertyGroup

from ..core import models
from ..core.settings import BatchMode


def why_unused(name: str, settings: PropertyGroup) -> str:
    """A few words on why a setting does nothing now; empty where it matters."""
    model = models.find(settings.model)
    all_at_once = settings.batch_mode == str(BatchMode.IGNORE_BATCH_SIZE)
    match name:
        case "fp16" if not model.needs_file:
            return "Classic has no weights"
        case "ref_view_strategy" | "use_ray_pose" if not (model.needs_file and model.gives_cameras):
            return "Only for DA3 models with cameras"
        case "field_of_view" if model.gives_cameras:
            return "This model finds it itself"
        case "use_metric" | "metric_mode" if model.metric_focal is not None:
            return "This is the metric model"
        case "metric_mode" if not settings.use_metric:
            return "Only with Use Metric"
        case "known_cameras_folder" if settings.known_cameras != "colmap":
            return "Only with a COLMAP model"
        case "known_cameras_collection" if settings.known_cameras != "collection":
            return "Only with a Blender collection"
        case "output_point_cloud" | "output_colmap" | "output_debug_images" if not settings.output_folder:
            return "Only with an Output Folder"
        case "keep_individual_cameras" if not settings.animate_sequence:
            return "Only with Animate Sequence"
        case "batch_size" if all_at_once:
            return "All frames go in one pass"
        case "merge_voxel_size" if not settings.merge_points:
            return "Only with Merge Overlapping Points"
    return ""
