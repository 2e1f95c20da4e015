"""Lint, types and all tests; the last line is ``N passed, N failed, N skipped``. Run with the interpreter that has bpy.

    test.py            everything
    test.py --lint     ruff and mypy only
    test.py --check    ruff, mypy, the import graph and the fast tests: under a minute
    test.py PATH ...   the tests there only, without lint (as in: tests/core/frames -k video)
    test.py ARGS       everything, with ARGS for pytest (as in: -k geometry)

Each lint check counts as one test. A test process that dies, or fails in a way its report does not show, counts as one
failure more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import paths

TYPED = ("core", "streaming", "nodes", "operators", "panels")
IN_WORKER, IN_BLENDER = ("tests/core", "tests/streaming"), "tests/blender"
# A third of the time of all: where all are run these come after Blender's, which are done long before the rest.
AFTER_BLENDER = ("tests/core/predictors", "tests/streaming")
FAST = (  # seconds each, and between them they touch every room
    *("tests/core/test_import_graph.py", "tests/core/test_typing_debt.py", "tests/core/test_settings.py"),
    *(
        "tests/core/frames/test_source.py",
        "tests/core/frames/test_input_files.py",
        "tests/core/models/test_catalogue.py",
    ),
    *("tests/core/prediction", "tests/core/geometry/test_projection.py", "tests/core/output/test_colmap.py"),
    *("tests/core/worker/test_protocol.py", "tests/core/worker/server/test_progress.py"),
    *("tests/streaming/registration/test_sim3.py", "tests/streaming/registration/test_pose_graph.py"),
    *("tests/blender/test_enable.py", "tests/blender/nodes/test_point_cloud.py", "tests/blender/nodes/test_cameras.py"),
    *("tests/blender/nodes/test_scene_cameras.py", "tests/blender/operators/test_arrivals.py"),
)
NO_TESTS = 5  # pytest's exit code when it found nothing to run


@dataclass(frozen=True)
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def main(arguments: list[str]) -> int:
    chosen = [word for word in arguments if word.startswith("tests/")]
    rest = [word for word in arguments if word not in chosen and word not in ("--lint", "--check")]
    count = Count() if chosen else lint()
    if "--lint" not in arguments:
        worker = paths.executable(paths.worker_environment(), "python")
        is_all = not chosen and "--check" not in arguments
        checked = (*IN_WORKER, IN_BLENDER) if is_all else FAST
        in_worker, in_blender = (
            [name for name in chosen or checked if name.startswith(folders)] for folders in (IN_WORKER, IN_BLENDER)
        )
        later, first = AFTER_BLENDER if is_all else (), rest
        if is_all:
            in_worker = [name for name in in_worker if name not in later]
            first = [*rest, *(f"--ignore={name}" for name in later)]
        packages = str(paths.test_packages())
        # Both wait a good part of their time for processes that they started: side by side they take less.
        with ThreadPoolExecutor(1) as beside, tempfile.TemporaryFile() as output:

            def others() -> Count:
                where = output if in_worker else None
                done = run_tests(in_blender, Path(sys.executable), rest, where)
                return done + run_tests(list(later), worker, rest, where, PYTHONPATH=packages)

            blender = beside.submit(others)
            count += run_tests(in_worker, worker, first, PYTHONPATH=packages)
            count += blender.result()
            output.seek(0)
            print(output.read().decode("utf-8", "replace"), end="", flush=True)
    print(count, flush=True)
    return 1 if count.failed else 0


def lint() -> Count:
    """Style, form and types of the checkout."""
    ruff = [sys.executable, "-m", "ruff"]
    count = check("ruff check", [*ruff, "check", "--quiet", "--output-format", "concise", "."])
    count += check(
        "ruff format (`make format` does it)", [*ruff, "format", "--check", "--output-format", "concise", "."]
    )
    return count + check("mypy", *mypy())


def mypy() -> tuple[list[str], Path]:
    """The command and where to run it: a folder in which the checkout has the package's name, so that relative imports
    resolve whatever the checkout's own folder is called."""
    folder = paths.checkout_cache() / "mypy"
    folder.mkdir(exist_ok=True)
    link = folder / "da3_blender"
    if not link.is_symlink():
        link.symlink_to(paths.ROOT, target_is_directory=True)
    packages = [name for name in TYPED if any((paths.ROOT / name).rglob("*.py"))]
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--config-file", str(paths.ROOT / "pyproject.toml")]
    for name in packages:
        command += ["-p", f"da3_blender.{name}"]
    return command, folder


def check(name: str, command: list[str], cwd: Path = paths.ROOT) -> Count:
    passed = subprocess.call(command, cwd=cwd, stdin=subprocess.DEVNULL) == 0
    print(f"{name}: {'passed' if passed else 'FAILED'}", flush=True)
    return Count(passed=1) if passed else Count(failed=1)


def run_tests(
    places: list[str], python: Path, arguments: list[str], output: IO[bytes] | None = None, **extra: str
) -> Count:
    """pytest on folders or files of tests, in an isolated Blender configuration; what it says goes to ``output``."""
    if not places:
        return Count()
    if output is None:
        print(f"--- {' '.join(places)}", flush=True)
    else:
        output.write(f"--- {' '.join(places)}\n".encode())
        output.flush()
    with tempfile.TemporaryDirectory(prefix="da3-test-") as temporary:
        report = Path(temporary) / "report.xml"
        environ = {
            **os.environ,
            "BLENDER_USER_RESOURCES": str(Path(temporary) / "blender"),
            "DA3_ENVIRONMENT": str(paths.worker_environment()),
            "DA3_UV": str(paths.boot_uv()),
            "DA3_RAY": str(paths.ray_packages()),
            # Spinning OpenMP threads beside a busy core make a call ten times slower.
            "OMP_WAIT_POLICY": "PASSIVE",
            "PYTHONDONTWRITEBYTECODE": "1",
            **extra,
        }
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        command += [*places, *arguments]
        code = subprocess.call(command, cwd=paths.ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=output)
        if code == NO_TESTS:
            return Count()
        count = read(report)
    if code != 0 and count.failed == 0:
        print(f"{places[0]}: pytest ended with exit code {code}", flush=True)
        count += Count(failed=1)
    return count


def read(report: Path) -> Count:
    """The sums of a JUnit report; nothing where pytest did not live to write it."""
    if not report.is_file():
        return Count()
    count = Count()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        count += Count(max(0, tests - failed - skipped), failed, skipped)
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
