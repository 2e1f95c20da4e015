"""What Blender and the worker say to each other: one JSON object a line, over the worker's stdin and stdout.

The object's ``type`` names the message, the other keys are its fields. ``docs/worker.md`` tells the story; this file is
the definition. Standard library only: both sides import it.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from .requests import (  # noqa: F401  one vocabulary
    ALL,
    FUSED,
    REFINED,
    Cancel,
    Download,
    Generate,
    Hello,
    Info,
    Job,
    Message,
    ProtocolError,
    Quit,
    Rebuild,
    Unload,
)

VERSION = 5
MAX_LINE = 16 << 20  # bytes; the cameras of 10,000 images take about 10 MB


# ---------------------------------------------------------------------------------------------- worker to Blender


@dataclass(frozen=True)
class Greeting(Message):
    """Answer to ``Hello``; ``versions`` by package, without importing any."""

    type: ClassVar[str] = "hello"
    protocol: int
    python: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Alive(Message):
    """Once a second, from a thread of its own: the process has not been stopped."""

    type: ClassVar[str] = "alive"


@dataclass(frozen=True)
class Progress(Message):
    """``stage`` is a word for the person; ``fraction`` of the whole job, never falling; ``remaining`` seconds."""

    type: ClassVar[str] = "progress"
    job: int
    stage: str
    fraction: float
    remaining: float | None


@dataclass(frozen=True)
class Transfer(Message):
    """How far a download is: bytes ``done`` of ``total`` (0: not known yet), bytes per second, seconds; see
    ``core.models.transfer.Progress``."""

    type: ClassVar[str] = "transfer"
    job: int
    stage: str
    done: int
    total: int
    speed: float
    remaining: float | None
    note: str


@dataclass(frozen=True)
class Loaded(Message):
    """A model now stays in the worker's memory until ``Unloaded``."""

    type: ClassVar[str] = "loaded"
    model: str


@dataclass(frozen=True)
class BatchReady(Message):
    """One batch: ``parts`` as ``Part.save`` tells of them, ``cameras`` as ``CameraRecord.to_json``."""

    type: ClassVar[str] = "batch"
    job: int
    batch: int | None  # None: of the whole run, as a surface fused from all frames is
    name: str  # of the input
    parts: list[dict[str, Any]]
    cameras: list[dict[str, Any]]
    frame_rate: float | None = None  # of a video, frames per second
    origin: list[float] | None = None  # three: the scene's, in the known cameras' own world, Blender's axes


@dataclass(frozen=True)
class Warned(Message):
    """A sentence the person should read; the job goes on."""

    type: ClassVar[str] = "warning"
    job: int
    message: str


@dataclass(frozen=True)
class Done(Message):
    """The job is finished; all its batches were sent. For ``report`` see docs/worker.md."""

    type: ClassVar[str] = "done"
    job: int
    report: dict[str, Any]


@dataclass(frozen=True)
class Failed(Message):
    """The job (None: no job, a message) failed. ``kind`` is the name of a class in ``core.errors``."""

    type: ClassVar[str] = "error"
    job: int | None
    kind: str
    message: str
    detail: str


@dataclass(frozen=True)
class Stopped(Message):
    """The job ended because it was cancelled."""

    type: ClassVar[str] = "cancelled"
    job: int


@dataclass(frozen=True)
class Unloaded(Message):
    """No model is in the worker's memory."""

    type: ClassVar[str] = "unloaded"


@dataclass(frozen=True)
class State(Message):
    """Answer to ``Info``: the device that is used, its free memory (bytes, None: unknown) and versions."""

    type: ClassVar[str] = "info"
    device: str
    device_name: str
    free_memory: int | None
    versions: dict[str, str]
    model: str | None
    warning: str = ""  # why it is not the graphics card that is there


REQUESTS: Mapping[str, type[Message]] = {
    m.type: m for m in (Hello, Generate, Rebuild, Download, Cancel, Unload, Info, Quit)
}
EVENTS: Mapping[str, type[Message]] = {
    m.type: m
    for m in (Greeting, Alive, Progress, Transfer, Loaded, BatchReady, Warned, Done, Failed, Stopped, Unloaded, State)
}


def encode(message: Message) -> bytes:
    """One whole line, newline included.

    Raises
    ------
    ProtocolError
        It is longer than the other side would read.
    """
    line = json.dumps({"type": message.type, **asdict(message)}, allow_nan=False).encode("ascii") + b"\n"
    if len(line) > MAX_LINE:
        raise ProtocolError(
            f"'{message.type}' takes {len(line) >> 20} MB, more than Blender and the worker can tell each other at once: "
            "use fewer images, or a smaller Batch Size"
        )
    return line


def decode(line: bytes, vocabulary: Mapping[str, type[Message]]) -> Message:
    """The message of a line.

    Parameters
    ----------
    vocabulary : ``REQUESTS`` or ``EVENTS``

    Raises
    ------
    ProtocolError
        Not JSON, not a known message, a field too few or too many, or of the wrong type; a NaN anywhere but in how far
        the work is, where it means nothing.
    """
    odd: list[str] = []  # numbers that JSON does not know

    def note(constant: str) -> float:
        odd.append(constant)
        return float(constant)

    try:
        record = json.loads(line, parse_constant=note)
    except (ValueError, RecursionError):
        raise ProtocolError(f"Not a line of JSON: {_short(line)}") from None
    if not isinstance(record, dict) or not isinstance(record.get("type"), str) or record["type"] not in vocabulary:
        raise ProtocolError(f"Not a message of protocol {VERSION}: {_short(line)}")
    cls = vocabulary[record.pop("type")]
    if odd and cls not in (Progress, Transfer):
        raise ProtocolError(f"'{cls.type}' holds {odd[0]}")
    hints = get_type_hints(cls)
    names = {f.name for f in fields(cls)}
    if record.keys() - names:
        raise ProtocolError(f"'{cls.type}' has no field {', '.join(sorted(record.keys() - names))}")
    for name, value in record.items():
        if not fits(value, hints[name]):
            raise ProtocolError(f"'{cls.type}': {name} is {value!r:.60}, not {hints[name]}")
    try:
        return cls(**record)
    except TypeError:
        raise ProtocolError(f"'{cls.type}' lacks {', '.join(sorted(names - record.keys()))}") from None


def fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of a field's type; what is inside lists and objects is the reader's matter."""
    if get_origin(hint) in (Union, types.UnionType):
        return any(fits(value, h) for h in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, get_origin(hint) or hint)


def _short(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return text if len(text) <= 80 else text[:77] + "..."
