"""Tests in a real Blender with its window (4.3.2, under Xvfb, in a chroot); run by ``make test-app``. Needs root on Debian.

The last line is the count, as that of test.py. Screenshots and measurements go to out/app/.

    app.py [ARGS]    ARGS for pytest, as in: -k esc
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import app_chroot
import build_zip
import paths

sys.path.insert(0, str(paths.SETUP))
import setup
from test import Count, run_tests


def main(arguments: list[str]) -> int:
    reason = app_chroot.why_not()
    if reason:
        print(f"tests/app: NOT RUN, {reason}")
        print(Count(skipped=1), flush=True)
        return 0
    setup.once(app_chroot.folder(), "Debian with Blender and its window (1.4 GB)", app_chroot.make)
    with tempfile.TemporaryDirectory(prefix="da3-zip-") as folder:
        zip_file = build_zip.build(paths.ROOT, Path(folder))
        told = {"DA3_CHROOT": str(app_chroot.folder()), "DA3_ZIP": str(zip_file)}
        count = run_tests(["tests/app"], Path(sys.executable), ["-s", *arguments], **told)
    shutil.rmtree(paths.ROOT / "out" / "app" / "resources", ignore_errors=True)  # with a worker's environment: 6 GB
    print(count, flush=True)
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
