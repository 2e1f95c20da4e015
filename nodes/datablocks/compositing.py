"""The compositor's tree that lays what is rendered over the plate; of Blender before 5.0 and since."""

from __future__ import annotations

import bpy

OURS = "da3_compositing"  # on a tree of ours
DEFAULT = {"CompositorNodeRLayers", "CompositorNodeComposite"}  # what Blender begins a tree with
NEW = bpy.app.version >= (5, 0, 0)  # trees are node groups, and options are inputs


def lay_over(
    scene: bpy.types.Scene, background: bpy.types.CameraBackgroundImage, *, straighten: bool
) -> bpy.types.NodeTree | None:
    """Let a scene's renders lie over what a camera's background shows, stretched to the render's size.

    None where the person has a tree of their own, which stays as it is.

    Parameters
    ----------
    straighten : take the lens distortion out of a clip, as its lens says
    """
    tree = _tree(scene)
    if tree is None:
        return None
    tree.nodes.clear()
    if background.source == "MOVIE_CLIP":
        plate = _node(tree, "CompositorNodeMovieClip", (-800, -200))
        plate.clip = background.clip
    else:
        plate = _node(tree, "CompositorNodeImage", (-800, -200))
        plate.image, user = background.image, background.image_user
        if background.image.source in ("SEQUENCE", "MOVIE"):
            plate.frame_start, plate.frame_duration, plate.frame_offset = (
                user.frame_start, user.frame_duration, user.frame_offset,
            )  # fmt: skip
    plate.label = "Plate"
    last = plate.outputs["Image"]
    if straighten and background.clip is not None:
        lens = _node(tree, "CompositorNodeMovieDistortion", (-550, -200))
        lens.clip = background.clip
        _choose(lens, "distortion_type", "UNDISTORT", "Type", "Undistort")
        tree.links.new(last, lens.inputs[0])
        last = lens.outputs[0]
    size = _node(tree, "CompositorNodeScale", (-300, -200))
    _choose(size, "space", "RENDER_SIZE", "Type", "Render Size")
    _choose(size, "frame_method", "STRETCH", "Frame Type", "Stretch")
    tree.links.new(last, size.inputs[0])
    layers = _node(tree, "CompositorNodeRLayers", (-500, 250))
    layers.scene = scene
    over = _node(tree, "CompositorNodeAlphaOver", (0, 0))
    behind, before = ("Background", "Foreground") if "Background" in over.inputs else (1, 2)
    tree.links.new(size.outputs[0], over.inputs[behind])
    tree.links.new(layers.outputs["Image"], over.inputs[before])
    if NEW:
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        out = _node(tree, "NodeGroupOutput", (250, 0))
    else:
        out = _node(tree, "CompositorNodeComposite", (250, 0))
    tree.links.new(over.outputs[0], out.inputs[0])
    scene.render.use_compositing = True
    return tree


def _tree(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """An empty tree of ours in the scene's compositor; None where a person's is there."""
    if NEW:
        known = scene.compositing_node_group
        if known is not None and OURS not in known:
            return None
        tree = known or bpy.data.node_groups.new(f"{scene.name}_Shot", "CompositorNodeTree")
        tree.interface.clear()
        scene.compositing_node_group = tree
    else:
        known = scene.node_tree if scene.use_nodes else None
        if known is not None and OURS not in known and not {node.bl_idname for node in known.nodes} <= DEFAULT:
            return None
        scene.use_nodes = True
        tree = scene.node_tree
    tree[OURS] = True
    return tree


def _node(tree: bpy.types.NodeTree, kind: str, location: tuple[int, int]) -> bpy.types.Node:
    node = tree.nodes.new(kind)
    node.location = location
    return node


def _choose(node: bpy.types.Node, name: str, value: str, socket: str, label: str) -> None:
    """An option of a node, which was a property once and is an input now."""
    if hasattr(node, name):
        setattr(node, name, value)
    else:
        node.inputs[socket].default_value = label
