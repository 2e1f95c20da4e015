"""DA3-blender, which this add-on takes the place of, may be enabled beside it: neither takes anything from the other."""

import bpy
import pictures
import pytest
from da3_blender import addon
from original_addon import OPERATORS, PROPERTIES, Original


def ours():
    """Every class of this add-on that Blender knows, with the names of its properties."""
    classes = [getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("DA3_")]
    mine = [cls for cls in classes if cls.__module__.startswith("da3_blender.")]
    return {cls.__name__: sorted(cls.bl_rna.properties.keys()) for cls in mine}


def theirs():
    return {name: bpy.ops.da3.__getattribute__(name.split(".")[1]).get_rna_type().name for name in OPERATORS}


@pytest.fixture
def prepared(temp, stand_in, tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    pictures.write_model(folder / "da3-small.safetensors")
    monkeypatch.setenv("DA3_MODELS", str(folder))
    return str(pictures.write(tmp_path / "wall"))


@pytest.mark.parametrize("we_leave", ["first", "second"])
@pytest.mark.parametrize("we_come", ["first", "second"])
def test_both_are_enabled_run_and_disabled_in_any_order(prepared, capfd, we_come, we_leave):
    addon.register()
    alone = ours()
    addon.unregister()
    original, here = Original(), addon
    order = [here, original] if we_come == "first" else [original, here]
    for one in order:
        one.register()
    assert ours() == alone and set(theirs()) == set(OPERATORS)

    scene = bpy.context.scene
    settings = scene.da3
    settings.input, settings.model, settings.process_resolution, settings.filter_edges = (
        prepared,
        "da3-small",
        56,
        False,
    )
    scene.da3_model_name = "da3-giant"
    assert bpy.ops.da3.generate() == {"FINISHED"} and len(scene.camera and bpy.data.cameras) >= 3
    for name in OPERATORS:
        getattr(bpy.ops.da3, name.split(".")[1])()
        assert scene["original_ran"] == name
    assert bpy.ops.da3.free_model() == {"FINISHED"}
    assert (scene.da3.model, scene.da3_model_name) == ("da3-small", "da3-giant")

    for one in [here, original] if we_leave == "first" else [original, here]:
        one.unregister()
        if one is here and we_leave == "first":
            assert set(theirs()) == set(OPERATORS) and all(hasattr(bpy.types.Scene, name) for name in PROPERTIES)
        if one is original and we_leave == "second":
            assert ours() == alone and hasattr(bpy.types.Scene, "da3")
    assert not ours() and not hasattr(bpy.types.Scene, "da3")
    said = "".join(capfd.readouterr())
    assert "registered before" not in said and "Error" not in said and "Traceback" not in said, said
