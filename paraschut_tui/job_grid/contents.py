"""GridContents: which jobs the grid shows, and keeping them up to date with the snapshots."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Mapping

from paraschut_core.errors import FilterError
from paraschut_core.filtering.language import Query, parse
from paraschut_core.model import JobKey, Snapshot
from paraschut_core.sanitize import clean_line

from ..backend.backend import ThreadedBackend
from ..backend.job_loader import JobQuery
from ..backend.snapshot_worker import SnapshotUpdate
from ..backend.worker_thread import Request
from ..formatting import count
from ..messages import JobsLoaded, JobsRechecked
from ..state_styles import StateStyles
from ..widgets.styled_line import Part
from .model import GridModel
from .widget import JobGrid

MOST_KEPT_IN_ORDER = 20_000
"""Jobs up to which those that are sorted stay so while some come or go."""


class GridContents:
    """Feeds the grid with a batch, several batches, or what matches the filter.

    Args:
        changed: called when what is shown, or how much of it, is different.
    """

    def __init__(
        self, gateway: ThreadedBackend, looks: StateStyles, grid: JobGrid, changed: Callable[[], None]
    ) -> None:
        self._gateway = gateway
        self._looks = looks
        self._grid = grid
        self._changed = changed
        self._snapshot: Snapshot | None = None
        self._request: Request | None = None
        self._stale = False
        self._anew = False
        self._doubtful: set[JobKey] = set()
        self._wish: JobKey | None = None
        self._led: JobKey | None = None
        self._home: JobKey | None = None
        self._go_to: tuple[int, int | None, int | None] | None = None
        self._seats: dict[int, JobKey] = {}
        self.batches: tuple[int, ...] = ()
        self.query: Query | None = None
        self.loading = False
        self.searched = 1.0
        """How much of the file a search has been through."""
        self.found = 0
        """Jobs that the search under way has found so far."""
        self.error = ""
        self._refused = ""  # why the query in force cannot be answered
        self.saved: Mapping[str, str] = {}
        """Saved filters by name, for the filters that call them."""

    # ------------------------------------------------------------------ what to show

    def show_batch(self, batch_id: int, look: int | None = None, index: int | None = None) -> None:
        """Shows a batch, the cursor on a job or on the first one of a look, if given. With a filter in
        force all that matches stays shown, and the cursor goes to the batch's part of it."""
        here = self.query is not None or self.batches == (batch_id,)
        if here and not self.loading:
            self._move_cursor(batch_id, look, index)
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
        """Shows what matches; "" shows the batch of the job under the cursor. What is wrong with the text is
        in `error`."""
        try:
            query = parse(text, saved=self.saved) if text.strip() else None
        except FilterError as error:
            self.error = str(error)
            self._changed()
            return
        same = (query and query.text) == (self.query and self.query.text)
        if not same:
            self._refused = ""
        self.error = self._refused
        if query is None and self.query is not None:
            self._leave_filter()
        elif not same:
            if self.query is None:
                self._remember_seat()
                self._home = self._grid.cursor
            self.query = query
            self._load()

    def _leave_filter(self) -> None:
        """Shows the batch again: that of the job to which the user went among the matches, else the one
        from before."""
        cursor, here = self._grid.cursor, self._grid.board.matching
        job = cursor if here and cursor != self._led else self._home
        self.query = None
        if len(self.batches) <= 1 and job is not None:
            self.batches = (job.batch_id,)
            self._go_to = (job.batch_id, None, job.job_index)
        self._load()

    def refresh_ages(self) -> None:
        """Reads anew what changes with the clock: ages."""
        if self.query is not None and self.query.timed and not self.loading:
            self.query = parse(self.query.text, saved=self.saved)
            self._load(anew=True)

    def look_at_logs(self) -> None:
        """Looks whether logs hold by now what the filter wants in them: nothing else tells of it."""
        if self.query is not None and self.query.log and not self.loading:
            self._load(anew=True)

    @property
    def reading(self) -> bool:
        """Whether something is being read that is not on the screen yet."""
        return self.loading and not self._anew

    def reload(self) -> None:
        """Reads the shown jobs anew, soon: at once, or when what is being read has come."""
        if self.loading:
            self._stale = True
        else:
            self._load(anew=self._grid.board.total > 0)

    def _remember_seat(self) -> None:
        if self._grid.cursor is not None and self.query is None:
            self._seats[self._grid.cursor.batch_id] = self._grid.cursor

    def _load(self, *, anew: bool = False) -> None:
        """Asks for the jobs; `anew` if they are there already and only have to be brought up to date."""
        if self._snapshot is None or not (self.batches or self.query):
            return
        self._stale = False
        self._anew = anew
        self._doubtful.clear()
        self._wish = self._led = self._grid.cursor
        self.loading = True
        self.searched = 0.0 if self.query is not None else 1.0
        self.found = 0
        missing = tuple(self._snapshot.missing) if self.query is not None else ()
        self._request = self._gateway.load(JobQuery(self.batches, self.query), missing)

    # ------------------------------------------------------------------ what came

    def take_cells(self, message: JobsLoaded) -> None:
        """Shows jobs that were read, unless something else was asked for meanwhile."""
        if not message.request.wanted or self._snapshot is None:
            return
        self.loading = not message.done
        self.searched = message.searched
        self.found = sum(len(part.states) for part in message.cells)
        self.error = self._refused = message.error
        wrong = message.error and self.query is not None  # SQLite does not take it: what was shown stays
        if wrong or (self.loading and (self._anew or not message.cells)):
            self._changed()
            return
        board = GridModel(message.cells, self._looks, matching=self.query is not None)
        board.apply_scheduler_state(self._snapshot)
        old = self._grid.board
        same = [(g.batch_id, len(g)) for g in old.groups] == [(g.batch_id, len(g)) for g in board.groups]
        led = self._grid.cursor == self._led
        self._grid.show(board, self._note() if not board.total else (), self._grid.order if same else None)
        if led:  # not moved by the user since: the job that was under the cursor may be in this part only
            if self._wish is not None:
                self._grid.go_to(self._wish)
            self._led = self._grid.cursor
        if message.done and self._grid.density == "rows" and self._grid.sorting:
            self._grid.post_message(self._grid.SortRequested())
        if message.done:
            self._move_to_requested()
            if self._stale:
                self._load(anew=True)
            else:
                self._check_doubtful()
        self._changed()

    def take_matches(self, message: JobsRechecked) -> None:
        """Takes jobs in or out that changed so that they match the filter now, or no longer do."""
        if message.request.wanted and self._snapshot is not None and not self.loading:
            board = self._grid.board
            found = {
                key: code
                for key, code in message.found.items()
                if code is not None or board.locate(key) is not None
            }
            self._merge(found)

    def _check_doubtful(self) -> None:
        request = self._request
        if self._doubtful and request and self.query is not None and self._snapshot is not None:
            keys, self._doubtful = self._doubtful, set()
            self._gateway.match(request, self.query, keys, tuple(self._snapshot.missing))

    def _merge(self, found: Mapping[JobKey, int | None]) -> None:
        assert self._snapshot is not None  # callers have made sure
        if not found:
            return
        board = self._grid.board.with_changes(found, self._snapshot)
        if all(map(operator.is_, board.groups, self._grid.board.groups)) and (
            len(board.groups) == len(self._grid.board.groups)
        ):
            self._grid.repaint_changed()  # the same jobs, some in other states
        else:
            self._grid.show(board, self._note() if not board.total else (), self._order_for(board))
            if self._grid.density == "rows" and self._grid.sorting:
                self._grid.post_message(self._grid.SortRequested())
        self._changed()

    def _order_for(self, board: GridModel) -> array[int] | None:
        """The order of the jobs shown so far, with new ones at its end, until they are sorted anew."""
        order, old = self._grid.order, self._grid.board
        if order is None or board.total > MOST_KEPT_IN_ORDER:
            return None
        places = (board.locate(old.key(*old.at(n))) for n in order)
        kept = [board.number(*place) for place in places if place is not None]
        return array("q", [*kept, *sorted(set(range(board.total)).difference(kept))])

    def take_update(self, update: SnapshotUpdate) -> None:
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
            self._grid.show(
                GridModel((), self._looks), [[("The batch was removed.", "muted")]] if gone else ()
            )
            return
        if update.reload or change.stale or gone or old is None:
            self.reload()
            return
        if change.strangers and self.loading:
            self._stale = True  # they may have come too late for what is being read
        elif change.strangers:
            self._merge({row.key: self._looks.code(row.state) for row in change.strangers})
        if change.doubtful:
            self._doubtful |= change.doubtful
            if not self.loading:
                self._check_doubtful()

    def _move_to_requested(self) -> None:
        """Puts the cursor where it was to go once the jobs are there."""
        if self._go_to is not None:
            batch_id, look, index = self._go_to
            self._go_to = None
            if not self._move_cursor(batch_id, look, index):
                seat = self._seats.get(batch_id)
                if seat is not None:
                    self._grid.go_to(seat)

    def _move_cursor(self, batch_id: int, look: int | None, index: int | None) -> bool:
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
        if self.query is not None and self.loading:
            return [[("looking", "muted")]]
        if self.query is not None:
            text = clean_line(self.query.text)
            rest = f" · Esc shows all {count(self._snapshot.total)}"
            return [[(f"No jobs match {text}", "text"), (rest, "muted")]]
        return [[("This batch has no jobs.", "muted")]]
