"""A slow line, and a long watch: the screen stays true, and the program does not grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from .screen import Terminal, paraschut
from .soak import make_project, soak

SLOW = 5_000
"""Bytes a second: a bad hotel, a full train."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("soak")
    make_project(folder)
    return folder


def test_a_slow_line_gets_sixteen_colours_by_itself_and_a_fast_one_all(project: Path) -> None:
    for rate, options, colours in ((SLOW, (), False), (0, (), True), (SLOW, ("--no-lean",), True)):
        with Terminal(paraschut(*options), size=(160, 50), cwd=project, rate=rate) as terminal:
            terminal.wait("soak/jobs")
            terminal.settle(quiet=2.0)
            # The empty screen goes out before the line is known; what follows is painted in 16 colours.
            painted = terminal.raw[terminal.raw.index(b"\x1b[6n") :]
            assert (painted.count(b";2;") > 50) == colours, (rate, options)
            assert ("slow line" in terminal.text) == (rate == SLOW and not options)
            terminal.press("q")
            assert terminal.wait_end() == 0


def test_on_a_slow_line_frames_are_dropped_and_the_screen_is_true_soon_after(project: Path) -> None:
    found = soak(project, 12.0, rate=SLOW, size=(80, 24))
    assert found.settled < 6.0
    assert sorted(found.lags)[len(found.lags) // 2] < 4.0


def test_leaving_in_the_middle_of_a_paint_leaves_nothing_behind(project: Path) -> None:
    with Terminal(paraschut(), size=(160, 50), cwd=project, rate=SLOW) as terminal:
        terminal.wait("soak/jobs")
        terminal.press("?")
        terminal.press("q")
        terminal.press("q")
        assert terminal.wait_end() == 0
        assert terminal.restored
        assert b"^[[" not in terminal.raw


def test_a_terminal_that_tells_nothing_is_written_to_all_the_same(project: Path) -> None:
    with Terminal(paraschut(), size=(80, 24), cwd=project) as terminal:
        terminal.answers = False
        terminal.wait("soak/jobs")
        terminal.press("?")
        terminal.wait("of the focused pane")
        terminal.press("q")
        terminal.wait(lambda text: "of the focused pane" not in text)
        terminal.press("q")
        assert terminal.wait_end() == 0


def test_a_watch_over_fifty_changes_a_second_neither_lags_nor_grows(project: Path) -> None:
    """The short form of `python -m tests.terminal.soak`, which goes on for ten minutes."""
    found = soak(project, 20.0)
    assert sorted(found.lags)[len(found.lags) // 2] < 2.0
    assert found.settled < 5.0
    assert found.growth < 6_000_000
