"""The worker's Python environment: made, checked and removed.

Runs in Blender's own Python, so it needs nothing but the standard library. What is installed stands in
``requirements/worker.txt``, every file with its hash; uv does the work, from the index that the user's own settings
(``UV_DEFAULT_INDEX``, ``UV_FIND_LINKS``, uv.toml, ...) name. A marker file is written last: a folder without it is one
whose installation did not end, and is never used.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import Cancelled, MissingEnvironment
from .file_lock import file_lock
from .installing import Progress, Run

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
MODULES = (
    *("numpy", "PIL", "cv2", "torch", "torchvision", "depth_anything_3", "addict", "omegaconf", "einops"),
    *("imageio", "safetensors", "huggingface_hub", "tqdm", "pycolmap", "av", "evo"),
)
MARKER = "da3-environment.json"
START_TIMEOUT = 60  # seconds; an interpreter starts in 0.1, on a cold network disk in a few


class State(enum.Enum):
    MISSING = "missing"
    BROKEN = "broken"
    READY = "ready"


@dataclass(frozen=True)
class Status:
    """Whether the environment can be used, and one sentence that says why not."""

    state: State
    reason: str


def default_folder(parent: Path | None = None) -> Path:
    """``$DA3_ENVIRONMENT`` where it is set, else a folder in ``parent`` (a place that outlives an update of the add-on)."""
    if os.environ.get("DA3_ENVIRONMENT"):
        return Path(os.environ["DA3_ENVIRONMENT"]).expanduser()
    if parent is None:
        raise MissingEnvironment("No folder is known for the dependencies. Set DA3_ENVIRONMENT to one")
    return parent / "environment"


class Environment:
    """The worker's environment in one folder.

    Parameters
    ----------
    folder : where it is or shall be; its parent gets ``<name>.log``, ``<name>.lock`` and uv
    lock : requirements file with hashes
    modules : what must import once all is installed
    uv : the program, where there is one already; else it is installed beside the folder, pinned by hash
    base_python : whose version the environment gets (in Blender: Blender's own)
    """

    def __init__(
        self,
        folder: Path,
        *,
        lock: Path = REQUIREMENTS / "worker.txt",
        modules: Sequence[str] = MODULES,
        uv: Path | None = None,
        base_python: str = sys.executable,
    ):
        self.folder = folder.absolute()
        self.log = self._beside(".log")
        self._lock = lock
        self._modules = modules
        self._uv = uv
        self._base_python = base_python

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return _program(self.folder, "python")

    def state(self) -> Status:
        """What is there now; starts the interpreter once (about 20 ms)."""
        if not self.folder.exists():
            return Status(State.MISSING, "The dependencies are not installed")
        try:
            marker = json.loads((self.folder / MARKER).read_text("utf-8"))
            lock, python = marker["lock"], marker["python"]
        except (OSError, ValueError, KeyError, TypeError):
            return Status(State.BROKEN, "The installation of the dependencies did not end")
        if lock != self._lock_hash():
            return Status(State.BROKEN, "The dependencies were installed by another version of the add-on")
        try:
            running = _python_version(self.python)
        except (OSError, subprocess.SubprocessError) as error:
            return Status(State.BROKEN, f"The Python of the dependencies does not start ({error})")
        if running != python:
            return Status(State.BROKEN, f"The Python of the dependencies is now {running}; they are for {python}")
        return Status(State.READY, f"The dependencies are installed (Python {python})")

    def require(self) -> Path:
        """The interpreter.

        Raises
        ------
        MissingEnvironment
            The environment is not ready; the sentence says why and what to do.
        """
        status = self.state()
        if status.state is not State.READY:
            raise MissingEnvironment(f"{status.reason}. Install them in the add-on's preferences")
        return self.python

    def install(
        self, on_progress: Progress = lambda stage, fraction, line: None, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Make the environment; nothing is done where it is ready. Blocks: in Blender, call it on a thread.

        Parameters
        ----------
        on_progress : called with a stage, the fraction of the whole that is done (0 to 1) and the newest line of output
        cancelled : asked ten times a second; True stops what runs and removes the half environment

        Raises
        ------
        Cancelled
        MissingEnvironment
            It could not be made; the sentence carries the installer's own last words and names the log.
        """

        def wait() -> None:
            on_progress("waiting for another installation", 0.0, "")
            if cancelled():
                raise Cancelled

        with file_lock(self._beside(".lock"), wait):
            if self.state().state is State.READY:
                return
            run = Run(self.log, on_progress, cancelled)
            try:
                self._remove()
                self._install(run)
            except BaseException as error:
                self._remove()
                if isinstance(error, OSError):
                    raise MissingEnvironment(f"The dependencies could not be installed: {error}") from error
                raise

    def remove(self) -> None:
        """Delete the environment, the log and the installer."""
        with file_lock(self._beside(".lock")):
            self._remove()
            self.log.unlink(missing_ok=True)
            shutil.rmtree(self._uv_folder(), ignore_errors=True)

    def _install(self, run: Run) -> None:
        uv = str(self._uv or self._get_uv(run))
        run(
            "making the environment",
            0.05,
            [uv, "venv", "--clear", "--no-progress", "--python", self._base_python, str(self.folder)],
        )
        # The lock is complete and leaves out on purpose some of what packages declare: it is synced, not resolved.
        sync = [
            uv,
            "pip",
            "sync",
            "--python",
            str(self.python),
            "--require-hashes",
            "--only-binary",
            ":all:",
            str(self._lock),
        ]
        run("downloading", 0.1, sync, until=0.9)
        imports = "; ".join(f"import {name}" for name in self._modules) or "pass"
        run("checking", 0.95, [str(self.python), "-c", imports])
        marker = {"lock": self._lock_hash(), "python": _python_version(self.python)}
        (self.folder / MARKER).write_text(json.dumps(marker), "utf-8")
        run.on_progress("installed", 1.0, "")

    def _get_uv(self, run: Run) -> Path:
        folder = self._uv_folder()
        with contextlib.suppress(FileNotFoundError):
            return _find_uv(folder)
        part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
        try:
            # Blender's Python may come without pip, a venv of it brings its own.
            run("getting the installer", 0.0, [self._base_python, "-m", "venv", str(part / "venv")])
            pip = [str(_program(part / "venv", "python")), "-m", "pip", "install", "--disable-pip-version-check"]
            pip += ["--require-hashes", "--only-binary", ":all:", "--no-deps", "--target", str(part / "uv")]
            run("getting the installer", 0.02, [*pip, "-r", str(REQUIREMENTS / "uv.txt")])
            (part / "uv").rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return _find_uv(folder)

    def _uv_folder(self) -> Path:
        key = hashlib.sha256((REQUIREMENTS / "uv.txt").read_bytes()).hexdigest()[:12]
        return self.folder.with_name(f"uv-{key}")

    def _lock_hash(self) -> str:
        return hashlib.sha256(self._lock.read_bytes()).hexdigest()

    def _remove(self) -> None:
        if self.folder.exists():
            (self.folder / MARKER).unlink(missing_ok=True)  # first: should removing stop half-way, the rest is not used
            shutil.rmtree(self.folder)

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(self.folder.name + suffix)


def _python_version(python: Path) -> str:
    command = [str(python), "-I", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=START_TIMEOUT).stdout.strip()


def _program(environment: Path, name: str) -> Path:
    return environment / "Scripts" / f"{name}.exe" if sys.platform == "win32" else environment / "bin" / name


def _find_uv(folder: Path) -> Path:
    for name in ("bin/uv", "Scripts/uv.exe", "bin/uv.exe"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"There is no uv in {folder}")
