"""How much of a card torch may take."""

import sys

import pytest

torch = pytest.importorskip("torch")

from da3_blender.core.devices.limits import SHARE, keep_off_system_memory  # noqa: E402
from da3_blender.core.worker.life.variables import worker_variables  # noqa: E402


@pytest.mark.parametrize("platform", ["win32", "linux"])
def test_on_windows_the_limit_is_what_the_card_has_left(monkeypatch, platform):
    limits = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 << 30, 8 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 1 << 30)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: limits.append(share))
    keep_off_system_memory(torch.device("cuda"))
    keep_off_system_memory(torch.device("cpu"))
    assert limits == ([pytest.approx(SHARE * 6 / 8)] if platform == "win32" else [])


@pytest.mark.parametrize(
    ("platform", "inherited", "expected"),
    [
        ("linux", {}, "expandable_segments:True"),
        ("win32", {}, None),  # which has none
        ("linux", {"PYTORCH_ALLOC_CONF": "backend:native"}, "backend:native"),
        ("linux", {"PYTORCH_CUDA_ALLOC_CONF": "backend:native"}, None),  # the name it had before
    ],
)
def test_on_linux_a_cards_memory_has_no_gaps_unless_somebody_knows_better(
    tmp_path, monkeypatch, platform, inherited, expected
):
    monkeypatch.setattr(sys, "platform", platform)
    assert worker_variables(tmp_path, inherited).get("PYTORCH_ALLOC_CONF") == expected
