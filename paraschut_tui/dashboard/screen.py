"""MainScreen: batches, jobs and the log of the job under the cursor, kept up to date with the snapshots."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.worker import Worker

from paraschut_core.errors import ParaschutError
from paraschut_core.model import JobKey

from .. import keymap
from ..actions.auto_submit import AutoSubmitter
from ..actions.controller import ActionController
from ..actions.target import TargetSelector
from ..backend.backend import Backend
from ..backend.snapshot_worker import SnapshotUpdate
from ..batch_tree.widget import BatchTree
from ..dashboard_state import DashboardState
from ..dialogs.command_palette import CommandPaletteScreen, PaletteCommand
from ..dialogs.health import HealthScreen
from ..dialogs.help import HelpScreen
from ..dialogs.prompt import PromptScreen
from ..errors import tell_fault
from ..filter.bar import FilterBar
from ..formatting import count
from ..job_details.widget import JobDetails
from ..job_grid.widget import JobGrid
from ..messages import (
    ActionProgress,
    BatchSelected,
    FilterClosed,
    FilterEdited,
    JobSelected,
    JobsLoaded,
    JobsRechecked,
    StatisticsReady,
)
from ..overview.screen import OverviewScreen
from ..session.session_state import SessionState
from ..state_styles import Palette
from ..terminal.key_sequencer import PATIENCE
from ..terminal.terminal_app import TerminalApp, discard_typeahead, hold_keys_during
from ..terminal.textual_compat import SteadyScreen
from ..widgets.key_hints import KeyHints
from ..widgets.line_list import LineList
from ..widgets.text_line import TextLine
from .filter_controller import FilterController
from .navigator import Navigator
from .notifier import Notifier
from .palette_commands import (
    DatabaseSwitcher,
    database_commands,
    key_commands,
    place_commands,
    setting_commands,
)
from .pane_layout import PaneLayout
from .panes import BatchesPane, JobsPane, LowerPane, Panes
from .status_bar import StatusBar
from .status_text import ThroughputEstimator

SAVE_EVERY = 2
"""Seconds between two checks whether the session changed."""

SORT_EVERY = 5
"""Seconds between two checks whether sorted rows changed."""

MOST_SORTED_AGAIN = 20_000
"""Most jobs that are sorted again by themselves when some of them change."""

SEARCH_LOGS_EVERY = 15
"""Seconds between two searches of the logs for what a filter looks for in them."""

AGES_EVERY = 20
"""Seconds between two updates of the times in rows."""

FILTER_AGES_EVERY = 60
"""Seconds between two readings of the jobs that match a filter for ages."""


class MainScreen(SteadyScreen[None]):
    """The dashboard's main screen. It passes snapshots to its panes, and keys to those that act on them.

    Args:
        backend: the project.
        switcher: offers themes and other databases.
        palette: the colours.
        clock: epoch seconds; frozen in tests.
        filter_text: a filter to begin with.
        batch: the BatchID to begin with.
        read_only: no key changes anything.
        session: what was remembered of the session before.
        save: called with the session soon after it changes, and when the screen closes.
    """

    AUTO_FOCUS = "#grid"
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.MAIN)

    def __init__(
        self,
        backend: Backend,
        switcher: DatabaseSwitcher,
        palette: Palette,
        clock: Callable[[], float],
        *,
        filter_text: str = "",
        batch: int | None = None,
        read_only: bool = False,
        session: SessionState | None = None,
        save: Callable[[SessionState], object] = lambda session: None,
    ) -> None:
        super().__init__()
        session = session or SessionState()
        self.backend = backend
        self._switcher = switcher
        self.palette = palette
        self.clock = clock
        self.state = state = DashboardState(read_only=read_only, saved_filters=dict(session.saved))
        self.status = StatusBar(backend, state, palette, clock, id="status")
        self.batches = BatchesPane(backend, state, palette, session)
        self.jobs = JobsPane(backend, state, palette, clock, session, self.write_titles)
        self.lower = LowerPane(backend, state, palette, clock, session, self.action_help)
        self.filter_bar = FilterBar(palette, state.saved_filters, session.filters, id="filter")
        self.key_hints = KeyHints(palette, read_only=read_only, id="keys")
        self._upper = Horizontal(self.batches, self.jobs, id="upper")
        self._panes = panes = Panes(self.batches, self.jobs, self.lower)
        self.pane_layout = PaneLayout(
            self, state, self._upper, panes, self.write_titles, columns=session.left, share=session.upper
        )
        self.navigator = Navigator(
            backend, state, panes, self.pane_layout, session, batch=batch, filter_text=filter_text
        )
        self.filter = FilterController(backend, state, self.filter_bar, self.jobs, self.key_hints)
        targets = TargetSelector(state, self.batches, self.jobs)
        self.actions = ActionController(self, backend, state, targets, self.key_hints, clock)
        self.auto_submitter = AutoSubmitter(self, backend, self.actions, clock)
        self.notifier = Notifier(self, state, backend.settings.dashboard, clock)
        self._overview: OverviewScreen | None = None
        self._window = session.window
        self._save = save
        self._ticks = 0
        self._first_jobs = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield self.status
        yield self._upper
        yield self.lower
        yield self.filter_bar
        yield self.key_hints

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)
        self._tick()
        self._wait_for_first_jobs()
        self.backend.start(self.post_message)

    @work(group="first jobs", exit_on_error=False)
    async def _wait_for_first_jobs(self) -> None:
        """Hold the keys back that are typed while the first jobs are read: they are meant for these. A file
        server that hangs holds them up no longer than any key does."""
        try:
            await hold_keys_during(self.app, asyncio.wait_for(self._first_jobs.wait(), PATIENCE))
        except asyncio.TimeoutError:
            pass

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        tell_fault(self, event)

    def use(self, palette: Palette) -> None:
        """Take the styles of another theme."""
        self.palette = palette
        for widget in self.query(TextLine):
            widget.use(palette)
        for pane in self.query(LineList):
            pane.use(palette)
        if self._overview is not None:
            self._overview.use(palette)
        self.write_titles()

    # ------------------------------------------------------------------ the session

    def on_unmount(self) -> None:
        self.save_session()

    def save_session(self) -> None:
        """Save the session, once there is one."""
        if self.state.snapshot is not None:
            self._save(self.session())

    def session(self) -> SessionState:
        """Return what is remembered for the next session."""
        outline, grid, log = self.batches.batch_tree.outline, self.jobs.grid, self.lower.log_view.place
        row, row_below = self.batches.place
        return SessionState(
            open=outline.branches(),
            cursor=self.navigator.cursor,
            grouping=outline.grouping,
            density=grid.density,
            columns=grid.columns,
            sorting=grid.sorting,
            filters=tuple(self.filter_bar.history),
            saved=tuple(self.state.saved_filters.items()),
            theme=self.app.theme,
            filter=self.navigator.filter_text,
            details=self.lower.shows_details,
            left=self.pane_layout.columns,
            upper=self.pane_layout.share,
            window=self._window,
            log_wrap=log.wrap,
            log_numbers=log.numbers,
            log_split=log.split,
            searches=log.searches,
            row=row,
            row_below=max(row_below, 0),
            job_below=max(self.jobs.cursor_offset, 0),
        )

    # ------------------------------------------------------------------ snapshots

    def _tick(self) -> None:
        self._ticks += 1
        was_stale = self.status.stale
        self.status.tick()
        if self.status.stale != was_stale:
            self.write_titles()
        if self._ticks % AGES_EVERY == 0:
            self.jobs.grid.repaint_ages()
        if self._ticks % SAVE_EVERY == 0:
            self.save_session()
        if self._ticks % SORT_EVERY == 0:
            self.jobs.grid.resort(MOST_SORTED_AGAIN)
        if self._ticks % FILTER_AGES_EVERY == 0:
            self.jobs.contents.refresh_ages()
        if self._ticks % SEARCH_LOGS_EVERY == 0:
            self.jobs.contents.search_logs()
        self.auto_submitter.tick()
        self.show_flags()
        self.notifier.tick()

    def on_snapshot_ready(self) -> None:
        update = self.backend.take_update()
        if update is not None and self.is_attached and self.batches.is_mounted:  # it may just be leaving
            self.show_update(update)

    def show_update(self, update: SnapshotUpdate) -> None:
        """Show a newer snapshot in all panes."""
        state, snapshot = self.state, update.snapshot
        is_first = not state.batches
        state.apply(update)
        self.notifier.show_state()
        if self._overview is not None:
            self._overview.take(snapshot)
        self.status.show_state()
        if update.unchanged:
            return  # the scheduler was polled and its answer was the same: most updates are so
        self.jobs.marks.keep_batches(snapshot.batches)
        self.batches.show_state()
        if not snapshot.batches:
            self._first_jobs.set()
        elif is_first:
            self._load_throughput(snapshot.complete)
            self.navigator.begin(snapshot)
        self.jobs.show_state(update)
        if not self.jobs.contents.batches and snapshot.batches:
            self.navigator.begin(snapshot)
        self.batches.reload_branches(update)
        self.write_titles()
        cursor = self.jobs.grid.cursor
        if cursor is not None and any(row.key == cursor for row in update.rows):
            self.lower.show_job_soon(cursor)

    @work(exclusive=True, group="throughput", exit_on_error=False)
    async def _load_throughput(self, complete: int) -> None:
        """Read how fast jobs became complete before the dashboard was opened."""
        try:
            times = await self.backend.latest_completions(self.clock() - ThroughputEstimator.WINDOW)
        except ParaschutError:
            return  # it is measured from now on
        self.status.seed(times, complete)

    def on_jobs_loaded(self, message: JobsLoaded) -> None:
        self.jobs.show_loaded(message)
        self._first_jobs.set()
        self.lower.show_found_text()

    def on_jobs_rechecked(self, message: JobsRechecked) -> None:
        self.jobs.contents.take_matches(message)

    def on_action_progress(self, message: ActionProgress) -> None:
        self.actions.show_progress(message)

    # ------------------------------------------------------------------ titles

    @on(JobGrid.LayoutChanged)
    @on(JobGrid.MarksChanged)
    @on(BatchTree.GroupingChanged)
    def write_titles(self) -> None:
        """Write all lines that describe the panes. Each sends only the columns that differ."""
        if self.state.snapshot is None or not self.is_mounted:
            return
        focused, tree = self.pane_layout.focused, self.batches.batch_tree
        self.set_class(self.state.query is not None, "-filtered")
        self.show_flags()
        tree.show_matches(self._matches())
        self.batches.write_title(focused == "tree")
        self.jobs.write_titles(focused == "grid", self.status, tree, self.size.width)
        self.filter.show_matches()

    def _matches(self) -> dict[int, int] | None:
        """Return how many jobs of each batch match the filter; None without one."""
        board = self.jobs.grid.board
        if self.state.query is None or not board.matching:
            return None
        return {group.batch_id: len(group) for group in board.groups}

    def show_flags(self) -> None:
        """Show beside the database what is special: read-only, when jobs are submitted next, and what the
        titles of hidden panes would say."""
        flags = [*self.state.notices, *(["read-only"] if self.state.read_only else [])]
        if self.pane_layout.hides_jobs and self.state.query is not None:
            flags.append("filter in force")
        if self.pane_layout.hides_jobs and len(self.jobs.marks):
            flags.append(f"{count(len(self.jobs.marks))} marked")
        if self.auto_submitter.flag:
            flags.append(self.auto_submitter.flag)
        self.status.show_flags(flags)

    # ------------------------------------------------------------------ from pane to pane

    def on_batch_selected(self, message: BatchSelected) -> None:
        self.navigator.select(message)
        self.write_titles()

    def on_batch_tree_marked(self) -> None:
        self.navigator.show_marked()
        self.write_titles()

    def on_batch_tree_show_more_requested(self, message: BatchTree.ShowMoreRequested) -> None:
        """Go on in the grid at the last job that the tree lists."""
        self.pane_layout.close_batches()
        self.navigator.go_to_job(JobKey(message.node.batch_id, message.node.job))
        self.jobs.grid.focus()

    @on(BatchTree.OpenRequested)
    @on(JobGrid.OpenRequested)
    def _open_job(self) -> None:
        """Go to the log or the details of the job."""
        self.pane_layout.close_batches()
        self.lower.shown.focus()

    def on_job_selected(self, message: JobSelected) -> None:
        if message.key is not None and self.batches.batch_tree.cursor is not None:
            self.batches.batch_tree.go_to_batch(message.key.batch_id)
        if self.jobs.grid.range_size:
            self.write_titles()  # they say how many jobs the range holds
        self.lower.show_job_soon(message.key)

    def on_job_details_edit_requested(self, message: JobDetails.EditRequested) -> None:
        self.actions.edit_field(message)

    def on_filter_edited(self, message: FilterEdited) -> None:
        self.filter.edited(message.text)

    def on_filter_closed(self, message: FilterClosed) -> None:
        self.filter.closed(message.text)
        self.jobs.grid.focus()

    def on_descendant_focus(self) -> None:
        self.key_hints.show_pane(self.pane_layout.key_table)
        self.lower.show_focus(self.pane_layout.focused == "log")
        self.write_titles()

    # ------------------------------------------------------------------ the layout

    def on_resize(self, event: events.Resize) -> None:
        self.pane_layout.resize(event.size)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.pane_layout.press(event)

    def on_mouse_up(self) -> None:
        self.pane_layout.release()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self.pane_layout.drag(event)

    def on_click(self, event: events.Click) -> None:
        self.pane_layout.click(event)

    def action_columns(self, by: int) -> None:
        self.pane_layout.move_columns(by)

    def action_lines(self, by: int) -> None:
        self.pane_layout.move_lines(by)

    def action_zoom(self) -> None:
        self.pane_layout.toggle_zoom()

    def action_batches(self) -> None:
        self.pane_layout.toggle_batches()

    def action_details(self) -> None:
        self.lower.toggle_details()

    def action_stream(self) -> None:
        self.lower.show_log()
        self.lower.log_view.action_stream()

    def action_back(self) -> None:
        """End one thing: an action, a range, the zoom, the batches over the jobs, the focus, the filter."""
        if self.actions.stop() or self.jobs.grid.cancel_range() or self.pane_layout.go_back():
            return
        if self.state.query is not None:
            self.jobs.contents.set_filter("")

    # ------------------------------------------------------------------ keys that go somewhere

    def action_previous_batch(self) -> None:
        self.batches.batch_tree.step_batch(-1)

    def action_next_batch(self) -> None:
        self.batches.batch_tree.step_batch(1)

    def action_next_missing(self) -> None:
        self.navigator.go_to_next_missing()

    def action_all_missing(self) -> None:
        self.navigator.toggle_all_missing()

    def action_newest_running(self) -> None:
        self.navigator.go_to_newest_running()

    def action_filter(self) -> None:
        if not self.filter.open():
            discard_typeahead(self.app)

    def action_refresh(self) -> None:
        self.backend.request_poll()
        self.jobs.contents.reload()
        if isinstance(self.app, TerminalApp):
            self.app.repaint_all()

    # ------------------------------------------------------------------ keys that change jobs

    def action_do(self, name: str) -> None:
        """Start an action on jobs."""
        self.actions.start(name)

    def action_history(self) -> None:
        self.actions.show_history()

    def action_auto_submit(self) -> None:
        self.auto_submitter.toggle()
        self.show_flags()

    # ------------------------------------------------------------------ other screens

    def action_trouble(self) -> None:
        """Show how the database and the scheduler are, and what is wrong with the filter."""
        journal, error = self.backend.recent_log(), self.jobs.contents.error
        self.app.push_screen(HealthScreen(self.palette, self.state.snapshot, journal, self.clock(), error))

    def action_help(self) -> None:
        table, read_only = self.pane_layout.key_table, self.state.read_only
        self.app.push_screen(HelpScreen(self.palette, self.backend.styles, table, read_only=read_only))

    @work(exclusive=True, group="choose", exit_on_error=False)
    async def action_palette(self) -> None:
        commands = [
            *key_commands(self, self._panes, self.pane_layout.focused, read_only=self.state.read_only),
            *place_commands(self.state, self.filter_bar.history, self.navigator.go_to, self.action_overview),
            *setting_commands(self, self._switcher.theme_names(), self.notifier),
        ]
        await self._choose([*commands, *await self._databases()], "COMMANDS")

    @work(exclusive=True, group="choose", exit_on_error=False)
    async def action_databases(self) -> None:
        other = PaletteCommand("Another database", self._ask_database, "name its file")
        await self._choose([*await self._databases(), other], "DATABASES")

    async def _databases(self) -> list[PaletteCommand]:
        recent = await hold_keys_during(self.app, self._switcher.recent_databases())
        return list(database_commands(recent, self.backend.settings.database, self._switcher))

    async def _choose(self, commands: list[PaletteCommand], title: str) -> None:
        """Open the command palette, and run what is chosen."""
        run = await self.app.push_screen_wait(CommandPaletteScreen(self.palette, commands, title))
        result = run() if run is not None else None
        if inspect.isawaitable(result):
            await result

    async def _ask_database(self) -> None:
        path = await self.app.push_screen_wait(PromptScreen("Another database", "The database's file:"))
        if path:
            self._switcher.open_database(os.path.abspath(os.path.expanduser(path)), "")

    @work(exclusive=True, group="overview", exit_on_error=False)
    async def action_overview(self, window: str = "") -> None:
        if self.state.snapshot is None:
            return
        cursor = self.batches.batch_tree.cursor
        screen = self._overview = OverviewScreen(
            self.backend,
            self.palette,
            self.backend.styles,
            self.state.snapshot,
            self.clock,
            window=window or self._window,
            batch_id=cursor.batch_id if cursor is not None else None,
            read_only=self.state.read_only,
        )
        target = await self.app.push_screen_wait(screen)
        self._overview = None
        self._window = screen.window
        self.backend.stop_statistics()
        if target is not None:
            self.navigator.go_to(target)

    def on_statistics_ready(self, message: StatisticsReady) -> None:
        if self._overview is not None:
            self._overview.take_survey(message)
