"""Deletes jobs from the scheduler's queue."""

from __future__ import annotations

from collections.abc import Mapping

from ..database.jobs import read_infos, read_rows
from ..database.spawns import read_spawns
from ..errors import SchedulerError
from ..model import COMPLETE, DONE_STATES, INIT, SPAWN, DeleteResult, JobInfo, JobKey, JobRow, Spawn, Stamp
from ..monitoring import polling
from ..monitoring.liveness import other_queue
from ..project import Project
from .fields import CHUNK, PROTECTED, set_fields
from .protection import Held, protect
from .report import (
    NO_PROGRESS,
    ActionReport,
    Effect,
    Hold,
    JobResult,
    ProgressReporter,
    ResultKind,
    Selection,
    foreign_queue_message,
)

_NOT_QUEUED = "it is not in the queue"


def qdel(
    ws: Project,
    selection: Selection,
    *,
    command: str = "",
    watcher: ProgressReporter = NO_PROGRESS,
    shown: Mapping[JobKey, Stamp] | None = None,
) -> ActionReport:
    """Delete jobs from the scheduler's queue; those that were in it go back to `init`.

    What is not in the queue, a job that failed say, is left as it is.

    Args:
        shown: where the jobs stood when the user was asked: what was submitted again since is left alone.

    Raises:
        SchedulerError: the scheduler cannot be asked at all; nothing changed.
    """
    outcomes: list[JobResult] = []
    wanted: dict[JobKey, list[str]] = {}
    ids: dict[str, JobInfo] = {}
    keys = selection.resolve(ws)
    protection = protect(ws, keys, shown, strictly=False)
    record = protection.record
    for info in read_infos(ws.reader, keys):
        key = JobKey(info["BatchID"], info["JobIndex"])
        row, held = protection.rows.get(key), protection.held.get(key)
        submissions = _submissions(ws, row) if row is not None else []
        others = set(filter(None, (other_queue(ws, s.claimed_by, s.executor) for s in submissions)))
        named = sorted({i for s in submissions for i in polling.keys_of(ws, s)})
        tokens = {s.token for s in submissions if s.token}
        # An id that another job has by now is not ours to delete: ours is over.
        strange = {
            i for i in named if i in record.answer and polling.is_another_job(record.answer[i], tokens)
        }
        if held is None:
            why = f"it is {info['state']}" if info["state"] in DONE_STATES else _NOT_QUEUED
            outcomes.append(JobResult(key, ResultKind.SKIPPED, why))
        elif held.code is Hold.CHANGED:
            outcomes.append(JobResult(key, ResultKind.SKIPPED, held.words))
        elif others:
            outcomes.append(
                JobResult(
                    key, ResultKind.FAILED, f"{foreign_queue_message(ws, min(others))}: delete it there"
                )
            )
        elif held.code is Hold.ELSEWHERE or not named:
            outcomes.append(JobResult(key, ResultKind.FAILED, held.words))
        else:
            wanted[key] = [i for i in named if i not in strange]
            ids.update(dict.fromkeys(wanted[key], info))
    deleted = _delete_in_chunks(ws, ids, watcher)
    gone: list[JobKey] = []
    for key, own in wanted.items():
        errors = [
            deleted[i].error or "not deleted" if i in deleted else "not tried"
            for i in own
            if i not in deleted or not deleted[i].gone
        ]
        if errors:
            outcomes.append(JobResult(key, ResultKind.FAILED, errors[0]))
        else:
            gone.append(key)
    # A user's own executor may have put its job back in its delete().
    back = {row.key for row in read_rows(ws.reader, gone) if row.state == INIT}
    outcomes += [JobResult(key, ResultKind.DONE, effect=_effect(protection.held[key])) for key in back]
    # Not to be stopped: what was deleted must be put down.
    report = set_fields(
        ws,
        [key for key in gone if key not in back],
        {"state": INIT},
        {"state": (*PROTECTED["state"], INIT)},
        verb="qdel",
        command=command,
        seen=protection.stamps,
        strictly=False,
    )
    done = [
        o._replace(effect=_effect(protection.held[o.key]))
        if o.ok
        else o._replace(message=f"{o.message}: it was over before")
        for o in report.outcomes
    ]
    return ActionReport("qdel", [*outcomes, *done], report.action, watcher.cancelled())


def _effect(held: Held) -> Effect:
    return Effect.KILLED if held.code is Hold.RUNNING else Effect.UNQUEUED


def _submissions(ws: Project, row: JobRow) -> list[JobRow | Spawn]:
    """What of a job may be in a queue: its own submission, and those of its unfinished spawns."""
    spawns = read_spawns(ws.reader, row.key) if row.state == SPAWN else []
    return [row, *(spawn for spawn in spawns if spawn.state != COMPLETE)]


def _delete_in_chunks(
    ws: Project, ids: Mapping[str, JobInfo], watcher: ProgressReporter
) -> dict[str, DeleteResult]:
    deleted: dict[str, DeleteResult] = {}
    names = list(ids)
    for start in range(0, len(names), CHUNK):
        if watcher.cancelled():
            break
        chunk = {i: ids[i] for i in names[start : start + CHUNK]}
        try:
            deleted.update(ws.executor.delete_many(chunk))
        except SchedulerError as error:
            if not deleted:
                raise
            # What was deleted before must be put down all the same.
            deleted.update(dict.fromkeys(chunk, DeleteResult(False, str(error))))
        watcher.tell(min(start + CHUNK, len(names)), len(names))
    return deleted
