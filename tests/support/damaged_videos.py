"""Videos as damage and malice leave them, for tests and for ``tools/abuse``."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from damaged_images import encoded, mutated, rich_exif

FRAMES = 12
QUIET = {"x264-params": "log-level=none", "x265-params": "log-level=none:pools=1", "g": "6"}
#: Suffix: codec and how pixels are stored.
KINDS = {
    "mp4": ("libx264", "yuv420p"),
    "mov": ("mpeg4", "yuv420p"),
    "mkv": ("libx265", "yuv420p10le"),
    "webm": ("libvpx-vp9", "yuv420p"),
    "avi": ("mjpeg", "yuvj420p"),
    "mts": ("libx264", "yuv420p"),
    "mpg": ("mpeg2video", "yuv420p"),
}


def write(path: Path, kind: str, size: tuple[int, int] = (96, 64), frames: int = FRAMES) -> Path:
    """A whole video of moving noise, (width, height) pixels."""
    codec, pixels = KINDS[kind]
    image = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=QUIET)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for k in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(image, 3 * k, axis=1), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _of_a_middle(spoil: Callable[[bytes, int], bytes]) -> Callable[[Path, random.Random], None]:
    """The whole file with its bytes changed from some place in its middle on."""

    def make(path: Path, dice: random.Random) -> None:
        data = write(path, path.suffix[1:]).read_bytes()
        path.write_bytes(spoil(data, dice.randrange(len(data) // 8, len(data))))

    return make


def _spoilt(path: Path, dice: random.Random) -> None:
    path.write_bytes(mutated(write(path, path.suffix[1:]).read_bytes(), dice))


def _sound_only(path: Path, dice: random.Random) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le" if path.suffix in (".avi", ".mov", ".mkv") else "mp2", rate=44100)
        stream.layout = "mono"
        size = stream.frame_size or 1152
        frame = av.AudioFrame.from_ndarray(np.zeros((1, size), np.int16), format="s16", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _other(path: Path, suffix: str) -> Path:
    return path.with_name(f".made.{suffix}")  # hidden: no part of a folder's input


def _renamed(path: Path, dice: random.Random) -> None:
    kind = dice.choice(sorted(KINDS))
    write(_other(path, kind), kind).rename(path)


def _glued(path: Path, dice: random.Random) -> None:
    """Two videos of different sizes and codecs, one behind the other."""
    parts = [
        write(_other(path, kind), kind, size).read_bytes() for kind, size in (("mts", (96, 64)), ("mts", (160, 120)))
    ]
    path.write_bytes(b"".join(parts))
    _other(path, "mts").unlink()


def _messages(path: Path, dice: random.Random) -> None:
    """A bare stream with messages (SEI) between its frames that say anything about how to show them."""
    form, codec, head = dice.choice((("h264", "libx264", b"\x06"), ("hevc", "libx265", b"\x4e\x01")))
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    other = _other(path, form)
    with av.open(str(other), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25, options=QUIET)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for k in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(image, k, axis=1), format="rgb24")))
        container.mux(stream.encode(None))
    whole = other.read_bytes()
    other.unlink()

    def message() -> bytes:
        body = bytes(dice.choice((0, 1, 3, 16, 128, 255)) for _ in range(dice.randrange(1, 30)))
        kind = dice.choice((1, 4, 5, 6, 45, 47, 132, 136, 137, 142, 144, 147, 148, 176))
        return b"\0\0\0\1" + head + bytes([kind, len(body)]) + body + b"\x80"

    parts = whole.split(b"\0\0\0\1")
    path.write_bytes(
        b"".join(
            (message() if k and dice.random() < 0.7 else b"") + b"\0\0\0\1" + part for k, part in enumerate(parts[1:])
        )
    )


def _text(text: str) -> Callable[[Path, random.Random], None]:
    return lambda path, _dice: path.write_text(text)  # type: ignore[return-value]


#: Way of each; the suffix is drawn.
WAYS: dict[str, Callable[[Path, random.Random], None]] = {
    "spoilt bytes": _spoilt,
    "cut off": _of_a_middle(lambda data, at: data[:at]),
    "a hole of zeros": _of_a_middle(lambda data, at: data[:at] + bytes(len(data) // 6) + data[at + len(data) // 6 :]),
    "a piece twice": _of_a_middle(lambda data, at: data[:at] + data[at // 2 :]),
    "a bit in every hundred bytes": lambda path, dice: path.write_bytes(  # type: ignore[return-value]
        bytes(b ^ 16 if dice.random() < 0.01 else b for b in write(path, path.suffix[1:]).read_bytes())
    ),
    "under another name": _renamed,
    "messages of any kind": _messages,
    "sound only": _sound_only,
    "two sizes": _glued,
    "a photograph": lambda path, _dice: path.write_bytes(encoded("JPEG", exif=rich_exif())),  # type: ignore[return-value]
    "one frame": lambda path, _dice: write(path, path.suffix[1:], frames=1),  # type: ignore[return-value]
    "of odd size": lambda path, _dice: write(path, "avi", (34, 18)),  # type: ignore[return-value]
    "a list of files": _text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"),
    "a list to join": _text("ffconcat version 1.0\nfile /etc/passwd\n"),
    "empty": _text(""),
}


def put(number: int, dice: random.Random, folder: Path) -> tuple[str, Path]:
    """One damaged video in a folder; what it is, and its path."""
    what = list(WAYS)[number % len(WAYS)]
    path = folder / f"damaged.{dice.choice(sorted(KINDS))}"
    WAYS[what](path, dice)
    return f"{what}, {path.suffix}", path
