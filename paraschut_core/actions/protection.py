"""Which jobs may not be touched, and why: the one guard that every act upon jobs asks.

It is asked twice. `protect` looks at the queue before anything is done. What it found free is done only if
the job still stands where it stood then, and that is asked inside the transaction that changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..database.jobs import read_keys, read_rows
from ..database.lifecycle import changed_since
from ..database.poll_state import PollState
from ..model import (
    DONE_STATES,
    ENDED,
    ENDING,
    ONLINE_STATES,
    RUNNING,
    SPAWN,
    SUBMIT,
    JobKey,
    JobRow,
    LiveJob,
    Stamp,
)
from ..monitoring import polling
from ..monitoring.liveness import Liveness, find_missing_jobs
from ..project import Project
from ..scheduling.submission import resolve_claims
from .report import Hold, foreign_queue_message


class Held(NamedTuple):
    """One job that is not to be touched: the code decides, `words` are for people."""

    code: Hold
    words: str


class Protection(NamedTuple):
    """What is known of some jobs before an act: `held` are not to be touched unless that is forced.

    `stamps` tell where each of them stood, which is asked again when the act is done. `record` is the queue
    as it was looked at.
    """

    held: Mapping[JobKey, Held]
    stamps: Mapping[JobKey, Stamp]
    rows: Mapping[JobKey, JobRow]
    record: PollState


def protect(
    ws: Project,
    keys: Iterable[JobKey],
    shown: Mapping[JobKey, Stamp] | None = None,
    *,
    strictly: bool = True,
) -> Protection:
    """Find out which of the jobs are in a queue, or may be.

    What the last poll cannot know of is looked for in a new one. While the scheduler is silent, only what
    was missing before is free.

    Args:
        shown: where the jobs stood when the user was asked: what changed since is held, too.
        strictly: hold a job also if it only went on with the same submission since.
    """
    wanted = list(keys)
    rows = {row.key: row for row in read_rows(ws.reader, wanted)}
    held: dict[JobKey, Held] = {}
    if any(row.state == SUBMIT and not (row.submit_id or row.cluster_id) for row in rows.values()) and (
        resolve_claims(ws, polling.poll_scheduler(ws))
    ):
        rows = {row.key: row for row in read_rows(ws.reader, wanted)}
    suspects = [row for row in rows.values() if _may_be_queued(row)]
    record = _look(ws, suspects) if suspects else polling.known(ws)
    held.update(_held(ws, suspects, record))
    for key, seen in (shown or {}).items():
        if key in rows and (why := changed_since(seen, rows[key].stamp, strictly=strictly)):
            held[key] = Held(Hold.CHANGED, why)
    return Protection(held, {key: row.stamp for key, row in rows.items()}, rows, record)


def protect_batches(ws: Project, batch_ids: Iterable[int]) -> dict[int, Protection]:
    """The same for all jobs of batches that may be in a queue, by batch."""
    wanted = list(batch_ids)
    keys = [key for batch_id in wanted for key in _suspected(ws, batch_id)]
    found = protect(ws, keys)
    return {batch_id: _of_batch(found, batch_id) for batch_id in wanted}


def _suspected(ws: Project, batch_id: int) -> list[JobKey]:
    rows = ws.reader.rows(
        "SELECT BatchID, JobIndex FROM job WHERE BatchID = ? AND state NOT IN ('complete', 'collected')"
        " AND (submit_id IS NOT NULL OR ClusterID IS NOT NULL)",
        (batch_id,),
    )
    online = read_keys(ws.reader, batch_id, sorted(ONLINE_STATES))
    return sorted({*online, *(JobKey(*row) for row in rows)})


def _of_batch(found: Protection, batch_id: int) -> Protection:
    return Protection(
        {key: held for key, held in found.held.items() if key.batch_id == batch_id},
        {key: stamp for key, stamp in found.stamps.items() if key.batch_id == batch_id},
        {key: row for key, row in found.rows.items() if key.batch_id == batch_id},
        found.record,
    )


def _may_be_queued(row: JobRow) -> bool:
    """Return whether a queue may hold the job: also one whose state somebody set to a word of their own."""
    return row.state in ONLINE_STATES or (
        row.state not in DONE_STATES and bool(row.submit_id or row.cluster_id)
    )


def _look(ws: Project, suspects: Sequence[JobRow]) -> PollState:
    """What the queue shows: now, unless the last poll missed all of them already."""
    absent = polling.known(ws).absent
    here = [row for row in suspects if polling.is_here(ws, row)]
    return polling.poll_scheduler(
        ws, force=any(i not in absent for row in here for i in polling.keys_of(ws, row))
    )


def _held(ws: Project, suspects: Sequence[JobRow], record: PollState) -> dict[JobKey, Held]:
    if not suspects:
        return {}
    observed = find_missing_jobs(ws, record)
    silence = _silence(ws, record)
    held = {}
    for row in suspects:
        if (found := _hold_on(ws, row, observed, record, silence)) is not None:
            held[row.key] = found
    return held


def _hold_on(ws: Project, row: JobRow, observed: Liveness, record: PollState, silence: str) -> Held | None:
    """Why one job is not to be touched; None if it is surely in no queue."""
    job = observed.live.get(row.key) or _live(ws, row, record)
    if job is not None:
        code = Hold.RUNNING if job.state in (RUNNING, ENDING) else Hold.QUEUED
        return Held(code, f"{job.state} in the queue as {job.id}: delete it instead")
    if row.key in observed.missing:
        return None
    if row.state != SPAWN and row.exit_status is not None and row.signal is None:
        return None  # its own wrapper saw this attempt end, and nobody ended it
    if where := observed.elsewhere.get(row.key):
        return Held(Hold.ELSEWHERE, f"{foreign_queue_message(ws, where)}; --force takes it all the same")
    if row.state not in ONLINE_STATES:
        return None if not silence else Held(Hold.SILENT, f"{silence}; --force takes it all the same")
    if silence:
        return Held(Hold.SILENT, f"{silence}; --force takes it all the same")
    if row.ending is not None and row.state != SPAWN:
        return None  # how this attempt ended is known
    if row.state != SPAWN and not (row.submit_id or row.cluster_id):
        if row.state == SUBMIT:
            return Held(Hold.SUBMITTING, "it is being submitted and has no id yet: try again in a moment")
        return Held(Hold.BY_HAND, "it was started by hand, and no queue knows whether it still runs")
    return Held(
        Hold.UNSEEN,
        "the queue does not show it, but it is too early to take it for lost: try again in"
        f" {ws.settings.poll.grace:g} s",
    )


def _live(ws: Project, row: JobRow, record: PollState) -> LiveJob | None:
    """What the queue shows of a job whose state does not say that it should be there."""
    if row.state == SPAWN or not polling.is_here(ws, row):
        return None
    tokens = {row.token} if row.token else set()
    for i in polling.keys_of(ws, row):
        job = record.answer.get(i)
        if job is not None and job.state != ENDED and not polling.is_another_job(job, tokens):
            return job
    return None


def _silence(ws: Project, record: PollState) -> str:
    """Since when the scheduler does not answer; '' while it does."""
    if not polling.is_unreachable(record):
        return ""
    return polling.outage_message(ws.executor.name, record.failing_since, record.error)
