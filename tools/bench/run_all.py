"""Runs every benchmark with the interpreter that it says it needs; one that falls short of a claim fails the whole.

run_all.py [NAME ...] [--json FILE] [--compare OLD.json] [--pages]     as in: run_all.py building enable

All of them together take a part of what each takes when it is named: fewer seeds, shorter paths, said as ``SHORT``. The figures
go into the JSON file; ``--compare`` marks what got worse; ``--pages`` writes docs/benchmarks.md and the README's table from it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import figures
import paths

HERE = Path(__file__).resolve().parent
PAGE, README = paths.ROOT / "docs" / "benchmarks.md", paths.ROOT / "README.md"
START, END = "<!-- figures of make bench -->", "<!-- end of the figures -->"
NOT_ALONE = ("open3d_fusion", "plate_video", "splats_render", "street", "throughput_run")  # parts of another
SHORT = {  # arguments where all run
    "alignment": ["last_frame_overlap", "no_overlap", "--seeds", "1"],
    "cameras": ["courtyard-dim"],
    "fusion": ["quality", "--seeds", "1"],
    "growth": ["--frames", "64"],
    "large": ["depth", "--frames", "24"],
    "matchmove": ["truth", "--frames", "3"],
    "meshes": ["--runs", "1"],
    "motion": ["passer_by", "speed", "--seeds", "1"],
    "real": ["castle"],
    "segmentation": ["--seeds", "1"],
    "splats": ["truth", "--unrefined"],
    "streaming": ["walk", "graph", "--seeds", "2"],
    "streaming_run": ["cost"],
    "throughput": ["batches", "--frames", "200", "--turns", "1"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    files = {file.stem: file for file in sorted(HERE.glob("*/*.py")) if file.stem not in NOT_ALONE}
    parser.add_argument("names", nargs="*", choices=[[], *files], default=[])
    parser.add_argument("--json", type=Path, default=paths.ROOT / "out" / "bench.json")
    parser.add_argument("--compare", type=Path, metavar="OLD.json")
    parser.add_argument("--pages", action="store_true")
    options = parser.parse_args()
    old = figures.read(options.compare) if options.compare else None
    run = {"date": date.today().isoformat(), "commit": _commit(), "machine": figures.machine(), "seconds": {}}
    failed, found = [], []
    for name in options.names or files:
        started = time.monotonic()
        code, own = _run(files[name], [] if options.names else SHORT.get(name, []), bool(options.names))
        run["seconds"][name] = round(time.monotonic() - started, 1)
        found += own
        failed += [name] if code else []
        print(f"--- {name} took {run['seconds'][name]:.0f} s", flush=True)
        # After each: what is measured stays, should this be stopped.
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**run, "figures": [asdict(one) for one in found]}, indent=1), "utf-8")
    print(f"{len(found)} figures in '{options.json}', {sum(run['seconds'].values()) / 60:.0f} minutes")
    if options.pages:
        write_pages({**run, "figures": found})
    if old:
        print("\n".join(figures.compared(found, old["figures"])) or "nothing has changed by more than a tenth")
    print(f"fell short or failed: {', '.join(failed)}" if failed else "every benchmark ran through")
    return 1 if failed else 0


def write_pages(run: dict[str, object]) -> None:
    """Put the table between its two marks in docs/benchmarks.md; of the figures with a claim into the README."""
    for page in (PAGE, README):
        before, rest = page.read_text("utf-8").split(START)
        table = figures.table(run, claims_only=page == README)
        page.write_text(f"{before}{START}\n{table}{END}{rest.split(END)[1]}", "utf-8")


def _run(file: Path, arguments: list[str], by_name: bool) -> tuple[int, list[figures.Figure]]:
    """One benchmark's exit code and figures."""
    in_blender = "import bpy" in file.read_text("utf-8")
    python = Path(sys.executable) if in_blender else paths.executable(paths.worker_environment(), "python")
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "figures"
        kept.touch()
        environ = {**os.environ, "DA3_ENVIRONMENT": str(paths.worker_environment()), figures.FILE: str(kept)}
        if not in_blender:
            environ["PYTHONPATH"] = str(paths.test_packages())
        if not by_name:
            environ["DA3_ALL_BENCHMARKS"] = "1"  # nobody has asked for this one: it is not to download much
        print(f"--- {' '.join([file.stem, *arguments])}", flush=True)
        code = subprocess.call([str(python), str(file), *arguments], env=environ, cwd=paths.ROOT)
        return code, figures.recorded(kept)


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    told = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return told or "no commit"


if __name__ == "__main__":
    sys.exit(main())
