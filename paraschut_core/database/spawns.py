"""Rows of spawns: the processes that a job multiplied itself into."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import StaleJobError
from ..model import COMPLETE, INIT, RUN, SPAWN, SUBMIT, JobInfo, JobKey, Spawn
from .connection import Database, Row, Transaction
from .events import add_event
from .jobs import pack_metadata
from .lifecycle import JobProcess, current_token

_SPAWN = (
    "SpawnID, ClusterID, spawn_state, stdout, stderr, submit_id, attempt, submitted_at, executor, token,"
    " claimed_by"
)


def _to_spawn(row: Row) -> Spawn:
    return Spawn(row[0], row[1], row[2], row[3] or "", row[4] or "", *row[5:])


def read_spawns(db: Database, key: JobKey) -> list[Spawn]:
    """The spawns of a job, by SpawnID."""
    rows = db.rows(f"SELECT {_SPAWN} FROM spawn WHERE BatchID = ? AND JobIndex = ? ORDER BY SpawnID", key)
    return [_to_spawn(row) for row in rows]


def spawn_fields(spawns: list[Spawn]) -> dict[str, list[object]]:
    """What a spawn job's JobInfo holds beside the job's own fields: lists, one item a spawn."""
    return {
        "SpawnID": [spawn.spawn_id for spawn in spawns],
        "ClusterID": [spawn.cluster_id or spawn.submit_id for spawn in spawns],
        "spawn_state": [spawn.state for spawn in spawns],
        "stdout": [spawn.stdout for spawn in spawns],
        "stderr": [spawn.stderr for spawn in spawns],
    }


def read_live_spawns(db: Database) -> dict[JobKey, list[Spawn]]:
    """The unfinished spawns of all jobs in state `spawn`."""
    rows = db.rows(
        f"SELECT s.BatchID, s.JobIndex, {', '.join('s.' + name.strip() for name in _SPAWN.split(','))}"
        " FROM job j JOIN spawn s ON s.BatchID = j.BatchID AND s.JobIndex = j.JobIndex"
        " WHERE j.state = 'spawn' AND j.state IN ('submit', 'run', 'spawn')"
        " AND s.spawn_state <> 'complete' ORDER BY s.BatchID, s.JobIndex, s.SpawnID"
    )
    found: dict[JobKey, list[Spawn]] = {}
    for row in rows:
        found.setdefault(JobKey(row[0], row[1]), []).append(_to_spawn(row[2:]))
    return found


def read_spawns_in(tx: Transaction, key: JobKey) -> list[Spawn]:
    """The spawns of a job, read inside a transaction."""
    rows = tx.connection.execute(
        f"SELECT {_SPAWN} FROM spawn WHERE BatchID = ? AND JobIndex = ? ORDER BY SpawnID", key
    ).fetchall()
    return [_to_spawn(row) for row in rows]


def find_spawn(
    spawns: list[tuple[Spawn, str | None]], token: str | None, cluster_id: str | None
) -> Spawn | None:
    """The spawn that a process is: by its token, or by its id where it has none."""
    for spawn, its_token in spawns:
        if token is not None:
            if its_token == token:
                return spawn
        elif cluster_id is not None and cluster_id in (spawn.cluster_id, spawn.submit_id):
            return spawn
    return None


def read_tokens_in(tx: Transaction, key: JobKey) -> list[tuple[Spawn, str | None]]:
    """The spawns of a job with their tokens, read inside a transaction."""
    rows = tx.connection.execute(
        f"SELECT token, {_SPAWN} FROM spawn WHERE BatchID = ? AND JobIndex = ? ORDER BY SpawnID", key
    ).fetchall()
    return [(_to_spawn(row[1:]), row[0]) for row in rows]


def read_tokens(db: Database, key: JobKey) -> list[tuple[Spawn, str | None]]:
    """The spawns of a job with their tokens."""
    rows = db.rows(
        f"SELECT token, {_SPAWN} FROM spawn WHERE BatchID = ? AND JobIndex = ? ORDER BY SpawnID", key
    )
    return [(_to_spawn(row[1:]), row[0]) for row in rows]


class NewSpawn(NamedTuple):
    """A spawn to be added: `spawn_id`, its logs, the token of its submission, and by which executor."""

    spawn_id: int
    stdout: str
    stderr: str
    token: str | None
    attempt: int
    cluster_id: str | None = None
    state: str = SUBMIT
    executor: str | None = None


def next_spawn_ids(tx: Transaction, key: JobKey, n: int) -> list[int]:
    """`n` SpawnIDs that no spawn of this job has; gaps are filled first."""
    taken = {
        row[0]
        for row in tx.connection.execute(
            "SELECT SpawnID FROM spawn WHERE BatchID = ? AND JobIndex = ?", key
        ).fetchall()
    }
    ids: list[int] = []
    candidate = 0
    while len(ids) < n:
        if candidate not in taken:
            ids.append(candidate)
        candidate += 1
    return ids


def insert_spawn(tx: Transaction, key: JobKey, spawn: NewSpawn) -> None:
    """Add or replace one spawn of a job."""
    tx.connection.execute(
        "INSERT OR REPLACE INTO spawn (BatchID, JobIndex, SpawnID, spawn_state, attempt, token, claimed_by,"
        " executor, submit_id, ClusterID, submitted_at, stdout, stderr, rev)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *key,
            spawn.spawn_id,
            spawn.state,
            spawn.attempt,
            spawn.token,
            tx.who,
            spawn.executor,
            spawn.cluster_id,
            spawn.cluster_id,
            tx.at,
            spawn.stdout,
            spawn.stderr,
            tx.rev,
        ),
    )


def record_spawn_id(
    tx: Transaction, key: JobKey, token: str, submit_id: str, executor: str | None = None
) -> bool:
    """Keep the scheduler's id of a claimed spawn, unless the spawn itself was faster. False if nobody
    waits for that submission any more."""
    tx.connection.execute(
        "UPDATE spawn SET submit_id = coalesce(submit_id, ?1), executor = coalesce(?2, executor), rev = ?3"
        " WHERE BatchID = ?4 AND JobIndex = ?5 AND token = ?6 AND (submit_id IS NULL OR executor <> ?2)",
        (submit_id, executor, tx.rev, *key, token),
    )
    if tx.connection.execute(
        "SELECT 1 FROM spawn WHERE BatchID = ? AND JobIndex = ? AND token = ?", (*key, token)
    ).fetchone():
        return True
    # The last spawn to complete took the job over: its token is the job's.
    return current_token(tx, key) == token


def release_spawn(tx: Transaction, key: JobKey, token: str) -> bool:
    """A spawn that was not taken by the scheduler waits as `init` for `spawn_resubmit`."""
    changed = tx.connection.execute(
        "UPDATE spawn SET spawn_state = ?, token = NULL, rev = ? WHERE BatchID = ? AND JobIndex = ?"
        " AND token = ? AND spawn_state = ? AND ClusterID IS NULL",
        (INIT, tx.rev, *key, token, SUBMIT),
    ).rowcount
    return changed > 0


def start_spawn(tx: Transaction, key: JobKey, who: JobProcess) -> Spawn | None:
    """The start gate of a spawn: its row becomes `run` if this process is its current submission.

    Returns None where this process is no spawn of that job (it may be the job itself).

    Raises:
        StaleJobError: it was a spawn and is replaced, or is complete already.
    """
    by_token = "token = ?" if who.token is not None else "coalesce(ClusterID, submit_id) = ?"
    row = tx.connection.execute(
        f"SELECT {_SPAWN} FROM spawn WHERE BatchID = ? AND JobIndex = ? AND {by_token}",
        (*key, who.token if who.token is not None else who.cluster_id),
    ).fetchone()
    if row is None:
        return None
    spawn = _to_spawn(row)
    if spawn.state == COMPLETE:
        raise StaleJobError(f"Spawn {spawn.spawn_id} of job {key} must not start: it is complete already.")
    if spawn.cluster_id not in (None, who.cluster_id):
        raise StaleJobError(
            f"Spawn {spawn.spawn_id} of job {key} must not start: it runs as {spawn.cluster_id}, "
            f"this process is {who.cluster_id}."
        )
    tx.connection.execute(
        "UPDATE spawn SET spawn_state = ?, ClusterID = ?, submit_id = coalesce(submit_id, ?), hostname = ?,"
        " rev = ? WHERE BatchID = ? AND JobIndex = ? AND SpawnID = ?",
        (RUN, who.cluster_id, who.cluster_id, who.hostname, tx.rev, *key, spawn.spawn_id),
    )
    return spawn._replace(cluster_id=who.cluster_id, state=RUN)


def delete_spawns(tx: Transaction, key: JobKey, spawn_ids: list[int] | None = None) -> None:
    """Remove a job's spawns, all or those of the given ids."""
    if spawn_ids is None:
        tx.connection.execute("DELETE FROM spawn WHERE BatchID = ? AND JobIndex = ?", key)
    else:
        tx.connection.executemany(
            "DELETE FROM spawn WHERE BatchID = ? AND JobIndex = ? AND SpawnID = ?",
            [(*key, spawn_id) for spawn_id in spawn_ids],
        )


def complete_spawn(tx: Transaction, key: JobKey, spawn_id: int) -> int:
    """Mark one spawn complete; return how many of the job's spawns are not complete yet."""
    tx.connection.execute(
        "UPDATE spawn SET spawn_state = ?, rev = ? WHERE BatchID = ? AND JobIndex = ? AND SpawnID = ?",
        (COMPLETE, tx.rev, *key, spawn_id),
    )
    (left,) = tx.connection.execute(
        "SELECT count(*) FROM spawn WHERE BatchID = ? AND JobIndex = ? AND spawn_state <> ?", (*key, COMPLETE)
    ).fetchone()
    return int(left)


def is_spawn_job(tx: Transaction, key: JobKey) -> bool:
    """Return whether the job multiplied itself."""
    one = "SELECT 1 FROM job WHERE BatchID = ? AND JobIndex = ? AND state = ?"
    return tx.connection.execute(one, (*key, SPAWN)).fetchone() is not None


def set_spawn_state(tx: Transaction, key: JobKey, attempt: int, before: str) -> None:
    """Put the parent job into state `spawn`."""
    if before != SPAWN:
        tx.connection.execute(
            "UPDATE job SET state = ?, changed_at = ?, changed_by = ?, rev = ?"
            " WHERE BatchID = ? AND JobIndex = ?",
            (SPAWN, tx.at, tx.who, tx.rev, *key),
        )
        add_event(tx, key, attempt, before, SPAWN, "multiplied itself")


def hand_over(tx: Transaction, key: JobKey, info: JobInfo, spawns: list[Spawn], spawn_id: int) -> None:
    """The last spawn to complete becomes the job itself: state `run`, its token and id, no spawns left.

    Args:
        info: the job's metadata as stored; `spawn_logs` then names the logs of all `spawns`.
    """
    info["spawn_logs"] = {
        "SpawnID": [spawn.spawn_id for spawn in spawns],
        "stdout": [spawn.stdout for spawn in spawns],
        "stderr": [spawn.stderr for spawn in spawns],
    }
    mine = "FROM spawn WHERE BatchID = :b AND JobIndex = :j AND SpawnID = :s"
    tx.connection.execute(
        "UPDATE job SET state = :run, changed_at = :at, changed_by = :who, rev = :rev, metadata = :metadata,"
        f" token = coalesce((SELECT token {mine}), token), ClusterID = (SELECT ClusterID {mine}),"
        f" submit_id = (SELECT submit_id {mine}), executor = (SELECT executor {mine})"
        " WHERE BatchID = :b AND JobIndex = :j",
        {
            "run": RUN,
            "at": tx.at,
            "who": tx.who,
            "rev": tx.rev,
            "b": key.batch_id,
            "j": key.job_index,
            "s": spawn_id,
            "metadata": pack_metadata(info),
        },
    )
    delete_spawns(tx, key)
    add_event(tx, key, info["attempt"], SPAWN, RUN, "all spawns complete")
