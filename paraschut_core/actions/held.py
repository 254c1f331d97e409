"""Which jobs are in a queue, or may be: they are neither reset nor removed unless that is forced."""

from __future__ import annotations

from collections.abc import Sequence

from .. import polling
from ..db.changes import read_batches
from ..db.jobs import read_rows
from ..db.poll import PollRecord
from ..model import ONLINE_STATES, JobKey
from ..observation import look
from ..workspace import Workspace
from .common import out_of_sight


def held_jobs(ws: Workspace, keys: Sequence[JobKey]) -> dict[JobKey, str]:
    """Those of the jobs that are in a queue or may be, and why they are not to be reset.

    What the last poll cannot know of is looked for in a new one. While the scheduler is silent, only what
    was missing before is free.
    """
    record = polling.ask(ws)
    online = [row for row in read_rows(ws.reader, keys) if row.state in ONLINE_STATES]
    here = [row for row in online if polling.is_here(ws, row)]
    if any(i not in record.absent for row in here for i in polling.keys_of(ws, row)):
        record = polling.ask(ws, force=True)
    observed = look(ws, record)
    silence = _silence(ws, record)
    held: dict[JobKey, str] = {}
    for row in online:
        where = observed.elsewhere.get(row.key)
        doubt = out_of_sight(ws, where) if where else silence
        if (job := observed.live.get(row.key)) is not None:
            held[row.key] = f"{job.state} in the queue as {job.id}: delete it instead"
        elif doubt and row.key not in observed.missing:
            held[row.key] = f"{doubt}; --force resets it all the same"
    return held


def held_batches(ws: Workspace, batch_ids: Sequence[int]) -> dict[int, str]:
    """The batches with jobs that are in a queue or may be, and why they are not to be removed."""
    record = polling.ask(ws)
    observed = look(ws, record)
    doubts = {key.batch_id: out_of_sight(ws, where) for key, where in observed.elsewhere.items()}
    if silence := _silence(ws, record):
        counters = read_batches(ws.reader, batch_ids)
        doubts |= {i: silence for i in batch_ids if counters[i].states.keys() & ONLINE_STATES}
    held = {i: f"nobody can tell here whether its jobs run: {why}" for i, why in doubts.items()}
    return held | {key.batch_id: "it has jobs in the queue: delete them first" for key in observed.live}


def _silence(ws: Workspace, record: PollRecord) -> str:
    """Since when the scheduler does not answer; '' while it does."""
    if not polling.is_silent(record):
        return ""
    return polling.trouble(ws.executor.name, record.failing_since, record.error)
