"""Several inputs of one run, one after another, each under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import BadInput
from ...files.names import listed
from ...monitor import Monitor
from ...settings import Settings
from ..frame import Frame, FrameReader, Mount
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
    if len(sources) > 1:
        return _joined(sources, settings)
    if settings.mounted_together:
        sources[0].warnings.append("Mounted Together has no effect on one input: it takes one for each camera")
    return sources[0]


def _joined(sources: Sequence[FrameSource], settings: Settings) -> FrameSource:
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
    selected = [starts[k] + i for k, source in enumerate(sources) for i in source.selected]
    warnings = [warning for source in sources for warning in source.warnings]
    mounts = _mounts(sources, starts, settings, warnings) if settings.mounted_together else {}
    if mounts:  # what was taken at the same moment goes into the same pass of a model
        last = Mount(len(sources), max(mount.moment for mount in mounts.values()) + 1)
        selected.sort(key=lambda i: (mounts.get(i, last).moment, mounts.get(i, last).camera, i))
    return JoinedSource(
        " + ".join(titles[:NAMED]) + more, [sources[k].paths[i] for k, i in every], names,
        selected,
        {starts[k] + i: header for k, source in enumerate(sources) for i, header in source.headers.items()},
        JoinedReader([source.reader for source in sources], every),
        warnings, first.frame_rate,
        wanted=sum(source.wanted for source in sources), stems=stems,
        inputs=[titles[k] for k, _ in every], mounted=mounts,
    )  # fmt: skip


def _mounts(
    sources: Sequence[FrameSource], starts: Sequence[int], settings: Settings, warnings: list[str]
) -> dict[int, Mount]:
    """By frame; the k-th frame that start, end and stride keep of each input is of the same moment."""
    counts = [source.wanted for source in sources]
    if len(set(counts)) > 1:
        warnings.append(
            f"Mounted Together: the inputs have {listed([str(count) for count in counts])} images; the first {min(counts)} of "
            "each are taken to be of the same moments"
        )
    return {
        starts[k] + i: Mount(k, moment)
        for k, source in enumerate(sources)
        for i in source.selected
        if (moment := (i - settings.start_frame) // settings.frame_stride) < min(counts)
    }


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
