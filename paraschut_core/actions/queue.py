"""Deletes jobs from the scheduler's queue."""

from __future__ import annotations

from collections.abc import Mapping

from .. import polling
from ..db.jobs import read_infos, read_rows
from ..db.spawns import read_spawns
from ..errors import SchedulerError
from ..model import COMPLETE, DONE_STATES, INIT, SPAWN, Deleted, JobInfo, JobKey, JobRow, Spawn
from ..observation import other_queue
from ..workspace import Workspace
from .common import NOBODY, Outcome, Report, Selection, Watcher, out_of_sight
from .fields import CHUNK, PROTECTED, set_fields

_NOT_QUEUED = ("it is complete", "it is collected", "it is not in the queue")
"""Why jobs are left alone by a deletion without anything being wrong."""


def qdel(ws: Workspace, selection: Selection, *, command: str = "", watcher: Watcher = NOBODY) -> Report:
    """Deletes jobs from the scheduler's queue; those that are gone from it go back to `init`.

    Raises:
        SchedulerError: the scheduler cannot be asked at all; nothing changed.
    """
    outcomes: list[Outcome] = []
    ids: dict[str, JobInfo] = {}
    wanted: dict[JobKey, list[str]] = {}
    attempts: dict[JobKey, int] = {}
    keys = selection.resolve(ws)
    rows = {row.key: row for row in read_rows(ws.reader, keys)}
    record = polling.ask(ws)
    for info in read_infos(ws.reader, keys):
        key = JobKey(info["BatchID"], info["JobIndex"])
        submissions = _submissions(ws, rows[key]) if key in rows else []
        others = set(filter(None, (other_queue(ws, s.claimed_by, s.executor) for s in submissions)))
        named = sorted({i for s in submissions for i in polling.keys_of(ws, s)})
        tokens = {s.token for s in submissions if s.token}
        # An id that another job has by now is not ours to delete: ours is over.
        strange = {i for i in named if i in record.answer and polling.is_strange(record.answer[i], tokens)}
        own = [i for i in named if i not in strange]
        if info["state"] not in DONE_STATES and others:
            outcomes.append(Outcome(key, False, f"{out_of_sight(ws, min(others))}: delete it there"))
            continue
        if info["state"] in DONE_STATES or not named:
            why = _no_id(info)
            outcomes.append(Outcome(key, False, why, left=why in _NOT_QUEUED))
            continue
        wanted[key] = own
        attempts[key] = info["attempt"]
        ids.update(dict.fromkeys(own, info))
    deleted = _delete_in_chunks(ws, ids, watcher)
    gone: list[JobKey] = []
    for key, own in wanted.items():
        errors = [
            deleted[i].error or "not deleted" if i in deleted else "not tried"
            for i in own
            if i not in deleted or not deleted[i].gone
        ]
        if errors:
            outcomes.append(Outcome(key, False, errors[0]))
        else:
            gone.append(key)
    # Not to be stopped: what was deleted must be put down.
    report = set_fields(ws, gone, {"state": INIT}, PROTECTED, verb="qdel", command=command, attempts=attempts)
    done = [o if o.ok else o._replace(message=f"{o.message}: it was over before") for o in report.outcomes]
    return Report("qdel", [*outcomes, *done], report.action, watcher.cancelled())


def _submissions(ws: Workspace, row: JobRow) -> list[JobRow | Spawn]:
    """What of a job may be in a queue: its own submission, and those of its unfinished spawns."""
    spawns = read_spawns(ws.reader, row.key) if row.state == SPAWN else []
    return [row, *(spawn for spawn in spawns if spawn.state != COMPLETE)]


def _no_id(info: JobInfo) -> str:
    if info["state"] in DONE_STATES:
        return f"it is {info['state']}"
    if info["state"] == "submit":
        return "it is being submitted and has no id yet: try again in a moment"
    return "it is not in the queue"


def _delete_in_chunks(ws: Workspace, ids: Mapping[str, JobInfo], watcher: Watcher) -> dict[str, Deleted]:
    deleted: dict[str, Deleted] = {}
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
            deleted.update(dict.fromkeys(chunk, Deleted(False, str(error))))
        watcher.tell(min(start + CHUNK, len(names)), len(names))
    return deleted
