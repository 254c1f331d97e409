"""Rows of batches and jobs: read, insert, update if unchanged, remove."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import ConflictError, DuplicateJobError, MetadataError, UnknownJobError, UsageError
from ..exit_kinds import kind_of_words
from ..model import BatchJobs, JobInfo, JobKey, JobRow, name_text
from .connection import Database, Row, Transaction
from .events import add_event
from .metadata_json import decode, encode
from .odd_values import (
    INTEGER,
    MAYBE_INTEGER,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    NUMBER,
    TEXT,
    as_expected,
    keyed,
    text_of,
)

COLUMN_FIELDS = ("state", "priority", "submit_id", "ClusterID", "hostname", "subtime")
"""Fields of JobInfo that have a column of their own and are not in the metadata."""

OWN_FIELDS = ("BatchID", "JobIndex", "attempt", "rev")
"""Fields of JobInfo that the index gives and nobody sets: `rev` is the revision at which it was read."""

SPAWN_FIELDS = ("SpawnID", "spawn_state")
"""Fields that only a spawn's own view of its job holds (with its lists of ClusterID, stdout, stderr)."""

NOT_IN_METADATA = frozenset((*COLUMN_FIELDS, *OWN_FIELDS, *SPAWN_FIELDS, "md5"))

INFO_COLUMNS = (
    "BatchID, JobIndex, state, priority, submit_id, ClusterID, hostname, subtime, attempt, rev, metadata"
)
_ROW = (
    "j.BatchID, j.JobIndex, j.state, j.priority, j.attempt, j.ClusterID, j.submit_id, j.hostname,"
    " j.subtime, j.changed_at, e.reason, j.rev, j.submitted_at, j.started_at, j.claimed_by,"
    " e.exit_status, e.signal, j.executor, j.token, d.kind, d.source, d.confirmed, e.at"
)
_INFO_KINDS = (
    *(INTEGER, INTEGER, TEXT, NUMBER, MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT),
    *(MAYBE_INTEGER, INTEGER, INTEGER, MAYBE_TEXT),
)
_ROW_KINDS = (
    *(INTEGER, INTEGER, TEXT, NUMBER, INTEGER, MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT),
    *(MAYBE_INTEGER, NUMBER, MAYBE_TEXT, INTEGER, MAYBE_NUMBER, MAYBE_NUMBER, MAYBE_TEXT),
    *(
        MAYBE_INTEGER,
        MAYBE_INTEGER,
        MAYBE_TEXT,
        MAYBE_TEXT,
        MAYBE_TEXT,
        MAYBE_TEXT,
        MAYBE_INTEGER,
        MAYBE_NUMBER,
    ),
)
_ROW_FROM = (
    "job j LEFT JOIN ending e ON e.BatchID = j.BatchID AND e.JobIndex = j.JobIndex AND e.attempt = j.attempt"
    # Codes of another time are of what a job of an earlier version wrote over.
    " LEFT JOIN ended d ON d.BatchID = e.BatchID AND d.JobIndex = e.JobIndex AND d.attempt = e.attempt"
    " AND d.at = e.at"
)

# ------------------------------------------------------------------------------------ checks


def checked_id(value: object, what: str = "BatchID") -> int:
    """`value` as the integer that a BatchID or JobIndex is: a number, or digits as text (sys.argv's words).

    Raises:
        UsageError: it is anything else.
    """
    if type(value) is int and 0 <= value < 2**63:  # nearly always
        return value
    if isinstance(value, str):
        digits = value.strip()
        if not (digits.isascii() and digits.isdigit()):
            raise UsageError(f"{what} must be an integer, not {value!r:.200}.")
        if len(digits.lstrip("0")) > 19:  # Python refuses to read a number of thousands of digits
            raise UsageError(f"{what} {digits[:40]} is too large for the index.")
        value = int(digits)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise UsageError(f"{what} must be an integer, not {value!r}.")
    number = value.__index__()
    if not -(2**63) <= number < 2**63:
        raise UsageError(f"{what} {number} is too large for the index.")
    return int(number)


def numbered(info: JobInfo) -> JobInfo:
    """The same dict; BatchID and JobIndex that are digits as text become numbers. Raises UsageError."""
    for field in ("BatchID", "JobIndex"):
        if isinstance(info.get(field), str):
            info[field] = checked_id(info[field], field)
    return info


def _checked_priority(value: object, where: str) -> int | float:
    if type(value) is int and 0 <= value < 2**63:  # nearly always
        return value
    if hasattr(value, "item") and not isinstance(value, (int, float)):
        value = value.item()  # a numpy scalar
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value != 0:
        raise UsageError(f"{where}: priority must be a finite number, not {value!r}.")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise UsageError(f"{where}: priority {value} is too large for the index.")
    return value


def _checked_state(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: state must be text, not {value!r}.")
    if not value.isascii() and value != _storable(value):
        raise UsageError(f"{where}: state {value!a} holds half a character (a lone surrogate).")
    return value


def _storable(text: str) -> str:
    """`text` as a column can hold it: without lone surrogates (the metadata keeps them)."""
    return text.encode("utf-8", "replace").decode()


def _text_or_none(value: object) -> str | None:
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return None if value is None else _storable(str(value))


def pack_metadata(info: Mapping[str, Any]) -> str:
    """The JSON of all fields without a column. Raises MetadataError naming the job and the field."""
    if "unreadable" in info:  # what is left of it must not be overwritten by what stands for it
        raise MetadataError(f"{info['unreadable']}; nothing was written.")
    try:
        return encode({field: value for field, value in info.items() if field not in NOT_IN_METADATA})[0]
    except MetadataError as error:
        raise MetadataError(f"job {info.get('BatchID')}/{info.get('JobIndex')}: {error}") from error


# ------------------------------------------------------------------------------------ read


def to_info(row: Row) -> JobInfo:
    """A row of INFO_COLUMNS as the dict that users see; where it cannot be read, `unreadable` says why."""
    batch_id, index, state, priority, submit_id, cluster_id, hostname, subtime, attempt, rev, metadata = (
        as_expected(row, _INFO_KINDS)
    )
    info: JobInfo = {"BatchID": batch_id, "JobIndex": index, "priority": priority}
    try:
        info.update(decode(metadata))
    except (ValueError, TypeError, MetadataError) as error:
        info["unreadable"] = f"the metadata of job {batch_id}/{index} cannot be read: {error}"
        info.setdefault("name", "?")
        info.setdefault("script", "")
    info["state"] = state
    for field, value in (
        ("subtime", subtime),
        ("submit_id", submit_id),
        ("ClusterID", cluster_id),
        ("hostname", hostname),
    ):
        if value is not None:
            info[field] = value
    info["attempt"] = attempt
    info["rev"] = rev
    return info


def read_info(db: Database, key: JobKey) -> JobInfo:
    """One job's metadata. Raises UnknownJobError."""
    rows = db.rows(f"SELECT {INFO_COLUMNS} FROM job WHERE BatchID = ? AND JobIndex = ?", key)
    if not rows:
        raise unknown_job(db, key)
    return to_info(rows[0])


def read_batch_infos(db: Database, batch_id: int) -> list[JobInfo]:
    """The metadata of a batch's jobs by JobIndex. Raises UnknownJobError."""
    rows = db.rows(f"SELECT {INFO_COLUMNS} FROM job WHERE BatchID = ? ORDER BY JobIndex", (batch_id,))
    if not rows:
        require_batch(db, batch_id)
    return [to_info(row) for row in rows]


def read_infos(db: Database, keys: Iterable[JobKey]) -> Iterator[JobInfo]:
    """The metadata of those `keys` that exist, in their order."""
    for key in keys:
        for row in db.rows(f"SELECT {INFO_COLUMNS} FROM job WHERE BatchID = ? AND JobIndex = ?", key):
            yield to_info(row)


def read_all_infos(db: Database, keys: Iterable[JobKey] | None = None) -> BatchJobs:
    """All jobs' metadata by batch (or of `keys` only), batches and jobs in order."""
    jobs: BatchJobs = {}
    if keys is None:
        for row in keyed(db.rows(f"SELECT {INFO_COLUMNS} FROM job ORDER BY BatchID, JobIndex")):
            jobs.setdefault(row[0], []).append(to_info(row))
    else:
        for info in read_infos(db, keys):
            jobs.setdefault(info["BatchID"], []).append(info)
    return jobs


def to_row(row: Row) -> JobRow:
    expected = as_expected(row, _ROW_KINDS)
    kind, source, confirmed, ended_at = expected[-4:]
    if kind is None and ended_at is not None:
        kind = kind_of_words(expected[10] or "")
    codes = (kind or "", source or "", confirmed != 0, ended_at)
    return JobRow._make((JobKey(row[0], row[1]), *expected[2:-4], *codes))


def read_rows(db: Database, keys: Iterable[JobKey]) -> list[JobRow]:
    """The rows of those `keys` that exist, in their order."""
    sql = f"SELECT {_ROW} FROM {_ROW_FROM} WHERE j.BatchID = ? AND j.JobIndex = ?"
    return [to_row(row) for key in keys for row in db.rows(sql, key)]


def read_values(db: Database, batch_id: int, low: int, high: int, columns: Sequence[str]) -> list[Row]:
    """Values of a batch's jobs from JobIndex `low` to `high`, in order, each after its JobIndex.

    Args:
        columns: SQL of ours, never of a user's, over the job `j` and how it ended, `e`.
    """
    join = _ROW_FROM if any("e." in column for column in columns) else "job j"
    return db.rows(
        f"SELECT {', '.join(('j.JobIndex', *columns))} FROM {join}"
        " WHERE j.BatchID = ? AND j.JobIndex BETWEEN ? AND ? ORDER BY j.JobIndex",
        (batch_id, low, high),
    )


def read_changed_rows(db: Database, since: int, limit: int) -> list[JobRow]:
    """At most `limit` jobs whose row or ending is newer than revision `since`."""
    sql = (
        f"SELECT {_ROW} FROM {_ROW_FROM} WHERE j.idx IN ("
        "SELECT idx FROM job WHERE rev > :since UNION "
        "SELECT job.idx FROM ending JOIN job USING (BatchID, JobIndex) WHERE ending.rev > :since UNION "
        "SELECT job.idx FROM spawn JOIN job USING (BatchID, JobIndex) WHERE spawn.rev > :since"
        " LIMIT :limit)"
    )
    return [to_row(row) for row in keyed(db.rows(sql, {"since": since, "limit": limit}))]


def read_online_rows(db: Database) -> list[JobRow]:
    """All jobs that should be online: submitted, running or spawned."""
    sql = f"SELECT {_ROW} FROM {_ROW_FROM} WHERE j.state IN ('submit', 'run', 'spawn')"
    return [to_row(row) for row in keyed(db.rows(sql))]


class Submission(NamedTuple):
    """What is known of a job that should be online, to look for it: its ids, its token, its queue."""

    key: JobKey
    state: str
    submit_id: str | None
    cluster_id: str | None
    executor: str | None
    token: str | None
    claimed_by: str | None


def read_submissions(db: Database) -> list[Submission]:
    """All jobs that should be online, whosever they are and wherever."""
    rows = db.rows(
        "SELECT BatchID, JobIndex, state, submit_id, ClusterID, executor, token, claimed_by FROM job"
        " WHERE state IN ('submit', 'run', 'spawn')"
    )
    return [
        Submission(JobKey(row[0], row[1]), *as_expected(row[2:], _SUBMISSION_KINDS)) for row in keyed(rows)
    ]


_SUBMISSION_KINDS = (TEXT, MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT)


def read_completed_tokens(db: Database, since: float) -> set[str]:
    """The tokens of the submissions that completed their jobs after `since` (epoch s)."""
    rows = db.rows(
        "SELECT token FROM job WHERE state IN ('complete', 'collected') AND changed_at > ?"
        " AND token IS NOT NULL",
        (since,),
    )
    return {row[0] for row in rows}


def still_in_init(db: Database, keys: Iterable[JobKey]) -> list[JobKey]:
    """Those of `keys` that are jobs in `init`, in their order."""
    sql = "SELECT 1 FROM job WHERE BatchID = ? AND JobIndex = ? AND state = 'init'"
    return [key for key in keys if db.rows(sql, key)]


def read_cells(
    db: Database, batch_id: int, first: int, chunk: int = 50_000
) -> Iterator[list[tuple[int, str]]]:
    """(JobIndex, state) of all of a batch's jobs in order, in chunks: each is one short read, and the one of
    the `first` jobs the shortest."""
    last: int | None = None
    size = first
    while True:
        rows = db.rows(
            "SELECT JobIndex, state FROM job WHERE BatchID = ?"
            + ("" if last is None else " AND JobIndex > ?")
            + " ORDER BY JobIndex LIMIT ?",
            (batch_id, size) if last is None else (batch_id, last, size),
        )
        cells = [row if type(row[1]) is str else (row[0], text_of(row[1])) for row in rows]
        if cells := [cell for cell in cells if type(cell[0]) is int]:
            yield cells
        if len(rows) < size:
            return
        last, size = rows[-1][0], chunk


def read_keys(
    db: Database, batch_id: int, states: Sequence[str] | None = None, limit: int = -1
) -> list[JobKey]:
    """The keys of a batch's jobs (in `states` only), in order."""
    if states is None:
        rows = db.rows(
            "SELECT BatchID, JobIndex FROM job WHERE BatchID = ? ORDER BY JobIndex LIMIT ?", (batch_id, limit)
        )
    else:
        marks = ", ".join("?" * len(states))
        rows = db.rows(
            f"SELECT BatchID, JobIndex FROM job WHERE BatchID = ? AND state IN ({marks})"
            " ORDER BY JobIndex LIMIT ?",
            (batch_id, *states, limit),
        )
    return [JobKey(*row) for row in keyed(rows)]


def read_keys_of_priority(
    db: Database, batch_id: int, priority: float, state: str, limit: int = -1
) -> list[JobKey]:
    """The keys of a batch's jobs in one state and priority group, in order (an index answers it)."""
    rows = db.rows(
        "SELECT BatchID, JobIndex FROM job WHERE BatchID = ? AND state = ? AND priority = ?"
        " ORDER BY JobIndex LIMIT ?",
        (batch_id, state, priority, limit),
    )
    return [JobKey(*row) for row in keyed(rows)]


def require_batch(db: Database, batch_id: int) -> None:
    """Raise UnknownJobError unless there is such a batch."""
    if not db.rows("SELECT 1 FROM batch WHERE BatchID = ?", (batch_id,)):
        raise UnknownJobError(f"There is no batch {batch_id} in {db.path}.")


def require_jobs(db: Database, keys: Iterable[JobKey]) -> None:
    """Raise UnknownJobError unless all these jobs are there."""
    for key in keys:
        if not db.rows("SELECT 1 FROM job WHERE BatchID = ? AND JobIndex = ?", key):
            raise unknown_job(db, key)


def unknown_job(db: Database, key: JobKey) -> UnknownJobError:
    rows = db.rows("SELECT min(JobIndex), max(JobIndex) FROM job WHERE BatchID = ?", (key.batch_id,))
    if not rows or rows[0][0] is None:
        return UnknownJobError(f"There is no batch {key.batch_id} in {db.path}.")
    low, high = rows[0]
    return UnknownJobError(
        f"There is no job {key.job_index} in batch {key.batch_id}: its jobs are {low} to {high}."
    )


# ------------------------------------------------------------------------------------ insert


_FUTURE = 86400.0
"""Seconds by which the latest BatchID may be ahead of the clock: one may hand out many in a second."""


def next_batch_id(tx: Transaction, after: float) -> tuple[int, float]:
    """A BatchID that was never given out, and the second (epoch s, later than `after`) that it stands for."""
    latest, at = tx.connection.execute("SELECT BatchID, at FROM issued").fetchone()
    if at > tx.at + _FUTURE:  # of a clock that was wrong: not all later numbers shall be of its time
        latest, at = 0, 0.0
    seconds = max(tx.at, after + 1, at + 1)
    while True:
        candidate = int(time.strftime("%Y%m%d%H%M%S", time.localtime(seconds)))
        # When clocks are put back in autumn, an hour's worth of times comes twice.
        if candidate > latest and not _has_batch(tx, candidate):
            tx.connection.execute("UPDATE issued SET BatchID = ?, at = ?", (candidate, seconds))
            return candidate, seconds
        seconds += 1


def next_index(tx: Transaction, batch_id: int) -> int:
    """The JobIndex after a batch's highest."""
    (highest,) = tx.connection.execute(
        "SELECT max(JobIndex) FROM job WHERE BatchID = ?", (batch_id,)
    ).fetchone()
    return 0 if highest is None else int(highest) + 1


def require_new(tx: Transaction, keys: Iterable[JobKey], new_batch: int | None) -> None:
    """Raise DuplicateJobError if one of the jobs, or the batch that must be new, is there already."""
    if new_batch is not None and _has_batch(tx, new_batch):
        raise _batch_exists(new_batch)
    for key in keys:
        if tx.connection.execute("SELECT 1 FROM job WHERE BatchID = ? AND JobIndex = ?", key).fetchone():
            raise DuplicateJobError(f"Job {key} is in the index already.")


def insert_jobs(tx: Transaction, infos: Sequence[Mapping[str, Any]], *, new_batch: int | None = None) -> None:
    """Add jobs, and their batches where those are new; all, or the transaction is as it was before.

    Args:
        infos: metadata with at least BatchID, JobIndex, state, priority, name and batch_type.
        new_batch: this batch must not exist yet.

    Raises:
        DuplicateJobError, UsageError, MetadataError: nothing is written.
    """
    connection, rev = tx.connection, tx.rev  # the revision is taken first: it must not be rolled back
    connection.execute("SAVEPOINT insert_jobs")
    try:
        _insert_jobs(tx, infos, rev, new_batch)
    except BaseException as error:
        if connection.in_transaction:  # a full disk ends the whole of it
            connection.execute("ROLLBACK TO insert_jobs")
            connection.execute("RELEASE insert_jobs")
        if isinstance(error, sqlite3.IntegrityError):
            _require_distinct(tx, infos)
        raise
    connection.execute("RELEASE insert_jobs")


_AT_ONCE = 500
"""Rows that are made before they are inserted."""


def _insert_jobs(
    tx: Transaction, infos: Sequence[Mapping[str, Any]], rev: int, new_batch: int | None
) -> None:
    added: dict[int, int] = {}
    for start in range(0, len(infos), _AT_ONCE):
        rows = []
        for info in infos[start : start + _AT_ONCE]:
            row = _insertable(info, tx, rev)
            rows.append(row)
            if row[0] not in added:
                _ensure_batch(tx, row[0], info, must_be_new=row[0] == new_batch)
                added[row[0]] = 0
            added[row[0]] += 1
        tx.connection.executemany(
            "INSERT INTO job (BatchID, JobIndex, state, priority, submit_id, ClusterID, hostname, subtime,"
            " changed_at, changed_by, metadata, rev) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    for batch_id, n in added.items():
        add_event(tx, JobKey(batch_id, -1), 0, None, None, f"{n} jobs added")


def _require_distinct(tx: Transaction, infos: Iterable[Mapping[str, Any]]) -> None:
    """Raise DuplicateJobError if a job is twice among `infos`, or in the index already."""
    seen: set[JobKey] = set()
    for info in infos:
        key = JobKey(checked_id(info["BatchID"]), checked_id(info["JobIndex"], "JobIndex"))
        if key in seen:
            raise DuplicateJobError(f"Job {key} is twice in the list; JobIndex must be unique.")
        seen.add(key)
    require_new(tx, sorted(seen), None)


def _insertable(info: Mapping[str, Any], tx: Transaction, rev: int) -> tuple[Any, ...]:
    for field in ("BatchID", "JobIndex", "name", "batch_type"):
        if info.get(field) is None:
            raise UsageError(f"A job without {field} cannot be added: {dict(info)!r:.200}")
    batch_id, index = checked_id(info["BatchID"]), checked_id(info["JobIndex"], "JobIndex")
    where = f"job {batch_id}/{index}"
    if index < 0:
        raise UsageError(f"{where}: JobIndex must not be negative.")
    return (
        batch_id,
        index,
        _checked_state(info.get("state", "init"), where),
        _checked_priority(info.get("priority", 1), where),
        _text_or_none(info.get("submit_id")),
        _text_or_none(info.get("ClusterID")),
        _text_or_none(info.get("hostname")),
        info.get("subtime"),
        tx.at,
        tx.who,
        pack_metadata(info),
        rev,
    )


def _ensure_batch(tx: Transaction, batch_id: int, info: Mapping[str, Any], *, must_be_new: bool) -> None:
    known = _has_batch(tx, batch_id)
    if known and must_be_new:
        raise _batch_exists(batch_id)
    if not known:
        tx.connection.execute(
            "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)",
            (
                batch_id,
                _storable(name_text(info["name"])),
                _storable(str(info["batch_type"])),
                tx.at,
                tx.who,
                tx.rev,
            ),
        )


def _has_batch(tx: Transaction, batch_id: int) -> bool:
    return bool(tx.connection.execute("SELECT 1 FROM batch WHERE BatchID = ?", (batch_id,)).fetchone())


def _batch_exists(batch_id: int) -> DuplicateJobError:
    return DuplicateJobError(
        f"BatchID {batch_id} is in the index already; choose another or add_job_to_queue."
    )


# ------------------------------------------------------------------------------------ update


def write_info(tx: Transaction, info: JobInfo, *, why: str, quiet: bool = False) -> None:
    """Write a job's metadata back if nobody changed it since it was read; then brings its `rev` forward.

    Args:
        why: for the history; with `quiet` only a change of state makes an entry there.

    Raises:
        ConflictError: the row is no longer as it was when `info` was read; says who changed it.
    """
    key = JobKey(checked_id(info.get("BatchID")), checked_id(info.get("JobIndex"), "JobIndex"))
    row = tx.connection.execute(
        f"SELECT {INFO_COLUMNS}, changed_by, changed_at FROM job WHERE BatchID = ? AND JobIndex = ?", key
    ).fetchone()
    if row is None:
        raise UnknownJobError(f"Job {key} is not in the index (any more).")
    old, (who, at) = to_info(row[:-2]), row[-2:]
    if "rev" not in info:
        raise UsageError(
            f"Job {key} was not read from the index (its JobInfo has no 'rev'): "
            "get it with get_job_info, change that, and write it back."
        )
    if old["rev"] != info["rev"]:
        raise _changed_since(key, who, at, "Read it again with get_job_info and repeat the change.")
    store_info(tx, key, info)
    if info["state"] != old["state"] or not quiet:
        new = {
            field: value
            for field, value in info.items()
            if field not in OWN_FIELDS and not same(old.get(field, old), value)
        }
        detail = {
            "changed": changed_fields(old, new),
            "columns": {field: old.get(field) for field in COLUMN_FIELDS},
            "metadata": pack_metadata({field: old[field] for field in new if field in old}),
        }
        add_event(tx, key, old["attempt"], old["state"], info["state"], why, detail)
    info["rev"] = tx.rev


def require_unchanged(tx: Transaction, key: JobKey, rev: int) -> None:
    """Raises ConflictError if a job is no longer as it was when it was read at `rev`; says who changed it."""
    row = tx.connection.execute(
        "SELECT rev, changed_by, changed_at FROM job WHERE BatchID = ? AND JobIndex = ?", key
    ).fetchone()
    if row is None:
        raise UnknownJobError(f"Job {key} is not in the index (any more).")
    if row[0] != rev:
        raise _changed_since(key, row[1], row[2], "Look at it again and repeat the change.")


def _changed_since(key: JobKey, who: str | None, at: float, advice: str) -> ConflictError:
    return ConflictError(
        f"Job {key} was changed by {who or 'somebody'} at {_clock(at)}, after it was read here; "
        f"nothing was written. {advice}"
    )


def store_info(
    tx: Transaction,
    key: JobKey,
    info: Mapping[str, Any],
    *,
    before: Mapping[str, Any] | None = None,
    **columns: object,
) -> None:
    """Write all fields of a job as `info` has them, unconditionally; see store_columns."""
    metadata = dict(info)
    if "SpawnID" in info:  # its lists of ids and logs belong to the spawn rows, not to the job's
        stored = tx.connection.execute(
            "SELECT ClusterID, metadata FROM job WHERE BatchID = ? AND JobIndex = ?", key
        ).fetchone()
        old = decode(stored[1])
        for field in ("stdout", "stderr"):
            metadata.pop(field, None)
            if field in old:
                metadata[field] = old[field]
        metadata["ClusterID"] = stored[0]
    store_columns(tx, key, metadata, before=before, metadata=pack_metadata(metadata), **columns)


def store_columns(
    tx: Transaction,
    key: JobKey,
    info: Mapping[str, Any],
    *,
    before: Mapping[str, Any] | None = None,
    **columns: object,
) -> None:
    """Write those fields of a job that have columns of their own, unconditionally; and `columns` by name.

    One statement for all: a second one at the same revision would look like somebody's own SQL.

    Args:
        before: the job as its row has it: what is still so need not be written, and indexed, anew.
    """
    where = f"job {key}"
    fields: dict[str, object] = {
        "state": _checked_state(info["state"], where),
        "priority": _checked_priority(info["priority"], where),
        "submit_id": _text_or_none(info.get("submit_id")),
        "ClusterID": _text_or_none(info.get("ClusterID")),
        "hostname": _text_or_none(info.get("hostname")),
        "subtime": info.get("subtime"),
    }
    if before is not None:
        fields = {name: value for name, value in fields.items() if value != before.get(name)}
    fields |= columns
    names = "".join(f"{name} = ?, " for name in fields)
    tx.connection.execute(
        f"UPDATE job SET {names}changed_at = ?, changed_by = ?, rev = ? WHERE BatchID = ? AND JobIndex = ?",
        (*fields.values(), tx.at, tx.who, tx.rev, *key),
    )


def same(one: object, other: object) -> bool:
    """Return whether two values of a field are equal, numpy's arrays included."""
    try:
        return bool(one == other)
    except ValueError:  # of an array, whose comparison is an array again
        return encode({"": one})[0] == encode({"": other})[0]


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{field: [before, after]} for the history, which shows it to people; long values are cut."""
    return {field: [_plain(old.get(field)), _plain(value)] for field, value in new.items()}


def _plain(value: Any) -> Any:
    """`value` if it is short and plain JSON, else a description: the history shows it, nobody parses it."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value if len(value) <= 200 else value[:199] + "…"
    return f"{type(value).__name__}: {str(value)[:180]}"


def rename_batch(tx: Transaction, batch_id: int, info: Mapping[str, Any]) -> None:
    """A batch is called what its jobs are called: renaming a job renames it."""
    tx.connection.execute(
        "UPDATE batch SET name = :name, batch_type = :kind, rev = :rev"
        " WHERE BatchID = :id AND (name <> :name OR batch_type <> :kind)",
        {
            "name": _storable(name_text(info.get("name", ""))),
            "kind": _storable(str(info.get("batch_type", ""))),
            "rev": tx.rev,
            "id": batch_id,
        },
    )


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


# ------------------------------------------------------------------------------------ remove


def batch_signature(db: Database | Transaction, batch_id: int) -> frozenset[tuple[str, int, int]]:
    """Where a batch's jobs stand, in few numbers: state, jobs, submissions. Edits of other fields leave it
    as it is."""
    sql = "SELECT state, count(*), sum(attempt) FROM job WHERE BatchID = ? GROUP BY state"
    rows = db.rows(sql, (batch_id,)) if isinstance(db, Database) else db.connection.execute(sql, (batch_id,))
    return frozenset((state, jobs, attempts) for state, jobs, attempts in rows)


def delete_batch(tx: Transaction, batch_id: int) -> int:
    """Remove a batch with its jobs, spawns and history; return how many jobs it had."""
    require = tx.connection.execute("SELECT 1 FROM batch WHERE BatchID = ?", (batch_id,)).fetchone()
    if require is None:
        raise UnknownJobError(f"There is no batch {batch_id} in the index.")
    removed = tx.connection.execute("DELETE FROM job WHERE BatchID = ?", (batch_id,)).rowcount
    for table in ("batch", "spawn", "ending", "event"):
        tx.connection.execute(f"DELETE FROM {table} WHERE BatchID = ?", (batch_id,))
    tx.connection.execute("INSERT INTO tombstone VALUES (?, ?)", (tx.rev, batch_id))
    return removed
