"""Downloads in processes of their own, which tests may kill. A process that has imported everything forks each of them:
importing anew would make thirty kills last half a minute.

Run as a program it obeys lines of JSON; as a module it is what talks to that program.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any


class Nursery:
    """The process that forks; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], env=os.environ | {"NO_PROXY": "127.0.0.1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)

    def start(self, model: str, folder: Path, endpoint: str, largest_file: int | None = None) -> int:
        """Begin a download and return its process id; ``largest_file`` (bytes) stands for a disk that gets full."""
        return self._say("start", model, str(folder), endpoint, largest_file)

    def wait(self, pid: int) -> str:
        """What became of it: "done", "killed", or the error's sentence."""
        return self._say("wait", pid)

    def _say(self, *request: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        return json.loads(self._process.stdout.readline())


def _child(answer: int, model: str, folder: str, endpoint: str, largest_file: int | None) -> None:
    from da3_blender.core.errors import DA3Error
    from da3_blender.core.models import catalogue
    from da3_blender.core.models.hub_download import download

    if largest_file is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    said = "done"
    try:
        download(catalogue.find(model), Path(folder), endpoint=endpoint, token="hf_test", waits=(0.05, 0.05))
    except DA3Error as error:
        said = str(error)
    os.write(answer, said.encode())
    os._exit(0)


def _main() -> None:
    root = Path(__file__).resolve().parents[2]
    runpy.run_path(str(root / "core" / "package.py"))["make_importable"]()
    import da3_blender.core.models.hub  # noqa: F401  so that no child has to

    answers: dict[int, int] = {}
    for line in sys.stdin:
        word, *arguments = json.loads(line)
        if word == "start":
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                _child(writing, *arguments)
            os.close(writing)
            answers[pid] = reading
            reply: Any = pid
        else:
            pid = arguments[0]
            with os.fdopen(answers.pop(pid), "rb") as pipe:
                reply = pipe.read().decode()
            status = os.waitpid(pid, 0)[1]
            reply = "killed" if os.WIFSIGNALED(status) else reply
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    _main()
