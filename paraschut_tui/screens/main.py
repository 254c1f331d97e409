"""MainScreen: batches, jobs and the log of the job under the cursor, all kept true to the snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import Reactive
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from paraschut_core.model import JobKey, Snapshot
from paraschut_core.text import clean_line

from .. import headings, keys
from ..feed import Update
from ..gateway import Gateway
from ..layout import cells_that_fit
from ..look import L_MISSING, L_RUN, L_UNCONFIRMED, Looks, Palette
from ..marks import Marks
from ..messages import (
    BatchChosen,
    CellsReady,
    FilterClosed,
    FilterEdited,
    JobChosen,
    SnapshotReady,
)
from ..outline import BATCH, MOST_JOBS, NodeKey, ordered
from ..records import JobRecord
from ..scope import Scope
from ..widgets.batch_tree import BatchTree
from ..widgets.filter_bar import FilterBar
from ..widgets.job_details import JobDetails
from ..widgets.job_grid import JobGrid
from ..widgets.key_line import KeyLine
from ..widgets.line import Line
from ..widgets.log_view import LogPlace, LogSources, LogView
from ..widgets.pane import Pane
from ..widgets.status_bar import StatusBar
from .acting import Acting
from .log import LogScreen

NARROW = 110
"""Columns below which the tree gives its place to the grid."""

REST = 0.12
"""Seconds that the cursor stays on a job before its log is opened."""


class MainScreen(Acting, Screen[None]):
    """The dashboard's one screen.

    Args:
        gateway: the project.
        palette, looks: colours and glyphs.
        clock: epoch seconds; frozen in tests.
        filter_text: a filter to begin with.
        batch: the BatchID to begin with.
        read_only: no key changes anything.
    """

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.MAIN)
    AUTO_FOCUS = "#grid"

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """As Textual's own, which however repaints the whole screen when the focus moves."""

    def __init__(
        self,
        gateway: Gateway,
        palette: Palette,
        looks: Looks,
        clock: Callable[[], float],
        *,
        filter_text: str = "",
        batch: int | None = None,
        read_only: bool = False,
    ) -> None:
        super().__init__()
        self.gateway = gateway
        self.palette = palette
        self.looks = looks
        self.read_only = read_only
        self.snapshot: Snapshot | None = None
        self.marks = Marks()
        self._clock = clock
        self._filter_text = filter_text
        self._first_batch = batch
        self._lost: dict[int, dict[int, int]] = {}
        self._resting: Timer | None = None
        self._shown_job: JobRecord | None = None
        self.status = StatusBar(palette, looks, gateway.settings.poll.interval, id="status")
        self.status.flags = ("read-only",) if read_only else ()
        self.batch_tree = BatchTree(palette, looks, id="tree")
        self.grid = JobGrid(palette, looks, self.marks, id="grid")
        self.log_view = LogView(id="log")
        self.details = JobDetails(palette, id="details")
        self.filter_bar = FilterBar(palette, id="filter")
        self.key_line = KeyLine(palette, read_only=read_only, id="keys")
        self.scope = Scope(gateway, looks, self.grid, self._scope_changed)

    def compose(self) -> ComposeResult:
        yield self.status
        with Horizontal(id="upper"):
            with Vertical(id="left"):
                yield Line(self.palette, id="tree-title")
                yield self.batch_tree
            with Vertical(id="right"):
                yield Line(self.palette, id="batch-line")
                yield Line(self.palette, id="grid-title")
                yield Line(self.palette, id="legend")
                yield Line(self.palette, id="ruler")
                yield self.grid
        with Vertical(id="lower"):
            yield self.log_view
            yield self.details
        yield self.filter_bar
        yield self.key_line

    def on_mount(self) -> None:
        self.grid.heading = self._heading
        self.set_interval(1.0, self._tick)
        self._tick()
        self.gateway.start(self.post_message)

    def on_resize(self, event: events.Resize) -> None:
        width = event.size.width
        self.set_class(width < NARROW, "-narrow")
        # The tree takes what a row of a hundred cells leaves over.
        self.query_one("#left").styles.width = "1fr" if width < NARROW else max(40, min(width - 118, 60))
        self._split(event.size.height)
        self.call_after_refresh(self._scope_changed)

    def _split(self, height: int) -> None:
        """Shares the lines between the jobs and the log: what the largest batch needs, but little more than
        half. It is done once and at a change of size, not from batch to batch: the log must not jump."""
        if self.snapshot is None:
            return
        room = height - 2
        per_row = cells_that_fit(self.size.width - (50 if self.size.width >= NARROW else 9))
        largest = max((batch.total for batch in self.snapshot.batches.values()), default=0)
        wanted = max(-(-largest // per_row) + 5, len(self.batch_tree.outline.rows) + 2)
        self.query_one("#upper").styles.height = max(min(wanted, room * 11 // 20), min(12, room // 2))

    def use(self, palette: Palette) -> None:
        """Takes the styles of another theme."""
        self.palette = palette
        for widget in self.query(Line):
            widget.use(palette)
        for pane in self.query(Pane):
            pane.use(palette)
        self._scope_changed()

    # ------------------------------------------------------------------ snapshots

    def _tick(self) -> None:
        self.status.tick(self.gateway.seen, self._clock())

    def on_snapshot_ready(self, message: SnapshotReady) -> None:
        message.stop()
        update = self.gateway.take()
        if update is not None:
            self._show(update)

    def _show(self, update: Update) -> None:
        first = self.snapshot is None
        self.snapshot = update.snapshot
        self._lost = {batch_id: dict(states) for batch_id, states in update.lost.items()}
        self.status.update(update.snapshot, self.gateway.seen, self._clock())
        self.marks.keep_batches(update.snapshot.batches)
        self.batch_tree.update(update.snapshot, update.lost)
        if first and update.snapshot.batches:
            self._begin(update.snapshot)
        self.scope.take_update(update)
        if not self.scope.batches and update.snapshot.batches:
            self._begin(update.snapshot)
        self._load_open_branches(update)
        self._scope_changed()
        cursor = self.grid.cursor
        if cursor is not None and any(row.key == cursor for row in update.rows):
            self._show_job_soon()

    def _begin(self, snapshot: Snapshot) -> None:
        """Chooses where to look first: at what is missing, else at what runs, else at the newest."""
        batches = [batch.batch_id for batch in ordered(snapshot.batches.values(), "time")]
        lost = {key.batch_id for key in snapshot.missing}
        running = {key.batch_id for key in snapshot.live}
        unfinished = {b.batch_id for b in snapshot.batches.values() if b.complete < b.total}
        wanted = [b for b in batches if b == self._first_batch]
        for group in (lost, running, unfinished, set(batches)):
            wanted += [b for b in batches if b in group]
        batch_id = wanted[0]
        look = L_MISSING if batch_id in lost else None
        if look is None and batch_id in running:
            look = L_RUN
        self.batch_tree.outline.open.add(NodeKey(BATCH, batch_id))
        self.batch_tree.rebuild()
        self.batch_tree.go_to_batch(batch_id)
        self.scope.show_batch(batch_id, look)
        self._split(self.size.height)
        if self._filter_text:
            self.scope.set_filter(self._filter_text)

    def on_cells_ready(self, message: CellsReady) -> None:
        message.stop()
        self.scope.take_cells(message)

    def _load_open_branches(self, update: Update) -> None:
        """Lists the jobs under open states anew where their batch changed."""
        for node in self.batch_tree.outline.open:
            if node.look >= 0 and (update.reload or node.batch_id in update.batches):
                self._load_branch(node)

    def on_batch_tree_opened(self, message: BatchTree.Opened) -> None:
        message.stop()
        self._load_branch(message.node)

    @work(exit_on_error=False)
    async def _load_branch(self, node: NodeKey) -> None:
        """Reads the jobs under a state, or the spawns under a job, into the tree."""
        outline = self.batch_tree.outline
        if node.job >= 0:
            record = await self.gateway.record(JobKey(node.batch_id, node.job))
            outline.spawns[node] = [
                (spawn.spawn_id, clean_line(f"{spawn.state}  {spawn.cluster_id or spawn.submit_id or ''}"))
                for spawn in record.spawns
            ]
        elif node.look == L_MISSING and self.snapshot is not None:
            outline.jobs[node] = sorted(
                k.job_index for k in self.snapshot.missing if k.batch_id == node.batch_id
            )
        else:
            found = await self.gateway.indexes(node.batch_id, node.look, MOST_JOBS + 200)
            missing = self.snapshot.missing if self.snapshot is not None else {}
            outline.jobs[node] = [i for i in found if JobKey(node.batch_id, i) not in missing]
        self.batch_tree.rebuild()

    # ------------------------------------------------------------------ headings

    def _scope_changed(self) -> None:
        """Writes all headings anew; each sends only the columns that differ."""
        snapshot = self.snapshot
        if snapshot is None or not self.is_mounted:
            return
        pane = self.pane
        matches = None
        if self.scope.query is not None:
            matches = {group.batch_id: len(group) for group in self.grid.board.groups}
        if matches != self.batch_tree.matches:
            self.batch_tree.matches = matches
            self.batch_tree.repaint_changed()
        self.set_class(self.scope.query is not None, "-filtered")
        shown = self.query_one
        shown("#tree-title", Line).show(
            *headings.tree_title(snapshot, pane == "tree", self.batch_tree.outline.grouping)
        )
        title = headings.grid_title(snapshot, self.scope, self.grid, pane == "grid", self._filter_error())
        shown("#grid-title", Line).show(*title)
        cursor = self.batch_tree.cursor
        shown("#batch-line", Line).show(
            *headings.batch_line(
                snapshot, cursor.batch_id if cursor else None, self._lost, self.looks, len(self.marks)
            )
        )
        shown("#legend", Line).show(headings.legend(self.grid.board, self.looks, self.grid.plan.label_width))
        shown("#ruler", Line).show(self.grid.ruler())
        if not snapshot.batches:
            self._explain_empty(snapshot)
        if self.filter_bar.is_open:
            self._say_matches()

    def _filter_error(self) -> str:
        return self.scope.error

    def _explain_empty(self, snapshot: Snapshot) -> None:
        note = headings.no_batches(snapshot)
        if self.grid.note != note:
            self.grid.note = note
            self.grid.repaint_changed()
            self.log_view.clear("")

    def _heading(self, batch_id: int, jobs: int) -> list[tuple[str, str]]:
        assert self.snapshot is not None  # there are no jobs to be headed before
        return headings.group_heading(self.snapshot, batch_id, jobs, self.scope.query is not None)

    def on_job_grid_rescaled(self) -> None:
        self._scope_changed()

    def on_job_grid_marks_changed(self) -> None:
        self._scope_changed()

    # ------------------------------------------------------------------ cursor

    def on_batch_chosen(self, message: BatchChosen) -> None:
        message.stop()
        look = message.look
        if look == L_UNCONFIRMED and message.index is None:
            look = L_RUN if self._has_look(message.batch_id, L_RUN) else L_UNCONFIRMED
        self.scope.show_batch(message.batch_id, look, message.index)
        self._scope_changed()

    def _has_look(self, batch_id: int, look: int) -> bool:
        group = self.grid.board.group_of(batch_id)
        return group is not None and self.grid.board.groups[group].find(look, 0) >= 0

    def on_job_chosen(self, message: JobChosen) -> None:
        message.stop()
        if message.key is not None and self.batch_tree.cursor is not None:
            self.batch_tree.go_to_batch(message.key.batch_id)
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
        self._shown_job = record
        title = headings.job_title(self.snapshot, record, self.looks)
        self.details.show(title, record)
        streams, note = headings.log_streams(record, errors_first=key in self.snapshot.missing)
        self.log_view.show(LogSources("".join(text for text, _ in title), streams, note))

    # ------------------------------------------------------------------ panes

    @property
    def pane(self) -> str:
        """Which pane has the focus: "tree", "grid" or "log"."""
        widget: Widget | None = self.focused
        while widget is not None and widget is not self:
            if widget is self.batch_tree:
                return "tree"
            if widget is self.log_view or widget is self.details:
                return "log"
            widget = widget.parent if isinstance(widget.parent, Widget) else None
        return "grid"

    def on_descendant_focus(self) -> None:
        pane = self.pane
        details = pane == "log" and self.has_class("-details")
        self.key_line.show_pane("details" if details else pane)
        self.log_view.set_class(pane == "log", "-focused")
        self._scope_changed()

    def action_details(self) -> None:
        was = self.pane == "log"
        self.toggle_class("-details")
        if was:
            self._lower().focus()

    def _lower(self) -> Widget:
        return self.details if self.has_class("-details") else self.log_view

    def action_zoom(self) -> None:
        zooms = {"tree": "-zoom-tree", "grid": "-zoom-grid", "log": "-zoom-log"}
        on = any(self.has_class(name) for name in zooms.values())
        self.remove_class(*zooms.values())
        if not on:
            self.add_class(zooms[self.pane])

    def action_batches(self) -> None:
        if self.has_class("-narrow"):
            self.toggle_class("-batches")
            (self.batch_tree if self.has_class("-batches") else self.grid).focus()
        else:
            self.batch_tree.focus()

    def on_batch_tree_drilled(self) -> None:
        self.remove_class("-batches")
        self._lower().focus()

    def on_job_grid_drilled(self) -> None:
        self._lower().focus()

    def on_log_view_full_screen(self, message: LogView.FullScreen) -> None:
        message.stop()
        self._full_screen(message.sources, message.place)

    @work(exclusive=True, group="log", exit_on_error=False)
    async def _full_screen(self, sources: LogSources, place: LogPlace) -> None:
        """The log on the whole screen; afterwards the pane goes on from where the user was there."""
        back = await self.app.push_screen_wait(LogScreen(sources, place))
        if back is not None:
            self.log_view.show(sources, back)

    def log_keys(self) -> list[tuple[str, str]]:
        return self.log_view.help_keys()

    def action_stream(self) -> None:
        self.remove_class("-details")
        self.log_view.action_stream()

    def action_back(self) -> None:
        """Undoes one thing: a begun range, zoom, the batches' overlay, focus, the filter."""
        if self.grid.cancel_range():
            return
        for name in ("-zoom-tree", "-zoom-grid", "-zoom-log", "-batches"):
            if self.has_class(name):
                self.remove_class(name)
                return
        if self.pane != "grid":
            self.grid.focus()
        elif self.scope.query is not None:
            self.scope.set_filter("")
        self._scope_changed()

    # ------------------------------------------------------------------ moving about

    def action_previous_batch(self) -> None:
        self.batch_tree.step_batch(-1)

    def action_next_batch(self) -> None:
        self.batch_tree.step_batch(1)

    def action_next_missing(self) -> None:
        """To the next missing job behind the cursor, through all batches and round."""
        if self.snapshot is None or not self.snapshot.missing:
            self.notify("Nothing is missing.", markup=False)
            return
        lost = sorted(self.snapshot.missing, key=lambda key: (-key.batch_id, key.job_index))
        here = self.grid.cursor
        after = [
            k for k in lost if here is None or (-k.batch_id, k.job_index) > (-here.batch_id, here.job_index)
        ]
        target = (after or lost)[0]
        if not self.grid.go_to(target):
            if self.scope.query is not None:
                self.scope.set_filter("")
            self.batch_tree.go_to_batch(target.batch_id)
            self.scope.show_batch(target.batch_id, index=target.job_index)

    def action_refresh(self) -> None:
        self.gateway.poll_now()
        self.scope.reload()

    # ------------------------------------------------------------------ filter

    def action_filter(self) -> None:
        self.key_line.display = False
        self.filter_bar.open(self.scope.query.text if self.scope.query else "")
        self._say_matches()

    def on_filter_edited(self, message: FilterEdited) -> None:
        message.stop()
        if self._resting is not None:
            self._resting.stop()
        text = message.text
        self._resting = self.set_timer(0.15, lambda: self.scope.set_filter(text))

    def on_filter_closed(self, message: FilterClosed) -> None:
        message.stop()
        self.key_line.display = True
        self.scope.set_filter(message.text)
        self.grid.focus()
        self._show_job_soon()

    def _say_matches(self) -> None:
        if self.scope.error:
            self.filter_bar.say([(clean_line(self.scope.error), "error")])
        elif self.scope.query is not None and not self.scope.loading:
            self.filter_bar.say([(f"{self.grid.board.total:,} match", "accent")])
        else:
            self.filter_bar.say([("Enter keeps it, Esc goes back", "muted")])
