"""Brings the file of a segmentation network from where Ultralytics publishes it.

Importing it needs nothing; downloading needs ``huggingface_hub``'s HTTP session (proxies, certificates), as for other models.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import BadInput, Cancelled, DA3Error, MissingModel
from ..monitor import Monitor
from . import segmentation_catalogue
from .download import WAITS, bring
from .segmentation_catalogue import SegModel
from .source import Wanted
from .transfer import Progress, RemoteFile, Transient

ENDPOINT = "DA3_SEGMENTATION_ENDPOINT"  # environment variable: the address of a mirror of the release's files
STAGE = "segmentation model"


def require(
    model: SegModel, folder: Path, monitor: Monitor, waits: Sequence[float] = WAITS, *, online: bool = True
) -> Path:
    """The network's file, where ``online`` downloaded now if it is not there; ``monitor`` hears the stage "segmentation model".

    Raises
    ------
    Cancelled
    MissingModel
        It is the person's own and not there, or the network may not be used.
    DA3Error
        It will not be had: see ``download``.
    """
    file = segmentation_catalogue.path(model, folder)
    if file.is_file():
        return file
    if model.file is not None:
        raise MissingModel(f"There is no segmentation model {file}")
    if not online:
        raise MissingModel(
            f"{model.label} is not downloaded, and Online Access is off: allow it in Blender's System preferences (on the "
            f"command line: --online), or put {model.file_name} into {folder}"
        )

    def tell(progress: Progress) -> None:
        monitor.progress(STAGE, progress.fraction)

    def cancelled() -> bool:
        try:
            monitor.check()
        except Cancelled:
            return True
        return False

    return download(model, folder, on_progress=tell, cancelled=cancelled, waits=waits)


def download(
    model: SegModel,
    folder: Path,
    *,
    endpoint: str | None = None,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    waits: Sequence[float] = WAITS,
) -> Path:
    """Like ``core.models.hub_download.download``: resumed, locked, cancelled within a tenth of a second, checked before it gets its name.

    Parameters
    ----------
    endpoint : address of a mirror; None for ``$DA3_SEGMENTATION_ENDPOINT``, else the release itself

    Raises
    ------
    Cancelled, BadInput, MissingEnvironment, DA3Error
        As there.
    """
    if model.file is not None:
        raise BadInput(f"{model.label} is a network of your own: it can be had nowhere")
    address = (endpoint or os.environ.get(ENDPOINT) or segmentation_catalogue.RELEASE).strip().rstrip("/")
    model = replace(model, sha256=segmentation_catalogue.digest_of(model, Path(folder)))
    what = Wanted(model.name, model.label, segmentation_catalogue.path(model, folder), segmentation_catalogue.is_whole)
    return bring(what, lambda: Asset(model, address), on_progress, cancelled, waits)


class Asset:
    """A network's file at an address: a ``source.Source``.

    Raises
    ------
    BadInput
        The address is none.
    DA3Error
        ``HF_HUB_OFFLINE`` is set.
    """

    def __init__(self, model: SegModel, address: str):
        from huggingface_hub import is_offline_mode

        from .hub import is_address

        if is_offline_mode():
            raise DA3Error(
                f"{model.label} is not there, and nothing is downloaded in offline mode: unset HF_HUB_OFFLINE and try again"
            )
        if not is_address(address):
            raise BadInput(f"The address '{address}' in {ENDPOINT} is no web address like https://example.org/networks")
        self._model = model
        self._url = f"{address}/{model.file_name}"
        self._host = urlsplit(address).netloc.rpartition("@")[2]

    def stated(self) -> RemoteFile:
        """What the table says of the file; its size is asked for where the table does not know it.

        Raises
        ------
        Transient, DA3Error
        """
        if self._model.bytes and self._model.sha256:
            return RemoteFile(self._url, self._model.bytes, self._model.sha256)
        with self._asked("HEAD", {}) as response:
            size = response.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) == 0:
            raise DA3Error(f"{self._host} does not state the size of {self._model.file_name}: try again later")
        return RemoteFile(self._url, int(size), self._model.sha256 or "")

    def body(self, file: RemoteFile, start: int) -> Iterator[int | bytes]:
        """The file from a position on: first the position where the body really starts (0 or ``start``), then bytes.

        Raises
        ------
        Transient, DA3Error
        """
        from .hub import begin

        with self._asked("GET", {"Range": f"bytes={start}-"} if start else {}) as response:
            yield begin(response, start)
            yield from response.iter_bytes()

    @contextlib.contextmanager
    def _asked(self, method: str, headers: dict[str, str]) -> Iterator[Any]:
        """A response whose status is fine; redirects are followed. What goes wrong becomes a sentence."""
        import httpx2

        from .hub import TIMEOUT, asked_wait, connection_problem, http_session

        name, host = self._model.file_name, self._host
        headers = {**headers, "Accept-Encoding": "identity"}  # positions in the body are positions in the file
        try:
            with http_session().stream(
                method, self._url, headers=headers, timeout=TIMEOUT, follow_redirects=True
            ) as response:
                status = response.status_code
                if status == 416:  # it has fewer bytes than was stated
                    raise Transient(f"{host} sends another file than was stated: try again later")
                if status in (404, 410):
                    raise DA3Error(f"{host} has no {name} ({status}): it was moved or removed")
                if status in (408, 429) or status >= 500:
                    raise Transient(f"{host} cannot give {name} now ({status}): try again later", asked_wait(response))
                if status >= 400:
                    raise DA3Error(f"{host} does not give {name} ({status}): try again later")
                yield response
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
            raise connection_problem(error, host, f"the address in {ENDPOINT}") from error
