"""The real program in a real terminal, on the real demo: as a user would go through it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .screen import Terminal, clean_environment, paraschut


def counts(text: str) -> tuple[int, int]:
    """(complete, total) as the status bar shows them."""
    found = re.search(r"✓ ([\d,]+) / ([\d,]+)", text)
    return (int(found[1].replace(",", "")), int(found[2].replace(",", ""))) if found else (-1, -1)


def queue_of(folder: Path) -> dict[str, object]:
    import json

    answer = subprocess.run(
        [*paraschut("queue", "--json")], cwd=folder, capture_output=True, text=True, check=True
    )
    found: dict[str, object] = json.loads(answer.stdout)
    return found


@pytest.mark.timeout(240)
def test_the_demo_is_watched_repaired_and_left_with_the_keyboard(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with Terminal(paraschut("demo", str(folder), "--jobs", "8"), size=(160, 50), cwd=tmp_path) as terminal:
        terminal.wait("BATCHES")
        terminal.wait(lambda text: counts(text)[0] > 0, "a job that is complete")
        # The job that fails is found missing, and the status bar says so.
        terminal.wait("✗ 1 missing", patience=120)
        terminal.press("M")
        terminal.wait("exit status 3")
        # Its stderr is one key away, and says why.
        terminal.wait("FileNotFoundError")
        # Enter alone does nothing; y resubmits.
        terminal.ask("s", "Resubmit job")
        terminal.press("\r")
        terminal.wait(lambda text: "Resubmit job" not in text, "the dialog closed")
        assert "✗ 1 missing" in terminal.text
        terminal.ask("s", "Resubmit job")
        terminal.press("y")
        terminal.wait(lambda text: "✗" not in text.splitlines()[0], "nothing missing any more")
        terminal.wait(lambda text: counts(text)[0] == counts(text)[1] > 0, "all complete", patience=120)
        terminal.press("q")
        assert terminal.wait_end() == 0
        assert terminal.restored
    assert queue_of(folder)["counts"] == {
        "total": counts_of(folder),
        "running": 0,
        "complete": counts_of(folder),
        "missing": 0,
    }


def counts_of(folder: Path) -> int:
    found = queue_of(folder)["batches"]
    assert isinstance(found, list)
    return sum(len(jobs) for batch in found for jobs in batch["states"].values())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one batch of finished jobs, one that waits, and one missing job."""
    folder = tmp_path_factory.mktemp("project")
    script = """
import os, time
import paraschut_core as psu
job = psu.get_job_template(SetID=True)
done = {**job, "name": ["human", "map"], "script": "true", "state": "complete"}
done = [{**done, "JobIndex": i} for i in range(300)]
psu.add_batch_to_queue(job["BatchID"], done)
job = psu.get_job_template(SetID=True)
psu.add_batch_to_queue(job["BatchID"], [
    {**job, "JobIndex": i, "name": ["human", "reduce"], "priority": 2 - i, "script": script}
    for i, script in enumerate(["sh -c 'echo it went wrong >&2; exit 7'", "true"])
])
psu.submit_jobs()
"""
    subprocess.run([*paraschut("init", str(folder))], check=True, capture_output=True)
    clean = clean_environment()
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=clean, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_dashboard_with_the_terminal_restored(project: Path, number: int) -> None:
    with Terminal(paraschut(), cwd=project) as terminal:
        terminal.wait("human/map")
        terminal.signal(number)
        assert terminal.wait_end() == 128 + number
        assert terminal.restored


@pytest.mark.parametrize("key", ["", "\x1a"], ids=["by signal", "by key"])
def test_suspend_and_resume_bring_the_screen_back(project: Path, key: str) -> None:
    with Terminal(paraschut(), cwd=project) as terminal:
        terminal.wait("human/map")
        if key:
            terminal.press(key)
        else:
            terminal.signal(signal.SIGTSTP)
        terminal.wait(lambda _: terminal.restored, "the shell's own screen")
        terminal.settle()
        terminal.signal(signal.SIGCONT)
        terminal.wait("human/map")
        terminal.press("?")
        terminal.wait("of the focused pane", patience=20)
        terminal.press("\x1b")
        terminal.wait(lambda text: "of the focused pane" not in text, "the help closed")
        terminal.press("q")
        assert terminal.wait_end() == 0


def test_a_log_of_itself_is_kept_on_request(project: Path, tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    with Terminal(paraschut("--debug-log", str(log)), cwd=project) as terminal:
        terminal.wait("human/map")
        terminal.press("q")
        assert terminal.wait_end() == 0
    assert "paraschut_tui.backend.snapshot_worker: revision" in log.read_text()
    with Terminal(paraschut("--debug-log", "/no/such/folder/x"), cwd=project) as terminal:
        assert terminal.wait_end() == 2
        assert b"Cannot write the log /no/such/folder/x: No such file or directory." in terminal.raw


@pytest.mark.parametrize("place", ["project", "nowhere"])
def test_a_terminal_that_does_not_know_its_size_is_taken_for_eighty_columns(
    project: Path, tmp_path: Path, place: str
) -> None:
    """As on a serial line."""
    with Terminal(
        paraschut(), size=(80, 24), cwd=project if place == "project" else tmp_path, sized=False
    ) as terminal:
        terminal.wait("human/" if place == "project" else "No paraschut.toml")
        terminal.settle(quiet=1.0)
        before = terminal.bytes, terminal.cpu
        terminal.read(3.0)
        assert terminal.bytes - before[0] <= 200
        assert terminal.cpu - before[1] < 0.5, "it lays out its screen over and over"
        terminal.signal(signal.SIGTERM)
        assert terminal.wait_end() == 128 + signal.SIGTERM
        assert terminal.restored


def test_it_fits_eighty_columns_and_follows_the_window(project: Path) -> None:
    with Terminal(paraschut(), size=(80, 24), cwd=project) as terminal:
        terminal.wait("human/")
        terminal.wait("✗ 1 missing")
        terminal.resize(160, 50)
        terminal.wait("BATCHES")
        terminal.resize(80, 24)
        terminal.wait(lambda text: "BATCHES" not in text, "the narrow layout")
        terminal.press("q")
        assert terminal.wait_end() == 0


def test_nothing_is_sent_while_nothing_changes(project: Path) -> None:
    with Terminal(paraschut(), cwd=project) as terminal:
        terminal.wait("human/map")
        terminal.wait("✗ 1 missing")
        terminal.settle(quiet=3.0)
        before = terminal.bytes
        terminal.read(12.0)
        assert terminal.bytes - before <= 400, terminal.raw[-2000:]
        terminal.press("q")
        assert terminal.wait_end() == 0


def test_a_change_by_another_process_is_on_the_screen_within_seconds_and_costs_little(project: Path) -> None:
    with Terminal(paraschut(), cwd=project) as terminal:
        terminal.wait("human/map")
        terminal.settle(quiet=2.0)
        complete, total = counts(terminal.text)
        before = terminal.bytes
        clean = clean_environment()
        change = (
            "import paraschut_core as p; q = p.get_queue(Verbose=False); b = min(q);"
            "p.set_job_field(b, q[b][0]['JobIndex'], {'state': 'needs_review'}, Unless={})"
        )
        subprocess.run([sys.executable, "-c", change], cwd=project, env=clean, check=True)
        terminal.wait(lambda text: counts(text) == (complete - 1, total), "one job fewer complete", 10)
        terminal.read(2.0)
        spent = terminal.bytes - before
        assert spent <= 2000, spent
        terminal.press("q")
        assert terminal.wait_end() == 0
