"""Several inputs of one run, one after another, each under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import BadInput
from ...monitor import Monitor
from ...settings import Settings
from ..frame import Frame, FrameReader
from ..input_files import inputs_of
from ..source import FrameSource

NAMED = 3  # inputs that the whole is named after


@dataclass
class JoinedSource(FrameSource):
    """``stems`` of all frames: each begins with the name of its input."""

    stems: list[str] = field(default_factory=list)

    def stem(self, index: int) -> str:
        return self.stems[index]


def open_inputs(settings: Settings, monitor: Monitor | None = None) -> FrameSource:
    """The input, or all inputs behind each other where there are several; start, end and stride go for each.

    Raises
    ------
    BadInput
        One of them cannot be used, or they are not all images or all videos.
    Cancelled
    """
    sources = [
        FrameSource.open(
            path, settings.start_frame, settings.end_frame, settings.frame_stride, monitor, settings.exposure
        )
        for path in inputs_of(settings.input, settings.more_inputs)
    ]
    return sources[0] if len(sources) == 1 else _joined(sources)


def _joined(sources: Sequence[FrameSource]) -> FrameSource:
    if len({source.is_video for source in sources}) > 1:
        raise BadInput("Several inputs must all be videos, or all be images: make a run of each kind")
    titles = [source.name for source in sources]
    if len(set(titles)) < len(titles):  # "images" and "images"
        titles = [f"{title}{number}" for number, title in enumerate(titles, 1)]
    starts = [0]
    for source in sources:
        starts.append(starts[-1] + source.length)
    every = [(k, i) for k, source in enumerate(sources) for i in range(source.length)]
    more = f" and {len(titles) - NAMED} more" if len(titles) > NAMED else ""
    first = sources[0]
    stems = [f"{titles[k]}_{sources[k].stem(i).removeprefix(f'{sources[k].name}_')}" for k, i in every]
    names = stems if first.is_video else [sources[k].names[i] for k, i in every]
    return JoinedSource(
        " + ".join(titles[:NAMED]) + more, [sources[k].paths[i] for k, i in every], names,
        [starts[k] + i for k, source in enumerate(sources) for i in source.selected],
        {starts[k] + i: header for k, source in enumerate(sources) for i, header in source.headers.items()},
        JoinedReader([source.reader for source in sources], every),
        [warning for source in sources for warning in source.warnings], first.frame_rate,
        wanted=sum(source.wanted for source in sources), stems=stems,
        inputs=[titles[k] for k, _ in every],
    )  # fmt: skip


class JoinedReader:
    """Reads each frame from its own input; see ``FrameReader``. ``every``: of each frame, which input, and its number there."""

    def __init__(self, readers: Sequence[FrameReader], every: Sequence[tuple[int, int]]):
        self.threads = min(reader.threads for reader in readers)
        self._readers, self._every = readers, every

    @property
    def is_panorama(self) -> bool:
        """Whether all inputs are videos that say so."""
        return all(getattr(reader, "is_panorama", False) for reader in self._readers)

    def read(self, index: int, ahead: Sequence[int] = ()) -> Frame:
        own, number = self._every[index]
        return self._readers[own].read(number, [n for k, n in (self._every[i] for i in ahead) if k == own])

    def close(self) -> None:
        for reader in self._readers:
            reader.close()
