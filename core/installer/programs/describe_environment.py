"""A program: imports the modules it is given and says, in one line of JSON, what the environment is.

    python describe_environment.py FOLDER MODULE ...

Run by ``environment.Environment`` with the new environment's Python, at the end of an installation.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import sys


def main(folder: str, *modules: str) -> int:
    for name in modules:
        importlib.import_module(name)
    versions = {found.name.lower().replace("_", "-"): found.version for found in importlib.metadata.distributions()}
    told = {"python": platform.python_version(), "versions": versions, "torch_build": torch_build()}
    print(json.dumps({**told, "bytes": size(folder)}))
    return 0


def torch_build() -> str:
    """What the installed torch can compute on; empty without one."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ""
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    if torch.version.hip:
        return f"ROCm {torch.version.hip}"
    return "Metal" if torch.backends.mps.is_built() else "CPU"


def size(folder: str) -> int:
    """Bytes of all files below, links not followed."""
    if sys.platform == "win32":  # in this form Windows does not limit its length
        folder = f"\\\\?\\{os.path.abspath(folder)}"  # noqa: PTH100
    return sum(os.lstat(os.path.join(path, name)).st_size for path, _, names in os.walk(folder) for name in names)  # noqa: PTH118  # twice as fast


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
