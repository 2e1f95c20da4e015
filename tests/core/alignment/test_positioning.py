"""Use Metric by the positions that photographs carry: from EXIF to points in metres, east and north."""

from dataclasses import replace

import numpy as np
import pytest
import truth
from da3_blender.core.frames.pixels import geotags
from da3_blender.core.geometry import geodesy
from da3_blender.core.output.payload import CameraRecord
from da3_blender.core.settings import BatchMode, MetricSource, Settings
from da3_blender.core.worker import protocol
from da3_blender.core.worker.server.generate_job import generate
from da3_blender.core.worker.server.loaded_model import LoadedModel
from PIL import ExifTags, Image
from truth_predictor import TruthPredictor

HOME = np.array([48.137154, 11.576124, 520.0])


def degrees(metres):
    """Latitude, longitude, altitude of a place (3,) east, north, up of ``HOME``: Newton's way back."""
    place = HOME.copy()
    for _ in range(4):
        steps = np.diag([1e-6, 1e-6, 1.0])
        here = geodesy.east_north_up(place[None], HOME)[0]
        slope = (geodesy.east_north_up(place + steps, HOME) - here).T
        place = place + steps @ np.linalg.solve(slope, metres - here)
    return place


def sexagesimal(value):
    whole, rest = divmod(abs(value) * 60, 1)
    return (whole // 60, whole % 60, round(rest * 60, 7))


def tagged(image, path, place):
    exif = Image.Exif()
    latitude, longitude, altitude = place
    tags = {
        1: "N" if latitude >= 0 else "S", 2: sexagesimal(latitude), 3: "E" if longitude >= 0 else "W",
        4: sexagesimal(longitude), 5: b"\0" if altitude >= 0 else b"\1", 6: abs(altitude),
    }  # fmt: skip
    exif[ExifTags.IFD.GPSInfo] = tags
    exif, written = Image.Exif(), exif.tobytes()
    exif.load(written)  # Pillow's TIFF writer takes only what was read
    Image.fromarray(image).save(path, exif=exif)


@pytest.mark.parametrize(
    "place", [(48.137154, 11.576124, 520.25), (-33.8567844, 151.2152967, -12.0), (21.3, -157.8, 3.0)]
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_position_is_read_to_a_centimetre_in_every_form(tmp_path, place, suffix):
    tagged(np.zeros((8, 8, 3), np.uint8), tmp_path / f"a.{suffix}", place)
    tag = geotags.read(tmp_path / f"a.{suffix}")
    assert (tag.latitude, tag.longitude, tag.altitude) == pytest.approx(place, abs=1e-7)


def test_a_drone_s_own_words_go_before_exif_and_zero_is_no_position(tmp_path):
    file = tmp_path / "dji.jpg"
    tagged(np.zeros((8, 8, 3), np.uint8), file, (1.0, 2.0, 3.0))
    xmp = b'<rdf:Description drone-dji:AbsoluteAltitude="+431.20" drone-dji:GpsLatitude="48.1371540" drone-dji:GpsLongtitude="11.5761240"/>'
    with Image.open(file) as image:
        image.save(tmp_path / "with.jpg", exif=image.getexif(), xmp=xmp)
    assert geotags.read(tmp_path / "with.jpg") == geotags.Geotag(48.137154, 11.576124, 431.2, True)
    tagged(np.zeros((8, 8, 3), np.uint8), file, (0.0, 0.0, 0.0))
    assert geotags.read(file) is None
    Image.new("RGB", (8, 8)).save(file)
    assert geotags.read(file) is None
    file.write_bytes(b"\xff\xd8\xff\xe1 no photograph")
    assert geotags.read(file) is None


def run(folder, tmp_path, predictor, **settings):
    values = Settings(input=str(folder), model="da3-small", use_metric=True, **settings).to_json()
    (tmp_path / "job").mkdir()
    events = []
    request = protocol.Generate(1, str(tmp_path / "job"), values, str(tmp_path))
    report = generate(request, LoadedModel(lambda *_, **__: predictor), events.append, lambda: False)
    records = [CameraRecord.from_json(c) for e in events if isinstance(e, protocol.BatchReady) for c in e.cameras]
    return records, report


@pytest.mark.parametrize(("noise", "places", "scale", "north"), [(0.0, 0.01, 1e-3, 0.1), (2.0, 1.0, 0.02, 3.0)])
def test_the_walk_by_gps_is_in_metres_with_north_along_y(tmp_path, noise, places, scale, north):
    """One draw of the noise; how often it is right to 2 % is counted in ``tests/core/geometry/test_position_fit.py``."""
    known = truth.load("walk")
    random = np.random.default_rng(4)
    east_north_up = known.camera_to_world[:, :3, 3]  # the sample's world is z up
    folder = tmp_path / "walk"
    folder.mkdir()
    for name, image, place in zip(known.names, known.images, east_north_up, strict=True):
        tagged(image[::4, ::4], folder / name, degrees(place + random.normal(0, noise / np.sqrt(3), 3)))
    records, report = run(
        folder, tmp_path, Small(known), metric_source=MetricSource.GPS, batch_mode=BatchMode.IGNORE_BATCH_SIZE
    )
    found = np.array([np.reshape(record.camera_to_world, (4, 4))[:3, 3] for record in records])
    a, b = found - found.mean(axis=0), east_north_up - east_north_up.mean(axis=0)
    size = np.sqrt((a**2).sum() / (b**2).sum())
    turned = np.degrees(np.angle(((a[:, 0] + 1j * a[:, 1]) * (b[:, 0] - 1j * b[:, 1])).sum()))
    print(
        f"noise {noise} m: scale off by {100 * (size - 1):.2f} %, north by {turned:.2f} degrees; {report['warnings']}"
    )
    assert abs(size - 1) < scale and abs(turned) < north
    assert np.abs(a - b).max() < places
    assert report["gps"]["error"] == pytest.approx(noise, abs=0.2)
    assert any("north" in warning and "positions used" in warning for warning in report["warnings"])


class Small(TruthPredictor):
    """The truth at the size of small images, in a model's world."""

    def predict(self, images, indices, settings, cameras=None):
        found = super().predict([np.zeros((2, 2, 3), np.uint8)] * len(indices), indices, settings)
        intrinsics = found.intrinsics.copy()
        intrinsics[:, :2] /= 4
        return replace(
            found, depth=found.depth[:, 2::4, 2::4], conf=found.conf[:, 2::4, 2::4], intrinsics=intrinsics,
            images=np.stack(list(images)),
        )  # fmt: skip


def test_photographs_without_positions_say_so_where_gps_was_asked_for(tmp_path):
    known = truth.load("courtyard")
    _, report = run(known.folder, tmp_path, TruthPredictor(known), metric_source=MetricSource.GPS)
    assert report["gps"] is None
    assert any("0 of 14 images tell where" in warning for warning in report["warnings"])
