"""Whatever a log holds, a real terminal gets printable text, colours and moves of our own: nothing else.

The bytes are taken from a pty. Two panes stand side by side, so that a character that is wider or narrower
than was thought would push the right one out of its column.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from paraschut_core.sanitize import clean
from tests.helpers import ROOT

from .screen import Terminal

SIZE = (100, 24)
COLUMN = 50
"""Where the right pane begins: its left border, the gutter, and then its text."""

OURS = re.compile(
    rb"\x1b\[[0-9;]*m"  # colours
    rb"|\x1b\[[0-9;]*H"  # moves
    rb"|\x1b\[\?(?:25|2026)[hl]"  # the cursor; a frame's begin and end
)

pieces = st.one_of(
    st.text(max_size=12),
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"\x1b[2J",
            b"\x1b]0;title\x07",
            b"\x1b]52;c;aGk=\x07",
            b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
            b"\x1bPq#0\x1b\\",
            b"\x1b[31mred",
            b"\x1b[38;2;1;2;3;4;5m",
            b"\x1b[?1049h",
            b"\x1b[6n",
            b"\x1bc",
            b"\x1b(0",
            b"\x1b[",
            b"\x1b",
            b"\x9b31m",
            b"\xc2\x9b2J",
            b"\xc2\x9d52;c;aGk=\xc2\x9c",
            b"\r",
            b"\x08\x08",
            b"\x0e\x0f",
            b"\t",
            b"\n",
            b"[/foo] [@click=app.quit]x[/]",
            "\u202egnp.exe\u2066".encode(),
            "漢字".encode(),
            "e\u0301\u0301\u0301".encode(),
            "👩\u200d👩\u200d👧".encode(),
            "❤\ufe0f".encode(),
            "🇩🇪".encode(),
            "\u1100\u1161\u11a8".encode(),
            "\u0e33".encode(),
            b"\xff\xfe\xed\xa0\x80",
            b"x" * 5000,
        ]
    ),
)
logs = st.lists(pieces, max_size=12).map(
    lambda parts: b"".join(
        part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") for part in parts
    )
)


class Viewer:
    """The viewer with a log on either side; the right one only holds a ruler."""

    def __init__(self, folder: Path) -> None:
        self.path, ruler = folder / "out", folder / "err"
        self.path.write_bytes(b"begin\n")
        ruler.write_text("|ruler\n" * 60)
        argv = [sys.executable, "-m", "tests.tui.log_terminal_app", str(self.path), str(ruler)]
        self.terminal = Terminal(argv, cwd=ROOT, size=SIZE)
        self.terminal.wait("begin")
        self.terminal.wait("|ruler")
        self._numbers = itertools.count(1)

    def show(self, data: bytes) -> bytes:
        """Has a log shown; returns what was written for it."""
        # A file of its own each time: it takes the other's place at once, so that no half of it is shown.
        last = f"end of log {next(self._numbers)}"
        new = self.path.with_suffix(".new")
        new.write_bytes(data + b"\x1b[m\n" + last.encode() + b"\n")
        self.terminal.settle(0.1)
        before = len(self.terminal.raw)
        os.replace(new, self.path)
        self.terminal.wait(last)
        self.terminal.settle(0.1)
        return self.terminal.raw[before:]

    @property
    def right_pane(self) -> set[str]:
        """What stands from the border on in the lines, as the terminal has it."""
        buffer = self.terminal.screen.buffer
        return {"".join(buffer[y][x].data for x in range(COLUMN, COLUMN + 8)) for y in range(1, SIZE[1] - 1)}


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    viewer = Viewer(tmp_path_factory.mktemp("hostile"))
    yield viewer
    viewer.terminal.close()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@example(data=b"x" * (1 << 20))
@example(data=b"\x1b[31m" * 40_000 + b"x")
@example(data=("e" + "\u0301" * 4000).encode())
@example(data=("AA🇩🇪" * 20 + "B" * 60).encode())
@example(data=("❤\ufe0f🏽👩\u200d👩漢\u0e33" * 10 + "\n" + "\U0001f6d9" * 60).encode())
@given(data=logs)
def test_nothing_of_a_log_but_text_and_colours_reaches_the_terminal(viewer: Viewer, data: bytes) -> None:
    written = OURS.sub(b"", viewer.show(data))
    text = written.decode("utf-8")
    assert text == clean(text) and "\n" not in text.replace("\r\n", "") and "\t" not in text
    assert viewer.right_pane == {"│ |ruler"}
