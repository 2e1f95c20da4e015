"""How each picture of the pages is made, and what of the checkout decides how it looks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import paths
from PIL import Image

#: Of what is built and rendered from a run.
BUILT = ("nodes/**/*.py",)
CLASSIC = ("core/predictors/classic/**/*.py",)
WINDOW = ("panels/**/*.py", "core/settings.py", "tests/app/inside/first_*.py")
QUALITY = 90
TRUTH = f"{paths.ROOT / 'tests' / 'support' / 'truth_predictor.py'}:open_predictor"
GAP = 8  # pixels between two pictures side by side


@dataclass(frozen=True)
class Picture:
    """``make(folder, target)`` writes it, with ``folder`` for what lies between, and returns why it could not, or nothing."""

    make: Callable[[Path, Path], str]
    shows: tuple[str, ...]


def generated(set_name: str, *arguments: str, predictor: str = "") -> Callable[[Path, Path], str]:
    """The render of a run on one of the sets of sample images."""

    def make(folder: Path, target: Path) -> str:
        render = folder / f"{target.stem}.png"
        code = da3(set_name, folder / f"{target.stem}.blend", "--render", str(render), *arguments, predictor=predictor)
        return f"generate ended with {code}" if code else save(Image.open(render), target)

    return make


def shot(folder: Path, target: Path) -> str:
    """A cube and a ball in the footage of courtyard."""
    blend, render = folder / "shot.blend", folder / "shot.png"
    code = da3("courtyard", blend, "--animate-sequence", "on", "--fuse-frames", "on", predictor=TRUTH)
    code = code or run(str(Path(__file__).with_name("shot.py")), str(blend), str(render))
    return f"it ended with {code}" if code else save(Image.open(render), target)


def splats(folder: Path, target: Path) -> str:
    """A view of courtyard that was left out, as dots and as refined splats; below, close: dots, splats, refined ones."""
    bench = paths.ROOT / "tools" / "bench" / "accuracy" / "splats.py"
    worker = str(paths.executable(paths.worker_environment(), "python"))
    told = {**os.environ, "PYTHONPATH": str(paths.test_packages())}
    subprocess.call([worker, str(bench), "truth", "--pictures", str(folder)], cwd=paths.ROOT, env=told)
    files = [folder / "truth" / f"{VIEW:03d}_{name}.png" for name in ("dots", "splats", "refined")]
    if not all(file.exists() for file in files):
        return "the benchmark drew nothing: Blender 5.3 is set up by tools/versions.py 5.3"
    pictures = [Image.open(file).convert("RGB") for file in files]
    wide, high = pictures[0].size
    closer = [one.crop(CLOSE).resize(CLOSER, Image.Resampling.LANCZOS) for one in pictures]
    sheet = Image.new("RGB", (2 * wide + GAP, high + GAP + CLOSER[1]), "white")
    for number, one in enumerate((pictures[0], pictures[2])):
        sheet.paste(one, (number * (wide + GAP), 0))
    for number, one in enumerate(closer):
        sheet.paste(one, (number * (CLOSER[0] + GAP), high + GAP))
    return save(sheet, target)


def window(name: str, box: tuple[int, int, int, int] | None = None) -> Callable[[Path, Path], str]:
    """A state that ``make test-app`` has taken a picture of, or a part of it: left, top, right, bottom."""

    def make(_: Path, target: Path) -> str:
        file = paths.ROOT / "out" / "app" / name
        if not file.exists():
            return "make test-app takes it, first"
        taken = Image.open(file)
        return save(taken.crop(box) if box else taken, target)

    return make


def da3(set_name: str, blend: Path, *arguments: str, predictor: str = "") -> int:
    """``generate`` on a set of sample images, by ``classic`` or a predictor of the tests."""
    given = ["--input", str(paths.ROOT / "sample_images" / set_name), "--output", str(blend), "--model", "classic"]
    told = {"DA3_PREDICTOR": predictor} if predictor else {}
    return run(str(paths.ROOT / "tools" / "da3.py"), "generate", *given, *arguments, **told)


def run(*command: str, **told: str) -> int:
    """A program of ours with this interpreter; what it says goes where ours goes."""
    return subprocess.call([sys.executable, *command], cwd=paths.ROOT, env={**os.environ, **told})


def save(picture: Image.Image, target: Path) -> str:
    picture.convert("RGB").save(target, quality=QUALITY, subsampling=0, optimize=True)
    return ""


VIEW, CLOSE, CLOSER = 10, (301, 111, 513, 291), (424, 360)  # of courtyard, what is shown closer, and how large
PICTURES = {
    "courtyard.jpg": Picture(generated("courtyard"), (*BUILT, *CLASSIC, "sample_images/courtyard/*")),
    "fused.jpg": Picture(
        generated("courtyard", "--fuse-frames", "on", "--fuse-faces", "60000", "--fuse-texture", "on"),
        (*BUILT, *CLASSIC, "core/surfaces/**/*.py", "sample_images/courtyard/*"),
    ),
    "meshes.jpg": Picture(
        generated("portrait", "--generate-meshes", "on", predictor=TRUTH),
        (*BUILT, "core/surfaces/image_meshes.py", "sample_images/portrait/*"),
    ),
    "splats.jpg": Picture(splats, ("core/output/splats/*.py", "core/splats/*.py", "nodes/datablocks/splat_nodes.py", "sample_images/courtyard/*")),
    "matchmove.jpg": Picture(shot, ("nodes/edits/*.py", "nodes/datablocks/*.py", "sample_images/courtyard/*")),
    "tab_ready.jpg": Picture(window("first_hour/291_4_ready.png", (765, 80, 1058, 480)), WINDOW),
    "tab_model.jpg": Picture(window("first_hour/291_3_model_to_download.png", (765, 80, 1058, 480)), WINDOW),
    "tab_narrow.jpg": Picture(window("first_hour/211_0_install.png", (845, 80, 1058, 480)), WINDOW),
    "tab_result.jpg": Picture(window("first_hour/291_9_result.png"), WINDOW),
    "window_installing.jpg": Picture(window("first_steps/2_installing_3.png"), WINDOW),
}  # fmt: skip
