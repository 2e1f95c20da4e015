"""What the sidebar and the preferences show, recorded by a stand-in for Blender's layout."""

import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import bpy
import pytest
from addon_fixtures import new_run, step_until
from da3_blender import addon
from da3_blender.core.installer import place
from da3_blender.core.installer.condition import State
from da3_blender.core.settings import options
from da3_blender.core.worker import pace
from da3_blender.operators import inputs, models, results
from da3_blender.operators.jobs import job
from da3_blender.operators.state import first_model, needs, places
from da3_blender.panels import boxes, menu, option_rows, preferences, result_box, sidebar, start, usefulness, wording

LATE = Path(__file__).resolve().parents[2] / "support" / "late_failures.py"


def draw_all(context=None):
    """All calls that draw the sidebar with the scene as it is."""
    drawn = MagicMock()
    for panel in sidebar.CLASSES:
        panel.draw(SimpleNamespace(layout=drawn), context or bpy.context)
        if hasattr(panel, "draw_header"):
            panel.draw_header(SimpleNamespace(layout=drawn), context or bpy.context)
    return drawn


def texts(drawn):
    return [str(call.kwargs.get("text")) for call in drawn.mock_calls if call[0].endswith("label")]


def buttons(drawn):
    return [call.args[0] for call in drawn.mock_calls if call[0].endswith("operator") and call.args]


def lacking(monkeypatch, tmp_path):
    monkeypatch.delenv("DA3_WORKER_PYTHON", raising=False)
    monkeypatch.setenv("DA3_ENVIRONMENT", str(tmp_path / "nothing"))


def test_generate_says_what_it_is_waiting_for_and_the_button_that_mends_it_is_there(enabled, monkeypatch, tmp_path):
    settings = bpy.context.scene.da3
    assert needs.why_not(bpy.context) == ""
    settings.model = "da3-giant-1.1"
    assert needs.why_not(bpy.context) == "DA3 Giant 1.1 is not downloaded"
    drawn = draw_all()
    assert "da3.fetch_model" in buttons(drawn) and "CC BY-NC" in " ".join(texts(drawn))
    assert any("5.4 GB" in str(call.kwargs.get("text")) for call in drawn.mock_calls)
    settings.model = "classic"
    settings.input = ""
    assert "input" in needs.why_not(bpy.context) and "da3.choose_input" in buttons(draw_all())
    settings.input = str(tmp_path / "not there")
    assert "There is no" in needs.why_not(bpy.context)
    lacking(monkeypatch, tmp_path)
    assert "not installed" in needs.why_not(bpy.context)
    assert "da3.set_up_dependencies" in buttons(draw_all())


def shown_settings():
    """Names of all properties that the sidebar draws now."""
    calls = draw_all().mock_calls
    return {call.args[1] for call in calls if call[0].endswith((".prop", ".prop_search")) and len(call.args) > 1}


def set_all(settings):
    """Switches on all that others wait for."""
    for name in ("use_metric", "detect_motion", "use_segmentation", "merge_points", "fuse_frames", "animate_sequence"):
        setattr(settings, name, True)
    settings.lens, settings.lens_focal = "fixed", 35.0
    settings.output_folder, settings.distortion = "/tmp", "fisheye"
    settings.ray, settings.more_inputs = "local", "|/right"


def test_every_setting_has_a_place_and_is_shown_where_it_has_an_effect(enabled):
    settings = bpy.context.scene.da3
    set_all(settings)
    seen = set()
    for model in settings.bl_rna.properties["model"].enum_items.keys():  # noqa: SIM118  # not a dict
        for mode in ("automatic", "da3_streaming"):
            for known in ("off", "colmap", "collection", "camera", "file", "structure_from_motion"):
                for meshes in (False, True):
                    settings.model, settings.batch_mode, settings.known_cameras = model, mode, known
                    settings.generate_meshes = meshes
                    seen |= {o.name for panel in sidebar.TITLES for o in option_rows.rows_of(panel, settings)}
    settings.output_folder, settings.output_debug_images = "", True
    seen |= {o.name for o in option_rows.rows_of(option_rows.FILES, settings)}
    assert {o.name for o in options()} - option_rows.ABOVE == seen
    assert {"input", "quality", "results"} <= shown_settings()


def test_whether_motion_is_looked_for_is_seen_with_the_panel_closed(enabled):
    drawn = MagicMock()
    bpy.types.DA3_PT_motion.draw_header(SimpleNamespace(layout=drawn), bpy.context)
    drawn.prop.assert_called_once_with(bpy.context.scene.da3, "detect_motion", text="")
    assert [call.args[1] for call in draw_all().mock_calls if "detect_motion" in call.args] == ["detect_motion"]


def test_a_setting_that_does_nothing_is_left_out(enabled):
    settings = bpy.context.scene.da3
    settings.model = "classic"
    assert usefulness.why_unused("fp16", settings) == "Classic has no weights"
    assert "fp16" not in shown_settings()
    settings.model = "da3-small"
    assert "fp16" in shown_settings()
    settings.model = "da3mono-large"
    assert usefulness.why_unused("field_of_view", settings) == ""
    settings.batch_mode = "ignore_batch_size"
    assert usefulness.why_unused("batch_size", settings)
    settings.merge_points = True
    assert not usefulness.why_unused("merge_voxel_size", settings)


def test_numbers_that_mean_a_word_are_shown_as_the_word(enabled):
    settings = bpy.context.scene.da3
    assert {"auto_end_frame", "auto_batch_size"} <= shown_settings() and "end_frame" not in shown_settings()
    settings.auto_end_frame = False
    assert settings.end_frame == 100 and {"end_frame", "auto_end_frame"} <= shown_settings()
    settings.auto_end_frame = True
    assert settings.end_frame == -1


def test_quality_sets_the_options_and_reads_them_back(enabled):
    settings = bpy.context.scene.da3
    settings.process_resolution = 504
    assert settings.quality == "standard"
    settings.quality = "draft"
    assert (settings.process_resolution, settings.batch_mode) == (280, "automatic")
    settings.batch_size = 4  # as a script may
    assert settings.quality == "custom"
    settings.quality = "fine"
    assert (settings.process_resolution, settings.batch_size) == (1008, 0)
    settings.quality = "custom"
    assert settings.process_resolution == 1008 and settings.quality == "custom"


def test_results_are_points_or_meshes_and_a_surface_beside(enabled):
    settings = bpy.context.scene.da3
    assert settings.results == {"points"}
    settings.results = {"points", "meshes"}  # with Shift
    assert settings.results == {"meshes"} and settings.generate_meshes
    settings.results = {"meshes", "points"}
    assert settings.results == {"points"}
    settings.results = {"surface"}
    assert settings.results == {"points", "surface"} and settings.fuse_frames and not settings.generate_meshes
    settings.results = {"meshes"}
    assert settings.generate_meshes and not settings.fuse_frames


def test_a_file_begins_with_classic_until_a_model_is_there_and_then_with_the_one_chosen_last(
    enabled, monkeypatch, tmp_path
):
    scene = bpy.context.scene
    assert first_model.first_model(bpy.context) == "da3-small"  # which is there
    monkeypatch.setenv("DA3_MODELS", str(tmp_path / "none"))
    scene.da3.property_unset("model")
    assert first_model.is_open(scene)
    first_model.choose()
    assert scene.da3.model == "classic" and not first_model.is_open(scene)
    chosen = SimpleNamespace(last_model="")
    monkeypatch.setattr("da3_blender.operators.models.preferences", lambda context: chosen)
    assert bpy.ops.da3.choose_model(model="da3-small") == {"FINISHED"}
    assert (scene.da3.model, chosen.last_model) == ("da3-small", "da3-small")


def test_what_an_input_holds_is_said(enabled, tmp_path):
    settings = bpy.context.scene.da3
    settings.model = "classic"
    assert "3 images, 56 x 42" in texts(draw_all()) and "Uses 3 of 3 images, 1 pass" in texts(draw_all())
    here = places.places(bpy.context).kept_runs
    here.mkdir(parents=True, exist_ok=True)
    pace.learn(
        here,
        pace.Kind(pace.work_of(settings), "cpu", 6, settings.process_resolution**2 * 3 // 4),
        {"cameras": 100.0, "depth": 100.0},
    )
    assert "Uses 3 of 3 images, 1 pass, about 1 min 40 s" in " ".join(texts(draw_all()))
    settings.start_frame, settings.frame_stride = 1, 2
    assert start.use_text(settings, 14) == "Uses 7 of 14 images, 1 pass"
    settings.input = str(tmp_path)
    assert needs.why_not(bpy.context) == "There are no images in this folder"
    assert "There are no images in this folder" in texts(draw_all())


@pytest.mark.parametrize(
    ("switch", "value", "rules"),
    [
        ("detect_motion", True, ["motion_threshold"]),
        ("use_segmentation", True, ["seg_model", "seg_confidence"]),
        ("generate_meshes", True, ["mesh_edge_length"]),
        ("fuse_frames", True, ["fuse_voxel_size", "fuse_faces", "fuse_texture"]),
        ("batch_mode", "da3_streaming", [option.name for option in options() if option.group == "streaming"]),
    ],
)
def test_what_a_switch_rules_is_grey_without_it(enabled, switch, value, rules):
    settings = bpy.context.scene.da3
    assert all(usefulness.why_unused(name, settings).startswith("Only with") for name in rules)
    setattr(settings, switch, value)
    assert not any(usefulness.why_unused(name, settings) for name in rules)


def test_a_rounded_resolution_is_said(enabled):
    bpy.context.scene.da3.process_resolution = 500
    assert any(text.startswith("504 is used") for text in texts(draw_all()))
    bpy.context.scene.da3.process_resolution = 504
    assert not any("is used" in text for text in texts(draw_all()))


def test_a_run_shows_its_progress_and_then_its_end_with_all_warnings(enabled, stand_in):
    stand_in("slow")
    run = new_run()
    run.start()
    step_until(run, lambda: run.status.stage == "model")
    drawn = draw_all()
    (progress,) = [call for call in drawn.mock_calls if call[0].endswith(".progress")]
    assert progress.kwargs["text"].startswith("Model ") and "da3.cancel" in buttons(drawn)
    assert "da3.generate" not in buttons(drawn)
    run.cancel()
    enabled.status.warnings = ["one.jpg was left out", "two.jpg was left out"]
    assert {"Cancelled", "2 warnings", "one.jpg was left out"} <= set(texts(draw_all()))


def test_what_failed_beside_the_scene_is_marked_and_stands_before_the_warnings(enabled, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DA3_KEPT_RUNS", str(tmp_path / "file" / "kept"))
    bpy.context.scene.da3.output_folder = str(tmp_path / "out")
    monkeypatch.setenv("DA3_PREDICTOR", f"{LATE}:gone")  # before the first pass
    monkeypatch.setenv("DA3_SPOIL", str(tmp_path / "out"))
    monkeypatch.setenv("DA3_SPOIL_PASS", "1")
    run = new_run()
    run.run()
    assert len(run.collection.all_objects) == 4  # the scene is there
    enabled.status.warnings.append("caf\udce9.jpg was left out")
    failures = enabled.status.failures
    assert len(failures) == 2 and "point cloud" in failures[0] and "could not be kept" in failures[1]
    drawn = draw_all()
    marks = [call.kwargs["icon"] for call in drawn.mock_calls if call[0].endswith("label") and "icon" in call.kwargs]
    assert marks.count("CANCEL") == 2 and marks.index("CANCEL") < marks.index("ERROR")
    said = texts(drawn)
    assert "1 warning" in said and any("caf\u00e9.jpg" in text for text in said)


def test_the_preferences_show_the_environment_and_all_models(enabled, monkeypatch, tmp_path):
    lacking(monkeypatch, tmp_path)
    drawn = MagicMock()
    declared = dict.fromkeys(preferences.DA3_AddonPreferences.__annotations__, "") | {"device": "auto"}
    preferences.DA3_AddonPreferences.draw(SimpleNamespace(layout=drawn, **declared), bpy.context)
    assert "The dependencies are not installed" in " ".join(texts(drawn))
    assert {"DA3 Small", "DA3 Nested Giant Large 1.1", "Apache-2.0"} <= set(texts(drawn))
    assert {"da3.set_up_dependencies", "da3.fetch_model", "da3.remove_model", "da3.bring_models"} <= set(buttons(drawn))


def test_everything_that_can_be_clicked_has_a_tooltip(enabled):
    classes = [cls for module in addon.MODULES for cls in getattr(module, "CLASSES", ())]
    operators = [cls for cls in classes if issubclass(cls, bpy.types.Operator)]
    assert len(operators) >= 11
    for cls in operators:
        described = getattr(bpy.ops.da3, cls.bl_idname.partition(".")[2]).get_rna_type()
        assert described.description, cls
        for prop in described.properties:
            if prop.identifier not in ("rna_type",):
                assert prop.description, (cls, prop.identifier)
        is_hidden = "INTERNAL" in getattr(cls, "bl_options", set())
        own = (job.DA3_OT_listen, job.DA3_OT_ask_to_cancel, models.DA3_OT_choose_model, results.DA3_OT_select_run)
        assert is_hidden == (cls in own), "F3 finds all that is of use to a person"
    for owner in (bpy.context.scene.da3.bl_rna,):
        for prop in owner.properties:
            assert prop.description or prop.identifier in ("rna_type", "name"), prop.identifier
    for name, declared in preferences.DA3_AddonPreferences.__annotations__.items():
        assert declared.keywords["description"], name


@pytest.mark.parametrize("width", [160, 280, 291, 700])
def test_wrapped_text_keeps_every_word_and_fits(width):
    import blf

    context = SimpleNamespace(
        region=SimpleNamespace(width=width), preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0))
    )
    text = "DA3 Nested Giant Large 1.1 is not downloaded: CC BY-NC 4.0, not for commercial use, WWWWWWWWWW MMMMMMMM"
    lines = wording.lines_of(context, text)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert width < 200 or " ".join(lines) == text  # words are cut only where they must be
    blf.size(0, wording.POINTS)
    longest = max(blf.dimensions(0, line)[0] for line in lines)
    assert longest <= width - wording.MARGIN


def test_places_come_from_the_preferences_and_the_environment(enabled, monkeypatch, tmp_path):
    monkeypatch.setenv("DA3_ENVIRONMENT", str(tmp_path / "environment"))
    here = places.places(bpy.context)
    assert (here.environment, here.models) == (tmp_path / "environment", tmp_path / "models")
    assert here.device is None and here.token is None
    chosen = SimpleNamespace(
        environment_folder="/e", model_folder="/m", device="rocm", wheel_folder="/w", hub_endpoint=" http://h ",
        hub_token="t", kept_folder="/k", kept_gigabytes=2.5, cards="all",
    )  # fmt: skip
    monkeypatch.setattr(places, "preferences", lambda context: chosen)
    here = places.places(bpy.context)
    assert [str(p) for p in (here.environment, here.models, here.wheels)] == ["/e", "/m", "/w"]
    assert (here.device, here.endpoint, here.token) == ("cuda", "http://h", "t")
    assert (str(here.kept_runs), here.kept_bytes) == ("/k", 2_500_000_000)
    assert here.all_cards


@pytest.mark.parametrize("ray", [False, True])
def test_all_cards_can_be_chosen_where_ray_is_installed_and_else_the_button_is_told_of(enabled, monkeypatch, ray):
    monkeypatch.setattr(place, "has_ray", lambda environment: ray)
    ready = SimpleNamespace(state=State.READY, reason="Ready", warning="")
    monkeypatch.setattr(enabled, "environment_status", lambda folder: ready)
    drawn = MagicMock()
    declared = dict.fromkeys(preferences.DA3_AddonPreferences.__annotations__, "") | {"device": "auto"}
    boxes.draw_environment(drawn, bpy.context, SimpleNamespace(**declared))
    offered = [call.args[1] for call in drawn.mock_calls if call[0].endswith("prop")]
    assert ("cards" in offered) is ray and ("da3.install_ray" in buttons(drawn)) is not ray
    assert any("need Ray" in text for text in texts(drawn)) is not ray


def test_import_and_drop_set_the_input(enabled, tmp_path):
    settings = bpy.context.scene.da3
    folder = tmp_path / "wall"
    call = {"directory": str(folder)}
    assert bpy.ops.da3.choose_input(**call) == {"FINISHED"}
    assert settings.input == str(folder)
    assert bpy.ops.da3.choose_input(**call, files=[{"name": "photo_001.png"}, {"name": "photo_002.png"}]) == {
        "FINISHED"
    }
    assert (settings.input, settings.start_frame, settings.end_frame) == (str(folder), 1, -1)
    assert bpy.ops.da3.choose_input(filepath=str(folder / "photo_000.png")) == {"FINISHED"}
    assert (settings.input, settings.start_frame) == (str(folder / "photo_000.png"), 0)
    assert bpy.ops.da3.import_images(**call) == {"FINISHED"}  # and the run that follows
    assert "wall" in bpy.data.collections
    settings.model = "da3-base"
    assert bpy.ops.da3.import_images(**call) == {"FINISHED"}  # says what is missing
    with pytest.raises(RuntimeError, match="no image or video"):
        bpy.ops.da3.choose_input(filepath=__file__)


def test_the_drop_handler_and_the_menu_are_there_and_go(enabled):
    assert bpy.types.DA3_FH_images.bl_import_operator == "da3.import_images"
    assert inputs.draw_import in bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize()
    addon.unregister()
    assert inputs.draw_import not in bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize()
    addon.register()


def test_menus_hold_what_makes_something_new_and_nothing_that_removes(enabled):
    drawn = MagicMock()
    menu.DA3_MT_menu.draw(SimpleNamespace(layout=drawn), bpy.context)
    inputs.draw_import(SimpleNamespace(layout=drawn), bpy.context)
    assert set(buttons(drawn)) == {"da3.generate", "da3.import_images"}


def test_every_operator_of_use_has_a_button(enabled):
    """In the tab, the preferences or a menu."""
    used = "".join(file.read_text("utf-8") for file in Path(sidebar.__file__).parent.glob("*.py"))
    own = {"da3.listen", "da3.ask_to_cancel"}
    assert {f"da3.{name}" for name in dir(bpy.ops.da3)} - own <= set(re.findall(r"da3\.[a-z_]+", used))


def test_the_result_of_a_run_is_shown_with_its_buttons(enabled):
    run = new_run()
    run.run()
    drawn = MagicMock()
    result_box.draw_result(drawn, bpy.context, run.collection)
    shown = {call.args[1] for call in drawn.mock_calls if call[0].endswith(".prop")}
    assert {"point_size", "min_confidence", "show_confidence", "display", "show_points", "show_cameras"} <= shown
    assert "show_surface" not in shown and "DA3_MT_runs" not in str(drawn.mock_calls)
    assert {"da3.rebuild", "da3.fuse", "da3.delete_run", "da3.export_points"} <= set(buttons(drawn))
    first = run.collection.name
    second = new_run()
    second.run()
    drawn = MagicMock()
    result_box.draw_result(drawn, bpy.context, second.collection)
    assert "DA3_MT_runs" in str(drawn.mock_calls)
    assert bpy.ops.da3.select_run(run=first) == {"FINISHED"}
    assert bpy.context.active_object.name in bpy.data.collections[first].all_objects
