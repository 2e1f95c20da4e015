"""Which frames go where, and that no frame is lost when passes have to become smaller."""

import pytest
from da3_blender.core.errors import DA3Error
from da3_blender.core.prediction.batching import FEWEST, Planner, plan
from da3_blender.core.settings import BatchMode, Settings

OVERLAPS = [BatchMode.LAST_FRAME_OVERLAP, BatchMode.FIRST_LAST_OVERLAP, BatchMode.NO_OVERLAP]


def passes(mode, count, size):
    return plan(range(count), Settings(batch_mode=mode), size)


def span(low, high):
    return list(range(low, high + 1))


def test_first_last_overlap_is_the_specification_s_example():
    assert passes(BatchMode.FIRST_LAST_OVERLAP, 26, 10) == [span(0, 9), [0, 9, *span(10, 17)], [10, 17, *span(18, 25)]]


def test_last_frame_overlap_starts_with_the_last_frame_of_the_pass_before():
    assert passes(BatchMode.LAST_FRAME_OVERLAP, 25, 10) == [span(0, 9), span(9, 18), span(18, 24)]


def test_no_overlap_shares_nothing():
    assert passes(BatchMode.NO_OVERLAP, 25, 10) == [span(0, 9), span(10, 19), span(20, 24)]


@pytest.mark.parametrize("mode", OVERLAPS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 10])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 10, 11, 12, 19, 20, 21, 31])
def test_every_frame_is_in_a_pass_and_neighbouring_passes_share_what_the_mode_says(mode, count, size):
    made = passes(mode, count, size)
    assert sorted({i for p in made for i in p}) == list(range(count))
    least = 1 if mode is BatchMode.NO_OVERLAP else 2
    assert all(len(p) <= max(size, least) and len(set(p)) == len(p) for p in made)
    for before, after in zip(made, made[1:], strict=False):
        shared = set(before) & set(after)
        if mode is BatchMode.NO_OVERLAP:
            assert not shared
        else:
            assert before[-1] in shared
            assert len(shared) <= (1 if mode is BatchMode.LAST_FRAME_OVERLAP else 2)


@pytest.mark.parametrize("mode", OVERLAPS)
@pytest.mark.parametrize("count", range(6, 60))
def test_the_last_pass_is_never_too_short_for_known_cameras(mode, count):
    assert len(passes(mode, count, 6)[-1]) >= FEWEST


def test_a_pass_that_does_not_fit_is_made_again_at_half_the_size():
    planner = Planner(range(30), Settings(batch_mode=BatchMode.LAST_FRAME_OVERLAP), 10)
    assert planner.next() == span(0, 9) and planner.next() == span(9, 18)
    assert planner.halve() == planner.batch_size == 5
    assert planner.peek() == planner.next() == span(9, 13)


@pytest.mark.parametrize("mode", [BatchMode.SKIP_FRAMES, BatchMode.IGNORE_BATCH_SIZE])
def test_a_single_pass_that_does_not_fit_becomes_several_with_all_its_frames(mode):
    planner = Planner(range(12), Settings(batch_mode=mode), 12)
    assert planner.next() == span(0, 11)
    assert planner.halve() == 6
    rest = []
    while made := planner.next():
        rest.append(made)
    assert sorted({i for p in rest for i in p}) == span(0, 11)
    assert all(p[0] in rest[k] or p[1] in rest[k] for k, p in enumerate(rest[1:]))


@pytest.mark.parametrize(("mode", "smallest"), [(BatchMode.NO_OVERLAP, 1), (BatchMode.FIRST_LAST_OVERLAP, 2)])
def test_a_pass_that_cannot_get_smaller_is_said_so(mode, smallest):
    planner = Planner(range(30), Settings(batch_mode=mode), 8)
    with pytest.raises(DA3Error, match="Process Resolution"):
        while True:
            planner.next()
            planner.halve()
    assert planner.batch_size == smallest


def test_frames_that_cannot_be_read_are_planned_around():
    planner = Planner(range(30), Settings(batch_mode=BatchMode.LAST_FRAME_OVERLAP), 10)
    planner.next()
    planner.drop({9})
    assert planner.next() == [*span(0, 8), 10]  # so that the next pass still has a frame in common
    assert planner.next()[0] == 10


def test_the_number_of_passes_is_known_beforehand_and_follows_the_plan():
    planner = Planner(range(40), Settings(batch_mode=BatchMode.NO_OVERLAP), 10)
    assert planner.total == 4
    planner.next()
    planner.next()
    planner.halve()
    assert planner.total == 1 + 6
