"""A job's way from `init` to `run` and back: claim, record, release, the start gate, reset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from ..errors import ConflictError, StaleJobError, UsageError
from ..model import COMPLETE, DONE_STATES, INIT, ONLINE_STATES, RUN, SUBMIT, JobInfo, JobKey, Stamp
from .connection import Database, Transaction
from .events import add_event, add_events, saved_spawns
from .jobs import (
    COLUMN_FIELDS,
    INFO_COLUMNS,
    changed_fields,
    pack_metadata,
    rename_batch,
    same,
    store_columns,
    store_info,
    to_info,
    unknown_job,
)
from .metadata_json import decode

# ------------------------------------------------------------------------------------ claim


def claimable(tx: Transaction, db: Database, key: JobKey, known: JobInfo) -> JobInfo | None:
    """The job's metadata if it is still in `init`, as it is inside the claiming transaction.

    Args:
        known: it as it was read before: it is not read again if nobody changed it since.
    """
    row = tx.connection.execute(
        "SELECT rev FROM job WHERE BatchID = ? AND JobIndex = ? AND state = ?", (*key, INIT)
    ).fetchone()
    if row is None:
        return None
    return known if row[0] == known["rev"] else current_info(tx, db, key)


def current_info(tx: Transaction, db: Database, key: JobKey) -> JobInfo:
    """The job's metadata, whatever its state, read inside a transaction. Raises UnknownJobError."""
    row = tx.connection.execute(
        f"SELECT {INFO_COLUMNS} FROM job WHERE BatchID = ? AND JobIndex = ?", key
    ).fetchone()
    if row is None:
        raise unknown_job(db, key)
    return to_info(row)


def claim(tx: Transaction, key: JobKey, info: JobInfo, token: str, executor: str) -> None:
    """Take a job for submission by `executor` (its identity): `init` -> `submit`, one attempt more.

    `info` has its new log paths. `note_claims` then puts it into the history.
    """
    tx.connection.execute(
        "UPDATE job SET state = ?, attempt = ?, token = ?, restarts = 0, submit_id = NULL, ClusterID = NULL,"
        " hostname = NULL, subtime = ?, submitted_at = ?, started_at = NULL, changed_at = ?,"
        " changed_by = ?, claimed_by = ?, executor = ?, metadata = ?, rev = ?"
        " WHERE BatchID = ? AND JobIndex = ?",
        (
            SUBMIT,
            info["attempt"],
            token,
            info["subtime"],
            tx.at,
            tx.at,
            tx.who,
            tx.who,
            executor,
            pack_metadata(info),
            tx.rev,
            *key,
        ),
    )


def note_claims(tx: Transaction, attempts: Mapping[JobKey, int]) -> None:
    """Put into the history that these jobs were claimed, each for its attempt of that number."""
    add_events(tx, ((key, attempt, INIT, SUBMIT, None) for key, attempt in attempts.items()), "submitted")


def record_id(tx: Transaction, key: JobKey, token: str, submit_id: str, executor: str | None = None) -> bool:
    """Keep the scheduler's id of a claimed job, unless the job itself was faster.

    Args:
        executor: the queue that it went to, where that is known only now.

    Returns:
        whether the job is still (or was, when it completed) that submission's: if not, nobody waits for
        what was submitted.
    """
    row = tx.connection.execute(
        "SELECT token, submit_id, state, executor FROM job WHERE BatchID = ? AND JobIndex = ?", key
    ).fetchone()
    if row is None or row[0] != token:
        return False
    if row[2] not in DONE_STATES and (row[1] is None or (executor is not None and executor != row[3])):
        tx.connection.execute(
            "UPDATE job SET submit_id = coalesce(submit_id, ?), executor = coalesce(?, executor),"
            " changed_at = ?, rev = ? WHERE BatchID = ? AND JobIndex = ?",
            (submit_id, executor, tx.at, tx.rev, *key),
        )
    return True


def release_refused(tx: Transaction, claims: Iterable[tuple[JobKey, str]], why: str) -> int:
    """Give claimed jobs back that were refused together; return how many.

    Their attempts did not take place: the first job's history says so, and the claims' entries go.
    """
    first: tuple[JobKey, int] | None = None
    jobs = 0
    for key, token in claims:
        attempt = _give_back(tx, key, token, surely=True)
        if attempt is None:
            continue
        tx.connection.execute(
            "DELETE FROM event WHERE BatchID = ? AND JobIndex = ? AND attempt = ?"
            ' AND "from" = ? AND "to" = ?',
            (*key, attempt, INIT, SUBMIT),
        )
        first = first or (key, attempt)
        jobs += 1
    if first is not None:
        also = f" (with {jobs - 1:,} others)" if jobs > 1 else ""
        add_event(tx, *first, INIT, INIT, f"not submitted{also}: {why}")
    return jobs


def release(tx: Transaction, key: JobKey, token: str, why: str, *, surely: bool) -> bool:
    """Give a claimed job back: `submit` -> `init`.

    Args:
        surely: nothing was submitted for certain, so the attempt did not take place; else its number
            stays used up, and what may still start with it stops at the start gate.
    """
    attempt = _give_back(tx, key, token, surely=surely)
    if attempt is None:
        return False
    add_event(tx, key, attempt, SUBMIT, INIT, why)
    return True


def _give_back(tx: Transaction, key: JobKey, token: str, *, surely: bool) -> int | None:
    """Put a claimed job back to `init`. Return the claim's attempt; None: it is no longer that claim's."""
    row = tx.connection.execute(
        f"SELECT {INFO_COLUMNS} FROM job WHERE BatchID = ? AND JobIndex = ? AND token = ? AND state = ?"
        " AND submit_id IS NULL AND ClusterID IS NULL",
        (*key, token, SUBMIT),
    ).fetchone()
    if row is None:
        return None
    info = to_info(row)
    attempt: int = info["attempt"]
    if surely:
        attempt -= 1
        for stream in ("stdout", "stderr"):
            if isinstance(info.get(stream), list):
                info[stream] = info[stream][:-1]
    metadata = row[-1] if "unreadable" in info else pack_metadata(info)
    tx.connection.execute(
        "UPDATE job SET state = ?, attempt = ?, token = NULL, executor = NULL, submitted_at = NULL,"
        " metadata = ?, changed_at = ?, changed_by = ?, rev = ? WHERE BatchID = ? AND JobIndex = ?",
        (INIT, attempt, metadata, tx.at, tx.who, tx.rev, *key),
    )
    return int(info["attempt"])


class UnresolvedClaim(NamedTuple):
    """A job that is claimed and has no id: perhaps it was submitted, perhaps not."""

    key: JobKey
    token: str
    submitted_at: float
    claimed_by: str
    executor: str | None
    spawn_id: int | None = None


def claimed_without_id(db: Database) -> list[UnresolvedClaim]:
    """All submissions whose id is not known: cut short by a crash, or under way now."""
    jobs = db.rows(
        "SELECT BatchID, JobIndex, token, submitted_at, claimed_by, executor FROM job WHERE state = 'submit'"
        # said twice: in this form SQLite sees that the index of online jobs answers it
        " AND state IN ('submit', 'run', 'spawn')"
        " AND submit_id IS NULL AND ClusterID IS NULL AND token IS NOT NULL"
    )
    spawns = db.rows(
        "SELECT BatchID, JobIndex, token, submitted_at, claimed_by, executor, SpawnID FROM spawn"
        " WHERE spawn_state = 'submit' AND submit_id IS NULL AND ClusterID IS NULL AND token IS NOT NULL"
    )
    return [
        UnresolvedClaim(JobKey(batch, index), token, at or 0.0, who or "", executor, *rest)
        for batch, index, token, at, who, executor, *rest in (*jobs, *spawns)
    ]


# ------------------------------------------------------------------------------------ start


class JobProcess(NamedTuple):
    """Who a running job is, as its environment tells: None where it does not.

    `is_told`: the id is what the caller says, since the environment does not tell any.
    `again`: a job that is finished may be run once more by hand (`paraschut run`).
    """

    cluster_id: str | None
    hostname: str
    token: str | None
    restarts: int = 0
    is_told: bool = False
    again: bool = False


def start(tx: Transaction, db: Database, key: JobKey, who: JobProcess) -> JobInfo:
    """The start gate: the job becomes `run` if this process is its current submission.

    Returns the job's metadata as it is from now on.

    Raises:
        StaleJobError: it is not: the process must stop before the user's code.
    """
    row = tx.connection.execute(
        f"SELECT {INFO_COLUMNS}, token, restarts FROM job WHERE BatchID = ? AND JobIndex = ?", key
    ).fetchone()
    if row is None:
        raise unknown_job(db, key)
    info = to_info(row[:-2])
    token, restarts = row[-2:]
    _check_start_allowed(info, token, who, key)
    submit_id = info.get("submit_id")
    if who.cluster_id is not None and submit_id is not None and _names(who.cluster_id, submit_id):
        who = who._replace(cluster_id=submit_id)  # the whole of it, as the queue shows it
    requeued = who.restarts > restarts
    again = info["state"] == RUN and info.get("ClusterID") == who.cluster_id and not requeued
    # Not every scheduler tells a job that it was started before, but what was told of its end does.
    restarted = again and _has_ended(tx, key, info["attempt"])
    if again and not restarted:
        return info
    before = info["state"]
    if requeued or restarted:
        _next_attempt(info)
    info["state"] = RUN
    info["hostname"] = who.hostname
    if who.cluster_id is not None:
        info["ClusterID"] = who.cluster_id
        info.setdefault("submit_id", who.cluster_id)  # the submitter may not have got to it (yet)
    tx.connection.execute(
        "UPDATE job SET state = ?, ClusterID = ?, submit_id = ?, hostname = ?, attempt = ?, restarts = ?,"
        " started_at = ?, changed_at = ?, changed_by = ?, metadata = ?, rev = ?"
        " WHERE BatchID = ? AND JobIndex = ?",
        (
            RUN,
            info.get("ClusterID"),
            info.get("submit_id"),
            who.hostname,
            info["attempt"],
            max(restarts, who.restarts),
            tx.at,
            tx.at,
            tx.who,
            pack_metadata(info),
            tx.rev,
            *key,
        ),
    )
    why = "requeued by the scheduler" if requeued else "started again" if restarted else "started"
    add_event(tx, key, info["attempt"], before, RUN, why)
    info["rev"] = tx.rev
    return info


def _has_ended(tx: Transaction, key: JobKey, attempt: int) -> bool:
    """Return whether it was told how that attempt ended."""
    ended = "SELECT 1 FROM ending WHERE BatchID = ? AND JobIndex = ? AND attempt = ?"
    return tx.connection.execute(ended, (*key, attempt)).fetchone() is not None


def _check_start_allowed(info: JobInfo, token: str | None, who: JobProcess, key: JobKey) -> None:
    """Raise StaleJobError unless this process is the job's current submission, or started by hand."""
    mine = f"this process is {who.cluster_id or 'an attempt'} on {who.hostname}"
    state = info["state"]
    if who.token is not None and token != who.token:
        now = "it was reset" if token is None else f"attempt {info['attempt']} has taken its place"
        raise StaleJobError(f"Job {key} must not start: {now} (state {state}); {mine}.")
    submit_id = info.get("submit_id")
    if who.token is not None and who.is_told:
        pass  # the token decides, whatever the caller takes for its id
    elif who.cluster_id is not None and submit_id is not None and not _names(who.cluster_id, submit_id):
        raise StaleJobError(f"Job {key} must not start: it was submitted as {submit_id}, {mine}.")
    by_hand = who.token is None and who.cluster_id is None
    if by_hand and state in DONE_STATES and not who.again:
        raise UsageError(
            f"Job {key} is {state}: it is not started by hand. Reset it first (paraschut reset --force), or"
            " read it without SetID."
        )
    if by_hand and state in ONLINE_STATES and token is not None:
        raise UsageError(
            f"Job {key} was submitted{f' as {submit_id}' if submit_id else ''} (state {state}): started by"
            " hand it would run twice. Delete it from the queue first (paraschut qdel), or reset it if it"
            " is lost."
        )
    if state in DONE_STATES and not by_hand:
        raise StaleJobError(f"Job {key} must not start: it is {state} already; {mine}.")
    running_as = info.get("ClusterID")
    if (
        state == RUN
        and not by_hand
        and running_as is not None
        and not _names(who.cluster_id or "", running_as)
        and not (who.is_told and who.token is not None)
    ):
        raise StaleJobError(f"Job {key} must not start: it runs as {running_as}; {mine}.")


def _names(id_: str, whole: str) -> bool:
    """Whether an id means that job: its own, or for a task the array's (`12` for `12_3`, `12.3`, `12[3]`)."""
    return id_ == whole or (id_.isdigit() and whole.startswith((f"{id_}_", f"{id_}.", f"{id_}[")))


def _next_attempt(info: JobInfo) -> None:
    """The scheduler ran the same submission anew: one attempt more, into the same log files."""
    info["attempt"] += 1
    for stream in ("stdout", "stderr"):
        if isinstance(info.get(stream), list) and info[stream]:
            info[stream] = [*info[stream], info[stream][-1]]


# ------------------------------------------------------------------------------------ complete


def current_token(tx: Transaction, key: JobKey) -> str | None:
    """The token of the job's latest submission (None: it was reset, or never submitted)."""
    row = tx.connection.execute("SELECT token FROM job WHERE BatchID = ? AND JobIndex = ?", key).fetchone()
    return row[0] if row else None


def read_tokens(db: Database, keys: Iterable[JobKey]) -> dict[str, JobKey]:
    """The jobs of `keys` by the tokens of their latest submissions; those that have one."""
    sql = "SELECT token FROM job WHERE BatchID = ? AND JobIndex = ?"
    return {token: key for key in keys for (token,) in db.rows(sql, key) if token}


def current_executor(tx: Transaction, key: JobKey) -> str | None:
    """The executor of the job's latest submission; None: nobody knows."""
    row = tx.connection.execute("SELECT executor FROM job WHERE BatchID = ? AND JobIndex = ?", key).fetchone()
    return row[0] if row else None


def require_current_attempt(tx: Transaction, key: JobKey, token: str) -> None:
    """Raise StaleJobError unless `token` is the job's current submission, or one of its spawns."""
    now = current_token(tx, key)
    if now == token:
        return
    spawn = tx.connection.execute(
        "SELECT 1 FROM spawn WHERE BatchID = ? AND JobIndex = ? AND token = ?", (*key, token)
    ).fetchone()
    if spawn is None:
        what = "reset" if now is None else "submitted again"
        raise StaleJobError(
            f"Job {key} was {what} while this attempt of it was running: what it did is not recorded."
        )


def complete(tx: Transaction, db: Database, key: JobKey, info: JobInfo, *, by_job: bool) -> JobInfo:
    """Store a finished job's metadata with state `complete`; its ids go into the history.

    Fields that others changed while the job ran stay as they made them, unless the job changed them
    too: its own word wins.

    Raises:
        ConflictError: another attempt than the one in `info` is the current one.
    """
    now = current_info(tx, db, key)
    if not by_job and info.get("attempt", now["attempt"]) != now["attempt"]:
        raise ConflictError(
            f"Job {key} is at attempt {now['attempt']} by now, this is attempt {info['attempt']}; "
            "nothing was written."
        )
    merged = _merged(tx, key, info, now)
    ids = {name: merged.pop(name) for name in ("submit_id", "ClusterID") if name in merged}
    for field in ("SpawnID", "spawn_state"):
        merged.pop(field, None)
    merged["state"] = COMPLETE
    for field in ("priority", "hostname", "subtime"):
        if field in now:
            merged.setdefault(field, now[field])
    store_columns(tx, key, merged, metadata=pack_metadata(merged))
    tx.connection.execute("DELETE FROM spawn WHERE BatchID = ? AND JobIndex = ?", key)
    add_event(tx, key, now["attempt"], now["state"], COMPLETE, "completed", {"ids": ids} if ids else None)
    merged["rev"], merged["attempt"] = tx.rev, now["attempt"]
    return merged


def complete_by_account(tx: Transaction, db: Database, key: JobKey, attempt: int) -> bool:
    """Complete a job whose wrapper could not tell whether it is, since the scheduler's account says so;
    False if it is not at that attempt, or not running by its own word, any more."""
    info = current_info(tx, db, key)
    if info["state"] != RUN or info["attempt"] != attempt or "unreadable" in info:
        return False
    complete(tx, db, key, info, by_job=False)
    return True


def _merged(tx: Transaction, key: JobKey, info: JobInfo, now: JobInfo) -> JobInfo:
    """`info`, with what other people changed since it was read, where the job itself did not."""
    merged = dict(info)
    if "spawn_logs" in now:
        merged["spawn_logs"] = now["spawn_logs"]
    if "SpawnID" in info:  # a spawn's own view: its lists of logs are not the job's
        for field in ("stdout", "stderr"):
            merged.pop(field, None)
            if field in now:
                merged[field] = now[field]
    if info.get("rev") == now["rev"]:
        return merged
    import json

    rows = tx.connection.execute(
        "SELECT detail FROM event WHERE BatchID = ? AND JobIndex = ? AND rev > ? AND detail IS NOT NULL"
        " ORDER BY id",
        (*key, info.get("rev", 0)),
    ).fetchall()
    for (text,) in rows:
        detail = json.loads(text)
        before = {**decode(detail.get("metadata") or "{}"), **detail.get("columns", {})}
        for field in detail.get("changed", {}):
            if field != "state" and field in now and same(merged.get(field), before.get(field)):
                merged[field] = now[field]
    return merged


# ------------------------------------------------------------------------------------ reset and fields


class Refused(Enum):
    """Why a change of a job's fields left the job alone."""

    UNKNOWN = "not in the index"
    CHANGED = "it is no longer as it was seen"
    SPARED = "a field has a value that protects it"
    UNREADABLE = "its metadata cannot be read"


class Refusal(NamedTuple):
    """A job that a change left alone: the code decides, `words` are for people."""

    code: Refused
    words: str


def change_fields(
    tx: Transaction,
    key: JobKey,
    fields: Mapping[str, Any] | Callable[[JobInfo], Mapping[str, Any]],
    unless: Mapping[str, Sequence[Any]],
    *,
    why: str,
    action: int | None,
    seen: Stamp | None = None,
    strictly: bool = True,
) -> Refusal | None:
    """Set fields of one job, whatever they were, keeping what an undo needs.

    A change of `state` to `init` is a reset: ids, token and spawns go, and what still runs of the job
    stops at the start gate, or is refused when it reports.

    Args:
        fields: the new values, or what makes them from the job's metadata.
        seen: leave the job alone unless it still stands there.
        strictly: else it need only be at the same submission still.

    Returns:
        None if done, else why the job was left alone.
    """
    row = tx.connection.execute(
        f"SELECT {INFO_COLUMNS}, {', '.join(_KEPT)} FROM job WHERE BatchID = ? AND JobIndex = ?", key
    ).fetchone()
    if row is None:
        return Refusal(Refused.UNKNOWN, "not in the index")
    info = to_info(row[: -len(_KEPT)])
    hidden = dict(zip(_KEPT, row[-len(_KEPT) :], strict=True))
    if seen is not None:
        now = Stamp(info["state"], info["attempt"], hidden["submitted_at"], hidden["started_at"])
        if changed := changed_since(seen, now, strictly=strictly):
            return Refusal(Refused.CHANGED, changed)
    for field, values in unless.items():
        if field in info and any(same(info[field], value) for value in values):
            return Refusal(Refused.SPARED, f"{field} is {info[field]}")
    new = fields(info) if callable(fields) else fields
    if "unreadable" in info and not new.keys() <= set(COLUMN_FIELDS):
        return Refusal(Refused.UNREADABLE, str(info["unreadable"]))
    _apply(tx, key, info, hidden, new, why, action)
    return None


def changed_since(seen: Stamp, now: Stamp, *, strictly: bool = True) -> str:
    """What became of a job since it was seen, in words; "" if it still stands there.

    Args:
        strictly: also if it only went on with the same submission.
    """
    if now.attempt != seen.attempt or (
        None not in (now.submitted_at, seen.submitted_at) and now.submitted_at != seen.submitted_at
    ):
        return "it was submitted again meanwhile"
    if strictly and now.state != seen.state:
        return f"it is {now.state} by now, and was {seen.state} when it was looked at"
    if strictly and now != seen:
        return "it was started again meanwhile"
    return ""


def stamp_in(tx: Transaction, key: JobKey) -> Stamp | None:
    """Where a job stands, read inside a transaction; None if it is not in the index."""
    row = tx.connection.execute(
        "SELECT state, attempt, submitted_at, started_at FROM job WHERE BatchID = ? AND JobIndex = ?", key
    ).fetchone()
    return None if row is None else Stamp(*row)


def stamps_in(tx: Transaction, batch_id: int, states: Iterable[str]) -> dict[JobKey, Stamp]:
    """Where a batch's jobs in these states stand, read inside a transaction."""
    wanted = sorted(states)
    rows = tx.connection.execute(
        "SELECT JobIndex, state, attempt, submitted_at, started_at FROM job"
        f" WHERE BatchID = ? AND state IN ({', '.join('?' * len(wanted))})",
        (batch_id, *wanted),
    )
    return {JobKey(batch_id, index): Stamp(*stamp) for index, *stamp in rows}


_KEPT = ("token", "executor", "submitted_at", "started_at")
"""Columns that a reset clears and users do not see."""


def _apply(
    tx: Transaction,
    key: JobKey,
    info: JobInfo,
    hidden: Mapping[str, Any],
    fields: Mapping[str, Any],
    why: str,
    action: int | None,
) -> None:
    reset = fields.get("state") == INIT
    new = {**info, **fields}
    if reset:
        for name in ("submit_id", "ClusterID", "hostname", "subtime"):
            if name not in fields:
                new.pop(name, None)
    changed = changed_fields(info, fields)
    in_columns = fields.keys() <= set(COLUMN_FIELDS)
    kept = {name: info.get(name) for name in COLUMN_FIELDS}
    detail: dict[str, Any] = {"changed": changed, "columns": {**kept, **hidden}, "rev": info["rev"]}
    if not in_columns:
        detail["metadata"] = pack_metadata({name: info[name] for name in fields if name in info})
    if reset:
        spawns = saved_spawns(tx, key)
        if spawns:
            detail["spawns"] = spawns
            tx.connection.execute("DELETE FROM spawn WHERE BatchID = ? AND JobIndex = ?", key)
    cleared = dict.fromkeys(_KEPT) if reset else {}
    (store_columns if in_columns else store_info)(tx, key, new, before=info, **cleared)
    if fields.keys() & {"name", "batch_type"}:
        rename_batch(tx, key.batch_id, new)
    add_event(tx, key, info["attempt"], info["state"], new["state"], why, detail, action)
