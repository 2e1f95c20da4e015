"""The fraction of a job that is done never falls, and the time left is that of what is still to do."""

import pytest
from da3_blender.core.worker.server.progress import Progress
from da3_blender.streaming.time_left import Pace


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_the_time_left_counts_down_between_two_reports(clock):
    progress = Progress({"model": 1.0}, passes=4, clock=clock)
    progress.report("model", 0.0)
    clock.now = 10.0
    progress.pass_done()
    assert progress.remaining == pytest.approx(30.0)
    clock.now = 14.0  # nothing was heard since
    assert progress.remaining == pytest.approx(26.0)


def test_what_came_before_the_stages_does_not_slow_them(clock):
    progress = Progress({"streaming": 1.0}, clock=clock)
    progress.report("load", 0.0)
    clock.now = 60.0
    progress.report("streaming", 0.0)
    clock.now = 70.0
    progress.report("streaming", 0.25)
    assert progress.remaining == pytest.approx(30.0)


def test_passes_that_became_smaller_are_counted_anew(clock):
    progress = Progress({"model": 1.0}, passes=2, clock=clock)
    progress.report("model", 0.0)
    clock.now = 10.0
    progress.report("model", 0.8)  # of a pass that did not fit
    shown = progress.fraction
    progress.passes = 4
    clock.now = 20.0
    progress.pass_done()
    assert progress.fraction == shown  # it never falls
    assert progress.remaining == pytest.approx(60.0)


def test_the_pace_of_a_long_run_is_that_of_its_chunks(clock):
    pace = Pace(clock)
    for seconds in (9.0, 3.0, 3.0):  # the first one warms up
        clock.now += seconds
        pace.written(0.5, 5)
        pace.pass_done(10)
    # 100 frames at 0.3 s, and 60 clouds of 0.1 s to be put in their final place.
    assert pace.remaining(100, 60) == pytest.approx(30.0 + 1.5 * 6.0)
    assert pace.fraction(100, 60) == pytest.approx(15.0 / (15.0 + 39.0))


def test_chunks_that_were_there_already_say_nothing_of_the_pace(clock):
    pace = Pace(clock)
    clock.now = 5.0
    pace.skip()
    assert pace.remaining(100) is None
    clock.now = 8.0
    pace.pass_done(10)
    assert pace.remaining(100) == pytest.approx(30.0)
