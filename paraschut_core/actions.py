"""What users do to jobs: reset, resubmit, delete, set fields, remove, undo. One implementation of each.

The dashboard, the command line and the documented functions are three faces of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from . import polling
from .db.changes import read_batches
from .db.filters import matching_keys
from .db.history import add_action, last_undoable, read_actions, same_user, set_action_jobs
from .db.history import undo as undo_action
from .db.jobs import (
    OWN_FIELDS,
    checked_id,
    delete_batch,
    read_infos,
    read_keys,
    read_keys_of_priority,
    read_rows,
    require_batch,
)
from .db.spawns import read_spawns
from .db.submitting import change_fields
from .errors import ParaschutError, SchedulerError, UsageError
from .folders import clean_job_folder, remove_batch_folder
from .model import (
    COLLECTED,
    COMPLETE,
    DONE_STATES,
    INIT,
    SPAWN,
    BatchJobs,
    Deleted,
    JobInfo,
    JobKey,
    JobRow,
    Spawn,
)
from .monitor import look
from .priority import batch_priority
from .spawns import resubmit as resubmit_spawns
from .submission import Progress, submit_keys
from .workspace import Workspace

NOT_QUEUED = ("it is complete", "it is collected", "it is not in the queue")
"""Why jobs are left alone by a deletion without anything being wrong."""

CHUNK = 1000
"""Jobs changed in one transaction: other writers get their turn in between."""

PROTECTED: Mapping[str, Sequence[object]] = {"state": (COMPLETE, COLLECTED)}
"""What a reset leaves alone (v0.6's default `Unless`)."""


class Selection(NamedTuple):
    """The jobs that an action is for: given ones, whole batches, or all that match a Filter."""

    keys: tuple[JobKey, ...] = ()
    batches: tuple[int, ...] = ()
    condition: str = ""

    def resolve(self, ws: Workspace) -> list[JobKey]:
        """The keys, each once, in order. Raises UnknownJobError, FilterError."""
        keys = list(self.keys)
        for batch_id in self.batches:
            require_batch(ws.reader, batch_id)
            keys.extend(read_keys(ws.reader, batch_id))
        if self.condition:
            keys.extend(matching_keys(ws.reader, self.condition))
        return sorted(set(keys))


class Outcome(NamedTuple):
    """What became of one job: done, or left alone, and why."""

    key: JobKey
    ok: bool
    message: str = ""


class Report(NamedTuple):
    """What an action did. `action` is the number under which it can be undone."""

    verb: str
    outcomes: list[Outcome]
    action: int | None = None
    stopped: bool = False

    @property
    def done(self) -> int:
        return sum(1 for outcome in self.outcomes if outcome.ok)

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.ok]


class Preview(NamedTuple):
    """What an action would touch: jobs by state, how many are live or missing, and why those are."""

    keys: list[JobKey]
    states: dict[str, int]
    live: int
    missing: int
    reasons: dict[str, int]
    highest_attempt: int


class Watcher(NamedTuple):
    """Somebody who looks on: told of progress, asked whether to stop."""

    progress: Progress | None = None
    cancelled: Callable[[], bool] = lambda: False

    def tell(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)


NOBODY = Watcher()


def preview(ws: Workspace, selection: Selection) -> Preview:
    """Counts the jobs that are selected, as the confirm dialog shows them."""
    keys = selection.resolve(ws)
    observed = look(ws, polling.ask(ws))
    states: dict[str, int] = {}
    highest = 0
    for row in read_rows(ws.reader, keys):
        states[row.state] = states.get(row.state, 0) + 1
        highest = max(highest, row.attempt)
    chosen = set(keys)
    reasons: dict[str, int] = {}
    for key in chosen & observed.missing.keys():
        reason = observed.missing[key].reason
        reasons[reason] = reasons.get(reason, 0) + 1
    live = len(chosen & observed.live.keys())
    return Preview(keys, states, live, sum(reasons.values()), reasons, highest)


# ------------------------------------------------------------------------------------ fields


def set_fields(
    ws: Workspace,
    keys: Sequence[JobKey],
    fields: Mapping[str, Any] | Callable[[JobInfo], Mapping[str, Any]],
    unless: Mapping[str, Sequence[Any]],
    *,
    verb: str = "set",
    command: str = "",
    watcher: Watcher = NOBODY,
    attempts: Mapping[JobKey, int] | None = None,
) -> Report:
    """Sets fields of jobs, except of those where a field has one of the values of `unless`.

    Args:
        fields: the new values, or what makes them from a job's metadata.
        verb, command: for the action history; the command is the equivalent command line.
        attempts: leave jobs alone that are at another submission by now.

    Raises:
        UsageError: a field that nobody can set, or a value that it cannot have.
    """
    for field in OWN_FIELDS:
        if not callable(fields) and field in fields:
            raise UsageError(f"The field {field} cannot be set: the index gives it.")
    outcomes: list[Outcome] = []
    action: int | None = None
    for start in range(0, len(keys), CHUNK):
        if watcher.cancelled():
            return Report(verb, outcomes, action, stopped=True)
        chunk = keys[start : start + CHUNK]
        with ws.db.transaction() as tx:
            if action is None:
                action = add_action(tx, verb, 0, command or verb, can_undo=True)
            for key in chunk:
                attempt = attempts.get(key) if attempts else None
                why = change_fields(tx, key, fields, unless, why=verb, action=action, attempt=attempt)
                outcomes.append(Outcome(key, not why, why))
            set_action_jobs(tx, action, sum(1 for outcome in outcomes if outcome.ok))
        watcher.tell(len(outcomes), len(keys))
    return Report(verb, outcomes, action)


def reset(
    ws: Workspace,
    selection: Selection,
    *,
    force: bool = False,
    command: str = "",
    watcher: Watcher = NOBODY,
) -> Report:
    """Puts jobs back to `init`, their ids dropped (they stay in the history).

    Complete and collected jobs, those that the scheduler still holds, and those of which only another
    executor or user could tell, are left alone unless `force`.
    """
    keys = selection.resolve(ws)
    held: dict[JobKey, str] = {}
    if not force:
        observed = look(ws, polling.ask(ws))
        for key in keys:
            if (job := observed.live.get(key)) is not None:
                held[key] = f"{job.state} in the queue as {job.id}: delete it instead"
            elif key in observed.elsewhere:
                held[key] = f"{_out_of_sight(ws, observed.elsewhere[key])}; --force resets it all the same"
    free = [key for key in keys if key not in held]
    report = set_fields(
        ws,
        free,
        {"state": INIT},
        {} if force else PROTECTED,
        verb="reset",
        command=command,
        watcher=watcher,
    )
    kept = [Outcome(key, False, why) for key, why in held.items()]
    return report._replace(outcomes=[*report.outcomes, *kept])


def _out_of_sight(ws: Workspace, where: str) -> str:
    """Why nothing can be said or done here about a job that is in another's queue."""
    return f"it was submitted to {where}, and what is asked here is {ws.executor.identity}"


def boost(
    ws: Workspace, selection: Selection, by: float, *, command: str = "", watcher: Watcher = NOBODY
) -> Report:
    """Adds `by` to the priority of all selected jobs."""
    return set_fields(
        ws,
        selection.resolve(ws),
        lambda info: {"priority": info["priority"] + by},
        {},
        verb="boost",
        command=command,
        watcher=watcher,
    )


def mark_collected(
    ws: Workspace, selection: Selection, *, command: str = "", watcher: Watcher = NOBODY
) -> Report:
    """Marks complete jobs as collected; others are left alone."""
    keys = selection.resolve(ws)
    complete = {row.key for row in read_rows(ws.reader, keys) if row.state == COMPLETE}
    report = set_fields(
        ws,
        [key for key in keys if key in complete],
        {"state": COLLECTED},
        {},
        verb="collect",
        command=command,
        watcher=watcher,
    )
    others = [Outcome(key, False, "not complete") for key in keys if key not in complete]
    return report._replace(outcomes=[*report.outcomes, *others])


def undo(ws: Workspace, action_id: int | None = None) -> Report:
    """Takes back this user's last reset, deletion, field change or boost, where nothing changed since.

    Raises:
        UsageError: there is nothing to undo.
    """
    if action_id is None:
        action = last_undoable(ws.db, ws.db.who)
        if action is None:
            raise UsageError("There is nothing to undo: no reset, deletion, field change or boost of yours.")
    else:
        found = [a for a in read_actions(ws.db, -1) if a.id == action_id]
        if not found or not found[0].can_undo:
            raise UsageError(f"Action {action_id} cannot be undone; see: paraschut actions")
        action = found[0]
        if not same_user(action.who, ws.db.who):
            raise UsageError(f"Action {action_id} is {action.who}'s: only that user can undo it.")
    with ws.db.transaction() as tx:
        restored, refused = undo_action(tx, action)
        add_action(tx, f"undo of {action.verb}", len(restored), f"undo {action.id}", can_undo=False)
    outcomes = [Outcome(key, True) for key in restored]
    outcomes += [Outcome(key, False, why) for key, why in refused]
    return Report(f"undo of {action.verb}", outcomes)


def reset_missing(
    ws: Workspace, keys: Iterable[JobKey], attempts: Mapping[JobKey, int] | None = None
) -> Report:
    """Puts missing jobs back to `init` and clears their temporary folders.

    Args:
        attempts: the submissions that were found missing; jobs at another one by now are left alone.
    """
    report = set_fields(ws, list(keys), {"state": INIT}, PROTECTED, verb="reset", attempts=attempts)
    for outcome in report.outcomes:
        if outcome.ok:
            clean_job_folder(ws, outcome.key)
    return report


# ------------------------------------------------------------------------------------ submit


def submit_batch(ws: Workspace, batch_id: int, limit: float) -> int:
    """Submits the highest priority group of one batch, lost spawns too; returns how many jobs."""
    require_batch(ws.reader, batch_id)
    batch = read_batches(ws.reader, [batch_id])[batch_id]
    priority = batch_priority(batch)
    if priority is None:
        return 0
    most = -1 if limit == math.inf else int(limit)
    keys = read_keys_of_priority(ws.reader, batch_id, priority, INIT, most)
    submitted = sum(1 for outcome in submit_keys(ws, keys) if outcome.id is not None)
    for key in read_keys_of_priority(ws.reader, batch_id, priority, SPAWN):
        if any(s.state == INIT for s in read_spawns(ws.reader, key)):
            submitted += resubmit_spawns(ws, key)
    return submitted


def submit_now(
    ws: Workspace, selection: Selection, *, command: str = "", watcher: Watcher = NOBODY
) -> Report:
    """Submits the selected jobs that are in `init`, whatever their priority."""
    keys = selection.resolve(ws)
    rows = {row.key: row for row in read_rows(ws.reader, keys)}
    made = submit_keys(
        ws,
        [key for key in keys if key in rows and rows[key].state == INIT],
        progress=watcher.progress,
        cancelled=watcher.cancelled,
    )
    outcomes = [Outcome(o.key, o.id is not None, o.id or o.error) for o in made]
    outcomes += [
        Outcome(key, False, f"already in state {rows[key].state}" if key in rows else "not in the index")
        for key in keys
        if key not in rows or rows[key].state != INIT
    ]
    submitted = sum(1 for outcome in outcomes if outcome.ok)
    if submitted:
        with ws.db.transaction() as tx:
            add_action(tx, "submit", submitted, command or "submit", can_undo=False)
    return Report("submit", outcomes, stopped=watcher.cancelled())


def resubmit(
    ws: Workspace,
    selection: Selection,
    *,
    force: bool = False,
    resources: Mapping[JobKey, Mapping[str, Any]] | None = None,
    command: str = "",
    watcher: Watcher = NOBODY,
) -> Report:
    """Resets jobs and submits them at once; of spawn jobs, only the missing spawns.

    Args:
        resources: new values for single jobs (more memory after "out of memory", say), merged into
            what they have.
    """
    keys = selection.resolve(ws)
    rows = {row.key: row for row in read_rows(ws.reader, keys)}
    spawned = [key for key in keys if key in rows and rows[key].state == SPAWN]
    plain = tuple(key for key in keys if key not in set(spawned))
    outcomes = [_resubmit_spawns(ws, key) for key in spawned]
    was_reset = reset(ws, Selection(plain), force=force, command=command, watcher=watcher)
    # What was in `init` already is submitted too: it is what the user wants to see running.
    ready = [outcome.key for outcome in was_reset.outcomes if outcome.ok]
    outcomes += was_reset.failed
    if resources:
        raised = [key for key in ready if key in resources]
        set_fields(
            ws,
            raised,
            lambda info: {
                "resources": {
                    **(info.get("resources") or {}),
                    **resources[JobKey(info["BatchID"], info["JobIndex"])],
                }
            },
            {},
            verb="raise resources",
            command=command,
        )
    submitted = submit_now(ws, Selection(tuple(ready)), command=command, watcher=watcher)
    return Report("resubmit", [*outcomes, *submitted.outcomes], was_reset.action, submitted.stopped)


def _resubmit_spawns(ws: Workspace, key: JobKey) -> Outcome:
    try:
        n = resubmit_spawns(ws, key)
    except ParaschutError as error:
        return Outcome(key, False, str(error))
    return Outcome(key, True, f"{n} spawns resubmitted")


# ------------------------------------------------------------------------------------ delete from the queue


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
    for info in read_infos(ws.reader, keys):
        key = JobKey(info["BatchID"], info["JobIndex"])
        submissions = _submissions(ws, rows[key]) if key in rows else []
        others = {s.executor for s in submissions if s.executor and not ws.executor.holds(s.executor)}
        own = sorted({i for s in submissions for i in (s.submit_id, s.cluster_id) if i})
        if info["state"] not in DONE_STATES and others:
            outcomes.append(Outcome(key, False, f"{_out_of_sight(ws, min(others))}: delete it there"))
            continue
        if info["state"] in DONE_STATES or not own:
            outcomes.append(Outcome(key, False, _no_id(info)))
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


# ------------------------------------------------------------------------------------ remove


def remove_batches(
    ws: Workspace, batch_ids: Iterable[int], *, force: bool = True, command: str = ""
) -> Report:
    """Removes batches: their rows, and their folders under the job directory.

    Only a batch's own folder goes, never what a symbolic link points to.

    Args:
        force: also batches with jobs that the scheduler still holds.
    """
    outcomes: list[Outcome] = []
    wanted = list(dict.fromkeys(batch_ids))
    for batch_id in wanted:
        require_batch(ws.db, batch_id)  # all are there, or nothing is removed
    queued: dict[int, str] = {}
    if not force:
        observed = look(ws, polling.ask(ws))
        queued = {key.batch_id: _out_of_sight(ws, where) for key, where in observed.elsewhere.items()}
        queued = {i: f"of one of its jobs nobody here can tell: {why}" for i, why in queued.items()}
        queued |= {key.batch_id: "it has jobs in the queue: delete them first" for key in observed.live}
    for batch_id in wanted:
        key = JobKey(batch_id, -1)
        if batch_id in queued:
            outcomes.append(Outcome(key, False, queued[batch_id]))
            continue
        with ws.db.transaction() as tx:
            jobs = delete_batch(tx, batch_id)
            add_action(tx, "remove", jobs, command or f"remove {batch_id}", can_undo=False)
        outcomes.append(Outcome(key, True, remove_batch_folder(ws, batch_id)))
    return Report("remove", outcomes)


def remove_batches_by_state(ws: Workspace, states: Iterable[str]) -> Report:
    """Removes the batches all of whose jobs are in `states`."""
    wanted = set(states)
    chosen = [
        i for i, batch in read_batches(ws.reader).items() if batch.states and batch.states.keys() <= wanted
    ]
    return remove_batches(ws, chosen)


def batch_ids(value: int | Iterable[int] | BatchJobs) -> list[int]:
    """BatchIDs from what v0.6's functions take as `B`: one, many, or what get_queue returned.

    Raises:
        UsageError: anything that is not an integer (v0.6 pasted it into SQL).
    """
    if isinstance(value, (str, bytes)):
        raise UsageError(f"BatchID must be an integer, not {value!r}.")
    if isinstance(value, Iterable):
        return [checked_id(item) for item in value]
    return [checked_id(value)]
