"""Makes the lock files anew from the .in files beside them; run by ``make lock``.

Every lock is universal (Linux, Windows, macOS) and hashed, and names no host: the index is the user's own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import paths

# lock file and the oldest Python it serves
LOCKS = [
    (paths.UV_LOCK, "3.9"),
    (paths.PIP_LOCK, "3.11"),
    (paths.BLENDER_LOCK, "3.11"),
    *((paths.other_lock(version), python) for version, python in paths.OTHER_BLENDERS.items()),
    (paths.TEST_LOCK, "3.11"),
    (paths.OPEN3D_LOCK, "3.11"),
    (paths.WORKER_LOCK, "3.11"),
    (paths.RAY_LOCK, "3.11"),  # after the worker's, whose versions it keeps to
]


def main() -> None:
    for lock, python in LOCKS:
        source = lock.with_suffix(".in")
        command = [str(paths.boot_uv()), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--upgrade"]
        command += ["--python-version", python, "--custom-compile-command", "make lock"]
        for option in ("excludes", "overrides"):
            extra = lock.with_name(f"{lock.stem}-{option}.txt")
            if extra.exists():
                command += [f"--{option}", extra.name]
        subprocess.run([*command, source.name, "-o", lock.name], cwd=lock.parent, check=True)
    # The installer in the add-on and the tools' own first step pin the same uv.
    shutil.copyfile(paths.UV_LOCK, paths.ROOT / "core" / "requirements" / "uv.txt")


if __name__ == "__main__":
    main()
