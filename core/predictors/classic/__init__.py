"""The model that needs no weights: structure from motion (COLMAP) and multi-view stereo (a plane sweep, numpy and OpenCV)."""

from .predictor import ClassicPredictor
from .sfm.reconstruction import SfmResult, structure_from_motion

__all__ = ["ClassicPredictor", "SfmResult", "structure_from_motion"]
