"""Into the chroot, as the first process of its own mount and process namespaces (see ``window.py``).

``enter.py PLAN.json``: ``root``, ``read`` and ``write`` (folders that are bound to where they are outside), ``environ``,
``command``. All mounts and processes go when this process ends.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

plan = json.loads(Path(sys.argv[1]).read_text("utf-8"))
root = Path(plan["root"])


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


mount("-t", "proc", "proc", root / "proc")
for name in ("tmp", "dev/shm"):
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / name)
for folder in [*plan["read"], *plan["write"]]:
    place = root / folder.lstrip("/")
    if Path(folder).is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    mount("--bind", folder, place)
    if folder in plan["read"]:
        mount("-o", "remount,bind,ro", place)
os.chroot(root)
os.chdir("/tmp")
os.execvpe(plan["command"][0], plan["command"], plan["environ"])
