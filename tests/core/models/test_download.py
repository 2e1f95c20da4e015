"""Downloading from a hub that behaves, and from one that breaks off."""

import itertools
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from da3_blender.core.errors import BadInput, Cancelled, DA3Error
from da3_blender.core.models import catalogue, hub_download
from da3_blender.core.models import download as downloading
from da3_blender.core.models import folder as model_folder
from da3_blender.core.models.transfer import Progress
from downloads import CONTENT, MODEL, QUICK, SIZE, download, interrupt_at, partial_file, tree
from hub import Hub, safetensors

pytest.importorskip("huggingface_hub", reason="downloads run in the worker's environment")
from da3_blender.core.models import hub as hub_requests

PATIENCE = 0.6  # seconds for a cancel; 0.3 is the claim, the rest is for a machine that is busy with other tests


# --------------------------------------------------------------------------------------------------- when all is well


def test_a_download_leaves_the_file_and_nothing_else(hub, folder):
    file = download(hub, folder)
    assert file == folder / "da3-small.safetensors"
    assert file.read_bytes() == CONTENT
    assert tree(folder) == ["da3-small.safetensors"]
    assert catalogue.installed(folder) == [MODEL]
    assert hub.sent == SIZE


def test_a_token_is_shown_to_the_hub_and_never_to_the_store(hub, folder):
    hub.token = "hf_secret"
    download(hub, folder, token=" hf_secret\n")
    assert {seen.token for seen in hub.seen if seen.host == "hub"} == {"hf_secret"}
    assert {seen.token for seen in hub.seen if seen.host == "store"} == {None}


def test_the_hub_is_asked_for_the_model_and_for_nothing_else(hub, folder):
    download(hub, folder)
    assert len(hub.seen) == 3
    assert all(MODEL.repo in seen.path for seen in hub.seen)


def test_nobody_else_is_asked_who_is_downloading(hub, folder, monkeypatch):
    """huggingface_hub would fetch a list of programs from the public hub, to name the one that runs."""

    def ask():
        raise AssertionError("asked the public hub")

    monkeypatch.setattr(hub_requests.constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr("huggingface_hub.utils._headers.detect_agent", ask)
    download(hub, folder)


def test_progress_tells_bytes_speed_and_time_left_several_times_a_second(hub, folder):
    hub.rate = 2e6  # so it takes a second
    told = []
    download(hub, folder, on_progress=lambda progress: told.append((time.monotonic(), progress)))
    moving = [(at, progress) for at, progress in told if progress.stage == "downloading" and progress.speed]
    assert len(moving) >= 3
    assert all(progress.total == SIZE for _, progress in moving)
    done = [progress.done for _, progress in told]
    assert done == sorted(done) and done[-1] == SIZE
    _, late = moving[-1]
    assert late.speed == pytest.approx(2e6, rel=0.4)  # sleeping is coarse
    assert late.seconds_left == pytest.approx((SIZE - late.done) / late.speed)
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(told)]
    assert max(gaps) < 1.0  # 0.2 s on an idle machine


def test_a_model_that_is_there_is_not_asked_for_again(hub, folder):
    folder.mkdir()
    (folder / MODEL.file_name).write_bytes(safetensors(5000))
    download(hub, folder)
    assert hub.seen == []


def test_half_a_file_under_the_models_name_is_replaced(hub, folder):
    folder.mkdir()
    (folder / MODEL.file_name).write_bytes(CONTENT[: SIZE // 2])
    assert download(hub, folder).read_bytes() == CONTENT


def test_classic_has_nothing_to_download(hub, folder):
    with pytest.raises(BadInput, match="Classic"):
        hub_download.download(catalogue.CLASSIC, folder, endpoint=hub.endpoint)


# ------------------------------------------------------------------------------------------------ going on, cancelling


@pytest.mark.parametrize("seed", range(3))
def test_a_download_killed_at_ten_random_positions_ends_with_the_identical_file(hub, folder, nursery, seed):
    dice = random.Random(seed)
    kept = 0
    for number, position in enumerate(sorted(dice.sample(range(SIZE + 1), 10))):
        hub.stall_at = position
        hub.stalled.clear()
        child = nursery.start(MODEL.name, folder, hub.endpoint)
        assert hub.stalled.wait(10)
        end = time.monotonic() + 5
        # Every other one dies with all that was sent on the disk, the rest somewhere on the way to that.
        while number % 2 and model_folder.partial_bytes(folder, MODEL.name) < position and time.monotonic() < end:
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        assert nursery.wait(child) == "killed"
        assert catalogue.installed(folder) == []
        request = hub.requests("store")[-1]
        assert (request.start or 0) == kept, "it went on from what the one before had left"
        kept = model_folder.partial_bytes(folder, MODEL.name)
        assert kept == position or (kept < position and not number % 2)
        assert kept == 0 or partial_file(folder).read_bytes() == CONTENT[:kept]
        hub.stall_at = None
    assert nursery.wait(nursery.start(MODEL.name, folder, hub.endpoint)) == "done"
    if kept < SIZE:
        assert hub.requests("store")[-1].sent == SIZE - kept
    assert (folder / MODEL.file_name).read_bytes() == CONTENT
    assert tree(folder) == [MODEL.file_name]


def test_a_cut_connection_is_taken_up_where_it_broke(hub, folder):
    cuts = [1, 100_000, 100_001, 777_777, SIZE - 1]
    hub.cut_at = list(cuts)
    assert download(hub, folder).read_bytes() == CONTENT
    starts = [seen.start for seen in hub.requests("store")]
    assert starts[0] is None and len(starts) == 6
    # A reset may overtake bytes that are under way, so that it goes on from a little before the cut.
    assert all((start or 0) <= cut for start, cut in zip(starts[1:], cuts, strict=True))
    assert catalogue.installed(folder) == [MODEL]


def test_a_hub_that_cuts_again_and_again_without_a_byte_is_given_up(hub, folder):
    hub.cut_at = [0] * 10
    with pytest.raises(DA3Error, match="broke.*try again"):
        download(hub, folder)
    assert len(hub.requests("store")) == 1 + len(QUICK)


class Job:
    """A download on a thread, to be cancelled."""

    def __init__(self, hub: Hub, folder: Path):
        self.stages: list[str] = []
        self._stop = threading.Event()
        self._error: DA3Error | None = None
        self._thread = threading.Thread(target=self._run, args=(hub, folder))
        self._thread.start()

    def _run(self, hub: Hub, folder: Path) -> None:
        try:
            download(hub, folder, cancelled=self._stop.is_set, on_progress=self._told, waits=(60,))
        except DA3Error as error:
            self._error = error

    def _told(self, progress: Progress) -> None:
        self.stages.append(progress.stage)

    def wait_for(self, stage: str) -> None:
        end = time.monotonic() + 10
        while stage not in self.stages and time.monotonic() < end:
            time.sleep(0.01)
        assert stage in self.stages

    def cancel(self) -> float:
        """Seconds until it took effect."""
        self._stop.set()
        asked = time.monotonic()
        self._thread.join()
        assert isinstance(self._error, Cancelled)
        return time.monotonic() - asked


def test_cancelling_a_stalled_download_takes_effect_at_once_and_keeps_what_has_arrived(hub, folder):
    hub.stall_at = 500_000
    job = Job(hub, folder)
    while model_folder.partial_bytes(folder, MODEL.name) < 500_000:
        time.sleep(0.01)
    assert job.cancel() < PATIENCE
    assert catalogue.installed(folder) == []
    assert tree(folder) == [model_folder.HIDDEN, str(partial_file(folder).relative_to(folder))]
    hub.stall_at = None
    assert download(hub, folder).read_bytes() == CONTENT
    assert hub.requests("store")[-1].start == 500_000


def test_cancelling_takes_effect_at_once_while_the_hub_does_not_answer(hub, folder):
    hub.stall_before_headers = True
    job = Job(hub, folder)
    assert hub.stalled.wait(10)
    assert job.cancel() < PATIENCE
    assert tree(folder) == []


def test_cancelling_takes_effect_at_once_between_tries(hub, folder):
    hub.fail(503, times=-1)
    job = Job(hub, folder)
    job.wait_for("retrying")
    assert job.cancel() < PATIENCE
    assert tree(folder) == []


def test_cancelling_takes_effect_at_once_while_another_process_downloads(hub, folder):
    with model_folder.locked(folder, MODEL.name, lambda: None):
        job = Job(hub, folder)
        job.wait_for("waiting")
        assert job.cancel() < PATIENCE
    assert hub.seen == []


def test_cancelling_at_random_moments_of_a_slow_download_takes_effect_at_once(hub, folder):
    hub.rate = 2e5  # ten seconds for the whole
    dice = random.Random(1)
    for _ in range(8):
        job = Job(hub, folder)
        time.sleep(dice.uniform(0, 0.3))
        assert job.cancel() < PATIENCE
        assert catalogue.installed(folder) == []
        assert all(model_folder.HIDDEN in name for name in tree(folder)) if folder.exists() else True
    hub.rate = None
    assert download(hub, folder).read_bytes() == CONTENT


def test_cancelling_before_anything_has_arrived_leaves_no_file(hub, folder):
    with pytest.raises(Cancelled):
        download(hub, folder, cancelled=lambda: True)
    assert tree(folder) == []


def test_a_stall_counts_as_a_broken_connection_after_the_time_out(hub, folder, monkeypatch):
    monkeypatch.setattr(hub_requests, "TIMEOUT", 0.3)
    hub.stall_at = 400_000
    threading.Timer(0.6, setattr, (hub, "stall_at", None)).start()
    assert download(hub, folder).read_bytes() == CONTENT
    assert hub.requests("store")[1].start == 400_000


def test_a_source_that_never_says_a_word_is_given_up(hub, folder, monkeypatch):
    """As the search for a host may, which has no time-out."""
    monkeypatch.setattr(downloading, "_SILENT", {"connecting": 0.5, "downloading": 0.5})
    monkeypatch.setattr(hub_requests, "TIMEOUT", None)
    hub.stall_at = 400_000
    with pytest.raises(DA3Error, match="said nothing for [01] s while downloading.*is kept"):
        download(hub, folder)
    hub.stall_at = None
    assert download(hub, folder).read_bytes() == CONTENT
    monkeypatch.setattr(hub_requests.HubFile, "stated", lambda self: time.sleep(60))
    with pytest.raises(DA3Error, match="while connecting"):
        hub_download.download(MODEL, folder / "other", endpoint=hub.endpoint, waits=QUICK)


def test_a_server_without_ranges_is_begun_anew(hub, folder):
    interrupt_at(300_000, hub, folder)
    hub.knows_ranges = False
    assert download(hub, folder).read_bytes() == CONTENT
    assert hub.requests("store")[-1].sent == SIZE


def test_a_new_revision_is_not_mixed_with_the_part_of_an_old_one(hub, folder):
    interrupt_at(300_000, hub, folder)
    new = safetensors(SIZE, seed=1)
    hub.serve(MODEL.repo, new)
    interrupt_at(100_000, hub, folder)
    assert partial_file(folder).read_bytes() == new[:100_000]  # and the old one's space is free
    assert download(hub, folder).read_bytes() == new
    assert tree(folder) == [MODEL.file_name]


def test_a_revision_that_changes_while_it_is_downloaded_is_begun_anew(hub, folder):
    new = safetensors(SIZE, seed=1)
    hub.rate = 2e6
    hub.cut_at = [SIZE // 2]
    threading.Timer(0.2, hub.serve, (MODEL.repo, new)).start()
    assert download(hub, folder).read_bytes() == new
    assert tree(folder) == [MODEL.file_name]


# ------------------------------------------------------------------------------------------------- two at once


def test_two_at_once_download_once(hub, folder, nursery):
    hub.rate = 4e6
    both = [nursery.start(MODEL.name, folder, hub.endpoint) for _ in range(2)]
    assert [nursery.wait(child) for child in both] == ["done", "done"]
    assert hub.sent == SIZE
    assert (folder / MODEL.file_name).read_bytes() == CONTENT
    assert tree(folder) == [MODEL.file_name]


def test_the_second_takes_over_when_the_first_is_killed(hub, folder, nursery):
    hub.stall_at = 600_000
    first = nursery.start(MODEL.name, folder, hub.endpoint)
    while model_folder.partial_bytes(folder, MODEL.name) < 600_000:
        time.sleep(0.01)
    second = nursery.start(MODEL.name, folder, hub.endpoint)
    os.kill(first, signal.SIGKILL)
    hub.stall_at = None
    assert nursery.wait(first) == "killed"
    assert nursery.wait(second) == "done"
    assert hub.requests("store")[-1].start == 600_000
    assert (folder / MODEL.file_name).read_bytes() == CONTENT
