"""Navigator: the keys that change what is shown: panes, batches, jobs, filter, columns."""

from __future__ import annotations

from functools import partial

from textual import events, work
from textual.timer import Timer
from textual.widget import Widget

from paraschut_core.errors import ParaschutError
from paraschut_core.model import RUNNING, JobKey
from paraschut_core.sanitize import clean_line

from ..batch_tree.widget import BatchTree
from ..dialogs.column_chooser import ColumnChooserScreen
from ..dialogs.health import HealthScreen
from ..filter.term_completion import known_of
from ..job_grid.layout import cells_that_fit
from ..job_grid.widget import JobGrid
from ..job_log.screen import LogScreen
from ..job_log.view import LogSources, LogView, LogViewState
from ..messages import BatchSelected, FilterClosed, FilterEdited
from ..state_styles import L_RUN, L_UNCONFIRMED
from ..terminal.terminal_app import TerminalApp, discard_typeahead
from . import titles
from .base import DashboardBase

NARROW = 110
"""Columns below which the tree gives its place to the grid."""

LEAST_COLUMNS = 24
LEAST_LINES = 5
"""What a pane keeps of the screen however its border is moved."""

ALL_MISSING = "state:missing"
"""The filter that one key sets."""

TYPING = 0.15
"""Seconds without a key after which a filter that is being typed is tried."""

SLOW_TO_SORT = 20_000
"""Jobs from which on sorting is said to be under way."""

_ZOOMS = {"tree": "-zoom-tree", "grid": "-zoom-grid", "log": "-zoom-log"}


class Navigator(DashboardBase):
    """The part of the main screen that moves about."""

    left_columns = 0
    """Columns that the tree was given; 0: as it comes."""
    upper_share = 0.0
    """The share of the lines above the log that was given; 0: as it comes."""

    _typing: Timer | None = None
    _dragged = ""

    # ------------------------------------------------------------------ sizes

    def on_resize(self, event: events.Resize) -> None:
        width = event.size.width
        self.set_class(width < NARROW, "-narrow")
        self._share_columns(width)
        self.share_lines(event.size.height)
        self.call_after_refresh(self.write_headings)

    def _share_columns(self, width: int) -> None:
        """The tree takes what a row of a hundred cells leaves over, if nobody said how much."""
        wanted = self.left_columns or max(40, min(width - 118, 60))
        columns = max(LEAST_COLUMNS, min(wanted, width - 50))
        self.query_one("#left").styles.width = "1fr" if width < NARROW else columns

    def share_lines(self, height: int) -> None:
        """Shares the lines between the jobs and the log: what the largest batch needs, but little more than
        half. It is done once and at a change of size, not from batch to batch: the log must not jump."""
        if self.snapshot is None:
            return
        room = height - 2
        if self.upper_share:
            lines = max(LEAST_LINES, min(round(room * self.upper_share), room - LEAST_LINES))
            self.query_one("#upper").styles.height = lines
            return
        per_row = cells_that_fit(self.size.width - (50 if self.size.width >= NARROW else 9))
        largest = max((batch.total for batch in self.snapshot.batches.values()), default=0)
        wanted = max(-(-largest // per_row) + 5, len(self.batch_tree.outline.rows) + 2)
        self.query_one("#upper").styles.height = max(min(wanted, room * 11 // 20), min(12, room // 2))

    def action_columns(self, by: int) -> None:
        """Moves the border between batches and jobs."""
        if not self.has_class("-narrow"):
            self._set_columns(self.query_one("#left").size.width + by)

    def action_lines(self, by: int) -> None:
        """Moves the border above the log: `by` lines more for the focused pane."""
        upper = self.query_one("#upper").size.height
        self._set_lines(upper + (-by if self.pane == "log" else by))

    def _set_columns(self, columns: int) -> None:
        self.left_columns = max(LEAST_COLUMNS, min(columns, self.size.width - 50)) if columns else 0
        self._share_columns(self.size.width)
        self.call_after_refresh(self.write_headings)

    def _set_lines(self, lines: int) -> None:
        room = self.size.height - 2
        self.upper_share = max(LEAST_LINES, min(lines, room - LEAST_LINES)) / room if lines else 0.0
        self.share_lines(self.size.height)
        self.call_after_refresh(self.write_headings)

    def _border_at(self, x: int, y: int) -> str:
        """Which border the mouse is on: "columns" between batches and jobs, "lines" above the log."""
        upper, left = self.query_one("#upper"), self.query_one("#left")
        if upper.display and y == upper.region.bottom and self.query_one("#lower").display:
            return "lines"
        beside = left.display and self.query_one("#right").display and upper.region.contains(x, y)
        return "columns" if beside and x in (left.region.right - 1, left.region.right) else ""

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._dragged = self._border_at(int(event.screen_x), int(event.screen_y))

    def on_mouse_up(self) -> None:
        self._dragged = ""

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if not event.button:
            self._dragged = ""
        if self._dragged == "columns":
            self._set_columns(max(int(event.screen_x), 1))
        elif self._dragged == "lines":
            self._set_lines(max(int(event.screen_y) - self.query_one("#upper").region.y, 1))

    def on_click(self, event: events.Click) -> None:
        """Twice upon a border: as it would be by itself."""
        border = self._border_at(int(event.screen_x), int(event.screen_y)) if event.chain == 2 else ""
        if border == "columns":
            self._set_columns(0)
        elif border == "lines":
            self._set_lines(0)

    # ------------------------------------------------------------------ panes

    def on_descendant_focus(self) -> None:
        pane = self.pane
        details = pane == "log" and self.has_class("-details")
        self.key_line.show_pane("details" if details else pane)
        self.log_view.set_class(pane == "log", "-focused")
        self.write_headings()

    def _lower(self) -> Widget:
        return self.details if self.has_class("-details") else self.log_view

    def action_details(self) -> None:
        was = self.pane == "log"
        self.toggle_class("-details")
        self.complete_details()
        if was:
            self._lower().focus()

    def action_zoom(self) -> None:
        on = any(self.has_class(name) for name in _ZOOMS.values())
        self.remove_class(*_ZOOMS.values())
        if not on:
            self.add_class(_ZOOMS[self.pane])

    def action_batches(self) -> None:
        if self.has_class("-narrow"):
            self.toggle_class("-batches")
            (self.batch_tree if self.has_class("-batches") else self.grid).focus()
        else:
            self.batch_tree.focus()

    def on_batch_tree_open_requested(self) -> None:
        self.remove_class("-batches")
        self._lower().focus()

    def on_grid_base_open_requested(self) -> None:
        self._lower().focus()

    def action_stream(self) -> None:
        self.remove_class("-details")
        self.log_view.action_stream()

    def on_log_view_full_screen(self, message: LogView.FullScreen) -> None:
        message.stop()
        self._full_screen(message.sources, message.place)

    @work(exclusive=True, group="log", exit_on_error=False)
    async def _full_screen(self, sources: LogSources, place: LogViewState) -> None:
        """The log on the whole screen; afterwards the pane goes on from where the user was there."""
        back = await self.app.push_screen_wait(LogScreen(sources, place, self.action_help))
        if back is not None:
            self.log_view.show(sources, back)

    def action_back(self) -> None:
        """Undoes one thing: a begun range, zoom, the batches over the grid, the focus, the filter."""
        if self.stop_action() or self.grid.cancel_range():
            return
        for name in (*_ZOOMS.values(), "-batches"):
            if self.has_class(name):
                self.remove_class(name)
                self.grid.focus()
                return
        if self.pane != "grid":
            self.grid.focus()
        elif self.scope.query is not None:
            self.scope.set_filter("")
        self.write_headings()

    # ------------------------------------------------------------------ batches and jobs

    def on_batch_selected(self, message: BatchSelected) -> None:
        message.stop()
        look = message.look
        if look == L_UNCONFIRMED and message.index is None and self._has_look(message.batch_id, L_RUN):
            look = L_RUN
        if self.batch_tree.marked and self.scope.query is None:
            self.scope.go_to_batch(message.batch_id)
        else:
            self.scope.show_batch(message.batch_id, look, message.index)
        if message.index is not None:
            # At once if the job is shown already, else once its log is opened.
            self.spawn_wanted = (JobKey(message.batch_id, message.index), message.spawn)
            if self.grid.cursor == self.spawn_wanted[0]:
                self.log_view.show_spawn(message.spawn)
        self.write_headings()

    def on_batch_tree_marked(self, message: BatchTree.Marked) -> None:
        """Shows the marked batches together; none marked: the one under the cursor."""
        message.stop()
        cursor = self.batch_tree.cursor
        if self.batch_tree.marked:
            self.scope.show_batches(tuple(sorted(self.batch_tree.marked, reverse=True)))
        elif cursor is not None:
            self.scope.show_batch(cursor.batch_id)
        self.write_headings()

    def _has_look(self, batch_id: int, look: int) -> bool:
        group = self.grid.board.group_of(batch_id)
        return group is not None and self.grid.board.groups[group].find(look, 0) >= 0

    def action_previous_batch(self) -> None:
        self.batch_tree.step_batch(-1)

    def action_next_batch(self) -> None:
        self.batch_tree.step_batch(1)

    def action_next_missing(self) -> None:
        """To the next missing job behind the cursor, through all batches and round."""
        if self.snapshot is None or not self.snapshot.missing:
            self.say("Nothing is missing.")
            return
        lost = sorted(self.snapshot.missing, key=lambda key: (-key.batch_id, key.job_index))
        here = self.grid.cursor
        after = [
            k for k in lost if here is None or (-k.batch_id, k.job_index) > (-here.batch_id, here.job_index)
        ]
        self.go_to_job((after or lost)[0])

    def action_all_missing(self) -> None:
        """The missing jobs of all batches, as by the filter; once more: what was there before."""
        on = self.scope.query is not None and self.scope.query.text == ALL_MISSING
        self.scope.set_filter("" if on else ALL_MISSING)
        self.write_headings()

    def go_to_job(self, key: JobKey) -> None:
        """Puts the cursor on a job, wherever it is."""
        if not self.grid.go_to(key):
            if self.scope.query is not None:
                self.scope.set_filter("")
            self.batch_tree.go_to_batch(key.batch_id)
            self.scope.show_batch(key.batch_id, index=key.job_index)

    def go_to_batch(self, batch_id: int) -> None:
        """Shows a batch."""
        if self.scope.query is not None:
            self.scope.set_filter("")
        self.batch_tree.go_to_batch(batch_id)
        self.scope.show_batch(batch_id)

    @work(exclusive=True, group="newest", exit_on_error=False)
    async def action_newest_running(self) -> None:
        """To the job that started last, its log followed."""
        live = self.snapshot.live if self.snapshot is not None else {}
        running = [key for key, job in live.items() if job.state == RUNNING]
        if not running:
            self.say("Nothing runs.")
            return
        try:
            rows = await self.before_keys(self.gateway.rows(running))
        except ParaschutError as error:
            self.say(str(error), "error")
            return
        if rows:
            self.go_to_job(max(rows, key=lambda row: (row.started_at or 0.0, row.key)).key)
            self._lower().focus()

    def action_refresh(self) -> None:
        self.gateway.request_poll()
        self.scope.reload()
        if isinstance(self.app, TerminalApp):
            self.app.repaint_all()

    def action_trouble(self) -> None:
        """All that is known of how the database and the scheduler are, and what is wrong with the filter."""
        journal = self.gateway.journal()
        self.app.push_screen(
            HealthScreen(self.palette, self.snapshot, journal, self.clock(), self.scope.error)
        )

    # ------------------------------------------------------------------ rows and columns

    @work(exclusive=True, group="rows", exit_on_error=False)
    async def on_job_grid_row_data_requested(self, message: JobGrid.RowDataRequested) -> None:
        message.stop()
        try:
            rows, fields = await self.gateway.rows_and_fields(message.keys, message.fields)
        except ParaschutError as error:
            self.say(str(error), "error")
        else:
            self.grid.set_row_data(rows, fields)

    @work(exclusive=True, group="sort", exit_on_error=False)
    async def on_job_grid_sort_requested(self, message: JobGrid.SortRequested) -> None:
        message.stop()
        board, sorting, snapshot = self.grid.board, self.grid.sorting, self.snapshot
        if snapshot is None or not sorting:
            return
        self.grid.sorting_now = board.total > SLOW_TO_SORT
        self.write_headings()
        try:
            order = await self.gateway.sorted_order(board, sorting, snapshot)
        except ParaschutError as error:
            self.say(str(error), "error")
            return
        finally:
            self.grid.sorting_now = False
            self.write_headings()
        same = board is self.grid.board and sorting == self.grid.sorting
        if order is not None and same and self.grid.density == "rows":
            self.grid.set_order(order)

    def on_job_grid_column_chooser_requested(self, message: JobGrid.ColumnChooserRequested) -> None:
        message.stop()
        self._choose_columns()

    @work(exclusive=True, group="columns", exit_on_error=False)
    async def _choose_columns(self) -> None:
        chosen = await self.app.push_screen_wait(
            ColumnChooserScreen(self.palette, self.grid.columns, self.grid.sorting)
        )
        if chosen is not None:
            self.grid.set_columns(chosen.columns, chosen.sorting)
            if self.grid.density != "rows":
                self.grid.set_density("rows")

    # ------------------------------------------------------------------ filter

    def action_filter(self) -> None:
        if self.snapshot is None or self.filter_bar.is_open:
            discard_typeahead(self.app)
            return
        self.key_line.display = False
        known = known_of(self.snapshot, self.filter_bar.known.fields)
        self.filter_bar.open(self.scope.query.text if self.scope.query else "", known)
        self.say_matches()
        self._learn_fields()

    @work(exclusive=True, group="fields", exit_on_error=False)
    async def _learn_fields(self) -> None:
        """Has the filter complete the names of the metadata's fields."""
        try:
            fields = await self.gateway.fields()
        except ParaschutError:
            return  # what is wrong with the file, the status bar says
        if self.snapshot is not None:
            self.filter_bar.learn(known_of(self.snapshot, fields))

    def on_filter_bar_saved(self) -> None:
        self.scope.saved = dict(self.filter_bar.saved)

    def on_filter_edited(self, message: FilterEdited) -> None:
        message.stop()
        if self._typing is not None:
            self._typing.stop()
        self._typing = self.set_timer(TYPING, partial(self.scope.set_filter, message.text))

    def on_filter_closed(self, message: FilterClosed) -> None:
        message.stop()
        if self._typing is not None:
            self._typing.stop()
        self.key_line.display = True
        self.scope.set_filter(message.text)
        self.grid.focus()
        if message.text and self.scope.error:
            self.say(self.scope.error, "error")  # the narrow layout has no title where there is no filter

    def say_matches(self) -> None:
        """Tells beside the filter how much matches it, or above it what is wrong with it."""
        scope = self.scope
        if scope.error:
            self.filter_bar.say([], clean_line(scope.error.replace("Cannot use this Filter: ", ""), 300))
        elif scope.query is None:
            self.filter_bar.say([("Esc goes back", "muted")])
        elif scope.reading:
            self.filter_bar.say(titles.search_parts(scope))
        else:
            total = self.grid.board.total
            strange = [name for name in scope.query.fields if name not in self.filter_bar.known.fields]
            hint = f"No job seen so far has a field {clean_line(strange[0], 40)}" if strange else ""
            self.filter_bar.say([(f"{total:,} match", "accent")], hint if not total else "")
