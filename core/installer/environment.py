"""The worker's Python environment: made, checked, repaired and removed.

Runs in Blender's own Python, so it needs nothing but the standard library. What is installed stands in
``requirements/worker.txt``, every file with its hash; uv does the work, from the index that the user's own settings
(``UV_DEFAULT_INDEX``, ``UV_FIND_LINKS``, uv.toml, ...) name. It is built in a folder beside the final one, described by
a marker file, and put in its place by a rename when all of it imports: what failed, was cancelled or crashed is never
in that place, and an environment that worked before stays until its successor is ready.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..devices import support
from ..devices.cards import Graphics, find_graphics
from ..errors import BadInput, Cancelled, MissingEnvironment
from ..files import ownership
from ..files.file_lock import file_lock
from . import building, place, torch_builds, trash
from .condition import Info, State, Status, disk_is_full, in_use, last_line, look, same_series
from .get_uv import REQUIREMENTS, get_uv, uv_folder
from .place import MARKER, info_of, put_in_place, read_marker, refuse_others
from .running import Progress, Run, is_own_log
from .torch_builds import Device

MODULES = (
    *("numpy", "PIL", "cv2", "torch", "torchvision", "depth_anything_3", "addict", "omegaconf", "einops"),
    *("imageio", "safetensors", "huggingface_hub", "tqdm", "pycolmap", "av", "evo"),
)


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
        marker = read_marker(self.folder)
        if marker is None:
            return Status(State.BROKEN, "The installation of the dependencies did not end")
        try:
            running, lacking = look(self.python, self._modules)
        except (OSError, subprocess.SubprocessError) as error:
            return Status(State.BROKEN, f"The Python of the dependencies does not start ({error})")
        if not same_series(running, marker["python"]):
            reason = f"The Python of the dependencies is now {running}; they are for {marker['python']}"
            return Status(State.BROKEN, reason)
        if marker["lock"] != self._lock_hash():
            return Status(State.OUTDATED, "The dependencies were installed by another version of the add-on")
        if lacking:
            return Status(State.BROKEN, f"Files of the dependencies are gone ({', '.join(lacking)})")
        return Status(State.READY, f"The dependencies are installed (Python {running})", marker.get("warning", ""))

    def info(self) -> Info | None:
        """What is installed, read from the marker: cheap, no program is started. None without an environment."""
        marker = read_marker(self.folder)
        return info_of(marker) if marker else None

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
            marker = read_marker(self.folder) or {}
            if device is None and marker.get("device"):
                device = Device(marker["device"])
            status = self.state()
            run = Run(self.log, on_progress, cancelled, self._variables())
            damaged = building.damaged(run, self.folder, self._base_python)
            better = status.warning and not torch_builds.build_for(device, find_graphics()).warning  # it may be had now
            if status.state is State.READY and not damaged and not better:
                run.tell("nothing was broken", 1.0)
                return status
            if damaged and wheels is None:  # files are shared with the cache, where they are just as damaged
                run("forgetting what is damaged", 0.0, [self._get_uv(run, None), "cache", "clean", *damaged])
            self._build(run, device, wheels)
        return self.state()

    def install_ray(self, on_progress: Progress, cancelled: Callable[[], bool], wheels: Path | None = None) -> None:
        """Add Ray to an environment that is ready; raises as ``install`` does."""
        with self._alone(on_progress, cancelled):
            self.require()
            run = Run(self.log, on_progress, cancelled, self._variables())
            place.install_ray(run, self._get_uv(run, wheels), self.folder, self._part(), wheels)

    def remove(self, on_progress: Progress = _no_progress, cancelled: Callable[[], bool] = _never) -> None:
        """Delete the environment, its downloads, the log and the installer; the disk is free a few seconds later."""
        with self._alone(on_progress, cancelled):
            refuse_others(self.folder)
            try:
                there = ownership.find(self.folder, trash.KIND) is not None
                trash.discard(*([trash.move_aside(self.folder)] if there else []))
            except OSError as error:
                raise MissingEnvironment(f"{in_use(self.folder)}: {error}") from error
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
            on_progress("waiting for another installation", 0.0, last_line(self.log))
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
        refuse_others(self.folder)
        if support.HERE and wheels is None:
            raise BadInput(support.HERE)
        graphics = find_graphics() if device else Graphics()
        build = torch_builds.build_for(device, graphics)
        backend, warning = build.backend, build.warning
        part = self._part()
        if self._cache is not None:
            with contextlib.suppress(BadInput):  # a person has files there: uv may use it, but nothing of it is deleted
                ownership.claim(self._cache, trash.KIND)
        try:
            uv = self._get_uv(run, wheels)
            try:
                building.fill(run, uv, part, self._base_python, self._lock, backend, wheels)
            except building.NoTorchBuild as error:
                warning = f"{error} {torch_builds.instead(graphics)}"
                run.note(warning)
                trash.discard(part)
                building.fill(run, uv, part, self._base_python, self._lock, None, wheels)
            described = building.describe(run, part, self._modules)
            asked = {"device": device.value if device else "", "backend": backend or "", "warning": warning}
            marker = {"lock": self._lock_hash(), **asked, **described}
            (part / MARKER).write_text(json.dumps(marker, indent=1), "utf-8")
            run.check()
            put_in_place(part, self.folder)
            run.tell("installed", 1.0)
        except BaseException as error:
            trash.discard(part)
            if (isinstance(error, Cancelled) and not self.folder.exists()) or disk_is_full(error):
                self._drop_cache()  # after any other failure it stays: the next try goes on from there
            raise

    def _serves(self, device: Device) -> bool:
        """Whether what is there is what that device gets; "auto" is content with any."""
        wanted = torch_builds.build_for(device, find_graphics()).backend or ""
        return device is Device.AUTO or (read_marker(self.folder) or {}).get("backend", "") == wanted

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


def _give_up() -> None:
    raise Cancelled
