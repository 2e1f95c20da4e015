"""Videos as people have them: only the frames asked for are decoded, and each is the right one."""

import os
import time
from fractions import Fraction

import av
import numpy as np
import pytest
from da3_blender.core import pipeline
from da3_blender.core.errors import BadInput, Cancelled
from da3_blender.core.frames.resizing import place
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.frames.video_packets import Decoder
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction import passes
from da3_blender.core.prediction.batching import Planner
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import BatchMode, Settings

WIDTH, HEIGHT = 96, 64
BITS = 10  # of a frame's number, as black and white fields
# x265 gives clips shorter than its reordering arbitrary decoding times, which the container sometimes refuses: no B-frames
QUIET = {"x264-params": "log-level=none", "x265-params": "log-level=none:pools=1:bframes=0"}


def marked(number, width=WIDTH, height=HEIGHT):
    """A picture that tells its number, in fields large enough for any codec; its top left quarter is red."""
    image = np.full((height, width, 3), 128, np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    columns = np.linspace(0, width, BITS + 1).round().astype(int)
    for bit in range(BITS):
        image[height // 2 :, columns[bit] : columns[bit + 1]] = 255 * (number >> bit & 1)
    return image


def number_of(image):
    height, width = image.shape[:2]
    columns = np.linspace(0, width, BITS + 1).round().astype(int)
    field = image[height // 2 + 8 : height - 8].mean(axis=(0, 2))
    return sum(1 << bit for bit in range(BITS) if field[columns[bit] + 2 : columns[bit + 1] - 2].mean() > 128)


def write(
    path, count=60, codec="libx264", pixels="yuv420p", gop=24, times=None, rotation=0, size=(WIDTH, HEIGHT), sound=False,
    rate=25, options=(), colorspace=None, container_options=None,
):  # fmt: skip
    """A video whose frame k is ``marked(k)``, shown at ``times[k]`` seconds."""
    tick = Fraction(1, rate) if times is None else Fraction(1, 1000)
    with av.open(str(path), "w", container_options=container_options) as container:
        stream = container.add_stream(codec, rate=rate, options={"g": str(gop), **QUIET, **dict(options)})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = tick
        if colorspace:
            stream.codec_context.colorspace = colorspace
        if rotation:
            stream.set_display_rotation(rotation)
        for k in range(count):
            frame = av.VideoFrame.from_ndarray(marked(k, *size), format="rgb24")
            if colorspace:
                frame = frame.reformat(format=pixels, dst_colorspace=colorspace)
                frame.colorspace = colorspace
            frame.pts, frame.time_base = (k if times is None else round(1000 * times[k])), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(source, indices):
    return [number_of(source.load(i).image) for i in indices]


KINDS = {
    "mp4": ("libx264", "yuv420p"),
    "mov": ("libx264", "yuv420p"),
    "m4v": ("mpeg4", "yuv420p"),
    "mkv": ("libx265", "yuv420p10le"),
    "webm": ("libvpx-vp9", "yuv420p"),
    "avi": ("mpeg4", "yuv420p"),
    "mts": ("libx264", "yuv420p"),
    "mpg": ("mpeg2video", "yuv420p"),
    "mpeg": ("mpeg1video", "yuv420p"),
}


@pytest.fixture(scope="session", params=KINDS)
def any_video(request, tmp_path_factory):
    codec, pixels = KINDS[request.param]
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    path = tmp_path_factory.mktemp("video") / f"clip.{request.param}"
    options = {"bf": "2"} if "mpeg" in codec and request.param != "avi" else {"cpu-used": "8"} if "vp9" in codec else {}
    return write(path, codec=codec, pixels=pixels, options=options)


def test_every_frame_of_every_container_is_the_right_one_in_any_order(any_video):
    source = FrameSource.open(any_video)
    assert source.length == 60 and source.frame_rate == pytest.approx(25, rel=1e-3)
    assert source.names[7] == "clip_000007" and set(source.paths) == {any_video}
    assert (source.headers[0].width, source.headers[0].height) == (WIDTH, HEIGHT)
    assert not source.warnings
    assert source.usable(source.selected, Monitor()) == list(range(60))
    assert shown(source, range(60)) == list(range(60))
    source.release()
    order = [59, 0, 30, 31, 33, 29, 5, 58, 24, 23]
    assert shown(source, order) == order


def raw_stream(path):
    """H.264 without a container: packets that have no times."""
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "24", **QUIET})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for k in range(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(marked(k), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda p: raw_stream(p / "a.mpg"),
        lambda p: write(p / "a.avi"),  # H.264 with B frames, which AVI has no times for
        lambda p: write(p / "a.avi", codec="mpeg4", options={"bf": "2"}),
        lambda p: write(p / "a.avi", codec="mjpeg", pixels="yuvj420p"),
    ],
)
def test_frames_are_right_where_the_file_does_not_say_when_they_are_shown(tmp_path, make):
    source = FrameSource.open(make(tmp_path))
    assert source.length == 60 and source.frame_rate == pytest.approx(25)
    order = [*range(0, 60, 7), 35, 7, 8, 59]
    assert shown(source, order) == order


def test_each_frame_alone_is_the_right_one(any_video):
    for index in (0, 1, 25, 47, 48, 59):
        assert shown(FrameSource.open(any_video, index, index), [index]) == [index]


def test_frames_between_others_are_decoded_once_and_no_more_than_needed(tmp_path):
    source = FrameSource.open(write(tmp_path / "a.mp4", 300, gop=300), stride=10)
    assert source.selected == list(range(0, 300, 10))
    assert source.usable(source.selected, Monitor()) == source.selected
    assert shown(source, source.selected) == source.selected
    reader = source.reader
    # One group of pictures: what others build on has to be decoded, B frames (here two of three) do not.
    assert 30 <= reader.decoded < 200


def test_frames_that_nothing_leads_to_are_not_decoded(tmp_path):
    """Every tenth frame begins anew: those wanted are the only ones that are decoded."""
    source = FrameSource.open(write(tmp_path / "a.mp4", 300, gop=10, options={"sc_threshold": "0"}), stride=30)
    assert source.usable(source.selected, Monitor()) == list(range(0, 300, 30))
    assert shown(source, source.selected) == source.selected
    assert source.reader.decoded <= 2 * len(source.selected)  # what the decoder's delay adds where passes end


def test_a_far_frame_is_reached_from_the_key_frame_before_it(tmp_path):
    source = FrameSource.open(write(tmp_path / "a.mkv", 1000, gop=20, size=(96, 64)), start=905, end=905)
    assert shown(source, [905]) == [905]
    assert source.reader.decoded < 40


class Nothing:
    def predict(self, images, indices, settings, cameras=None):
        pixels = np.stack(list(images))
        return Prediction(pixels[..., 0], pixels[..., 0], None, None, pixels)


def test_passes_over_a_video_decode_every_frame_once(tmp_path):
    source = FrameSource.open(write(tmp_path / "a.mp4", 120, gop=60))
    settings = Settings(batch_mode=BatchMode.LAST_FRAME_OVERLAP, batch_size=10)
    seen = []
    for indices, prediction in passes.predictions(
        source, settings, Nothing(), Planner(source.selected, settings, 10), Monitor()
    ):
        assert [number_of(image) for image in prediction.images] == indices
        seen += indices
    assert set(seen) == set(range(120))
    assert source.reader.decoded <= 121  # the first once more, to know the size


def test_memory_for_no_frame_at_all_still_gives_every_frame(tmp_path):
    source = FrameSource.open(write(tmp_path / "a.mp4", 30))
    source.held_most = 1
    assert source.usable(source.selected, Monitor()) == source.selected
    assert [number_of(image) for image in source.images(source.selected)] == source.selected


def test_with_a_varying_frame_rate_a_frame_s_number_is_its_place_in_the_order_shown(tmp_path):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([0.01, 0.033, 0.2, 1.5], 80))
    for name in ("a.mp4", "b.mkv"):
        source = FrameSource.open(write(tmp_path / name, 80, times=times), stride=7)
        assert source.length == 80
        assert shown(source, source.selected) == list(range(0, 80, 7))
        assert source.frame_rate == pytest.approx(79 / (times[-1] - times[0]), rel=1e-2)  # milliseconds are rounded


@pytest.mark.parametrize(("turn", "red"), [(90, "bottom left"), (-90, "top right"), (180, "bottom right")])
def test_a_turned_video_is_seen_upright(tmp_path, turn, red):
    source = FrameSource.open(write(tmp_path / "a.mp4", 5, rotation=turn))
    image = source.load(0).image
    height, width = image.shape[:2]
    assert (source.headers[0].width, source.headers[0].height) == (width, height)
    assert (width, height) == ((HEIGHT, WIDTH) if abs(turn) == 90 else (WIDTH, HEIGHT))
    v = height - 10 if "bottom" in red else 10
    u = width - 10 if "right" in red else 10
    assert image[v, u, 0] > 200 and image[v, u, 1] < 60


@pytest.mark.parametrize("coding", [1, 5])  # BT.709, BT.601
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_colours_are_right_whatever_they_are_coded_as(tmp_path, coding, pixels):
    path = write(tmp_path / "a.mkv", 2, codec="libx265", pixels=pixels, colorspace=coding, options={"crf": "5"})
    red = FrameSource.open(path).load(0).image[10, 10].astype(int)
    assert np.abs(red - (255, 0, 0)).max() <= 6  # the wrong matrix makes an error of 20


def test_a_video_that_ends_too_early_is_used_as_far_as_it_goes(tmp_path):
    path = write(tmp_path / "a.mp4", 200, gop=10, codec="mpeg4", container_options={"movflags": "faststart"})
    for whole in (path, write(tmp_path / "b.mkv", 200, gop=10)):
        data = whole.read_bytes()
        whole.write_bytes(data[: len(data) // 2])
        source = FrameSource.open(whole)
        assert 50 < source.length < 150
        assert any(f"{whole.name} is cut off" in w for w in source.warnings)
        good = source.usable(source.selected, Monitor())
        assert len(good) >= source.length - 3 and shown(source, good) == good


def test_a_damaged_place_costs_its_frames_and_not_the_video(tmp_path):
    path = write(tmp_path / "a.mp4", 100, gop=10, options={"sc_threshold": "0"})
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 5000
    data[at : at + 300] = np.random.default_rng(0).bytes(300)
    path.write_bytes(data)
    source = FrameSource.open(path)
    good = source.usable(source.selected, Monitor())
    assert len(good) >= 80  # the groups of pictures, of ten frames, that the place lies in are lost
    assert any("left out: the video is damaged there" in w for w in source.warnings)
    right = sum(a == b for a, b in zip(shown(source, good), good, strict=True))
    assert right >= len(good) - 10  # a decoder hides some damage, and does not tell


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.write_bytes(b""), "is not a whole video: it is cut off or damaged"),
        (lambda p: p.write_bytes(os.urandom(5000)), "is not a whole video"),
        (lambda p: p.write_bytes(write(p).read_bytes()[:2000]), "is not a whole video"),
        (lambda p: speak(p), "has no pictures in it, only sound"),
    ],
)
def test_what_is_no_video_is_told_in_one_sentence(tmp_path, make, said):
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(BadInput, match=said):
        FrameSource.open(path)


def test_a_range_without_frames_names_how_many_there_are(tmp_path):
    path = write(tmp_path / "a.mp4", 12)
    with pytest.raises(BadInput, match="has 12 frames"):
        FrameSource.open(path, start=12)
    assert FrameSource.open(path, start=3, end=7, stride=2).selected == [3, 5, 7]


def test_sound_beside_the_pictures_does_not_matter(tmp_path):
    path = write(tmp_path / "silent.mp4", 30)
    with av.open(str(path)) as silent, av.open(str(tmp_path / "a.mp4"), "w") as both:
        pictures = both.add_stream_from_template(silent.streams.video[0])
        sound = both.add_stream("aac", rate=44100)
        both.mux(sound.encode(silence(44100)))
        for packet in silent.demux(video=0):
            if packet.size:
                packet.stream = pictures
                both.mux(packet)
        both.mux(sound.encode(None))
    source = FrameSource.open(tmp_path / "a.mp4")
    assert source.length == 30 and shown(source, [0, 17, 29]) == [0, 17, 29]


def silence(samples):
    frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
    frame.rate = 44100
    return frame


def speak(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        container.mux(stream.encode(silence(44100)))
        container.mux(stream.encode(None))


def test_a_video_s_cameras_are_named_by_frame_and_have_no_image(tmp_path):
    class Wall:
        def predict(self, images, indices, settings, cameras=None):
            canvas, valid, _ = place(images, settings.resolution, settings.resize_method)
            return Prediction(valid * np.float32(2.0), valid.astype(np.float32), None, None, canvas)

    path = write(tmp_path / "walk.mp4", 30)
    source = FrameSource.open(path, stride=10)
    settings = Settings(process_resolution=98, batch_mode=BatchMode.IGNORE_BATCH_SIZE)
    [batch] = pipeline.reconstruct(source, settings, Wall(), on_progress=lambda *_: None, cancelled=lambda: False)
    cameras = pipeline.camera_records(batch, source, settings)
    assert [(c.name, c.image) for c in cameras] == [(f"walk_{i:06d}", "") for i in (0, 10, 20)]
    assert [p.name for p in tmp_path.iterdir()] == ["walk.mp4"]  # nothing is written


def test_pixels_that_are_not_square_become_square(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=QUIET)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(marked(5), format="rgb24")))
        container.mux(stream.encode(None))
    source = FrameSource.open(path)
    image = source.load(0).image
    assert image.shape == (HEIGHT, WIDTH * 4 // 3, 3) and source.headers[0].width == WIDTH * 4 // 3
    assert number_of(image) == 5


def test_cancelling_does_not_wait_for_a_frame_that_is_far_from_a_key_frame(tmp_path, monkeypatch):
    source = FrameSource.open(write(tmp_path / "a.mp4", 200, gop=200), start=199)
    source.release()
    source.reader._first.clear()  # so that it has to be decoded again
    feed = Decoder._feed

    def slow(self, packet):
        time.sleep(0.01)
        feed(self, packet)

    monkeypatch.setattr(Decoder, "_feed", slow)
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        source.usable(source.selected, Monitor(cancelled=lambda: time.monotonic() - begin > 0.02))
    source.release()
    assert time.monotonic() - begin < 0.3  # SPEC 9; to decode the frame would take 2 s
    np.testing.assert_array_equal(number_of(source.load(199).image), 199)
