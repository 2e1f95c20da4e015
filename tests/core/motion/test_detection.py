"""What moves is found whole, and what stands still is left alone.

The claims over 6 seeds, and those of time, are measured by ``tools/bench/accuracy/motion.py``; here are fewer seeds.
"""

import runpy
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import truth
from crossing import Walker, crossed, part
from da3_blender.core.alignment.blending import select
from da3_blender.core.errors import Cancelled
from da3_blender.core.monitor import Monitor
from da3_blender.core.motion import detection, regions
from da3_blender.core.motion import views as motion_views
from da3_blender.core.prediction import filters
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.settings import Settings
from disturbed_predictor import Disturbance, DisturbedPredictor

BENCH = Path(__file__).resolve().parents[3] / "tools" / "bench" / "accuracy" / "motion.py"
THRESHOLD = 0.1
STATIC = 0.005  # of the static pixels: more may not be called moving


@pytest.fixture(scope="module")
def bench():
    return runpy.run_path(str(BENCH))


@pytest.fixture(scope="module")
def passer_by():
    return truth.load("passer_by")


@pytest.fixture(scope="module")
def courtyard():
    return part(truth.load("courtyard"), range(3, 11))


@pytest.fixture(scope="module")
def walk():
    return part(truth.load("walk"), range(8, 24))


@pytest.fixture(scope="module")
def exact_pass(passer_by):
    return predicted(passer_by, disturbance=Disturbance.none())


@pytest.fixture(scope="module")
def disturbed_pass(passer_by):
    return predicted(passer_by)


@pytest.fixture
def exact(exact_pass):
    """True depth and cameras of `passer_by`, for the test to change."""
    return deepcopy(exact_pass)


@pytest.fixture
def disturbed(disturbed_pass):
    """The same with a model's errors."""
    return deepcopy(disturbed_pass)


def predicted(known, images=None, seed=0, disturbance=None):
    """One pass over all frames, filtered as the pipeline does it."""
    images = known.images if images is None else images
    prediction = DisturbedPredictor(known, seed, disturbance).predict(images, range(len(known)), Settings())
    prediction.conf[filters.edges(prediction.depth)] = 0
    return prediction


def true_mask(known):
    return np.isin(known.ids, known.moving)


def accuracy(mask, true):
    """Intersection over union, and the share of static pixels that are called moving."""
    return (mask & true).sum() / (mask | true).sum(), mask[~true].mean()


def detected(batches, monitor=None, **settings):
    return list(detection.detect(iter(batches), Settings(detect_motion=True, **settings), monitor or Monitor()))


def in_batches(prediction, size):
    rows = [list(range(start, min(start + size, len(prediction)))) for start in range(0, len(prediction), size)]
    return [Batch(some, select(prediction, some)) for some in rows]


def test_with_true_depth_the_passer_by_is_found(bench, passer_by):
    _, moving = bench["found"](passer_by, DisturbedPredictor(passer_by, 0, Disturbance.none()))
    iou, wrong = accuracy(moving, true_mask(passer_by))
    assert iou >= 0.85 and wrong < STATIC


@pytest.mark.parametrize(("mode", "seed"), [("ignore_batch_size", 1), ("last_frame_overlap", 2)])
def test_a_model_s_errors_hide_him_from_the_original_s_vote_and_not_from_ours(bench, passer_by, mode, seed):
    prediction, moving = bench["found"](passer_by, DisturbedPredictor(passer_by, seed), mode)
    iou, wrong = accuracy(moving, true_mask(passer_by))
    original, _ = accuracy(bench["original"](prediction), true_mask(passer_by))
    assert iou >= 0.70 and iou >= original + 0.35 and wrong < STATIC


def test_two_figures_in_another_scene_are_found_at_full_size(courtyard):
    known, images = crossed(courtyard, [Walker((-3, -1), (3, -0.5)), Walker((2.5, 1.5), (-2, 1), 0.7, ball=True)])
    prediction = predicted(known, images, seed=1)
    assert motion_views.reduced(0, *arrays_of(prediction, 0)).step == 2  # votes are taken at half the size
    shares, moving = detection.find(prediction, THRESHOLD)
    iou, wrong = accuracy(moving, true_mask(known))
    assert iou >= 0.70 and wrong < STATIC
    assert shares.dtype == np.float32 and shares.min() >= 0 and shares.max() <= 1
    assert shares[true_mask(known)].mean() > 0.5 > 10 * shares[~true_mask(known)].mean()


def test_where_nothing_moves_nothing_is_found(walk):
    _, moving = detection.find(predicted(walk), THRESHOLD)
    assert moving.mean() < STATIC


def test_a_camera_that_stands_still_sees_who_walks_by(walk):
    camera = walk.camera_to_world[0, :2]
    start, end = (camera[:, 3] + 4 * camera[:, 2] + side * camera[:, 0] for side in (-1.5, 1.5))
    known, images = crossed(walk, [Walker(tuple(start), tuple(end))], still=True)
    prediction = predicted(known, images)
    prediction.extrinsics[:] = prediction.extrinsics[0]  # a model without cameras puts every frame at one place
    iou, wrong = accuracy(detection.find(prediction, THRESHOLD)[1], true_mask(known))
    assert iou >= 0.85 and wrong < STATIC  # no camera's error, so near to the clean claim


def test_frames_whose_scales_differ_by_a_few_percent_are_compared_at_one_scale(passer_by, exact):
    factors = np.exp(np.random.default_rng(0).normal(0, 0.05, len(exact))).astype(np.float32)
    exact.depth *= factors[:, None, None]  # a sequence of single images of a mono model does that
    iou, wrong = accuracy(detection.find(exact, THRESHOLD)[1], true_mask(passer_by))
    assert iou >= 0.70 and wrong < STATIC


def test_batches_of_one_frame_are_judged_by_those_before_and_the_next(passer_by, disturbed):
    batches = detected(in_batches(disturbed, 1))
    assert [batch.indices for batch in batches] == [[i] for i in range(16)]
    moving = np.concatenate([batch.moving for batch in batches])
    # The first three have fewer than two others that see much of what is behind him.
    iou, wrong = accuracy(moving[3:], true_mask(passer_by)[3:])
    assert iou >= 0.70 and wrong < STATIC


def test_a_batch_waits_for_the_next_one_only_and_what_is_no_batch_goes_through(exact):
    pulled = []

    def source():
        for batch in in_batches(exact, 4):
            pulled.append(batch.indices[0])
            yield batch
        yield "settled"

    results = detection.detect(source(), Settings(detect_motion=True), Monitor())
    for number in range(4):
        assert next(results).indices[0] == 4 * number
        assert len(pulled) == min(number + 2, 4)
    assert list(results) == ["settled"]


def test_memory_does_not_grow_with_the_run(exact):
    view = motion_views.reduced(0, *arrays_of(exact, 0))
    kept = motion_views.Kept(12)
    for start in range(0, 1000, 10):
        kept.add([replace(view, index=i) for i in range(start, start + 10)])
    times = [view.index for view in kept.views]
    assert len(times) == 12 and times == sorted(times)
    assert times[0] == 0 and times[-3:] == [997, 998, 999]
    assert (np.diff(times)[1:] <= np.diff(times)[:-1]).all(), times


def test_eight_views_spread_in_time_are_asked(exact):
    views = [motion_views.reduced(i, *arrays_of(exact, i)) for i in range(16)]
    asked = [view.index for view in motion_views.chosen(views[5], views)]
    assert len(asked) == 8 and 5 not in asked and asked == sorted(asked)
    assert max(np.diff([-1, *asked, 16])) <= 4
    away = replace(views[0], index=99, extrinsics=np.diag([-1.0, 1.0, -1.0]) @ views[0].extrinsics)
    assert motion_views.chosen(views[5], [views[5], away]) == []  # looks the other way


@pytest.mark.parametrize("shape", [(337, 500), (224, 336), (1009, 700)])
def test_a_reduced_view_looks_along_the_same_rays(shape):
    depth = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    intrinsics = np.array([[300.0, 0, 200], [0, 310, 150], [0, 0, 1]])
    view = motion_views.reduced(0, depth, np.ones(shape, np.float32), intrinsics, np.eye(4)[:3])
    rows, columns = 7, 11
    row, column = np.argwhere(depth == view.depth[rows, columns])[0]
    own = np.linalg.inv(view.intrinsics) @ [columns + 0.5, rows + 0.5, 1]
    assert np.allclose(own, np.linalg.inv(intrinsics) @ [column + 0.5, row + 0.5, 1])


def test_what_is_tracked_moves_as_a_whole_or_not_at_all(passer_by, disturbed):
    disturbed.object_id = passer_by.ids.astype(np.int32)
    disturbed.object_id[passer_by.ids <= 2] = 0  # floor and wall are no things
    _, moving = detection.find(disturbed, THRESHOLD)
    assert (moving[disturbed.object_id > 0] == true_mask(passer_by)[disturbed.object_id > 0]).all()
    assert moving[disturbed.object_id == 0].mean() < STATIC


def test_what_moves_without_a_name_is_kept_beside_tracked_things(passer_by, disturbed):
    disturbed.object_id = np.where(passer_by.ids == 22, 22, 0).astype(np.int32)  # only the statue is tracked
    iou, wrong = accuracy(detection.find(disturbed, THRESHOLD)[1], true_mask(passer_by))
    assert iou >= 0.70 and wrong < STATIC


def test_a_thing_that_is_mostly_seen_to_move_is_whole_in_every_frame():
    ids = np.zeros((2, 40, 40), np.int32)
    ids[:, 5:35, 5:15], ids[:, 5:35, 25:35] = 3, 4
    moving = np.zeros(ids.shape, bool)
    moving[0, 5:30, 4:15] = True  # most of it in one frame only, and a rim too much
    moving[0, 5:8, 25:28] = True  # a corner of the other
    judged = np.ones(ids.shape, bool)
    assert (regions.by_object(moving, judged, ids) == (ids == 3)).all()


def test_before_the_sky_too(passer_by, exact):
    standing = ("wall", "arch", "coping", "window", "poster", "house")  # all that is behind his upper half
    walls = [number for number, name in passer_by.objects.items() if any(word in name for word in standing)]
    sky = np.isin(passer_by.ids, walls)
    with_sky = replace(exact, sky=sky)
    moving = detection.find(with_sky, THRESHOLD)[1]
    iou, wrong = accuracy(moving, true_mask(passer_by))
    assert iou >= 0.85 and wrong < STATIC and not moving[sky].any()


def test_one_frame_does_not_move_and_the_person_is_told(exact):
    [batch] = detected(in_batches(select(exact, [3]), 1))
    assert not batch.moving.any() and not batch.motion.any()
    assert batch.warnings == [detection.TOO_FEW]


def test_nothing_is_known_of_a_frame_without_confidence(passer_by, disturbed):
    disturbed.conf[4] = 0
    disturbed.conf[5], disturbed.depth[5] = 0, 0
    shares, moving = detection.find(disturbed, THRESHOLD)
    assert not moving[5].any() and not shares[5].any()
    others = [i for i in range(16) if i not in (4, 5)]
    assert accuracy(moving[others], true_mask(passer_by)[others])[0] >= 0.70
    disturbed.conf[:] = 0
    assert not detection.find(disturbed, THRESHOLD)[1].any()


def test_the_largest_threshold_finds_nothing_and_the_smallest_ends_well(passer_by, exact, disturbed):
    assert not detection.find(exact, 100.0)[1].any()
    assert accuracy(detection.find(exact, 0.001)[1], true_mask(passer_by))[0] > 0.5  # true depth bears even that
    assert np.isfinite(detection.find(disturbed, 0.001)[0]).all()


def test_cancelling_stops_at_the_next_frame(exact):
    told = []

    def cancelled():
        return len(told) >= 5

    monitor = Monitor(lambda stage, fraction: told.append((stage, fraction)), cancelled)
    with pytest.raises(Cancelled):
        detected(in_batches(exact, 16), monitor)
    assert told == [("motion", i / 16) for i in range(5)]


def arrays_of(prediction, row):
    return prediction.depth[row], prediction.conf[row], prediction.intrinsics[row], prediction.extrinsics[row]
