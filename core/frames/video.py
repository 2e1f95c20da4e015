"""Frames of a video: where each is, and only those decoded that are asked for. Nothing is written to disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Colorspace

from ..errors import BadInput, DA3Error
from ..monitor import Monitor
from .frame import Frame, Unreadable
from .pixels import colour, fields
from .video_packets import Decoder, Timeline, ascending, open_container, pictures_of, timeline_of

REORDERED = 64  # packets; a frame is shown at most this many places after it is stored (H.264 and H.265: 16)
LIKELY_RATE = 0.005  # how far from the container's frame rate the measured one may be and still be the same
MISSING = 0.02  # share of the frames or of the duration that may be missing before a video is called cut off
TRIED = 3  # frames, to learn how large and how turned they are
UNSPECIFIED = 2  # colour coding, as ITU-T H.273 counts them
FULL_RANGE = 2  # there too
EQUIRECTANGULAR = 0  # of FFmpeg's AVSphericalProjection
HDR_BITS = 10
HD_HEIGHT = 720  # pixels; from here on a video that does not say how its colours are coded has those of BT.709


class VideoReader:
    """The frames of a video, in order of presentation; see ``FrameReader``.

    Opening it looks at every packet and decodes none: only so a frame's number is exact, whatever the header says and
    however the frame rate varies.

    Parameters
    ----------
    path : a video
    end : last frame that will be asked for; -1 is the last
    watch : hears the stage "images"

    Attributes
    ----------
    rate : frames per second, on average
    warnings : what is wrong with the file
    is_panorama : the frames decoded so far say that they are equirectangular

    Raises
    ------
    BadInput
        It is broken, has no pictures, or a codec that is not known.
    Cancelled
    """

    threads = 1  # frames build on each other; the decoder itself uses more

    def __init__(self, path: Path, end: int = -1, monitor: Monitor | None = None):
        self.path = path
        self.warnings: list[str] = []
        self._expected: frozenset[int] = frozenset()  # times that can be asked for
        self._first: dict[int, Frame] = {}  # decoded by ``size``, not read yet
        self._stored_size: tuple[int, int] | None = None  # pixels, before turning; all frames get this one
        self.is_panorama = False
        self._told = False  # of colours that cannot be
        self._lock = threading.Lock()
        self._closing = threading.Event()  # a read that is under way should give up
        self._decoder: Decoder | None = None
        self._decoded_before = 0  # by decoders that are closed
        with self._opened() as container:
            try:
                stream = pictures_of(container, path)
                self._pixel_aspect = float(stream.sample_aspect_ratio or 1)
                self._timeline = self._look_through(container, stream, end, monitor or Monitor())
                self.rate = self._rate(stream)
                self._say_what_is_missing(container, stream, whole=end < 0)
            except DA3Error:
                raise
            except Exception as error:  # as in ``read``
                raise BadInput(f"'{path.name}' is not a whole video: {_reason(error)}") from error

    @property
    def decoded(self) -> int:
        """Frames that came out of the decoder so far, wanted or not."""
        return self._decoded_before + (self._decoder.count if self._decoder else 0)

    def __len__(self) -> int:
        return len(self._timeline.times)

    def size(self, wanted: Sequence[int]) -> tuple[int, int]:
        """Upright (width, height) in pixels; ``wanted``: the only frames that will be asked for.

        Raises
        ------
        BadInput
            The first of them cannot be decoded.
        """
        self._expected = frozenset(self._timeline.times[i] for i in wanted)
        for index in wanted[:TRIED]:
            try:
                frame = self.read(index, wanted[1:2])
            except Unreadable as error:
                failure = error
                continue
            self._first[index] = frame
            return frame.image.shape[1], frame.image.shape[0]
        raise BadInput(f"'{self.path.name}' cannot be decoded: {failure}")

    def read(self, index: int, ahead: Sequence[int] = ()) -> Frame:
        with self._lock:
            if index in self._first:
                return self._first.pop(index)
            time = self._timeline.times[index]
            try:
                if self._decoder is None:
                    self._decoder = Decoder(self.path, self._timeline, self._closing)
                picture = self._decoder.picture(time, [self._timeline.times[i] for i in ahead], self._expected)
                return Frame(self._upright(picture))
            except Unreadable:
                raise
            except Exception as error:  # damaged packets make PyAV raise anything
                self._drop_decoder()
                raise Unreadable(_reason(error)) from error

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            self._drop_decoder()
            self._closing.clear()

    def _drop_decoder(self) -> None:
        if self._decoder is not None:
            self._decoded_before += self._decoder.count
            self._decoder.close()
            self._decoder = None

    def _opened(self) -> Any:
        try:
            return open_container(self.path)
        except Exception as error:  # PyAV raises what it meets, UnicodeError and ValueError too
            raise BadInput(f"'{self.path.name}' is not a whole video: {_reason(error)}") from error

    def _look_through(self, container: Any, stream: Any, end: int, monitor: Monitor) -> Timeline:
        size = max(1, self.path.stat().st_size)
        found: list[tuple[int | None, bool, bool]] = []
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue  # the end
                found.append((packet.pts, packet.is_keyframe, packet.is_discard))
                if len(found) % 256 == 0:
                    monitor.progress("images", min(1.0, max(0, packet.pos or 0) / size))
                if 0 <= end < len(found) - REORDERED:
                    break
        except (av.FFmpegError, ValueError) as error:
            self.warnings.append(f"{self.path.name} is damaged: {_reason(error)}; what comes before is used")
        if not found:
            raise BadInput(f"'{self.path.name}' has no pictures in it: it is cut off or damaged")
        # AVI has no times of its own; FFmpeg numbers the packets, which is wrong where they are not stored as shown.
        reordered = container.format.name == "avi" and stream.codec_context.has_b_frames
        return timeline_of(found, has_times=not (reordered and ascending([time for time, _, _ in found])))

    def _rate(self, stream: Any) -> float:
        times = self._timeline.times
        stated = float(stream.guessed_rate or stream.average_rate or 0)
        if len(times) < 2 or stream.time_base is None or self._timeline.counted:
            return stated or 25.0
        measured = (len(times) - 1) / float((times[-1] - times[0]) * stream.time_base)
        return stated if abs(stated - measured) < LIKELY_RATE * measured else measured

    def _say_what_is_missing(self, container: Any, stream: Any, whole: bool) -> None:
        """Compare what is there with what the header promises; some headers promise nonsense, so both must agree."""
        if not whole or self.warnings:
            return
        there = len(self)
        seconds = there / self.rate
        promised = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
        if promised and seconds < (1 - MISSING) * promised - 2 / self.rate and stream.frames != there:
            self.warnings.append(
                f"{self.path.name} is cut off: {seconds:.1f} of {promised:.1f} seconds are there, and they are used"
            )

    def _upright(self, picture: Any) -> np.ndarray:
        if self._stored_size is None:
            self._stored_size = max(1, round(picture.width * self._pixel_aspect)), picture.height
        self.is_panorama = self.is_panorama or _is_equirectangular(picture)
        says_nothing = int(picture.colorspace) == UNSPECIFIED and picture.height >= HD_HEIGHT
        coding = Colorspace.ITU709 if says_nothing else None
        width, height = self._stored_size
        primaries, transfer = self._colours(picture)
        if transfer in colour.HDR or primaries in colour.WIDE:
            rgb = colour.video_to_sdr(_signal(picture, width, height), transfer, primaries)
        else:
            rgb = picture.reformat(width, height, "rgb24", src_colorspace=coding).to_ndarray()
        if picture.interlaced_frame:
            rgb = fields.unwoven(rgb)
        matrix = _display_matrix(picture)
        return np.ascontiguousarray(rgb if matrix is None else turned(rgb, np.frombuffer(matrix, np.int32)))

    def _colours(self, picture: Any) -> tuple[int, int]:
        """(primaries, transfer) by ITU-T H.273. No camera writes HDR in 8 bits: a picture that says so is taken for SDR."""
        primaries, transfer = int(picture.color_primaries), int(picture.color_trc)
        if transfer in colour.HDR and max(c.bits for c in picture.format.components) < HDR_BITS:
            if not self._told:
                self.warnings.append(
                    f"{self.path.name} calls itself HDR but has 8 bits: its colours are taken as they are"
                )
                self._told = True
            return 1, 1
        return primaries, transfer


def _signal(picture: Any, width: int, height: int) -> np.ndarray:
    """(h, w, 3) uint16, full range, R'G'B' of a frame: FFmpeg only gives every pixel its chroma, its own RGB is rounded."""
    bits = max(c.bits for c in picture.format.components)
    if picture.format.is_rgb:
        return picture.reformat(width, height, "rgb48le").to_ndarray()
    bits = 8 if bits <= 8 else 10 if bits <= 10 else 12
    whole = picture.reformat(width, height, "yuv444p" if bits == 8 else f"yuv444p{bits}le")
    number = np.dtype("u1" if bits == 8 else "<u2")
    rows = [np.frombuffer(plane, number).reshape(height, plane.line_size // number.itemsize) for plane in whole.planes]
    coded = np.stack([plane[:, :width] for plane in rows])
    return colour.signal_of(coded, bits, int(picture.colorspace), is_full=int(picture.color_range) == FULL_RANGE)


def _is_equirectangular(picture: Any) -> bool:
    """By FFmpeg's AVSphericalMapping, whose first number is the projection."""
    try:
        mapping = picture.side_data.get(SideData.SPHERICAL)
    except ValueError:  # data that PyAV has no name for
        return False
    return mapping is not None and int(np.frombuffer(mapping, np.int32)[0]) == EQUIRECTANGULAR


def _display_matrix(picture: Any) -> Any:
    """How a frame wants to be turned; None where it does not say, or where it has data that PyAV has no name for."""
    try:
        return picture.side_data.get(SideData.DISPLAYMATRIX)
    except ValueError:  # one unknown kind hides the others; the angle is to be had all the same, a mirror is not
        angle = np.radians(picture.rotation)
        cosine, sine = (round(float(v) * (1 << 16)) for v in (np.cos(angle), np.sin(angle)))
        return np.array([cosine, -sine, 0, sine, cosine, 0, 0, 0, 1 << 30], np.int32)


def turned(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """An image as a display matrix wants it shown.

    Parameters
    ----------
    image : (h, w, 3)
    matrix : (9,) int32, of the QuickTime file format: (x, y) goes to (a x + c y, b x + d y), with a, b, _, c, d its first
    """
    a, b, _, c, d = (int(v) for v in matrix[:5])
    lying = abs(b) > abs(a)
    if lying:
        image = image.transpose(1, 0, 2)
    across, down = (c, b) if lying else (a, d)
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def _reason(error: Exception) -> str:
    """What FFmpeg says, for the end of a sentence."""
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    if isinstance(error, PermissionError):
        return "it may not be read"
    if isinstance(error, av.error.InvalidDataError):
        return "it is cut off or damaged"
    return f"it cannot be decoded ({getattr(error, 'strerror', None) or error})"
