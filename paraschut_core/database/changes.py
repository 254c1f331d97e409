"""What changed since revision N, and the counters: all that a refresh reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..model import Batch, JobRow
from .connection import Database
from .jobs import read_changed_rows
from .odd_values import priority_of, text_of

MANY = 2_000
"""More changed jobs than this are not listed: whoever shows them reads again what is in view."""


class Changes(NamedTuple):
    """What is new since a revision. `complete` is False when more than MANY jobs changed: then `jobs`
    is empty and every batch is in `batches`."""

    rev: int
    jobs: list[JobRow]
    batches: dict[int, Batch]
    removed: list[int]
    complete: bool


def read_revision(db: Database) -> int:
    """The database's revision."""
    rows = db.rows("SELECT rev FROM revision")
    return rows[0][0] if rows and isinstance(rows[0][0], int) else NO_REVISION


NO_REVISION = 0
"""Of a file whose table of it is empty: the next write mends that."""


def read_batches(db: Database, ids: Iterable[int] | None = None) -> dict[int, Batch]:
    """Batches with their counters, by BatchID; `ids` None means all of them."""
    if ids is None:
        heads = db.rows("SELECT BatchID, name, batch_type FROM batch ORDER BY BatchID")
        counters = db.rows("SELECT BatchID, priority, state, n FROM counter")
    else:
        wanted = sorted(set(ids))
        heads = [
            r
            for i in wanted
            for r in db.rows("SELECT BatchID, name, batch_type FROM batch WHERE BatchID = ?", (i,))
        ]
        counters = [
            r
            for i in wanted
            for r in db.rows("SELECT BatchID, priority, state, n FROM counter WHERE BatchID = ?", (i,))
        ]
    counts: dict[int, dict[tuple[int | float, str], int]] = {row[0]: {} for row in heads}
    for batch_id, priority, state, n in counters:
        if batch_id in counts:
            group = (priority_of(priority), state if type(state) is str else text_of(state))
            counts[batch_id][group] = counts[batch_id].get(group, 0) + n
    return {
        batch_id: Batch(batch_id, text_of(name), text_of(batch_type), counts[batch_id])
        for batch_id, name, batch_type in heads
    }


def count_unfinished(db: Database) -> int:
    """At least as many processes as all jobs that should be online have, by the counters alone."""
    (n,) = db.rows(
        "SELECT (SELECT coalesce(sum(n), 0) FROM counter WHERE state IN ('submit', 'run', 'spawn'))"
        " + (SELECT count(*) FROM spawn)"
    )[0]
    return int(n)


def read_changes(db: Database, since: int) -> Changes:
    """What changed after revision `since`, as of one moment.

    The reads are one transaction, so that rows and counters belong together; it lasts microseconds
    when little changed, whatever the size of the file.
    """
    db.rows("BEGIN")
    try:
        rev = read_revision(db)
        if rev == since:
            return Changes(rev, [], {}, [], True)
        jobs = read_changed_rows(db, since, MANY + 1)
        removed = [r[0] for r in db.rows("SELECT BatchID FROM tombstone WHERE rev > ?", (since,))]
        if len(jobs) > MANY:
            return Changes(rev, [], read_batches(db), removed, False)
        touched = {row.key.batch_id for row in jobs}
        touched.update(r[0] for r in db.rows("SELECT BatchID FROM batch WHERE rev > ?", (since,)))
        return Changes(rev, jobs, read_batches(db, touched), removed, True)
    finally:
        db.rows("COMMIT")
