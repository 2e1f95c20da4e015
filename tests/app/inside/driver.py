"""Inside Blender: plays a scenario (a generator that yields seconds to wait) from an application timer, and writes what it saw.

A scenario file imports this as ``ui`` and defines ``scenario()``; launch.py has Blender play it, and Blender quits at its end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
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


def find_button(operator: str, across: float = 0.5) -> Iterator[float]:
    """Move the mouse down the sidebar, at a part of its width, until Blender says that this operator's button is under it;
    raises where none is."""
    of, place = area(), region()
    x = place.x + int(across * place.width)
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


def click(operator: str, across: float = 0.5) -> Iterator[float]:
    """Find the button and press it with the mouse."""
    yield from find_button(operator, across)
    keys.press("button 1")
    yield 0.2
    keys.press("move 400 600")  # Blender shows the button as pressed as long as the mouse stays there
    yield 0.1


def browse(folder: str, file: str = "", name: str = "") -> Iterator[float]:
    """Choose in the file browser that has just opened in a window of its own; ``name``: of its picture."""
    windows = bpy.context.window_manager.windows
    yield from until(lambda: len(windows) > 1, 10)
    yield 1.0
    newest = windows[-1]
    browser = area("FILE_BROWSER", newest)
    space = browser.spaces.active
    space.params.directory = folder.encode()
    space.params.filename = file
    yield from settle()
    yield 0.5
    if name:
        shot(name)
    with bpy.context.temp_override(window=newest, area=browser, region=region("WINDOW", browser), space_data=space):
        bpy.ops.file.execute()
    yield 0.5


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


def busy_cores(found: list[float]) -> Iterator[float]:
    """Measure for two seconds, in which the scenario does nothing, how many cores are at work; goes into ``found``."""
    began, before = time.monotonic(), _worked()
    yield 2.0
    found.append(round((_worked() - before) / (time.monotonic() - began), 2))


def _worked() -> float:
    """Seconds that all cores have worked since the machine was started."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def play(scenario: Callable[[], Iterator[float]]) -> None:
    """Run it, write how it ended, and leave."""

    def run() -> Iterator[float]:
        try:
            yield from scenario()
            record(ended="well")
        except Exception:  # noqa: BLE001  # the edge of a scenario: the test outside tells what it was
            record(ended=traceback.format_exc())
            shot(f"failed_{scenario.__module__}_{ROLE}")
        keys.close()
        yield 0.05
        bpy.ops.wm.quit_blender()

    steps = run()
    bpy.app.timers.register(lambda: next(steps, None), first_interval=1.0, persistent=True)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
