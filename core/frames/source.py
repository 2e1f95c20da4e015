"""The frames of the input: which there are, and their pixels, decoded on threads before they are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import memory
from ..errors import BadInput
from ..monitor import Monitor
from ..settings import ResizeMethod
from . import folders, stills
from .frame import Frame, FrameReader, Header, LazyImages, Unreadable, View
from .input_files import is_video, of_pattern
from .pixels import kinds
from .resizing import processed_size, resized

HELD_BYTES = 1 << 30  # most of decoded originals that are kept: of the pass that is computed and of the next one
HELD_SHARE = 0.25  # of the memory that is free, where that is less
PATIENCE = 0.05  # seconds between two looks at whether to stop
NAMED = 5  # frames of a video that a warning names, of those that are broken


@dataclass
class FrameSource:
    """The images of an input. A frame's index is its place among all of the input: images in natural order, a video's
    frames in order of presentation.

    Decoded frames of a pass are held for its time, as far as ``held_most`` goes; the others are decoded when asked for.
    All methods are for one thread; decoding itself runs on others.
    """

    name: str  # of the folder, the image or the video, for collections
    paths: list[Path]  # the file of every frame; for a video all the same
    names: list[str]  # of all frames: file names; for a video the file's stem and the frame's number
    selected: list[int]  # indices that start, end and stride keep and whose headers are readable
    headers: dict[int, Header]  # of the selected
    reader: FrameReader
    warnings: list[str] = field(default_factory=list)
    frame_rate: float | None = None  # of a video, frames per second; None for images
    held_most: int = 0  # bytes
    wanted: int = 0  # how many frames start, end and stride keep, readable or not
    views: dict[int, View] = field(default_factory=dict)  # of the selected, those that look into a panorama
    places: list[int] = field(default_factory=list)  # of each frame in the input, where a picture is several frames
    pictures: dict[int, str] = field(default_factory=dict)  # of frames whose own file does not show what they show
    inputs: list[str] = field(default_factory=list)  # of all frames, the name of their input; empty where there is one
    cameras_by: str = ""  # which features and lenses gave the input its cameras; "" where each pass finds its own
    _held: dict[int, Future[Frame | Unreadable]] = field(default_factory=dict, repr=False)
    _pool: ThreadPoolExecutor | None = field(default=None, repr=False)
    _size: tuple[int, ResizeMethod] | None = (
        None  # in which a model wants them: they are resized where they are decoded
    )

    @classmethod
    def open(
        cls,
        path: str | Path,
        start: int = 0,
        end: int = -1,
        stride: int = 1,
        monitor: Monitor | None = None,
        exposure: float = 0.0,
    ) -> FrameSource:
        """Look at a folder of images, an image or a video. Nothing is decoded but a video's first frame that is wanted.

        Parameters
        ----------
        start, end : first and last frame, inclusive; -1 is the last
        stride : keep every n-th
        monitor : hears the stage "images" while a long video is looked through
        exposure : in stops, of images that hold light (EXR, Radiance)

        Raises
        ------
        BadInput
            Nothing there, no image in it, none in the range, or a video that cannot be opened.
        Cancelled
        """
        if not str(path).strip() or str(path) == ".":
            raise BadInput("No input is set: choose a folder of images, an image or a video")
        path = Path(path)
        if not path.exists() and of_pattern(path) is None:
            raise BadInput(f"'{path}' does not exist")
        if path.is_file() and is_video(path):
            return cls._open_video(path, start, end, stride, monitor or Monitor())
        paths, warnings = folders.find(path)
        wanted = folders.numbers(path, len(paths), "images", start, end, stride)
        name = path.stem if path.is_file() else path.resolve().name
        source = cls(name, paths, [p.name for p in paths], [], {}, stills.StillReader(paths, exposure), warnings)
        source.wanted = len(wanted)
        for index in wanted:
            try:
                source.headers[index] = stills.read_header(paths[index], exposure)
                source.selected.append(index)
            except Unreadable as error:
                source._leave_out({index: error})
        if not source.selected:
            raise BadInput(f"No readable image in '{path}': {'; '.join(source.warnings)}")
        return source

    @classmethod
    def _open_video(cls, path: Path, start: int, end: int, stride: int, monitor: Monitor) -> FrameSource:
        from .video import VideoReader  # late: a folder of images needs no PyAV

        reader = VideoReader(path, end, monitor)
        wanted = list(folders.numbers(path, len(reader), "frames", start, end, stride))
        names = [f"{path.stem}_{i:06d}" for i in range(len(reader))]
        width, height = reader.size(wanted)  # which also looks at what the first frame says of itself
        source = cls(path.stem, [path] * len(names), names, wanted, {}, reader, list(reader.warnings), reader.rate)
        source.wanted = len(wanted)
        source.headers = dict.fromkeys(wanted, Header(width, height, None))
        return source

    def __post_init__(self) -> None:
        free = memory.free_ram()
        self.held_most = self.held_most or min(HELD_BYTES, int(HELD_SHARE * free) if free else HELD_BYTES)

    @property
    def is_video(self) -> bool:
        return self.frame_rate is not None

    @property
    def length(self) -> int:
        """Frames of the input, wanted or not."""
        return len(self.names)

    def stem(self, index: int) -> str:
        """A frame's name without a file's suffix, for cameras."""
        return self.names[index] if self.is_video or index in self.views else self.paths[index].stem

    def place(self, index: int) -> int:
        """Of a frame in the input: the views of a panorama have one."""
        return self.places[index] if self.places else index

    def picture(self, index: int) -> str:
        """The file that shows this frame and nothing else; empty for a video's."""
        return self.pictures.get(index, "" if self.is_video else str(self.paths[index]))

    def needs_copy(self, index: int) -> bool:
        """Whether Blender cannot show this frame out of a file as it is: a video's, HEIC, raw, other colours than sRGB."""
        return self.is_video or not (self.headers[index].is_plain and kinds.opens_in_blender(self.paths[index]))

    @property
    def focals(self) -> list[float | None]:
        """Focal lengths in pixels of the originals, by index; None where EXIF says nothing."""
        return [self.headers[i].focal if i in self.headers else None for i in range(self.length)]

    def load(self, index: int) -> Frame:
        """One frame, decoded now unless it is held.

        Raises
        ------
        BadInput
            The file is broken, cut off or gone.
        """
        found = self._held[index].result() if index in self._held else self._decode(index, ())
        if isinstance(found, Unreadable):
            raise BadInput(f"{self.names[index]} cannot be read: {found}")
        return found

    def leave_out_narrow(self, resolution: int, method: ResizeMethod) -> None:
        """Leave out by name what is too narrow for a model at that resolution.

        Raises
        ------
        BadInput
            All images are.
        """
        for index in list(self.selected):
            header = self.headers[index]
            try:
                processed_size(header.width, header.height, resolution, method)
            except BadInput as error:
                if self.is_video or len(self.selected) == 1:
                    raise
                self.selected.remove(index)
                del self.headers[index]
                self._leave_out({index: Unreadable(str(error)[0].lower() + str(error)[1:])})

    def prefetch(self, indices: Sequence[int]) -> None:
        """Begin to decode a coming pass, as far as there is room for it; returns at once."""
        room = self.held_most - sum(self.headers[i].decoded_bytes for i in self._held)
        fitting = []
        for index in dict.fromkeys(i for i in indices if i not in self._held):
            room -= self.headers[index].decoded_bytes
            if room < 0:
                break  # the first of a pass are asked for first
            fitting.append(index)
        self._held |= self._submit(fitting)

    def usable(self, indices: Sequence[int], monitor: Monitor) -> list[int]:
        """Those of ``indices`` that decode to the end; the others are named in ``warnings``, and the list can be empty.

        Other frames than these are no longer held.

        Raises
        ------
        Cancelled
        """
        for index in self._held.keys() - set(indices):
            self._held.pop(index).cancel()
        self.prefetch(indices)
        good: list[int] = []
        broken: dict[int, Unreadable] = {}
        for index, frame in self._stream(indices, monitor):
            monitor.progress("images", (len(good) + len(broken)) / len(indices))
            if isinstance(frame, Unreadable):
                broken[index] = frame
            else:
                good.append(index)
        self._leave_out(broken)
        monitor.progress("images", 1.0)
        return good

    def images(self, indices: Sequence[int]) -> LazyImages:
        """The originals of these frames, decoded as they are asked for where they are not held."""
        return LazyImages(self, list(indices))

    def stream(self, indices: Sequence[int], size: tuple[int, ResizeMethod] | None = None) -> Iterator[Frame]:
        """These frames, in order; ``size`` (resolution and method): frames are resized from now on where they are decoded."""
        self._size = size or self._size
        for index, frame in self._stream(indices, Monitor()):
            if isinstance(frame, Unreadable):
                raise BadInput(f"{self.names[index]} cannot be read: {frame}")
            yield frame

    def opaque(self, index: int) -> np.ndarray | None:
        """(h, w) bool, the parts of a frame that are not transparent; None where all of it is opaque."""
        return self.load(index).opaque if self.headers[index].has_alpha else None

    def release(self, keep: Sequence[int] = ()) -> None:
        """Let go of held frames, but for ``keep``; without any to keep, of threads and open files too."""
        for index in self._held.keys() - set(keep):
            self._held.pop(index).cancel()
        if keep:
            return
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        self.reader.close()

    def _stream(self, indices: Sequence[int], monitor: Monitor) -> Iterator[tuple[int, Frame | Unreadable]]:
        """Frames in the given order; those not held are decoded a few ahead, so that memory does not grow."""
        missing = [i for i in dict.fromkeys(indices) if i not in self._held]
        window = self._submit(missing[: self.reader.threads + 1])
        missing = missing[len(window) :]
        for index in indices:
            future = self._held.get(index) or window.pop(index, None) or self._submit([index])[index]
            yield index, _wait(future, monitor)
            if missing and len(window) <= self.reader.threads:
                window |= self._submit([missing.pop(0)])

    def _submit(self, indices: Sequence[int]) -> dict[int, Future[Frame | Unreadable]]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.reader.threads, thread_name_prefix="decode")
        return {i: self._pool.submit(self._decode, i, indices[n + 1 :]) for n, i in enumerate(indices)}

    def _decode(self, index: int, ahead: Sequence[int]) -> Frame | Unreadable:
        try:
            frame = self.reader.read(index, ahead)
        except Unreadable as error:
            return error.with_traceback(None)  # which holds what was decoded so far
        if self._size:
            with contextlib.suppress(BadInput):  # too narrow: said when the pass is made
                frame.small[self._size] = resized(frame.image, *self._size)
        return frame

    def leave_out(self, broken: Mapping[int, str]) -> None:
        """Name frames that somebody else could not decode; the reason is the end of a sentence."""
        self._leave_out({index: Unreadable(reason) for index, reason in broken.items()})

    def _leave_out(self, broken: dict[int, Unreadable]) -> None:
        """Name what is broken: each file, but of a video the first few frames."""
        if self.is_video and broken:
            names, more = [self.names[i] for i in broken][:NAMED], len(broken) - NAMED
            more_words = f" and {more} more" if more > 0 else ""
            self.warnings.append(f"{', '.join(names)}{more_words} left out: {next(iter(broken.values()))}")
        else:
            said = {i: self.paths[i].name if i in self.views else self.names[i] for i in broken}
            self.warnings.extend(dict.fromkeys(f"{said[i]} was left out: {error}" for i, error in broken.items()))


def _wait(future: Future[Frame | Unreadable], monitor: Monitor) -> Frame | Unreadable:
    while True:
        try:
            return future.result(PATIENCE)
        except NotYet:
            monitor.check()
