"""What a ``download`` request does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...models import catalogue, segmentation_catalogue, segmentation_download
from ...models.hub_download import download as bring
from ...models.transfer import Progress
from .. import protocol


def download(
    request: protocol.Download, emit: Callable[[protocol.Message], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Bring the model's file into the folder; ``request.model`` may be a segmentation network too.

    Returns
    -------
    The report of ``Done``: ``model``, ``file``, ``bytes``.

    Raises
    ------
    Cancelled, DA3Error
        See ``core.models.hub_download.download``.
    """

    def tell(p: Progress) -> None:
        emit(protocol.Transfer(request.job, p.stage, p.done, p.total, p.speed, p.seconds_left, p.note))

    folder = Path(request.folder)
    if request.model in {network.name for network in segmentation_catalogue.SEG_MODELS}:
        file = segmentation_download.download(
            segmentation_catalogue.find(request.model), folder, on_progress=tell, cancelled=cancelled
        )
    else:
        file = bring(
            catalogue.find(request.model), folder,
            endpoint=request.endpoint, token=request.token, on_progress=tell, cancelled=cancelled,
        )  # fmt: skip
    return {"model": request.model, "file": str(file), "bytes": file.stat().st_size}
