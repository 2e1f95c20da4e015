"""Nothing reaches for the network that was not allowed to."""

import bpy
import pytest
from da3_blender.core.models import catalogue
from da3_blender.operators.command_line import cli
from da3_blender.operators.state import needs
from da3_blender.panels import usefulness


@pytest.fixture(autouse=True)
def offline():
    before = bpy.context.preferences.system.use_online_access
    bpy.context.preferences.system.use_online_access = False
    yield
    bpy.context.preferences.system.use_online_access = before


@pytest.mark.parametrize("command", [["install"], ["models", "download", "da3-small"]])
def test_the_command_line_refuses_without_a_word(enabled, command, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("DA3_ENVIRONMENT", str(tmp_path / "environment"))
    monkeypatch.setenv("DA3_MODELS", str(tmp_path))
    assert cli.main(command) == 1
    assert "Online Access is off" in capfd.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "environment").exists()


def test_a_model_that_nobody_knows_is_said_and_nothing_raises(enabled, monkeypatch):
    class Unknown:
        """What a scene of a later version gives."""

        def __getattr__(self, name):
            return "" if name == "model" else getattr(bpy.context.scene.da3, name)

    class Context:
        scene = type("Scene", (), {"da3": Unknown()})()

        def __getattr__(self, name):
            return getattr(bpy.context, name)

    assert catalogue.known("") is None
    monkeypatch.setattr(needs, "environment_lack", lambda *_: None)
    assert "not known here" in needs.first_lack(Context()).reason
    for option in ("fp16", "use_metric", "field_of_view"):
        usefulness.why_unused(option, Unknown())
