"""Spawn jobs: a running job that multiplies itself, and is complete when all of it is."""

from __future__ import annotations

import time

from . import polling
from .db.connection import Transaction
from .db.spawns import (
    NewSpawn,
    complete_spawn,
    delete_spawns,
    hand_over,
    insert_spawn,
    next_spawn_ids,
    read_spawns_in,
    set_spawn_state,
    spawn_fields,
)
from .db.submitting import current_info
from .errors import ConflictError, SchedulerError, UnknownJobError
from .model import COMPLETE, RUN, SPAWN, SUBMIT, JobInfo, JobKey, JobSpec, Spawn
from .submission import log_paths, make_spec, new_token, submit_claimed
from .workspace import Workspace


def submit_spawns(ws: Workspace, info: JobInfo, n: int, cluster_id: str | None, token: str | None) -> JobInfo:
    """Multiplies a running job: itself becomes SpawnID 0, and `n` more are submitted.

    Returns `info` with its own spawn's fields and state `spawn`; the caller's unsaved fields are kept.
    """
    key = JobKey(info["BatchID"], info["JobIndex"])
    stdout, stderr = (_last(info.get(stream)) for stream in ("stdout", "stderr"))
    with ws.db.transaction() as tx:
        current = current_info(tx, ws.db, key)
        delete_spawns(tx, key)
        insert_spawn(tx, key, NewSpawn(0, stdout, stderr, token, 1, cluster_id, RUN))
        set_spawn_state(tx, key, current["attempt"], current["state"])
        specs = _claim_spawns(ws, tx, current, n)
        info["rev"] = tx.rev
    _submit(ws, specs)
    info["state"] = SPAWN
    info.update(spawn_fields([Spawn(0, cluster_id, RUN, stdout, stderr, cluster_id, 1)]))
    return info


def _last(history: object) -> str:
    if isinstance(history, list):
        return str(history[-1]) if history else ""
    return str(history or "")


def _claim_spawns(ws: Workspace, tx: Transaction, info: JobInfo, n: int) -> list[JobSpec]:
    """Adds `n` spawn rows, each with its logs and token, inside the caller's transaction."""
    key = JobKey(info["BatchID"], info["JobIndex"])
    group = new_token()
    info = {**info, "subtime": int(time.strftime("%Y%m%d%H%M%S", time.localtime(tx.at)))}
    specs = []
    for ordinal, spawn_id in enumerate(next_spawn_ids(tx, key, n), 1):
        token = f"{group}-{ordinal}"
        stdout, stderr = log_paths(ws, info, f"{max(info['attempt'] - 1, 0)}.s{spawn_id}")
        insert_spawn(tx, key, NewSpawn(spawn_id, stdout, stderr, token, 1))
        specs.append(
            make_spec(ws, {**info, "stdout": [stdout], "stderr": [stderr]}, token, spawn_id=spawn_id)
        )
    return specs


def _submit(ws: Workspace, specs: list[JobSpec]) -> int:
    """Hands spawns to the executor in chunks; returns how many it took."""
    size = max(ws.executor.chunk_limit(), 1)
    outcomes = [o for i in range(0, len(specs), size) for o in submit_claimed(ws, specs[i : i + size])]
    return sum(1 for outcome in outcomes if outcome.id is not None)


def complete(ws: Workspace, info: JobInfo, cluster_id: str | None) -> JobInfo:
    """Marks this process's spawn as done.

    Returns the caller's `info`, its unsaved fields kept: state `complete` for the last one, which now is
    the job itself and goes on to finish it, with all spawns' fields as lists; `spawn` for the others.

    Raises:
        ConflictError: the job is no spawn job any more (reset, say), or this process no spawn of it.
    """
    key = JobKey(info["BatchID"], info["JobIndex"])
    own = info.get("SpawnID")
    with ws.db.transaction() as tx:
        current = current_info(tx, ws.db, key)
        if current["state"] != SPAWN:
            raise ConflictError(
                f"Job {key} is in state {current['state']!r}, not in 'spawn': it was reset or submitted "
                "again while this spawn ran; nothing was written."
            )
        spawns = read_spawns_in(tx, key)
        mine = [
            spawn
            for spawn in spawns
            if spawn.spawn_id == (own[0] if isinstance(own, list) and own else own)
            or (own is None and cluster_id is not None and cluster_id in (spawn.cluster_id, spawn.submit_id))
        ]
        if not mine:
            raise ConflictError(f"This process ({cluster_id}) is no spawn of job {key}; nothing was written.")
        left = complete_spawn(tx, key, mine[0].spawn_id)
        if left:
            info["state"] = SPAWN
            return info
        hand_over(tx, key, current["attempt"], mine[0].spawn_id)
        info.update(spawn_fields([spawn._replace(state=COMPLETE) for spawn in spawns]))
        info["state"] = COMPLETE
        info["rev"] = tx.rev
    return info


def resubmit(ws: Workspace, key: JobKey, count: int | None = None) -> int:
    """Submits a spawn job's missing spawns anew; returns how many.

    Args:
        count: how many spawns there shall be in all (default: as many as there are rows).
    """
    record = polling.ask(ws, force=True)
    if record.failing_since is not None:
        raise SchedulerError(f"{ws.executor.name} does not answer ({record.error}); nothing was resubmitted.")
    with ws.db.transaction() as tx:
        info = current_info(tx, ws.db, key)
        spawns = read_spawns_in(tx, key)
        if not spawns and count is None:
            raise UnknownJobError(f"Job {key} has no spawns.")
        lost = [
            spawn.spawn_id
            for spawn in spawns
            if spawn.state != COMPLETE
            and not any(i in record.answer for i in (spawn.cluster_id, spawn.submit_id) if i)
            and not _just_claimed(spawn)
        ]
        delete_spawns(tx, key, lost)
        wanted = len(spawns) if count is None else count
        n = max(wanted - (len(spawns) - len(lost)), 0)
        set_spawn_state(tx, key, info["attempt"], info["state"])
        specs = _claim_spawns(ws, tx, info, n)
    return _submit(ws, specs)


def _just_claimed(spawn: Spawn) -> bool:
    """Whether another process is submitting it right now (it has a token and no id yet)."""
    return spawn.state == SUBMIT and spawn.submit_id is None and spawn.cluster_id is None
