"""A program: compares every installed file with the hash its package came with (RECORD, PEP 376 and 427).

    python verify_files.py SITE_PACKAGES

Prints ``Checked <name>`` for every package that is whole and ``Damaged <name>: <file>`` for the others. Run by
``environment.Environment.repair``, by any Python: the environment's own may be what is damaged.
"""

from __future__ import annotations

import base64
import concurrent.futures
import csv
import hashlib
import os
import sys
from pathlib import Path


def main(site_packages: Path) -> int:
    if sys.platform == "win32":  # in this form Windows does not limit its length
        site_packages = Path(f"\\\\?\\{site_packages.resolve()}")
    records = sorted(site_packages.glob("*.dist-info"))
    with concurrent.futures.ThreadPoolExecutor() as pool:  # hashing lets other threads run
        for folder, damaged in zip(records, pool.map(damaged_file, records), strict=True):
            name = folder.name.split("-")[0]
            print(f"Damaged {name}: {damaged}" if damaged else f"Checked {name}", flush=True)
    return 0


def damaged_file(folder: Path) -> str | None:
    """The first file of the package that is missing or not what it was."""
    try:
        lines = list(csv.reader((folder / "RECORD").read_text("utf-8").splitlines()))
    except OSError:
        return "RECORD"
    for name, digest, *_ in (line for line in lines if len(line) >= 2 and line[1].startswith("sha256=")):
        try:
            with Path(os.path.normpath(folder.parent / name)).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return name
        if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != digest.removeprefix("sha256="):
            return name
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
