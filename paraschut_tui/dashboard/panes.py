"""The panes of the dashboard: each holds its widgets, handles their messages and loads what they show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.timer import Timer
from textual.widget import Widget
from textual.worker import Worker

from paraschut_core.errors import ParaschutError
from paraschut_core.filtering.language import LogTerm
from paraschut_core.model import DONE_STATES, JobKey, Priority

from ..backend.backend import Backend
from ..backend.snapshot_worker import SnapshotUpdate
from ..batch_tree.model import BATCH, MOST_JOBS, NodeId, NodePath, spawn_row
from ..batch_tree.widget import BatchTree
from ..dashboard_state import DashboardState
from ..dialogs.column_chooser import ColumnChooserScreen
from ..errors import tell_fault
from ..formatting import clock as clock_time
from ..job_details.model import JobDetailsData
from ..job_details.widget import JobDetails
from ..job_grid.contents import GridContents
from ..job_grid.marked_jobs import MarkedJobs
from ..job_grid.widget import JobGrid
from ..job_log.screen import LogScreen
from ..job_log.view import LogSources, LogView, LogViewState
from ..messages import JobsLoaded
from ..session.session_state import SessionState
from ..state_styles import L_MISSING, Palette
from ..toast import show_toast
from ..widgets.text_line import TextLine
from . import titles
from .status_bar import StatusBar

CURSOR_REST = 0.12
"""Seconds that the cursor stays on a job before its log is opened."""

SLOW_TO_SORT = 20_000
"""Jobs from which on the title says that they are being sorted."""


class DashboardPane(Vertical):
    """What the three panes share: the project and its state; errors of their workers show as toasts."""

    def __init__(self, backend: Backend, state: DashboardState, id: str) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self.backend = backend
        self.state = state
        self.state_styles = backend.styles

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        tell_fault(self, event)


class BatchesPane(DashboardPane):
    """The tree of batches with its title. It loads the branches of the tree."""

    def __init__(
        self,
        backend: Backend,
        state: DashboardState,
        palette: Palette,
        session: SessionState,
    ) -> None:
        super().__init__(backend, state, "left")
        self._title = TextLine(palette, id="tree-title")
        self.batch_tree = BatchTree(palette, backend.styles, id="tree")
        outline = self.batch_tree.outline
        outline.open.update(map(outline.node, session.open))
        outline.grouping = session.grouping
        self._row_to_restore: tuple[NodePath, int] | None = (
            (session.row, session.row_below) if session.row else None
        )

    def compose(self) -> ComposeResult:
        yield self._title
        yield self.batch_tree

    def show_state(self) -> None:
        """Show the batches of the newest snapshot."""
        if self.state.snapshot is not None:
            self.batch_tree.update(self.state.snapshot, self.state.missing_by_state)

    def write_title(self, focused: bool) -> None:
        """Write the title line, and how many jobs of each batch match the filter."""
        assert self.state.snapshot is not None  # titles are written with a snapshot only
        grouping, marked = self.batch_tree.outline.grouping, len(self.batch_tree.marked)
        self._title.show(*titles.tree_title(self.state.snapshot, focused, grouping, marked))

    # ------------------------------------------------------------------ the cursor

    @property
    def place(self) -> tuple[NodePath | None, int]:
        """The row of the cursor, or the one that it returns to, and how far below the top it is."""
        return self._row_to_restore or self.batch_tree.place

    def open_batch(self, batch_id: int, *, restore: bool) -> None:
        """Open the branch of a batch at the start of the dashboard.

        Args:
            restore: whether the cursor returns to its row of the session before.
        """
        self.batch_tree.outline.open.add(NodeId(BATCH, batch_id))
        self.batch_tree.rebuild()
        self.batch_tree.go_to_batch(batch_id)
        if not restore:
            self._row_to_restore = None
        self._restore_row()

    def _restore_row(self) -> None:
        """Put the cursor on its row of the session before, once that row exists."""
        if self._row_to_restore is not None:
            row, below = self._row_to_restore
            self.batch_tree.come_back(row, below)
            if self.batch_tree.place[0] == row:
                self._row_to_restore = None

    # ------------------------------------------------------------------ branches

    def reload_branches(self, update: SnapshotUpdate) -> None:
        """Read the jobs under open states again where their batch changed."""
        outline = self.batch_tree.outline
        for node in outline.open:
            changed = update.reload or node.batch_id in update.batches
            if node.look >= 0 and changed and outline.row_of(node) is not None:
                self._load_branch(node)

    def on_batch_tree_branch_opened(self, message: BatchTree.BranchOpened) -> None:
        message.stop()
        self._load_branch(message.node)

    @work(exit_on_error=False)
    async def _load_branch(self, node: NodeId) -> None:
        """Read the jobs under a state, or the spawns under a job, into the tree."""
        outline = self.batch_tree.outline
        if node.job >= 0:
            await self._load_spawns(node)
        elif node.look == L_MISSING:
            outline.jobs[node] = self.state.missing_in(node.batch_id)
        else:
            try:
                found = await self.backend.indexes(
                    node.batch_id, node.look, MOST_JOBS + 200, self._priorities(node)
                )
            except ParaschutError as error:
                show_toast(self, str(error), "error")
                return
            missing = self.state.missing
            outline.jobs[node] = [i for i in found if JobKey(node.batch_id, i) not in missing]
        self.batch_tree.rebuild()
        self._restore_row()
        for job in [key for key in outline.open if key.job >= 0 and key not in outline.spawns]:
            if outline.row_of(job) is not None:
                outline.spawns[job] = []  # being read
                self._load_branch(job)

    async def _load_spawns(self, node: NodeId) -> None:
        key = JobKey(node.batch_id, node.job)
        record = await self.backend.record(key)
        snapshot = self.state.snapshot
        online = snapshot.spawn_ids.get(key, frozenset()) if snapshot is not None else ()
        self.batch_tree.outline.spawns[node] = [
            spawn_row(spawn, online, self.state_styles) for spawn in record.spawns
        ]

    def _priorities(self, node: NodeId) -> list[Priority]:
        """Return the priorities that a batch's jobs in one state have."""
        batch = self.state.batches.get(node.batch_id)
        state = self.state_styles.states[node.look]
        return [] if batch is None else [p for (p, s), n in batch.counts.items() if s == state and n]


class JobsPane(DashboardPane):
    """The grid of jobs with its titles, legend and ruler. It loads the rows and their order.

    Args:
        clock: epoch seconds.
        changed: called when the titles have to be written again.
    """

    def __init__(
        self,
        backend: Backend,
        state: DashboardState,
        palette: Palette,
        clock: Callable[[], float],
        session: SessionState,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(backend, state, "right")
        self._clock = clock
        self._changed = changed
        self.marks = MarkedJobs()
        self.grid = JobGrid(palette, backend.styles, self.marks, clock, id="grid")
        self.grid.density = session.density
        self.grid.columns, self.grid.sorting = session.columns, session.sorting
        self.grid.heading = self._group_heading
        self.contents = GridContents(backend, state, self.grid, changed)
        self._batch_line = TextLine(palette, id="batch-line")
        self._title = TextLine(palette, id="grid-title")
        self._legend = TextLine(palette, id="legend")
        self._ruler = TextLine(palette, id="ruler")
        self._offset_to_restore = session.job_below if session.cursor else None

    def compose(self) -> ComposeResult:
        yield self._batch_line
        yield self._title
        yield self._legend
        yield self._ruler
        yield self.grid

    # ------------------------------------------------------------------ what is shown

    def show_state(self, update: SnapshotUpdate) -> None:
        """Show the newest snapshot, of which `update` says what changed."""
        self.grid.apply_changes(update.snapshot, update.rows, update.reload)
        self.contents.take_update(update)

    def show_loaded(self, message: JobsLoaded) -> None:
        """Show jobs that were read."""
        self.contents.take_cells(message)
        if message.done and self._offset_to_restore is not None and not self.contents.loading:
            self.grid.restore_scroll(self._offset_to_restore)
            self._offset_to_restore = None

    @property
    def cursor_offset(self) -> int:
        """How far below the top the cursor is, or returns to."""
        offset = self._offset_to_restore
        return self.grid.cursor_offset if offset is None else offset

    def forget_offset(self) -> None:
        """Do not scroll to where the cursor was in the session before."""
        self._offset_to_restore = None

    # ------------------------------------------------------------------ titles

    def write_titles(self, focused: bool, status: StatusBar, batches: BatchTree, width: int) -> None:
        """Write all lines above the jobs.

        Args:
            status: knows how many jobs there are, and whether they are up to date.
            batches: the tree, of which a narrow screen shows the line under the cursor alone.
            width: of the screen.
        """
        snapshot = self.state.snapshot
        assert snapshot is not None  # titles are written with a snapshot only
        grid, board = self.grid, self.grid.board
        as_of = clock_time(snapshot.database.read_at, self._clock()) if status.stale else ""
        self._title.show(
            *titles.grid_title(self.state, status.tally.total, self.contents, grid, focused, as_of)
        )
        batch_id = batches.cursor.batch_id if batches.cursor else None
        self._batch_line.show(
            *titles.batch_line(
                snapshot,
                batches.outline.batch_ids,
                batch_id,
                self.state.missing_by_state,
                self.state_styles,
                titles.marked_parts(self.marks, board, grid.range_size),
                width,
                batches.difference_of(batch_id),
            )
        )
        indent = grid.plan.label_width
        self._legend.show(titles.legend(board, self.state_styles, indent, self._legend.size.width))
        self._ruler.show(grid.ruler())
        if not snapshot.batches:
            note = titles.no_batches(snapshot)
            if grid.note != note:
                grid.note = note
                grid.repaint_changed()

    def _group_heading(self, batch_id: int, jobs: int) -> list[tuple[str, str]]:
        assert self.state.snapshot is not None  # there are no jobs to be headed before
        return titles.group_heading(self.state.snapshot, batch_id, jobs, self.state.query is not None)

    # ------------------------------------------------------------------ rows and columns

    @work(exclusive=True, group="rows", exit_on_error=False)
    async def on_job_grid_row_data_requested(self, message: JobGrid.RowDataRequested) -> None:
        message.stop()
        try:
            rows, fields = await self.backend.rows_and_fields(message.keys, message.fields)
        except ParaschutError as error:
            show_toast(self, str(error), "error")
        else:
            self.grid.set_row_data(rows, fields)

    @work(exclusive=True, group="sort", exit_on_error=False)
    async def on_job_grid_sort_requested(self, message: JobGrid.SortRequested) -> None:
        message.stop()
        board, sorting, snapshot = self.grid.board, self.grid.sorting, self.state.snapshot
        if snapshot is None or not sorting:
            return
        self.grid.sorting_now = board.total > SLOW_TO_SORT
        self._changed()
        try:
            order = await self.backend.sorted_order(board, sorting, snapshot)
        except ParaschutError as error:
            show_toast(self, str(error), "error")
            return
        finally:
            self.grid.sorting_now = False
            self._changed()
        same = board is self.grid.board and sorting == self.grid.sorting
        if order is not None and same and self.grid.density == "rows":
            self.grid.set_order(order)

    @work(exclusive=True, group="columns", exit_on_error=False)
    async def on_job_grid_column_chooser_requested(self, message: JobGrid.ColumnChooserRequested) -> None:
        message.stop()
        grid = self.grid
        chosen = await self.app.push_screen_wait(
            ColumnChooserScreen(grid.palette, grid.columns, grid.sorting)
        )
        if chosen is not None:
            grid.set_columns(chosen.columns, chosen.sorting)
            if grid.density != "rows":
                grid.set_density("rows")


class LowerPane(DashboardPane):
    """The log of the job under the cursor, or all details about it. It loads both.

    Args:
        clock: epoch seconds.
        show_help: lists all keys.
    """

    def __init__(
        self,
        backend: Backend,
        state: DashboardState,
        palette: Palette,
        clock: Callable[[], float],
        session: SessionState,
        show_help: Callable[[], None],
    ) -> None:
        super().__init__(backend, state, "lower")
        self._show_help = show_help
        self.log_view = LogView(id="log")
        self.details = JobDetails(palette, clock, id="details")
        self.set_class(session.details, "-details")
        self.log_view.restore_options(
            LogViewState(
                wrap=session.log_wrap,
                numbers=session.log_numbers,
                split=session.log_split,
                searches=session.searches,
            )
        )
        self._key: JobKey | None = None
        self._rest: Timer | None = None
        self._spawn: tuple[JobKey, int | None] | None = None
        """The spawn of a job whose log the tree's cursor asks for; None: the job's own."""
        self._found: tuple[JobKey, LogTerm] | None = None
        """The job whose log is open at what the filter looks for in it."""

    def compose(self) -> ComposeResult:
        yield self.log_view
        yield self.details

    # ------------------------------------------------------------------ log or details

    @property
    def shows_details(self) -> bool:
        """Whether the details are shown in place of the log."""
        return self.has_class("-details")

    @property
    def shown(self) -> Widget:
        """The log or the details."""
        return self.details if self.shows_details else self.log_view

    def show_focus(self, focused: bool) -> None:
        """Show in the log's title whether the pane has the focus."""
        self.log_view.set_class(focused, "-focused")

    def toggle_details(self) -> None:
        """Show the details in place of the log, or the log again."""
        had_focus = self.has_focus_within
        self.toggle_class("-details")
        self._complete_details()
        if had_focus:
            self.shown.focus()

    def show_log(self) -> None:
        """Show the log in place of the details."""
        self.remove_class("-details")

    # ------------------------------------------------------------------ the job

    def show_job_soon(self, key: JobKey | None) -> None:
        """Show a job once the cursor rests, not at each of its steps through the grid."""
        self._key = key
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(CURSOR_REST, self._show_job)

    @work(exclusive=True, group="job", exit_on_error=False)
    async def _show_job(self) -> None:
        key = self._key
        if key is None:
            self.log_view.clear("")
            self.details.show([("no job", "muted")], None)
            return
        record = await self.backend.record(key)
        snapshot = self.state.snapshot
        if key != self._key or snapshot is None:
            return
        title = titles.job_title(snapshot, record, self.state_styles)
        missing = snapshot.missing.get(key)
        data = JobDetailsData(
            record,
            snapshot.live.get(key),
            missing,
            snapshot.blocked.get(key.batch_id, ""),
            refused=key.batch_id in snapshot.refused,
        )
        self.details.show(title, data)
        self._complete_details()
        streams, note = titles.log_streams(record, errors_first=missing is not None)
        over = missing is not None or (record.row is not None and record.row.state in DONE_STATES)
        self._show_log(key, LogSources("".join(text for text, _ in title), streams, note, over))

    # ------------------------------------------------------------------ the log

    def show_spawn(self, key: JobKey, spawn: int | None) -> None:
        """Show the log of one of a job's spawns (None: the job's own), at once or when its log is opened."""
        self._spawn = (key, spawn)
        if key == self._key:
            self.log_view.show_spawn(spawn)

    def show_found_text(self) -> None:
        """Open the log again if the filter meanwhile found what it looks for in the log that is shown."""
        term = self._log_term
        if self._key in self.backend.matching_log and term is not None and self._found != (self._key, term):
            self.show_job_soon(self._key)

    @property
    def _log_term(self) -> LogTerm | None:
        """What the filter looks for in logs."""
        terms = self.state.query.log if self.state.query is not None else ()
        return next((term for term in terms if term.wanted), None)

    def _show_log(self, key: JobKey, sources: LogSources) -> None:
        """Show a job's logs, at what the filter found in them or else from their end."""
        if isinstance(self.app.screen, LogScreen):
            self.app.screen.show(sources)  # it shows the same job on the whole screen
        term = self._log_term
        stream = self.backend.matching_log.get(key) if term is not None else None
        found = (key, term) if term is not None and stream is not None else None
        before, self._found = self._found, found
        if term is not None and stream is not None and found != before:
            self.log_view.show_found(sources, stream, term.text, literal=not term.regex)
        else:
            if found is None and before is not None:
                self.log_view.forget_search()
            self.log_view.show(sources)
        if self._spawn is not None and self._spawn[0] == key:
            self.log_view.show_spawn(self._spawn[1])
            self._spawn = None

    @work(exclusive=True, group="log", exit_on_error=False)
    async def on_log_view_full_screen(self, message: LogView.FullScreen) -> None:
        """Show the log on the whole screen; afterwards the pane goes on from where the user was there."""
        message.stop()
        place = await self.app.push_screen_wait(LogScreen(message.sources, message.place, self._show_help))
        if place is not None:
            self.log_view.show(message.sources, place)

    # ------------------------------------------------------------------ the details

    def on_job_details_status_reported(self, message: JobDetails.StatusReported) -> None:
        message.stop()
        show_toast(self, message.text)

    def on_job_details_node_opened(self, message: JobDetails.NodeOpened) -> None:
        message.stop()
        self._complete_details()

    def _complete_details(self) -> None:
        """Read what is only read for details that are shown: the script, the scheduler's record."""
        if self.shows_details:
            self._load_details()

    @work(exclusive=True, group="details", exit_on_error=False)
    async def _load_details(self) -> None:
        data = self.details.sight
        if data is None or data.record.error:
            return
        info = data.record.info
        if data.script is None:
            script = await self.backend.script(info)
            data = self._details_of(data.record.key)
            if data is None:
                return
            self.details.take(data._replace(script=script))
        if self.details.is_open("scheduler"):
            summary = await self.backend.summary(info)
            data = self._details_of(data.record.key)
            if data is not None and summary != data.summary:
                self.details.take(data._replace(summary=summary))

    def _details_of(self, key: JobKey) -> JobDetailsData | None:
        """Return what the details show, if it is still this job."""
        data = self.details.sight
        return data if data is not None and data.record.key == key else None


@dataclass(frozen=True)
class Panes:
    """The three panes of the main screen."""

    batches: BatchesPane
    jobs: JobsPane
    lower: LowerPane
