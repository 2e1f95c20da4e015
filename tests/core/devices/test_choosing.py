"""The device that computes, and in which precision. What torch says of a card is put in its mouth here."""

import pytest

torch = pytest.importorskip("torch")

from da3_blender.core.devices import choosing  # noqa: E402
from da3_blender.core.errors import BadInput  # noqa: E402

CARD = torch.device("cuda")


@pytest.fixture
def card(monkeypatch):
    """A card of that compute capability, which torch finds; this build may have no kernels for it."""

    def make(capability: tuple[int, int]) -> None:
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)  # as on every card
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "NVIDIA GeForce")

    return make


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((5, 2), None),
        ((6, 1), None),
        ((7, 0), torch.float16),
        ((7, 5), torch.float16),
        ((8, 0), torch.bfloat16),
        ((8, 6), torch.bfloat16),
        ((9, 0), torch.bfloat16),
        ((12, 0), torch.bfloat16),
    ],
)
def test_every_card_computes_in_what_it_has_hardware_for(card, capability, expected):
    card(capability)
    assert choosing.short_type(CARD) is expected


def test_the_processor_and_apples_cards_compute_in_float32():
    assert choosing.short_type(torch.device("cpu")) is None
    assert choosing.short_type(torch.device("mps")) is None


@pytest.mark.parametrize("name", [None, "cuda", "cuda:0"])
def test_a_card_whose_first_kernel_fails_is_left_for_the_processor_with_a_warning(card, monkeypatch, name):
    card((5, 2))

    def fail(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with ...")

    monkeypatch.setattr(torch, "ones", fail)
    choice = choosing.choose(name)
    assert choice.device == torch.device("cpu")
    assert choice.warning.startswith(
        "NVIDIA GeForce (compute capability 5.2) cannot be used, so the processor computes"
    )
    assert "no kernel image is available" in choice.warning and "Compile" not in choice.warning
    assert "install the dependencies again" in choice.warning


def test_a_card_that_computes_wrongly_is_not_believed(card, monkeypatch):
    card((8, 6))
    zeros = torch.zeros
    monkeypatch.setattr(torch, "ones", lambda *shape, device: zeros(*shape))
    assert "came out as 0" in choosing.choose().warning


def test_a_card_that_torch_only_thinks_it_has_is_left_too(card):
    """Nothing is put in the way of the real launch: this machine has no such card, or a real one that serves."""
    card((8, 6))
    choice = choosing.choose()
    assert bool(choice.warning) == (choice.device.type == "cpu")


def test_the_processor_needs_no_trial_and_no_warning():
    assert choosing.choose("cpu") == choosing.Choice(torch.device("cpu"))
    assert choosing.choose(kinds=()) == choosing.Choice(torch.device("cpu"))


def test_what_is_not_there_is_refused_by_name():
    with pytest.raises(BadInput, match="no device 'warp'.*cpu"):
        choosing.choose("warp")
