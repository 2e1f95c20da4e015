"""Figures of the benchmarks: kept by a run, compared with an older one, written into the pages."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"
sys.path.append(str(BENCH))

import figures  # noqa: E402  # by the path above
from figures import AT_LEAST, AT_MOST, Figure  # noqa: E402


def test_a_figure_that_a_benchmark_checks_is_kept_with_its_claim_and_missed_ones_are_named(tmp_path):
    program = (
        "import measuring; claims = measuring.Claims(); claims.at_least('dB', 2.0, 3.0); claims.at_most('ms', 4.0, 50.0);"
        "print(claims.missed)"
    )
    kept = tmp_path / "kept"
    file = tmp_path / "quick.py"
    file.write_text(f"import sys; sys.path.insert(0, {str(BENCH)!r}); {program}")
    environ = {**os.environ, figures.FILE: str(kept)}
    done = subprocess.run([sys.executable, str(file)], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "['dB']\n"
    low, fine = figures.recorded(kept)
    assert (low.benchmark, low.what, low.value, low.held) == ("quick", "dB", 2.0, False)
    assert (fine.bound, fine.claim, fine.held) == (AT_MOST, 50.0, True)


@pytest.mark.parametrize(
    ("bound", "old", "new", "mark"),
    [
        (AT_MOST, 1.0, 1.2, "WORSE"),
        (AT_MOST, 1.0, 0.8, "better"),
        (AT_LEAST, 1.0, 0.8, "WORSE"),
        (AT_LEAST, 1.0, 1.2, "better"),
        (AT_LEAST, 1.0, 1.05, None),  # as much as two runs differ by
        (AT_MOST, 0.0, 0.1, "WORSE"),
    ],
)
def test_what_got_worse_is_marked(bound, old, new, mark):
    lines = figures.compared(
        [Figure("b", "w", new, bound), Figure("b", "new one", 1.0, bound)], [Figure("b", "w", old, bound)]
    )
    assert [line.split()[0] for line in lines] == ([mark] if mark else [])


def test_the_table_names_the_machine_and_what_was_missed(tmp_path):
    about = {"system": "Linux", "processor": "P", "cores": 2, "memory_gb": 24, "load_before": 0.1}
    found = [Figure("b", "dB", 2.0, AT_LEAST, 3.0), Figure("b", "free", 7.0, AT_MOST)]
    run = {"date": "2026-01-01", "commit": "abc", "machine": about, "seconds": {"b": 120.0}}
    file = tmp_path / "run.json"
    file.write_text(json.dumps({**run, "figures": [asdict(one) for one in found]}))
    table = figures.table(figures.read(file))
    assert "2026-01-01 at abc" in table and "2 minutes: Linux, P, 2 cores, 24 GB" in table
    assert "| b | dB | 2 | at least 3 **missed** |" in table and "| b | free | 7 |  |" in table
    assert "free" not in figures.table(figures.read(file), claims_only=True)


def test_a_file_that_no_run_wrote_is_refused_in_a_sentence(tmp_path):
    file = tmp_path / "old.json"
    for text in ("", "[]", '{"figures": [{"what": 1}]}'):
        file.write_text(text)
        with pytest.raises(SystemExit, match=r"old\.json' is not what an earlier benchmark run wrote"):
            figures.read(file)


def test_the_pages_have_a_place_for_the_table():
    for page in ("README.md", "docs/benchmarks.md"):
        text = (BENCH.parents[1] / page).read_text("utf-8")
        assert text.count("<!-- figures of make bench -->") == text.count("<!-- end of the figures -->") == 1


def test_what_needs_an_argument_is_part_of_another_benchmark_and_not_run_alone():
    sys.path.append(str(BENCH.parent))
    import run_all

    files = {file.stem: file.read_text("utf-8") for file in BENCH.glob("*/*.py")}
    assert {name for name, text in files.items() if "sys.argv[1]" in text} <= set(run_all.NOT_ALONE) <= set(files)
    assert set(run_all.SHORT) <= set(files) - set(run_all.NOT_ALONE)
