"""Keys that arrive together, as over a slow line, in a real terminal: each goes where it was meant to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_tui.terminal.key_sequencer import PATIENCE, GuardedDialog

from .screen import Terminal, clean_environment, paraschut

SCRIPT = """
import paraschut_core as psu
job = psu.get_job_template(SetID=True)
script = "sh -c '{ seq 300; echo FATAL: no room; seq 300; } >&2; exit 7'"
done = {**job, "name": ["human", "map"], "script": "true", "state": "complete"}
psu.add_batch_to_queue(job["BatchID"], [
    {**done, "JobIndex": 0, "script": script, "state": "init"},
    {**done, "JobIndex": 1},
    {**done, "JobIndex": 2},
])
psu.submit_jobs()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a job that went missing and said why in its log, and two that are complete."""
    folder = tmp_path_factory.mktemp("project")
    subprocess.run([*paraschut("init", str(folder))], check=True, capture_output=True)
    subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=clean_environment(), check=True, capture_output=True
    )
    return folder


@pytest.fixture
def terminal(project: Path, tmp_path: Path) -> Iterator[Terminal]:
    state = {"XDG_STATE_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    with Terminal(paraschut(), cwd=project, env=state) as opened:
        opened.wait("✗ 1 missing")
        opened.wait("✓ 2 / 3")
        opened.settle()
        yield opened
        opened.press("q")
        assert opened.wait_end() == 0


def at_once(terminal: Terminal, keys: str) -> None:
    """Sends keys as one packet brings them."""
    os.write(terminal.process.fileno(), keys.encode())


def test_a_question_counts_as_seen_when_the_terminal_says_so_or_never_answers() -> None:
    question: GuardedDialog[bool] = GuardedDialog()
    assert not question.was_seen(5.0), "not painted yet"
    question.painted_at = 10.0
    assert not question.was_seen(10.1), "painted, but on its way"
    assert question.was_seen(10.0 + PATIENCE), "a terminal that does not tell"
    question.mark_drawn(10.4)
    assert not question.was_seen(10.3)
    assert question.was_seen(10.4)


def answer(project: Path, *arguments: str) -> str:
    done = subprocess.run([*paraschut(*arguments)], cwd=project, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_filter_typed_at_once_is_in_force_and_nothing_else_was_done(
    terminal: Terminal, project: Path
) -> None:
    before = answer(project, "queue", "--json")
    at_once(terminal, "/name:FaArRdDxz\r")
    terminal.wait("name:FaArRdDxz")
    terminal.settle()
    assert "0 match" in terminal.text or "No job" in terminal.text, terminal.text
    assert "marked" not in terminal.text
    assert answer(project, "queue", "--json") == before
    at_once(terminal, "\x1b")
    terminal.wait(lambda text: "name:FaArRdDxz" not in text, "the filter is gone")


def test_keys_behind_the_filter_go_to_the_jobs_that_it_shows(terminal: Terminal) -> None:
    at_once(terminal, "/name:map\rA")
    terminal.wait("3 marked")
    at_once(terminal, "u\x1b")
    terminal.wait(lambda text: "marked" not in text and "name:map" not in text, "all as it was")


def test_a_search_in_the_log_typed_at_once_finds(terminal: Terminal) -> None:
    at_once(terminal, "M")
    terminal.wait("exit status 7")
    terminal.settle()
    at_once(terminal, "\r")
    terminal.settle()
    at_once(terminal, "/FATAL: no\r")
    terminal.wait("FATAL: no room")
    at_once(terminal, "\x1b\x1b")
    terminal.settle()


def test_what_is_typed_behind_a_command_that_asks_arrives_in_the_question(
    terminal: Terminal, project: Path
) -> None:
    at_once(terminal, "eresources.mem=8gb\ry")
    terminal.wait("resources.mem=8gb")
    terminal.settle()
    assert "(y)" in terminal.text
    terminal.press("\x1b")
    terminal.wait(lambda text: "(y)" not in text, "the dialog is closed")


def test_the_palette_takes_what_was_typed_before_it_was_there(terminal: Terminal) -> None:
    at_once(terminal, ":overview\r")
    terminal.wait("OVERVIEW")
    at_once(terminal, "\x1b")
    terminal.wait("BATCHES")


def test_a_yes_typed_ahead_resets_nothing_and_one_after_it_does(terminal: Terminal, project: Path) -> None:
    before = answer(project, "actions", "--json")
    at_once(terminal, "M")
    terminal.wait("exit status 7")
    terminal.settle()
    at_once(terminal, " ")
    terminal.wait("1 marked")
    at_once(terminal, "ry")
    terminal.wait("Reset 1 marked")
    terminal.settle()
    assert "Reset 1 marked" in terminal.text
    assert answer(project, "actions", "--json") == before
    at_once(terminal, "\x1b")
    terminal.wait(lambda text: "Reset 1 marked" not in text, "the dialog is closed")
    at_once(terminal, "r\x1bry")
    terminal.wait("Reset 1 marked")
    terminal.settle()
    assert answer(project, "actions", "--json") == before
    terminal.press("y")
    terminal.wait(lambda text: "missing" not in text.splitlines()[0], "the job is reset", patience=20)


@pytest.mark.parametrize("shown", [b"", b"\x1b[?1049h"], ids=["at once", "before the first paint"])
def test_keys_that_are_typed_before_the_first_jobs_are_there_are_meant_for_these(
    project: Path, tmp_path: Path, shown: bytes
) -> None:
    """As by somebody who knows what to look for; nothing of it is taken for a command of another kind."""
    state = {"XDG_STATE_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    with Terminal(paraschut(), cwd=project, env=state) as opened:
        opened.wait(lambda _: shown in opened.raw, "the screen")
        at_once(opened, "/state:complete\r")
        opened.wait("FILTER  state:complete  2 matches")
        opened.press("\x1b")
        opened.wait(lambda text: "FILTER" not in text, "no filter")
        opened.press("q")
        assert opened.wait_end() == 0
