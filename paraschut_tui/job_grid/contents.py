"""GridContents: which jobs the grid shows, and keeping them up to date with the snapshots."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from paraschut_core.errors import FilterError
from paraschut_core.filtering.language import parse
from paraschut_core.model import JobKey, Snapshot
from paraschut_core.sanitize import clean_line

from ..backend.backend import Backend
from ..backend.job_loader import JobQuery
from ..backend.snapshot_worker import SnapshotUpdate
from ..backend.worker_thread import Request
from ..dashboard_state import DashboardState
from ..formatting import count
from ..messages import JobsLoaded, JobsRechecked
from ..widgets.styled_line import Part
from .model import GridModel
from .widget import JobGrid

MOST_KEPT_IN_ORDER = 20_000
"""Jobs up to which those that are sorted stay so while some come or go."""


@dataclass
class CursorPlaces:
    """Where the cursor of the grid goes once jobs are read.

    `requested` is a batch with the state or the JobIndex that were asked for; `kept` the job under the cursor
    when reading began, `placed` the one that the contents put it on last (another one: the user moved it);
    `before_filter` the job to return to, `left_at` the last job in each batch.
    """

    requested: tuple[int, int | None, int | None] | None = None
    kept: JobKey | None = None
    placed: JobKey | None = None
    before_filter: JobKey | None = None
    left_at: dict[int, JobKey] = field(default_factory=dict)


class GridContents:
    """Loads a batch, several batches, or what matches the filter into the grid.

    Args:
        changed: called when what is shown, or how much of it, is different.
    """

    def __init__(
        self,
        backend: Backend,
        state: DashboardState,
        grid: JobGrid,
        changed: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._state = state
        self._styles = backend.styles
        self._grid = grid
        self._changed = changed
        self._snapshot: Snapshot | None = None  # the one that the grid shows
        self._request: Request | None = None
        self._reload_wanted = False
        self._updates_only = False  # what is being read is shown already
        self._to_recheck: set[JobKey] = set()
        self._cursor = CursorPlaces()
        self.batches: tuple[int, ...] = ()
        self.loading = False
        self.searched = 1.0
        """The share of the file that a search has read."""
        self.found = 0
        """Jobs that the search under way has found so far."""
        self.error = ""
        self._query_error = ""  # why the filter in force cannot be answered

    # ------------------------------------------------------------------ what to show

    def show_batch(self, batch_id: int, look: int | None = None, index: int | None = None) -> None:
        """Show a batch, with the cursor on a job or on the first job in a state, if given.

        With a filter in force all its matches stay shown, and the cursor goes to those of the batch.
        """
        here = self._state.query is not None or self.batches == (batch_id,)
        if here and not self.loading:
            self._move_cursor(batch_id, look, index)
            return
        self._cursor.requested = (batch_id, look, index)
        if not here:
            self._remember_cursor()
            self.batches = (batch_id,)
            self._load()

    def go_to_batch(self, batch_id: int) -> None:
        """Put the cursor on the batch's first job, if that is shown."""
        group = self._grid.board.group_of(batch_id)
        if group is not None:
            self._grid.go_to(self._grid.board.key(group, 0))

    def show_batches(self, batch_ids: tuple[int, ...]) -> None:
        """Show several batches, one below the other."""
        self._remember_cursor()
        self.batches = batch_ids
        self._load()

    def set_filter(self, text: str) -> None:
        """Show what matches a filter; "" shows the batch of the job under the cursor.

        `error` says what is wrong with the text.
        """
        try:
            query = (
                parse(text, saved=self._state.saved_filters, states=self._states_in_use())
                if text.strip()
                else None
            )
        except FilterError as error:
            self.error = error.message
            self._changed()
            return
        same = (query and query.text) == (self._state.query and self._state.query.text)
        if not same:
            self._query_error = ""
        self.error = self._query_error
        if query is None and self._state.query is not None:
            self._leave_filter()
        elif not same:
            if self._state.query is None:
                self._remember_cursor()
                self._cursor.before_filter = self._grid.cursor
            self._state.query = query
            self._load()
        else:
            self._changed()

    def _states_in_use(self) -> set[str]:
        snapshot = self._state.snapshot
        batches = snapshot.batches.values() if snapshot is not None else ()
        return {state for batch in batches for _, state in batch.counts}

    def _leave_filter(self) -> None:
        """Show the batch of the job that the user went to among the matches, else the batch from before."""
        cursor, here = self._grid.cursor, self._grid.board.matching
        job = cursor if here and cursor != self._cursor.placed else self._cursor.before_filter
        self._state.query = None
        if len(self.batches) <= 1 and job is not None:
            self.batches = (job.batch_id,)
            self._cursor.requested = (job.batch_id, None, job.job_index)
        self._load()

    def refresh_ages(self) -> None:
        """Read again what depends on the clock: ages."""
        if self._state.query is not None and self._state.query.timed and not self.loading:
            self._state.query = parse(self._state.query.text, saved=self._state.saved_filters)
            self._load(update=True)

    def search_logs(self) -> None:
        """Search the logs again for what the filter looks for in them: nothing else reports their changes."""
        if self._state.query is not None and self._state.query.log and not self.loading:
            self._load(update=True)

    @property
    def reading(self) -> bool:
        """Whether something is being read that is not shown yet."""
        return self.loading and not self._updates_only

    def reload(self) -> None:
        """Read the shown jobs again, once what is being read is there."""
        if self.loading:
            self._reload_wanted = True
        else:
            self._load(update=self._grid.board.total > 0)

    def _remember_cursor(self) -> None:
        if self._grid.cursor is not None and self._state.query is None:
            self._cursor.left_at[self._grid.cursor.batch_id] = self._grid.cursor

    def _load(self, *, update: bool = False) -> None:
        """Begin to read the jobs; `update` if they are shown already and may only have changed."""
        if self._snapshot is None or not (self.batches or self._state.query):
            return
        self._reload_wanted = False
        self._updates_only = update
        self._to_recheck.clear()
        self._cursor.kept = self._cursor.placed = self._grid.cursor
        self.loading = True
        self.searched = 0.0 if self._state.query is not None else 1.0
        self.found = 0
        missing = tuple(self._snapshot.missing) if self._state.query is not None else ()
        self._request = self._backend.load(JobQuery(self.batches, self._state.query), missing)
        self._changed()

    # ------------------------------------------------------------------ what was read

    def take_cells(self, message: JobsLoaded) -> None:
        """Show jobs that were read, unless something else was asked for meanwhile."""
        if not message.request.wanted or self._snapshot is None:
            return
        self.loading = not message.done
        self.searched = message.searched
        self.found = sum(len(part.states) for part in message.cells)
        self.error = self._query_error = message.error
        wrong = message.error and self._state.query is not None  # SQLite refuses it: the rest stays
        if wrong or (self.loading and (self._updates_only or not message.cells)):
            self._changed()
            return
        board = GridModel(message.cells, self._styles, matching=self._state.query is not None)
        board.apply_scheduler_state(self._snapshot)
        old = self._grid.board
        same = [(g.batch_id, len(g)) for g in old.groups] == [(g.batch_id, len(g)) for g in board.groups]
        was_placed = self._grid.cursor == self._cursor.placed
        self._grid.show(board, self._note() if not board.total else (), self._grid.order if same else None)
        if was_placed:  # the user did not move it: the job that was under it may be in this part only
            if self._cursor.kept is not None:
                self._grid.go_to(self._cursor.kept)
            self._cursor.placed = self._grid.cursor
        if message.done and self._grid.density == "rows" and self._grid.sorting:
            self._grid.post_message(self._grid.SortRequested())
        if message.done:
            self._move_to_requested()
            if self._reload_wanted:
                self._load(update=True)
            else:
                self._recheck()
        self._changed()

    def take_matches(self, message: JobsRechecked) -> None:
        """Add jobs that match the filter now that they changed; remove those that do not."""
        if message.request.wanted and self._snapshot is not None and not self.loading:
            board = self._grid.board
            found = {
                key: code
                for key, code in message.found.items()
                if code is not None or board.locate(key) is not None
            }
            self._merge(found)

    def _recheck(self) -> None:
        request = self._request
        if self._to_recheck and request and self._state.query is not None and self._snapshot is not None:
            keys, self._to_recheck = self._to_recheck, set()
            self._backend.match(request, self._state.query, keys, tuple(self._snapshot.missing))

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
        """Return the order of the shown jobs, with new ones at its end, until they are sorted again."""
        order, old = self._grid.order, self._grid.board
        if order is None or board.total > MOST_KEPT_IN_ORDER:
            return None
        places = (board.locate(old.key(*old.at(n))) for n in order)
        kept = [board.number(*place) for place in places if place is not None]
        return array("q", [*kept, *sorted(set(range(board.total)).difference(kept))])

    def take_update(self, update: SnapshotUpdate) -> None:
        """Bring the shown jobs up to a newer snapshot."""
        old, self._snapshot = self._snapshot, update.snapshot
        board = self._grid.board
        change = board.update(old, update.snapshot, update.rows, update.removed)
        self._grid.repaint_places(change.places)
        gone = [batch_id for batch_id in self.batches if batch_id not in update.snapshot.batches]
        if gone:
            self.batches = tuple(batch_id for batch_id in self.batches if batch_id not in gone)
        if not self.batches and self._state.query is None:
            self.loading = False
            self._grid.show(
                GridModel((), self._styles), [[("The batch was removed.", "muted")]] if gone else ()
            )
            return
        if update.reload or change.stale or gone or old is None:
            self.reload()
            return
        if change.strangers and self.loading:
            self._reload_wanted = True  # they may have come too late for what is being read
        elif change.strangers:
            self._merge({row.key: self._styles.code(row.state) for row in change.strangers})
        if change.doubtful:
            self._to_recheck |= change.doubtful
            if not self.loading:
                self._recheck()

    def _move_to_requested(self) -> None:
        """Put the cursor where it was requested to be once the jobs are there."""
        if self._cursor.requested is not None:
            batch_id, look, index = self._cursor.requested
            self._cursor.requested = None
            if not self._move_cursor(batch_id, look, index):
                left_at = self._cursor.left_at.get(batch_id)
                if left_at is not None:
                    self._grid.go_to(left_at)

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
        if self._state.query is not None:
            self.go_to_batch(batch_id)
        return False

    # ------------------------------------------------------------------ words

    def _note(self) -> list[list[Part]]:
        """Return why the grid is empty, and what to do."""
        assert self._snapshot is not None  # jobs are read after a snapshot only
        if self.error:
            return [[(clean_line(self.error), "error")]]
        if self._state.query is not None and self.loading:
            return [[("looking", "muted")]]
        if self._state.query is not None:
            text = clean_line(self._state.query.text)
            rest = f" · Esc shows all {count(self._snapshot.total)}"
            return [[(f"No jobs match {text}", "text"), (rest, "muted")]]
        return [[("This batch has no jobs.", "muted")]]
