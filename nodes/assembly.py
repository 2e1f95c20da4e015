"""From the worker's arrays to a scene: a run is begun, each batch is built in steps, and the run is ended."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import bpy
import numpy as np
from mathutils import Matrix

from ..core.output.calibration import camera_report
from ..core.output.payload import CameraRecord, MeshArrays, Part, TrackArrays, camera_table
from . import animation, cameras, mesh, placing, plate, point_cloud
from .datablocks import borrowed, collections, materials, mesh_trees, point_trees, scene
from .datablocks.created import Created, is_there
from .timeline import Timeline

TEXT, REPORT_TEXT = "DA3_Camera_Intrinsics", "DA3_Camera_Report"  # for a table, and for a person
#: Kept with a run's collection: the id it is kept under on disk, its texts on cameras, and what it wants of the timeline.
RUN, TABLE, REPORT, RANGE, RATE = "da3_run", "da3_table", "da3_report", "da3_range", "da3_frame_rate"
SUN = "da3_sun"  # three numbers: the direction to it, in the world that the run was built in
SMOOTH = "Smooth Path"  # how what is said of it begins
PLACE_ON_EARTH = "da3_gps_origin"  # latitude, longitude (degrees) and altitude (metres) of the scene's origin
ORIGIN = "da3_origin"  # three numbers: the scene's origin in the world of the known cameras, Blender's axes


@dataclass
class Built:
    """What a batch has become, and what is to be said of its cameras."""

    objects: list[bpy.types.Object]
    records: list[CameraRecord]


@dataclass
class Run:
    """What the batches of one run share. A second run has its own, and so does not touch the first."""

    scene: bpy.types.Scene
    top: bpy.types.Collection
    material: bpy.types.Material
    tree: bpy.types.NodeTree
    text: bpy.types.Text
    report: bpy.types.Text
    play: animation.Play = animation.Play()
    frame_rate: float | None = None  # per second
    shares_collection: bool = False  # all batches go into one collection, as a long way's chunks do
    playing: bpy.types.NodeTree | None = None  # of objects that show another frame's points at each frame
    takes_scene: bool = False  # whether the scene takes after the run's images: one that nobody has set up
    timeline: Timeline = field(default_factory=Timeline)
    held: list[bpy.types.Object] = field(default_factory=list)  # that show until the next frame, which may still come
    camera: bpy.types.Object | None = None  # that moves, with Animate Sequence
    records: list[CameraRecord] = field(default_factory=list)
    batches: dict[int, Built] = field(default_factory=dict)
    shared: dict[str, bpy.types.Collection] = field(default_factory=dict)  # that several batches go into, by name
    built: list[bpy.types.ID] = field(default_factory=list)  # by the batches; some may have been deleted since
    surfaces: mesh.Surfaces = field(init=False)

    def __post_init__(self) -> None:
        self.surfaces = mesh.Surfaces(self.material)


def begin(
    into: bpy.types.Scene,
    input_name: str,
    play: animation.Play | None = None,
    frame_rate: float | None = None,
    *,
    shares_collection: bool = False,
    takes_scene: bool | None = None,
) -> Run:
    """Make what all batches share: collection ``input_name``, material, node group and table of cameras.

    Parameters
    ----------
    play : what moves on the timeline; by default nothing
    frame_rate : of a video, frames per second; the scene takes it over with the first batch
    shares_collection : whether all batches go into one collection, instead of one each
    takes_scene : whether the scene gets camera, size and range of the images; by default where it is as Blender starts it
    """
    if takes_scene is None:
        takes_scene = borrowed.is_untouched(into)
    with Created() as made:
        top = made.add(collections.new_top(input_name))
        material = made.add(materials.point_material())
        tree = made.add(point_trees.point_cloud_tree(material))
        text, report = (made.add(bpy.data.texts.new(name)) for name in (TEXT, REPORT_TEXT))
        top[RUN], top[TABLE], top[REPORT] = "", text, report
        into.collection.children.link(top)
    return Run(
        into, top, material, tree, text, report, play or animation.Play(), frame_rate, shares_collection, takes_scene=takes_scene,
        timeline=Timeline(into.frame_start, is_video=frame_rate is not None),
    )  # fmt: skip


def batch_steps(
    run: Run,
    number: int | None,
    parts: Sequence[Part],
    records: Sequence[CameraRecord],
    *,
    threshold: float = 0.5,
    scale: float = 1.0,
    edge_length: float = 0.1,
) -> Generator[None, None, bpy.types.Collection]:
    """Build one batch in small steps and show it with the last one. Closed half-way, it leaves nothing behind.

    Parameters
    ----------
    run : from ``begin``
    number : the batch's, as it appears in its name; None: what is of the whole run and of no batch
    parts : its objects; points that do not fit into one object become several
    records : its cameras
    threshold, scale, edge_length : inputs of the modifiers

    Returns
    -------
    The batch's collection, or that which it shares with others.
    """
    with Created() as made:
        run.timeline.learn(records)
        places = placing.Places(run, number, made)
        objects, links, held, followed = [], [], [], []
        for name, part in placing.named(places.prefix, parts):
            if isinstance(part.arrays, MeshArrays):
                obj = yield from mesh.build_steps(
                    name, part, run.surfaces, made, threshold=threshold, edge_length=edge_length
                )
            elif isinstance(part.arrays, TrackArrays):
                obj = yield from point_cloud.tracks_steps(name, part.arrays)
                followed.append(obj)
            else:
                obj = yield from point_cloud.build_steps(
                    name, part.arrays, run.tree, material=run.material, threshold=threshold, scale=scale
                )
            made.add(obj.data)
            objects.append(made.add(obj))
            obj[collections.PART] = f"{number} {name.removeprefix(places.prefix).removeprefix('_')}"
            if part.plays:
                if run.playing is None or not is_there(run.playing):
                    run.playing = made.add(point_trees.playing_tree())
                animation.write_frames_shown(obj, run.timeline)
                point_trees.add_playing(obj, run.playing)
                held.append(obj)
            links.append((places.of(part.group), obj))
            if part.frame is not None:
                shown, until = run.timeline.of(part.frame), run.timeline.until(part.frame)
                made.add(animation.show_only_at(obj, shown, until, _shown(run, records)))
                obj["frame"] = part.frame
                held.append(obj)
                yield
        built = []
        if run.play.has_frame_cameras and records:
            built = yield from cameras.build_steps(records)
            for camera, record in zip(built, records, strict=True):
                made.add(camera.data)
                objects.append(made.add(camera))
                links.append((places.cameras(record.input), camera))
        path, clip, moving = None, None, run.camera if run.camera and is_there(run.camera) else None
        if run.play.animate_sequence and records:
            known = [*run.records, *records]
            path = yield from animation.path_steps(known, moving, run.timeline, run.play.path_reach)
            clip = plate.clip_of(known, run.timeline, made, run.top.get(plate.CLIP))
            for datablock in (path.poses, path.lenses, *((path.camera.data, path.camera) if not moving else ())):
                made.add(datablock)
        yield
        for collection, obj in links:
            collection.objects.link(obj)
        places.show()
        for obj in followed:  # black dots all over the points, until somebody wants them
            obj.hide_get()  # brings the view layer's list up to date
            if obj.name in bpy.context.view_layer.objects:
                obj.hide_set(True)
        if path:
            if moving is None:
                run.camera = path.camera
                run.camera[collections.PART] = "path"
                run.top.objects.link(path.camera)
                if clip is not None:
                    run.top[plate.CLIP] = clip
                    plate.show(path.camera, clip, records[0])
            animation.follow(path)
        run.top[point_trees.BUILT] = {
            point_trees.THRESHOLD: threshold, point_trees.POINT_SIZE: scale, point_trees.DISPLAY: 100.0,
            mesh_trees.EDGE_LENGTH: edge_length,
            point_trees.CLOSED.SWITCH: float(any("scale" in part.arrays.given() for part in parts)),
        }  # fmt: skip
        if known := [*run.records, *records]:
            run.text.from_string(camera_table(known))
            run.report.from_string(camera_report(known, run.top.name))
        for obj in filter(is_there, run.held):  # its end is known now that more frames have come
            animation.hold(obj, run.timeline)
        run.held = held if records else [*run.held, *held]
        if records:
            _tell_scene(run, records[0], run.camera or built[0])
        run.records.extend(records)
        if number is not None:
            run.batches[number] = Built(objects, list(records))
        run.built.extend(made.all)
    return places.own


def _shown(run: Run, records: Sequence[CameraRecord]) -> int:
    """The timeline's frame once the batch is there: the first batch may set it."""
    is_set = run.takes_scene and records and not run.records
    return run.timeline.of(records[0].frame) if is_set else run.scene.frame_current


def _tell_scene(run: Run, first: CameraRecord, camera: bpy.types.Object) -> None:
    """What the run wants of the timeline is kept with it; a scene that nobody has set up takes it over, and the size too."""
    low, high = run.timeline.used[0], run.timeline.used[-1]
    run.top[RANGE] = [low, high]
    if run.frame_rate:
        run.top[RATE] = run.frame_rate
    if not run.takes_scene:
        return
    if not run.records:  # the first batch
        borrowed.lend_camera(run.scene, run.top, camera)
        wanted = {**cameras.picture_of(camera), **(scene.rate_of(run.frame_rate) if run.frame_rate else {})}
        borrowed.lend(run.scene, run.top, {**wanted, "frame_current": run.timeline.of(first.frame)})
    borrowed.lend(run.scene, run.top, {"frame_start": low, "frame_end": high})


def settle_steps(run: Run, moves: Mapping[int, np.ndarray]) -> Generator[None, None, None]:
    """Move batches to their final place, once all loops of a long way are closed; a batch in a step.

    Parameters
    ----------
    moves : (4, 4) similarity for each batch's number, from the world it was built in to the final one, Blender's axes
    """
    for number, built in run.batches.items():
        if number not in moves:
            continue
        built.records[:] = [record.moved(moves[number]) for record in built.records]
        places = {record.frame: record.camera_to_world for record in built.records}
        for obj in filter(is_there, built.objects):
            if obj.type != "CAMERA":
                obj.matrix_world = Matrix(moves[number].tolist()) @ obj.matrix_world
            elif obj.get("frame") in places:
                obj.matrix_world = Matrix(np.reshape(places[obj["frame"]], (4, 4)).tolist())
        yield
    run.records[:] = [record for built in run.batches.values() for record in built.records]
    if run.camera is not None and is_there(run.camera):
        path = yield from animation.path_steps(run.records, run.camera, run.timeline, run.play.path_reach)
        run.built.extend((path.poses, path.lenses))
        animation.follow(path)


def tell_path(top: bpy.types.Collection, sentence: str) -> None:
    """Add to a run's report for people what smoothing its path costs, in the place of what stood there; empty: nothing."""
    report = top.get(REPORT)
    if report is not None:
        lines = [line.body for line in report.lines if not line.body.startswith(SMOOTH)]
        report.from_string("\n".join([*lines, sentence] if sentence else lines))


def end(run: Run) -> None:
    """Close a run, whole or cancelled: one that built nothing, or of which nothing is in use, leaves nothing behind."""
    if is_there(run.top):
        is_empty = not run.top.all_objects
    else:  # deleted meanwhile; its objects may have been kept
        is_empty = not any(is_there(made) and isinstance(made, bpy.types.Object) and made.users for made in run.built)
    if is_empty:
        discard(run)


def discard(run: Run) -> None:
    """Take away all that a run has made, as far as it is still there; what a person put beside it stays."""
    made = Created()
    if is_there(run.top) and is_there(run.scene):
        borrowed.give_back(run.scene, run.top)
    for datablock in (*run.built, run.top, run.material, run.tree, run.text, run.report):
        made.add(datablock)
    made.discard()
    run.built.clear()
