"""For ``$DA3_PREDICTOR``: the truth of the plate that ``tools/sample_scenes/plate.py`` made, its lens too, in the place of a model."""

import json
import runpy
from pathlib import Path

import cv2
import numpy as np


def open_predictor(_name, _folder, frames, _monitor, **_):
    """The truth beside the folder of the plate's frames, or beside the plate as a video."""
    beside = [runpy.run_path(str(Path(__file__).with_name(name))) for name in ("truth.py", "truth_predictor.py")]
    root = frames.paths[0].parents[0 if frames.is_video else 1]
    bending = json.loads((root / "plate.json").read_text("utf-8"))["bending"]

    class PlatePredictor(beside[1]["TruthPredictor"]):
        def predict(self, images, indices, settings, cameras=None):
            high, wide = self.truth.depth.shape[1:]
            small = [cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA) for image in images]
            prediction = super().predict(small, indices, settings)
            prediction.distortion = np.tile((*bending, 0.0), (len(prediction), 1))
            return prediction

    return PlatePredictor(beside[0]["load"]("plate", root))
