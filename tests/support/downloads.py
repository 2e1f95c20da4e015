"""A small model at a hub of the tests, downloaded whole or in parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from da3_blender.core.errors import Cancelled
from da3_blender.core.models import catalogue, hub_download
from da3_blender.core.models import folder as model_folder
from hub import Hub, safetensors

MODEL = catalogue.find("da3-small")
SIZE = 2_000_000
CONTENT = safetensors(SIZE)
QUICK = (0.05, 0.05, 0.05)  # seconds between tries


def download(hub, folder, **options):
    options = {"endpoint": hub.endpoint, "token": "hf_test", "waits": QUICK} | options
    return hub_download.download(MODEL, folder, **options)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def partial_file(folder: Path) -> Path:
    (file,) = (folder / model_folder.HIDDEN).glob("*.part")
    return file


def interrupt_at(position: int, hub: Hub, folder: Path) -> None:
    """Leave a partial file of that many bytes."""
    hub.stall_at = position

    def arrived() -> bool:
        return model_folder.partial_bytes(folder, MODEL.name) == position

    with pytest.raises(Cancelled):
        download(hub, folder, cancelled=arrived)
    hub.stall_at = None
