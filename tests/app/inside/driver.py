"""Inside Blender: plays a scenario (a generator that yields seconds to wait) from an application timer, and writes what it saw.

A scenario file imports this, defines ``scenario()`` and ends with ``play(scenario)``. Blender quits at its end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy

NAME = "bl_ext.user_default.da3_blender"
OUT = Path(os.environ["DA3_OUT"])
ROLE = os.environ["DA3_ROLE"]
COURTYARD = os.environ["DA3_COURTYARD"]
SETTLE = 0.7  # seconds until a panel has stopped moving and is drawn


def record(**facts: object) -> None:
    """Facts for the test, one line each time."""
    with (OUT / f"{ROLE}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts, default=str) + "\n")
    print(f"[{time.monotonic():.2f}]", facts, flush=True)


class Keys:
    """The helper process that presses keys; see keys.py."""

    def __init__(self) -> None:
        command = ["/usr/bin/python3", str(Path(__file__).with_name("keys.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def send(self, words: str, delay: float = 0.0) -> None:
        """Press after a delay; does not wait."""
        assert self._process.stdin
        self._process.stdin.write(f"{delay} {words}\n")
        self._process.stdin.flush()

    def moment(self) -> float:
        """When the oldest press that was not asked for yet was sent; waits for it."""
        assert self._process.stdout
        return float(self._process.stdout.readline())

    def press(self, words: str) -> float:
        self.send(words)
        return self.moment()

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


keys = Keys()
bpy.context.preferences.view.show_splash = False  # here, before the window shows it


def install() -> None:
    """The extension from the zip, with what every scenario wants."""
    bpy.context.preferences.system.use_online_access = True
    bpy.ops.extensions.package_install_files(
        filepath=os.environ["DA3_ZIP"], repo="user_default", enable_on_install=True, overwrite=True
    )


def session():
    return bpy.types.WindowManager.da3_session


def preferences():
    return bpy.context.preferences.addons[NAME].preferences


def window():
    return bpy.context.window_manager.windows[0]


def area(kind: str = "VIEW_3D", in_window=None):
    return next((a for a in (in_window or window()).screen.areas if a.type == kind), None)


def region(kind: str = "UI", of=None):
    return next(r for r in (of or area()).regions if r.type == kind)


def over(kind: str = "WINDOW"):
    """Context: the mouse over a region of the 3D view."""
    return bpy.context.temp_override(window=window(), area=area(), region=region(kind))


def generate() -> None:
    with over():
        bpy.ops.da3.generate("INVOKE_DEFAULT")


def choose(model: str = "classic", resolution: int | None = None):
    """Settings of a run on the courtyard."""
    settings = bpy.context.scene.da3
    settings.input, settings.model = COURTYARD, model
    if resolution:
        settings.process_resolution = resolution
    return settings


def until(condition: Callable[[], object], seconds: float = 60.0, pause: float = 0.05) -> Iterator[float]:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain; status {session().status}")
        yield pause


def redraw() -> None:
    for one in bpy.context.window_manager.windows:
        for each in one.screen.areas:
            for part in each.regions:
                part.tag_redraw()


def settle() -> Iterator[float]:
    redraw()
    yield SETTLE


def shot(name: str) -> None:
    """A picture of the whole screen, into out/app."""
    subprocess.run(["import", "-window", "root", str(OUT / f"{name}.png")], check=True)


def open_tab() -> Iterator[float]:
    """The sidebar with its tab DA3."""
    area().spaces.active.show_region_ui = True
    yield from settle()
    region().active_panel_category = "DA3"
    yield from settle()


def find_button(operator: str) -> Iterator[float]:
    """Move the mouse down the sidebar until Blender says that this operator's button is under it; raises where none is."""
    of, place = area(), region()
    x = place.x + place.width // 2
    for y in range(place.y + place.height - 8, place.y, -9):
        keys.press(f"move {x} {window().height - y}")
        yield 0.06
        with bpy.context.temp_override(window=window(), area=of, region=place):
            if not bpy.ops.ui.copy_python_command_button.poll():
                continue
            bpy.ops.ui.copy_python_command_button()
        if f"bpy.ops.{operator}(" in bpy.context.window_manager.clipboard:
            return
    raise LookupError(f"no button '{operator}' is to be seen")


def click(operator: str) -> Iterator[float]:
    """Find the button and press it with the mouse."""
    yield from find_button(operator)
    keys.press("button 1")
    yield 0.2
    keys.press("move 400 600")  # Blender shows the button as pressed as long as the mouse stays there
    yield 0.1


def descendants() -> dict[int, str]:
    """Processes that this Blender started, and theirs, without the one that presses keys. Zombies are gone."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if state != "Z":
            parents[int(folder.name)] = (int(parent), words)
    family = {os.getpid()}
    while True:
        more = {pid for pid, (parent, _) in parents.items() if parent in family} | family
        if more == family:
            break
        family = more
    return {pid: parents[pid][1] for pid in family - {os.getpid(), keys.pid}}


def alive(pid: int | None) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def load() -> float:
    """How many processes want a core, averaged over a minute."""
    return os.getloadavg()[0]


class Gaps:
    """The time between two ticks of an application timer from a job's first tick on, and what was done in the longest."""

    def __init__(self) -> None:
        self.timer: list[tuple[float, str, dict[str, float]]] = []
        self.start: float | None = None  # seconds from the tick before the click to the job's own first tick
        self._open = True
        self._last: float | None = None
        self._spent: dict[str, float] = {}
        self._since: dict[str, float] = {}
        self._job = sys.modules[f"{NAME}.operators.job"].Job
        self._step = step = self._job.step

        def timed(job, budget):
            if self.start is None:  # what came before was the click
                now = time.monotonic()
                self.start, self._last, self._spent = now - (self._last or now), now, {}
            self._begin("step")
            step(job, budget)
            self._end("step")

        self._job.step = timed
        space = bpy.types.SpaceView3D
        self._drawing = [
            space.draw_handler_add(self._begin, ("draw",), "WINDOW", "PRE_VIEW"),
            space.draw_handler_add(self._end, ("draw",), "WINDOW", "POST_PIXEL"),
        ]
        self._handlers = [
            (bpy.app.handlers.depsgraph_update_pre, lambda *_: self._begin("evaluate")),
            (bpy.app.handlers.depsgraph_update_post, lambda *_: self._end("evaluate")),
        ]
        for handlers, function in self._handlers:
            handlers.append(function)
        bpy.app.timers.register(self._tick)

    def _begin(self, what: str) -> None:
        self._since[what] = time.monotonic()

    def _end(self, what: str) -> None:
        if what in self._since:
            self._spent[what] = self._spent.get(what, 0.0) + time.monotonic() - self._since.pop(what)

    def _tick(self) -> float | None:
        now = time.monotonic()
        if self.start is not None and self._last is not None:
            job = session().job
            self.timer.append((now - self._last, job.status.stage if job else "", self._spent))
        self._last, self._spent = now, {}
        return 0.01 if self._open else None

    def worst(self, count: int = 4) -> list[str]:
        """The longest gaps in milliseconds, each with the job's stage and what was measured in it."""
        longest = sorted(self.timer, key=lambda gap: -gap[0])[:count]
        return [
            f"{1000 * gap:.0f} ms in '{stage}'" + "".join(f", {what} {1000 * t:.0f}" for what, t in spent.items())
            for gap, stage, spent in longest
        ]

    def close(self) -> float:
        """Stop measuring; the longest gap in seconds."""
        self._open = False
        self._job.step = self._step
        for handle in self._drawing:
            bpy.types.SpaceView3D.draw_handler_remove(handle, "WINDOW")
        for handlers, function in self._handlers:
            handlers.remove(function)
        return max(gap for gap, _, _ in self.timer)


def play(scenario: Callable[[], Iterator[float]]) -> None:
    """Run it, write how it ended, and leave."""

    def run() -> Iterator[float]:
        try:
            yield from scenario()
            record(ended="well")
        except Exception:  # noqa: BLE001  # the edge of a scenario: the test outside tells what it was
            record(ended=traceback.format_exc())
            shot(f"failed_{Path(sys.argv[-1]).stem}_{ROLE}")
        keys.close()
        yield 0.05
        bpy.ops.wm.quit_blender()

    steps = run()
    bpy.app.timers.register(lambda: next(steps, None), first_interval=1.0, persistent=True)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
