"""True marks of a shot on their pixels of the plate, as Blender shows them after Set Up Shot.

    matchmove.py [truth|truth_video|classic|video|per_frame ...] [--folder FOLDER] [--frames 20] [--resolution 504]

The shot: the scene of the sample set ``walk`` as a plate of 1280 x 720 at 24 frames/s, numbered from 1001, through a lens that
bends (tools/sample_scenes/plate.py; rendered into FOLDER where it is not there yet, 12 s of a core a frame). ``--resolution`` is
that of the depths, which take no part in what is measured: ``classic`` finds cameras in the photographs' own. The
run goes through the command line; then, at Blender's own frame k, places of the scene whose pixel in frame k is known exactly are
looked up through the scene's camera and the clip's lens. The true world is brought into the scene by one similarity: with the
true cameras by the places where they stand, with a model's by what brings the marks nearest, for it has its own metre and north.
``video`` is ``classic`` with the plate as a video, ``truth_video`` likewise; ``per_frame`` is ``classic`` with a lens that may
change from frame to frame: what the one lens of the shot costs is the ratio of their reprojection errors.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import bpy
import numpy as np
import paths
from da3_blender.core.geometry import upright
from da3_blender.core.geometry.projection import invert_rigid, points_to_blender
from da3_blender.core.geometry.similarity import Similarity, umeyama
from da3_blender.nodes import animation, cameras
from da3_blender.nodes.edits import rendering, shot, transforming
from da3_blender.nodes.plate import CLIP
from figures import AT_MOST, record

TOOLS = measuring.ROOT / "tools"
MARKED = {50: 0.5, 95: 1.5}  # pixels of the plate, by percentile
CLAIMS = {"truth": {99: 0.1}, "truth_video": {99: 0.1}, "classic": MARKED, "video": MARKED, "per_frame": {}}
ONE_LENS = 1.05  # times the reprojection error of a lens for each frame, that one for the shot may have
LOOKED_AT = 3  # frames that are rendered, to see which plate is behind
SMALL = 25  # percent of the plate's size, at which they are
STEPS, STEP = 30, 1e-6  # of the fit of a similarity; for its derivatives


class Plate:
    """What is true of the shot.

    Attributes
    ----------
    points : (P, 3) world, metres
    seen : (M, 2) int, (frame, point)
    straight, bent : (M, 2) pixels, without the lens's distortion and with it
    camera_to_world : (N, 4, 4) OpenCV's axes
    """

    def __init__(self, folder: Path):
        about = json.loads((folder / "plate.json").read_text("utf-8"))
        frames = json.loads((folder / "plate_truth" / "cameras.json").read_text("utf-8"))["frames"]
        self.folder, self.first, self.bending = folder, about["first"], about["bending"]
        self.width, self.height, self.lens = about["width"], about["height"], np.array(about["intrinsics"])
        self.camera_to_world = np.array([frame["camera_to_world"] for frame in frames]).reshape(-1, 4, 4)
        there = len(list((folder / "plate").glob("*.jpg")))
        with np.load(folder / "marks.npz") as marks:
            self.points, seen = marks["points"], marks["seen"]
        self.seen = seen[seen[:, 0] < there]
        self.count = there
        matrices = invert_rigid(self.camera_to_world[:, :3])[self.seen[:, 0]]
        own = np.einsum("mij,mj->mi", matrices[:, :, :3], self.points[self.seen[:, 1]]) + matrices[:, :, 3]
        flat = own[:, :2] / own[:, 2:]
        self.straight = flat * self.lens[:2] + self.lens[2:]
        self.bent = bend(flat, self.bending) * self.lens[:2] + self.lens[2:]


def bend(flat: np.ndarray, bending: list[float]) -> np.ndarray:
    """(M, 2) of image coordinates at depth 1: OpenCV's radial polynomial, which is Blender's."""
    squared = (flat**2).sum(axis=1, keepdims=True)
    return flat * (1.0 + sum(k * squared ** (i + 1) for i, k in enumerate(bending)))


class Scene:
    """What Blender has at each frame of the plate: cameras, render size and the clip's lens, read from its own data.

    ``projections`` (N, 4, 4), from the world to the picture at -1 to 1.
    """

    def __init__(self, blend: Path, plate: Plate):
        bpy.ops.wm.open_mainfile(filepath=str(blend))
        self.scene = scene = bpy.context.scene
        run = next(one for one in bpy.data.collections if CLIP in one)
        camera = rendering.camera_of(run, bpy.data.objects["DA3_Camera"])
        found = upright.find(transforming.read_points(run), transforming.camera_matrices(run))
        if found is not None:
            for _ in transforming.move_steps(run, found.matrix):
                pass
        self.missing = shot.set_up(scene, run, camera)
        self.clip = scene.active_clip
        render = scene.render
        assert (render.resolution_x, render.resolution_y) == (plate.width, plate.height), (
            "the render's size is the plate's"
        )
        matrices, projections, focals = [], [], []
        self.first = scene.frame_start  # where the plate's first frame is: a video has no numbers
        curves = animation.read_curves(camera)
        error = curves.find(f'["{cameras.REPROJECTION_ERROR}"]')
        self.errors = animation.keys_of(error)[:, 1] if error else np.zeros(plate.count)
        for k in range(plate.count):
            scene.frame_set(self.first + k)
            graph = bpy.context.evaluated_depsgraph_get()
            own = camera.evaluated_get(graph)
            window = own.calc_matrix_camera(
                graph, x=render.resolution_x, y=render.resolution_y, scale_x=render.pixel_aspect_x,
                scale_y=render.pixel_aspect_y,
            )  # fmt: skip
            world = np.array(own.matrix_world, np.float64)
            matrices.append(world)
            projections.append(np.array(window, np.float64) @ np.linalg.inv(world))
            focals.append(own.data.lens / own.data.sensor_width * plate.width)
        self.matrices, self.projections, self.focals = np.array(matrices), np.array(projections), np.array(focals)
        self.size = np.array([plate.width, plate.height], np.float64)

    def straight(self, points: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """(M, 2) pixels of the picture, from above, of points (M, 3) of the scene at frames (M,) of the plate."""
        seen = np.einsum("mij,mj->mi", self.projections[frames], np.column_stack([points, np.ones(len(points))]))
        x, y = (seen[:, :2] / seen[:, 3:]).T
        return np.column_stack([(1.0 + x) / 2.0, (1.0 - y) / 2.0]) * self.size

    def bent(self, straight: np.ndarray) -> np.ndarray:
        """Where these places of the undistorted picture are in the plate itself, by the clip's lens."""
        lens = self.clip.tracking.camera
        focal = lens.focal_length / lens.sensor_width * self.size[0]
        focals = np.array([focal, focal / lens.pixel_aspect])
        x, y = lens.principal_point_pixels
        centre = np.array([x, self.size[1] - y])
        return bend((straight - centre) / focals, [lens.k1, lens.k2, lens.k3]) * focals + centre


def into_scene(plate: Plate, scene: Scene, by_marks: bool) -> Similarity:
    """From the true world, in Blender's axes, to the scene."""
    true = points_to_blender(plate.camera_to_world[: plate.count, :3, 3])
    start = umeyama(true, scene.matrices[:, :3, 3])
    if not by_marks:
        return start
    points, frames = points_to_blender(plate.points)[plate.seen[:, 1]], plate.seen[:, 0]
    middle = points.mean(axis=0)

    def moved(change: np.ndarray) -> Similarity:
        turn = rotation(change[:3])
        scale = np.exp(change[3])
        about = start.scale * start.rotation @ middle + start.translation
        return Similarity(
            start.scale * scale, turn @ start.rotation, scale * turn @ (start.translation - about) + about + change[4:]
        )

    def away(change: np.ndarray) -> np.ndarray:
        return (scene.bent(scene.straight(placed(moved(change), points), frames)) - plate.bent).ravel()

    change = np.zeros(7)
    for _ in range(STEPS):  # Gauss-Newton; Huber's weights at 1 pixel keep single marks from leading
        rest = away(change)
        slopes = np.stack([(away(change + STEP * axis) - rest) / STEP for axis in np.eye(7)], axis=-1)
        weights = 1.0 / np.maximum(1.0, np.repeat(np.linalg.norm(rest.reshape(-1, 2), axis=1), 2))
        step = np.linalg.solve(slopes.T @ (weights[:, None] * slopes), -slopes.T @ (weights * rest))
        change = change + step
        if np.abs(step).max() < 1e-9:
            break
    return moved(change)


def placed(similarity: Similarity, points: np.ndarray) -> np.ndarray:
    """(P, 3) points on the other side of a similarity."""
    return similarity.scale * points @ similarity.rotation.T + similarity.translation


def rotation(vector: np.ndarray) -> np.ndarray:
    """(3, 3) of a rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def run(name: str, plate: Plate, out: Path, resolution: int) -> Path:
    """The shot through the command line; the scene."""
    blend = out / f"{name}.blend"
    source = plate.folder / "plate"
    if name.endswith("video"):
        source = plate.folder / "plate.mp4"
        worker = paths.executable(paths.worker_environment(), "python")
        tool = Path(__file__).with_name("plate_video.py")
        subprocess.run([worker, str(tool), str(plate.folder / "plate"), str(source), str(plate.count)], check=True)
    lens = "per_frame" if name == "per_frame" else "shot"
    words = {"input": source, "model": "classic", "animate-sequence": "on", "lens": lens, "output": blend}
    words["process-resolution"] = resolution
    command = [sys.executable, str(TOOLS / "da3.py"), "generate"]
    for key, value in words.items():
        command += [f"--{key}", str(value)]
    environ = dict(os.environ)
    if name.startswith("truth"):
        environ["DA3_PREDICTOR"] = f"{measuring.SUPPORT / 'plate_predictor.py'}:open_predictor"
    subprocess.run(command, env=environ, check=True)
    return blend


def plates_behind(plate: Plate, scene: Scene, out: Path) -> list[int]:
    """For some of Blender's frames, how far the plate that is seen behind is from that frame: 0 is right."""
    from PIL import Image

    render = scene.scene.render
    render.resolution_percentage, scene.scene.cycles.samples = SMALL, 1
    scene.scene.cycles.use_denoising = False
    off = []
    for k in np.linspace(1, plate.count - 2, LOOKED_AT).astype(int).tolist():
        scene.scene.frame_set(scene.first + k)
        render.filepath = str(out / f"behind_{plate.first + k}.png")
        bpy.ops.render.render(write_still=True)
        with Image.open(render.filepath) as picture:
            seen, size = np.asarray(picture.convert("RGB"), np.float64), picture.size
        errors = []
        for step in (-1, 0, 1):
            with Image.open(plate.folder / "straight" / f"{plate.first + k + step}.png") as whole:
                left, top = (whole.width - plate.width) // 2, (whole.height - plate.height) // 2
                part = whole.convert("RGB").crop((left, top, left + plate.width, top + plate.height)).resize(size)
            errors.append(float(np.abs(np.asarray(part, np.float64) - seen).mean()))
        print(f"  frame {plate.first + k}: grey levels from the straight plates before, of it and after: {errors}")
        off.append(int(np.argmin(errors)) - 1)
    return off


def measure(name: str, plate: Plate, out: Path, resolution: int, claims: measuring.Claims) -> float:
    """One way of the shot; its mean reprojection error (pixels of the plate)."""
    scene = Scene(run(name, plate, out, resolution), plate)
    similarity = into_scene(plate, scene, by_marks=not name.startswith("truth"))
    frames = plate.seen[:, 0]
    straight = scene.straight(placed(similarity, points_to_blender(plate.points)[plate.seen[:, 1]]), frames)
    away = np.linalg.norm(scene.bent(straight) - plate.bent, axis=1)
    flat = np.linalg.norm(straight - plate.straight, axis=1)
    lens = scene.clip.tracking.camera
    print(f"{name}: {plate.count} frames, {len(plate.points)} marks seen {len(away)} times; {'; '.join(scene.missing)}")
    print(f"  k1 {lens.k1:.4f} k2 {lens.k2:.4f}, the lens has {plate.bending}")
    for percent, most in CLAIMS[name].items():
        figure = float(np.percentile(away, percent))
        print("  " + claims.at_most(f"{name}: pixels of the plate, {percent} % of marks", figure, most, ".4f"))
    print("  percentiles 50 90 95 99 100: " + " ".join(f"{v:.4f}" for v in np.percentile(away, (50, 90, 95, 99, 100))))
    print(f"  the same in the straightened plate: median {np.median(flat):.4f}, 95 % {np.percentile(flat, 95):.4f}")
    spread = float(np.ptp(scene.focals))
    if name == "per_frame":
        record(f"{name}: focal length, spread in pixels", spread, AT_MOST)
        return float(scene.errors.mean())
    print("  " + claims.at_most(f"{name}: focal length, spread in pixels", spread, 0.001, ".5f"))
    off = abs(float(np.median(scene.focals)) / plate.lens[0] - 1.0)
    print("  " + claims.at_most(f"{name}: focal length off, %", 100.0 * off, 0.5))
    wrong = sum(step != 0 for step in plates_behind(plate, scene, out))
    print("  " + claims.at_most(f"{name}: frames with another plate behind", wrong, 0, ".0f"))
    return float(scene.errors.mean())


def main() -> int:
    options = measuring.options(
        __doc__, sets=tuple(CLAIMS), folder=str(measuring.ROOT / "out" / "plate"), frames=20, resolution=504
    )
    folder = Path(options.folder).resolve()
    if len(list((folder / "plate").glob("*.jpg"))) < options.frames:
        tool = TOOLS / "sample_scenes" / "plate.py"
        subprocess.run([sys.executable, str(tool), str(folder), "--frames", str(options.frames)], check=True)
    claims = measuring.Claims()
    errors = {name: measure(name, Plate(folder), folder, options.resolution, claims) for name in options.sets}
    if {"classic", "per_frame"} <= errors.keys():
        ratio = errors["classic"] / errors["per_frame"]
        print(claims.at_most("one lens: reprojection error, times that of a lens for each frame", ratio, ONE_LENS))
    return claims.verdict()


if __name__ == "__main__":
    sys.exit(main())
