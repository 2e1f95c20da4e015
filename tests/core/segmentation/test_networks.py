"""The networks' files: opened carefully, downloaded, checked, moved; and all that such a file can be."""

import hashlib
import io
import pickle
import sys
import zipfile
from pathlib import Path

import cv2
import hub as hubs
import numpy as np
import pytest
import torch
from da3_blender.core.errors import DA3Error, MissingModel
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.models import files, moving, segmentation_catalogue, segmentation_download
from da3_blender.core.monitor import Monitor
from da3_blender.core.segmentation.segmenter import open_segmenter
from da3_blender.core.segmentation.yolo import YoloDetector
from da3_blender.core.settings import Settings
from PIL import Image, UnidentifiedImageError

NETWORK = Path(__file__).resolve().parents[2] / "data" / "tiny-seg.pt"  # tools/train_segmenter.py


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (56, 42)).save(folder / "a.png")
    return FrameSource.open(folder)


def opened(name, folder, frames, **more):
    return open_segmenter(Settings(seg_model=str(name), **more), folder, frames, Monitor(), device="cpu", online=True)


def test_a_network_of_ones_own_is_opened_by_its_path(photos, tmp_path):
    segmenter = opened(NETWORK, tmp_path, photos)
    assert segmenter is not None and not photos.warnings
    from ultralytics import utils

    assert cv2.getNumThreads() > 0  # Ultralytics turns them off on import
    (tmp_path / "no image.png").write_bytes(b"hello")
    with pytest.raises(UnidentifiedImageError):  # and makes Pillow ask for another package here
        Image.open(tmp_path / "no image.png")
    assert not utils.ONLINE and not utils.SETTINGS["sync"]
    assert Path(utils.USER_CONFIG_DIR).is_relative_to(sys.prefix)  # and not in the home folder


def test_a_network_is_found_whatever_its_folder_is_called(photos, tmp_path):
    file = tmp_path / "O'Brien's nets 100%20 (ü)" / "it's mine.pt"
    file.parent.mkdir()
    file.write_bytes(NETWORK.read_bytes())
    assert opened(file, tmp_path, photos) is not None, photos.warnings


class Evil:
    """A pickle that writes a file when it is read."""

    def __init__(self, target):
        self._target = target

    def __reduce__(self):
        return (Path.touch, (self._target,))


@pytest.mark.parametrize("form", ["torch", "old", "plain"])
def test_a_file_that_would_run_code_is_refused_and_nothing_runs(photos, tmp_path, form):
    mark, file = tmp_path / "it ran", tmp_path / "nice.pt"
    content = {"model": Evil(mark), "ema": None, "train_args": {}}
    if form == "plain":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "torch")
    assert opened(file, tmp_path, photos) is None
    assert not mark.exists()
    assert "nice.pt" in photos.warnings[0] and "goes on without segmentation" in photos.warnings[0]
    pickle.loads(pickle.dumps(Evil(mark)))  # the other proof: it would have
    assert mark.exists()


def cut(content):
    return content[: len(content) // 2]


def without_model(content):
    buffer = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("spoil", [cut, without_model, lambda _: b"", lambda _: b"<html>not found</html>" * 99])
def test_a_broken_file_is_told_in_one_sentence_and_the_run_goes_on(photos, tmp_path, spoil):
    file = tmp_path / "mine.pt"
    file.write_bytes(spoil(NETWORK.read_bytes()))
    assert opened(file, tmp_path, photos) is None
    assert len(photos.warnings) == 1
    assert "mine.pt" in photos.warnings[0] and "cannot be read as a segmentation network" in photos.warnings[0]


@pytest.mark.parametrize("length", [-1, 0])
def test_a_published_network_with_other_bytes_is_not_opened(photos, tmp_path, length):
    model = segmentation_catalogue.find("yolo11n-seg")
    with (tmp_path / model.file_name).open("wb") as file:
        file.truncate(model.bytes + length)
    assert opened(model.name, tmp_path, photos) is None
    assert ("cut off" if length else "SHA-256 differs") in photos.warnings[0]


def test_a_network_that_is_nowhere_is_told(photos, tmp_path):
    assert opened("yolo99-seg", tmp_path, photos) is None
    assert opened(tmp_path / "gone.pt", tmp_path, photos) is None
    assert "There is no segmentation model 'yolo99-seg'" in photos.warnings[0] and "gone.pt" in photos.warnings[1]


def test_a_network_without_names_is_used_and_told(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("da3_blender.core.segmentation.yolo._names", lambda model: {})
    segmenter = opened(NETWORK, tmp_path, photos)
    assert segmenter is not None
    assert "class0, class1" in photos.warnings[0]


def test_an_environment_without_the_tracker_is_told(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lap", None)
    assert opened(NETWORK, tmp_path, photos) is None
    assert "install the dependencies" in photos.warnings[0]


# ---------------------------------------------------------------------------------------------------------- downloads


@pytest.fixture
def mirror(monkeypatch):
    """Serves networks; the table's digest of yolo11n-seg is that of what is served."""
    with hubs.Hub() as hub:
        monkeypatch.setenv(segmentation_download.ENDPOINT, hub.store)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


def served(monkeypatch, content, **claims):
    """A table with one network of these bytes."""
    known = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} | claims
    model = segmentation_catalogue.SegModel("yolo11n-seg", "YOLO11 Nano", "YOLO11", **known)
    monkeypatch.setattr(segmentation_catalogue, "SEG_MODELS", (model,))
    return model


def test_a_missing_network_is_downloaded_goes_on_where_it_broke_and_is_opened(photos, tmp_path, monkeypatch, mirror):
    content = NETWORK.read_bytes()
    served(monkeypatch, content)
    mirror.serve("yolo11n-seg.pt", content)
    mirror.cut_at = [1_000_000]
    monkeypatch.setattr(segmentation_download.require, "__defaults__", ((0.01, 0.01),))
    told = []
    segmenter = open_segmenter(
        Settings(seg_model="yolo11n-seg"),
        tmp_path,
        photos,
        Monitor(lambda *step: told.append(step)),
        device="cpu",
        online=True,
    )
    assert segmenter is not None and not photos.warnings
    assert (tmp_path / "yolo11n-seg.pt").read_bytes() == content
    first, second = mirror.requests("store")
    assert first.start is None and second.start > 0  # what had arrived was not asked for again
    assert {stage for stage, _ in told} == {"segmentation model"} and told[-1][1] == 1.0


def test_a_network_without_a_known_digest_is_asked_for_its_size(tmp_path, monkeypatch, mirror):
    content = NETWORK.read_bytes()
    model = served(monkeypatch, content, bytes=0, sha256=None)
    mirror.serve("yolo11n-seg.pt", content)
    assert segmentation_download.download(model, tmp_path, waits=()).read_bytes() == content


def test_other_bytes_than_were_published_get_no_name(tmp_path, monkeypatch, mirror):
    content = NETWORK.read_bytes()
    model = served(monkeypatch, content)
    mirror.serve("yolo11n-seg.pt", content[:-1] + b"x")
    with pytest.raises(DA3Error, match="did not arrive intact"):
        segmentation_download.download(model, tmp_path, waits=())
    assert not (tmp_path / "yolo11n-seg.pt").exists()


def test_no_network_is_told_and_the_run_goes_on(photos, tmp_path, monkeypatch):
    monkeypatch.setenv(segmentation_download.ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(segmentation_download.require, "__defaults__", ((),))
    assert opened("yolo11n-seg", tmp_path, photos) is None
    assert "cannot be reached" in photos.warnings[0] and "goes on without segmentation" in photos.warnings[0]


def test_every_row_of_the_table_is_a_network_that_ultralytics_publishes():
    from da3_blender.core.segmentation.yolo import _ultralytics

    _ultralytics()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    assert {model.file_name for model in segmentation_catalogue.SEG_MODELS} <= GITHUB_ASSETS_NAMES
    assert Settings().seg_model in {model.name for model in segmentation_catalogue.SEG_MODELS}
    for model in segmentation_catalogue.SEG_MODELS:
        assert (model.sha256 is None) == (model.bytes == 0)
        assert model.sha256 is None or len(bytes.fromhex(model.sha256)) == 32


def test_a_zip_that_is_no_network_is_not_taken_for_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert segmentation_catalogue.is_whole(NETWORK) and not segmentation_catalogue.is_whole(tmp_path / "a.zip")


def test_networks_are_moved_and_removed_with_the_models(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "yolo11n-seg.pt").write_bytes(NETWORK.read_bytes())
    (old / "mine.pt").write_bytes(b"mine")
    [moved] = moving.move_models(old, new)  # a network of that name that no public source knows
    assert "YOLO11 Nano was left where it is" in str(moved) and "Unknown Networks Too" in str(moved)
    assert (old / "yolo11n-seg.pt").exists() and not new.exists()
    [moved] = moving.move_models(old, new, unknown_networks=True)
    assert str(moved) == "YOLO11 Nano was moved"
    network = segmentation_catalogue.find("yolo11n-seg")
    assert segmentation_catalogue.check(network, new / "yolo11n-seg.pt") == ""  # the person has taken it
    [again] = moving.move_models(new, tmp_path / "newer")
    assert str(again) == "YOLO11 Nano was moved"
    assert segmentation_catalogue.check(network, tmp_path / "newer" / "yolo11n-seg.pt") == ""
    moving.move_models(tmp_path / "newer", new)
    (new / "yolo11n-seg.pt").write_bytes(b"x" * network.bytes)
    with pytest.raises(MissingModel, match="was not opened"):
        segmentation_catalogue.check(network, new / "yolo11n-seg.pt")
    (new / "yolo11n-seg.pt").write_bytes(NETWORK.read_bytes())
    assert [network.name for network in files.recognise(new).networks] == ["yolo11n-seg"]
    assert (old / "mine.pt").exists() and not (old / "yolo11n-seg.pt").exists()
    assert files.remove("yolo11n-seg", new) == NETWORK.stat().st_size


def test_a_network_that_outlines_nothing_is_told(photos, tmp_path):
    from ultralytics import YOLO

    file = tmp_path / "boxes.pt"
    YOLO("yolo11n.yaml", task="detect").save(file)
    with pytest.raises(MissingModel, match="not their outlines"):
        YoloDetector(file, 0.25, "cpu")


def with_words(name, words):
    """An open-vocabulary network of random weights that knows these words and needs no prompt, as Ultralytics makes them."""
    from ultralytics import YOLOE

    net = YOLOE(f"{name}.yaml").model.eval()
    net.args = {"imgsz": 64, "task": "segment"}
    net.set_classes(words, torch.nn.functional.normalize(torch.randn(1, len(words), 512), dim=-1))
    head = net.model[-1]
    head.fuse(net.pe)
    layers = head.one2one_cv3 if head.end2end else head.cv3
    net.set_vocab(torch.nn.ModuleList(layer[-1] for layer in layers), words)
    return {"model": net.half(), "train_args": net.args}


@pytest.mark.parametrize("name", ["yolo26n-seg", "yoloe-26n-seg"])
def test_networks_of_every_family_are_opened_by_the_careful_reader(tmp_path, name):
    from da3_blender.core.segmentation.yolo import _ultralytics

    package, file = _ultralytics(), tmp_path / f"{name}.pt"
    if name.startswith("yoloe"):
        torch.save(with_words(name, ["man", "cup"]), file)
    else:
        package.YOLO(f"{name}.yaml", task="segment").save(file)
    detector = YoloDetector(file, 0.25, "cpu")
    detector._model.overrides["imgsz"] = 64
    assert detector.detect(np.zeros((40, 60, 3), np.uint8)) == []
    assert len(detector.names) == (2 if name.startswith("yoloe") else 80)
