"""An Ultralytics network that finds things in images, and the tracker that knows them again from frame to frame.

The only module that imports Ultralytics (AGPL-3.0), and torch with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ..errors import DA3Error, MissingEnvironment, MissingModel
from .thing import Thing

LONGEST = 1280  # pixels; the networks see 640, so a larger image costs memory (a mask per thing) and shows nothing more
OVERLAP = 0.7  # intersection over union of boxes from which two finds are one thing, whatever their classes
SAME = 0.5  # the same of outlines, which, unlike boxes, do not overlap where one thing hides another
INSIDE = 0.7  # part of an outline that lies in one of the same class: a second find of the same thing
COARSE = 4  # pixels; outlines are compared on every so manieth
UNSURE = 0.4  # part of the asked confidence at which a thing that is followed already is still known again
REMEMBERED = 30  # frames that a thing may be out of sight and keep its number

#: Ultralytics neither asks the network for anything nor installs, prints, or reads a file that could run code.
ENVIRONMENT = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",
}


class YoloDetector:
    """A network and its tracker; for one run of frames, in their order.

    Parameters
    ----------
    file : checked (``seg_models.check``)
    confidence : from which a thing is taken for one, 0 to 1
    device : as torch names it

    Raises
    ------
    MissingModel
        The file is not a segmentation network, is cut off, or holds what no network holds.
    MissingEnvironment
        Ultralytics is not installed here.
    """

    def __init__(self, file: Path, confidence: float, device: str):
        package = _ultralytics()
        self._confidence, self._device = confidence, device
        self._model = _open(package, file)
        self.names: dict[int, str] = _names(self._model)
        self._tracker = _tracker(confidence)

    def detect(self, image: np.ndarray) -> list[Thing]:
        """The things in the next frame; ``image`` (h, w, 3) uint8, RGB. Masks are at most ``LONGEST`` pixels long."""
        scale = LONGEST / max(image.shape[:2])
        if scale < 1:
            size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        # Masks come at the image's own size: the border that the network's square input adds is taken off by Ultralytics.
        found = self._model.predict(
            bgr, conf=UNSURE * self._confidence, iou=OVERLAP, agnostic_nms=True, retina_masks=True, device=self._device,
            verbose=False, save=False,
        )[0].cpu().numpy()  # fmt: skip
        if found.boxes is None or found.masks is None:
            self._tracker.update(found.boxes[:0], bgr)
            return []
        kept = _distinct(found.masks.data, found.boxes.conf, found.boxes.cls)
        boxes, masks = found.boxes[kept], found.masks.data[kept]
        self._tracker.update(boxes, bgr)
        things = []
        # Beside the confirmed ones the tracker holds those that it saw for the first time: whether one sighting is
        # enough is not for it to say.
        for track in self._tracker.tracked_stracks:
            if track.frame_id != self._tracker.frame_id:
                continue
            row = int(track.idx)
            mask = masks[row].astype(bool)
            if mask.any():
                kind = self.names.get(int(boxes.cls[row]), f"class{int(boxes.cls[row])}")
                things.append(Thing(mask, kind, float(boxes.conf[row]), int(track.track_id)))
        return things


def _distinct(masks: np.ndarray, scores: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Rows of the finds that are not another, surer find once more; masks (K, h, w), the rest (K,)."""
    flat = np.ascontiguousarray(masks[:, ::COARSE, ::COARSE]).reshape(len(masks), -1).astype(np.float32)
    areas = np.maximum(flat.sum(axis=1), 1.0)
    shared = flat @ flat.T
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        own, others = shared[row, kept], areas[kept]
        same = own > SAME * (areas[row] + others - own)
        inside = (own > INSIDE * np.minimum(areas[row], others)) & (kinds[kept] == kinds[row])
        if not (same | inside).any():
            kept.append(int(row))
    return np.array(kept, int)


def _ultralytics() -> Any:
    """The package, with nothing written to the home folder: its settings file goes into the worker's environment.

    What it changes in the process for everybody, while it is imported, is set back: threads of OpenCV, of torch and of
    children, and Pillow's way to open a file, which would ask for another package where a file is no image.
    """
    os.environ.update(ENVIRONMENT, YOLO_CONFIG_DIR=str(Path(sys.prefix) / "ultralytics"))
    threads, openmp, open_image = cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS"), Image.open
    try:
        torch = import_module("torch")  # first: after Ultralytics it would compute on one core
        import_module("lap")  # the tracker needs it and would install it
        ultralytics = import_module("ultralytics")
    except ImportError as error:
        raise MissingEnvironment(f"Segmentation needs {error.name}: install the dependencies again") from error
    finally:
        cv2.setNumThreads(threads)
        Image.open = open_image
        if openmp is None:
            os.environ.pop("OMP_NUM_THREADS", None)
    utils = ultralytics.utils
    if not utils.SAFE_LOAD or not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        raise DA3Error("Segmentation is off: Ultralytics is not in the mode in which opening a file is safe")
    if utils.SETTINGS["sync"]:
        utils.SETTINGS.update({"sync": False})
    return ultralytics


def _open(package: Any, file: Path) -> Any:
    try:
        with _plainly_named(file) as name:
            model = package.YOLO(name)
    except Exception as error:  # what a strange file makes of a reader has no common class
        reason = str(error).strip().partition("\n")[0].removeprefix("ERROR ").strip(" ❌️")[:200]
        raise MissingModel(
            f"{file.name} in {file.parent} cannot be read as a segmentation network ({reason or type(error).__name__}): "
            "remove it, and it is downloaded again"
        ) from error
    if model.task != "segment":
        raise MissingModel(f"{file.name} finds things but not their outlines: a network for segmentation is needed")
    return model


@contextlib.contextmanager
def _plainly_named(file: Path) -> Iterator[str]:
    """The file under a name in the working folder, since Ultralytics takes apostrophes out of paths before it looks there.

    Other threads of the worker read files by absolute paths only.
    """
    name = re.sub(r"[^A-Za-z0-9.-]", "_", file.name)
    with tempfile.TemporaryDirectory(prefix="da3-network-", ignore_cleanup_errors=True) as folder:
        try:
            os.link(file, Path(folder) / name)
        except OSError:  # another disk, or one without links
            shutil.copyfile(file, Path(folder) / name)
        with contextlib.chdir(folder):
            yield name


def _names(model: Any) -> dict[int, str]:
    """Class names by number; what a network does not name stays out."""
    names = getattr(model, "names", None)
    if isinstance(names, Mapping):
        return {int(number): str(name).strip() for number, name in names.items() if str(name).strip()}
    return dict(enumerate(map(str, names or ())))


def _tracker(confidence: float) -> Any:
    """BoT-SORT with Ultralytics' own settings, but for how sure it has to be."""
    from ultralytics.trackers.bot_sort import BOTSORT
    from ultralytics.utils import YAML, IterableSimpleNamespace
    from ultralytics.utils.checks import check_yaml

    settings = YAML.load(check_yaml("botsort.yaml")) | {
        "track_high_thresh": confidence,
        "new_track_thresh": confidence,
        "track_low_thresh": UNSURE * confidence,
        "track_buffer": REMEMBERED,
        "with_reid": False,
    }
    return BOTSORT(args=IterableSimpleNamespace(**settings))
