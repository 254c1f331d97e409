"""Navigator: goes to jobs, batches and filters, and keeps the panes together on the way."""

from __future__ import annotations

from paraschut_core.errors import ParaschutError
from paraschut_core.model import RUNNING, JobKey, Snapshot

from ..backend.backend import Backend
from ..batch_tree.model import ordered
from ..dashboard_state import DashboardState
from ..messages import BatchSelected
from ..overview.model import NavigationTarget
from ..session.session_state import SessionState
from ..state_styles import L_MISSING, L_RUN, L_UNCONFIRMED
from ..terminal.terminal_app import hold_keys_during
from ..toast import show_toast
from .pane_layout import PaneLayout
from .panes import Panes

ALL_MISSING = "state:missing"
"""The filter that one key sets."""


class Navigator:
    """Moves the cursors of the panes.

    Args:
        session: where the cursors were in the session before.
        batch: the BatchID to begin with.
        filter_text: the filter to begin with.
    """

    def __init__(
        self,
        backend: Backend,
        state: DashboardState,
        panes: Panes,
        layout: PaneLayout,
        session: SessionState,
        *,
        batch: int | None = None,
        filter_text: str = "",
    ) -> None:
        self._backend = backend
        self._state = state
        self._batches, self._jobs, self._lower = panes.batches, panes.jobs, panes.lower
        self._layout = layout
        self._first_batch = batch
        self._first_job = session.cursor
        self._first_filter = filter_text or (session.filter if batch is None else "")

    # ------------------------------------------------------------------ the start

    def begin(self, snapshot: Snapshot) -> None:
        """Show a first batch, and set the first filter.

        The batch is the one asked for, else where the cursor was in the session before, else the newest with
        missing jobs, else with running jobs, else with unfinished jobs, else the newest.
        """
        batches = [batch.batch_id for batch in ordered(snapshot.batches.values(), "time")]
        missing = {key.batch_id for key in snapshot.missing}
        running = {key.batch_id for key in snapshot.live}
        unfinished = {b.batch_id for b in snapshot.batches.values() if b.complete < b.total}
        job, self._first_job = self._first_job, None
        wanted = [b for b in batches if b == self._first_batch]
        wanted += [job.batch_id] if job is not None and job.batch_id in snapshot.batches else []
        for group in (missing, running, unfinished, set(batches)):
            wanted += [b for b in batches if b in group]
        batch_id = wanted[0]
        look = L_MISSING if batch_id in missing else L_RUN if batch_id in running else None
        index = job.job_index if job is not None and job.batch_id == batch_id else None
        if index is None:
            self._jobs.forget_offset()
        self._batches.open_batch(batch_id, restore=index is not None)
        self._jobs.contents.show_batch(batch_id, look, index)
        self._layout.share_lines()
        if self._first_filter:
            text, self._first_filter = self._first_filter, ""
            self._jobs.contents.set_filter(text)

    @property
    def cursor(self) -> JobKey | None:
        """The job under the cursor, or the one that it returns to."""
        return self._jobs.grid.cursor or self._first_job

    @property
    def filter_text(self) -> str:
        """The filter in force, or the one that comes into force with the first jobs."""
        return self._first_filter or (self._state.query.text if self._state.query is not None else "")

    # ------------------------------------------------------------------ batches

    def select(self, message: BatchSelected) -> None:
        """Show what the cursor of the tree is on."""
        look, batch_id = message.look, message.batch_id
        if look == L_UNCONFIRMED and message.index is None and self._has_state(batch_id, L_RUN):
            look = L_RUN
        if self._batches.batch_tree.marked and self._state.query is None:
            self._jobs.contents.go_to_batch(batch_id)
        else:
            self._jobs.contents.show_batch(batch_id, look, message.index)
        if message.index is not None:
            self._lower.show_spawn(JobKey(batch_id, message.index), message.spawn)

    def _has_state(self, batch_id: int, look: int) -> bool:
        board = self._jobs.grid.board
        group = board.group_of(batch_id)
        return group is not None and board.groups[group].find(look, 0) >= 0

    def show_marked(self) -> None:
        """Show the marked batches together; without marks the batch under the cursor."""
        tree = self._batches.batch_tree
        if tree.marked:
            self._jobs.contents.show_batches(tuple(sorted(tree.marked, reverse=True)))
        elif tree.cursor is not None:
            self._jobs.contents.show_batch(tree.cursor.batch_id)

    def go_to_batch(self, batch_id: int) -> None:
        """Show a batch."""
        self._show_batch(batch_id, None)

    def _show_batch(self, batch_id: int, index: int | None) -> None:
        if self._state.query is not None:
            self._jobs.contents.set_filter("")
        self._batches.batch_tree.go_to_batch(batch_id)
        self._jobs.contents.show_batch(batch_id, index=index)

    # ------------------------------------------------------------------ jobs

    def go_to(self, target: NavigationTarget) -> None:
        """Go to a filter, a job or a batch."""
        if target.filter:
            self._jobs.contents.set_filter(target.filter)
        elif target.job is not None:
            self.go_to_job(target.job)
        elif target.batch_id is not None:
            self.go_to_batch(target.batch_id)
        self._jobs.grid.focus()

    def go_to_job(self, key: JobKey) -> None:
        """Put the cursor on a job, wherever it is."""
        if not self._jobs.grid.go_to(key):
            self._show_batch(key.batch_id, key.job_index)

    def go_to_next_missing(self) -> None:
        """Go to the next missing job after the cursor, through all batches and round."""
        missing = sorted(self._state.missing, key=_order_shown)
        if not missing:
            show_toast(self._jobs, "Nothing is missing.")
            return
        cursor = self._jobs.grid.cursor
        after = [key for key in missing if cursor is None or _order_shown(key) > _order_shown(cursor)]
        self.go_to_job((after or missing)[0])

    def toggle_all_missing(self) -> None:
        """Filter by all missing jobs of all batches, or end that filter."""
        query = self._state.query
        on = query is not None and query.text == ALL_MISSING
        self._jobs.contents.set_filter("" if on else ALL_MISSING)

    def go_to_newest_running(self) -> None:
        """Go to the job that started last, and to its log."""
        live = self._state.snapshot.live if self._state.snapshot is not None else {}
        running = [key for key, job in live.items() if job.state == RUNNING]
        if running:
            self._jobs.run_worker(
                self._go_to_newest(running), group="newest", exclusive=True, exit_on_error=False
            )
        else:
            show_toast(self._jobs, "Nothing runs.")

    async def _go_to_newest(self, running: list[JobKey]) -> None:
        try:
            rows = await hold_keys_during(self._jobs.app, self._backend.rows(running))
        except ParaschutError as error:
            show_toast(self._jobs, str(error), "error")
            return
        if rows:
            self.go_to_job(max(rows, key=lambda row: (row.started_at or 0.0, row.key)).key)
            self._lower.shown.focus()


def _order_shown(key: JobKey) -> tuple[int, int]:
    """Return the place of a job where the newest batch comes first."""
    return -key.batch_id, key.job_index
