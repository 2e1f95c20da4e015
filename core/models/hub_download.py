"""Brings a model from the Hugging Face hub. Needs ``huggingface_hub``; importing this needs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import BadInput
from . import catalogue
from . import folder as model_folder
from .catalogue import ModelInfo
from .download import WAITS, _silent, bring
from .source import Source, Wanted
from .transfer import Progress


def download(
    model: ModelInfo,
    folder: Path,
    *,
    endpoint: str | None = None,
    token: str | None = None,
    on_progress: Callable[[Progress], None] = _silent,
    cancelled: Callable[[], bool] = lambda: False,
    waits: Sequence[float] = WAITS,
) -> Path:
    """Bring a model's file into the folder, going on from what an interrupted download has left.

    Blocks; cancelling takes effect within a tenth of a second, whatever the network does. What has arrived stays in the
    hidden sub-folder for the next time. Several processes may do this at once: one downloads, the others wait and find
    the file there. A whole file of that name is returned as it is.

    Parameters
    ----------
    endpoint : of the hub, None for huggingface_hub's own
    token : to be shown there, None for the one this machine is logged in with, if any
    on_progress : called about five times a second, and when the stage changes
    cancelled : asked about ten times a second
    waits : seconds before each new try after the connection or the server failed

    Returns
    -------
    The model's file, its size and SHA-256 those that the hub states.

    Raises
    ------
    Cancelled
    BadInput
        The folder or the endpoint cannot be used.
    MissingEnvironment
        ``huggingface_hub`` is not installed here.
    DA3Error
        No network, no access, no such file, no space, not the file that was stated.
    """
    if not model.needs_file:
        raise BadInput(f"{model.label} has no file to download")
    assert model.repo
    repo = model.repo

    def open_source() -> Source:
        from .hub import HubFile  # late: needs huggingface_hub

        return HubFile(repo, endpoint, token)

    what = Wanted(model.name, model.label, catalogue.path(model, folder), model_folder.is_whole)
    return bring(what, open_source, on_progress, cancelled, waits)
