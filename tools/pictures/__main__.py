"""The pictures of the pages, made anew where what they show has changed; run by ``make pictures``.

    pictures               those that are older than what they show
    pictures NAME ...      these (courtyard.jpg ...)
    pictures --check       makes none: names those that are older, and ends with 1 where there are any

``docs/images/made.json`` says of each picture its bytes, its SHA-256, and the SHA-256 of what it was made from: the code that
decides how it looks, and the sample images in it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import making  # noqa: E402  # a file of this folder
import record  # noqa: E402


def main(arguments: list[str]) -> int:
    names = [name for name in arguments if not name.startswith("--")]
    if unknown := [name for name in names if name not in making.PICTURES]:
        print(f"No such picture: {', '.join(unknown)}. There are: {', '.join(making.PICTURES)}", file=sys.stderr)
        return 2
    old = names or record.outdated()
    if "--check" in arguments:
        for name in old:
            print(f"docs/images/{name} is older than what it shows: make pictures")
        return 1 if old else 0
    missed = 0
    with tempfile.TemporaryDirectory(prefix="da3-pictures-") as folder:
        for name in old:
            print(f"--- {name}", flush=True)
            reason = making.PICTURES[name].make(Path(folder), record.FOLDER / name)
            if reason:
                print(f"{name} was NOT MADE: {reason}", file=sys.stderr, flush=True)
                missed += 1
            else:
                record.note(name)
    print(f"{len(old) - missed} of {len(old)} pictures made. Look at them before they are committed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
