"""Devices: All, of the preferences: where a run asks for Ray, and where it does not."""

from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from da3_blender.core.settings import Settings
from da3_blender.operators.jobs import generation
from da3_blender.operators.state.places import Places


@pytest.mark.parametrize(
    "model, own, ray, asked",
    [
        ("da3-small", "", True, "local"),
        ("da3-small", "10.0.0.5:6379", True, "10.0.0.5:6379"),  # the scene says where
        ("da3-small", "", False, ""),  # Ray is not installed: one card, without a word
        ("classic", "", True, ""),  # no card computes it
    ],
)
def test_a_run_takes_all_cards_where_it_can(empty_file, monkeypatch, tmp_path, model, own, ray, asked):
    given = []
    client = SimpleNamespace(generate=lambda settings, *rest: given.append(settings["ray"]) or 1)
    session = SimpleNamespace(client=lambda places: client)
    monkeypatch.setattr(generation, "has_ray", lambda environment: ray)
    monkeypatch.setattr(generation.catalogue, "require", lambda *_: None)
    here = Places(Path("environment"), tmp_path, all_cards=True)
    job = generation.GenerateJob(session, bpy.context.scene, Settings(model=model, ray=own), here, online=False)
    job.start()
    assert given == [asked]
