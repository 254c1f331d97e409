"""The history: events of jobs, how attempts ended, and the actions of users with their undo."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import UsageError
from ..exit_kinds import kind_of_words
from ..identity import same_user
from ..model import Action, Event, ExitInfo, JobKey
from .connection import Database, Row, Transaction
from .metadata_json import decode, encode

_EVENT = 'at, BatchID, JobIndex, attempt, who, "from", "to", why, detail'


def add_event(
    tx: Transaction,
    key: JobKey,
    attempt: int,
    before: str | None,
    after: str | None,
    why: str,
    detail: Mapping[str, Any] | None = None,
    action: int | None = None,
) -> None:
    """One entry of a job's history; a negative job_index stands for the whole batch."""
    add_events(tx, [(key, attempt, before, after, detail)], why, action)


def add_events(
    tx: Transaction,
    events: Iterable[tuple[JobKey, int, str | None, str | None, Mapping[str, Any] | None]],
    why: str,
    action: int | None = None,
) -> None:
    """Many entries (key, attempt, before, after, detail) of one cause."""
    rev = tx.rev
    tx.connection.executemany(
        f"INSERT INTO event ({_EVENT}, action, rev) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                tx.at,
                key.batch_id,
                key.job_index if key.job_index >= 0 else None,
                attempt,
                tx.who,
                before,
                after,
                why,
                json.dumps(detail) if detail else None,
                action,
                rev,
            )
            for key, attempt, before, after, detail in events
        ),
    )


def read_events(db: Database, batch_id: int, job_index: int | None = None, limit: int = -1) -> list[Event]:
    """The history of a batch, or of one of its jobs, oldest first; the latest `limit` entries."""
    where, values = "BatchID = ?", [batch_id]
    if job_index is not None:
        where, values = "BatchID = ? AND (JobIndex = ? OR JobIndex IS NULL)", [batch_id, job_index]
    rows = db.rows(
        f"SELECT * FROM (SELECT id, {_EVENT} FROM event WHERE {where} ORDER BY id DESC LIMIT ?) ORDER BY id",
        (*values, limit),
    )
    return [
        Event(
            at,
            JobKey(batch, -1 if index is None else index),
            attempt or 0,
            who,
            before,
            after,
            why,
            _object(detail),
        )
        for _, at, batch, index, attempt, who, before, after, why, detail in rows
    ]


LATEST = 2000
"""Events among which the latest completions are looked for: it must not cost what is in the file."""


def latest_completions(db: Database, since: float) -> list[float]:
    """When jobs became complete (epoch s, in order), as far as the latest events tell, not before `since`."""
    rows = db.rows(
        "SELECT at FROM event WHERE id > (SELECT coalesce(max(id), 0) FROM event) - ?"
        " AND \"to\" = 'complete' AND at >= ? ORDER BY id",
        (LATEST, since),
    )
    return sorted(at for (at,) in rows)


def read_action_events(db: Database, action: int) -> list[Event]:
    """Return what an action did to each job, as far as that was recorded."""
    rows = db.rows(f"SELECT {_EVENT} FROM event WHERE action = ? ORDER BY id", (action,))
    return [
        Event(at, JobKey(batch, index), attempt or 0, who, before, after, why, _object(detail))
        for at, batch, index, attempt, who, before, after, why, detail in rows
    ]


def _object(text: str | None) -> dict[str, Any]:
    """Return a stored JSON object; {"unreadable": text} for a damaged one, so that others can be read."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"unreadable": text}


# ------------------------------------------------------------------------------------ endings


def record_ending(
    tx: Transaction, key: JobKey, attempt: int, ending: ExitInfo, *, chain: bool = False
) -> None:
    """Keep how an attempt ended, in the history too, in place of what was kept of it before.

    Args:
        chain: what is next shall be submitted if the job turns out to be complete.
    """
    tx.connection.execute(
        "INSERT OR REPLACE INTO ending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *key,
            attempt,
            tx.at,
            ending.reason,
            ending.exit_status,
            ending.signal,
            ending.host or None,
            json.dumps(dict(ending.record), default=str) if ending.record else None,
            tx.rev,
        ),
    )
    tx.connection.execute(
        "INSERT OR REPLACE INTO ended VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, attempt, tx.at, ending.kind, ending.source, ending.confirmed, chain),
    )
    add_event(tx, key, attempt, None, None, f"ended: {ending.reason}")


ENDED = """ LEFT JOIN ended d ON d.BatchID = e.BatchID AND d.JobIndex = e.JobIndex AND d.attempt = e.attempt
 AND d.at = e.at"""
"""The codes of an end `e`. Those of another time are of what a job of an earlier version wrote over."""


def read_ending(db: Database, key: JobKey, attempt: int) -> ExitInfo | None:
    """Return how that attempt ended; None if nothing reported it."""
    return _as_ending(db.rows(_READ_ENDING, (*key, attempt)))


def read_ending_in(tx: Transaction, key: JobKey, attempt: int) -> tuple[ExitInfo | None, bool]:
    """Do the same inside a transaction; also return whether to submit the next jobs once it is complete."""
    rows = tx.connection.execute(_READ_ENDING, (*key, attempt)).fetchall()
    return _as_ending(rows), any(row[-1] for row in rows)


_READ_ENDING = (
    "SELECT e.reason, e.exit_status, e.signal, e.hostname, e.record, d.kind, d.source, d.confirmed, d.chain"
    f" FROM ending e{ENDED} WHERE e.BatchID = ? AND e.JobIndex = ? AND e.attempt = ?"
)


def _as_ending(rows: Sequence[Row]) -> ExitInfo | None:
    for reason, status, signal, host, record, kind, source, confirmed, _ in rows:
        kind = kind or kind_of_words(reason)
        return ExitInfo(
            reason, status, signal, host or "", _object(record), kind, source or "", confirmed != 0
        )
    return None


def note_codes(tx: Transaction, key: JobKey, attempt: int, ending: ExitInfo, *, chain: bool) -> None:
    """Keep the codes alone of an end that is written down: another source was asked, and knew no more."""
    tx.connection.execute(
        "INSERT OR REPLACE INTO ended SELECT BatchID, JobIndex, attempt, at, ?, ?, ?, ? FROM ending"
        " WHERE BatchID = ? AND JobIndex = ? AND attempt = ?",
        (ending.kind, ending.source, ending.confirmed, chain, *key, attempt),
    )


def forget_ending(tx: Transaction, key: JobKey, attempt: int) -> None:
    """Take back what was kept of an attempt's end: it goes on after all."""
    for table in ("ending", "ended"):
        tx.connection.execute(
            f"DELETE FROM {table} WHERE BatchID = ? AND JobIndex = ? AND attempt = ?", (*key, attempt)
        )


# ------------------------------------------------------------------------------------ acts of users


def add_action(
    tx: Transaction, verb: str, jobs: int, command: str, *, can_undo: bool, undone: int | None = None
) -> int:
    """Note a user's act and return its number, to be put into its events.

    Args:
        undone: the number of the act that this one takes back.
    """
    cursor = tx.connection.execute(
        "INSERT INTO action (at, who, verb, jobs, command, can_undo) VALUES (?, ?, ?, ?, ?, ?)",
        (tx.at, tx.who, verb, jobs, command, can_undo),
    )
    assert cursor.lastrowid is not None  # an INSERT always has one
    if undone is not None:
        tx.connection.execute("INSERT INTO undo VALUES (?, ?)", (cursor.lastrowid, undone))
    return cursor.lastrowid


def set_action_jobs(tx: Transaction, action: int, jobs: int) -> None:
    """Correct how many jobs an act really changed."""
    tx.connection.execute("UPDATE action SET jobs = ? WHERE id = ?", (jobs, action))


def close_action(tx: Transaction, action: int, jobs: int, *, can_undo: bool) -> None:
    """Record at an act's end how many jobs it changed, and whether an undo has anything to do."""
    tx.connection.execute("UPDATE action SET jobs = ?, can_undo = ? WHERE id = ?", (jobs, can_undo, action))


def read_actions(db: Database, limit: int = 200) -> list[Action]:
    """The latest acts of users, newest first."""
    rows = db.rows(
        "SELECT id, at, who, verb, jobs, command, undone_at IS NOT NULL, can_undo, undo.undone IS NOT NULL"
        " FROM action LEFT JOIN undo ON undo.action = action.id ORDER BY id DESC LIMIT ?",
        (limit,),
    )
    return [
        Action._make([*row[:6], *map(bool, row[6:8]), bool(row[8]) or _is_undo_by_verb(row[3])])
        for row in rows
    ]


def _is_undo_by_verb(verb: str) -> bool:
    """Return whether an act that an earlier version noted takes another back."""
    return verb.startswith("undo of ")


def last_undoable(db: Database, who: str) -> Action | None:
    """The latest act of this user (on any host) that can be undone and was not."""
    for action in read_actions(db, -1):
        if action.can_undo and not action.undone and action.jobs and same_user(action.who, who):
            return action
    return None


def undo(tx: Transaction, action: Action) -> tuple[list[JobKey], list[tuple[JobKey, str]]]:
    """Put the jobs of an act back as they were, where nothing has changed since.

    Returns:
        the jobs restored, and those that were not, each with who changed it since.
    """
    row = tx.connection.execute("SELECT undone_at FROM action WHERE id = ?", (action.id,)).fetchone()
    if row is None or row[0] is not None:
        raise UsageError(f"{action.verb} (action {action.id}) was undone already.")
    restored: list[JobKey] = []
    refused: list[tuple[JobKey, str]] = []
    events = tx.connection.execute(
        'SELECT BatchID, JobIndex, attempt, "from", "to", detail, rev FROM event WHERE action = ?'
        " ORDER BY id",
        (action.id,),
    ).fetchall()
    for batch_id, index, attempt, before, after, detail, rev in events:
        key = JobKey(batch_id, index)
        now = tx.connection.execute(
            "SELECT rev, changed_by, state FROM job WHERE BatchID = ? AND JobIndex = ?", key
        ).fetchone()
        if now is None or _content_of(tx, key, now[0]) != rev:
            refused.append((key, "removed since" if now is None else f"changed since by {now[1]}"))
            continue
        kept = json.loads(detail) if detail else {}
        _restore(tx, key, kept)
        add_event(tx, key, attempt, after, before, f"undo of {action.verb}", {"as_of": kept.get("rev")})
        restored.append(key)
    tx.connection.execute("UPDATE action SET undone_at = ? WHERE id = ?", (tx.at, action.id))
    return restored, refused


IS_UNDO = """(CASE WHEN json_valid(event.detail) THEN json_type(event.detail, '$.as_of') END
 IN ('integer', 'null')) IS TRUE"""
"""SQL: an event that takes an act back. Its detail names the revision `as_of` to which the job went back."""


def _content_of(tx: Transaction, key: JobKey, rev: int) -> int:
    """The revision at which a job first was as it is at `rev`: an undo makes it what it was before."""
    while True:
        row = tx.connection.execute(
            f"SELECT detail FROM event WHERE BatchID = ? AND JobIndex = ? AND rev = ? AND {IS_UNDO}",
            (*key, rev),
        ).fetchone()
        as_of = json.loads(row[0])["as_of"] if row else None
        if not isinstance(as_of, int) or as_of >= rev:
            return rev
        rev = as_of


_COLUMNS = frozenset(
    (
        "state",
        "priority",
        "submit_id",
        "ClusterID",
        "hostname",
        "subtime",
        "token",
        "executor",
        "submitted_at",
        "started_at",
    )
)


def _restore(tx: Transaction, key: JobKey, detail: Mapping[str, Any]) -> None:
    """`detail` is what the act kept: {"columns": {}, "changed": {}, "metadata": text, "spawns": []}."""
    columns = {name: value for name, value in detail.get("columns", {}).items() if name in _COLUMNS}
    if detail.get("metadata") is not None:
        columns["metadata"] = _metadata_before(tx, key, detail["changed"], detail["metadata"])
    assignments = "".join(f"{name} = ?, " for name in columns)
    tx.connection.execute(
        f"UPDATE job SET {assignments} changed_at = ?, changed_by = ?, rev = ?"
        " WHERE BatchID = ? AND JobIndex = ?",
        (*columns.values(), tx.at, tx.who, tx.rev, *key),
    )
    restore_spawns(tx, detail.get("spawns", []))


def _metadata_before(tx: Transaction, key: JobKey, changed: Iterable[str], old: str) -> str:
    """A job's metadata with the fields that an act changed as they were; `old` holds those that it had."""
    (text,) = tx.connection.execute(
        "SELECT metadata FROM job WHERE BatchID = ? AND JobIndex = ?", key
    ).fetchone()
    now, before = decode(text, numpy=False), decode(old, numpy=False)
    for field in changed:
        if field in before:
            now[field] = before[field]
        else:
            now.pop(field, None)
    return encode(now)[0]


_SPAWN = (
    "BatchID, JobIndex, SpawnID, spawn_state, attempt, token, submit_id, ClusterID, hostname,"
    " submitted_at, stdout, stderr, executor"  # the last was not kept by version 1
)


def saved_spawns(tx: Transaction, key: JobKey) -> list[list[Any]]:
    """A job's spawn rows, to be kept for an undo."""
    rows = tx.connection.execute(f"SELECT {_SPAWN} FROM spawn WHERE BatchID = ? AND JobIndex = ?", key)
    return [list(row) for row in rows.fetchall()]


def restore_spawns(tx: Transaction, rows: Sequence[Sequence[Any]]) -> None:
    """Put spawn rows back that `saved_spawns` kept."""
    width = len(_SPAWN.split(","))
    tx.connection.executemany(
        f"INSERT OR REPLACE INTO spawn ({_SPAWN}, rev) VALUES ({', '.join('?' * width)}, ?)",
        [(*row, *[None] * (width - len(row)), tx.rev) for row in rows],
    )
