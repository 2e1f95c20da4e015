"""The frames of the input: which there are, and their pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import memory
from ..errors import BadInput
from ..monitor import Monitor
from ..settings import ResizeMethod
from . import folders, stills
from .decoding import Decoding, Reduced
from .frame import Frame, FrameReader, Header, LazyImages, Mount, Unreadable, View
from .input_files import is_video, of_pattern
from .pixels import kinds
from .resizing import processed_size, resized

HELD_BYTES = 1 << 30  # most of decoded originals that are kept: of the pass that is computed and of the next one
HELD_SHARE = 0.25  # of the memory that is free, where that is less
NAMED = 5  # frames of a video that a warning names, of those that are broken


@dataclass
class FrameSource:
    """The images of an input. A frame's index is its place among all of the input: images in natural order, a video's
    frames in order of presentation.

    Decoded frames of a pass are held for its time, as far as ``held_most`` goes; the others are decoded when asked for.
    Decoding runs on threads. One thread may have a pass computed (``whole``, ``prefetch``, ``images``) while another still
    asks for the frames of the pass before; which frames there are (``selected``, ``headers``) does not change meanwhile.
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
    mounted: dict[int, Mount] = field(default_factory=dict)  # of frames whose cameras keep to each other
    cameras_by: str = ""  # which features and lenses gave the input its cameras; "" where each pass finds its own
    _decoding: Decoding | None = field(default=None, repr=False)

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
        return self._readable(index, self.decoding.original(index))

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
        self.decoding.prefetch(indices, self.held_most)

    def usable(self, indices: Sequence[int], monitor: Monitor) -> list[int]:
        """Those of ``indices`` that decode to the end; the others are named in ``warnings``, and the list can be empty.

        Other frames than these are no longer held.

        Raises
        ------
        Cancelled
        """
        good, broken = self.whole(indices, monitor)
        self.leave_out(broken)
        return good

    def whole(
        self, indices: Sequence[int], monitor: Monitor, keep: Sequence[int] = ()
    ) -> tuple[list[int], dict[int, str]]:
        """Those of ``indices`` that decode to the end, and why the others do not, as the end of a sentence; see ``usable``.

        Other frames than these and ``keep`` are no longer held.

        Raises
        ------
        Cancelled
        """
        self.decoding.let_go(indices, keep)
        self.prefetch(indices)
        good: list[int] = []
        broken: dict[int, str] = {}
        for index, frame in self.decoding.stream(indices, monitor):
            monitor.progress("images", (len(good) + len(broken)) / len(indices))
            if isinstance(frame, Unreadable):
                broken[index] = str(frame)
            else:
                good.append(index)
        monitor.progress("images", 1.0)
        return good, broken

    def images(self, indices: Sequence[int]) -> LazyImages:
        """The originals of these frames, decoded as they are asked for where they are not held."""
        return LazyImages(self, list(indices))

    def stream(self, indices: Sequence[int]) -> Iterator[Frame]:
        """These frames, in order, as they are."""
        for index, found in self.decoding.stream(indices, Monitor()):
            yield self._readable(index, self.decoding.original(index, found))

    def in_size(
        self, indices: Sequence[int], resolution: int, method: ResizeMethod
    ) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """Each in the size that a model wants, and its own width and height; frames are reduced from now on where they are decoded."""
        size = self.decoding.size = resolution, method
        for index, found in self.decoding.stream(indices, Monitor()):
            if isinstance(found, Reduced) and found.size == size:
                yield found.pixels, found.original
                continue
            image = self._readable(index, self.decoding.original(index, found)).image
            yield resized(image, resolution, method), (image.shape[1], image.shape[0])

    def reduce_to(self, resolution: int, method: ResizeMethod) -> None:
        """A model will ask for frames in this size: they are reduced where they are decoded."""
        self.decoding.size = resolution, method

    def opaque(self, index: int) -> np.ndarray | None:
        """(h, w) bool, the parts of a frame that are not transparent; None where all of it is opaque."""
        if not self.headers[index].has_alpha:
            return None
        found = self.decoding.get(index)
        return found.opaque if isinstance(found, Reduced) else self._readable(index, found).opaque

    def keep_originals(self) -> None:
        """Somebody beside the model will ask for the frames as they are: what is held of them is not reduced to its size."""
        self.decoding.originals = True

    def release(self, keep: Sequence[int] = ()) -> None:
        """Let go of held frames, but for ``keep``; without any to keep, of threads and open files too."""
        if keep:
            self.decoding.let_go(keep)
        else:
            self.decoding.close()

    @property
    def decoding(self) -> Decoding:
        """What decodes and holds them."""
        if self._decoding is None:
            self._decoding = Decoding(self.reader, self.headers)
        return self._decoding

    def _readable(self, index: int, found: Frame | Unreadable) -> Frame:
        if isinstance(found, Unreadable):
            raise BadInput(f"{self.names[index]} cannot be read: {found}")
        return found

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
