"""The compositor's tree that lays what is rendered over the plate; of Blender before 5.0 and since."""

from __future__ import annotations

import bpy

OURS = "da3_compositing"  # on a tree of ours, and on its nodes
DEFAULT = {"CompositorNodeRLayers", "CompositorNodeComposite"}  # what Blender begins a tree with
#: Blender's node that takes the distortion out also moves the picture by a pixel to the left and down: measured in 4.5 and 5.0,
#: not in 4.2 and 5.3 (tests/blender/nodes/test_compositing.py).
SHIFTED = (4, 5, 0), (5, 1, 0)
BACK = 1.0 if bpy.app.version >= (5, 0, 0) else 0.75  # pixels; 4.5 puts pictures at whole ones, and 1 may become 2
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
    # To the render's size first: what the lens is taken out of grows beyond it, and is not to be squeezed into it again.
    size = _node(tree, "CompositorNodeScale", (-550, -200))
    _choose(size, "space", "RENDER_SIZE", "Type", "Render Size")
    _choose(size, "frame_method", "STRETCH", "Frame Type", "Stretch")
    tree.links.new(plate.outputs["Image"], size.inputs[0])
    last = size.outputs[0]
    if straighten and background.clip is not None:
        lens = _node(tree, "CompositorNodeMovieDistortion", (-300, -200))
        lens.clip = background.clip
        _choose(lens, "distortion_type", "UNDISTORT", "Type", "Undistort")
        tree.links.new(last, lens.inputs[0])
        last = lens.outputs[0]
    layers = _node(tree, "CompositorNodeRLayers", (-500, 250))
    layers.scene = scene
    if straighten and SHIFTED[0] <= bpy.app.version < SHIFTED[1]:
        back = _node(tree, "CompositorNodeTranslate", (-150, -200))
        back.inputs["X"].default_value = back.inputs["Y"].default_value = BACK
        tree.links.new(last, back.inputs[0])
        # The lower picture's place is that of the result: the render has it.
        last = _over(tree, layers.outputs["Image"], back.outputs[0], (0, -200))
    last = _over(tree, last, layers.outputs["Image"], (150, 0))
    if NEW:
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        out = _node(tree, "NodeGroupOutput", (350, 0))
    else:
        out = _node(tree, "CompositorNodeComposite", (350, 0))
    tree.links.new(last, out.inputs[0])
    scene.render.use_compositing = True
    return tree


def remove(scene: bpy.types.Scene) -> None:
    """Take a scene's tree of ours away, and leave what Blender begins with; one with a node of the person's stays."""
    tree = scene.compositing_node_group if NEW else scene.node_tree
    if tree is None or OURS not in tree or any(OURS not in node for node in tree.nodes):
        return
    if NEW:
        scene.compositing_node_group = None
        if not tree.users:
            bpy.data.node_groups.remove(tree)
        return
    tree.nodes.clear()
    layers, out = (tree.nodes.new(kind) for kind in sorted(DEFAULT, reverse=True))
    out.location = (300, 0)
    tree.links.new(layers.outputs["Image"], out.inputs["Image"])
    del tree[OURS]
    scene.use_nodes = False


def _over(
    tree: bpy.types.NodeTree, lower: bpy.types.NodeSocket, upper: bpy.types.NodeSocket, location: tuple[int, int]
) -> bpy.types.NodeSocket:
    """One picture over another, by its transparency."""
    over = _node(tree, "CompositorNodeAlphaOver", location)
    behind, before = ("Background", "Foreground") if "Background" in over.inputs else (1, 2)
    tree.links.new(lower, over.inputs[behind])
    tree.links.new(upper, over.inputs[before])
    return over.outputs[0]


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
    node[OURS] = True
    return node


def _choose(node: bpy.types.Node, name: str, value: str, socket: str, label: str) -> None:
    """An option of a node, which was a property once and is an input now."""
    if hasattr(node, name):
        setattr(node, name, value)
    else:
        node.inputs[socket].default_value = label
