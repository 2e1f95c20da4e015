"""Mutated bytes of images through the decoder itself, in children that may be killed.

Run as a program it is such a child: a line with a seed comes in, a line of JSON goes out.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import abuse_paths
from tally import Campaign, Found

PATIENCE = 20.0  # seconds for one image of 60 x 40 pixels
START = 60.0  # seconds for a child to import what it needs


class Child:
    """A process of the worker's Python that decodes what it is told."""

    def __init__(self, place: Path):
        self._place = place
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environ = {**os.environ, "TMPDIR": str(self._place)}
        process = subprocess.Popen(
            [sys.executable, "-X", "utf8", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=environ,
        )  # fmt: skip
        assert process.stdout
        select.select([process.stdout], [], [], START)
        process.stdout.readline()
        return process

    def decode(self, seed: int) -> dict[str, Any]:
        """``what`` was decoded, and the fault if there is one: its ``kind`` and what was ``seen``."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(b"%d\n" % seed)
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            self.close()
            self._process = self._start()
            return {"what": "", "kind": "hangs", "seen": f"not decoded after {PATIENCE:.0f} s"}
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._process = self._start()
            return {"what": "", "kind": "crashes", "seen": f"the decoder ended with {code}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Children:
    """As many children as tries go on side by side."""

    def __init__(self, place: Path):
        self._all = [Child(place) for _ in range(AT_ONCE)]
        self._free: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for child in self._all:
            self._free.put(child)

    def decode(self, seed: int) -> dict[str, Any]:
        child = self._free.get()
        try:
            return child.decode(seed)
        finally:
            self._free.put(child)

    def close(self) -> None:
        for child in self._all:
            child.close()


def _play(children: Children, _number: int, dice: random.Random, _place: Path) -> Found:
    answer = children.decode(dice.getrandbits(48))
    found = Found(answer["what"])
    if answer.get("kind"):
        found.add(answer["kind"], answer["seen"])
    return found


AT_ONCE = 2
CAMPAIGN = Campaign("decodes", 12_000, 600, Children, _play, AT_ONCE)


def main() -> None:
    """The child."""
    from da3_blender.core.errors import DA3Error
    from da3_blender.core.frames.source import FrameSource
    from da3_blender.core.monitor import Monitor
    from damaged_images import mutated, samples

    whole = list(samples())
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    print("{}", file=answers)
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            dice = random.Random(int(line))
            suffix, data = dice.choice(whole)
            path = Path(folder) / f"x{suffix}"
            path.write_bytes(mutated(data, dice))
            answer: dict[str, Any] = {"what": f"a mutated {suffix}"}
            try:
                source = FrameSource.open(path)
                if source.usable(source.selected, Monitor()):
                    header, image = source.headers[0], source.load(0).image
                    if image.shape != (header.height, header.width, 3) or image.dtype != "uint8":
                        answer |= {"kind": "wrong", "seen": f"{image.shape} {image.dtype}, the header says {header}"}
                source.release()
            except DA3Error as error:
                if not str(error) or "\n" in str(error):
                    answer |= {"kind": "wrong", "seen": f"no sentence: {error!r}"}
            except BaseException as error:  # noqa: BLE001  # what is looked for: anything but a sentence
                answer |= {"kind": "unexpected", "seen": repr(error)}
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    assert abuse_paths.ROOT  # importing it has mounted the package
    main()
