"""LogViewport: the rows of a log around what is on the screen, and moving through them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from paraschut_core.logs import Row

MOST_ROWS = 3000
"""Rows kept when more are appended: the oldest go."""


class LogViewport:
    """A stretch of rows, of which some lines are on the screen.

    A row takes one line, or several when long rows are wrapped. The position is the row at the top and
    which of its lines is the first shown.

    Args:
        measure: how many lines a row takes.
    """

    def __init__(self, measure: Callable[[Row], int]) -> None:
        self._measure = measure
        self.rows: list[Row] = []
        self.at_start = True
        """Whether the first of `rows` is the first of the log."""
        self.at_end = True
        """Whether the last of `rows` was the last of the log."""
        self.top = 0
        self.sub = 0

    # ------------------------------------------------------------------ content

    def load(self, rows: Sequence[Row], at_start: bool, at_end: bool) -> None:
        """Take other rows; the position is then to be set with one of the methods below."""
        self.rows = list(rows)
        self.at_start, self.at_end = at_start, at_end
        self.top = self.sub = 0

    def extend(self, rows: Sequence[Row], at_end: bool) -> None:
        """Add later rows; the first may be the last one that is here already, grown longer."""
        if self.rows and rows and rows[0].start == self.rows[-1].start:
            self.rows.pop()
        self.rows.extend(rows)
        self.at_end = at_end
        surplus = min(len(self.rows) - MOST_ROWS, self.top)
        if surplus > 0:
            del self.rows[:surplus]
            self.top -= surplus
            self.at_start = False
        if len(self.rows) > 2 * MOST_ROWS:
            # Nobody follows: what is written far below the screen is read when somebody goes there.
            del self.rows[MOST_ROWS:]
            self.at_end = False

    # ------------------------------------------------------------------ position

    @property
    def top_row(self) -> Row | None:
        """The row at the top of the screen."""
        return self.rows[self.top] if self.rows else None

    def index_at(self, offset: int) -> int:
        """The row that holds the byte `offset`, or the nearest before it; 0 if there is none."""
        return max(bisect_right(self.rows, offset, key=lambda row: row.start) - 1, 0)

    def holds(self, offset: int) -> bool:
        """Return whether a row of these begins at `offset`."""
        return bool(self.rows) and self.rows[self.index_at(offset)].start == offset

    def lines(self, height: int) -> list[tuple[int, int]]:
        """What is on a screen of `height` lines: (row, line of that row), fewer at the end of the log."""
        shown: list[tuple[int, int]] = []
        row, sub = self.top, self.sub
        while row < len(self.rows) and len(shown) < height:
            for line in range(sub, self._measure(self.rows[row])):
                shown.append((row, line))
            row, sub = row + 1, 0
        return shown[:height]

    def last_position(self, height: int) -> tuple[int, int]:
        """The position that has the last line on the last line of the screen."""
        left = height
        row = len(self.rows)
        while row > 0:
            row -= 1
            lines = self._measure(self.rows[row])
            if lines >= left:
                return row, lines - left
            left -= lines
        return 0, 0

    def shows_end(self, height: int) -> bool:
        """Return whether the last line of the log is on the screen."""
        return self.at_end and (self.top, self.sub) >= self.last_position(height)

    def move(self, delta: int, height: int) -> int:
        """Move by lines; return how many could not be moved for want of rows."""
        return self._down(delta, height) if delta > 0 else -self._up(-delta)

    def _down(self, wanted: int, height: int) -> int:
        last = self.last_position(height)
        while wanted > 0 and (self.top, self.sub) < last:
            if self.sub + 1 < self._measure(self.rows[self.top]):
                self.sub += 1
            else:
                self.top, self.sub = self.top + 1, 0
            wanted -= 1
        return wanted

    def _up(self, wanted: int) -> int:
        while wanted > 0 and (self.top, self.sub) > (0, 0):
            if self.sub > 0:
                self.sub -= 1
            else:
                self.top -= 1
                self.sub = self._measure(self.rows[self.top]) - 1
            wanted -= 1
        return wanted

    def to_start(self) -> None:
        self.top = self.sub = 0

    def to_end(self, height: int) -> None:
        self.top, self.sub = self.last_position(height)

    def to_offset(self, offset: int, height: int, above: int = 0, sub: int = 0) -> None:
        """Put the row at `offset` on the screen with `above` lines above it, without going past the end."""
        self.top, self.sub = self.index_at(offset), 0
        if self.rows:
            self.sub = min(sub, self._measure(self.rows[self.top]) - 1)
        self._up(above)
        self.settle(height)

    def settle(self, height: int) -> None:
        """Leave no empty lines below the end of the log while there are rows above."""
        if self.rows:
            self.top = min(self.top, len(self.rows) - 1)
            self.sub = min(self.sub, self._measure(self.rows[self.top]) - 1)
        self.top, self.sub = min((self.top, self.sub), self.last_position(height))

    def shows(self, offset: int, height: int) -> bool:
        """Return whether a line of the row that begins at `offset` is on the screen."""
        return any(self.rows[row].start == offset for row, _ in self.lines(height))

    def short_of_rows(self, height: int) -> bool:
        """Return whether the view is so near to the end of what is loaded that more should be."""
        above = self.top
        below = len(self.rows) - self.top - height
        return (above < height and not self.at_start) or (below < height and not self.at_end)
