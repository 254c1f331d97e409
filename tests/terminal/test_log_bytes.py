"""What following, moving in and searching a log sends to a terminal of 160 by 50: bytes on a real pty."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT

from .screen import Terminal

QUIET = 0.4


class Follower:
    """The viewer upon one log that is written to."""

    def __init__(self, path: Path, lines: int) -> None:
        self.path = path
        self._count = 0
        self.write(lines)
        argv = [sys.executable, "-m", "tests.tui.log_terminal_app", str(path)]
        self.terminal = Terminal(argv, cwd=ROOT, size=(160, 50))
        self.terminal.wait(f"chunk {lines} of")

    def write(self, lines: int) -> None:
        with self.path.open("a") as file:
            for _ in range(lines):
                self._count += 1
                file.write(
                    f"[12:01:{self._count % 60:02}] chunk {self._count} of 9000 done, loss 0.{self._count}\n"
                )

    def bytes_of(self, act: Callable[[], object]) -> int:
        """What it makes the viewer send."""
        self.terminal.settle(QUIET)
        before = self.terminal.bytes
        act()
        self.terminal.settle(QUIET)
        return self.terminal.bytes - before

    def keys(self, keys: str) -> int:
        return self.bytes_of(lambda: self.terminal.press(keys))


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Follower]:
    """A log of many screens, at its end."""
    viewer = Follower(tmp_path / "out", 5000)
    yield viewer
    assert viewer.terminal.process.isalive(), viewer.terminal.text
    viewer.terminal.close()


def test_a_line_below_the_last_one_costs_little_more_than_itself(tmp_path: Path) -> None:
    viewer = Follower(tmp_path / "out", 5)
    try:
        assert 0 < viewer.bytes_of(lambda: viewer.write(1)) <= 250
        assert 0 < viewer.bytes_of(lambda: viewer.write(20)) <= 2_000
    finally:
        viewer.terminal.close()


def test_nothing_is_sent_while_nothing_is_written(full: Follower) -> None:
    full.terminal.settle(QUIET)
    before = full.terminal.bytes
    full.terminal.read(2.0)
    assert full.terminal.bytes == before


def test_a_full_screen_that_moves_on_costs_no_more_than_its_text(full: Follower) -> None:
    # 49 lines of about 45 characters, each in its place.
    assert 0 < full.bytes_of(lambda: full.write(1)) <= 5_000
    # A thousand lines may be seen in two looks, on a machine that is busy.
    assert 0 < full.bytes_of(lambda: full.write(1000)) <= 10_000


def test_what_is_out_of_sight_costs_nothing(full: Follower) -> None:
    full.keys("g")
    assert full.bytes_of(lambda: full.write(10)) <= 150  # how far down one is


@pytest.mark.parametrize(
    ("what", "before", "keys", "most"),
    [
        ("a line up", "", "k", 5_000),
        ("a page up", "", "\x1b[5~", 5_000),
        ("to the begin", "", "g", 5_000),
        ("to the side", "", "l", 5_000),
        ("back", "l", "0", 5_000),
        ("the next error: none", "", "e", 300),
        ("search prompt", "", "/", 800),
        ("a search", "/", "chunk 17 of\r", 6_500),
        ("the match before", "/chunk 17\r", "N", 6_500),
    ],
)
def test_a_key_costs_few_bytes(full: Follower, what: str, before: str, keys: str, most: int) -> None:
    full.keys(before)
    assert 0 < full.keys(keys) <= most, what


def test_a_match_that_is_shown_already_costs_next_to_nothing(full: Follower) -> None:
    full.keys("/chunk 17 of\r")
    assert full.keys("n") <= 400, "there is but this one"
