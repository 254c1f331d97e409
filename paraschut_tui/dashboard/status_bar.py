"""StatusBar: the top line: whether what is shown is up to date, and how many jobs are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paraschut_core.model import Snapshot

from ..backend.backend import Backend
from ..batch_tree.totals import JobTotals
from ..dashboard_state import DashboardState
from ..state_styles import L_QUEUED, Palette
from ..widgets.styled_line import Part, width_of
from ..widgets.text_line import TextLine
from .status_text import ThroughputEstimator, database_parts, is_stale, scheduler_parts, tally_parts


class StatusBar(TextLine):
    """Shows ages as bounds, so that nothing is sent to the terminal while nothing happens.

    Args:
        clock: epoch seconds.
    """

    def __init__(
        self,
        backend: Backend,
        state: DashboardState,
        palette: Palette,
        clock: Callable[[], float],
        *,
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(palette, id=id)
        self._backend = backend
        self._state = state
        self._clock = clock
        self._throughput = ThroughputEstimator()
        self.tally = JobTotals()
        self.stale = False
        """Whether what is shown may be older than what is in the database."""
        self._flags: Sequence[str] = ()

    def seed(self, times: Sequence[float], complete: int) -> None:
        """Record when the latest jobs became complete, before this was opened."""
        self._throughput.seed(times, complete)

    def show_state(self) -> None:
        """Show the newest snapshot."""
        if self._state.snapshot is not None:
            self.tally.take(self._state.snapshot)
            self._throughput.note(self._clock(), self.tally.complete)
        self.tick()

    def show_flags(self, flags: Sequence[str]) -> None:
        """Show words such as "read-only" beside the database."""
        if flags != self._flags:
            self._flags = flags
            self.tick()

    def tick(self) -> None:
        """Show the ages as they are now."""
        snapshot = self._state.snapshot
        if snapshot is None:
            self.show([(" opening the database", "muted")])
            return
        now = self._clock()
        self.stale = is_stale(snapshot, self._backend.seen, now)
        width = self.size.width
        left, right = self._health(snapshot, now), self._totals(snapshot)
        if width_of(left) + width_of(right) > width:
            left = self._health(snapshot, now, short=True)
        if width_of(left) + width_of(right) > width:
            right = self._totals(snapshot, short=True)
        unfinished = self.tally.total - self.tally.complete - len(snapshot.missing)
        forecast = self._throughput.text(now, unfinished, snapshot.running)
        if forecast and width_of(left) + width_of(right) + len(forecast) + 3 <= width:
            right[-1:] = [(f"   {forecast} ", "muted")]
        self.show(left, right)

    def _health(self, snapshot: Snapshot, now: float, *, short: bool = False) -> list[Part]:
        """Return how the database and the scheduler are; `short` leaves out why."""
        seen, interval = self._backend.seen, self._backend.settings.poll.interval
        left: list[Part] = [(" ", "base"), *database_parts(snapshot.database, seen, now, short=short)]
        left += [(f"  {flag}", "warning") for flag in self._flags]
        scheduler = scheduler_parts(snapshot.scheduler, interval, now, short=short)
        return [*left, ("  " if short else "    ", "base"), *scheduler]

    def _totals(self, snapshot: Snapshot, *, short: bool = False) -> list[Part]:
        """Return how many jobs run, wait, are complete and are missing."""
        missing = self._state.missing_by_state.values()
        missing_of_queue = sum(states.get(L_QUEUED, 0) for states in missing)
        parts = tally_parts(snapshot, self.tally, missing_of_queue, self._backend.styles, short=short)
        return [("  ", "base"), *parts, (" ", "base")]

    def on_resize(self) -> None:
        self._painted = None
