"""A worker that lies: speaks the protocol up to its job, then says one wrong thing and lives on.

``python liar.py LIE --folder F``. ``LIES`` are functions of the job's number and folder that return bytes to say, or None
where they have done their harm already. A true batch is said first by ``honest``, so that each lie differs from it in one
thing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

VERSION = 5
LIES: dict[str, Callable[[int, Path], bytes | None]] = {}


def lie(say: Callable[[int, Path], Any]) -> Callable[[int, Path], Any]:
    LIES[say.__name__] = say
    return say


def line(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode() + b"\n"


def points(folder: Path, count: int = 6) -> dict[str, np.ndarray]:
    return {
        "position": np.zeros((count, 3), np.float32),
        "point_color": np.ones((count, 4), np.float32),
        "conf": np.ones(count, np.float32),
        "frame": np.zeros(count, np.int32),
    }


def square() -> dict[str, np.ndarray]:
    """A square of two triangles."""
    return {
        "position": np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32),
        "corners": np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        "point_color": np.ones((4, 4), np.float32),
        "uv": np.zeros((6, 2), np.float32),
        "edges": np.array([[0, 1], [1, 2], [0, 2], [2, 3], [0, 3]], np.int32),
        "corner_edges": np.array([[0, 1, 2], [2, 3, 4]], np.int32),
    }


def camera(**changes: Any) -> dict[str, Any]:
    matrix = [1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1]
    return {
        "name": "a", "frame": 0, "camera_to_world": matrix, "fx": 50.0, "fy": 50.0, "cx": 21.0, "cy": 14.0, "width": 42,
        "height": 28, "image": "", "placement": [0, 0, 42, 28], "orientation": 1, **changes,
    }  # fmt: skip


def part(folder: Path, arrays: dict[str, np.ndarray], **changes: Any) -> dict[str, Any]:
    files = {}
    for name, array in arrays.items():
        files[name] = f"x_{name}.npy"
        np.save(folder / files[name], array, allow_pickle=True)
    record = {
        "name": "_Points", "group": "", "frame": None, "plays": False, "image": "", "packed": False,
        "kind": "mesh" if "corners" in arrays else "points", "count": len(arrays["position"]), "files": files,
    }  # fmt: skip
    return {**record, **changes}


def batch(job: int, parts: list[Any], cameras: list[Any] | None = None, **changes: Any) -> bytes:
    fields = {"batch": 0, "name": "wall", "parts": parts, "cameras": [camera()] if cameras is None else cameras}
    return line("batch", job=job, **{**fields, "frame_rate": None, **changes})


def report(**changes: Any) -> dict[str, Any]:
    return {
        "model": "da3-small", "frames": 1, "frames_wanted": 1, "batches": 1, "points": 6, "seconds": {"total": 1.0},
        "peak_memory": {"worker": 1, "device": 0}, "warnings": [], "files": [], "run": "", "moves": [], **changes,
    }  # fmt: skip


def with_array(name: str, array: np.ndarray, mesh: bool = False) -> Callable[[int, Path], bytes]:
    def say(job: int, folder: Path) -> bytes:
        return batch(job, [part(folder, {**(square() if mesh else points(folder)), name: array})])

    return say


def with_camera(**changes: Any) -> Callable[[int, Path], bytes]:
    return lambda job, _folder: batch(job, [], [camera(**changes)])


def with_part(**changes: Any) -> Callable[[int, Path], bytes]:
    return lambda job, folder: batch(job, [part(folder, points(folder), **changes)])


def with_report(**changes: Any) -> Callable[[int, Path], bytes]:
    return lambda job, _folder: line("done", job=job, report=report(**changes))


# ------------------------------------------------------------------------------------------------- the lines
LIES["no_json"] = lambda job, folder: b"Downloading: 40%\n"
LIES["no_utf8"] = lambda job, folder: b"\xff\xfe\x00\n"
LIES["deep"] = lambda job, folder: b"[" * 200_000 + b"\n"
LIES["long_number"] = lambda job, folder: b'{"type": "unloaded", "x": ' + b"1" * 10_000 + b"}\n"
LIES["long_line"] = lambda job, folder: b'{"type": "' + b"x" * (20 << 20) + b'"}\n'
LIES["unknown_type"] = lambda job, folder: line("dance")
LIES["type_is_a_list"] = lambda job, folder: line(["done"])
LIES["field_missing"] = lambda job, folder: line("progress", job=job, stage="model")
LIES["field_too_many"] = lambda job, folder: line("cancelled", job=job, why="so")
LIES["job_is_text"] = lambda job, folder: line("cancelled", job=str(job))
LIES["job_is_true"] = lambda job, folder: line("cancelled", job=True)
LIES["job_of_nobody"] = lambda job, folder: line("done", job=job + 7, report=report())
LIES["not_a_number"] = lambda job, folder: line("done", job=job, report=report(points=float("nan")))


@lie
def endless_line(job: int, folder: Path) -> None:
    while True:
        os.write(1, b"x" * 65536)


@lie
def flood(job: int, folder: Path) -> None:
    while True:
        os.write(1, line("warning", job=job, message="again") * 1000)


@lie
def closes_its_output(job: int, folder: Path) -> None:
    os.close(1)


@lie
def silent(job: int, folder: Path) -> None:
    """Says nothing more, not even that it lives."""


# ------------------------------------------------------------------------------------------------- batches
@lie
def file_elsewhere(job: int, folder: Path) -> bytes:
    record = part(folder, points(folder))
    (folder / "x_conf.npy").rename(folder.parent / "conf.npy")
    record["files"]["conf"] = "../conf.npy"
    return batch(job, [record])


@lie
def absolute_file(job: int, folder: Path) -> bytes:
    record = part(folder, points(folder))
    (folder / "x_conf.npy").rename(folder.parent / "conf.npy")
    record["files"]["conf"] = str(folder.parent / "conf.npy")
    return batch(job, [record])


@lie
def link_that_leads_elsewhere(job: int, folder: Path) -> bytes:
    record = part(folder, points(folder))
    (folder / "x_conf.npy").rename(folder.parent / "conf.npy")
    (folder / "x_conf.npy").symlink_to(folder.parent / "conf.npy")
    return batch(job, [record])


@lie
def fifo(job: int, folder: Path) -> bytes:
    record = part(folder, points(folder))
    (folder / "x_conf.npy").unlink()
    os.mkfifo(folder / "x_conf.npy")
    return batch(job, [record])


@lie
def no_file(job: int, folder: Path) -> bytes:
    record = part(folder, points(folder))
    (folder / "x_conf.npy").unlink()
    return batch(job, [record])


@lie
def file_cut_short(job: int, folder: Path) -> bytes:
    record = part(folder, points(folder))
    data = (folder / "x_position.npy").read_bytes()
    (folder / "x_position.npy").write_bytes(data[:-4])
    return batch(job, [record])


@lie
def header_of_nonsense(job: int, folder: Path) -> bytes:
    record = part(folder, points(folder))
    data = (folder / "x_position.npy").read_bytes()
    (folder / "x_position.npy").write_bytes(data.replace(b"'descr'", b"((((((("))
    return batch(job, [record])


LIES["unknown_array"] = with_array("mood", np.zeros(6, np.float32))
LIES["objects_to_unpickle"] = with_array("conf", np.array([{}] * 6, object))
LIES["double_precision"] = with_array("position", np.zeros((6, 3)))
LIES["other_end_first"] = with_array("conf", np.ones(6, ">f4"))
LIES["column_by_column"] = with_array("point_color", np.asfortranarray(np.ones((6, 4), np.float32)))
LIES["other_shape"] = with_array("position", np.zeros((9, 2), np.float32))
LIES["other_length"] = with_array("conf", np.ones(5, np.float32))
LIES["positions_not_finite"] = with_array("position", np.full((6, 3), np.nan, np.float32))
LIES["confidence_not_finite"] = with_array("conf", np.full(6, np.inf, np.float32))
LIES["other_count"] = with_part(count=7)
LIES["kind_of_nothing"] = with_part(kind="curve")
LIES["name_is_a_number"] = with_part(name=7)
LIES["name_without_end"] = with_part(name="x" * 100_000)
LIES["picture_elsewhere"] = with_part(image="../../../etc/passwd", packed=True)
LIES["part_is_text"] = lambda job, folder: batch(job, ["part"])
LIES["batch_below_zero"] = lambda job, folder: batch(job, [], batch=-1)
LIES["no_frame_rate"] = lambda job, folder: batch(job, [], frame_rate=0.0)
LIES["corner_that_is_not_there"] = with_array("corners", np.array([[0, 1, 2], [0, 2, 1_000_000]], np.int32), True)
LIES["corner_below_zero"] = with_array("corners", np.array([[0, 1, 2], [0, 2, -5]], np.int32), True)
LIES["faces_of_two"] = with_array("corners", np.array([[0, 1], [0, 2], [1, 2]], np.int32), True)
LIES["edge_that_is_not_there"] = with_array("corner_edges", np.array([[0, 1, 2], [2, 3, 99]], np.int32), True)
LIES["other_edges"] = with_array("corner_edges", np.array([[0, 1, 2], [2, 4, 3]], np.int32), True)
LIES["edges_to_nowhere"] = with_array("edges", np.full((5, 2), 77, np.int32), True)
LIES["other_uv"] = with_array("uv", np.zeros((4, 2), np.float32), True)

# ------------------------------------------------------------------------------------------------- cameras and reports
LIES["camera_without_width"] = with_camera(width=0)
LIES["camera_without_focal_length"] = with_camera(fx=0.0)
LIES["pose_of_15"] = with_camera(camera_to_world=[0.0] * 15)
LIES["flat_pose"] = with_camera(camera_to_world=[0.0] * 15 + [1.0])
LIES["camera_that_is_infinite"] = lambda job, folder: batch(job, [], [camera(cx=7e77)]).replace(b"7e+77", b"1e999")
LIES["orientation_of_nothing"] = with_camera(orientation=77)
LIES["frame_beyond_int32"] = with_camera(frame=1 << 40)
LIES["camera_of_nothing"] = with_camera(mood="good")
LIES["report_without_points"] = lambda job, folder: line("done", job=job, report={"frames": 1})
LIES["report_of_text"] = with_report(points="many")
LIES["moves_of_nothing"] = with_report(moves=[[1.0]])
LIES["moves_that_flatten"] = with_report(moves=[[[0.0] * 4] * 3 + [[0.0, 0.0, 0.0, 1.0]]])
LIES["seconds_below_zero"] = with_report(seconds={"total": -1.0})

#: What a worker may say before its greeting: nothing but a greeting of the right version.
GREETINGS = {
    "other_version": line("hello", protocol=VERSION - 1, python="3", versions={}),
    "no_greeting": line("loaded", model="da3-small"),
    "greeting_of_text": b"Python 3.11.7\n",
}

#: Odd, but no lies: the job goes on to its end.
ODD: dict[str, Callable[[int, Path], bytes]] = {
    "time_left_not_a_number": lambda job, folder: line(
        "progress", job=job, stage="a", fraction=0.5, remaining=float("nan")
    ),
    "fraction_not_a_number": lambda job, folder: line(
        "progress", job=job, stage="a", fraction=float("nan"), remaining=None
    ),
    "endless_time_left": lambda job, folder: line("progress", job=job, stage="a", fraction=7.0, remaining=float("inf")),
    "half_a_sign": lambda job, folder: line("warning", job=job, message="\ud800\x1b[2J\nand so on"),
    "no_points": lambda job, folder: batch(job, [part(folder, points(folder, 0))]),
    "a_square": lambda job, folder: batch(job, [part(folder, square())]),
}


def main(name: str) -> None:
    for request in map(json.loads, sys.stdin):
        if request["type"] == "hello":
            os.write(1, GREETINGS.get(name, line("hello", protocol=VERSION, python="3", versions={})))
        elif request["type"] == "generate" and name not in GREETINGS:
            said = {**LIES, **ODD}[name](request["job"], Path(request["folder"]))
            if said is not None:
                os.write(1, b"") if not said else sys.stdout.buffer.write(said)
                sys.stdout.buffer.flush()
            if name in ODD:
                sys.stdout.buffer.write(line("done", job=request["job"], report=report()))
                sys.stdout.buffer.flush()
            break
    time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1])
