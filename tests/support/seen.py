"""A model for tests of what is shown of the images: nothing of it matters but which pixels are valid."""

import numpy as np
from da3_blender.core.frames.resizing import place
from da3_blender.core.prediction.prediction import Prediction


class Seen:
    """A model to which every image is a wall at depth 2."""

    def predict(self, images, indices, settings, cameras=None):
        canvas, valid, _ = place(images, settings.resolution, settings.resize_method)
        return Prediction(np.where(valid, 2.0, 0.0).astype(np.float32), valid.astype(np.float32), None, None, canvas)
