"""The whole program as a real process, with a folder of its own for all it may write, and what is to be seen at its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from abuse_paths import ROOT, TESTS, blender_python, worker_environment
from PIL import Image
from tally import Found

PATIENCE = 150.0  # seconds for a run of some small pictures, on a machine that does other things too
CHILDREN = 10.0  # seconds in which all processes of a run that is over must be gone
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP)
INSIDE = Path(__file__).with_name("inside.py")  # scripts for Blender's Python
STAND_INS = TESTS / "stand_ins.py"


@dataclass(frozen=True)
class Ended:
    """A process that is over; ``code`` None: it had to be killed for not ending."""

    code: int | None
    said: list[str]  # lines on stderr
    out: str
    seconds: float

    @property
    def last(self) -> str:
        return self.said[-1] if self.said else ""


class Running:
    """A program of Blender's Python that has been started.

    Parameters
    ----------
    place : a folder of its own, in which its temporary folder, kept runs and caches are
    command : file and arguments
    variables : of its environment
    """

    def __init__(self, place: Path, command: Sequence[object], **variables: object):
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        self._temp = place / "temp"
        self._temp.mkdir(exist_ok=True)
        self._out, self._err = place / "stdout.txt", place / "stderr.txt"
        self.started = time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [str(blender_python()), *map(str, command)], env=self._environ(variables), cwd=place,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
            )  # fmt: skip

    def _environ(self, variables: dict[str, object]) -> dict[str, str]:
        root = self.place
        while not (root / "models").is_dir():
            root = root.parent
        own = {
            "TMPDIR": self._temp, "XDG_CACHE_HOME": self.place / "cache", "BLENDER_USER_RESOURCES": root / "blender",
            "DA3_KEPT_RUNS": self.place / "kept", "DA3_MODELS": root / "models", "DA3_ENVIRONMENT": worker_environment(),
            "DA3_PREDICTOR": f"{STAND_INS}:quick", "PYTHONPYCACHEPREFIX": root / "bytecode", "NO_PROXY": "127.0.0.1",
            "OMP_WAIT_POLICY": "PASSIVE", "DA3_ABUSE_PLACE": self.place,
        }  # fmt: skip
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DA3_", "PYTHON", "HF_"))}
        return {**inherited, **{k: str(v) for k, v in {**own, **variables}.items() if v is not None}}

    def wait(self, patience: float = PATIENCE) -> Ended:
        """Its end; after ``patience`` seconds it is killed, with all it has started."""
        code: int | None
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            code = None
        seconds = time.monotonic() - self.started
        if code is None:
            self.kill()
        said = self._err.read_text("utf-8", "replace").strip().splitlines()
        return Ended(code, said, self._out.read_text("utf-8", "replace"), seconds)

    def kill(self) -> None:
        for pid in [self.process.pid, *self.others()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def others(self) -> list[int]:
        """All living processes of this run but the first: they carry its folder in their variables or words."""
        wanted, found = str(self.place).encode() + b"/", []
        alone = b"DA3_ABUSE_PLACE=" + str(self.place).encode() + b"\0"
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            if pid in (self.process.pid, os.getpid()):
                continue
            with contextlib.suppress(OSError):
                text = (folder / "environ").read_bytes() + b"\0" + (folder / "cmdline").read_bytes() + b"\0"
                is_dead = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[0] in "ZX"
                if (alone in text or wanted in text) and not is_dead:
                    found.append(pid)
        return found

    def judge(self, ended: Ended, found: Found, codes: Sequence[int] = (0,), was_killed: bool = False) -> None:
        """What nobody should see at the end of a run, whatever was done to it."""
        if ended.code is None:
            found.add("hangs", f"not over after {ended.seconds:.0f} s; its last line: {ended.last}")
            return
        text = "\n".join(ended.said)
        if (ended.code < 0 and not was_killed) or any(ended.code == 128 + number for number in CRASHES):
            found.add("crashes", f"ended by signal {-ended.code}: {ended.last}")
        elif not was_killed:
            if "Traceback (most recent call last)" in text or "Unexpected" in text:
                found.add("unexpected", next((line for line in ended.said if "Unexpected" in line), ended.last))
            elif ended.code and not ended.last.startswith("da3: "):
                found.add("unexpected", f"exit code {ended.code} with the last line: {ended.last}")
            elif ended.code not in codes:
                found.add("wrong", f"exit code {ended.code}, not {codes}: {ended.last}")
        if not soon(lambda: not self.others(), CHILDREN):
            found.add("hangs", f"{len(self.others())} processes are left")
            self.kill()
        left = [path.name for path in self._temp.glob("da3_blender*")]
        if left and not was_killed:  # what a killed Blender leaves the next one removes
            found.add("wrong", f"left in the temporary folder: {', '.join(left)}")


def generate(place: Path, source: Path, *words: object, **variables: object) -> Running:
    """``da3 generate`` with a stand-in for the model, into ``place/scene.blend`` and ``place/report.json``."""
    command: list[object] = ["generate", "--input", source, "--output", place / "scene.blend"]
    command += ["--report", place / "report.json", "--model", "da3-small", "--process-resolution", 56]
    return Running(place, [ROOT / "tools" / "da3.py", *command, "--filter-edges", "off", *words], **variables)


def inside(place: Path, what: str, *words: object, **variables: object) -> Running:
    """One of the scripts of ``inside.py``, in Blender."""
    return Running(place, [INSIDE, what, *words], **variables)


def soon(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether something is so within some seconds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def pictures(folder: Path, count: int, width: int = 56, height: int = 42) -> Path:
    """A folder of plain pictures, each of its own grey with some noise."""
    folder.mkdir(parents=True)
    dice = np.random.default_rng(count)
    for i in range(count):
        noise = dice.integers(0, 60, (height, width, 3))
        Image.fromarray((noise + 60 + 120 * i // count).astype(np.uint8)).save(folder / f"good{i:02d}.png")
    return folder


def set_up(root: Path) -> None:
    """A stand-in's file, so that a model counts as installed."""
    (root / "models").mkdir(parents=True)
    header = b'{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    (root / "models" / "da3-small.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"0")
