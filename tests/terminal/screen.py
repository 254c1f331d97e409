"""A real terminal for tests: the program under a pty, its screen kept by pyte, its bytes counted."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pexpect
import psutil
import pyte

ASKS = b"\x1b[6n"
"""What asks a terminal where its cursor is."""

ON_WHILE_IT_RUNS = (1049, 1000, 1003, 1006, 1015, 2004, 1004)
"""Modes of the terminal: alternate screen, mouse, pastes, focus."""

OFF_WHILE_IT_RUNS = (25, 7)
"""Modes of the terminal: cursor, lines that wrap."""

PATIENCE = 60.0
"""Seconds that anything may take before a test fails."""


class Terminal:
    """One program in a terminal of its own.

    Args:
        argv: the command.
        size: (columns, rows).
        env: added to a clean environment.
        cwd: its working directory.
        sized: whether the terminal tells its size.
        rate: bytes a second that the line takes (default: as many as come).
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        size: tuple[int, int] = (160, 50),
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        sized: bool = True,
        rate: float = 0.0,
    ) -> None:
        columns, rows = size
        clean = clean_environment() | {"COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._rate, self._credit, self._read_at = rate, 0.0, time.monotonic()
        self.answers = True
        """Whether it tells where its cursor is when it is asked, as terminals do."""
        self.bytes = 0
        self.raw = b""
        self.process = pexpect.spawn(
            argv[0],
            list(argv[1:]),
            env={**clean, **(env or {})},
            cwd=None if cwd is None else os.fspath(cwd),
            dimensions=(rows, columns) if sized else (0, 0),
            timeout=PATIENCE,
        )
        self.process.delaybeforesend = None
        self._attributes = self.attributes()

    @property
    def cpu(self) -> float:
        """CPU time that the program took so far (s)."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    # ------------------------------------------------------------------ reading

    def read(self, seconds: float = 0.05) -> int:
        """Takes in what the program wrote within `seconds`; returns how many bytes."""
        taken = 0
        deadline = time.monotonic() + seconds
        while True:
            left = max(deadline - time.monotonic(), 0.01)
            try:
                chunk = self.process.read_nonblocking(self._allowed(), left)
            except pexpect.TIMEOUT:
                break
            except pexpect.EOF:
                break
            taken += len(chunk)
            self._take(chunk)
            if time.monotonic() >= deadline:
                break
        self.bytes += taken
        return taken

    def _allowed(self) -> int:
        """How many bytes the line takes now; waits for the first, if need be."""
        if not self._rate:
            return 65536
        while True:
            now = time.monotonic()
            # What it could not bring in time it cannot make up for later.
            self._credit = min(self._credit + (now - self._read_at) * self._rate, self._rate * 0.1)
            self._read_at = now
            if self._credit >= 1:
                allowed = int(self._credit)
                self._credit -= allowed
                return allowed
            time.sleep(1.0 / self._rate)

    def _take(self, chunk: bytes) -> None:
        asked = (self.raw[-3:] + chunk).count(ASKS)
        self.raw += chunk
        if self.answers:
            # At once, as a terminal that is quick: where the cursor is nobody wants to know.
            place = f"\x1b[{self.screen.cursor.y + 1};{self.screen.cursor.x + 1}R"
            try:
                self.process.send(place * asked)
            except OSError:
                pass  # the program has ended meanwhile
        self._stream.feed(chunk)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait(self, holds: Callable[[str], bool] | str, what: str = "", patience: float = PATIENCE) -> str:
        """Reads until the screen holds a text, or a condition on it is true."""
        condition = (lambda text: holds in text) if isinstance(holds, str) else holds
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            self.read(0.1)
            if condition(self.text):
                return self.text
        raise AssertionError(f"the screen never showed {what or holds!r}; it shows:\n{self.text}")

    def settle(self, quiet: float = 0.7, patience: float = PATIENCE) -> None:
        """Reads until nothing has come for `quiet` seconds."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not self.read(quiet):
                return
        raise AssertionError("the terminal never came to rest")

    # ------------------------------------------------------------------ acting

    def press(self, keys: str) -> None:
        self.process.send(keys)

    def ask(self, keys: str, title: str) -> None:
        """Presses keys that open a question, and waits until it can be answered: until it is counted, and
        the program knows that it is seen. (It asks the terminal behind its paint; an answer that is typed
        before is none.)"""
        before = len(self.raw)
        self.press(keys)
        self.wait(lambda text: title in text and "counting" not in text, f"the question {title!r}")
        asked = ASKS if self.answers else b""
        self.wait(lambda _: asked in self.raw[self.raw.index(title.encode(), before) :], "that it is seen")
        self.settle(0.3)

    def resize(self, columns: int, rows: int) -> None:
        self.process.setwinsize(rows, columns)
        self.screen.resize(rows, columns)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def wait_end(self, patience: float = PATIENCE) -> int:
        """Waits for the program to end; returns its exit status (128 + signal if it was killed)."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            self.read(0.1)
            if not self.process.isalive():
                self.read(0.1)
                if self.process.signalstatus is not None:
                    return 128 + int(self.process.signalstatus)
                return int(self.process.exitstatus or 0)
        raise AssertionError(f"the program did not end; it shows:\n{self.text}")

    @property
    def restored(self) -> bool:
        """Whether the program left the alternate screen, showed the cursor, gave up the mouse and all other
        modes, and the terminal echoes as before."""

        def last(on: bytes, off: bytes) -> bool:
            return self.raw.rfind(off) >= self.raw.rfind(on)

        return (
            b"\x1b[?1049l" in self.raw
            and all(last(b"\x1b[?%dh" % mode, b"\x1b[?%dl" % mode) for mode in ON_WHILE_IT_RUNS)
            and all(last(b"\x1b[?%dl" % mode, b"\x1b[?%dh" % mode) for mode in OFF_WHILE_IT_RUNS)
            and self.attributes() == self._attributes
        )

    def attributes(self) -> list[Any]:
        """How the terminal treats what is typed (termios): echo, lines, signals."""
        return termios.tcgetattr(self.process.fileno())

    def close(self) -> None:
        if self.process.isalive():
            self.process.kill(signal.SIGKILL)
        self.process.close(force=True)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clean_environment() -> dict[str, str]:
    """A user's environment in a terminal: nothing of the tests', no size but the terminal's own."""
    left_out = ("NO_COLOR", "PYTEST_CURRENT_TEST", "TMUX", "COLUMNS", "LINES")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PARASCHUT") and name not in left_out
    }
    return clean | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def paraschut(*arguments: str) -> list[str]:
    """The command line of the program, in this interpreter."""
    return [sys.executable, "-m", "paraschut_core.cli", *arguments]
