"""The smallest installable package, and what the tests of the installer look at around it."""

import base64
import hashlib
import io
import time
import zipfile
from collections.abc import Callable

from da3_blender.core.installer.environment import Environment

NAME = "pebble-1.0-py3-none-any.whl"


def wheel(name: str = "pebble", version: str = "1.0", code: str = "WEIGHT = 3\n", more: int = 0) -> bytes:
    """A package of one module, ``import pebble``, and of more files beside it if asked for."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files |= {f"{name}_data/{number}.txt": f"{number}" for number in range(more)}
    files[f"{info}/RECORD"] = "".join(f"{file},{digest(text)},{len(text)}\n" for file, text in files.items())
    files[f"{info}/RECORD"] += f"{info}/RECORD,,\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file, (2020, 1, 1, 0, 0, 0)), text)
    return data.getvalue()


def digest(text: str) -> str:
    """As RECORD files write it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def leftovers(environment: Environment) -> list[str]:
    """What lies beside and in the environment's place, but for the log, the lock file and finished downloads."""
    there = environment.folder.parent.iterdir()
    return [p.name for p in there if p.suffix not in (".log", ".lock", ".cache") and p != environment.folder]


def nothing_stays(environment: Environment) -> bool:
    """True as soon as nothing but the environment is left."""
    return soon(lambda: leftovers(environment) == [], f"nothing is left, but {environment.folder.parent} holds more")


def soon(condition: Callable[[], bool], claim: str, seconds: float = 10.0) -> bool:
    """Deleting goes on in the background for a moment: wait until the condition holds."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    assert condition(), claim
    return True
