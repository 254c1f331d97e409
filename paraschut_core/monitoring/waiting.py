"""Waits until jobs are over: none is in the queue or runs any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from ..database.jobs import read_completed_tokens, read_rows
from ..errors import DatabaseError, SchedulerError
from ..model import DONE_STATES, ENDED, ONLINE_STATES, JobKey, MissingJob, Snapshot
from ..project import Project
from ..sanitize import clean_line, complain
from . import polling
from .file_watcher import ChangeDetector
from .monitor import Monitor

LOOK_SECONDS = 0.5
"""Between two looks at whether the database file changed."""

QUIET_SECONDS = 3.0
"""Between two questions to a scheduler whether the processes of completed jobs have ended."""

SETTLE_SECONDS = 3.0
"""That nothing is in the queue is believed after so long, where the queue does not show whose its jobs are:
a job that has just completed may be submitting others."""

ENDING_SECONDS = 600.0
"""A job that completed no longer ago may still run its last lines."""

SUBMIT_SECONDS = 5.0
"""Between two submissions of what completed jobs make possible."""


MOST_REASONS = 20
"""Missing jobs of which the last lines say why."""


class WaitedJobs(NamedTuple):
    """Which jobs are waited for: all but `without`, those of `batches`, or `keys`."""

    batches: tuple[int, ...] | None = None
    keys: tuple[JobKey, ...] | None = None
    without: JobKey | None = None


class WaitProgress(NamedTuple):
    """How many jobs are in which state; those that are `missing`, with the reasons."""

    states: dict[str, int]
    missing: dict[JobKey, MissingJob]
    scheduler: str = ""

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def complete(self) -> int:
        return sum(n for state, n in self.states.items() if state in DONE_STATES)

    @property
    def online(self) -> int:
        """Jobs that are submitted or running and not missing."""
        return sum(n for state, n in self.states.items() if state in ONLINE_STATES) - len(self.missing)

    @property
    def is_success(self) -> bool:
        return self.complete == self.total

    @property
    def line(self) -> str:
        """In one line, how far it is."""
        rest = self.total - self.complete - self.online - len(self.missing)
        parts = [f"{self.complete:,} of {self.total:,} complete"]
        parts += [f"{self.online:,} in the queue"] if self.online else []
        parts += [f"{len(self.missing):,} missing"] if self.missing else []
        parts += [f"{rest:,} not submitted"] if rest else []
        return ", ".join(parts) + (f" ({self.scheduler})" if self.scheduler else "")

    def last_lines(self) -> Iterator[str]:
        """What to say at the end: how many are complete, and why others are not."""
        yield self.line
        for key, lost in list(self.missing.items())[:MOST_REASONS]:
            yield f"missing: {key}: {clean_line(lost.reason)}"
        if len(self.missing) > MOST_REASONS:
            yield f"... and {len(self.missing) - MOST_REASONS:,} more missing"
        others = {s: n for s, n in self.states.items() if s not in DONE_STATES and s not in ONLINE_STATES}
        for state, n in others.items():
            yield f"{n:,} in state {clean_line(state) or '(empty)'}: not submitted"


def progress(
    ws: Project,
    jobs: WaitedJobs,
    *,
    submit: Callable[[], int] | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[WaitProgress]:
    """Yield how far the jobs are, about twice a second; end when none of them is in the queue any more.

    The database file is watched: it is read only when it has changed. The scheduler is asked as seldom as the
    setting poll.interval says.

    Args:
        submit: submits what the priority rules allow next; returns how many jobs. It is called when jobs
            completed.
    """
    monitor = Monitor(ws)
    detector = ChangeDetector(ws.db.path)
    try:
        now = _look(ws, jobs, monitor.poll())
        polled = submitted_at = time.monotonic()
        complete = now.complete
        quiet_since: float | None = None
        while True:
            yield now
            due = now.complete != complete and time.monotonic() - submitted_at >= SUBMIT_SECONDS
            if submit is not None and (due or now.online == 0):
                complete, submitted_at = now.complete, time.monotonic()
                if _submitted(submit):
                    now = _look(ws, jobs, monitor.refresh())
                    continue
            if now.online == 0:
                quiet_since = quiet_since or time.monotonic()
                polled = time.monotonic()
                now = _look(ws, jobs, monitor.poll(force=True))
                if now.online == 0 and not _may_submit(ws, quiet_since):
                    yield now
                    return
            else:
                quiet_since = None
            sleep(QUIET_SECONDS if now.online == 0 and ws.executor.expensive_poll else LOOK_SECONDS)
            if time.monotonic() - polled >= max(ws.settings.poll.interval / 5, LOOK_SECONDS):
                polled = time.monotonic()
                now = _look(ws, jobs, monitor.poll())
            elif detector.changed():
                now = _look(ws, jobs, monitor.refresh())
    finally:
        detector.close()


def _look(ws: Project, jobs: WaitedJobs, snapshot: Snapshot) -> WaitProgress:
    if snapshot.database.error:
        raise DatabaseError(snapshot.database.error)
    states: dict[str, int] = {}
    chosen: Collection[JobKey] | None = None
    if jobs.keys is not None:
        chosen = set(jobs.keys)
        for row in read_rows(ws.reader, jobs.keys):
            states[row.state] = states.get(row.state, 0) + 1
    else:
        for batch_id in snapshot.batches if jobs.batches is None else jobs.batches:
            batch = snapshot.batches.get(batch_id)
            for state, n in batch.states.items() if batch else ():
                states[state] = states.get(state, 0) + n
        for row in read_rows(ws.reader, [jobs.without] if jobs.without else []):
            if jobs.batches is None or row.key.batch_id in jobs.batches:
                states[row.state] -= 1
    missing = {
        key: lost
        for key, lost in snapshot.missing.items()
        if key != jobs.without
        and (key in chosen if chosen is not None else jobs.batches is None or key.batch_id in jobs.batches)
    }
    health = snapshot.scheduler
    trouble = ""
    if health.failing_since is not None:
        trouble = polling.outage_message(health.executor, health.failing_since, health.error)
    return WaitProgress(states, missing, trouble)


def _submitted(submit: Callable[[], int]) -> int:
    """How many jobs were submitted; a scheduler that does not answer now may do so next time."""
    try:
        return submit()
    except SchedulerError as error:
        complain(error)
        return 0


def _may_submit(ws: Project, quiet_since: float) -> bool:
    """Return whether a job that completed may still be submitting others: its process has not ended."""
    executor = ws.executor
    if not executor.reports_tokens:
        return time.monotonic() - quiet_since < SETTLE_SECONDS
    live = {
        job.token for job in polling.poll_scheduler(ws).answer.values() if job.state != ENDED and job.token
    }
    return bool(live & read_completed_tokens(ws.reader, time.time() - ENDING_SECONDS))
