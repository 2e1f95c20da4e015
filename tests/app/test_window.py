"""Claims about the real window: Blender 4.3.2, driven by mouse and keyboard. Run by ``make test-app``.

Each scenario is played once. Its pictures and figures are in out/app/<scenario>/; figures are printed too.
"""

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import window
from window import play

CONTROL_BACK = 0.3  # seconds from the key to Blender's main loop, also with a worker that computes on every core
LONGEST_GAP = 0.1  # seconds: what a person does not feel as a stop
STEP = (
    0.02  # seconds; a tick's budget (operators/jobs/job.py), and as much for the smallest piece of work that exceeds it
)
CALM = 0.3  # cores that are busy when the run is not; with more, a gap says nothing about the add-on
TRIES = 3
NOTHING_LEFT = {"processes": [], "temporary": []}


def show(**figures):
    print("\n" + json.dumps(figures, default=str), end="")


def left(end):
    """What the launcher found when every Blender had ended; the zip's own folder is the test's."""
    return {"processes": end["processes"], "temporary": [n for n in end["temporary"] if not n.startswith("da3-zip-")]}


# ------------------------------------------------------------------------------------------------ first steps


@pytest.fixture(scope="module")
def first_steps():
    played = play("first_steps", timeout=900, resources="installed", DA3_ENVIRONMENT="")
    show(install=played.one("seconds"), dependencies=played.one("dependencies"), generated=played.one("generated"))
    return played


def test_the_dependencies_are_installed_by_a_click(first_steps):
    assert first_steps.all("failed") == [False, False], first_steps.facts


def test_from_the_zip_to_a_cloud_nothing_but_the_window_is_touched(first_steps):
    assert first_steps.one("installed") is True
    assert first_steps.one("chosen").rstrip("/").endswith("courtyard")
    assert " points, " in first_steps.one("generated")
    assert first_steps.one("preferences") is True
    assert left(first_steps.end) == NOTHING_LEFT


# ------------------------------------------------------------------------------------------------ Esc, right-click


@pytest.fixture(scope="module")
def stops(hub):
    moments = os.environ.get("DA3_MOMENTS", "generate=7,download=7,install=6")
    played = play("stopping", timeout=1500, DA3_MOMENTS=moments, DA3_HUB=hub)
    found = [fact for fact in played.facts["one"] if "kind" in fact]
    for kind in ("generate", "download", "install"):
        seconds = sorted(stop["seconds"] for stop in found if stop["kind"] == kind)
        if seconds:
            show(kind=kind, stops=len(seconds), median=seconds[len(seconds) // 2], longest=seconds[-1])
    show(load=max(stop["load"] for stop in found), clean_after=max(stop["clean_after"] for stop in found))
    return found, played.end


def test_esc_gives_control_back_within_a_third_of_a_second(stops):
    assert len(stops[0]) >= 20
    assert [stop for stop in stops[0] if stop["seconds"] >= CONTROL_BACK] == []


def test_no_process_but_the_worker_is_left_by_a_stop(stops):
    assert [stop for stop in stops[0] if stop["processes"]] == []
    assert left(stops[1]) == NOTHING_LEFT


def test_no_file_and_no_half_model_is_left_by_a_stop(stops):
    assert [stop for stop in stops[0] if stop["rubbish"] or stop["models"]] == []


def test_a_stop_is_told_as_one(stops):
    assert {stop["outcome"] for stop in stops[0]} == {"Cancelled"}


# ------------------------------------------------------------------------------------------------ the interface lives


@pytest.fixture(scope="module")
def gaps():
    """Runs of the courtyard, measured; played again where something else had the machine's cores, or a gap was too long."""
    for number in range(1, TRIES + 1):
        facts = play("whole_run", timeout=600).facts["one"]
        runs = {fact["view"]: fact for fact in facts if "view" in fact}
        alone = next(fact["alone"] for fact in facts if "alone" in fact)
        for run in runs.values():
            show(**run)
            assert not run["failed"]
        show(alone={what: dict(zip(("least", "median", "most"), found, strict=True)) for what, found in alone.items()})
        is_calm = max(runs["away"]["busy"]) < CALM
        if runs["away"]["working"] < LONGEST_GAP and runs["away"]["showing"] < shown_by_blender(alone):
            break
        print(
            f"\nGaps, try {number} of {TRIES}: not as claimed; this machine was {'calm' if is_calm else 'BUSY'}", end=""
        )
        if is_calm:
            break
    return runs["away"], alone, is_calm


def shown_by_blender(alone):
    """Seconds that Blender may stand still to show the cloud: what it takes without us, and one step of ours."""
    return alone["cloud"][2] + STEP


def judge(gap, most, gaps):
    run, _, is_calm = gaps
    if gap >= most and not is_calm:
        pytest.skip(f"NOT SHOWN: {gap:.3f} s on a machine with {run['busy']} cores busy with something else")
    assert gap < most, run["worst"]


def test_the_interface_never_stands_still_for_a_tenth_of_a_second(gaps):
    """From the click to the end, but for the one moment in which Blender draws the finished cloud for the first time."""
    judge(gaps[0]["working"], LONGEST_GAP, gaps)


def test_the_finished_cloud_is_shown_as_soon_as_blender_itself_can(gaps):
    """The first drawing of 1.2 million points is Blender's: the same, without add-on and job, is measured in the same window."""
    judge(gaps[0]["showing"], shown_by_blender(gaps[1]), gaps)


# ------------------------------------------------------------------------------------------------ two Blenders


@pytest.fixture(scope="module")
def two(hub, stand_ins):
    played = play(
        "two_blenders", roles=("left", "right"), timeout=1500, resources="installed",
        fresh=False, DA3_ENVIRONMENT="",
        DA3_HUB=hub, DA3_STAND_INS=stand_ins,
    )  # fmt: skip
    for role, facts in played.facts.items():
        show(role=role, steps={fact["step"]: (fact["outcome"], fact["seconds"]) for fact in facts if "step" in fact})
    return played


def test_two_blenders_share_the_environment_and_the_model_folder(two):
    for facts in two.facts.values():
        steps = {fact["step"]: fact for fact in facts if "step" in fact}
        assert steps.keys() == {"repair", "download", "generate", "classic"}
        assert [step for step in steps.values() if step["failed"]] == []
    assert left(two.end) == NOTHING_LEFT


def test_two_blenders_that_download_the_same_model_make_one_whole_file(two):
    for role in ("left", "right"):
        assert two.one("models", role) == ["da3-small"]
        assert [file for file in two.one("files", role) if file.endswith(".safetensors")] == ["da3-small.safetensors"]


# ------------------------------------------------------------------------------------------------ meddling


@pytest.fixture(scope="module")
def meddled(stand_ins):
    models = window.OUT / "meddling_models"
    models.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(window.ROOT / "tests" / "support"))
    import pictures

    pictures.write_model(models / "da3-small.safetensors")
    return play("meddling", timeout=300, DA3_STAND_INS=stand_ins, DA3_MODELS=str(models))


def test_a_whole_run_is_one_undo_step(meddled):
    assert meddled.one("whole_run") > 0
    assert meddled.one("after_one_undo") and meddled.one("after_redo")


def test_ctrl_z_in_a_run_waits_and_an_undo_is_built_over(meddled):
    assert meddled.one("ctrl_z_leaves_the_cube") and meddled.one("runs")
    assert meddled.one("rebuilt"), meddled.facts
    assert " points, " in meddled.one("undone_in_a_run")


def test_deleting_the_collection_ends_the_run_with_a_sentence(meddled):
    assert "collection" in meddled.one("collection_deleted")


def test_another_file_ends_the_run_and_its_processes(meddled):
    assert meddled.one("other_workspace") and meddled.one("other_file")
    assert meddled.one("processes_after_other_file") == 0


def test_disabling_the_add_on_ends_the_run_and_its_processes(meddled):
    assert meddled.one("processes_after_disabling") == 0


def test_closing_blender_in_a_run_leaves_no_process_and_no_file(meddled):
    assert meddled.one("closed_with") > 0, "there was nothing to end"
    show(processes=meddled.one("closed_with"), gone_after=meddled.end["gone_after"])
    assert left(meddled.end) == NOTHING_LEFT


# ------------------------------------------------------------------------------------------------ keys alone


def test_a_run_is_started_and_stopped_by_keys_alone():
    played = play("sidebar", timeout=300)
    assert played.one("sidebar_by_key") == [False, True]
    assert played.one("started_by_keys") == "Generate" and played.one("stopped_by_keys") == "Cancelled"
    assert left(played.end) == NOTHING_LEFT


# ------------------------------------------------------------------------------------------------ what is not the run's


def test_keys_and_clicks_elsewhere_end_no_run_and_esc_over_the_tab_ends_it_at_once(stand_ins):
    models = window.OUT / "elsewhere_models"
    models.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(window.ROOT / "tests" / "support"))
    import pictures

    pictures.write_model(models / "da3-small.safetensors")
    played = play("elsewhere", timeout=1500, DA3_STAND_INS=stand_ins, DA3_MODELS=str(models))
    show(presses=played.one("presses"), ended=played.one("ended_runs"), esc_over_the_tab=played.one("esc_over_the_tab"))
    assert played.one("presses") == 20 and played.one("ended_runs") == []
    assert played.one("asked_and_runs") and played.one("runs_after_no")
    assert max(played.one("esc_over_the_tab")) < CONTROL_BACK
    assert left(played.end) == NOTHING_LEFT


def test_a_cloud_of_1_2_million_points_is_drawn_in_solid_as_fast_as_bare_vertices():
    played = play("redraw", timeout=600)
    show(percent=played.one("percent"), seconds=played.one("seconds"), ratio=played.one("ratio"))
    assert played.one("ratio") <= 1.1


# ------------------------------------------------------------------------------------------------ the gallery


@pytest.fixture(scope="module")
def first_hour():
    return play("first_hour", timeout=900, DA3_KEPT_ENVIRONMENT=os.environ["DA3_ENVIRONMENT"])


def test_the_first_hour_has_a_picture_of_every_state_at_both_widths(first_hour):
    """They are to be looked at: no text may be cut. Some of them are in docs/first_hour.md."""
    widths = first_hour.all("width")
    show(widths=widths, outcome=first_hour.one("outcome"))
    assert widths == [pytest.approx(291, abs=2), pytest.approx(211, abs=2)]
    assert first_hour.all("first_model") == ["classic", "classic"] and first_hour.one("failed") is False


def test_three_clicks_and_a_folder_make_a_coloured_cloud(first_hour):
    assert (first_hour.one("tab"), first_hour.one("clicks")) == ("DA3", 3)
    assert first_hour.one("shading") == "MATERIAL" and first_hour.one("cube_hidden") is True
    show(points=first_hour.one("result"))
    assert sum(first_hour.one("result")) > 100_000
