"""Spawn jobs: a running job that multiplies itself, and is complete when all of it is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..database.connection import Transaction
from ..database.events import forget_ending
from ..database.lifecycle import current_executor, current_info, current_token, require_current_attempt
from ..database.poll_state import PollState
from ..database.spawns import (
    NewSpawn,
    complete_spawn,
    delete_spawns,
    find_spawn,
    hand_over,
    insert_spawn,
    next_spawn_ids,
    read_spawns,
    read_spawns_in,
    read_tokens_in,
    set_spawn_state,
    spawn_fields,
)
from ..errors import ConflictError, SchedulerError, UsageError
from ..model import COMPLETE, DONE_STATES, INIT, RUN, SPAWN, JobInfo, JobKey, JobSpec, Spawn
from ..monitoring import polling
from ..project import Project
from .submission import log_paths, make_spec, new_token, resolve_claims, submit_claimed


def submit_spawns(ws: Project, info: JobInfo, n: int, cluster_id: str | None, token: str | None) -> JobInfo:
    """Multiply a running job: itself becomes SpawnID 0, and `n` more are submitted.

    Returns `info` with its own spawn's fields and state `spawn`; the caller's unsaved fields are kept.
    """
    if n < 0:
        raise UsageError(f"N must be the number of further spawns, not {n}.")
    key = JobKey(info["BatchID"], info["JobIndex"])
    with ws.db.transaction() as tx:
        current = current_info(tx, ws.db, key)
        if token is not None:
            require_current_attempt(tx, key, token)
        own = _own_spawn(tx, key, current, info, cluster_id or current.get("ClusterID"), token)
        set_spawn_state(tx, key, current["attempt"], current["state"])
        specs = _claim_spawns(ws, tx, current, n)
        info["rev"] = tx.rev
    _submit(ws, specs)
    info["state"] = SPAWN
    info.update(spawn_fields([own]))
    return info


def _own_spawn(
    tx: Transaction, key: JobKey, current: JobInfo, info: JobInfo, cluster_id: str | None, token: str | None
) -> Spawn:
    """The row of the process that multiplies itself: a new one, unless it is a spawn already."""
    if current["state"] in DONE_STATES:
        raise ConflictError(f"Job {key} is {current['state']}: it cannot multiply itself any more.")
    if current["state"] == SPAWN:
        own = find_spawn(read_tokens_in(tx, key), token, cluster_id)
        if own is None:
            raise ConflictError(f"This process ({cluster_id}) is no spawn of job {key}; nothing was written.")
        return own
    stdout, stderr = (_last(info.get(stream)) for stream in ("stdout", "stderr"))
    delete_spawns(tx, key)
    executor = current_executor(tx, key)
    insert_spawn(tx, key, NewSpawn(0, stdout, stderr, token, 1, cluster_id, RUN, executor))
    return Spawn(0, cluster_id, RUN, stdout, stderr, cluster_id, 1)


def _last(history: object) -> str:
    if isinstance(history, list):
        return str(history[-1]) if history else ""
    return str(history or "")


def _claim_spawns(ws: Project, tx: Transaction, info: JobInfo, n: int) -> list[JobSpec]:
    """Add `n` spawn rows, each with its logs and token, inside the caller's transaction."""
    key = JobKey(info["BatchID"], info["JobIndex"])
    group = new_token()
    info = {**info, "subtime": int(time.strftime("%Y%m%d%H%M%S", time.localtime(tx.at)))}
    specs = []
    for ordinal, spawn_id in enumerate(next_spawn_ids(tx, key, n), 1):
        token = f"{group}-{ordinal}"
        stdout, stderr = log_paths(ws, info, f"{max(info['attempt'] - 1, 0)}.s{spawn_id}")
        spawn = NewSpawn(spawn_id, stdout, stderr, token, 1, executor=ws.executor.queue_of(info))
        insert_spawn(tx, key, spawn)
        own = {"state": SPAWN, "rev": tx.rev, "SpawnID": [spawn_id], "stdout": [stdout], "stderr": [stderr]}
        specs.append(make_spec(ws, {**info, **own}, token, spawn_id=spawn_id))
    return specs


def _submit(ws: Project, specs: list[JobSpec]) -> int:
    """Hand spawns to the executor in chunks; return how many it took."""
    size = max(ws.executor.max_batch_size(), 1)
    outcomes = [o for i in range(0, len(specs), size) for o in submit_claimed(ws, specs[i : i + size])[0]]
    return sum(1 for outcome in outcomes if outcome.id is not None)


def complete(ws: Project, info: JobInfo, cluster_id: str | None, token: str | None = None) -> JobInfo:
    """Mark this process's spawn as done.

    Returns the caller's `info`, its unsaved fields kept: state `complete` for the last one, which now is
    the job itself and goes on to finish it, with all spawns' fields as lists; `spawn` for the others.

    Raises:
        ConflictError: the job is no spawn job any more (reset, say), or this process no spawn of it.
    """
    key = JobKey(info["BatchID"], info["JobIndex"])
    with ws.db.transaction() as tx:
        current = current_info(tx, ws.db, key)
        if current["state"] != SPAWN:
            raise ConflictError(
                f"Job {key} is in state {current['state']!r}, not in 'spawn': it was reset or submitted "
                "again while this spawn ran; nothing was written."
            )
        known = read_tokens_in(tx, key)
        spawns = [spawn for spawn, _ in known]
        own = find_spawn(known, token, cluster_id)
        if own is None and token is None:
            own = _named(spawns, info)
        if own is None:
            raise ConflictError(
                f"This process ({cluster_id}) is no spawn of job {key} (any more); nothing was written."
            )
        left = complete_spawn(tx, key, own.spawn_id)
        if left:
            info["state"] = SPAWN
            return info
        hand_over(tx, key, current, spawns, own.spawn_id)
        info["spawn_logs"] = current["spawn_logs"]
        info.update(spawn_fields([spawn._replace(state=COMPLETE) for spawn in spawns]))
        info["state"] = COMPLETE
        info["rev"] = tx.rev
    return info


def _named(spawns: list[Spawn], info: JobInfo) -> Spawn | None:
    """The one spawn that the caller's metadata is of."""
    named = info.get("SpawnID")
    ids = named if isinstance(named, list) else [named]
    found = [spawn for spawn in spawns if spawn.spawn_id in ids]
    return found[0] if len(found) == 1 else None


def resubmit(ws: Project, key: JobKey, count: int | None = None) -> int:
    """Submit a spawn job's missing spawns anew; return how many.

    Args:
        count: how many spawns there shall be in all (default: as many as there are rows).

    Raises:
        UsageError: the job has not multiplied itself.
        SchedulerError: the scheduler cannot be asked which are missing.
    """
    record = polling.poll_scheduler(ws, force=True)
    if record.failing_since is not None:
        trouble = polling.outage_message(ws.executor.name, record.failing_since, record.error)
        raise SchedulerError(f"{trouble}; nothing was resubmitted.")
    resolve_claims(ws, record)
    with ws.db.transaction() as tx:
        info = current_info(tx, ws.db, key)
        if info["state"] != SPAWN:
            raise UsageError(f"Job {key} has no spawns to resubmit: its state is {info['state']!r}.")
        spawns = read_spawns_in(tx, key)
        lost = _lost(ws, spawns, record)
        delete_spawns(tx, key, lost)
        forget_ending(tx, key, info["attempt"])
        kept = [spawn for spawn in spawns if spawn.spawn_id not in lost]
        wanted = len(spawns) if count is None else count
        n = max(wanted - len(kept), 0)
        if all(spawn.state == COMPLETE for spawn in kept):
            n = max(n, 1)  # somebody must be the last, and finish the job
        specs = _claim_spawns(ws, tx, info, n)
    return _submit(ws, specs)


def add_one(ws: Project, key: JobKey, count: int | None = None) -> None:
    """Submit one more spawn of a job that is running or has spawns.

    Args:
        count: the most spawns that it may have.

    Raises:
        UsageError: it has that many, or it neither runs nor has spawns.
    """
    with ws.db.transaction() as tx:
        info = current_info(tx, ws.db, key)
        if info["state"] not in (RUN, SPAWN):
            raise UsageError(f"Job {key} cannot get a spawn: its state is {info['state']!r}.")
        if info["state"] == RUN:
            _own_spawn(tx, key, info, info, info.get("ClusterID"), current_token(tx, key))
            set_spawn_state(tx, key, info["attempt"], info["state"])
        spawns = len(read_spawns_in(tx, key))
        if count is not None and spawns >= count:
            raise UsageError(f"Job {key} has {spawns} spawns, and SpawnCount is {count}: nothing to submit.")
        specs = _claim_spawns(ws, tx, info, 1)
    _submit(ws, specs)


def count_lost(ws: Project, key: JobKey, record: PollState) -> int:
    """How many of a job's spawns a resubmission would submit anew, as of the given poll."""
    return len(_lost(ws, read_spawns(ws.reader, key), record))


def _lost(ws: Project, spawns: Sequence[Spawn], record: PollState) -> list[int]:
    """The numbers of the spawns that will never say that they are complete."""
    lost = [spawn for spawn in spawns if _is_lost(ws, spawn, record)]
    named = {spawn.token: spawn.submit_id or spawn.cluster_id or "" for spawn in lost if spawn.token}
    alive = ws.executor.alive(named) if named else {}
    return [spawn.spawn_id for spawn in lost if spawn.token not in alive]


def _is_lost(ws: Project, spawn: Spawn, record: PollState) -> bool:
    """Return whether a spawn will never say that it is complete: the last poll looked for it in vain."""
    if spawn.state in (COMPLETE, INIT):
        return spawn.state == INIT  # the scheduler did not take it
    if not polling.is_here(ws, spawn):
        return False  # another scheduler's poll would have to look for it
    ids = polling.keys_of(ws, spawn)
    if not ids:  # it is being submitted, and settle_claims sees to it; or that was cut short, who knows when
        age = time.time() - (spawn.submitted_at or 0.0)
        looks = ws.executor.sees_jobs and not ws.executor.reports_tokens
        return looks and age >= ws.settings.submit.timeout + ws.settings.poll.grace
    return all(record.absent.get(i, (0.0, 0))[1] > 0 for i in ids)
