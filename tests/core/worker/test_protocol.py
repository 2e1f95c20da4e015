import json

import pytest
from da3_blender.core.worker import protocol
from da3_blender.core.worker.server.progress import CLASSIC, NETWORK, Progress

MESSAGES = [
    protocol.Hello(1),
    protocol.Generate(1, "/tmp/x", {"input": "bilder/für mich\nund dich"}, "models", None),
    protocol.Rebuild(1, "/tmp/x", {"input": "a"}, "/tmp/kept", "0f3a", "fused"),
    protocol.Download(1, "da3-small", "models", None, "hf_secret"),
    protocol.Cancel(1),
    protocol.Unload(),
    protocol.Info(),
    protocol.Quit(),
    protocol.Greeting(1, "3.11.7", {"torch": "2.0"}),
    protocol.Alive(),
    protocol.Progress(1, "depth", 0.5, None),
    protocol.Transfer(1, "downloading", 10, 100, 2.5, 36.0, ""),
    protocol.Loaded("da3-small"),
    protocol.BatchReady(1, 0, "dog", [{"count": 1, "files": {"conf": "conf.npy"}}], []),
    protocol.Warned(1, "00ä.jpg was left out"),
    protocol.Done(1, {"points": 3}),
    protocol.Failed(None, "BadInput", "No images", ""),
    protocol.Stopped(1),
    protocol.Unloaded(),
    protocol.State("cpu", "x86", None, {}, None),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_survives_the_wire_as_one_line(message):
    line = protocol.encode(message)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    words = protocol.REQUESTS if type(message) in protocol.REQUESTS.values() else protocol.EVENTS
    assert protocol.decode(line, words) == message


def test_every_message_is_tried_above():
    assert {type(m) for m in MESSAGES} == {*protocol.REQUESTS.values(), *protocol.EVENTS.values()}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"Downloading: 40%\n",
        b"[1, 2]\n",
        b"\xff\xfe\n",
        b'{"type": "dance"}\n',
        b'{"type": ["cancel"]}\n',
        b'{"type": "cancel"}\n',
        b'{"type": "cancel", "job": "1"}\n',
        b'{"type": "cancel", "job": true}\n',
        b'{"type": "cancel", "job": 1, "now": true}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_line_that_is_no_message_is_told_as_such(line):
    with pytest.raises(protocol.ProtocolError) as error:
        protocol.decode(line, protocol.REQUESTS)
    assert len(str(error.value)) < 200


def test_not_a_number_never_goes_over_the_wire():
    with pytest.raises(ValueError):
        protocol.encode(protocol.Progress(1, "depth", float("nan"), None))
    json.loads(protocol.encode(protocol.Progress(1, "depth", 0.0, None)))


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_progress_never_falls_and_ends_at_one():
    progress = Progress(NETWORK, passes=3)
    seen = []
    for _ in range(3):
        for stage in ("load", "images", "model", "unheard-of", "images", "points"):
            for fraction in (0.0, 0.5, 1.0):
                progress.report(stage, fraction)
                seen.append(progress.fraction)
        progress.pass_done()
    assert seen == sorted(seen)
    assert progress.fraction == 1.0


def test_the_time_left_is_told_once_it_can_be_known():
    clock = Clock()
    progress = Progress(CLASSIC, clock=clock)
    progress.report("depth", 0.0)
    assert progress.remaining is None
    clock.now = 10.0
    progress.report("depth", 0.5)
    left = progress.remaining
    assert left == pytest.approx(10.0 * (1 - progress.fraction) / progress.fraction)


def test_seconds_are_booked_on_the_stage_they_were_spent_in():
    clock = Clock()
    progress = Progress(CLASSIC, clock=clock)
    for stage, seconds in (("images", 1.0), ("depth", 5.0), ("images", 2.0)):
        progress.report(stage, 0.0)
        clock.now += seconds
    assert progress.finish() == {"images": 3.0, "depth": 5.0, "total": 8.0}
