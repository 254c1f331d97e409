"""Each benchmark works and tells all that it should; how fast anything is, is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import NAMES
from tests.helpers import ROOT

ROWS = {
    "database": ("add 1,000 jobs", "get_queue", "set_batch_field", "reset", "one job:", "file, bytes"),
    "refresh": ("one change, 2,000 jobs", "changes at once", "steps", "commit to screen, p95"),
    "overhead": (
        "import paraschut_core",
        "get_job_info(SetID), set_complete: beyond",
        "paraschut run -- true",
    ),
    "local": ("100 jobs", "CPU of a job", "states in the index"),
    "finishers": ("lost", "p99 wait", "worst wait"),
    "log": ("the last screen", "jump to the end", "a literal, one match", "a regular", "follow", "memory"),
    "dashboard": (
        "first paint, 1,000",
        "memory",
        "bytes",
        "CPU",
        "bytes: 1 change",
        "CPU: cursor",
        "key to screen",
    ),
    "submit": (),  # a row for each cluster that there is
}
"""What must be in each table, whatever is installed."""


@pytest.mark.parametrize("name", NAMES)
def test_a_quick_run_fills_its_table(name: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    argv = [sys.executable, "-m", "tests.benchmarks"]
    done = subprocess.run(
        [*argv, name, "--quick", "--json", str(path)], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    report = json.loads(path.read_text(encoding="utf-8"))
    (table,) = report["benchmarks"]
    assert table["title"] in done.stdout
    for wanted in ROWS[name]:
        assert any(wanted in row["what"] for row in table["rows"]), f"no row about {wanted!r}"
    for row in table["rows"]:
        assert row["ours"]["low"] <= row["ours"]["median"] <= row["ours"]["high"], row
        assert row["rival"] or row["theirs"] is None, row
    short = subprocess.run([*argv, "--markdown", str(path)], cwd=ROOT, capture_output=True, text=True)
    assert short.stdout.count("\n") == 2 + sum(bool(row["short"]) for row in table["rows"])


def test_one_that_fails_says_so_and_the_others_go_on(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "log", "finishers", "--quick", "--json", str(path)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "PATH": "/nowhere"},  # neither grep nor less
        capture_output=True,
        text=True,
        timeout=280,
    )
    log, finishers = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
    assert done.returncode == 1
    assert "grep" in log["error"]
    assert "FAILED" in done.stdout
    assert not finishers["error"]


def test_a_file_without_results_makes_no_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--markdown", "README.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "README.md holds no results" in done.stderr
