"""Download, move and remove models, as jobs and on the command line; the hub is on the loopback."""

import time

import bpy
import pictures
import pytest
from addon_fixtures import event, gone, step_until
from da3_blender.core.errors import Cancelled, MissingEnvironment
from da3_blender.core.models import catalogue
from da3_blender.core.models import folder as model_folder
from da3_blender.operators.command_line import cli
from da3_blender.operators.jobs.job import JobOperator
from da3_blender.operators.jobs.model_jobs import DownloadJob
from da3_blender.operators.state.places import Places, places
from da3_blender.operators.state.session import session
from hub import Hub, safetensors

BASE = catalogue.find("da3-base")
SIZE = 3_000_000


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Hub() as hub:
        hub.serve(BASE.repo, safetensors(SIZE))
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def folder(enabled, tmp_path):
    return tmp_path / "models"


def new_download(folder, hub, environment=None):
    environment = environment or places(bpy.context).environment
    return DownloadJob(session(bpy.context), BASE, Places(environment, folder, endpoint=hub.endpoint))


def test_a_download_tells_bytes_speed_and_time_left_and_brings_the_model(enabled, hub, folder):
    hub.rate = 2e6
    job, told = new_download(folder, hub), []
    job.run(tell=lambda: told.append((enabled.status.stage, enabled.status.detail, enabled.status.remaining)))
    assert enabled.status.outcome == "DA3 Base is installed (3 MB)" and enabled.job is None
    assert any("MB of 3 MB" in detail and "/s" in detail and left for _, detail, left in told), told
    assert BASE in enabled.contents(folder).models


def test_a_loaded_model_is_left_in_peace(enabled, hub, folder):
    bpy.ops.da3.generate()
    worker = enabled._client.pid
    new_download(folder, hub).run()
    assert (enabled._client.pid, enabled.model) == (worker, "da3-small")


def test_esc_ends_a_download_at_once_and_the_next_one_goes_on(enabled, hub, folder):
    class Window(JobOperator):
        bl_label = "Download"

        def report(self, kind, message):
            assert (kind, message) == ({"INFO"}, "Cancelled")

    hub.stall_at = 1_000_000
    window = Window()
    window._job = job = new_download(folder, hub)
    job.start()
    step_until(job, lambda: model_folder.partial_bytes(folder, BASE.name) == hub.stall_at)
    worker = job._client.pid
    started = time.perf_counter()
    assert window.modal(bpy.context, event("ESC", "PRESS")) == {"CANCELLED"}
    assert time.perf_counter() - started < 0.3  # SPEC 9
    assert gone(worker) and enabled.job is None and isinstance(job.error, Cancelled)
    assert enabled.contents(folder).models == (catalogue.find("da3-small"),)
    hub.stall_at = None
    new_download(folder, hub).run()
    assert hub.requests("store")[-1].start == 1_000_000
    assert BASE in enabled.contents(folder).models


def test_a_refusal_reaches_the_person_as_one_sentence(enabled, hub, folder):
    hub.fail(404, times=-1)
    job = new_download(folder, hub)
    with pytest.raises(Exception, match="has no model.safetensors"):
        job.run()
    assert enabled.status.failed and "\n" not in enabled.status.outcome


def test_without_dependencies_a_download_says_so(enabled, hub, folder, tmp_path, monkeypatch):
    monkeypatch.delenv("DA3_WORKER_PYTHON", raising=False)
    with pytest.raises(MissingEnvironment):
        new_download(folder, hub, tmp_path / "nothing").run()
    assert enabled.job is None


def test_the_command_line_downloads(enabled, hub, folder, capfd):
    assert cli.main(["models", "download", "da3-base", "--online"]) == 0
    said = capfd.readouterr()
    assert said.out.strip() == str(folder / "da3-base.safetensors") and "Apache-2.0" in said.err
    assert cli.main(["models", "download", "classic"]) == 2
    hub.fail(401, times=-1)
    assert cli.main(["models", "download", "da3-large", "--online"]) == 1
    assert "access token" in capfd.readouterr().err.splitlines()[-1]


def test_models_move_from_another_folder_and_can_be_removed(enabled, folder, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    pictures.write_model(old / "da3-base.safetensors")
    assert bpy.ops.da3.bring_models(directory=str(old)) == {"FINISHED"}
    assert enabled.status.outcome == "DA3 Base was moved" and list(old.glob("*.safetensors")) == []
    assert BASE in enabled.contents(folder).models
    assert bpy.ops.da3.remove_model(model="da3-base") == {"FINISHED"}
    assert BASE not in enabled.contents(folder).models
    with pytest.raises(RuntimeError, match="not installed"):
        bpy.ops.da3.remove_model(model="da3-base")


def test_a_file_that_is_not_whole_is_no_model(enabled, folder):
    (folder / "da3-small.safetensors").write_bytes(b"half of it")
    assert not enabled.has(catalogue.find("da3-small"), folder)
    assert not bpy.ops.da3.generate.poll()
