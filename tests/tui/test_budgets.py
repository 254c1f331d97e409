"""What the dashboard sends to a terminal of 160 by 50 (bytes on a real pty), and what it costs in time.

Bytes are exact and held to the budgets. Times are CPU seconds, on machines that are slower when they are
busy: a key is held to three times its budget, a page and a million jobs to what a busy machine reaches.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.terminal.screen import Terminal

QUIET = 0.6


class Dashboard:
    """The dashboard over made-up jobs, in a pty."""

    def __init__(self, jobs: int, folder: Path, **environment: str) -> None:
        self._fifo, self._answers = folder / "commands", folder / "answers"
        os.mkfifo(self._fifo)
        self._answers.touch()
        argv = [sys.executable, "-m", "tests.tui.budget_app", str(jobs), str(self._fifo), str(self._answers)]
        self.terminal = Terminal(argv, cwd=ROOT, env=environment)
        self.ready = float(self._answer(0).split()[2])
        """CPU seconds after the imports until the jobs stood on the screen: by the clock it is less on an
        idle machine, where the disk and the threads work at the same time."""
        self.terminal.settle(QUIET)
        self.first = self.terminal.bytes
        self._writer = os.open(self._fifo, os.O_WRONLY)

    def _answer(self, after: int) -> str:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.terminal.read(0.01)
            lines = self._answers.read_text().splitlines()
            if len(lines) > after:
                return lines[after]
        raise AssertionError("the dashboard does not answer:\n" + self.terminal.text)

    def command(self, text: str) -> float:
        """Has something happen; returns the CPU seconds used so far."""
        before = len(self._answers.read_text().splitlines())
        os.write(self._writer, text.encode())
        return float(self._answer(before).split()[-1])

    def bytes_of(self, command: str = "", keys: str = "") -> int:
        """What a command or a key makes it send."""
        self.terminal.settle(QUIET)
        before = self.terminal.bytes
        if command:
            self.command(command)
        if keys:
            self.terminal.press(keys)
        self.terminal.settle(QUIET)
        return self.terminal.bytes - before

    def cpu_of(self, keys: str, times: int) -> float:
        """CPU seconds of one of `times` presses, each shown before the next."""
        self.terminal.settle(QUIET)
        before = self.command("cpu")
        for _ in range(times):
            self.terminal.press(keys)
            self.terminal.settle(0.05)
        return (self.command("cpu") - before) / times

    def close(self) -> None:
        os.close(self._writer)
        self.terminal.close()


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    shown = Dashboard(100_000, tmp_path_factory.mktemp("budget"))
    yield shown
    shown.close()


def test_nothing_is_sent_while_nothing_changes(dashboard: Dashboard) -> None:
    dashboard.terminal.settle(QUIET)
    before = dashboard.terminal.bytes
    dashboard.terminal.read(4.0)
    assert dashboard.terminal.bytes == before


@pytest.mark.parametrize(
    ("command", "most"),
    [("change 1", 500), ("change 20", 5_000), ("missing 1", 2_000), ("change 2000", 20_000)],
)
def test_a_change_costs_few_bytes(dashboard: Dashboard, command: str, most: int) -> None:
    assert 0 < dashboard.bytes_of(command) <= most


@pytest.mark.parametrize(
    ("name", "keys", "most"),
    [
        ("cursor right", "l", 400),
        ("cursor down", "j", 500),
        ("to the end", "G", 11_000),
        ("page up", "\x1b[5~", 11_000),
        ("mark", " ", 500),
        ("focus", "\t", 10_000),
        ("focus back", "\x1b[Z", 10_000),
    ],
)
def test_a_key_costs_few_bytes(dashboard: Dashboard, name: str, keys: str, most: int) -> None:
    assert dashboard.bytes_of(keys=keys) <= most, name


def test_a_walk_through_the_grid_costs_little_time(dashboard: Dashboard) -> None:
    assert dashboard.cpu_of("l", 20) < 0.045
    assert dashboard.cpu_of("j", 20) < 0.045


def test_the_first_paint_is_not_larger_than_it_must_be(dashboard: Dashboard) -> None:
    assert dashboard.first <= 112_000


def test_a_hundred_thousand_jobs_stand_on_the_screen_soon(dashboard: Dashboard) -> None:
    assert dashboard.ready < 1.2


def test_a_million_jobs_stand_on_the_screen_soon_and_are_paged_through_at_ease(tmp_path: Path) -> None:
    shown = Dashboard(1_000_000, tmp_path)
    try:
        assert shown.ready < 4.0
        assert shown.bytes_of(keys="\x1b[6~") <= 11_000
        assert shown.cpu_of("\x1b[6~", 10) < 0.1
        assert shown.bytes_of("change 1") <= 500
    finally:
        shown.close()


def test_a_terminal_of_sixteen_colours_is_sent_no_others(tmp_path: Path) -> None:
    shown = Dashboard(1000, tmp_path, TERM="xterm", COLORTERM="")
    try:
        assert shown.first <= 60_000
        assert b";2;" not in shown.terminal.raw
        assert b";5;" not in shown.terminal.raw
        assert "human/genome_map" in shown.terminal.text
    finally:
        shown.close()
