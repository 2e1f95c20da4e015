"""Lint, types and all tests; the last line is ``N passed, N failed, N skipped``. Run with the interpreter that has bpy.

    test.py            everything
    test.py --lint     ruff and mypy only
    test.py ARGS       everything, with ARGS for pytest (as in: -k geometry)

Each lint check counts as one test. A test process that dies, or fails in a way its report does not show, counts as one
failure more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import paths

TYPED = ("core", "streaming", "nodes", "operators", "panels")
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
    count = lint()
    if arguments != ["--lint"]:
        worker = paths.executable(paths.worker_environment(), "python")
        count += run_tests(["core", "streaming"], worker, arguments, PYTHONPATH=str(paths.test_packages()))
        count += run_tests(["blender"], Path(sys.executable), arguments)
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


def run_tests(folders: list[str], python: Path, arguments: list[str], **extra: str) -> Count:
    """pytest on folders of tests, in an isolated Blender configuration."""
    print(f"--- tests: {', '.join(folders)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="da3-test-") as temporary:
        report = Path(temporary) / "report.xml"
        environ = {
            **os.environ,
            "BLENDER_USER_RESOURCES": str(Path(temporary) / "blender"),
            "DA3_ENVIRONMENT": str(paths.worker_environment()),
            "DA3_UV": str(paths.boot_uv()),
            # Spinning OpenMP threads beside a busy core make a call ten times slower.
            "OMP_WAIT_POLICY": "PASSIVE",
            "PYTHONDONTWRITEBYTECODE": "1",
            **extra,
        }
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        command += [*(f"tests/{folder}" for folder in folders), *arguments]
        code = subprocess.call(command, cwd=paths.ROOT, env=environ, stdin=subprocess.DEVNULL)
        if code == NO_TESTS:
            return Count()
        count = read(report)
    if code != 0 and count.failed == 0:
        print(f"tests ({folders[0]}): pytest ended with exit code {code}", flush=True)
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
