"""The numbered plate as a video, for ``matchmove.py``; with the worker's Python, which can encode one.

plate_video.py FOLDER VIDEO FRAMES
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring  # noqa: F401  # the tests' helpers can be imported
import clips
import numpy as np
from PIL import Image

RATE, CRF = 24, 14  # frames a second, and a quality that a camera's own files have


def main() -> int:
    folder, video, frames = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    pictures = []
    for file in sorted(folder.glob("*.jpg"))[:frames]:
        with Image.open(file) as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
    clips.write(video, pictures, RATE, CRF)
    return 0


if __name__ == "__main__":
    sys.exit(main())
