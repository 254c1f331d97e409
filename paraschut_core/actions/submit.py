"""Submits: what is next, batches, chosen jobs; and resubmits."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..database.changes import read_batches
from ..database.events import close_action
from ..database.jobs import read_infos, read_keys_of_priority, read_rows, require_batch
from ..database.spawns import read_spawns
from ..errors import DatabaseError, ParaschutError, UsageError
from ..executors.resources import read as read_resources
from ..model import INIT, SPAWN, JobInfo, JobKey, Priority, Stamp
from ..monitoring import polling
from ..project import Project
from ..sanitize import spans
from ..scheduling import submission
from ..scheduling.priority import batch_priority, submittable
from ..scheduling.spawns import resubmit as resubmit_spawns
from ..scheduling.submission import SubmitReport, count_in_queue, read_max_jobs, submit_keys
from .fields import reset
from .report import (
    NO_PROGRESS,
    ActionReport,
    JobResult,
    ProgressReporter,
    ResultKind,
    Selection,
    record_action,
)

log = logging.getLogger(__name__)

TAKEN = "submitted by another process meanwhile"


class SubmitPlan(NamedTuple):
    """What would be submitted next: `groups` are (BatchID, priority, jobs); `limit` and `in_queue` say how
    many jobs the queue may hold and holds; `error` why the scheduler's part of that is not known."""

    limit: int
    in_queue: int
    groups: list[tuple[int, Priority, int]]
    error: str = ""

    @property
    def room(self) -> int:
        return max(self.limit - self.in_queue, 0)

    @property
    def jobs(self) -> int:
        return min(self.room, sum(n for _, _, n in self.groups))


def plan_next(ws: Project) -> SubmitPlan:
    """What `submit_next` would do now, by the counters."""
    record = polling.poll_scheduler(ws)
    batches = read_batches(ws.reader)
    groups = [
        (batch_id, priority, n)
        for batch_id, priority in submittable(batches.values())
        if (n := batches[batch_id].counts.get((priority, INIT), 0))
    ]
    error = record.error if record.failing_since is not None else ""
    return SubmitPlan(read_max_jobs(ws), count_in_queue(ws, record), groups, error)


def submit_next(
    ws: Project,
    *,
    max_jobs: int | None = None,
    min_priority: float = 0,
    condition: str = "",
    by_itself: bool = False,
    command: str = "",
    watcher: ProgressReporter = NO_PROGRESS,
) -> SubmitReport:
    """submission.submit_next as a user's act: it is put into the action history."""
    report = submission.submit_next(
        ws,
        max_jobs=max_jobs,
        min_priority=min_priority,
        condition=condition,
        by_itself=by_itself,
        progress=watcher.progress,
        cancelled=watcher.cancelled,
    )
    record_action(ws, "submit", report.submitted, command)
    return report


def failure_lines(failed: Iterable[submission.SubmitOutcome]) -> list[str]:
    """A line for each reason why jobs of a batch were not submitted; one job's is named BATCH/JOB."""
    groups: dict[tuple[str, int, str], list[int]] = {}
    for outcome in failed:
        what = "not submitted" if outcome.certain else "perhaps submitted"
        groups.setdefault((what, outcome.key.batch_id, outcome.error), []).append(outcome.key.job_index)
    return [
        f"{what}: {batch_id}{'/' if len(jobs) == 1 else ' '}{spans(jobs)}: {error}"
        for (what, batch_id, error), jobs in groups.items()
    ]


def submit_batch(
    ws: Project, batch_id: int, limit: float = math.inf, *, watcher: ProgressReporter = NO_PROGRESS
) -> list[JobResult]:
    """Submit the highest priority group of one batch, lost spawns too."""
    require_batch(ws.reader, batch_id)
    batch = read_batches(ws.reader, [batch_id])[batch_id]
    priority = batch_priority(batch)
    if priority is None:
        return []
    most = -1 if limit == math.inf else int(limit)
    keys = read_keys_of_priority(ws.reader, batch_id, priority, INIT, most)
    outcomes = [_to_result(outcome) for outcome in _submit(ws, keys, watcher)]
    for key in read_keys_of_priority(ws.reader, batch_id, priority, SPAWN):
        if any(s.state == INIT for s in read_spawns(ws.reader, key)):
            outcomes.append(_resubmit_spawns(ws, key))
    return outcomes


def submit_batches(
    ws: Project,
    batch_ids: Iterable[int],
    limit: float = math.inf,
    *,
    command: str = "",
    watcher: ProgressReporter = NO_PROGRESS,
) -> ActionReport:
    """Submit the highest priority groups of batches, `limit` jobs at most."""
    outcomes: list[JobResult] = []
    for batch_id in batch_ids:
        left = limit - sum(outcome.processes for outcome in outcomes if outcome.ok)
        if left <= 0 or watcher.cancelled():
            break
        outcomes += submit_batch(ws, batch_id, left, watcher=watcher)
    report = ActionReport("submit", outcomes, stopped=watcher.cancelled())
    record_action(ws, "submit", report.done, command)
    return report


def submit_now(
    ws: Project, selection: Selection, *, command: str = "", watcher: ProgressReporter = NO_PROGRESS
) -> ActionReport:
    """Submit the selected jobs that are in `init`, whatever their priority."""
    keys = selection.resolve(ws)
    rows = {row.key: row for row in read_rows(ws.reader, keys)}
    ready = [key for key in keys if key in rows and rows[key].state == INIT]
    outcomes = [_to_result(outcome) for outcome in _submit(ws, ready, watcher)]
    for key in _submitted_meanwhile(ws, ready, outcomes):
        outcomes.append(JobResult(key, ResultKind.SKIPPED, TAKEN))
    for key in keys:
        if key not in rows:
            outcomes.append(JobResult(key, ResultKind.FAILED, "not in the index"))
        elif rows[key].state != INIT:
            outcomes.append(JobResult(key, ResultKind.SKIPPED, f"already in state {rows[key].state}"))
    report = ActionReport("submit", outcomes, stopped=watcher.cancelled())
    record_action(ws, "submit", report.done, command)
    return report


def _submit(ws: Project, keys: Iterable[JobKey], watcher: ProgressReporter) -> list[submission.SubmitOutcome]:
    return submit_keys(ws, keys, progress=watcher.progress, cancelled=watcher.cancelled)


def _submitted_meanwhile(ws: Project, keys: Iterable[JobKey], outcomes: Iterable[JobResult]) -> list[JobKey]:
    """Those of `keys` without an outcome that somebody else submitted meanwhile, a job that ended say."""
    tried = {outcome.key for outcome in outcomes}
    untried = [key for key in keys if key not in tried]
    return [row.key for row in read_rows(ws.reader, untried) if row.state != INIT]


def _to_result(outcome: submission.SubmitOutcome) -> JobResult:
    if outcome.id is None:
        return JobResult(outcome.key, ResultKind.FAILED, outcome.error)
    return JobResult(outcome.key, ResultKind.DONE, outcome.id)


# ------------------------------------------------------------------------------------ resubmit


def resubmit(
    ws: Project,
    selection: Selection,
    *,
    force: bool = False,
    resources: Mapping[JobKey, Mapping[str, Any]] | None = None,
    command: str = "",
    watcher: ProgressReporter = NO_PROGRESS,
    shown: Mapping[JobKey, Stamp] | None = None,
) -> ActionReport:
    """Reset jobs and submit them at once; of spawn jobs, only the missing spawns unless `force`.

    It is one act in the history. What was reset and then not even tried can be put back by an undo.

    Args:
        resources: new values for single jobs (more memory after "out of memory", say), merged into
            what they have.
        shown: where the jobs stood when the user was asked: what changed since is left alone.
    """
    keys = selection.resolve(ws)
    _require_takable(ws, resources or {})
    rows = {} if force else {row.key: row for row in read_rows(ws.reader, keys)}
    spawned = [key for key in keys if key in rows and rows[key].state == SPAWN]
    plain = tuple(key for key in keys if key not in set(spawned))
    outcomes = [_resubmit_spawns(ws, key) for key in spawned]
    more = resources or {}

    def fields(info: JobInfo) -> dict[str, Any]:
        raised = more.get(JobKey(info["BatchID"], info["JobIndex"]))
        changes = {"resources": {**(info.get("resources") or {}), **raised}} if raised else {}
        return {"state": INIT, **changes}

    was_reset = reset(
        ws,
        Selection(plain),
        force=force,
        command=command,
        watcher=watcher,
        shown=shown,
        verb="resubmit",
        fields=fields,
    )
    # What was in `init` already is submitted too: it is what the user wants to see running.
    ready = [outcome.key for outcome in was_reset.outcomes if outcome.ok]
    outcomes += [outcome for outcome in was_reset.outcomes if not outcome.ok]
    made, why = _submit_reset(ws, ready, watcher)
    made += [JobResult(key, ResultKind.DONE, TAKEN) for key in _submitted_meanwhile(ws, ready, made)]
    tried = {outcome.key for outcome in made}
    untried = [key for key in ready if key not in tried]
    outcomes += made
    outcomes += [JobResult(key, ResultKind.FAILED, f"reset, but not submitted: {why}") for key in untried]
    report = ActionReport("resubmit", outcomes, was_reset.action, was_reset.stopped or watcher.cancelled())
    return report._replace(action=_close(ws, report, command, can_undo=bool(untried)))


def _require_takable(ws: Project, resources: Mapping[JobKey, Mapping[str, Any]]) -> None:
    """Raise UsageError, before anything changes, if the executor cannot take these resources of a job, or
    they are no sizes, times or numbers on any executor."""
    for info in read_infos(ws.reader, resources):
        key = JobKey(info["BatchID"], info["JobIndex"])
        new = {**info, "resources": {**(info.get("resources") or {}), **resources[key]}}
        if "unreadable" not in info and (why := ws.executor.check(new)):
            raise UsageError(f"Job {key}: {why}; nothing was reset.")
    for asked in {id(asked): asked for asked in resources.values()}.values():
        read_resources(asked, bare=1)


def _submit_reset(ws: Project, ready: list[JobKey], watcher: ProgressReporter) -> tuple[list[JobResult], str]:
    """Submit what was reset; also return why jobs of which there is no outcome were not tried."""
    try:
        made = [_to_result(outcome) for outcome in _submit(ws, ready, watcher)]
    except ParaschutError as error:
        return [], str(error)
    results = [o if o.ok else o._replace(message=f"reset, but not submitted: {o.message}") for o in made]
    return results, "stopped before it"


def _close(ws: Project, report: ActionReport, command: str, *, can_undo: bool) -> int | None:
    """Put a resubmission's end into the history. Return its number, if there is something to undo."""
    try:
        if report.action is None:
            record_action(ws, "resubmit", report.done, command)
        else:
            with ws.db.transaction() as tx:
                close_action(tx, report.action, report.done or len(report.failed), can_undo=can_undo)
    except DatabaseError as error:
        log.warning("the resubmission is not in the history: %s", error)
    return report.action if can_undo else None


def _resubmit_spawns(ws: Project, key: JobKey) -> JobResult:
    try:
        n = resubmit_spawns(ws, key)
    except ParaschutError as error:
        return JobResult(key, ResultKind.FAILED, str(error))
    if not n:
        return JobResult(key, ResultKind.SKIPPED, "none of its spawns is missing")
    return JobResult(key, ResultKind.DONE, f"{n} spawn{'s' if n > 1 else ''} resubmitted", processes=n)
