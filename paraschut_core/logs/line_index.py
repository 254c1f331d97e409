"""LineIndex: which line is at a byte, and where a line begins, from one count of newlines a block."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable

from .log_file import OpenLog

BLOCK = 1 << 18
"""Bytes between two checkpoints: 32 KiB of memory a GiB, and 0.1 ms to count within a block."""

_READ = 4 * BLOCK


class LineIndex:
    """Line numbers of one file, counted once and continued as the file grows.

    Threads may use it together: one at a time extends it, others see what is counted so far. A file that
    was replaced or truncated needs a new index.
    """

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._newlines = array("Q")  # newlines in the file up to the end of each complete block

    @property
    def covered(self) -> int:
        """Bytes counted so far."""
        return len(self._newlines) * BLOCK

    def ready(self, size: int) -> bool:
        """Return whether every line of a file of `size` bytes can be numbered."""
        return size < self.covered + BLOCK

    def extend(
        self,
        log: OpenLog,
        cancelled: Callable[[], bool] = lambda: False,
        progress: Callable[[int], object] = lambda covered: None,
    ) -> bool:
        """Count on to the end of the file as it was opened; return False if it was cancelled.

        `progress` is called with the bytes counted so far, about every MiB.

        Raises:
            LogError: the file cannot be read.
        """
        with self._counting:
            while not self.ready(log.size):
                if cancelled():
                    return False
                if not self._count(log):
                    break  # it has become shorter: the next look will tell
                progress(self.covered)
        return True

    def _count(self, log: OpenLog) -> int:
        """Count the next few blocks; return how many."""
        at = self.covered
        data = log.read(at, min(at + _READ, log.size))
        blocks = len(data) // BLOCK
        total = self._newlines[-1] if self._newlines else 0
        for block in range(blocks):
            total += data.count(b"\n", block * BLOCK, (block + 1) * BLOCK)
            self._newlines.append(total)
        return blocks

    def line_at(self, log: OpenLog, offset: int) -> int:
        """The number, from 1, of the line that holds the byte at `offset`; 0 if not counted yet."""
        block = offset // BLOCK
        if block > len(self._newlines):
            return 0
        before = self._newlines[block - 1] if block else 0
        return before + log.read(block * BLOCK, offset).count(b"\n") + 1

    def start_of(self, log: OpenLog, number: int) -> int | None:
        """The offset where line `number` (from 1) begins; None if there are not so many, or not yet."""
        if number <= 1:
            return 0
        skip = number - 1
        block = bisect_left(self._newlines, skip)
        skip -= self._newlines[block - 1] if block else 0
        data = log.read(block * BLOCK, min((block + 1) * BLOCK, log.size))
        at = -1
        for _ in range(skip):
            at = data.find(b"\n", at + 1)
            if at < 0:
                return None
        start = block * BLOCK + at + 1
        return start if start < log.size else None

    def lines(self, log: OpenLog) -> int:
        """How many lines the file has (an unfinished last one counts); 0 if not counted yet."""
        return self.line_at(log, log.size - 1) if log.size else 0
