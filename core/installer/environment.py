"""The worker's Python environment: made, checked, repaired and removed.

Runs in Blender's own Python, so it needs nothing but the standard library. What is installed stands in
``requirements/worker.txt``, every file with its hash; uv does the work, from the index that the user's own settings
(``UV_DEFAULT_INDEX``, ``UV_FIND_LINKS``, uv.toml, ...) name. It is built in a folder beside the final one, described by
a marker file, and put in its place by a rename when all of it imports: what failed, was cancelled or crashed is never
in that place, and an environment that worked before stays until its successor is ready.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import BadInput, Cancelled, MissingEnvironment
from ..files import ownership
from ..files.file_lock import file_lock
from . import building, torch_builds, trash
from .get_uv import REQUIREMENTS, get_uv, uv_folder
from .running import Progress, Run, is_own_log
from .torch_builds import Device

MODULES = (
    *("numpy", "PIL", "cv2", "torch", "torchvision", "depth_anything_3", "addict", "omegaconf", "einops"),
    *("imageio", "safetensors", "huggingface_hub", "tqdm", "pycolmap", "av", "evo"),
)
#: The packages whose versions a person may want to read.
KEY_PACKAGES = ("torch", "torchvision", "depth-anything-3", "numpy", "opencv-python", "pycolmap", "huggingface-hub")
MARKER = "da3-environment.json"
#: What lies in a virtual environment of ours. With anything else in it the folder is a person's too, and is left alone.
OWN = frozenset(
    {
        "bin",
        "lib",
        "lib64",
        "include",
        "share",
        "etc",
        "man",
        "Lib",
        "Scripts",
        "Include",
        "pyvenv.cfg",
        ".gitignore",
        ".lock",
    }
    | {"CACHEDIR.TAG", "without-torch.txt", MARKER, f".da3-{trash.KIND}"}
)
START_TIMEOUT = 60  # seconds; an interpreter starts in 0.1, on a cold network disk in a few


class State(enum.Enum):
    MISSING = "missing"
    BROKEN = "broken"
    OUTDATED = "outdated"  # whole, but made for another version of the add-on
    READY = "ready"


@dataclass(frozen=True)
class Status:
    """Whether the environment can be used, one sentence that says why not, and one of what is not as it was asked for."""

    state: State
    reason: str
    warning: str = ""


@dataclass(frozen=True)
class Info:
    """What is installed; measured when it was.

    ``size`` is in bytes; ``torch_build`` is "CUDA 13.0", "ROCm 7.2", "Metal" or "CPU"; ``versions`` holds
    ``KEY_PACKAGES``. An environment made by version 0.1 knows its Python only.
    """

    python: str
    torch_build: str = ""
    size: int | None = None
    device: Device | None = None
    warning: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def default_folder(parent: Path | None = None) -> Path:
    """``$DA3_ENVIRONMENT`` where it is set, else a folder in ``parent`` (a place that outlives an update of the add-on)."""
    if os.environ.get("DA3_ENVIRONMENT"):
        return Path(os.environ["DA3_ENVIRONMENT"]).expanduser()
    if parent is None:
        raise MissingEnvironment("No folder is known for the dependencies. Set DA3_ENVIRONMENT to one")
    return parent / "environment"


def _no_progress(_stage: str, _fraction: float, _line: str) -> None:
    """Progress that nobody asked for."""


def _never() -> bool:
    return False


class Environment:
    """The worker's environment in one folder.

    Parameters
    ----------
    folder : where it is or shall be; beside it come ``<name>.log``, ``<name>.lock``, ``<name>.cache`` (downloads, freed
        by ``remove``; ``$UV_CACHE_DIR`` where that is set) and uv
    lock : requirements file with hashes
    modules : what must import once all is installed
    uv : the program, where there is one already; else it is installed beside the folder, pinned by hash
    base_python : whose version the environment gets (in Blender: Blender's own)
    share_cache : use the cache that uv has for this user
    """

    def __init__(
        self,
        folder: Path,
        *,
        lock: Path = REQUIREMENTS / "worker.txt",
        modules: Sequence[str] = MODULES,
        uv: Path | None = None,
        base_python: str = sys.executable,
        share_cache: bool = False,
    ):
        self.folder = folder.absolute()
        if not self.folder.name:
            raise BadInput(f"'{folder}' is a whole disk: choose a folder on it for the dependencies")
        self.log = self._beside(".log")
        self._lock = lock
        self._modules = modules
        self._uv = uv
        self._base_python = base_python
        self._cache = None if share_cache or os.environ.get("UV_CACHE_DIR") else self._beside(".cache")

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return building.program(self.folder)

    def state(self) -> Status:
        """What is there now; starts the interpreter once (about 30 ms)."""
        if not self.folder.exists():
            return Status(State.MISSING, "The dependencies are not installed")
        marker = self._marker()
        if marker is None:
            return Status(State.BROKEN, "The installation of the dependencies did not end")
        try:
            running, lacking = _look(self.python, self._modules)
        except (OSError, subprocess.SubprocessError) as error:
            return Status(State.BROKEN, f"The Python of the dependencies does not start ({error})")
        if not _same_series(running, marker["python"]):
            reason = f"The Python of the dependencies is now {running}; they are for {marker['python']}"
            return Status(State.BROKEN, reason)
        if marker["lock"] != self._lock_hash():
            return Status(State.OUTDATED, "The dependencies were installed by another version of the add-on")
        if lacking:
            return Status(State.BROKEN, f"Files of the dependencies are gone ({', '.join(lacking)})")
        return Status(State.READY, f"The dependencies are installed (Python {running})", marker.get("warning", ""))

    def info(self) -> Info | None:
        """What is installed, read from the marker: cheap, no program is started. None without an environment."""
        marker = self._marker()
        if marker is None:
            return None
        versions = marker.get("versions", {})
        return Info(
            python=marker["python"],
            torch_build=marker.get("torch_build", ""),
            size=marker.get("bytes"),
            device=Device(marker["device"]) if marker.get("device") in {device.value for device in Device} else None,
            warning=marker.get("warning", ""),
            versions={name: versions[name] for name in KEY_PACKAGES if name in versions},
        )

    def require(self) -> Path:
        """The interpreter.

        Raises
        ------
        MissingEnvironment
            The environment is not ready; the sentence says why and what to do.
        """
        status = self.state()
        if status.state is not State.READY:
            verb = {State.BROKEN: "Repair", State.OUTDATED: "Update"}.get(status.state, "Install")
            raise MissingEnvironment(f"{status.reason}. {verb} them in the add-on's preferences")
        return self.python

    def install(
        self,
        on_progress: Progress = _no_progress,
        cancelled: Callable[[], bool] = _never,
        *,
        device: Device | None = None,
        wheels: Path | None = None,
    ) -> Status:
        """Install, or update: make the environment unless it is ready for that device. Blocks: call it on a thread.

        Parameters
        ----------
        on_progress : called with a stage, the fraction of the whole that is done (0 to 1) and the newest line of output
        cancelled : asked twenty times a second; True stops what runs, and what there was before stays as it was
        device : which build of PyTorch; None is the package index's own, and any that is there will do
        wheels : install from this folder, without any index

        Raises
        ------
        Cancelled
        BadInput
            There is no such build for this system, or the folder holds something else.
        MissingEnvironment
            It could not be made; the sentence carries the installer's own last words and names the log.
        """
        with self._alone(on_progress, cancelled):
            status = self.state()
            if status.state is State.READY and (device is None or self._serves(device)):
                return status
            self._build(Run(self.log, on_progress, cancelled, self._variables()), device, wheels)
        return self.state()

    def repair(
        self,
        on_progress: Progress = _no_progress,
        cancelled: Callable[[], bool] = _never,
        *,
        device: Device | None = None,
        wheels: Path | None = None,
    ) -> Status:
        """Compare every file with its hash, and make the environment anew if one is not as it was; see ``install``.

        It also tries again for a build of PyTorch that was out of reach. ``device`` None: that of the last installation.
        """
        with self._alone(on_progress, cancelled):
            marker = self._marker() or {}
            if device is None and marker.get("device"):
                device = Device(marker["device"])
            status = self.state()
            run = Run(self.log, on_progress, cancelled, self._variables())
            damaged = building.damaged(run, self.folder, self._base_python)
            if status.state is State.READY and not damaged and not status.warning:
                run.tell("nothing was broken", 1.0)
                return status
            if damaged and wheels is None:  # files are shared with the cache, where they are just as damaged
                run("forgetting what is damaged", 0.0, [self._get_uv(run, None), "cache", "clean", *damaged])
            self._build(run, device, wheels)
        return self.state()

    def remove(self, on_progress: Progress = _no_progress, cancelled: Callable[[], bool] = _never) -> None:
        """Delete the environment, its downloads, the log and the installer; the disk is free a few seconds later."""
        with self._alone(on_progress, cancelled):
            self._refuse_others_folder()
            try:
                there = ownership.find(self.folder, trash.KIND) is not None
                trash.discard(*([trash.move_aside(self.folder)] if there else []))
            except OSError as error:
                raise MissingEnvironment(f"{_in_use(self.folder)}: {error}") from error
            self._drop_cache()
            trash.discard(uv_folder(self.folder.parent))
            if is_own_log(self.log):
                ownership.delete_chosen(self.log)

    def sweep(self) -> None:
        """Delete what an installation left that crashed; nothing where one runs now. For the start of the add-on."""
        if self.folder.parent.exists():
            with contextlib.suppress(Cancelled, OSError), file_lock(self._beside(".lock"), _give_up):
                self._sweep()

    @contextlib.contextmanager
    def _alone(self, on_progress: Progress, cancelled: Callable[[], bool]) -> Iterator[None]:
        """The only installation in that folder; waits for another Blender's, and shows how far that one is."""

        def wait() -> None:
            on_progress("waiting for another installation", 0.0, _last_line(self.log))
            if cancelled():
                raise Cancelled

        try:
            with file_lock(self._beside(".lock"), wait):
                self._sweep()
                yield
        except OSError as error:
            raise MissingEnvironment(f"The dependencies could not be installed: {error}") from error

    def _build(self, run: Run, device: Device | None, wheels: Path | None) -> None:
        """Make the environment in a folder of its own and put it in its place."""
        self._refuse_others_folder()
        backend = torch_builds.backend(device, torch_builds.find_graphics()) if device else None
        part = self._part()
        warning = ""
        if self._cache is not None:
            with contextlib.suppress(BadInput):  # a person has files there: uv may use it, but nothing of it is deleted
                ownership.claim(self._cache, trash.KIND)
        try:
            uv = self._get_uv(run, wheels)
            try:
                building.fill(run, uv, part, self._base_python, self._lock, backend, wheels)
            except building.NoTorchBuild as error:
                warning = f"{error} The package index's own build of PyTorch was installed instead"
                run.note(warning)
                trash.discard(part)
                building.fill(run, uv, part, self._base_python, self._lock, None, wheels)
            described = building.describe(run, part, self._modules)
            asked = {"device": device.value if device else "", "backend": backend or "", "warning": warning}
            marker = {"lock": self._lock_hash(), **asked, **described}
            (part / MARKER).write_text(json.dumps(marker, indent=1), "utf-8")
            run.check()
            self._put_in_place(part)
            run.tell("installed", 1.0)
        except BaseException as error:
            trash.discard(part)
            if (isinstance(error, Cancelled) and not self.folder.exists()) or _disk_is_full(error):
                self._drop_cache()  # after any other failure it stays: the next try goes on from there
            raise

    def _put_in_place(self, part: Path) -> None:
        """Rename; the environment that was there goes only when that has worked."""
        old = None
        try:
            if ownership.find(self.folder, trash.KIND):
                old = trash.move_aside(self.folder)
            ownership.remove_if_empty(self.folder)
            ownership.move(part, self.folder)
        except OSError as error:
            if old is not None:
                ownership.move(old, self.folder)
            raise MissingEnvironment(f"{_in_use(self.folder)}: {error}") from error
        if old is not None:
            trash.discard(old)

    def _refuse_others_folder(self) -> None:
        """A person may have chosen a folder with files of their own: nothing may happen to those."""
        if not self.folder.exists():
            return
        others = (
            sorted({inner.name for inner in self.folder.iterdir()} - OWN)
            if self.folder.is_dir()
            else [self.folder.name]
        )
        if not others and self._was_made_here():  # by a version that left no marker, perhaps
            ownership.adopt(self.folder, trash.KIND)
        elif others or (ownership.find(self.folder, trash.KIND) is None and any(self.folder.iterdir())):
            named = f" ({', '.join(others[:3])})" if others else ""
            raise BadInput(
                f"'{self.folder}' holds other files{named}. Choose an empty or a new folder for the dependencies"
            )

    def _was_made_here(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return building.PROMPT in (self.folder / "pyvenv.cfg").read_text("utf-8")
        return False

    def _serves(self, device: Device) -> bool:
        """Whether what is there is what that device gets; "auto" is content with any."""
        wanted = torch_builds.backend(device, torch_builds.find_graphics()) or ""
        return device is Device.AUTO or (self._marker() or {}).get("backend", "") == wanted

    def _marker(self) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, ValueError):
            marker = json.loads((self.folder / MARKER).read_text("utf-8"))
            if (
                isinstance(marker, dict)
                and isinstance(marker.get("lock"), str)
                and isinstance(marker.get("python"), str)
            ):
                return marker
        return None

    def _get_uv(self, run: Run, wheels: Path | None) -> Path:
        return self._uv or get_uv(run, self.folder.parent, self._part(), self._base_python, wheels)

    def _variables(self) -> dict[str, str]:
        return {} if self._cache is None else {"UV_CACHE_DIR": str(self._cache)}

    def _drop_cache(self) -> None:
        if self._cache is not None:
            trash.discard(self._cache)

    def _sweep(self) -> None:
        name = self.folder.name
        trash.sweep(self.folder.parent, (f"{name}.part-*", f"{name}*{trash.MARK}*", f"uv-*{trash.MARK}*"))
        if self._cache is not None and ownership.find(self._cache, trash.KIND):
            for half in self._cache.glob(".tmp*"):  # of downloads whose uv was killed
                if half.is_dir() and not half.is_symlink():
                    ownership.adopt(half, trash.KIND)
            trash.sweep(self._cache, (".tmp*",))

    def _lock_hash(self) -> str:
        return hashlib.sha256(self._lock.read_bytes()).hexdigest()

    def _part(self) -> Path:
        """A new folder to build in, under a name that ``_sweep`` knows."""
        return self._beside(f".part-{secrets.token_hex(4)}")

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(self.folder.name + suffix)


#: Prints its version and which of the modules cannot be found; imports none of them.
LOOK = """
import importlib.util, platform, sys
print(platform.python_version(), *[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])
"""


def _look(python: Path, modules: Sequence[str]) -> tuple[str, list[str]]:
    command = [str(python), "-I", "-c", LOOK, *modules]
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=START_TIMEOUT, creationflags=flags
    )
    version, *lacking = done.stdout.split()
    return version, lacking


def _same_series(one: str, other: str) -> bool:
    """Whether packages for one Python run on the other: a system's update from 3.13.5 to 3.13.6 changes nothing."""
    return one.split(".")[:2] == other.split(".")[:2]


def _disk_is_full(error: BaseException) -> bool:
    return any(sign in str(error).lower() for sign in ("no space left", "not enough space", "quota exceeded"))


def _give_up() -> None:
    raise Cancelled


def _in_use(folder: Path) -> str:
    return f"'{folder}' cannot be replaced or removed; close the other Blender windows that use it and try again"


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 500))
            lines = file.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""
