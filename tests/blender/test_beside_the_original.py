"""DA3-blender, which this add-on takes the place of, may be enabled beside it: neither takes anything from the other."""

from unittest.mock import MagicMock

import bpy
import pictures
import pytest
from da3_blender import addon
from da3_blender.operators.state import original
from da3_blender.panels import boxes
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


# --------------------------------------------------------------------------------------------- what it leaves behind

PRELOAD = """\"\"\"DA3 Addon: loads torch from deps_public first\"\"\"\nimport torch\n"""  # its signs, none of its code


@pytest.fixture
def left(tmp_path):
    """A person's Blender folders: DA3-blender with models in that of 4.5, its script in 5.0's."""
    models = tmp_path / "4.5" / "scripts" / "addons" / "DA3-blender-main" / "models"
    startup = tmp_path / "5.0" / "scripts" / "startup"
    for folder in (models, startup, tmp_path / "5.1" / "scripts" / "startup"):
        folder.mkdir(parents=True)
    pictures.write_model(models / "da3-base.safetensors")
    (startup / original.SCRIPT).write_text(PRELOAD)
    (tmp_path / "5.1" / "scripts" / "startup" / original.SCRIPT).write_text("import torch  # a script of my own")
    return models, startup / original.SCRIPT


def test_its_models_and_its_script_are_found_in_every_version_s_folder(left, tmp_path):
    models, script = left
    size = (models / "da3-base.safetensors").stat().st_size
    assert original.look(tmp_path / "5.0") == original.Left(((models, 1, size),), (script,))
    assert original.look(tmp_path / "nowhere" / "5.0") == original.Left((), ())


def test_its_models_are_offered_and_moved(enabled, left, tmp_path, monkeypatch):
    monkeypatch.setattr(boxes, "user_folder", lambda: tmp_path / "5.0")
    layout = MagicMock()
    boxes.draw_original(layout, bpy.context)
    calls = layout.box().operator.mock_calls
    assert {call.args[0] for call in calls if call.args} == {"da3.bring_models", "da3.disable_torch_preload"}
    assert bpy.ops.da3.bring_models(directory=str(left[0])) == {"FINISHED"}
    assert enabled.status.outcome == "DA3 Base was moved" and not any(left[0].iterdir())
    assert original.look(tmp_path / "5.0").models == ()


def test_its_script_is_renamed_and_nothing_of_it_is_lost(enabled, left):
    script = left[1]
    aside = script.with_name(script.name + ".disabled")
    aside.write_text("mine")
    assert bpy.ops.da3.disable_torch_preload(script=str(script)) == {"FINISHED"}
    assert not script.exists() and aside.read_text() == "mine"
    (renamed,) = script.parent.glob("*-2.disabled")
    assert renamed.read_text() == PRELOAD and not list(script.parent.glob("*.py"))


@pytest.mark.parametrize("change", ["own", "link", "name", "binary", "gone"])
def test_a_script_that_is_another_stays(enabled, left, change):
    script = left[1]
    match change:
        case "own":
            script.write_text("import torch\n")
        case "link":
            (script.parent / "kept.py").write_text(script.read_text())
            script.unlink()
            script.symlink_to(script.parent / "kept.py")
        case "name":
            script = script.rename(script.with_name("mine.py"))
        case "binary":
            script.write_bytes(b"\xff\xfe DA3 Addon deps_public import torch")
        case "gone":
            script.unlink()
    before = {path.name: path.read_bytes() for path in script.parent.iterdir()}
    with pytest.raises(RuntimeError, match="stays as it is"):
        bpy.ops.da3.disable_torch_preload(script=str(script))
    assert {path.name: path.read_bytes() for path in script.parent.iterdir()} == before
