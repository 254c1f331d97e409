"""StatusBar: the top line. Says at once whether what is shown is true, and how far the jobs are."""

from __future__ import annotations

from collections.abc import Sequence

from paraschut_core.model import Snapshot

from ..batch_tree.totals import JobTotals
from ..state_styles import Palette, StateStyles
from ..widgets.styled_line import Part, width_of
from ..widgets.text_line import TextLine
from .status_text import ThroughputEstimator, database_parts, is_stale, scheduler_parts, tally_parts


class StatusBar(TextLine):
    """Shows ages as bounds, so that nothing is sent to the terminal while nothing happens."""

    def __init__(
        self,
        palette: Palette,
        looks: StateStyles,
        interval: float,
        *,
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(palette, id=id)
        self._looks = looks
        self._interval = interval
        self._pace = ThroughputEstimator()
        self.tally = JobTotals()
        self._lost = 0
        self._snapshot: Snapshot | None = None
        self.stale = False
        """Whether what is on the screen may no longer be what is in the database."""
        self.flags: tuple[str, ...] = ()
        """Words such as "read-only" that stand beside the database."""

    def seed(self, times: Sequence[float], complete: int) -> None:
        """Takes down when the latest jobs became complete, before this was opened."""
        self._pace.seed(times, complete)

    def update(self, snapshot: Snapshot, lost: int, seen: float, now: float) -> None:
        """Shows a newer snapshot; `lost` of the submitted jobs are missing."""
        self._snapshot, self._lost = snapshot, lost
        self.tally.take(snapshot)
        self._pace.note(now, self.tally.complete)
        self.tick(seen, now)

    def tick(self, seen: float, now: float) -> None:
        """Lets the ages grow; `seen` is when the database was last looked at (epoch s)."""
        snapshot = self._snapshot
        if snapshot is None:
            self.show([(" opening the database", "muted")])
            return
        self.stale = is_stale(snapshot, seen, now)
        width = self.size.width
        left, right = self._health(snapshot, seen, now), self._tally(snapshot)
        if width_of(left) + width_of(right) > width:
            left = self._health(snapshot, seen, now, short=True)
        if width_of(left) + width_of(right) > width:
            right = self._tally(snapshot, short=True)
        to_come = self.tally.total - self.tally.complete - len(snapshot.missing)
        pace = self._pace.text(now, to_come, snapshot.running)
        if pace and width_of(left) + width_of(right) + len(pace) + 3 <= width:
            right[-1:] = [(f"   {pace} ", "muted")]
        self.show(left, right)

    def _health(self, snapshot: Snapshot, seen: float, now: float, *, short: bool = False) -> list[Part]:
        """How the database and the scheduler are; `short` leaves out why."""
        left: list[Part] = [(" ", "base"), *database_parts(snapshot.database, seen, now, short=short)]
        left += [(f"  {flag}", "warning") for flag in self.flags]
        scheduler = scheduler_parts(snapshot.scheduler, self._interval, now, short=short)
        return [*left, ("  " if short else "    ", "base"), *scheduler]

    def _tally(self, snapshot: Snapshot, *, short: bool = False) -> list[Part]:
        """How far the jobs are."""
        parts = tally_parts(snapshot, self.tally, self._lost, self._looks, short=short)
        return [("  ", "base"), *parts, (" ", "base")]

    def on_resize(self) -> None:
        self._painted = None
