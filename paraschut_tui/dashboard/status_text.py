"""The texts of the status bar: the health of database and scheduler, and the progress of the jobs. Pure."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from paraschut_core.model import DatabaseHealth, SchedulerHealth, Snapshot
from paraschut_core.sanitize import clean_line

from ..batch_tree.totals import JobTotals
from ..formatting import clock, coarse, count, duration, within
from ..state_styles import L_COMPLETE, L_MISSING, L_QUEUED, L_RUN, StateStyles
from ..widgets.styled_line import Part

STALE_AFTER = 10.0
"""Seconds without a check of the database after which the bar says so."""


def database_parts(health: DatabaseHealth, seen: float, now: float, *, short: bool = False) -> list[Part]:
    """Return the database's name and whether what is shown is up to date.

    Args:
        seen: when the file was last checked (epoch s), whether or not it had changed.
        short: leave out why it does not answer.
    """
    name = (clean_line(os.path.basename(health.path), 24), "bold")
    if health.error:
        age = f"  not answering for {coarse(now - health.read_at)}" if health.read_at else "  not readable"
        why: list[Part] = [] if short else [(f"  {clean_line(health.error, 60)}", "muted")]
        return [name, (age, "error"), *why]
    if seen and now - seen > STALE_AFTER:
        return [name, (f"  not answering for {coarse(now - seen)}", "error")]
    if health.notice:
        return [name, (f"  {clean_line(health.notice, 60)}", "warning")]
    return [name, (" live" if short else "  live", "success")]


def scheduler_parts(
    health: SchedulerHealth, interval: float, now: float, *, short: bool = False
) -> list[Part]:
    """Return the scheduler's name, whether it answers, and how old its answer is; `short` without why."""
    name = (clean_line(health.executor, 16), "bold")
    if health.failing_since is not None:
        since = f"  not answering since {clock(health.failing_since, now)}"
        why = f" ({clean_line(health.error, 48)})" if health.error else ""
        last = f" · last answer {coarse(now - health.polled_at)} old" if health.polled_at else ""
        if short:
            return [name, (since[1:], "error")]
        return [name, (since, "error"), (f"{why}{last}", "muted")]
    if not health.polled_at:
        return [name, ("  not polled yet", "muted")]
    age = now - health.polled_at
    late = age > 4 * interval + 30
    notice: list[Part] = [(f" · {clean_line(health.notice, 48)}", "warning")] if health.notice else []
    if short:
        return [name, (f" {within(age, 1.5 * interval + 2)} ago", "warning" if late else "muted")]
    return [
        name,
        (f"  polled {within(age, 1.5 * interval + 2)} ago", "warning" if late else "muted"),
        *notice,
    ]


def tally_parts(
    snapshot: Snapshot, tally: JobTotals, missing_of_queue: int, looks: StateStyles, *, short: bool = False
) -> list[Part]:
    """Return the numbers of running, queued, complete and missing jobs; `short` with less space between.

    Args:
        missing_of_queue: submitted jobs that are missing: these are in no queue.
    """
    gap: Part = ("  " if short else "   ", "base")
    slash = "/" if short else " / "
    running, queued = snapshot.running, max(tally.queued - missing_of_queue - snapshot.unreported, 0)
    parts: list[Part] = [
        (f"{looks.glyph(L_RUN)} {count(running)}", "accent" if running else "muted"),
        gap,
        (f"{looks.glyph(L_QUEUED)} {count(queued)}", "queued" if queued else "muted"),
        gap,
        (f"{looks.glyph(L_COMPLETE)} {count(tally.complete)}{slash}{count(tally.total)}", "success"),
    ]
    missing = len(snapshot.missing)
    if missing:
        word = "" if short else " missing"
        parts += [gap, (f"{looks.glyph(L_MISSING)} {count(missing)}{word}", "error")]
    return parts


def is_stale(snapshot: Snapshot, seen: float, now: float) -> bool:
    """Return whether what is shown may be older than what is in the database."""
    return bool(snapshot.database.error) or bool(seen and now - seen > STALE_AFTER)


class ThroughputEstimator:
    """Estimates how fast jobs complete, from the last ten minutes."""

    WINDOW = 600.0
    SILENCE = 120.0
    """Seconds without a completion after which, if that is long for this project, there is no forecast."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._longest = 0.0  # seconds between two completions

    def seed(self, times: Sequence[float], complete: int) -> None:
        """Record when the latest jobs became complete before the dashboard was opened, in order."""
        first = complete - len(times)
        seen = [(at, first + n) for n, at in enumerate(times, 1)]
        self._seen.extendleft(reversed([entry for entry in seen if not self._seen or entry < self._seen[0]]))
        self._longest = max((b - a for (a, _), (b, _) in pairwise(self._seen)), default=0.0)

    def note(self, now: float, complete: int) -> None:
        """Record how many jobs are complete now."""
        if self._seen and complete < self._seen[-1][1]:
            self._seen.clear()  # some were reset: the earlier numbers are no longer comparable
            self._longest = 0.0
        if not self._seen or complete != self._seen[-1][1]:
            if len(self._seen) > 1:
                self._longest = max(self._longest, now - self._seen[-1][0])
            self._seen.append((now, complete))
        while len(self._seen) > 2 and now - self._seen[0][0] > self.WINDOW:
            self._seen.popleft()

    def text(self, now: float, left: int, running: int) -> str:
        """Return "~1h10 left at 14/min"; "" while too little is known, or no job runs.

        Args:
            left: unfinished jobs, without the missing ones.
            running: running jobs.
        """
        if len(self._seen) < 2 or left <= 0 or running <= 0:
            return ""
        silent = now - self._seen[-1][0]
        span = now - self._seen[0][0]
        done = self._seen[-1][1] - self._seen[0][1]
        if span < 20 or done < 3 or silent > max(self.SILENCE, 3 * self._longest):
            return ""
        rate = done / span
        rate_text = f"{rate * 60:.0f}/min" if rate * 60 >= 1 else f"{rate * 3600:.0f}/h"
        return f"~{_rough(left / rate)} left at {rate_text}"


def _rough(seconds: float) -> str:
    """Return a duration, rounded as far as a forecast is uncertain."""
    if seconds < 60:
        return "1m"
    if seconds < 3600:
        return f"{_step(seconds / 60, 10)}m"
    if seconds < 36000:
        return duration(seconds - seconds % 600)
    return duration(seconds - seconds % 3600)


def _step(value: float, below: int) -> int:
    return round(value) if value < below else round(value / 5) * 5
