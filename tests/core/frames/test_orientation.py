"""A turned photograph, by format and by the form of its tag, for everybody who looks at it.

The picture says by its colours where each of its pixels is to be seen: red grows to the right, green downwards. So every
consumer is asked the same question: is what it takes from the file the colour of the place where it puts it?
"""

import io
import struct

import numpy as np
import payloads
import pillow_heif
import pytest
from da3_blender.core.alignment.camera_matching import Candidate, match
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.pixels import kinds, orientation
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.output.calibration import calibration, colmap_views
from da3_blender.core.output.cameras import colmap
from da3_blender.core.surfaces.image_meshes import picture_coordinates
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

WIDTH, HEIGHT = 96, 64  # upright
NEAR = 8.0  # levels: a pixel is 2.7 to 4 of them, the rest is what JPEG and AVIF lose
#: From upright to stored: the inverse of what EXIF 2.32, 4.6.4 A says, by Pillow's own operations.
STORE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{}"/></rdf:RDF></x:xmpmeta>'
)


def upright():
    x, y = np.meshgrid((np.arange(WIDTH) + 0.5) / WIDTH, (np.arange(HEIGHT) + 0.5) / HEIGHT)
    return np.stack([x * 255, y * 255, np.full_like(x, 128.0)], axis=-1).round().astype(np.uint8)


def stored(value):
    image = Image.fromarray(upright())
    return image if value == 1 else image.transpose(STORE[value])


def exif(value, form):
    order = ">" if form == "big endian" else "<"
    kind, word = (4, "I") if form == "long" else (3, "HH")
    number = struct.pack(order + word, *([value] if kind == 4 else [value, 0]))
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, 1)
    return b"Exif\0\0" + head + struct.pack(order + "HHI", 0x0112, kind, 1) + number + bytes(4)


def save_jpeg(path, value, form):
    stored(value).save(path, "JPEG", quality=98, subsampling=0, **tag(value, form))
    if form == "after a comment":
        whole, note = path.read_bytes(), b"made by nobody"
        path.write_bytes(whole[:2] + b"\xff\xfe" + struct.pack(">H", len(note) + 2) + note + whole[2:])


def tag(value, form):
    return {"xmp": XMP.format(value).encode()} if form == "xmp" else {"exif": exif(value, form)}


def save_png(path, value, form):
    extra = tag(value, form)
    if form == "xmp":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.format(value))
        extra = {"pnginfo": info}
    stored(value).save(path, **extra)
    if form == "after the pixels":
        whole = path.read_bytes()
        at = whole.index(b"eXIf") - 4
        end = at + 12 + struct.unpack(">I", whole[at : at + 4])[0]
        chunk, rest = whole[at:end], whole[:at] + whole[end:]
        last = rest.index(b"IEND") - 4
        path.write_bytes(rest[:last] + chunk + rest[last:])


def save_tiff(path, value, form):
    tags = ImageFileDirectory_v2()
    if form == "xmp":
        tags[700] = XMP.format(value).encode()
        tags.tagtype[700] = 1
    else:
        tags[274] = value
        tags.tagtype[274] = 4 if form == "long" else 3
    stored(value).save(path, tiffinfo=tags)


def save_deep(path, value, form):
    """16 bits a channel, which Pillow does not write; OpenCV does, and the tag is put in afterwards."""
    import cv2

    pixels = np.asarray(stored(value)).astype(np.uint16)[..., ::-1] * 257
    _, data = cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_TIFF_COMPRESSION, 1] if path.suffix == ".tif" else [])
    whole = data.tobytes()
    if path.suffix == ".png":
        body = b"eXIf" + exif(value, "short")[6:]
        import zlib

        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        path.write_bytes(whole[:33] + chunk + whole[33:])
        return
    (start,) = struct.unpack_from("<I", whole, 4)
    (count,) = struct.unpack_from("<H", whole, start)
    entries = [whole[start + 2 + 12 * i :][:12] for i in range(count)]
    entries = [e for e in entries if struct.unpack_from("<H", e)[0] != 274]
    entries.append(struct.pack("<HHIHH", 274, 3, 1, value, 0))
    entries.sort(key=lambda e: struct.unpack_from("<H", e)[0])
    table = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(whole[:4] + struct.pack("<I", len(whole)) + whole[8:] + table)


def save_heic(path, value, form):
    pillow_heif.register_heif_opener()
    stored(value).save(path, "HEIF", quality=98, chroma=444, **tag(value, form))


def save_other(path, value, form):
    extra = {"quality": 98, "subsampling": "4:4:4"} if path.suffix == ".avif" else {"lossless": True}
    stored(value).save(path, **extra, **tag(value, form))


def save_mpo(path, value, form):
    stored(value).save(
        path, "MPO", quality=98, subsampling=0, save_all=True, append_images=[stored(1)], **tag(value, form)
    )


FORMS = ("short", "long", "big endian", "xmp")
CASES = [
    (s, form, save) for s, save in ((".jpg", save_jpeg), (".png", save_png), (".webp", save_other)) for form in FORMS
]
CASES += [(".tif", form, save_tiff) for form in ("short", "long", "xmp")]
CASES += [(".jpg", "after a comment", save_jpeg), (".png", "after the pixels", save_png)]
CASES += [(".tif", "of 16 bits", save_deep), (".png", "of 16 bits", save_deep)]
CASES += [(".heic", "short", save_heic), (".avif", "short", save_other), (".mpo", "short", save_mpo)]
each = pytest.mark.parametrize(("suffix", "form", "save"), CASES, ids=[f"{s[1:]} {form}" for s, form, _ in CASES])


@pytest.fixture
def photos(tmp_path, suffix, form, save):
    """The eight files of a case, and their source."""
    for value in range(1, 9):
        save(tmp_path / f"{value}{suffix}", value, form)
    return FrameSource.open(tmp_path)


def colour_at(pixels, x, y):
    """(P, 3) of the nearest pixels; ``x`` and ``y`` from the corner of the picture."""
    h, w = pixels.shape[:2]
    return pixels[np.clip(np.floor(y), 0, h - 1).astype(int), np.clip(np.floor(x), 0, w - 1).astype(int)].astype(float)


def place_of(colours):
    """Upright x and y that a colour stands for."""
    return colours[:, 0] / 255 * WIDTH, colours[:, 1] / 255 * HEIGHT


def as_stored(source, index):
    """Pixels as Blender and COLMAP see them; what they cannot open they see as our upright copy."""
    return np.asarray(stored(source.headers[index].orientation))


def seen_points(count=60):
    rng = np.random.default_rng(3)
    return np.concatenate([rng.uniform(-0.35, 0.35, (count, 2)), rng.uniform(1.9, 2.1, (count, 1))], axis=1)


def project(points, intrinsics, extrinsics):
    camera = points @ extrinsics[:, :3].T + extrinsics[:, 3]
    pixels = camera @ intrinsics.T
    return pixels[:, 0] / pixels[:, 2], pixels[:, 1] / pixels[:, 2]


def record_of(source, index, intrinsics=None, extrinsics=None):
    header = source.headers[index]
    k = np.array([[120.0, 0, WIDTH / 2], [0, 118.0, HEIGHT / 2], [0, 0, 1]]) if intrinsics is None else intrinsics
    made = payloads.record(np.eye(3, 4) if extrinsics is None else extrinsics, k, (WIDTH, HEIGHT), name=str(index + 1))
    return type(made)(**{
        **made.__dict__, "image": source.picture(index), "orientation": header.orientation,
        "placement": (0, 0, WIDTH, HEIGHT), "photo": header.file_size,
    })  # fmt: skip


@each
def test_points_have_the_colour_of_their_place(photos, suffix):
    assert len(photos.selected) == 8
    for index in photos.selected:
        image, header = photos.load(index).image, photos.headers[index]
        assert (header.width, header.height) == (WIDTH, HEIGHT) == image.shape[1::-1], header
        assert np.abs(image.astype(float) - upright())[..., :2].max() < NEAR


@each
def test_textures_lie_where_their_points_do(photos, suffix):
    for index in photos.selected:
        copied = photos.needs_copy(index)
        u, v = picture_coordinates(record_of(photos, index), stored=not copied).T
        shown = upright() if copied else as_stored(photos, index)
        found = colour_at(shown, u * shown.shape[1], (1 - v) * shown.shape[0])
        assert np.abs(found - upright().reshape(-1, 3))[:, :2].max() < NEAR


@each
def test_the_picture_behind_a_camera_stands_upright(photos, suffix):
    for index in photos.selected:
        if not kinds.opens_in_blender(photos.paths[index]):
            continue  # Blender shows none, which the log says
        pixels = as_stored(photos, index)
        mirrored, turn = orientation.MIRROR_AND_TURN[photos.headers[index].orientation]
        shown = pixels[:, ::-1] if mirrored else pixels
        shown = np.rot90(shown, -round(turn / (np.pi / 2)))
        assert np.abs(shown.astype(float) - upright()).max() < NEAR


@each
def test_a_colmap_model_of_the_stored_pixels_sees_the_upright_ones(photos, suffix):
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    extrinsics = np.concatenate([rotation, [[0.1], [0.2], [0.3]]], axis=1)
    points = (seen_points() - extrinsics[:, 3]) @ rotation
    for index in photos.selected:
        pixels, value = as_stored(photos, index), photos.headers[index].orientation
        h, w = pixels.shape[:2]
        k = np.array([[130.0, 0, w / 2 + 3], [0, 125.0, h / 2 - 2], [0, 0, 1]])
        view = Candidate.of_view(colmap.View(photos.names[index], w, h, k, extrinsics))
        if orientation.mirrors(value):
            with pytest.raises(BadInput, match=f"{photos.names[index]}.*mirror.*EXIF"):
                match([view], photos, "the COLMAP model")
            continue
        known = match([view], photos, "the COLMAP model")
        x, y = project(points, k, extrinsics)
        inside = (x > 1) & (y > 1) & (x < w - 1) & (y < h - 1)
        expected = place_of(colour_at(pixels, x, y))
        seen = project(points, known.intrinsics[index], known.extrinsics[index])
        assert inside.sum() > 20
        assert np.linalg.det(known.extrinsics[index][:, :3]) > 0
        assert all(np.abs(a - b)[inside].max() < 1.0 for a, b in zip(seen, expected, strict=True))


@each
def test_a_colmap_model_that_is_written_fits_the_stored_pixels(photos, suffix):
    k = np.array([[130.0, 0, WIDTH / 2 + 3], [0, 125.0, HEIGHT / 2 - 2], [0, 0, 1]])
    for index in photos.selected:
        pixels, value = as_stored(photos, index), photos.headers[index].orientation
        record = record_of(photos, index, k)
        (view,) = colmap_views([record], [photos.headers[index].file_size])
        if orientation.mirrors(value):  # it is told, and described upright
            assert (view.width, view.height) == (WIDTH, HEIGHT)
            continue
        assert (view.width, view.height) == pixels.shape[1::-1]
        x, y = project(seen_points(), view.intrinsics, view.extrinsics)
        inside = (x > 1) & (y > 1) & (x < view.width - 1) & (y < view.height - 1)
        expected = project(seen_points(), k, np.eye(3, 4))
        found = place_of(colour_at(pixels, x, y))
        assert all(np.abs(a - b)[inside].max() < 1.0 for a, b in zip(found, expected, strict=True))


@each
def test_the_table_of_intrinsics_is_of_the_upright_picture(photos, suffix):
    for index in photos.selected:
        sizes = [photos.headers[index].file_size]
        text = next(t for f, t in calibration([record_of(photos, index)], sizes, "x").items() if "_da3" not in f)
        assert np.allclose([float(n) for n in text.split()], [120.0, 118.0, WIDTH / 2, HEIGHT / 2])


@pytest.mark.parametrize("said", [0, 9, 77])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, said):
    data = io.BytesIO()
    Image.fromarray(upright()).save(data, "JPEG", exif=exif(said, "short"))
    (tmp_path / "a.jpg").write_bytes(data.getvalue())
    assert FrameSource.open(tmp_path / "a.jpg").headers[0].orientation == 1
