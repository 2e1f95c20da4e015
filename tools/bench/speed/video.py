"""How long it takes to get every tenth frame of a video: decoding those alone against writing all to JPEG first.

    python tools/bench/speed/video.py [--frames 300] [--stride 10] [--runs 3]

Runs in the worker's environment. The video is made here: 1280 x 720, H.264, a key frame every 250 frames as encoders have
it by default, moving texture. The way it is compared with is the usual one: OpenCV reads each frame and writes it as JPEG,
then the files wanted are read.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import av
import cv2
import numpy as np
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor

WIDTH, HEIGHT, RATE = 1280, 720, 30


def main() -> int:
    arguments = measuring.options(__doc__, frames=300, stride=10, runs=3)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "bench.mp4"
        make(video, arguments.frames)
        there = set(Path(tempfile.gettempdir()).iterdir())
        direct, extracted, decoded = [], [], 0
        for _ in range(arguments.runs):
            begin = time.perf_counter()
            source = FrameSource.open(video, stride=arguments.stride)
            wanted = source.usable(source.selected, Monitor())
            images = [image.mean() for image in source.images(wanted)]
            direct.append(time.perf_counter() - begin)
            decoded = source.reader.decoded  # type: ignore[attr-defined]  # a video's reader
            source.release()
            begin = time.perf_counter()
            same = [image.mean() for image in by_extraction(video, arguments.stride)]
            extracted.append(time.perf_counter() - begin)
            assert np.allclose(images, same, atol=2.0), "not the same frames"  # of 255; JPEG changes that much
        left = set(Path(tempfile.gettempdir()).iterdir()) - there
        left_beside = [p.name for p in Path(folder).iterdir() if p != video]
    ratio = statistics.median(extracted) / statistics.median(direct)
    print(f"{len(wanted)} of {arguments.frames} frames of {WIDTH} x {HEIGHT}; medians of {arguments.runs} runs")
    print(f"decoded as asked for: {statistics.median(direct):.2f} s, {decoded} frames decoded")
    print(f"extracted to JPEG first: {statistics.median(extracted):.2f} s")
    claims = measuring.Claims()
    faster = claims.at_least("times faster", ratio, 3, ".1f")
    print(f"times faster: {faster}; left on disk: {sorted(map(str, left)) + left_beside or 'nothing'}")
    claims.at_most("files left beside the video", len(left_beside), 0)
    return claims.verdict()


def make(path: Path, count: int) -> None:
    """A textured plane that slides past."""
    texture = np.random.default_rng(0).integers(0, 255, (HEIGHT // 4, WIDTH // 2, 3), np.uint8)
    texture = cv2.GaussianBlur(cv2.resize(texture, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), (0, 0), 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={"preset": "medium", "x264-params": "log-level=none"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for k in range(count):
            shift = 3 * k % WIDTH
            picture = np.ascontiguousarray(texture[:, shift : shift + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def by_extraction(video: Path, stride: int) -> list[np.ndarray]:
    """All frames to JPEG files, then those that are wanted from there."""
    with tempfile.TemporaryDirectory() as folder:
        capture = cv2.VideoCapture(str(video))
        files = []
        while True:
            good, picture = capture.read()
            if not good:
                break
            files.append(Path(folder) / f"{len(files):06d}.jpg")
            cv2.imwrite(str(files[-1]), picture)
        capture.release()
        source = FrameSource.open(folder, stride=stride)
        return list(source.images(source.usable(source.selected, Monitor())))


if __name__ == "__main__":
    sys.exit(main())
