"""Which files are read, whatever their names are; what is passed over is named."""

import struct
from fractions import Fraction

import av
import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401  # so that Pillow writes JPEG XL
import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.input_files import images_in
from da3_blender.core.frames.source import FrameSource
from PIL import Image

WIDTH, HEIGHT = 96, 64
LOSSY = 6.0  # levels of 255, on average: what the lossy formats lose of a smooth picture


def picture():
    x, y = np.meshgrid(np.linspace(40, 220, WIDTH), np.linspace(60, 200, HEIGHT))
    return np.stack([x, y, np.full_like(x, 90.0)], axis=-1).round().astype(np.uint8)


def linear(codes):
    e = codes / 255.0
    return np.where(e <= 0.04045, e / 12.92, ((e + 0.055) / 1.055) ** 2.4).astype(np.float32)


def by_ffmpeg(path, codec, form):
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt, context.framerate = WIDTH, HEIGHT, form, 25
    context.time_base = Fraction(1, 25)
    if codec == "exr":
        frame = av.VideoFrame(WIDTH, HEIGHT, form)
        light = linear(picture())
        for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
            rows = np.zeros((HEIGHT, plane.line_size // 4), np.float32)
            rows[:, :WIDTH] = light[..., channel]
            plane.update(rows.tobytes())
    else:
        frame = av.VideoFrame.from_ndarray(picture(), format="rgb24").reformat(format=form)
    packets = [*context.encode(frame), *context.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))


def dng(path):
    """The smallest DNG: a grey of a fifth of the range behind a Bayer filter."""
    pixels = np.full((HEIGHT, WIDTH), 13000, "<u2").tobytes()
    rational = struct.pack("<18i", *(v for i in range(9) for v in (int(i % 4 == 0), 1)))
    neutral = struct.pack("<6I", 1, 1, 1, 1, 1, 1)
    tags = [
        (254, 4, 1, 0), (256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 32803),
        (271, 2, 5, b"Test\0"), (272, 2, 5, b"Test\0"), (273, 4, 1, None), (277, 3, 1, 1), (278, 4, 1, HEIGHT), (279, 4, 1, len(pixels)),
        (33421, 3, 2, struct.pack("<HH", 2, 2)), (33422, 1, 4, bytes([0, 1, 1, 2])), (50706, 1, 4, bytes([1, 4, 0, 0])),
        (50708, 2, 5, b"Test\0"), (50717, 4, 1, 65535), (50721, 10, 9, rational), (50728, 5, 3, neutral), (50778, 3, 1, 21),
    ]  # fmt: skip
    start = 8
    extra_at = start + 2 + 12 * len(tags) + 4
    extra, table = b"", b""
    for tag, kind, count, value in tags:
        data = value if isinstance(value, bytes) else None
        if data is not None and len(data) > 4:
            field = struct.pack("<I", extra_at + len(extra))
            extra += data + bytes(len(data) % 2)
        elif data is not None:
            field = data.ljust(4, b"\0")
        else:
            field = b"AT__" if value is None else struct.pack("<I", value)
        table += struct.pack("<HHI", tag, kind, count) + field
    table = table.replace(b"AT__", struct.pack("<I", extra_at + len(extra)))
    path.write_bytes(b"II*\0" + struct.pack("<IH", start, len(tags)) + table + bytes(4) + extra + pixels)


def saved(path, form, **options):
    if form == "HEIF":
        pillow_heif.register_heif_opener()
    Image.fromarray(picture()).save(path, form, **options)


WRITERS = {
    "a.HEIC": lambda p: saved(p, "HEIF", quality=95), "a.heif": lambda p: saved(p, "HEIF", quality=95),
    "a.AVIF": lambda p: saved(p, "AVIF", quality=95), "a.jxl": lambda p: saved(p, "JXL", lossless=True),
    "a.tga": lambda p: saved(p, "TGA"), "a.jp2": lambda p: saved(p, "JPEG2000"), "a.JFIF": lambda p: saved(p, "JPEG"),
    "a.JPG": lambda p: saved(p, "JPEG"), "a.mpo": lambda p: saved(p, "MPO"), "a.WEBP": lambda p: saved(p, "WEBP"),
    "a.exr": lambda p: by_ffmpeg(p, "exr", "gbrpf32le"), "a.dpx": lambda p: by_ffmpeg(p, "dpx", "gbrp10le"),
    "heic_as.jpg": lambda p: saved(p, "HEIF", quality=95), "jpeg_as.heic": lambda p: saved(p, "JPEG"),
    "png_as.jpg": lambda p: saved(p, "PNG"), "nothing": lambda p: saved(p, "JPEG"), "jpeg.dat": lambda p: saved(p, "JPEG"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_a_picture_is_read_by_its_content(tmp_path, name):
    WRITERS[name](tmp_path / name)
    for chosen in (tmp_path, tmp_path / name):
        source = FrameSource.open(chosen)
        header = source.headers[0]
        assert (header.width, header.height) == (WIDTH, HEIGHT)
        assert np.abs(source.load(0).image.astype(float) - picture()).mean() < LOSSY
        assert source.warnings == []
    assert images_in(tmp_path) == [tmp_path / name]  # what Blender chooses from is what the worker reads


@pytest.mark.parametrize("suffix", [".dng", ".DNG"])
def test_camera_raw_is_developed(tmp_path, suffix):
    dng(tmp_path / f"a{suffix}")
    source = FrameSource.open(tmp_path)
    image, header = source.load(0).image, source.headers[0]
    assert image.shape[1::-1] == (header.width, header.height)
    assert source.needs_copy(0)
    middle = image[8:-8, 8:-8].reshape(-1, 3)
    assert np.ptp(middle, axis=0).max() <= 2  # one grey
    light = 13000 / 65535 * 2**0.5
    assert abs(middle.mean() - 255 * (1.055 * light ** (1 / 2.4) - 0.055)) <= 3


def test_what_is_passed_over_is_counted_and_named(tmp_path):
    saved(tmp_path / "a.jpg", "JPEG")
    for name in ("b.gif", "c.gif", "d.gif", "e.gif"):
        Image.fromarray(picture()).save(tmp_path / name)
    (tmp_path / "clip.MOV").write_bytes(b"\0\0\0\x14ftypqt  ")
    (tmp_path / "half.avif.part").write_bytes(b"")
    (tmp_path / "Thumbs.db").write_bytes(b"none")
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "101APPLE").mkdir()
    saved(tmp_path / "101APPLE" / "IMG_1.jpg", "JPEG")
    (tmp_path / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    source = FrameSource.open(tmp_path)
    assert source.names == ["a.jpg"]
    told, lost = source.warnings
    assert "4 GIF" in told and "b.gif, c.gif, d.gif and 1 more" in told
    assert all(f"1 {what}" in told for what in ("video", "unfinished download", "folder with images"))
    assert "101APPLE: 1" in told and "Thumbs" not in told and "notes" not in told
    assert lost == "lost.jpg was left out: it is a link that leads nowhere"


def test_a_folder_of_folders_says_which_has_images(tmp_path):
    (tmp_path / "100APPLE").mkdir()
    saved(tmp_path / "100APPLE" / "IMG_1.jpg", "JPEG")
    with pytest.raises(BadInput, match="folder with images.*100APPLE: 1"):
        FrameSource.open(tmp_path)


@pytest.mark.parametrize("pattern", ["shot_####.png", "shot_%04d.png", "shot_*.png"])
def test_a_sequence_is_named_by_a_pattern(tmp_path, pattern):
    for number in (8, 9, 10):
        saved(tmp_path / f"shot_{number:04d}.png", "PNG")
    saved(tmp_path / "other_0001.png", "PNG")
    source = FrameSource.open(tmp_path / pattern)
    assert source.names == ["shot_0008.png", "shot_0009.png", "shot_0010.png"]


def test_a_pattern_that_nothing_fits_says_so(tmp_path):
    with pytest.raises(BadInput, match="fits the pattern"):
        FrameSource.open(tmp_path / "shot_####.png")


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [("a.mxf", "mpeg2video", "mxf"), ("a.ts", "mpeg2video", "mpegts"), ("a.m2ts", "mpeg2video", "mpegts"), ("a.3gp", "mpeg4", "3gp"),
     ("a.wmv", "wmv2", "asf"), ("a.flv", "flv1", "flv"), ("a.mov", "mpeg4", "mov"), ("movie.jpg", "mpeg4", "mp4"), ("movie", "mpeg4", "matroska")],
)  # fmt: skip
def test_a_video_is_read_by_its_content(tmp_path, name, codec, form):
    with av.open(str(tmp_path / name), "w", format=form) as container:
        stream = container.add_stream({"flv1": "flv"}.get(codec, codec), rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 4_000_000
        for _ in range(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(), format="rgb24")))
        container.mux(stream.encode(None))
    source = FrameSource.open(tmp_path / name)
    assert source.is_video and source.length == 6
    assert np.abs(source.load(2).image.astype(float) - picture()).mean() < LOSSY


def test_a_gif_that_is_chosen_says_what_it_is(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.gif")
    with pytest.raises(BadInput, match=r"a\.gif.*it is a GIF"):
        FrameSource.open(tmp_path / "a.gif")


def test_a_focal_length_that_no_lens_has_is_not_believed(tmp_path):
    for name, tags in {
        "one.jpg": {0xA405: 1},
        "both.jpg": {0xA405: 1, 0x920A: 36.0, 0xA20E: 100.0, 0xA210: 4, 0xA002: WIDTH},
    }.items():
        exif = Image.Exif()
        exif.get_ifd(0x8769).update(tags)
        Image.fromarray(picture()).save(tmp_path / name, exif=exif)
    source = FrameSource.open(tmp_path)
    assert {source.names[i]: source.headers[i].focal for i in source.selected} == {"one.jpg": None, "both.jpg": None}
