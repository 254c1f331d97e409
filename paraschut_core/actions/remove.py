"""Removes batches, temporary folders and temporary files: what goes here is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..database.changes import read_batches
from ..database.connection import Transaction
from ..database.events import add_action
from ..database.jobs import batch_signature, delete_batch, require_batch
from ..database.lifecycle import stamp_in, stamps_in
from ..database.orphans import Orphan, keep_orphans
from ..database.spawns import read_spawns
from ..errors import ParaschutError, SchedulerError
from ..jobs.cleanup import (
    batch_folder,
    job_folders,
    put_back,
    remove_file,
    remove_leftovers,
    remove_whole,
    set_aside,
    temp_files,
)
from ..model import ONLINE_STATES, SPAWN, JobKey
from ..project import Project
from ..sanitize import spans
from .delete import qdel
from .protection import Held, Protection, protect, protect_batches
from .report import IN_QUEUE, ActionReport, Hold, JobResult, ResultKind, Selection, by_message, record_action

Signature = frozenset[tuple[str, int, int]]
"""Where a batch's jobs stand (db.jobs.batch_signature)."""

_AT_ONCE = 200
"""Files and folders that are removed under one lock: other writers get their turn in between."""


# ------------------------------------------------------------------------------------ batches


def batches_in_states(ws: Project, states: Iterable[str]) -> list[int]:
    """The batches all of whose jobs are in one of these states."""
    wanted = set(states)
    return [
        i for i, batch in read_batches(ws.reader).items() if batch.states and batch.states.keys() <= wanted
    ]


def signatures(ws: Project, batch_ids: Iterable[int]) -> dict[int, Signature]:
    """Where the jobs of batches stand, to be compared after a question. Raises UnknownJobError."""
    found = {}
    for batch_id in batch_ids:
        require_batch(ws.reader, batch_id)
        found[batch_id] = batch_signature(ws.reader, batch_id)
    return found


def remove_batches(
    ws: Project,
    batch_ids: Iterable[int],
    *,
    force: bool = False,
    command: str = "",
    shown: Mapping[int, Signature] | None = None,
    states: Collection[str] = (),
) -> ActionReport:
    """Remove batches: their rows, and their folders under the job directory.

    A batch with jobs that are in a queue, or may be, is left. Only a batch's own folder goes, never what a
    symbolic link points to.

    Args:
        force: also batches with jobs in a queue: these are deleted from it first.
        shown: where the jobs stood when the user was asked: a batch in which something changed is left.
        states: only batches all of whose jobs are in these states when they are removed.
    """
    outcomes: list[JobResult] = []
    wanted = list(dict.fromkeys(batch_ids))
    for batch_id in wanted:
        require_batch(ws.db, batch_id)  # all are there, or nothing is removed
    for batch_id in wanted:
        seen = (shown or {}).get(batch_id)
        outcomes.append(_remove_one(ws, batch_id, force, command or f"remove {batch_id}", seen, states))
    return ActionReport("remove", outcomes)


def _remove_one(
    ws: Project,
    batch_id: int,
    force: bool,
    command: str,
    shown: Signature | None,
    states: Collection[str],
) -> JobResult:
    key = JobKey(batch_id, -1)
    now = batch_signature(ws.reader, batch_id)
    if why := _differs(now, shown, states, force):
        return JobResult(key, ResultKind.SKIPPED, why)
    found = protect_batches(ws, [batch_id])[batch_id]
    remarks: list[str] = []
    orphans: list[Orphan] = []
    if found.held and not force:
        return JobResult(key, ResultKind.FAILED, _why_held(found))
    if found.held:
        why, remarks, going_on = _end_all(ws, found)
        if why:
            return JobResult(key, ResultKind.FAILED, why)
        orphans = _orphans(ws, found, going_on)
        now = batch_signature(ws.reader, batch_id)
    folder, remark = batch_folder(ws, batch_id)
    aside = ""
    try:
        with ws.db.transaction() as tx:
            # By force, too: what was submitted just now would go on with nobody to see it.
            if why := _differs(batch_signature(tx, batch_id), now, states, False):
                return JobResult(key, ResultKind.SKIPPED, why)
            jobs = delete_batch(tx, batch_id)
            keep_orphans(tx, orphans)
            add_action(tx, "remove", jobs, command, can_undo=False)
            aside = set_aside(folder) if folder else ""
    except ParaschutError:
        if aside:
            put_back(aside, folder)
        raise
    remarks += [remark] if remark else []
    remarks += [problem] if aside and (problem := remove_whole(aside)) else []
    return JobResult(key, ResultKind.DONE, "; ".join(remarks))


def _differs(now: Signature, shown: Signature | None, states: Collection[str], force: bool) -> str:
    """What changed in a batch since it was looked at, in words; "" if nothing did."""
    others = sorted({state for state, _, _ in now} - set(states))
    if states and others:
        return f"it has jobs in state {', '.join(others)} by now"
    if shown is None or now == shown or force:
        return ""
    before, after = (Counter({s: n for s, n, _ in signature}) for signature in (shown, now))
    more = [f"{n} more in state {state}" for state, n in sorted((after - before).items())]
    return f"its jobs changed meanwhile ({', '.join(more) or 'some were submitted again'}): look again"


def _why_held(found: Protection) -> str:
    """Why a batch is not to be removed."""
    codes = {held.code for held in found.held.values()}
    if codes & IN_QUEUE:
        return "it has jobs in the queue: delete them first"
    if Hold.SUBMITTING in codes:
        return "jobs of it are being submitted: try again in a moment"
    first = next(iter(found.held.values()))
    return f"nobody can tell here whether its jobs run: {first.words}"


def _orphans(ws: Project, found: Protection, keys: Iterable[JobKey]) -> list[Orphan]:
    """The submissions of jobs that may go on when their batch is removed."""
    rows = [found.rows[key] for key in keys if key in found.rows]
    of_jobs = [
        Orphan(row.key, row.token or "", row.submit_id or row.cluster_id or "", row.executor) for row in rows
    ]
    of_spawns = [
        Orphan(row.key, spawn.token or "", spawn.submit_id or spawn.cluster_id or "", spawn.executor)
        for row in rows
        if row.state == SPAWN
        for spawn in read_spawns(ws.reader, row.key)
    ]
    return [one for one in (*of_jobs, *of_spawns) if one.token or one.id]


def _end_all(ws: Project, found: Protection) -> tuple[str, list[str], list[JobKey]]:
    """Delete a batch's jobs from the queue: why that failed, else remarks on what was done, and the jobs
    that may go on."""
    unseen = [key for key, held in found.held.items() if held.code in (Hold.ELSEWHERE, Hold.SILENT)]
    try:
        report = qdel(ws, Selection(keys=tuple(found.held)))
    except SchedulerError as error:
        if not unseen:
            return str(error), [], []
        return "", [_go_on(found, list(found.held))], list(found.held)
    counts = report.effects()
    remarks = [", ".join(f"{n} {effect.value}" for effect, n in counts.items())] if counts else []
    failed = [o for o in report.failed if o.key not in unseen and found.held[o.key].code is not Hold.BY_HAND]
    if failed:
        return f"job {failed[0].key.job_index} cannot be deleted from the queue: {failed[0].message}", [], []
    left = [o.key for o in report.failed]
    return "", [*remarks, *([_go_on(found, left)] if left else [])], left


def _go_on(found: Protection, keys: Sequence[JobKey]) -> str:
    """Names what may go on after a removal by force, with the ids by which it can be ended."""
    ids = sorted({i for key in keys for i in (found.rows[key].submit_id, found.rows[key].cluster_id) if i})
    where = sorted({found.rows[key].executor or "a queue" for key in keys})
    named = f", ids {', '.join(ids[:20])}{' and more' if len(ids) > 20 else ''}" if ids else ""
    jobs = spans([key.job_index for key in keys])
    return f"jobs {jobs} may go on in {' and '.join(where)}{named}: end them there (paraschut qdel --orphans)"


def remove_batches_by_state(ws: Project, states: Iterable[str]) -> ActionReport:
    """Remove the batches all of whose jobs are in `states`."""
    wanted = set(states)
    return remove_batches(ws, batches_in_states(ws, wanted), states=wanted)


# ------------------------------------------------------------------------------------ temporary files


class CleanReport(NamedTuple):
    """What was removed: `files` how many of each batch, `folders` by path; and what was left, and why.

    A key with a negative JobIndex stands for the files of a whole batch.
    """

    files: dict[int, int]
    folders: list[str]
    left: dict[JobKey, Held]

    def left_alone(self) -> list[str]:
        """What was left and why, a line for each reason."""
        whole = [
            f"files of batch {key.batch_id}: {why.words}" for key, why in self.left.items() if key[1] < 0
        ]
        jobs = (
            JobResult(key, ResultKind.SKIPPED, why.words) for key, why in self.left.items() if key[1] >= 0
        )
        return [*whole, *(f"folders of {text}" for text in by_message(jobs))]


def clean_folders(ws: Project, batch_ids: Iterable[int], *, command: str = "") -> CleanReport:
    """Remove the jobs' own temporary folders, JobDir/BatchID/JobIndex, but not of those that may run.

    Raises:
        ParaschutError: a folder that cannot be removed.
    """
    removed: list[str] = []
    left: dict[JobKey, Held] = {}
    for batch_id in batch_ids:
        remove_leftovers(ws, batch_id)
        there = {JobKey(batch_id, index): path for index, path in sorted(job_folders(ws, batch_id).items())}
        found = protect(ws, there)
        left.update(found.held)
        free = [key for key in there if key in found.stamps and key not in found.held]
        for start in range(0, len(free), _AT_ONCE):
            removed += _clean_chunk(ws, free[start : start + _AT_ONCE], there, found, left)
    record_action(ws, "clean", len(removed), command)
    return CleanReport({}, removed, left)


def _clean_chunk(
    ws: Project,
    keys: Sequence[JobKey],
    there: Mapping[JobKey, str],
    found: Protection,
    left: dict[JobKey, Held],
) -> list[str]:
    aside: list[str] = []
    removed = []
    try:
        with ws.db.transaction() as tx:
            for key in keys:
                if stamp_in(tx, key) != found.stamps[key]:
                    left[key] = Held(Hold.CHANGED, "it changed meanwhile")
                elif renamed := set_aside(there[key]):
                    aside.append(renamed)
                    removed.append(there[key])
    finally:
        problems = [problem for path in aside if (problem := remove_whole(path))]
    if problems:
        raise ParaschutError(problems[0])
    return removed


def clean_files(
    ws: Project, patterns: Iterable[str], batch_ids: Iterable[int], *, command: str = ""
) -> CleanReport:
    """Remove files in the batches' folders that match the patterns, but not of batches with jobs that may
    run: nobody can tell whose files they are.

    Raises:
        UsageError: a pattern that leads out of the folder.
        ParaschutError: a file that cannot be removed.
    """
    wanted = list(dict.fromkeys(batch_ids))
    paths: dict[int, list[str]] = {}
    for batch_id, path in temp_files(ws, patterns, wanted):
        paths.setdefault(batch_id, []).append(path)
    removed = dict.fromkeys(wanted, 0)
    left: dict[JobKey, Held] = {}
    guards = protect_batches(ws, paths)
    for batch_id, files in paths.items():
        if held := guards[batch_id].held:
            left[JobKey(batch_id, -1)] = next(iter(held.values()))
            continue
        for start in range(0, len(files), _AT_ONCE):
            with ws.db.transaction() as tx:
                if _has_started(tx, batch_id, guards[batch_id]):
                    left[JobKey(batch_id, -1)] = Held(Hold.CHANGED, "jobs of it were submitted meanwhile")
                    break
                removed[batch_id] += sum(remove_file(path) for path in files[start : start + _AT_ONCE])
    record_action(ws, "clean", sum(removed.values()), command)
    return CleanReport(removed, [], left)


def _has_started(tx: Transaction, batch_id: int, found: Protection) -> bool:
    """Return whether a job of the batch may run that was surely in no queue before."""
    online = stamps_in(tx, batch_id, ONLINE_STATES)
    return any(found.stamps.get(key) != stamp for key, stamp in online.items())
