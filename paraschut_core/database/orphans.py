"""Submissions that may go on although their batch was removed by force: kept until they are over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..model import JobKey
from .connection import Database, Transaction


class Orphan(NamedTuple):
    """One submission without a job: its token and its id ('' where one is not known), its queue, and when
    its batch was removed (epoch s)."""

    key: JobKey
    token: str
    id: str
    executor: str | None
    at: float = 0.0


def keep_orphans(tx: Transaction, orphans: Iterable[Orphan]) -> None:
    """Keep submissions whose jobs are being removed."""
    tx.connection.executemany(
        "INSERT OR REPLACE INTO orphan VALUES (?, ?, ?, ?, ?, ?)",
        ((*one.key, one.token, one.id, one.executor, tx.at) for one in orphans),
    )


def read_orphans(db: Database) -> list[Orphan]:
    """All that are kept."""
    rows = db.rows("SELECT BatchID, JobIndex, token, submit_id, executor, at FROM orphan ORDER BY 1, 2")
    return [Orphan(JobKey(batch_id, index), *rest) for batch_id, index, *rest in rows]


def forget_orphans(tx: Transaction, orphans: Iterable[Orphan]) -> None:
    """Forget submissions that are over."""
    tx.connection.executemany(
        "DELETE FROM orphan WHERE BatchID = ? AND JobIndex = ? AND token = ? AND submit_id = ?",
        ((*one.key, one.token, one.id) for one in orphans),
    )


def orphan_words(orphans: Sequence[Orphan]) -> str:
    """In one line, what may go on of removed batches, and how to end it; '' if nothing does."""
    if not orphans:
        return ""
    ids = [one.id for one in orphans if one.id]
    where = sorted({one.executor or "a queue" for one in orphans})
    named = f" (ids {', '.join(ids[:10])}{' and more' if len(ids) > 10 else ''})" if ids else ""
    n = f"{len(orphans):,} submission{'s' if len(orphans) > 1 else ''}"
    there = " and ".join(where)
    return f"{n} of removed batches may go on in {there}{named}: paraschut qdel --orphans ends them"
