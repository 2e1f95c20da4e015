"""A picture of what was built, from a viewpoint that none of the cameras had.

Rendered in a scene of its own, which is gone afterwards: the person's scene, its camera and its settings are not
touched.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from ..core.errors import BadInput
from ..core.files import ownership
from . import point_cloud, viewpoint
from .animation import frame_by_frame
from .cameras import great_circles, median_distance
from .datablocks import materials, mesh_trees, point_trees
from .datablocks import scene as scenes
from .datablocks.created import Created

SIZE = (1280, 720)
SAMPLES = 8
# Radius of a dot in the size of its pixel at its depth. Two neighbours touch at 0.5; surfaces seen at a slant, and the
# diagonal, need more, and from 1 on edges grow visibly thick.
RADIUS_IN_PIXELS = 0.85
# More dots than this cost memory and time, and show nothing more in a picture of a million pixels.
MOST_POINTS = 4_000_000
# Half a frustum's line, of its distance: some three of 1280 pixels wide.
LINE = 0.0011
FRUSTUM_COLOR = (1.0, 0.32, 0.03)
PNG_END = b"IEND\xaeB`\x82"  # the last bytes of a whole PNG
# Linear. Of middle lightness, so that white walls and dark bronze both stand out.
SKY, GROUND = (0.15, 0.23, 0.36), (0.30, 0.31, 0.32)
COVERED = 0.05  # of a frustum's lines may lie before the cloud
LARGEST = 0.25  # of the picture's width that a frustum may take


def render_preview(
    clouds: Sequence[bpy.types.Object],
    cameras: Sequence[bpy.types.Object],
    path: Path,
    *,
    size: tuple[int, int] = SIZE,
    samples: int = SAMPLES,
    frustums: bool = True,
) -> None:
    """Render point clouds and meshes to a PNG.

    Parameters
    ----------
    clouds : objects from ``point_cloud`` and ``mesh``; their Threshold is obeyed
    cameras : objects from ``cameras`` or the moving one of ``animation``, at least one; drawn as thin frustums if ``frustums``
    path : of the picture

    Raises
    ------
    BadInput
        There is nothing to see.
    OSError
        The picture cannot be written, and an older one is as it was.
    """
    cameras, matrices, frames = frame_by_frame(cameras)
    seen, colors, radii = _gather(clouds, cameras, matrices, frames)
    view = viewpoint.choose(seen)
    result_was_there = "Render Result" in bpy.data.images
    made = Created()
    try:
        scene = made.add(bpy.data.scenes.new("DA3 Preview"))
        _add_dots(scene, made, seen.points[: len(radii)], colors, radii)
        _add_meshes(scene, made, [cloud for cloud in clouds if len(cloud.data.polygons)])
        if frustums:
            _add_frustums(scene, made, cameras, matrices, view, seen.points)
        _add_camera(scene, made, view, size)
        _add_world(scene, made)
        _render(scene, path, size, samples)
    finally:
        made.discard()
        if not result_was_there and "Render Result" in bpy.data.images:
            bpy.data.images.remove(bpy.data.images["Render Result"])


def _gather(
    clouds: Sequence[bpy.types.Object],
    cameras: Sequence[bpy.types.Object],
    matrices: np.ndarray,
    frames: np.ndarray,
) -> tuple[viewpoint.Seen, np.ndarray, np.ndarray]:
    """What the clouds show, with their cameras; of the first D, which are dots, (D, 4) colours and (D,) radii."""
    parts: list[tuple[np.ndarray, ...]] = []
    dots = 0
    for cloud in sorted(clouds, key=lambda cloud: len(cloud.data.polygons) > 0):
        shown = _shown(cloud)
        world = np.array(cloud.matrix_world)
        position = read(cloud.data, "position")[shown] @ world[:3, :3].T + world[:3, 3]
        if "frame" in cloud.data.attributes:
            source = _camera_of(read(cloud.data, "frame")[shown], frames)
        else:
            source = _nearest(position, matrices)
        parts.append((position, read(cloud.data, "point_color")[shown], source))
        dots += 0 if len(cloud.data.polygons) else len(position)
    if not cameras or not sum(len(part[0]) for part in parts):
        raise BadInput("There is no picture to render: the scene has no points, or no cameras")
    position, color, source = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    thinned = max(1.0, len(position) / MOST_POINTS)
    if thinned > 1.0:
        kept = np.sort(np.random.default_rng(0).permutation(len(position))[:MOST_POINTS])
        dots = int(np.searchsorted(kept, dots))
        position, color, source = position[kept], color[kept], source[kept]

    depth = np.linalg.norm(position[:dots] - matrices[source[:dots], :3, 3], axis=1)
    pixel = np.array([1.0 / camera["fx"] for camera in cameras])
    radius = depth * pixel[source[:dots]] * RADIUS_IN_PIXELS * np.sqrt(thinned)
    return viewpoint.Seen(position, source, matrices), color[:dots], radius.astype(np.float32)


def _shown(cloud: bpy.types.Object) -> np.ndarray:
    """(P,) bool, the vertices that its modifier does not hide."""
    for name in (point_trees.MODIFIER, mesh_trees.NAME):
        if name in cloud.modifiers:
            return read(cloud.data, "conf") >= point_trees.get_input(cloud.modifiers[name], "Threshold")
    return np.ones(len(cloud.data.vertices), bool)


def _nearest(position: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """(P,) place in ``matrices``, (C, 4, 4), of the camera that stands nearest to each of (P, 3) points."""
    nearest, best = np.zeros(len(position), int), np.full(len(position), np.inf)
    for k, matrix in enumerate(matrices):
        distance = np.linalg.norm(position - matrix[:3, 3], axis=1)
        closer = distance < best
        nearest[closer], best[closer] = k, distance[closer]
    return nearest


def read(mesh: bpy.types.Mesh, name: str) -> np.ndarray:
    """A vertex attribute as an array: (P,), (P, 3) or (P, 4)."""
    attribute = mesh.attributes[name]
    dtype, width, value = {
        kind: (dtype, width, value) for (dtype, width), (kind, value) in point_cloud.ATTRIBUTE_TYPES.items()
    }[attribute.data_type]
    out = np.empty(len(attribute.data) * width, dtype)
    attribute.data.foreach_get(value, out)
    return out if width == 1 else out.reshape(-1, width)


def _camera_of(frame: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(P,) place in ``frames`` (C,) of each point's frame number, or of the one before it."""
    order = np.argsort(frames)
    return order[np.clip(np.searchsorted(frames[order], frame, side="right") - 1, 0, len(order) - 1)]


def _add_dots(scene: bpy.types.Scene, made: Created, points: np.ndarray, colors: np.ndarray, radii: np.ndarray) -> None:
    mesh = made.add(bpy.data.meshes.new("preview"))
    mesh.vertices.add(len(points))
    arrays = {"position": points.astype(np.float32), "point_color": colors, "preview_radius": radii}
    for name, array in arrays.items():
        for _ in point_cloud.attribute_steps(mesh, name, array):
            pass
    obj = made.add(bpy.data.objects.new("preview", mesh))
    material = made.add(materials.point_material())
    obj.modifiers.new(point_trees.MODIFIER, "NODES").node_group = made.add(_dots_tree(material))
    scene.collection.objects.link(obj)


def _add_meshes(scene: bpy.types.Scene, made: Created, meshes: Sequence[bpy.types.Object]) -> None:
    """All of them at once, also those that show at one frame only, as all of a cloud's frames are shown."""
    for mesh in meshes:
        twin = made.add(mesh.copy())  # shares the mesh
        twin.animation_data_clear()
        twin.hide_render = twin.hide_viewport = False
        scene.collection.objects.link(twin)


def _dots_tree(material: bpy.types.Material) -> bpy.types.NodeTree:
    """Mesh to Points with each point's own radius."""
    tree = bpy.data.node_groups.new("preview", "GeometryNodeTree")
    tree.is_modifier = True
    for direction in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    kinds = ("NodeGroupInput", "GeometryNodeMeshToPoints", "GeometryNodeSetMaterial", "NodeGroupOutput")
    group_in, to_points, paint, group_out = (tree.nodes.new(kind) for kind in kinds)
    radius = tree.nodes.new("GeometryNodeInputNamedAttribute")
    radius.inputs["Name"].default_value = "preview_radius"
    paint.inputs["Material"].default_value = material
    tree.links.new(group_in.outputs[0], to_points.inputs["Mesh"])
    tree.links.new(radius.outputs["Attribute"], to_points.inputs["Radius"])
    tree.links.new(to_points.outputs["Points"], paint.inputs["Geometry"])
    tree.links.new(paint.outputs["Geometry"], group_out.inputs[0])
    return tree


def _add_frustums(
    scene: bpy.types.Scene,
    made: Created,
    cameras: Sequence[bpy.types.Object],
    matrices: np.ndarray,
    view: np.ndarray,
    points: np.ndarray,
) -> None:
    """Each camera as the edges of its pyramid, but for those that would be in the way of what there is to see, too near, or cut off."""
    seen_from, behind = view[:3, 3], viewpoint.Cover(points, view)
    curve = made.add(bpy.data.curves.new("preview", "CURVE"))
    curve.dimensions = "3D"
    length = 0.5 * median_distance(matrices[:, :3, 3])
    away = np.median(np.linalg.norm(matrices[:, :3, 3] - seen_from, axis=1))
    curve.bevel_depth, curve.bevel_resolution = float(min(LINE * away, 0.05 * length)), 1
    for camera, matrix in zip(cameras, matrices, strict=True):
        fx, fy, cx, cy, width, height = (camera[key] for key in ("fx", "fy", "cx", "cy", "width", "height"))
        if camera.data.type == "PANO":
            for turned in great_circles(matrix, 0.3 * length):
                _add_line(curve, turned)
            continue
        corners = [
            ((u - cx) / fx, (cy - v) / fy, -1.0) for u, v in ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
        ]
        rim = [matrix[:3, :3] @ np.multiply(corner, length) + matrix[:3, 3] for corner in corners]
        lines = np.array([*zip(rim, [*rim[1:], rim[0]], strict=True), *((matrix[:3, 3], corner) for corner in rim)])
        if behind.share(lines) > COVERED or viewpoint.span(lines.reshape(-1, 3), view) > LARGEST:
            continue
        _add_line(curve, [*rim, rim[0]])
        for corner in rim:
            _add_line(curve, [matrix[:3, 3], corner])
    curve.materials.append(made.add(_emission(FRUSTUM_COLOR)))
    scene.collection.objects.link(made.add(bpy.data.objects.new("preview frustums", curve)))


def _add_line(curve: bpy.types.Curve, points: Sequence[np.ndarray]) -> None:
    spline = curve.splines.new("POLY")
    spline.points.add(len(points) - 1)
    for end, point in zip(spline.points, points, strict=True):
        end.co = (*point, 1.0)


def _emission(color: tuple[float, float, float]) -> bpy.types.Material:
    material = bpy.data.materials.new("preview")
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    emission, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    emission.inputs["Color"].default_value = (*color, 1.0)
    material.node_tree.links.new(emission.outputs[0], output.inputs["Surface"])
    return material


def _add_camera(scene: bpy.types.Scene, made: Created, view: np.ndarray, size: tuple[int, int]) -> None:
    data = made.add(bpy.data.cameras.new("preview"))
    data.sensor_fit = "HORIZONTAL"
    data.angle = viewpoint.FIELD_OF_VIEW
    data.clip_start, data.clip_end = 1e-4, 1e7
    camera = made.add(bpy.data.objects.new("preview camera", data))
    camera.matrix_world = Matrix(view.tolist())
    scene.collection.objects.link(camera)
    scene.camera = camera


def _add_world(scene: bpy.types.Scene, made: Created) -> None:
    """A soft gradient from the picture's bottom to its top."""
    world = made.add(bpy.data.worlds.new("preview"))
    if bpy.app.version < (5, 0, 0):
        world.use_nodes = True
    tree = world.node_tree
    tree.nodes.clear()
    where, split = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeSeparateXYZ")
    ramp, background = tree.nodes.new("ShaderNodeValToRGB"), tree.nodes.new("ShaderNodeBackground")
    output = tree.nodes.new("ShaderNodeOutputWorld")
    for element, color in zip(ramp.color_ramp.elements, (GROUND, SKY), strict=True):
        element.color = (*color, 1.0)
    tree.links.new(where.outputs["Window"], split.inputs[0])
    tree.links.new(split.outputs["Y"], ramp.inputs[0])
    tree.links.new(ramp.outputs["Color"], background.inputs["Color"])
    tree.links.new(background.outputs[0], output.inputs["Surface"])
    scene.world = world


def _render(scene: bpy.types.Scene, path: Path, size: tuple[int, int], samples: int) -> None:
    render = scene.render
    render.engine = "CYCLES"  # on the CPU: it needs no display and no graphics card
    scene.cycles.device, scene.cycles.samples = "CPU", samples
    scene.cycles.use_denoising = scene.cycles.use_adaptive_sampling = False
    scene.cycles.max_bounces = 0  # everything shines by itself
    render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
    render.image_settings.file_format = "PNG"
    scenes.photo_colors(scene)
    bpy.ops.render.render(scene=scene.name)
    # Blender 5 reads braces in a path as a template, every Blender a backslash as a separator, and none notices a disk that
    # is full: so it writes under a name that is ours, and what it wrote is looked at.
    with tempfile.TemporaryDirectory() as private:
        own = Path(private) / "picture.png"
        bpy.data.images["Render Result"].save_render(str(own), scene=scene)
        content = own.read_bytes() if own.is_file() else b""
        if not content.endswith(PNG_END):
            raise OSError(errno.ENOSPC, f"'{private}' has no room for the picture")
    ownership.write_chosen(path, content)
