"""In the chroot: a screen, one or more Blenders on it, and afterwards a look at what they left behind.

``launch.py SCENARIO.py FOLDER TIMEOUT NAME ...``: one Blender per name, each told its own ($DA3_ROLE).
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

SIZE = (1280, 900)
PATIENCE = 4.0  # seconds that processes may take to end after their Blender


def others(but: set[int]) -> dict[int, str]:
    """Processes that live, and are not zombies that nobody waits for."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = folder.joinpath("stat").read_text().rpartition(")")[2].split()[0]
            words = folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if int(folder.name) not in but and state != "Z":
            found[int(folder.name)] = words.strip()
    return found


def screen() -> subprocess.Popen[bytes]:
    """Xvfb on a free display, which goes into ``$DISPLAY``."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24", "-nolisten", "tcp"]
    process = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    os.environ["DISPLAY"] = ":" + os.fdopen(read).readline().strip()
    return process


def main() -> None:
    scenario, folder, timeout, *names = sys.argv[1:]
    out, file = Path(folder), Path(scenario)
    play = f"import sys; sys.path.insert(0, {str(file.parent)!r}); import driver, {file.stem}; driver.play({file.stem}.scenario)"
    display = screen()
    mine = {os.getpid(), display.pid}
    Path(os.environ["XDG_RUNTIME_DIR"]).mkdir(mode=0o700, exist_ok=True)
    blenders = []
    for name in names:
        command = ["blender", "--factory-startup", "--window-geometry", "0", "0", *map(str, SIZE)]
        with Path(out, f"{name}.log").open("w") as log:
            blenders.append(
                subprocess.Popen(
                    [*command, "--python-exit-code", "9", "--python-expr", play],
                    env={**os.environ, "DA3_ROLE": name},
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                )
            )
    until = time.monotonic() + float(timeout)
    codes = []
    for blender in blenders:
        try:
            codes.append(blender.wait(max(1.0, until - time.monotonic())))
        except subprocess.TimeoutExpired:
            subprocess.run(["import", "-window", "root", str(out / "timeout.png")], check=False)
            blender.kill()
            codes.append("timeout")
    ended = time.monotonic()
    while others(mine) and time.monotonic() - ended < PATIENCE:
        time.sleep(0.02)
    left = {
        "codes": codes,
        "processes": list(others(mine).values()),
        "gone_after": round(time.monotonic() - ended, 2),
        "temporary": sorted(path.name for path in Path("/tmp").glob("da3*")),
    }
    Path(out, "end.json").write_text(json.dumps(left), "utf-8")
    display.terminate()


main()
