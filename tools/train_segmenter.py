"""Trains a tiny segmentation network for the tests, from nothing, on pictures of the courtyard.

    python tools/train_segmenter.py [--pictures FOLDER] [--count 110] [--epochs 30] [--output FILE.pt]

Renders the pictures with Blender's interpreter where the folder has none yet, then trains in the worker's environment:
What comes out is tests/data/tiny-seg.pt, in half precision, with the one class "person". It knows this figure in this yard and
nothing else; of the sample images it has seen none.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import paths

OUTPUT = paths.ROOT / "tests" / "data" / "tiny-seg.pt"
SIDE = 192  # pixels; a square of each picture is learned from, at the picture's own scale
INPUT = 288  # pixels, of the network's input when it is used: the width of the pictures
THING = "walker"  # what the scene calls the one thing to be learned
SMALLEST = 40  # pixels; what shows less of a thing is no example of it


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="kept there; default: a folder that goes")
    parser.add_argument("--count", type=int, default=110)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--step", choices=("all", "render", "train"), default="all", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step == "render":
        from sample_scenes import training

        training.render(options.pictures, options.count)
    elif options.step == "train":
        train(options.pictures, options.epochs, options.output)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            pictures = options.pictures or Path(scratch) / "pictures"
            for step, python in (
                ("render", paths.blender_python()),
                ("train", paths.executable(paths.worker_environment(), "python")),
            ):
                if step == "render" and (pictures / "things.txt").exists():
                    continue
                started = time.monotonic()
                values = {"--step": step, "--pictures": pictures, "--count": options.count}
                values |= {"--epochs": options.epochs, "--output": options.output}
                command = [str(python), __file__, *(str(part) for pair in values.items() for part in pair)]
                subprocess.run(command, check=True, stdout=None if step == "train" else subprocess.DEVNULL)
                print(f"{step}: {time.monotonic() - started:.0f} s", flush=True)
    return 0


def train(pictures: Path, epochs: int, output: Path) -> None:
    """From ``pictures`` (sample_scenes/training.py) to weights."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"YOLO_CONFIG_DIR": scratch, "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
        random.seed(0)
        import torch
        import ultralytics
        from ultralytics.utils import SETTINGS

        SETTINGS.update({"sync": False, "runs_dir": scratch})
        data = _dataset(pictures, Path(scratch) / "data")
        model = ultralytics.YOLO("yolo11n-seg.yaml", task="segment")  # the smallest: 2.8 million parameters
        model.train(
            data=str(data), epochs=epochs, imgsz=SIDE, batch=4, workers=0, device="cpu", amp=False, seed=0, val=False,
            plots=False, project=scratch, name="run", verbose=False, optimizer="AdamW", lr0=0.002, lrf=0.02, cos_lr=True,
            warmup_epochs=1.0, mosaic=0.0, close_mosaic=0, scale=0.3, translate=0.1, degrees=0.0, fliplr=0.5, erasing=0.0,
            hsv_h=0.01, hsv_s=0.3, hsv_v=0.3, patience=0,
        )  # fmt: skip
        output.parent.mkdir(parents=True, exist_ok=True)
        weights = torch.load(Path(scratch) / "run" / "weights" / "last.pt", weights_only=False)  # written just now
        torch.save(_bare(weights["model"]), output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


def _bare(network: Any) -> dict[str, Any]:
    """A checkpoint as Ultralytics reads it, without what it remembers of this machine."""
    about = {"task": "segment", "imgsz": INPUT}
    network.args, network.criterion = about, None
    return {"model": network, "train_args": about, "license": "AGPL-3.0 (https://ultralytics.com/license)"}


def _dataset(pictures: Path, folder: Path) -> Path:
    """Ultralytics' form of it: outlines of things in text files beside squares of the pictures. The data's YAML file."""
    import numpy as np
    from PIL import Image
    from ultralytics.utils import YAML

    lines = [line.split(" ", 1) for line in (pictures / "things.txt").read_text("utf-8").splitlines()]
    [wanted] = [int(number) for number, name in lines if name == THING]
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    chance = random.Random(0)
    for file in sorted(pictures.glob("*.jpg")):
        mask = np.equal(np.asarray(Image.open(file.with_suffix(".png"))), wanted)
        height, width = mask.shape
        seen = np.flatnonzero(mask.any(axis=0))
        middle = int(seen.mean()) if len(seen) else width // 2
        left = min(max(middle - SIDE // 2 + chance.randint(-SIDE // 3, SIDE // 3), 0), width - SIDE)
        outline = _outline(mask[:, left : left + SIDE])
        Image.open(file).crop((left, 0, left + SIDE, height)).save(folder / "images" / file.name, quality=95)
        line = "0 " + " ".join(f"{value:.5f}" for value in outline) if outline else ""
        (folder / "labels" / f"{file.stem}.txt").write_text(line, "ascii")
    about = {"path": str(folder), "train": "images", "val": "images", "names": {0: "person"}}
    YAML.save(folder / "data.yaml", about)
    return folder / "data.yaml"


def _outline(mask: Any) -> list[float]:
    """x and y of a thing's outline, in parts of the picture's sides; parts of it that lie apart are joined by a line."""
    import cv2
    import numpy as np
    from ultralytics.data.converter import merge_multi_segment

    if mask.sum() < SMALLEST:
        return []
    # Enlarged, so that the outline runs along the pixels' edges and not through their centres.
    large = np.kron(mask.astype(np.uint8), np.ones((4, 4), np.uint8))
    outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = [o.reshape(-1, 2) for o in outlines if cv2.contourArea(o) > 16 * 12]
    if not parts:
        return []
    whole = np.concatenate(merge_multi_segment([p.ravel().tolist() for p in parts])) if len(parts) > 1 else parts[0]
    height, width = large.shape
    return ((whole + 0.5) / (width, height)).ravel().tolist()


if __name__ == "__main__":
    sys.exit(main())
