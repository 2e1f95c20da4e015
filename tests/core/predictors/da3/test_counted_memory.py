"""What a pass of the real networks holds on a card, counted on tensors without numbers, against the table of costs."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3.registry")

from da3_blender.core import memory  # noqa: E402
from da3_blender.core.devices.choosing import Choice  # noqa: E402
from da3_blender.core.models import catalogue  # noqa: E402
from da3_blender.core.predictors.da3 import network  # noqa: E402
from da3_blender.core.predictors.da3 import predictor as module  # noqa: E402
from da3_blender.core.settings import PATCH, Settings  # noqa: E402
from pretended_card import CARD, aten, pretended_card  # noqa: E402

WIDTH, HEIGHT = 504, 280
#: Capability and whether there are kernels: flash attention in bfloat16, memory-efficient in float32, pieces in float32.
PATHS = {"flash": ((8, 6), True), "efficient": ((6, 1), True), "pieces": ((6, 1), False)}
CASES = [("da3-small", count, path) for count in (1, 9, 64) for path in PATHS]
CASES += [(name, 64, "flash") for name in ("da3-base", "da3-large-1.1", "da3-giant-1.1", "da3metric-large")]
CASES += [("da3-giant-1.1", 64, "efficient"), ("da3-large-1.1", 8, "pieces"), ("da3-base", 1, "pieces")]


def without_numbers(model, _file, _device, **_):
    """In the place of ``network.load``."""
    net = network.build(model)
    weights = {name: aten._to_copy(empty, device=CARD) for name, empty in net.state_dict().items()}
    net.load_state_dict(weights, strict=False, assign=True)
    return net.requires_grad_(False)


@pytest.mark.parametrize(("name", "count", "path"), CASES)
def test_the_table_is_above_what_is_held_and_at_most_a_quarter(monkeypatch, name, count, path):
    monkeypatch.setattr(module, "load", without_numbers)
    monkeypatch.setattr(module, "choose", lambda device: Choice(CARD))
    model = catalogue.find(name)
    capability, fused = PATHS[path]
    with pretended_card(capability, meta=True, fused=fused) as card:
        predictor = module.DA3Predictor(model, None)
        card.clear()
        before = card.live
        predictor._forward(
            predictor._net, np.zeros((count, HEIGHT, WIDTH, 3), np.uint8), [], Settings(), None, splats=False
        )
        held = card.peak - before
    table = memory.cost_of(model.config, "cuda").of(count, WIDTH * HEIGHT // PATCH**2)
    assert held <= table <= 1.25 * held, (held >> 20, table >> 20)


def test_a_card_of_four_gigabytes_gets_seven_images_of_da3_large():
    free = (4 << 30) - catalogue.find("da3-large-1.1").file_bytes - (200 << 20)  # of the driver
    assert memory.cost_of("da3-large", "cuda").fitting(int(memory.USABLE * free), WIDTH * HEIGHT // PATCH**2) == 7
