"""The EXR of a frame's depth, as Blender reads it."""

import bpy
import numpy as np
from da3_blender.core.files import exr


def test_blender_reads_every_value(tmp_path):
    depth = np.random.default_rng(0).uniform(0.1, 50.0, (37, 50)).astype(np.float32)
    path = tmp_path / "plain.exr"
    path.write_bytes(exr.encode({"R": depth, "G": depth, "B": depth}))
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    flat = np.empty(4 * depth.size, np.float32)
    image.pixels.foreach_get(flat)
    assert np.array_equal(flat.reshape(37, 50, 4)[::-1, :, 0], depth)


def test_blender_s_cryptomatte_finds_a_thing_by_its_name(scene, tmp_path):
    ids = np.zeros((36, 48), np.int32)
    ids[:12, :20], ids[20:, 30:] = 3, 4
    channels, texts = exr.cryptomatte(ids, {3: "person_3", 4: "dog_4"})
    path = tmp_path / "depth.exr"
    path.write_bytes(exr.encode({"Z": np.ones(ids.shape, np.float32), **channels}, texts))
    image = bpy.data.images.load(str(path))
    if bpy.app.version >= (5, 0, 0):
        tree = scene.compositing_node_group = bpy.data.node_groups.new("matte", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        out = tree.nodes.new("NodeGroupOutput")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        out = tree.nodes.new("CompositorNodeComposite")
    node = tree.nodes.new("CompositorNodeCryptomatteV2")
    node.source, node.image = "IMAGE", image
    node.layer_name = "CryptoObject"
    node.matte_id = "person_3"
    tree.links.new(node.outputs["Matte"], out.inputs[0])
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(scene.camera)
    render = scene.render
    render.resolution_x, render.resolution_y, render.engine = 48, 36, "CYCLES"
    scene.cycles.samples, scene.view_settings.view_transform = 1, "Standard"
    render.filepath = str(tmp_path / "matte.png")
    bpy.ops.render.render(write_still=True, scene=scene.name)
    picture = bpy.data.images.load(render.filepath)
    flat = np.empty(4 * ids.size, np.float32)
    picture.pixels.foreach_get(flat)
    matte = flat.reshape(36, 48, 4)[::-1, :, 0]
    assert np.array_equal(matte > 0.5, ids == 3)
