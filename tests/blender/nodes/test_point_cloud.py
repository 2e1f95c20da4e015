"""The point cloud object: its attributes, its node group, its material."""

from dataclasses import fields, replace

import bpy
import numpy as np
import payloads
import pytest
from da3_blender.core.output.payload import PointArrays
from da3_blender.nodes import point_cloud
from da3_blender.nodes.datablocks import materials, point_trees, splat_nodes


@pytest.fixture
def tree(empty_file):
    return point_trees.point_cloud_tree(materials.point_material())


def evaluated_points(scene, obj) -> dict[str, np.ndarray]:
    """The attributes of the point cloud that the modifier makes."""
    if obj.name not in scene.collection.objects:
        scene.collection.objects.link(obj)
    obj.update_tag()
    seen = bpy.context.evaluated_depsgraph_get().object_instances
    clouds = [i.object.data for i in seen if i.object.type == "POINTCLOUD"]
    if not clouds:
        return {"position": np.empty((0, 3), np.float32)}
    (cloud,) = clouds
    values = {}
    for name, key, shape in (
        ("position", "vector", (-1, 3)), ("radius", "value", (-1,)), ("conf", "value", (-1,)),
        ("point_color", "color", (-1, 4)), ("frame", "value", (-1,)),
    ):  # fmt: skip
        data = cloud.attributes[name].data
        out = np.empty(len(data) * (shape[1] if len(shape) > 1 else 1), np.int32 if name == "frame" else np.float32)
        data.foreach_get(key, out)
        values[name] = out.reshape(shape)
    return values


def test_the_attributes_hold_the_arrays_bit_for_bit(tree, tmp_path):
    cloud = payloads.random_cloud(5000)
    cloud = replace(cloud, motion=cloud.conf / 12, object_id=cloud.frame, radius=cloud.conf / 500)
    mapped = PointArrays.open(tmp_path, cloud.save(tmp_path, "batch_0"))
    mesh = point_cloud.build("cloud", mapped, tree).data
    kinds = {"position": "FLOAT_VECTOR", "point_color": "FLOAT_COLOR", "conf": "FLOAT", "frame": "INT"}
    kinds |= {"motion": "FLOAT", "object_id": "INT", "radius": "FLOAT"}
    assert {f.name for f in fields(cloud)} == {*kinds, *point_cloud.SPLATS}  # those: datablocks/test_splat_nodes.py
    assert (len(mesh.vertices), len(mesh.edges), len(mesh.polygons)) == (5000, 0, 0)
    for name, kind in kinds.items():
        attribute, array = mesh.attributes[name], getattr(cloud, name)
        assert (attribute.data_type, attribute.domain) == (kind, "POINT")
        back = np.empty(array.size, array.dtype)
        attribute.data.foreach_get({"position": "vector", "point_color": "color"}.get(name, "value"), back)
        assert back.tobytes() == array.tobytes(), name
    assert mesh.vertices[17].co[:] == tuple(cloud.position[17])
    assert mesh.color_attributes.active_color.name == "point_color"


@pytest.mark.parametrize("threshold", [0.0, 0.5, 6.0, 100.0])
def test_only_points_of_at_least_the_threshold_are_shown(scene, tree, threshold):
    cloud = payloads.random_cloud(4000)
    obj = point_cloud.build("cloud", cloud, tree, threshold=threshold)
    points = evaluated_points(scene, obj)
    kept = cloud.conf >= np.float32(threshold)
    assert len(points["position"]) == kept.sum()
    if kept.any():
        for name in ("position", "conf", "point_color", "frame"):
            assert np.array_equal(points[name], getattr(cloud, name)[kept]), name


def test_a_dot_has_its_own_radius_times_point_size(scene, tree):
    cloud = payloads.random_cloud(10)
    radius = np.linspace(0.01, 2.0, 10, dtype=np.float32)
    obj = point_cloud.build("cloud", replace(cloud, radius=radius), tree, threshold=0.0, scale=3.0)
    np.testing.assert_allclose(evaluated_points(scene, obj)["radius"], 3.0 * radius, rtol=1e-6)
    point_trees.set_input(obj.modifiers["GeometryNodes"], "Point Size", 1.0)
    np.testing.assert_allclose(evaluated_points(scene, obj)["radius"], radius, rtol=1e-6)


def test_points_that_know_no_radius_have_one_of_two_thousandths(scene, tree):
    obj = point_cloud.build("cloud", payloads.random_cloud(10), tree, scale=3.0)
    assert evaluated_points(scene, obj)["radius"] == pytest.approx(0.006)


def test_the_viewport_shows_the_same_part_of_the_points_at_every_look(scene, tree):
    obj = point_cloud.build("cloud", payloads.random_cloud(4000), tree, threshold=0.0)
    point_trees.set_input(obj.modifiers["GeometryNodes"], "Display", 25.0)
    first, again = (evaluated_points(scene, obj)["position"] for _ in range(2))
    assert 0.2 < len(first) / 4000 < 0.3
    assert np.array_equal(first, again)
    for percent, share in ((0.0, 0.0), (100.0, 1.0)):
        point_trees.set_input(obj.modifiers["GeometryNodes"], "Display", percent)
        assert len(evaluated_points(scene, obj)["position"]) == share * 4000


def test_the_material_is_in_a_slot(tree):
    material = tree.nodes["Set Material"].inputs["Material"].default_value
    obj = point_cloud.run_all(point_cloud.build_steps("cloud", payloads.random_cloud(10), tree, material=material))
    assert [slot.material for slot in obj.material_slots] == [material]


def test_a_person_finds_the_nodes_and_the_inputs_by_their_names(tree):
    modifier = point_cloud.build("cloud", payloads.random_cloud(10), tree).modifiers["GeometryNodes"]
    sockets = [s for s in modifier.node_group.interface.items_tree if s.in_out == "INPUT"]
    assert [(s.name, getattr(s, "default_value", None)) for s in sockets] == [
        ("Geometry", None), ("Threshold", 0.5), ("Point Size", 1.0), ("Display", 100.0),
        ("Splats" if splat_nodes.DRAWN else "Discs", False),
    ]  # fmt: skip
    assert point_trees.get_input(modifier, "Threshold") == 0.5
    assert {"Mesh to Points", "Delete Geometry", "Set Material"} <= set(tree.nodes.keys())
    assert tree.nodes["Set Material"].inputs["Material"].default_value.name == "PointMaterial"


@pytest.mark.parametrize("which", ["geometry nodes", "material"])
def test_no_node_hides_another_and_every_link_runs_to_the_right(tree, which):
    if which == "material":
        tree = tree.nodes["Set Material"].inputs["Material"].default_value.node_tree
    places = [tuple(node.location) for node in tree.nodes]
    for i, (x, y) in enumerate(places):
        assert not any(abs(x - a) < 180 and abs(y - b) < 160 for a, b in places[:i]), tree.nodes[i].name
    assert all(link.from_node.location.x < link.to_node.location.x for link in tree.links)
    assert all(link.is_valid for link in tree.links)


def test_the_mix_node_shows_the_colour_at_0_and_the_confidence_at_1(empty_file):
    material = materials.point_material()
    assert material.name == "PointMaterial"
    mix = material.node_tree.nodes["Mix"]
    by_name = {s.name: s for s in mix.inputs if s.enabled}
    assert by_name["Factor"].default_value == 0.0
    assert by_name["A"].links[0].from_node.attribute_name == "point_color"
    ramp = by_name["B"].links[0].from_node
    assert [tuple(e.color)[:3] for e in ramp.color_ramp.elements] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    to_unit = ramp.inputs[0].links[0].from_node
    assert (to_unit.inputs["From Min"].default_value, to_unit.inputs["From Max"].default_value) == (0.0, 10.0)
    assert to_unit.inputs["Value"].links[0].from_node.attribute_name == "conf"
    (output,) = (n for n in material.node_tree.nodes if n.type == "OUTPUT_MATERIAL")
    assert output.inputs["Surface"].links[0].from_node.type == "EMISSION"


def test_cancelled_after_any_step_nothing_half_built_is_left(tree):
    cloud = payloads.random_cloud(100)
    steps_in_all = sum(1 for _ in point_cloud.build_steps("cloud", cloud, tree))
    bpy.data.batch_remove([*bpy.data.objects, *bpy.data.meshes])
    for taken in range(1, steps_in_all + 1):
        steps = point_cloud.build_steps("cloud", cloud, tree)
        for _ in range(taken):
            next(steps)
        steps.close()
        assert (len(bpy.data.meshes), len(bpy.data.objects)) == (0, 0), f"after step {taken}"


def test_a_cloud_without_points_is_built_too(scene, tree):
    obj = point_cloud.build("cloud", payloads.random_cloud(0), tree)
    assert len(evaluated_points(scene, obj)["position"]) == 0
