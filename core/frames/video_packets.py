"""Where the frames of a video are stored, and the decoder that gets single ones of them."""

from __future__ import annotations

import bisect
import itertools
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from av.codec.context import ThreadType
from av.stream import Discard, Disposition

from ..errors import BadInput
from .frame import Unreadable

DROPPED = 300  # packets that are rather passed over than sought past: reading them takes a few milliseconds
SEEK_BADLY = frozenset({"mpeg", "mpegts"})  # containers without an index, which FFmpeg seeks by guessing
DAMAGED = "the video is damaged there"


@dataclass
class Timeline:
    """Where a video's frames are: ``times[i]`` is when the i-th is shown, in ticks of the stream."""

    times: list[int] = field(default_factory=list)  # ascending
    places: dict[int, int] = field(default_factory=dict)  # time -> how many packets are stored before the frame's
    keys: list[tuple[int, int]] = field(default_factory=list)  # (place, time) of packets where decoding can begin
    counted: bool = False  # the packets have no times of their own: a frame's time is its number

    def key_of(self, time: int) -> tuple[int, int]:
        """(place, time) of the last packet from which decoding reaches the frame shown at that time."""
        nearest = bisect.bisect_right(self.keys, (self.places[time], time)) - 1
        while nearest >= 0 and self.keys[nearest][1] > time:  # stored before, shown after: it cannot be built on that
            nearest -= 1
        return self.keys[nearest] if nearest >= 0 else (0, self.times[0])


def timeline_of(found: Sequence[tuple[int | None, bool, bool]], has_times: bool) -> Timeline:
    """From each packet's (time, whether decoding can begin there, whether its frame is not to be shown)."""
    shown = [(time, place) for place, (time, _, hidden) in enumerate(found) if not hidden]
    places = {time: place for time, place in shown if time is not None}
    if not has_times or len(places) < len(shown):  # some have none, or the same: streams without a container
        numbers = list(range(len(shown)))
        return Timeline(numbers, {n: n for n in numbers}, [(0, 0)], counted=True)
    keys = [(place, time) for place, (time, is_key, _) in enumerate(found) if is_key and time is not None]
    return Timeline(sorted(places), places, keys)


def ascending(times: Sequence[int | None]) -> bool:
    """Whether the times that are known never fall."""
    known = [t for t in times if t is not None]
    return known == sorted(known)


#: FFmpeg would else read play lists, whatever the file's name is, and fetch from the network what they name.
CONTAINERS = "mov,mp4,avi,matroska,webm,mpegts,mpeg,mpegvideo,m4v,h264,hevc,flv,asf,dv,ivf,mjpeg,jpeg_pipe,mxf,ogg"


def open_container(path: Path) -> Any:
    """A video file and nothing that it points to; raises what PyAV raises."""
    allowed = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    return av.open(f"file:{path}", options=allowed, metadata_errors="replace")


class Decoder:
    """An open video and how far its decoder has come."""

    def __init__(self, path: Path, timeline: Timeline, closing: threading.Event):
        self._closing = closing
        self._path = path
        self._timeline = timeline
        self.count = 0  # frames decoded
        self._open()

    def _open(self) -> None:
        self._container = open_container(self._path)
        self._stream = pictures_of(self._container, self._path)
        self._codec = self._stream.codec_context
        self._codec.thread_type = ThreadType.AUTO
        self._packets = self._container.demux(self._stream)
        self._at = 0  # place of the packet that comes next
        self._restart()

    def _restart(self) -> None:
        """Forget what was decoded; the next packet is one where decoding can begin."""
        self._begin = self._at
        self._number = 0  # of frames decoded since here, for videos whose packets have no times
        self._waiting: list[tuple[int, Any]] = []  # (time, picture), decoded, not looked at yet
        self._shown: int | None = None  # time of the last frame that was looked at
        self._skipped: set[int] = set()
        self._drained = False

    def close(self) -> None:
        self._container.close()

    def picture(self, time: int, ahead: Sequence[int], expected: Iterable[int]) -> Any:
        """The frame shown at that time; ``ahead``: which will be asked for next, ``expected``: at any time later."""
        self._go_to(time)
        wanted = {time, *ahead}
        last = max(wanted)
        begins = min((self._timeline.key_of(t)[0] for t in ahead), default=None)
        while True:
            while self._waiting and self._waiting[0][0] <= time:
                self._shown, picture = self._waiting.pop(0)
                if self._shown == time:
                    if picture.is_corrupt:
                        raise Unreadable(DAMAGED)
                    return picture
            if self._closing.is_set():
                raise Unreadable("stopped")
            if self._waiting or self._drained:  # it should have come by now
                raise Unreadable(DAMAGED)
            fed = self._at > self._timeline.places[time]
            # Pictures lag behind packets. More of them push the picture out, but where the next to be asked for begins
            # anew somewhere else, that would be decoding for nothing.
            packet = None if fed and begins is not None and begins > self._at else next(self._packets, None)
            if packet is None or packet.size == 0:
                self._drained = True
                self._feed(None)
                continue
            no_time = packet.pts is None or self._timeline.counted
            skip = not no_time and packet.pts not in wanted and (packet.pts < last or packet.pts not in expected)
            self._codec.skip_frame = "NONREF" if skip else "DEFAULT"
            if skip:
                self._skipped.add(packet.pts)
            self._at += 1
            self._feed(packet)

    def _feed(self, packet: Any) -> None:
        try:
            pictures = self._codec.decode(packet)
        except (av.FFmpegError, ValueError):  # the end, or damaged: whoever asks for this frame is told
            pictures = []
        for picture in pictures:
            time = self._number if self._timeline.counted else picture.pts
            self._number += 1
            if time is not None:
                self._waiting.append((time, picture))
        self.count += len(pictures)

    def _go_to(self, time: int) -> None:
        """Stand where feeding packets gives the frame, with as few frames in between as can be."""
        key, key_time = self._timeline.key_of(time)
        coming = (self._shown is None or time > self._shown) and time not in self._skipped
        if coming and (any(t == time for t, _ in self._waiting) if self._drained else self._begin <= key <= self._at):
            return
        passed_over = key - self._at
        if passed_over < 0 or (passed_over > DROPPED and self._container.format.name not in SEEK_BADLY):
            self._seek(key, key_time)
        while self._at < key and next(self._packets, None) is not None:
            self._at += 1
        self._codec.flush_buffers()
        self._restart()

    def _seek(self, key: int, key_time: int) -> None:
        """Go to the packet at ``key`` or one before; where the container has no way to find it, to the first."""
        if self._container.format.name not in SEEK_BADLY and not self._timeline.counted:
            self._container.seek(key_time, stream=self._stream)
            self._packets = self._container.demux(self._stream)
            first = next(self._packets, None)
            place = None if first is None else self._timeline.places.get(first.pts)
            if first is not None and place is not None and place <= key:
                self._packets = itertools.chain([first], self._packets)
                self._at = place
                return
        self.close()
        self._open()


def pictures_of(container: Any, path: Path) -> Any:
    """The video stream; a song's cover is none."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise BadInput(f"'{path.name}' has no pictures in it, only {_others(container)}")
    stream = max(streams, key=lambda s: bool(s.disposition & Disposition.default))
    if stream.codec_context is None:
        raise BadInput(f"'{path.name}' is coded in a way that is not known here; convert it to H.264")
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    return stream


def _others(container: Any) -> str:
    return " and ".join(sorted({"sound" if s.type == "audio" else s.type for s in container.streams})) or "a header"
