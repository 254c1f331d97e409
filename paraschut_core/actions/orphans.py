"""Ends what goes on in queues although its batch was removed by force."""

from __future__ import annotations

import time
from typing import NamedTuple

from ..database.orphans import Orphan, forget_orphans, read_orphans
from ..errors import SchedulerError
from ..model import ENDED, JobInfo
from ..monitoring import polling
from ..project import Project


class OrphanEnd(NamedTuple):
    """What became of submissions without a job: `killed` were deleted now, `over` were gone before; `left`
    may go on, each with why."""

    killed: list[Orphan]
    over: list[Orphan]
    left: list[tuple[Orphan, str]]


def end_orphans(ws: Project) -> OrphanEnd:
    """Delete from the queue what goes on of removed batches, and forget what is over.

    Raises:
        SchedulerError: the scheduler does not answer; nothing changed.
    """
    orphans = read_orphans(ws.reader)
    here = [one for one in orphans if ws.executor.owns(one.executor)]
    left = [(one, f"it is in {one.executor}: end it there") for one in orphans if one not in here]
    if not here:
        return OrphanEnd([], [], left)
    record = polling.poll_scheduler(ws, force=True)
    if polling.is_unreachable(record):
        outage = polling.outage_message(ws.executor.name, record.failing_since, record.error)
        raise SchedulerError(f"{outage}; nothing was deleted.")
    live = {id_: job for id_, job in record.answer.items() if job.state != ENDED}
    by_token = {job.token: id_ for id_, job in live.items() if job.token}
    ids: dict[str, Orphan] = {}
    over: list[Orphan] = []
    for one in here:
        named = ws.executor.key_of(one.id, one.executor) if one.id else ""
        found = by_token.get(one.token, "")
        if not found and named in live and not polling.is_another_job(live[named], {one.token} - {""}):
            found = named
        if found:
            ids[found] = one
        elif 0 <= time.time() - one.at < ws.settings.poll.grace:
            left.append((one, "the queue does not show it, yet or any more: try again in a minute"))
        else:
            over.append(one)
    infos: dict[str, JobInfo] = {
        id_: {"BatchID": one.key.batch_id, "JobIndex": one.key.job_index, "submit_id": id_}
        for id_, one in ids.items()
    }
    answers = ws.executor.delete_many(infos) if infos else {}
    killed = [one for id_, one in ids.items() if id_ in answers and answers[id_].gone]
    left += [
        (one, answers[id_].error if id_ in answers else "not deleted")
        for id_, one in ids.items()
        if one not in killed
    ]
    with ws.db.transaction() as tx:
        forget_orphans(tx, [*killed, *over])
    return OrphanEnd(killed, over, left)
