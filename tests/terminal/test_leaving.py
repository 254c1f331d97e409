"""The terminal is left, and found, as it should be: stops, signals, sizes, kinds of terminals."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from paraschut_tui.terminal.shutdown import ENDING_SIGNALS

from .screen import Terminal, paraschut


def works(terminal: Terminal) -> None:
    """Each of many keys arrives, once: a second reader would take some."""
    terminal.settle(0.3)
    for _ in range(3):
        terminal.press("?")
        terminal.wait("of the focused pane", patience=20)
        terminal.press("\x1b")
        terminal.wait(lambda text: "of the focused pane" not in text, "the help closed", patience=20)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGRTMIN + 3,
    ],
)
def test_a_signal_that_ends_it_restores_the_terminal_and_is_the_status(project: Path, number: int) -> None:
    with Terminal(paraschut(), cwd=project) as terminal:
        terminal.wait("BATCHES")
        terminal.signal(number)
        assert terminal.wait_end() == 128 + number
        assert terminal.restored


def test_each_signal_that_ends_a_process_is_heeded() -> None:
    """Those that are left: of the program's own errors, that Python handles, that do not end it."""
    left = {signal.Signals(number).name for number in signal.Signals if number not in ENDING_SIGNALS}
    assert left == {
        *("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"),
        *("SIGPIPE", "SIGXFSZ"),
        *("SIGCHLD", "SIGCONT", "SIGKILL", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"),
    }


def forget(terminal: Terminal) -> None:
    """What a terminal does that shows a shell meanwhile: nothing of the dashboard stays on its screen."""
    terminal.screen.reset()


def stop_and_continue(terminal: Terminal, process: psutil.Process, stop: str) -> None:
    before = terminal.text
    if stop == "ctrl+z":
        terminal.press("\x1a")
    elif stop != "CONT alone":
        terminal.signal(signal.SIGTSTP if stop == "TSTP" else signal.SIGSTOP)
    if stop != "CONT alone":
        deadline = time.monotonic() + 20
        while process.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
            terminal.read(0.05)
        assert process.status() == psutil.STATUS_STOPPED
        if stop != "STOP":
            terminal.read(0.2)
            assert terminal.restored
    forget(terminal)
    terminal.signal(signal.SIGCONT)
    terminal.wait(lambda text: text == before, f"all as before {stop}", patience=20)
    works(terminal)


def test_it_paints_all_again_after_a_stop_and_has_one_reader(project: Path) -> None:
    with Terminal(paraschut(), cwd=project) as terminal:
        terminal.wait("mouse/map")
        process = psutil.Process(terminal.process.pid)
        for stop in ("CONT alone", "ctrl+z", "TSTP", "STOP"):
            terminal.settle(0.5)
            stop_and_continue(terminal, process, stop)
        readers = [
            name
            for thread in process.threads()
            if (name := Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text().strip())
            == "textual-input"
        ]
        assert len(readers) <= 1
        terminal.press("q")
        assert terminal.wait_end() == 0
        assert terminal.restored


def test_in_a_shell_with_job_control_it_is_stopped_and_comes_back(project: Path, tmp_path: Path) -> None:
    with Terminal(["bash", "--norc", "--noprofile", "-i"], cwd=project, env={"PS1": "SHELL> "}) as terminal:
        terminal.wait("SHELL>")
        terminal.press(" ".join(paraschut()) + "; echo status $?\r")
        terminal.wait("mouse/map")
        terminal.settle(0.5)
        shell = psutil.Process(terminal.process.pid)
        for number in (signal.SIGTSTP, signal.SIGSTOP):
            dashboard = shell.children()[0]
            dashboard.send_signal(number)
            terminal.wait("Stopped", patience=20)
            # A debugger, or a machine that wakes up, continues it while the shell has the terminal.
            dashboard.send_signal(signal.SIGCONT)
            terminal.read(0.5)
            forget(terminal)
            terminal.press("fg\r")
            terminal.wait("mouse/map", patience=20)
            works(terminal)
        terminal.press("q")
        terminal.settle(0.5)
        terminal.press("stty -a | grep -o ' echo ' | tr a-z A-Z\r")
        terminal.wait(" ECHO ", patience=20)


def test_the_terminal_has_its_size_not_the_environment(project: Path) -> None:
    with Terminal(paraschut(), cwd=project, size=(120, 40), env={"COLUMNS": "60", "LINES": "12"}) as terminal:
        terminal.wait("mouse/map")
        terminal.settle(0.5)
        assert max(map(len, terminal.text.splitlines())) > 100
        assert len(terminal.text.rstrip().splitlines()) == 40
        terminal.resize(150, 45)
        terminal.wait(lambda text: max(map(len, text.splitlines())) > 125, "the new width", patience=20)


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_that_cannot_be_drawn_on_is_told_so(project: Path, kind: str) -> None:
    with Terminal(paraschut(), cwd=project, env={"TERM": kind}) as terminal:
        assert terminal.wait_end() == 2
        assert b"\x1b" not in terminal.raw
        assert terminal.raw.count(b"\n") == 1
        assert f"TERM={kind}".encode() in terminal.raw


def test_ctrl_l_paints_the_screen_again(project: Path) -> None:
    with Terminal(paraschut(), cwd=project) as terminal:
        terminal.wait("mouse/map")
        terminal.settle(0.5)
        before = terminal.text
        forget(terminal)
        terminal.press("\x0c")
        terminal.wait(lambda text: text == before, "all as before", patience=20)
        terminal.press("/")
        terminal.wait("Esc goes back")
        terminal.settle(0.3)
        before = terminal.text
        forget(terminal)
        terminal.press("\x0c")
        terminal.wait(lambda text: text == before, "also while something is typed", patience=20)


def test_it_is_left_soon_where_the_terminal_never_answers(project: Path) -> None:
    with Terminal(paraschut(), cwd=project) as terminal:
        terminal.answers = False
        terminal.wait("mouse/map")
        terminal.settle(0.5)
        terminal.press("q")
        began = time.monotonic()
        assert terminal.wait_end() == 0
        assert time.monotonic() - began < 2.0
        assert os.path.isdir(project)
