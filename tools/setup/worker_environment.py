"""Makes the worker's environment with the add-on's own installer; run by Blender's Python from setup.py."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import paths

runpy.run_path(str(paths.ROOT / "core" / "package.py"))["make_importable"]()

from da3_blender.core.errors import DA3Error  # noqa: E402
from da3_blender.core.installer.condition import State  # noqa: E402
from da3_blender.core.installer.environment import Environment  # noqa: E402


def main() -> int:
    environment = Environment(paths.worker_environment(), uv=paths.boot_uv(), share_cache=True)
    if environment.state().state is State.READY:
        return 0
    print(f"Setting up the worker's environment (about 6 GB) in {environment.folder}", file=sys.stderr)

    shown = set()

    def show(stage: str, fraction: float, line: str) -> None:
        line = line.split(":")[0]  # how far it is, is told far too often for a terminal
        if (stage, line) not in shown and not line.startswith("+ "):
            shown.add((stage, line))
            print(f"  {fraction:4.0%} {stage} {line}", file=sys.stderr, flush=True)

    try:
        environment.install(show)
    except DA3Error as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
