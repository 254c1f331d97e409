"""MainScreen: batches, jobs and the log of the job under the cursor, all kept true to the snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from textual import work
from textual.binding import BindingType
from textual.timer import Timer

from paraschut_core.errors import ParaschutError
from paraschut_core.filtering.language import LogTerm
from paraschut_core.model import DONE_STATES, JobKey, Priority, Snapshot

from .. import keymap
from ..actions.auto_submit import AutoSubmitter
from ..backend.backend import ThreadedBackend
from ..backend.snapshot_worker import SnapshotUpdate
from ..batch_tree.model import BATCH, MOST_JOBS, NodeId, NodePath, ordered, spawn_row
from ..batch_tree.widget import BatchTree
from ..formatting import clock
from ..job_details.model import JobDetailsData
from ..job_log.screen import LogScreen
from ..job_log.view import LogSources, LogViewState
from ..messages import JobSelected, JobsLoaded, JobsRechecked, SnapshotReady
from ..session.session_state import SessionState
from ..state_styles import L_MISSING, L_QUEUED, L_RUN, Palette, StateStyles
from ..terminal.key_sequencer import PATIENCE
from ..widgets.line_list import LineList
from ..widgets.text_line import TextLine
from . import titles
from .choosing import Choosers
from .detailing import DetailLoader
from .status_text import ThroughputEstimator

REST = 0.12
"""Seconds that the cursor stays on a job before its log is opened."""

AGES = 20
"""Seconds between two looks at whether a row's times read otherwise."""

KEEP = 2
"""Seconds between two looks at whether there is something new to remember."""


LOGS = 15
"""Seconds between two looks at whether logs hold by now what a filter wants in them."""

RESORT = 5
"""Seconds between two looks at whether sorted rows are to be sorted anew."""

RESORTED = 20_000
"""Most jobs that are sorted anew by themselves when some of them change."""

TIMED = 60
"""Seconds between two looks at which jobs match a filter that asks for ages."""


class MainScreen(DetailLoader, AutoSubmitter, Choosers):
    """The dashboard's one screen.

    Args:
        gateway: the project.
        palette, looks: colours and glyphs.
        clock: epoch seconds; frozen in tests.
        filter_text: a filter to begin with.
        batch: the BatchID to begin with.
        read_only: no key changes anything.
        memory: what is remembered from the time before.
        keep: told what to remember, soon after it changes and when the screen closes.
    """

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.MAIN)

    def __init__(
        self,
        gateway: ThreadedBackend,
        palette: Palette,
        looks: StateStyles,
        clock: Callable[[], float],
        *,
        filter_text: str = "",
        batch: int | None = None,
        read_only: bool = False,
        memory: SessionState | None = None,
        keep: Callable[[SessionState], object] = lambda memory: None,
    ) -> None:
        super().__init__(gateway, palette, looks, clock, read_only=read_only)
        memory = memory or SessionState()
        self._keep = keep
        self._last_job = memory.cursor
        self.batch_tree.outline.open.update(map(self.batch_tree.outline.node, memory.open))
        self._last_row: tuple[NodePath, int] | None = (memory.row, memory.row_below) if memory.row else None
        self._job_below: int | None = memory.job_below if memory.cursor else None
        self.batch_tree.outline.grouping = memory.grouping
        self.grid.density = memory.density
        self.grid.columns, self.grid.sorting = memory.columns, memory.sorting
        self.filter_bar.history, self.filter_bar.saved = list(memory.filters), dict(memory.saved)
        self.scope.saved = dict(memory.saved)
        self._filter_text = filter_text or (memory.filter if batch is None else "")
        self.left_columns, self.upper_share = memory.left, memory.upper
        self.window = memory.window
        self.set_class(memory.details, "-details")
        self.log_view.restore_options(
            LogViewState(
                wrap=memory.log_wrap,
                numbers=memory.log_numbers,
                split=memory.log_split,
                searches=memory.searches,
            )
        )
        self._first_batch = batch
        self._lost: dict[int, dict[int, int]] = {}
        self._resting: Timer | None = None
        self._ticks = 0
        self._stale = False
        self._first_jobs = asyncio.Event()
        self._sought: tuple[JobKey, LogTerm] | None = None
        """The job whose log was opened where it holds what the filter wants in it."""

    def on_mount(self) -> None:
        self.grid.heading = self._group_heading
        self.show_flags()
        self.begin_telling(self.gateway.settings.dashboard)
        self.set_interval(1.0, self._tick)
        self._tick()
        self._await_first_jobs()
        self.gateway.start(self.post_message)

    @work(group="first jobs", exit_on_error=False)
    async def _await_first_jobs(self) -> None:
        """Keys that are typed while the first jobs are read are meant for these; a file server that hangs
        holds them up no longer than any key does."""
        try:
            await self.before_keys(asyncio.wait_for(self._first_jobs.wait(), PATIENCE))
        except asyncio.TimeoutError:
            pass

    def use(self, palette: Palette) -> None:
        """Takes the styles of another theme."""
        self.palette = palette
        for widget in self.query(TextLine):
            widget.use(palette)
        for pane in self.query(LineList):
            pane.use(palette)
        if self._overview is not None:
            self._overview.use(palette)
        self.write_headings()

    def on_unmount(self) -> None:
        self.keep_now()

    def keep_now(self) -> None:
        """Has kept what is to be remembered."""
        if self.snapshot is not None:
            self._keep(self.to_remember())

    def to_remember(self) -> SessionState:
        """What is worth remembering for the next time."""
        log = self.log_view.place
        return SessionState(
            self.batch_tree.outline.branches(),
            self.grid.cursor or self._last_job,
            self.batch_tree.outline.grouping,
            self.grid.density,
            self.grid.columns,
            self.grid.sorting,
            tuple(self.filter_bar.history),
            tuple(self.filter_bar.saved.items()),
            self.app.theme,
            self._filter_text or (self.scope.query.text if self.scope.query is not None else ""),
            self.has_class("-details"),
            self.left_columns,
            self.upper_share,
            self.window,
            log_wrap=log.wrap,
            log_numbers=log.numbers,
            log_split=log.split,
            searches=log.searches,
            **self._places(),
        )

    def _places(self) -> dict[str, Any]:
        """Where tree and grid stand, or are to come back to."""
        row, below = self._last_row or self.batch_tree.place
        job = self.grid.cursor_offset if self._job_below is None else self._job_below
        return {"row": row, "row_below": max(below, 0), "job_below": max(job, 0)}

    # ------------------------------------------------------------------ snapshots

    def _tick(self) -> None:
        self._ticks += 1
        self.status.tick(self.gateway.seen, self.clock())
        if self.status.stale != self._stale:
            self._stale = self.status.stale
            self.write_headings()
        if self._ticks % AGES == 0:
            self.grid.repaint_ages()
        if self._ticks % KEEP == 0:
            self.keep_now()
        if self._ticks % RESORT == 0:
            self.grid.resort(RESORTED)
        if self._ticks % TIMED == 0:
            self.scope.refresh_ages()
        if self._ticks % LOGS == 0:
            self.scope.look_at_logs()
        self.tick_auto_submit()
        self.tell()

    def on_snapshot_ready(self, message: SnapshotReady) -> None:
        message.stop()
        update = self.gateway.take_update()
        if update is not None and self.query("#upper"):  # it may just be leaving
            self._show(update)

    def _show(self, update: SnapshotUpdate) -> None:
        snapshot = update.snapshot
        first = self.snapshot is None or not self.snapshot.batches
        self.snapshot = snapshot
        self.note(snapshot)
        if self._overview is not None:
            self._overview.take(snapshot)
        self._lost = {batch_id: dict(states) for batch_id, states in update.lost.items()}
        lost = sum(states.get(L_QUEUED, 0) for states in update.lost.values())
        self.status.update(snapshot, lost, self.gateway.seen, self.clock())
        if update.unchanged:
            return  # the scheduler was polled and said what it had said before: most updates are so
        self.marks.keep_batches(snapshot.batches)
        self.batch_tree.update(snapshot, update.lost)
        if not snapshot.batches:
            self._first_jobs.set()
        if first and snapshot.batches:
            self._learn_pace(snapshot.complete)
            self._begin(snapshot)
        self.grid.apply_changes(snapshot, update.rows, update.reload)
        self.scope.take_update(update)
        if not self.scope.batches and snapshot.batches:
            self._begin(snapshot)
        self._load_open_branches(update)
        self.write_headings()
        cursor = self.grid.cursor
        if cursor is not None and any(row.key == cursor for row in update.rows):
            self._show_job_soon()

    @work(exclusive=True, group="pace", exit_on_error=False)
    async def _learn_pace(self, complete: int) -> None:
        """How fast jobs became complete before anybody looked on."""
        try:
            times = await self.gateway.latest_completions(self.clock() - ThroughputEstimator.WINDOW)
        except ParaschutError:
            return  # it will be seen as it goes on
        self.status.seed(times, complete)

    def _begin(self, snapshot: Snapshot) -> None:
        """Chooses where to look first: where the user was the last time, else at what is missing, else at
        what runs, else at the newest."""
        batches = [batch.batch_id for batch in ordered(snapshot.batches.values(), "time")]
        lost = {key.batch_id for key in snapshot.missing}
        running = {key.batch_id for key in snapshot.live}
        unfinished = {b.batch_id for b in snapshot.batches.values() if b.complete < b.total}
        last, self._last_job = self._last_job, None
        wanted = [b for b in batches if b == self._first_batch]
        wanted += [last.batch_id] if last is not None and last.batch_id in snapshot.batches else []
        for group in (lost, running, unfinished, set(batches)):
            wanted += [b for b in batches if b in group]
        batch_id = wanted[0]
        look = L_MISSING if batch_id in lost else L_RUN if batch_id in running else None
        self.batch_tree.outline.open.add(NodeId(BATCH, batch_id))
        self.batch_tree.rebuild()
        self.batch_tree.go_to_batch(batch_id)
        if last is None or last.batch_id != batch_id:
            self._last_row = self._job_below = None
        self._come_back()
        index = last.job_index if last is not None and last.batch_id == batch_id else None
        self.scope.show_batch(batch_id, look, index)
        self.share_lines(self.size.height)
        if self._filter_text:
            text, self._filter_text = self._filter_text, ""
            self.scope.set_filter(text)

    def on_jobs_loaded(self, message: JobsLoaded) -> None:
        message.stop()
        self.scope.take_cells(message)
        self._first_jobs.set()
        self._look_for_wanted_text()
        if message.done and self._job_below is not None and not self._filter_text and not self.scope.loading:
            self.grid.restore_scroll(self._job_below)
            self._job_below = None

    def on_jobs_rechecked(self, message: JobsRechecked) -> None:
        message.stop()
        self.scope.take_matches(message)

    # ------------------------------------------------------------------ open branches of the tree

    def _load_open_branches(self, update: SnapshotUpdate) -> None:
        """Lists the jobs under open states anew where their batch changed."""
        outline = self.batch_tree.outline
        for node in outline.open:
            changed = update.reload or node.batch_id in update.batches
            if node.look >= 0 and changed and outline.row_of(node) is not None:
                self._load_branch(node)

    def _come_back(self) -> None:
        """Puts the tree's cursor where it was the last time, as soon as that row is there."""
        if self._last_row is not None:
            row, below = self._last_row
            self.batch_tree.come_back(row, below)
            if self.batch_tree.place[0] == row:
                self._last_row = None

    def on_batch_tree_branch_opened(self, message: BatchTree.BranchOpened) -> None:
        message.stop()
        self._load_branch(message.node)

    @work(exit_on_error=False)
    async def _load_branch(self, node: NodeId) -> None:
        """Reads the jobs under a state, or the spawns under a job, into the tree."""
        outline = self.batch_tree.outline
        if node.job >= 0:
            record = await self.gateway.record(JobKey(node.batch_id, node.job))
            key = JobKey(node.batch_id, node.job)
            online = self.snapshot.spawn_ids.get(key, frozenset()) if self.snapshot is not None else ()
            outline.spawns[node] = [spawn_row(spawn, online, self.looks) for spawn in record.spawns]
        elif node.look == L_MISSING and self.snapshot is not None:
            lost = (key.job_index for key in self.snapshot.missing if key.batch_id == node.batch_id)
            outline.jobs[node] = sorted(lost)
        else:
            try:
                found = await self.gateway.indexes(
                    node.batch_id, node.look, MOST_JOBS + 200, self._priorities(node)
                )
            except ParaschutError as error:
                self.say(str(error), "error")
                return
            missing = self.snapshot.missing if self.snapshot is not None else {}
            outline.jobs[node] = [i for i in found if JobKey(node.batch_id, i) not in missing]
        self.batch_tree.rebuild()
        self._come_back()
        for job in [key for key in outline.open if key.job >= 0 and key not in outline.spawns]:
            if outline.row_of(job) is not None:
                outline.spawns[job] = []  # being read
                self._load_branch(job)

    def _priorities(self, node: NodeId) -> list[Priority]:
        """The priorities that a batch's jobs in one state have."""
        batch = self.snapshot.batches.get(node.batch_id) if self.snapshot is not None else None
        state = self.looks.states[node.look]
        return [] if batch is None else [p for (p, s), n in batch.counts.items() if s == state and n]

    def on_batch_tree_show_more_requested(self, message: BatchTree.ShowMoreRequested) -> None:
        """Goes on in the grid, at the last job that the tree lists."""
        message.stop()
        node = message.node
        self.remove_class("-batches")
        self.go_to_job(JobKey(node.batch_id, node.job))
        self.grid.focus()

    # ------------------------------------------------------------------ headings

    def write_headings(self) -> None:
        snapshot = self.snapshot
        if snapshot is None or not self.is_mounted:
            return
        pane = self.pane
        cursor = self.batch_tree.cursor
        matches = None
        if self.scope.query is not None and self.grid.board.matching:
            matches = {group.batch_id: len(group) for group in self.grid.board.groups}
        if matches != self.batch_tree.matches:
            self.batch_tree.matches = matches
            self.batch_tree.repaint_changed()
        self.set_class(self.scope.query is not None, "-filtered")
        grouping = self.batch_tree.outline.grouping
        marked = len(self.batch_tree.marked)
        self.show_flags()
        self._line("tree-title").show(*titles.tree_title(snapshot, pane == "tree", grouping, marked))
        as_of = clock(snapshot.database.read_at, self.clock()) if self.status.stale else ""
        title = titles.grid_title(
            snapshot, self.status.tally.total, self.scope, self.grid, pane == "grid", self.scope.error, as_of
        )
        self._line("grid-title").show(*title)
        batch_id = cursor.batch_id if cursor else None
        self._line("batch-line").show(
            *titles.batch_line(
                snapshot,
                self.batch_tree.outline.batch_ids,
                batch_id,
                self._lost,
                self.looks,
                titles.marked_parts(self.marks, self.grid.board, self.grid.range_size),
                self.size.width,
                self.batch_tree.difference_of(batch_id),
            )
        )
        board, indent = self.grid.board, self.grid.plan.label_width
        legend = self._line("legend")
        legend.show(titles.legend(board, self.looks, indent, legend.size.width))
        self._line("ruler").show(self.grid.ruler())
        if not snapshot.batches:
            self._explain_empty(snapshot)
        if self.filter_bar.is_open:
            self.say_matches()

    def _line(self, name: str) -> TextLine:
        return self.query_one(f"#{name}", TextLine)

    def _explain_empty(self, snapshot: Snapshot) -> None:
        note = titles.no_batches(snapshot)
        if self.grid.note != note:
            self.grid.note = note
            self.grid.repaint_changed()
            self.log_view.clear("")

    def _group_heading(self, batch_id: int, jobs: int) -> list[tuple[str, str]]:
        assert self.snapshot is not None  # there are no jobs to be headed before
        return titles.group_heading(self.snapshot, batch_id, jobs, self.scope.query is not None)

    def on_grid_base_layout_changed(self) -> None:
        self.write_headings()

    def on_batch_tree_grouping_changed(self) -> None:
        self.write_headings()

    def on_job_grid_marks_changed(self) -> None:
        self.write_headings()

    # ------------------------------------------------------------------ the job under the cursor

    def on_job_selected(self, message: JobSelected) -> None:
        message.stop()
        if message.key is not None and self.batch_tree.cursor is not None:
            self.batch_tree.go_to_batch(message.key.batch_id)
        if self.grid.range_size:
            self.write_headings()  # they say how many jobs it holds
        self._show_job_soon()

    def _show_job_soon(self) -> None:
        """Opens the log once the cursor rests: not at every step of a walk through the grid."""
        if self._resting is not None:
            self._resting.stop()
        self._resting = self.set_timer(REST, self._show_job)

    @work(exclusive=True, group="job", exit_on_error=False)
    async def _show_job(self) -> None:
        key = self.grid.cursor
        if key is None:
            self.log_view.clear("")
            self.details.show([("no job", "muted")], None)
            return
        record = await self.gateway.record(key)
        if key != self.grid.cursor or self.snapshot is None:
            return
        title = titles.job_title(self.snapshot, record, self.looks)
        snapshot = self.snapshot
        held = snapshot.blocked.get(key.batch_id, "")
        sight = JobDetailsData(record, snapshot.live.get(key), snapshot.missing.get(key), held)
        sight = sight._replace(refused=key.batch_id in snapshot.refused)
        self.details.show(title, sight)
        self.complete_details()
        streams, note = titles.log_streams(record, errors_first=key in self.snapshot.missing)
        over = key in snapshot.missing or (record.row is not None and record.row.state in DONE_STATES)
        self._show_log(key, LogSources("".join(text for text, _ in title), streams, note, over))

    def _look_for_wanted_text(self) -> None:
        """Opens the log anew where the filter has found what it wants in the log of the job that is shown."""
        query, key = self.scope.query, self.grid.cursor
        if query is None or key is None or key not in self.gateway.matching_log:
            return
        wanted = next((term for term in query.log if term.wanted), None)
        if wanted is not None and self._sought != (key, wanted):
            self._show_job_soon()

    def _show_log(self, key: JobKey, sources: LogSources) -> None:
        """Shows a job's logs: where it holds what the filter wants in it, or else from its end."""
        if isinstance(self.app.screen, LogScreen):
            self.app.screen.show(sources)  # it lies over this one, and is of the same job
        query = self.scope.query
        wanted = next((term for term in query.log if term.wanted), None) if query is not None else None
        stream = self.gateway.matching_log.get(key) if wanted is not None else None
        sought = (key, wanted) if wanted is not None and stream is not None else None
        before, self._sought = self._sought, sought
        if stream is None or wanted is None:
            if before is not None:
                self.log_view.forget_search()
            self.log_view.show(sources)
        elif sought == before:
            self.log_view.show(sources)
        else:
            self.log_view.show_found(sources, stream, wanted.text, literal=not wanted.regex)
        if self.spawn_wanted is not None and self.spawn_wanted[0] == key:
            self.log_view.show_spawn(self.spawn_wanted[1])
            self.spawn_wanted = None
