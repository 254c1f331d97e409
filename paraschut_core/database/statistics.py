"""Statistics of the history: read in slices, each short enough that no other process waits for it.

The history is read by its primary key: numbers grow as time passes, nearly (the clocks of hosts differ).
There is no index on time: each job would write one more page at its start and at its end, for a question that
is asked now and then.
"""

from __future__ import annotations

from typing import NamedTuple

from ..exit_kinds import kind_of_words
from ..model import JobKey
from .connection import Database
from .events import ENDED, IS_UNDO

_COMPLETED = f"""("to" = 'complete' AND "from" <> "to" AND action IS NULL AND NOT {IS_UNDO})"""
"""An event by which a job became complete; not a user's act, nor its undoing."""


class EventRange(NamedTuple):
    """How far the history reaches: events with `first` <= id <= `last`, the first of them `began` (epoch s);
    endings up to the revision `rev`. Nothing happened if `last` is 0."""

    first: int
    last: int
    began: float
    rev: int


class TransitionCounts(NamedTuple):
    """What a minute's events of a batch changed: jobs completed; more jobs (or fewer) running and queued."""

    minute: int
    batch_id: int
    completed: int
    running: int
    queued: int


class FinishedRun(NamedTuple):
    """One job that completed: after how many seconds of running, when (epoch s), where."""

    key: JobKey
    seconds: float
    at: float
    host: str


class FailedAttempt(NamedTuple):
    """One attempt that ended badly; `kind` is a code of exit_kinds.py."""

    key: JobKey
    attempt: int
    at: float
    reason: str
    host: str
    kind: str
    exit_status: int | None
    signal: int | None


def read_bounds(db: Database, batch_id: int | None = None) -> EventRange:
    """How far the history of all jobs, or of a batch's, reaches."""
    first, last = db.rows("SELECT (SELECT min(id) FROM event), (SELECT max(id) FROM event)")[0]
    if batch_id is not None:
        first, last = db.rows("SELECT min(id), max(id) FROM event WHERE BatchID = ?", (batch_id,))[0]
    rows = db.rows("SELECT at FROM event WHERE id = ?", (first,))
    return EventRange(first or 0, last or 0, rows[0][0] if rows else 0.0, read_end(db)[1])


def read_end(db: Database) -> tuple[int, int]:
    """The id of the latest event, and the revision of the latest ending; 0 where there is none."""
    last, rev = db.rows("SELECT (SELECT max(id) FROM event), (SELECT max(rev) FROM ending)")[0]
    return last or 0, rev or 0


def read_moves(db: Database, above: int, last: int, batch_id: int | None = None) -> list[TransitionCounts]:
    """What the events with `above` < id <= `last` changed, by minute and batch."""
    rows = db.rows(
        f"""SELECT CAST(at / 60 AS INTEGER), BatchID,
                  sum({_COMPLETED}),
                  sum("to" IN ('run', 'spawn')) - sum("from" IN ('run', 'spawn')),
                  sum("to" = 'submit') - sum("from" = 'submit')
           FROM event
           WHERE id > ? AND id <= ? AND "from" IS NOT NULL AND "to" <> "from" AND (?3 IS NULL OR BatchID = ?3)
           GROUP BY 1, 2""",
        (above, last, batch_id),
    )
    return [TransitionCounts._make(row) for row in rows]


def read_finishes(db: Database, above: int, last: int, batch_id: int | None = None) -> list[FinishedRun]:
    """The jobs whose completion is among the events with `above` < id <= `last`, and how long they ran. Of a
    job that was run again since, the earlier start is not known any more."""
    rows = db.rows(
        f"""SELECT event.BatchID, event.JobIndex, event.at - job.started_at, event.at, job.hostname
           FROM event CROSS JOIN job ON job.BatchID = event.BatchID AND job.JobIndex = event.JobIndex
           WHERE event.id > ? AND event.id <= ? AND {_COMPLETED} AND (?3 IS NULL OR event.BatchID = ?3)
             AND job.attempt = event.attempt AND job.started_at <= event.at""",
        (above, last, batch_id),
    )
    return [FinishedRun(JobKey(*row[:2]), row[2], row[3], row[4] or "") for row in rows]


def read_running(db: Database, batch_id: int | None = None) -> list[FinishedRun]:
    """The jobs that run by their own word, with their starts as `at`; `seconds` are 0."""
    rows = db.rows(
        """SELECT BatchID, JobIndex, started_at, hostname FROM job
           WHERE state IN ('submit', 'run', 'spawn') AND state <> 'submit' AND started_at IS NOT NULL
             AND (?1 IS NULL OR BatchID = ?1)""",
        (batch_id,),
    )
    return [FinishedRun(JobKey(*row[:2]), 0.0, row[2], row[3] or "") for row in rows]


def read_ended(db: Database, batch_id: int | None = None) -> set[JobKey]:
    """The jobs that are queued or run by their own word, but whose attempt has ended by another's."""
    rows = db.rows(
        """SELECT job.BatchID, job.JobIndex FROM job CROSS JOIN ending
             ON ending.BatchID = job.BatchID AND ending.JobIndex = job.JobIndex
             AND ending.attempt = job.attempt
           WHERE job.state IN ('submit', 'run', 'spawn') AND (?1 IS NULL OR job.BatchID = ?1)""",
        (batch_id,),
    )
    return {JobKey(*row) for row in rows}


def ending_slice(db: Database, last: int, size: int) -> int:
    """The revision above which there are about `size` endings up to the revision `last`."""
    rows = db.rows("SELECT rev FROM ending WHERE rev <= ? ORDER BY rev DESC LIMIT 1 OFFSET ?", (last, size))
    if not rows:
        return 0
    rev = int(rows[0][0])
    return rev if rev < last else rev - 1  # one act ended more than that: they have one revision


def read_failures(db: Database, above: int, last: int, batch_id: int | None = None) -> list[FailedAttempt]:
    """The endings with `above` < revision <= `last`."""
    rows = db.rows(
        f"""SELECT e.BatchID, e.JobIndex, e.attempt, e.at, e.reason,
                  coalesce(e.hostname, (SELECT hostname FROM job AS j WHERE j.BatchID = e.BatchID
                                        AND j.JobIndex = e.JobIndex AND j.attempt = e.attempt), ''),
                  d.kind, e.exit_status, e.signal
           FROM ending e{ENDED} WHERE e.rev > ? AND e.rev <= ? AND (?3 IS NULL OR e.BatchID = ?3)""",
        (above, last, batch_id),
    )
    return [
        FailedAttempt._make([JobKey(*row[:2]), *row[2:6], row[6] or kind_of_words(row[4]), *row[7:]])
        for row in rows
    ]
