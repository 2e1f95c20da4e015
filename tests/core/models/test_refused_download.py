"""Wrong files, refusals and a full disk: one clear sentence each, and nothing half stays."""

import socket
import sys
import time
import types

import pytest
from da3_blender.core.errors import BadInput, DA3Error, MissingEnvironment
from da3_blender.core.models import catalogue
from da3_blender.core.models import folder as model_folder
from downloads import CONTENT, MODEL, QUICK, SIZE, download, interrupt_at, partial_file, tree

pytest.importorskip("huggingface_hub", reason="downloads run in the worker's environment")
from da3_blender.core.models import hub as hub_requests

# ------------------------------------------------------------------------------------------------------ wrong files


@pytest.mark.parametrize(
    ("content", "claims", "reason"),
    [
        (CONTENT, {"sha256": "0" * 64}, "SHA-256"),
        (CONTENT, {"size": SIZE - 1}, "more than"),
        (b"<html>" + bytes(50_000), {}, "no safetensors file"),
        (CONTENT[: SIZE // 2], {}, "no safetensors file"),  # the hub itself has but half
    ],
)
def test_a_wrong_file_is_said_so_and_removed(hub, folder, content, claims, reason):
    hub.serve(MODEL.repo, content, **claims)
    with pytest.raises(DA3Error, match=rf"DA3 Small did not arrive intact.*{reason}.*download it again"):
        download(hub, folder)
    assert catalogue.installed(folder) == []
    assert tree(folder) == []


def test_a_file_shorter_than_stated_is_never_taken(hub, folder):
    hub.serve(MODEL.repo, CONTENT, size=SIZE + 10)
    with pytest.raises(DA3Error, match="another file than it stated"):
        download(hub, folder)
    assert catalogue.installed(folder) == []


def test_a_spoilt_partial_file_is_found_out_and_the_next_download_works(hub, folder):
    interrupt_at(300_000, hub, folder)
    with partial_file(folder).open("r+b") as file:
        file.write(bytes(100))  # as a power cut does
    with pytest.raises(DA3Error, match="SHA-256"):
        download(hub, folder)
    assert download(hub, folder).read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_whole_is_begun_anew(hub, folder):
    interrupt_at(300_000, hub, folder)
    partial_file(folder).write_bytes(CONTENT + b"more")
    assert download(hub, folder).read_bytes() == CONTENT


def test_a_server_that_states_no_checksum_is_not_trusted(hub, folder):
    hub.states_hash = False
    with pytest.raises(DA3Error, match="does not state size and SHA-256"):
        download(hub, folder)


# ---------------------------------------------------------------------------------------------------------- refusals


def test_a_wrong_token_is_named(hub, folder):
    hub.token = "hf_right"
    with pytest.raises(DA3Error, match="does not accept the access token.*preferences"):
        download(hub, folder, token="hf_wrong")


def test_a_missing_token_is_named(hub, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(hub_requests.constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    hub.token = "hf_right"
    with pytest.raises(DA3Error, match="without an access token"):
        download(hub, folder, token=None)


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        (403, {"X_Error_Code": "GatedRepo"}, "gated: accept its licence"),
        (401, {"X_Error_Code": "GatedRepo"}, "gated: accept its licence"),
        (403, {}, "forbids"),
        (404, {"X_Error_Code": "EntryNotFound"}, "has no model.safetensors of depth-anything/DA3-SMALL"),
        (404, {}, "404"),
        (418, {}, "answers 418"),
    ],
)
@pytest.mark.parametrize("host", ["hub", "store"])
def test_a_refusal_is_one_clear_sentence_and_not_tried_again(hub, folder, status, headers, sentence, host):
    hub.fail(status, times=-1, host=host, **headers)
    with pytest.raises(DA3Error, match=sentence) as caught:
        download(hub, folder)
    assert "\n" not in str(caught.value)
    assert len(hub.seen) <= 3
    assert catalogue.installed(folder) == []


@pytest.mark.parametrize("status", [500, 502, 503, 408, 429])
@pytest.mark.parametrize("host", ["hub", "store"])
def test_a_passing_fault_is_waited_for(hub, folder, status, host):
    hub.fail(status, times=2, host=host)
    notes = []
    download(hub, folder, on_progress=lambda p: notes.append(p.note) if p.stage == "retrying" else None)
    assert (folder / MODEL.file_name).read_bytes() == CONTENT
    assert f"({status})" in notes[0]


@pytest.mark.parametrize(("status", "sentence"), [(500, "fault of its own"), (429, "too many requests")])
def test_a_lasting_fault_is_said_in_the_end(hub, folder, status, sentence):
    hub.fail(status, times=-1)
    with pytest.raises(DA3Error, match=sentence):
        download(hub, folder)
    assert len(hub.seen) == 1 + len(QUICK)


def test_the_time_a_busy_hub_asks_for_is_waited(hub, folder):
    hub.fail(429, Retry_After="1")
    begun = time.monotonic()
    download(hub, folder)
    assert time.monotonic() - begun >= 1.0


def test_no_network_is_said_soon(hub, folder):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(DA3Error, match="cannot be reached.*check the network"):
            download(hub, folder, endpoint=f"http://127.0.0.1:{nobody.getsockname()[1]}", waits=(0.05, 60))


@pytest.mark.parametrize(
    "endpoint", ["huggingface.co", "ftp://x", "http://", "https:// x", "http://[", "http://a:b", "http://a:99999"]
)
def test_an_endpoint_that_is_no_address_is_named(hub, folder, endpoint):
    with pytest.raises(BadInput, match="no web address"):
        download(hub, folder, endpoint=endpoint)


def test_a_token_with_strange_signs_is_named_without_being_shown(hub, folder):
    with pytest.raises(BadInput, match="token") as caught:
        download(hub, folder, token="hf_ab c")
    assert "hf_ab" not in str(caught.value)


def test_offline_mode_is_respected(hub, folder, monkeypatch):
    monkeypatch.setattr(hub_requests.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DA3Error, match="unset HF_HUB_OFFLINE"):
        download(hub, folder)
    assert hub.seen == []


def test_a_python_without_huggingface_hub_says_what_to_install(hub, folder, monkeypatch):
    monkeypatch.delitem(sys.modules, "da3_blender.core.models.hub")
    monkeypatch.delattr(sys.modules["da3_blender.core.models"], "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingEnvironment, match="huggingface_hub.*install the dependencies"):
        download(hub, folder)


# ----------------------------------------------------------------------------------------------------------- the disk


def test_too_little_space_is_said_before_the_first_byte(hub, folder, monkeypatch):
    monkeypatch.setattr(model_folder.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1_000_000))
    with pytest.raises(DA3Error, match="DA3 Small: 2 MB needed, 1 MB free"):
        download(hub, folder)
    assert hub.sent == 0
    interrupted = 1_500_000  # only the rest has to fit
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    interrupt_at(interrupted, hub, folder)
    monkeypatch.setattr(model_folder.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1_000_000))
    assert download(hub, folder).read_bytes() == CONTENT


def test_a_disk_that_gets_full_on_the_way_keeps_what_has_arrived(hub, folder, nursery):
    limited = nursery.start(MODEL.name, folder, hub.endpoint, largest_file=777_777)
    assert "is full: free some space" in nursery.wait(limited)
    assert model_folder.partial_bytes(folder, MODEL.name) == 777_777
    assert catalogue.installed(folder) == []
    assert nursery.wait(nursery.start(MODEL.name, folder, hub.endpoint)) == "done"
    assert hub.requests("store")[-1].start == 777_777
    assert (folder / MODEL.file_name).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_named(hub, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be used.*preferences"):
        download(hub, tmp_path / "file" / "models")
