"""What the tests of the worker share."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "wall"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((28, 42, 3), 60 * i + 40, np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def settings(images):
    return {"input": str(images), "model": "da3-small", "process_resolution": 42, "filter_edges": False}
