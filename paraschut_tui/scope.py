"""Scope: which jobs the grid shows, and keeping them up to date with the snapshots."""

from __future__ import annotations

from collections.abc import Callable

from paraschut_core.errors import FilterError
from paraschut_core.model import JobKey, Snapshot
from paraschut_core.text import clean_line

from .board import Board
from .feed import Update
from .figures import count
from .gateway import Gateway, Request
from .look import Looks
from .messages import CellsReady
from .query import Query, parse
from .strips import Part
from .widgets.job_grid import JobGrid


class Scope:
    """Feeds the grid with a batch, several batches, or what matches the filter.

    Args:
        changed: called when what is shown, or how much of it, is different.
    """

    def __init__(self, gateway: Gateway, looks: Looks, grid: JobGrid, changed: Callable[[], None]) -> None:
        self._gateway = gateway
        self._looks = looks
        self._grid = grid
        self._changed = changed
        self._snapshot: Snapshot | None = None
        self._ticket = 0
        self._stale = False
        self._go_to: tuple[int, int | None, int | None] | None = None
        self._seats: dict[int, JobKey] = {}
        self.batches: tuple[int, ...] = ()
        self.query: Query | None = None
        self.loading = False
        self.error = ""

    # ------------------------------------------------------------------ what to show

    def show_batch(self, batch_id: int, look: int | None = None, index: int | None = None) -> None:
        """Shows a batch, the cursor on a job or on the first one of a look, if given. With a filter in
        force all that matches stays shown, and the cursor goes to the batch's part of it."""
        here = self.query is not None or self.batches == (batch_id,)
        if here and not self.loading:
            self._place(batch_id, look, index)
            return
        self._go_to = (batch_id, look, index)
        if not here:
            self._remember_seat()
            self.batches = (batch_id,)
            self._load()

    def go_to_batch(self, batch_id: int) -> None:
        """Puts the cursor on the batch's first job, if it is among what is shown."""
        group = self._grid.board.group_of(batch_id)
        if group is not None:
            self._grid.go_to(self._grid.board.key(group, 0))

    def show_batches(self, batch_ids: tuple[int, ...]) -> None:
        """Shows several batches, one below the other."""
        self._remember_seat()
        self.batches = batch_ids
        self._load()

    def set_filter(self, text: str) -> None:
        """Shows what matches; "" shows the batch again. What is wrong with the text is in `error`."""
        self.error = ""
        try:
            query = parse(text) if text.strip() else None
        except FilterError as error:
            self.error = str(error)
            self._changed()
            return
        if query != self.query:
            self.query = query
            self._load()

    def reload(self) -> None:
        """Reads the shown jobs anew, soon: at once, or when what is being read has come."""
        if self.loading:
            self._stale = True
        else:
            self._load()

    def _remember_seat(self) -> None:
        if self._grid.cursor is not None and self.query is None:
            self._seats[self._grid.cursor.batch_id] = self._grid.cursor

    def _load(self) -> None:
        if self._snapshot is None or not (self.batches or self.query):
            return
        self._stale = False
        self.loading = True
        missing = tuple(self._snapshot.missing) if self.query is not None else ()
        self._ticket = self._gateway.load(Request(self.batches, self.query), missing)

    # ------------------------------------------------------------------ what came

    def take_cells(self, message: CellsReady) -> None:
        """Shows jobs that were read, unless something else was asked for meanwhile."""
        if message.ticket != self._ticket or self._snapshot is None:
            return
        self.loading = not message.done
        self.error = message.error
        if message.error and self.query is not None:
            self._changed()  # a condition that SQLite does not take: what was shown stays
            return
        board = Board(message.cells, self._looks, matching=self.query is not None)
        board.dress(self._snapshot)
        old = self._grid.board
        same = [(g.batch_id, len(g)) for g in old.groups] == [(g.batch_id, len(g)) for g in board.groups]
        self._grid.show(board, self._note(), self._grid.order if same else None)
        if message.done and self._grid.density == "rows" and self._grid.sorting:
            self._grid.post_message(self._grid.SortWanted())
        if message.done:
            self._arrive()
            if self._stale:
                self._load()
        self._changed()

    def take_update(self, update: Update) -> None:
        """Brings the shown jobs up to a newer snapshot."""
        old, self._snapshot = self._snapshot, update.snapshot
        board = self._grid.board
        change = board.update(old, update.snapshot, update.rows, update.removed)
        self._grid.repaint_places(change.places)
        gone = [batch_id for batch_id in self.batches if batch_id not in update.snapshot.batches]
        if gone:
            self.batches = tuple(batch_id for batch_id in self.batches if batch_id not in gone)
        if not self.batches and self.query is None:
            self.loading = False
            self._grid.show(Board((), self._looks), [[("The batch was removed.", "muted")]] if gone else ())
            return
        if update.reload or change.stale or gone or old is None:
            self.reload()

    def _arrive(self) -> None:
        """Puts the cursor where it was to go once the jobs are there."""
        if self._go_to is not None:
            batch_id, look, index = self._go_to
            self._go_to = None
            if not self._place(batch_id, look, index):
                seat = self._seats.get(batch_id)
                if seat is not None:
                    self._grid.go_to(seat)

    def _place(self, batch_id: int, look: int | None, index: int | None) -> bool:
        if index is not None:
            return self._grid.go_to(JobKey(batch_id, index))
        if look is not None:
            cursor = self._grid.cursor
            if cursor is not None and cursor.batch_id == batch_id:
                place = self._grid.board.locate(cursor)
                if place is not None and self._grid.board.groups[place[0]].looks[place[1]] == look:
                    return True
            return self._grid.go_to_look(batch_id, look)
        if self.query is not None:
            self.go_to_batch(batch_id)
        return False

    # ------------------------------------------------------------------ words

    def _note(self) -> list[list[Part]]:
        """Why an empty grid is empty, and what to do."""
        assert self._snapshot is not None  # cells come after a snapshot only
        if self.error:
            return [[(clean_line(self.error), "error")]]
        if self.query is not None:
            text = clean_line(self.query.text)
            rest = f" · Esc shows all {count(self._snapshot.total)}"
            return [[(f"No jobs match {text}", "text"), (rest, "muted")]]
        return [[("This batch has no jobs.", "muted")]]
