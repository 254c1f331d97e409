"""Where in the grid each job stands: rows of many cells, or one job a row. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import NamedTuple

from .model import GridModel

BLOCK = 10
"""Cells between two gaps."""

_NICE = (10, 20, 50, 100, 200, 500, 1000)


class GridRow(NamedTuple):
    """What one row of the grid shows: places `first` up to (without) `last` of a group, beginning in
    column `column`; a heading has no places."""

    group: int
    heading: bool
    label: int
    first: int
    last: int


class JobLayout:
    """The rows of the grid at one width.

    A group whose JobIndexes have few gaps is laid out by JobIndex, so that a row of 100 begins with 0,
    100, 200, ... One with many gaps, or of a filter's matches, is laid out one job after the other.

    Args:
        width: columns for labels and cells.
        per_row: jobs in a row, 0: as many as fit.
    """

    def __init__(self, board: GridModel, width: int, per_row: int = 0) -> None:
        self.board = board
        self.label_width = max((len(f"{group.indexes[-1]}") for group in board.groups), default=1) + 3
        self.per_row = per_row or cells_that_fit(width - self.label_width)
        self.headings = len(board.groups) > 1 or (board.matching and bool(board.groups))
        self.tops: list[int] = []
        self.by_index: list[bool] = []
        top = 0
        for group in board.groups:
            self.tops.append(top)
            span = group.indexes[-1] // self.per_row - group.indexes[0] // self.per_row + 1
            rows = -(-len(group) // self.per_row)
            aligned = not board.matching and self.per_row > 1 and span <= 2 * rows + 2
            self.by_index.append(aligned)
            top += (span if aligned else rows) + self.headings
        self.rows = top
        self.order: array[int] | None = None
        self._row_of = array("q")

    @classmethod
    def of_rows(cls, board: GridModel, order: array[int] | None = None) -> JobLayout:
        """Return the layout with one job a row.

        Args:
            order: the numbers of the jobs (see GridModel.at) in the order of their rows, without headings.
                None: the order of the board, with a heading for each batch.
        """
        layout = cls(board, 0, 1)
        layout.label_width = 2
        if order is not None:
            layout.order = order
            layout.headings = False
            layout.rows = len(order)
            layout._row_of = array("q", bytes(8 * len(order)))
            for row, n in enumerate(order):
                layout._row_of[n] = row
        return layout

    def slot(self, row: int) -> GridRow | None:
        """Return what row `row` shows; None below the last."""
        if not 0 <= row < self.rows:
            return None
        if self.order is not None:
            at, place = self.board.at(self.order[row])
            return GridRow(at, False, self.board.groups[at].indexes[place], place, place + 1)
        at = bisect_right(self.tops, row) - 1
        group = self.board.groups[at]
        within = row - self.tops[at] - self.headings
        if within < 0:
            return GridRow(at, True, 0, 0, 0)
        if self.by_index[at]:
            low = (group.indexes[0] // self.per_row + within) * self.per_row
            first, last = group.span(low, low + self.per_row)
            return GridRow(at, False, low, first, last)
        first = within * self.per_row
        return GridRow(at, False, group.indexes[first], first, min(first + self.per_row, len(group)))

    def row_and_column(self, group: int, place: int) -> tuple[int, int]:
        """Return the row of the grid and the cell in it where a job stands."""
        if self.order is not None:
            return self._row_of[self.board.number(group, place)], 0
        top = self.tops[group] + self.headings
        if self.by_index[group]:
            index = self.board.groups[group].indexes[place]
            first = self.board.groups[group].indexes[0] // self.per_row
            return top + index // self.per_row - first, index % self.per_row
        return top + place // self.per_row, place % self.per_row

    def column_of(self, slot: GridRow, place: int) -> int:
        """Return the cell of a place within its row."""
        if self.by_index[slot.group]:
            return self.board.groups[slot.group].indexes[place] - slot.label
        return place - slot.first

    def place_at(self, row: int, column: int) -> tuple[int, int] | None:
        """Return group and place of the job at, or nearest to, a cell; None where the row has no job."""
        slot = self.slot(row)
        if slot is None or slot.heading or slot.first == slot.last:
            return None
        if not self.by_index[slot.group]:
            return slot.group, min(slot.first + column, slot.last - 1)
        low, _ = self.board.groups[slot.group].span(slot.label + column, slot.label + column)
        return slot.group, max(slot.first, min(low, slot.last - 1))


def cells_that_fit(width: int) -> int:
    """Return the largest round number of cells, with a gap after every tenth, that `width` columns hold."""
    fitting = [n for n in _NICE if n + n // BLOCK - 1 <= width]
    return fitting[-1] if fitting else max(min(width, BLOCK), 1)
