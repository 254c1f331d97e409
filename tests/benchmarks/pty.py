"""A program in a terminal of its own, its bytes counted and timed as they come; nothing interprets them."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence

import pexpect

from .measure import cpu_of_process, memory_of_process

ASK = b"\x1b[6n"
"""What a program writes to be told where the cursor is, once all before it is on the screen."""

PATIENCE = 120.0
"""Seconds that a program may take to show something."""


class Pty:
    """Starts `argv` in a terminal of 160 by 50 with all colours. Use as a context manager."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TMUX")}
        clean |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        self.bytes = 0
        self.raw = b""
        self._answered = 0
        self.began = time.monotonic()
        self._process = pexpect.spawn(
            argv[0], list(argv[1:]), env={**clean, **(environment or {})}, dimensions=(50, 160)
        )

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def cpu(self) -> float:
        """CPU seconds that the program has used so far."""
        return cpu_of_process(self.pid)

    @property
    def memory(self) -> float:
        """MB that are its own."""
        return memory_of_process(self.pid)

    def read(self, seconds: float) -> float:
        """Waits so long for bytes and takes in what is there; returns when they came, 0 if none did."""
        ready, _, _ = select.select([self._process.child_fd], [], [], seconds)
        if not ready:
            return 0.0
        at = time.monotonic()
        try:
            data = os.read(self._process.child_fd, 1 << 20)
        except OSError:
            data = b""
        if not data:
            raise AssertionError(f"the program ended; its last words: {self.raw[-400:]!r}")
        self.bytes += len(data)
        self.raw += data
        while self._answered < self.raw.count(ASK):
            self._answered += 1
            os.write(self._process.child_fd, b"\x1b[1;1R")  # "the cursor is there": as terminals answer
        return at

    def until(self, *marks: str, after: int = 0) -> float:
        """Reads until all of `marks` came, after the first `after` bytes; returns when the last one did.

        Raises:
            AssertionError: they do not come.
        """
        end = time.monotonic() + PATIENCE
        wanted = [mark.encode() for mark in marks]
        at = time.monotonic()
        while not all(mark in self.raw[after:] for mark in wanted):
            if time.monotonic() > end:
                raise AssertionError(f"{marks} never came; the last bytes: {self.raw[-400:]!r}")
            at = self.read(1.0) or at
        return at

    def settle(self, quiet: float = 1.0) -> int:
        """Reads until nothing has come for `quiet` seconds; returns how many bytes did."""
        before = self.bytes
        end = time.monotonic() + PATIENCE
        while self.read(quiet):
            if time.monotonic() > end:
                raise AssertionError("the terminal never comes to rest")
        return self.bytes - before

    def press(self, keys: str) -> float:
        """Types; returns when."""
        at = time.monotonic()
        os.write(self._process.child_fd, keys.encode())
        return at

    def __enter__(self) -> Pty:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.isalive():
            self._process.kill(signal.SIGKILL)
            self._process.wait()
        self._process.close()
