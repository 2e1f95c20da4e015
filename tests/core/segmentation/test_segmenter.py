"""Things with names: where the masks land, that numbers stay, and what people are left out of."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import truth
from da3_blender.core import pipeline
from da3_blender.core.alignment import pass_alignment
from da3_blender.core.alignment.blending import select
from da3_blender.core.errors import Cancelled
from da3_blender.core.frames.resizing import layout, on_canvas
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction import batching
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.segmentation.segmenter import Segmenter, SegmentingPredictor, Thing
from da3_blender.core.segmentation.yolo import YoloDetector
from da3_blender.core.settings import BatchMode, ResizeMethod, Settings
from da3_blender.core.worker import protocol
from da3_blender.core.worker.client import WorkerClient
from disturbed_predictor import Disturbance, DisturbedPredictor
from PIL import Image
from true_detector import TrueDetector
from truth_predictor import TruthPredictor

NETWORK = Path(__file__).resolve().parents[2] / "data" / "tiny-seg.pt"  # tools/train_segmenter.py


@pytest.fixture(scope="module")
def passer_by():
    return truth.load("passer_by")


def overlap(a, b):
    """Intersection over union."""
    return (a & b).sum() / (a | b).sum()


def blank(frames, settings):
    """A prediction of the processed size that says nothing but that each pixel is known."""
    sizes = [(frames.headers[i].width, frames.headers[i].height) for i in frames.selected]
    width, height, _ = layout(sizes, settings.resolution, settings.resize_method)
    shape = (len(frames.selected), height, width)
    return Prediction(np.ones(shape, np.float32), np.full(shape, 5, np.float32), None, None, np.zeros(shape))


# ------------------------------------------------------------------------------------------------ where masks land


def shape_of_a_thing(width, height):
    """A thing with edges, a hole and a thin part, not in the middle: any shift shows."""
    v, u = np.mgrid[0:height, 0:width] / max(width, height) * 100
    ring = (np.hypot(u - 30, v - 26) < 16) & (np.hypot(u - 30, v - 26) > 6)
    return ring | ((u > 44) & (u < 60) & (v > 8) & (v < 50)) | ((u > 20) & (u < 64) & (v > 48) & (v < 53))


class PerfectNetwork:
    """Stands for the network inside Ultralytics: it sees the square input that Ultralytics made, and outlines in it what is
    white, without error. Everything around it is Ultralytics' own: its input, its boxes, its masks."""

    def __call__(self, image, *_, **__):
        cover = torch.nn.functional.avg_pool2d(image[:, :1].float(), 4)
        rows, columns = torch.nonzero(image[0, 0] > 0.5, as_tuple=True)
        left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
        heads = torch.zeros(1, 4 + 1 + 32, 8)
        heads[0, :4, 0] = torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
        heads[0, 4:6, 0] = 1.0
        prototypes = torch.zeros(1, 32, *cover.shape[2:])
        prototypes[0, 0] = 20 * (cover[0, 0] - 0.5)
        return (heads, prototypes), None


@pytest.mark.parametrize(
    ("width", "height", "turn", "method"),
    [
        (640, 428, 1, ResizeMethod.UPPER_BOUND),
        (428, 640, 1, ResizeMethod.UPPER_BOUND),
        (640, 428, 6, ResizeMethod.UPPER_BOUND),  # lies on its side in the file
        (640, 300, 1, ResizeMethod.LOWER_BOUND),
        (1800, 1100, 8, ResizeMethod.LOWER_BOUND),
    ],
)
def test_a_mask_lands_on_the_pixels_that_show_the_thing(tmp_path, monkeypatch, width, height, turn, method):
    upright = shape_of_a_thing(width, height)
    # As the file has it: Pillow's exif_transpose turns it back.
    stored = {1: upright, 6: np.rot90(upright), 8: np.rot90(upright, -1)}[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    picture = np.repeat(255 * stored[:, :, None].astype(np.uint8), 3, axis=2)
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    frames = FrameSource.open(tmp_path)
    settings = Settings(process_resolution=252, resize_method=method)
    detector = YoloDetector(NETWORK, 0.25, "cpu")
    detector._model.overrides["imgsz"] = 640
    detector.detect(np.zeros((64, 64, 3), np.uint8))  # makes Ultralytics' predictor
    monkeypatch.setattr(detector._model.predictor, "inference", PerfectNetwork())
    prediction = blank(frames, settings)
    Segmenter(detector, frames, settings, Monitor()).attach(prediction, [0])
    at = on_canvas(prediction.depth.shape[1:], [(width, height)], 252, method)[0]
    rows = ((np.arange(at.height) + 0.5) * height / at.height).astype(int)
    columns = ((np.arange(at.width) + 0.5) * width / at.width).astype(int)
    found, true = prediction.object_id[0, at.rows, at.columns] > 0, upright[rows][:, columns]
    assert overlap(found, true) >= 0.95
    # A shift by one row or column of the depth's grid, either way, would fit worse.
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert overlap(np.roll(found, shift, (0, 1)), true) < overlap(found, true)


def test_images_of_mixed_shapes_are_masked_where_each_lies_on_the_canvas(tmp_path):
    masks = [shape_of_a_thing(320, 240), shape_of_a_thing(240, 320)]
    for i, mask in enumerate(masks):
        Image.fromarray(255 * mask.astype(np.uint8)).save(tmp_path / f"{i}.png")

    class Whiteness:
        def detect(self, image):
            return [Thing(image[:, :, 0] > 127, "ring", 0.9, 1)]

    frames, settings = FrameSource.open(tmp_path), Settings(process_resolution=252)
    prediction = blank(frames, settings)
    Segmenter(Whiteness(), frames, settings, Monitor()).attach(prediction, [0, 1])
    places = on_canvas(prediction.depth.shape[1:], [(320, 240), (240, 320)], 252, settings.resize_method)
    for row, (mask, at) in enumerate(zip(masks, places, strict=True)):
        rows = ((np.arange(at.height) + 0.5) * mask.shape[0] / at.height).astype(int)
        columns = ((np.arange(at.width) + 0.5) * mask.shape[1] / at.width).astype(int)
        assert overlap(prediction.object_id[row, at.rows, at.columns] > 0, mask[rows][:, columns]) >= 0.95
        outside = np.ones(prediction.depth.shape[1:], bool)
        outside[at.rows, at.columns] = False
        assert not prediction.object_id[row][outside].any()


def test_true_masks_of_the_sample_images_agree_with_their_ids(passer_by):
    frames, settings = FrameSource.open(passer_by.folder), Settings(process_resolution=252)
    kinds = {39: "person", 22: "statue", 21: "plinth", 27: "barrel"}
    prediction = blank(frames, settings)
    segmenter = Segmenter(TrueDetector(passer_by, kinds), frames, settings, Monitor())
    segmenter.attach(prediction, frames.selected)
    height, width = prediction.depth.shape[1:]
    rows = ((np.arange(height) + 0.5) * 224 / height).astype(int)
    columns = ((np.arange(width) + 0.5) * 336 / width).astype(int)
    true = passer_by.ids[:, rows][:, :, columns]
    for number, name in segmenter.names.items():
        [own] = [i for i, kind in kinds.items() if name == f"{kind}_{number}"]
        assert overlap(prediction.object_id == number, true == own) >= 0.95, name
    assert overlap(prediction.people, true == 39) >= 0.95


# --------------------------------------------------------------------------------------------------- tracks and passes


def test_the_small_network_finds_and_follows_the_passer_by(passer_by):
    """Through the pipeline, in passes that share frames: one thing, one number, masks that fit."""
    settings = Settings(batch_mode=BatchMode.FIRST_LAST_OVERLAP, batch_size=6, process_resolution=336)
    frames = FrameSource.open(passer_by.folder)
    segmenter = Segmenter(YoloDetector(NETWORK, settings.seg_confidence, "cpu"), frames, settings, Monitor())
    predictor = SegmentingPredictor(DisturbedPredictor(passer_by, 1, Disturbance.none()), segmenter)
    fits, numbers = [], set()
    for batch in pipeline.reconstruct(
        frames, settings, predictor, on_progress=lambda *_: None, cancelled=lambda: False
    ):
        names = segmenter.names_in(batch.prediction)
        for row, index in enumerate(batch.indices):
            true = passer_by.ids[index] == passer_by.moving[0]
            ids = batch.prediction.object_id[row]
            people = {number for number, name in names.items() if name.startswith("person") and (ids == number).any()}
            fits.append(overlap(np.isin(ids, list(people)), true))
            numbers |= people
    assert len(fits) == len(passer_by)
    assert np.mean(fits) >= 0.7
    assert len(numbers) == 1


def test_a_frame_is_looked_at_once_and_in_order_whatever_passes_see_it(passer_by):
    settings = Settings(batch_mode=BatchMode.FIRST_LAST_OVERLAP, batch_size=6)
    frames = FrameSource.open(passer_by.folder)
    plan = batching.plan(frames.selected, settings)
    detector = TrueDetector(passer_by)
    predictor = SegmentingPredictor(TruthPredictor(passer_by), Segmenter(detector, frames, settings, Monitor()))
    for indices in plan:
        predictor.predict(frames.images(indices), indices, settings)
    assert detector.asked == sorted(frames.selected)
    assert sum(map(len, plan)) > len(frames.selected)  # some frames were in two passes


def test_the_predictor_within_is_still_asked_for_all_the_rest(passer_by):
    within = TruthPredictor(passer_by)
    within.model, within.device = object(), "cuda"
    outer = SegmentingPredictor(within, None)
    assert outer.model is within.model and outer.device == "cuda" and not hasattr(outer, "free_cache")


def test_nothing_of_one_job_is_left_in_the_next(passer_by):
    """A network opened anew counts from 1 and knows no thing of before."""
    for _ in range(2):
        detector = YoloDetector(NETWORK, 0.25, "cpu")
        assert [thing.track for thing in detector.detect(passer_by.images[8])] == [1]


class Script:
    """A network that finds what a script says: per frame, (kind, score, track)."""

    def __init__(self, *frames):
        self._frames = list(frames)

    def detect(self, image):
        things = self._frames.pop(0)
        masks = [np.zeros(image.shape[:2], bool) for _ in things]
        for i, mask in enumerate(masks):
            mask[:, 10 * i : 10 * i + 8] = True
        return [Thing(m, *thing) for m, thing in zip(masks, things, strict=True)]


def attached(folder, *script, settings=None):
    """What a script becomes: the segmenter, and the numbers found in each frame."""
    count = len(script)
    for i in range(count):
        Image.new("RGB", (56, 42)).save(folder / f"{i}.png")
    frames, settings = FrameSource.open(folder), settings or Settings(process_resolution=56)
    segmenter = Segmenter(Script(*script), frames, settings, Monitor())
    prediction = blank(frames, settings)
    segmenter.attach(prediction, frames.selected)
    return segmenter, prediction, [set(np.unique(row).tolist()) - {0} for row in prediction.object_id]


def test_a_thing_seen_once_counts_only_where_the_network_is_sure(tmp_path):
    segmenter, _, seen = attached(
        tmp_path, [("cup", 0.3, 7), ("dog", 0.3, 8)], [("cup", 0.3, 7)], [("hat", 0.6, 9), ("cup", 0.3, 7)]
    )
    assert segmenter.names == {1: "cup_1", 2: "hat_2"}
    assert seen == [{1}, {1}, {1, 2}]


def test_a_thing_has_the_name_that_it_mostly_had(tmp_path):
    segmenter, _, _ = attached(tmp_path, [("cat", 0.5, 1)], [("dog", 0.9, 1)], [("dog", 0.8, 1)])
    assert segmenter.names == {1: "dog_1"}


def test_numbers_of_an_earlier_run_are_not_given_out_again(tmp_path):
    for i in range(2):
        Image.new("RGB", (56, 42)).save(tmp_path / f"{i}.png")
    frames, settings = FrameSource.open(tmp_path), Settings(process_resolution=56)
    segmenter = Segmenter(Script([("cup", 0.9, 1)]), frames, settings, Monitor())
    segmenter.resume({1: "cup_1", 4: "person_4"})
    prediction = blank(frames, settings)
    segmenter.attach(select(prediction, [0]), [0])
    assert segmenter.names == {1: "cup_1", 4: "person_4", 5: "cup_5"}


def test_nothing_found_is_a_warning_and_no_error(tmp_path):
    segmenter, prediction, _ = attached(tmp_path, [], [])
    assert not prediction.object_id.any() and not prediction.people.any()
    assert segmenter.names_in(prediction) == {}
    assert "found nothing in any of 2 images" in segmenter.warnings()[0]


def test_an_empty_mask_is_no_thing(tmp_path):
    Image.new("RGB", (56, 42)).save(tmp_path / "a.png")
    frames, settings = FrameSource.open(tmp_path), Settings(process_resolution=56)

    class Empty:
        def detect(self, image):
            return [Thing(np.zeros(image.shape[:2], bool), "ghost", 0.9, 1)]

    segmenter = Segmenter(Empty(), frames, settings, Monitor())
    segmenter.attach(blank(frames, settings), [0])
    assert segmenter.names == {}


def test_cancelling_stops_between_two_frames(tmp_path):
    for i in range(3):
        Image.new("RGB", (56, 42)).save(tmp_path / f"{i}.png")
    frames, settings = FrameSource.open(tmp_path), Settings(process_resolution=56)
    asked = iter([False, True])
    segmenter = Segmenter(Script([], [], []), frames, settings, Monitor(cancelled=lambda: next(asked)))
    with pytest.raises(Cancelled):
        segmenter.attach(blank(frames, settings), [0, 1, 2])


# ------------------------------------------------------------------------------------------------------------- people


def test_people_have_confidence_1_and_filtered_pixels_stay_filtered(tmp_path):
    _, prediction, _ = attached(tmp_path, [("person", 0.9, 1), ("cup", 0.9, 2)])
    people = prediction.people[0]
    assert people.any() and (prediction.conf[0][people] == 1).all() and (prediction.conf[0][~people] == 5).all()


@pytest.mark.parametrize("kind", ["person", "Man", "young woman", "police officer", "little_girl"])
def test_these_are_people(kind):
    assert Thing(np.ones((1, 1), bool), kind, 1.0, 1).is_person


@pytest.mark.parametrize("kind", ["baby carriage", "snowman", "man's hat", "fire hydrant", "", "class0"])
def test_these_are_not(kind):
    assert not Thing(np.ones((1, 1), bool), kind, 1.0, 1).is_person


def test_people_take_no_part_in_an_alignment(passer_by):
    """A pass in which the walker stands somewhere else is fitted just as if nobody were there."""
    settings, indices = Settings(process_resolution=336), list(range(8))
    images = passer_by.images[indices]
    passes = [TruthPredictor(passer_by, seed).predict(images, indices, settings) for seed in (1, 2)]
    for prediction in passes:
        prediction.people = passer_by.ids[indices] == passer_by.moving[0]
    expected = pass_alignment.align(passes[0], [0, 7], passes[1], [0, 7]).similarity
    passes[1].depth[passes[1].people] *= 3
    passes[1].images[passes[1].people] = 255 - passes[1].images[passes[1].people]
    found = pass_alignment.align(passes[0], [0, 7], passes[1], [0, 7]).similarity
    assert found.scale == pytest.approx(expected.scale, rel=1e-6)
    np.testing.assert_allclose(found.translation, expected.translation, atol=1e-6)


# --------------------------------------------------------------------------------------------------------- the worker


def worked(environment, **settings):
    """Events of a job in the real worker, over two frames of passer_by; its depth is a stand-in's."""
    tests = Path(__file__).resolve().parents[2]
    client = WorkerClient(
        Path(sys.executable), predictor=f"{tests / 'support' / 'stand_ins.py'}:quick", environment=environment
    )
    given = {
        "input": str(truth.load("passer_by").folder),
        "model": "da3-small",
        "process_resolution": 336,
        "end_frame": 3,
    }
    try:
        client.generate({**given, "frame_stride": 3, "use_segmentation": True, **settings}, tests)
        events, end = [], time.monotonic() + 60
        while time.monotonic() < end and not any(isinstance(e, protocol.Done | protocol.Failed) for e in events):
            events += client.wait(0.2)
        return events
    finally:
        client.close()


def test_the_worker_sends_each_thing_as_an_object_of_its_own():
    true_detector = Path(__file__).resolve().parents[2] / "support" / "true_detector.py"
    events = worked({"DA3_SEGMENTER": f"{true_detector}:open_segmenter"})
    [batch] = [event for event in events if isinstance(event, protocol.BatchReady)]
    assert sorted(part["name"] for part in batch.parts) == ["Background", "person_1"]


def test_the_worker_goes_on_without_segmentation_and_says_so():
    events = worked({"HF_HUB_OFFLINE": "1"}, seg_model="yolo11x-seg")
    [batch] = [event for event in events if isinstance(event, protocol.BatchReady)]
    assert len(batch.parts) == 1
    assert any("goes on without segmentation" in e.message for e in events if isinstance(e, protocol.Warned))
