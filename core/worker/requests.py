"""What Blender asks of the worker. Part of ``protocol``, by whose name all of it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import DA3Error


class ProtocolError(DA3Error):
    """A line is not a message of this protocol."""


@dataclass(frozen=True)
class Message:
    """Base of all; ``type`` is the word on the wire."""

    type: ClassVar[str]


@dataclass(frozen=True)
class Hello(Message):
    """The first message; the worker answers with ``Greeting``."""

    type: ClassVar[str] = "hello"
    protocol: int


@dataclass(frozen=True)
class Job(Message):
    """A request that takes long, and ends with ``Done``, ``Failed`` or ``Stopped`` of its number."""

    job: int


@dataclass(frozen=True)
class Generate(Job):
    """Reconstruct; arrays are written into ``folder``, which must exist."""

    type: ClassVar[str] = "generate"
    folder: str
    settings: dict[str, Any]  # Settings.to_json()
    model_folder: str
    device: str | None = None  # as torch names it; None: the best there is
    cameras: list[dict[str, Any]] | None = None  # CameraRecord.to_json() of each camera of the Blender collection
    kept_folder: str | None = None  # where runs are kept for ``Rebuild``; None: this one is not
    kept_bytes: int = 0  # most that all kept runs may take
    online: bool = False  # whether a segmentation network that is missing may be downloaded


ALL, FUSED, REFINED = "all", "fused", "refined"  # what ``Rebuild`` builds again


@dataclass(frozen=True)
class Rebuild(Job):
    """Build a run that was kept again, with other settings and without the model; arrays are written into ``folder``.

    ``what`` is ``ALL``, ``REFINED`` for all with splats fitted to the photographs, or ``FUSED`` for a surface from all frames
    alone; ``device`` as in ``Generate``, for what computes with torch.
    """

    type: ClassVar[str] = "rebuild"
    folder: str
    settings: dict[str, Any]  # Settings.to_json()
    kept_folder: str  # that all kept runs are in
    run: str  # its id, as ``Done`` told it
    what: str
    device: str | None = None


@dataclass(frozen=True)
class Download(Job):
    """Bring a model's file into ``folder``; ``endpoint`` and ``token`` are the hub's, None for its own ways to know."""

    type: ClassVar[str] = "download"
    model: str
    folder: str
    endpoint: str | None = None
    token: str | None = None


@dataclass(frozen=True)
class Cancel(Message):
    """Stop this job as soon as possible; the model stays loaded."""

    type: ClassVar[str] = "cancel"
    job: int


@dataclass(frozen=True)
class Unload(Message):
    """Free the memory the model holds."""

    type: ClassVar[str] = "unload"


@dataclass(frozen=True)
class Info(Message):
    """Ask for device, memory and versions; imports torch, so the answer may take seconds."""

    type: ClassVar[str] = "info"


@dataclass(frozen=True)
class Quit(Message):
    """End now, as end-of-file does."""

    type: ClassVar[str] = "quit"
