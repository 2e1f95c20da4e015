"""What the worker says is checked before anybody acts on it: a fault in it costs the job, never Blender.

Called on the thread that reads from the worker. Arrays are looked into by ``checking_arrays``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import BY_NAME
from . import protocol
from .checking_values import (
    LONGEST,
    MOST,
    MOST_BYTES,
    _rows,
    check_matrix,
    number,
    plain,
    text,
    whole,
    wrong,
)


def checked(event: protocol.Message, given: protocol.Job | None, folder: Path) -> protocol.Message:
    """The event as it may be passed on; what is only said to a person is made presentable.

    Parameters
    ----------
    given : the job that the worker has
    folder : of the job, where its arrays are

    Raises
    ------
    ProtocolError
        What it says cannot be true.
    """
    match event:
        case protocol.Progress():
            return replace(
                event, stage=plain(event.stage), fraction=_share(event.fraction), remaining=_seconds(event.remaining)
            )
        case protocol.Transfer():
            for name in ("done", "total"):
                whole(getattr(event, name), 0, MOST_BYTES, name)
            speed = _seconds(event.speed) or 0.0
            return replace(
                event,
                stage=plain(event.stage),
                note=plain(event.note),
                speed=speed,
                remaining=_seconds(event.remaining),
            )
        case protocol.Warned():
            return replace(event, message=plain(event.message))
        case protocol.Failed():
            kind = event.kind if event.kind in BY_NAME else "DA3Error"
            return replace(event, kind=kind, message=plain(event.message) or "The worker failed and did not say why")
        case protocol.BatchReady():
            _check_batch(event, folder)
        case protocol.Done():
            check = _check_download if isinstance(given, protocol.Download) else _check_report
            check(event.report)
        case protocol.State():
            return _state(event)
    return event


def _share(fraction: float) -> float:
    return min(max(float(fraction), 0.0), 1.0) if -1e9 < fraction < 1e9 else 0.0  # NaN is nothing


def _seconds(value: float | None) -> float | None:
    return float(value) if value is not None and 0.0 <= value < LONGEST else None


def _check_batch(event: protocol.BatchReady, folder: Path) -> None:
    from .checking_arrays import check_camera, check_part  # late: needs numpy, and enabling the add-on should not

    if event.batch is not None:
        whole(event.batch, 0, MOST, "the number of a batch")
    if not text(event.name, "the name of an input"):
        wrong("the name of an input", event.name)
    if event.frame_rate is not None:
        number(event.frame_rate, 1e-3, 1e5, "a frame rate")
    if event.origin is not None:
        _check_place(event.origin, "an origin")
    for camera in event.cameras:
        check_camera(camera, folder)
    for part in event.parts:
        check_part(part, folder)


def _check_place(place: Any, what: str) -> None:
    if len(_all(place, list, what)) != 3:
        wrong(what, place)
    for value in place:
        number(value, -1e15, 1e15, what)


def _check_report(report: Mapping[str, Any]) -> None:
    for name in ("frames", "frames_wanted", "batches", "points"):
        whole(report.get(name), 0, MOST_BYTES, name)
    for name in ("model", "run"):
        text(report.get(name), name)
    text(report.get("smooth_path", ""), "smooth_path")
    for name in ("warnings", "files"):
        for line in _all(report.get(name), list, name):
            if not isinstance(line, str):
                wrong(name, line)
    for name, high in (("seconds", LONGEST), ("peak_memory", float(MOST_BYTES))):
        for key, value in _all(report.get(name), dict, name).items():
            number(value, 0.0, high, f"{name} of {key}")
    if not {"worker", "device"} <= report["peak_memory"].keys():
        wrong("peak_memory", report["peak_memory"])
    for move in _all(report.get("moves"), list, "moves"):
        check_matrix([value for row in _rows(move) for value in row], "a move")
    if (gps := report.get("gps")) is not None:
        _check_place(_all(gps, dict, "gps").get("origin"), "a place on the Earth")
    if (sun := report.get("sun")) is not None:
        _check_place(sun, "the direction to the sun")
    _require_finite(report)


def _check_download(report: Mapping[str, Any]) -> None:
    text(report.get("model"), "model")
    text(report.get("file"), "file")
    whole(report.get("bytes"), 0, MOST_BYTES, "bytes")


def _all(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        wrong(what, value)
    return value


def _require_finite(value: Any) -> None:
    """No infinity anywhere in a report: it is written as JSON. (1e999 is one, which no parser minds.)"""
    if isinstance(value, float) and not math.isfinite(value):
        wrong("a number of the report", value)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_finite(inner)


def _state(event: protocol.State) -> protocol.State:
    if event.free_memory is not None:
        whole(event.free_memory, 0, MOST_BYTES, "free_memory")
    versions = {plain(str(name)): plain(str(version)) for name, version in event.versions.items()}
    device, name, warning = plain(event.device), plain(event.device_name), plain(event.warning)
    return replace(event, device=device, device_name=name, versions=versions, warning=warning)
