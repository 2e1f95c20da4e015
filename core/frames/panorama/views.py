"""An input whose panoramas are cut into flat views, which are frames like all others."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from ...settings import Panorama
from ..frame import Frame, FrameReader, Header, View
from ..source import FrameSource
from . import detection, rig

HELD = 2  # panoramas that stay decoded: the one whose views are asked for, and the one before


def cut(frames: FrameSource, setting: Panorama) -> FrameSource:
    """The same input, in which each panorama is as many frames as its rig has views; itself where there is none.

    ``frames.warnings`` says which pictures are panoramas, and which only say so.
    """
    found = detection.find(frames, setting)
    if not found:
        return frames
    if frames.mounted:
        frames.warnings.append("Mounted Together has no effect on panoramas: each of them is a rig of its own")
    turns = rig.rotations()
    names: list[str] = []
    places: list[int] = []
    selected: list[int] = []
    headers: dict[int, Header] = {}
    views: dict[int, View] = {}
    for source, name in enumerate(frames.names):
        header = frames.headers.get(source)
        numbers: Sequence[int | None] = range(len(turns)) if source in found else [None]
        for number in numbers:
            index = len(names)
            places.append(source)
            names.append(name if number is None else f"{frames.stem(source)}_view{number}")
            if header is None or source not in frames.selected:
                continue
            selected.append(index)
            headers[index] = header
            if number is not None:
                pixels = rig.side(header.width)
                focal = float(rig.intrinsics(pixels)[0, 0])
                headers[index] = Header(pixels, pixels, focal, header.has_alpha, is_plain=False)
                views[index] = View(source, frames.stem(source), number, turns[number], header.file_size)
    return FrameSource(
        frames.name, [frames.paths[source] for source in places], names, selected, headers,
        ViewReader(frames.reader, places, views, headers), frames.warnings, frames.frame_rate,
        wanted=frames.wanted, views=views, places=places,
        inputs=[frames.inputs[source] for source in places] if frames.inputs else [],
    )  # fmt: skip


class ViewReader:
    """Views out of panoramas that another reader decodes; see ``FrameReader``.

    ``places``: of every frame, its picture's number in ``inner``; ``views`` and ``headers`` by frame.
    """

    def __init__(
        self, inner: FrameReader, places: Sequence[int], views: dict[int, View], headers: dict[int, Header]
    ):  # fmt: skip
        self.threads = inner.threads
        self._inner, self._places, self._views, self._headers = inner, places, views, headers
        self._held: dict[int, Frame] = {}
        self._lock = threading.Lock()

    def read(self, index: int, ahead: Sequence[int] = ()) -> Frame:
        source = self._places[index]
        coming = list(dict.fromkeys(place for i in ahead if (place := self._places[i]) != source))
        view = self._views.get(index)
        if view is None:
            return self._inner.read(source, coming)
        pixels = self._headers[index].width
        with self._lock:
            whole = self._held.get(source)
            if whole is None:
                whole = self._held[source] = _reduced(self._inner.read(source, coming), pixels)
                for old in list(self._held)[:-HELD]:
                    del self._held[old]
        opaque = None
        if whole.opaque is not None:
            opaque = rig.view(whole.opaque.astype(np.uint8), view.rotation, pixels) > 0
        return Frame(rig.view(whole.image, view.rotation, pixels), opaque)

    def close(self) -> None:
        with self._lock:
            self._held.clear()
        self._inner.close()


def _reduced(whole: Frame, pixels: int) -> Frame:
    opaque = None if whole.opaque is None else rig.reduced(whole.opaque.astype(np.uint8), pixels) > 0
    return Frame(rig.reduced(whole.image, pixels), opaque)
