"""The fraction of a job that is done never falls, and the time left is that of what is still to do."""

import pytest
from da3_blender.core.settings import Settings
from da3_blender.core.worker import pace
from da3_blender.core.worker.server.progress import CLASSIC, CLASSIC_START, Progress
from da3_blender.streaming.time_left import TimeLeft


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
    left = TimeLeft(clock)
    for seconds in (9.0, 3.0, 3.0):  # the first one warms up
        clock.now += seconds
        left.written(0.5, 5)
        left.pass_done(10)
    # 100 frames at 0.3 s, and 60 clouds of 0.1 s to be put in their final place.
    assert left.remaining(100, 60) == pytest.approx(30.0 + 1.5 * 6.0)
    assert left.fraction(100, 60) == pytest.approx(15.0 / (15.0 + 39.0))


def test_chunks_that_were_there_already_say_nothing_of_the_pace(clock):
    left = TimeLeft(clock)
    clock.now = 5.0
    left.skip()
    assert left.remaining(100) is None
    clock.now = 8.0
    left.pass_done(10)
    assert left.remaining(100) == pytest.approx(30.0)


STAGES, LAST = {"load": 15.0, "images": 2.0, "depth": 75.0, "points": 3.0}, {"fusing": 40.0}
TOOK = {"load": 9.0, "cameras": 60.0, "images": 6.0, "depth": 30.0, "points": 4.0, "fusing": 20.0, "total": 129.0}


def play(progress, clock, slower):
    """A run of two passes whose stages take as long as in ``TOOK``, times ``slower``; (fraction, said, true) along it."""
    said = []
    for stage, parts in (
        ("cameras", 1),
        *((name, 2) for _ in range(2) for name in ("images", "depth", "points")),
        ("fusing", 1),
    ):
        for step in range(1, 11):
            clock.now += slower * TOOK[stage] / parts / 10
            progress.report(stage, step / 10)
            said.append((clock.now, progress.remaining))
        if stage == "points":
            progress.pass_done()
    return [(moment / clock.now, left, clock.now - moment) for moment, left in said]


@pytest.mark.parametrize("slower", [0.5, 1.0, 2.0])
def test_after_a_fifth_the_time_left_is_within_30_percent_on_a_machine_that_is_twice_as_fast_or_slow(clock, slower):
    progress = Progress(STAGES, passes=2, clock=clock, at_end=LAST, at_start={"cameras": 25.0})
    progress.expect(TOOK)
    judged = [(left, true) for share, left, true in play(progress, clock, slower) if 0.2 <= share < 0.95]
    assert len(judged) > 40
    assert all(abs(left - true) <= 0.3 * true + 1.0 for left, true in judged), max(abs(a - b) / b for a, b in judged)
    assert progress.fraction == pytest.approx(1.0)


def test_what_runs_like_this_one_took_is_remembered_and_scaled(tmp_path):
    kind = pace.Kind("classic", "cpu", 14, 504 * 336)
    assert pace.expected(tmp_path, kind) == {}
    pace.learn(tmp_path, kind, {"load": 2.0, "depth": 40.0, "total": 42.0})
    pace.learn(tmp_path, kind, {"load": 2.0, "depth": 28.0, "total": 30.0})  # nothing else ran on the machine this time
    assert pace.expected(tmp_path, kind) == {"load": 2.0, "depth": 28.0}
    assert pace.expected(tmp_path, pace.Kind("classic", "cpu", 28, 504 * 336)) == {"load": 2.0, "depth": 56.0}
    assert pace.expected(tmp_path, pace.Kind("da3-small", "cpu", 14, 504 * 336)) == {}


def test_before_a_run_it_is_said_how_long_such_runs_took_here_and_nothing_before_the_first(tmp_path):
    work = pace.work_of(Settings(model="classic", use_metric=True))
    assert pace.before_a_run(tmp_path, work, 14, 1000) is None
    pace.learn(tmp_path, pace.Kind(work, "cuda", 14, 1000), {"load": 2.0, "depth": 40.0})
    pace.learn(tmp_path, pace.Kind(work, "cpu", 14, 1000), {"load": 2.0, "depth": 400.0})
    assert pace.before_a_run(tmp_path, work, 28, 1000) == 802.0  # where the newest ran, not where the fastest did
    assert pace.before_a_run(tmp_path, "classic", 28, 1000) is None
    assert pace.before_a_run(tmp_path, work, 0, 1000) is None and pace.before_a_run(None, work, 5, 1000) is None


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": "da3-pace-1", "runs": [{"kind": 3}]}', '{"format": "theirs"}']
)
def test_a_broken_or_foreign_file_teaches_nothing_and_a_foreign_one_stays(tmp_path, content):
    (tmp_path / pace.FILE).write_text(content)
    kind = pace.Kind("classic", "cpu", 14, 504 * 336)
    assert pace.expected(tmp_path, kind) == {}
    pace.learn(tmp_path, kind, {"depth": 4.0})
    assert pace.FORMAT in content or (tmp_path / pace.FILE).read_text() == content


def test_what_comes_before_the_cameras_is_no_half_of_a_run(clock):
    """``classic``: load and images, cameras of all, then passes with images of their own."""
    progress = Progress(CLASSIC, clock=clock, at_start=CLASSIC_START)
    seen = []
    for stage in ("load", "images", "cameras", "images", "depth", "points"):
        for fraction in (0.0, 0.5, 1.0):
            progress.report(stage, fraction)
            seen.append(progress.fraction)
    assert seen == sorted(seen) and seen[5] < 0.05  # before the cameras
    assert seen[7] == pytest.approx(0.25, abs=0.05) and seen[8] == pytest.approx(0.5, abs=0.05)  # in them, and after
    assert seen[-1] == pytest.approx(1.0)


def test_runs_without_a_start_say_nothing_of_one_that_has_it(clock):
    progress = Progress(CLASSIC, clock=clock, at_start=CLASSIC_START)
    progress.expect({"load": 1.0, "images": 1.0, "depth": 2.0, "points": 1.0})  # of known cameras, say
    clock.now = 10.0
    progress.report("cameras", 0.0)
    clock.now = 20.0
    progress.report("cameras", 0.5)
    assert progress.remaining == pytest.approx(30.0, rel=0.1)  # half of the cameras, and as long again for depth


def test_the_time_left_of_a_run_like_one_before_counts_its_cameras(clock):
    progress = Progress(CLASSIC, clock=clock, at_start=CLASSIC_START)
    progress.report("load", 1.0)
    progress.expect({"load": 5.0, "images": 2.0, "cameras": 50.0, "depth": 40.0, "alignment": 0.0, "points": 1.0})
    for second in range(51):
        clock.now = float(second)
        progress.report("cameras", second / 50.0)
        assert progress.remaining == pytest.approx(93.0 - second, abs=1.0)
    for stage, fraction, left in (("images", 0.0, 43.0), ("images", 1.0, 41.0), ("depth", 0.5, 21.0)):
        clock.now = 93.0 - left
        progress.report(stage, fraction)
        assert progress.remaining == pytest.approx(left, abs=1.0)


def test_known_cameras_make_another_kind_of_run():
    plain = pace.work_of(Settings(model="classic"))
    assert pace.work_of(Settings(model="classic", known_cameras="colmap")) != plain == "classic"
