"""Render the sample images and measure their ground truth.

    python tools/make_samples.py [courtyard walk passer_by portrait panorama] [--samples N] [--output FOLDER]

Runs with the interpreter that has ``bpy`` 5.0 and Pillow; about a quarter of an hour for all sets on two cores.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sample_scenes.sets import main

if __name__ == "__main__":
    sys.exit(main())
