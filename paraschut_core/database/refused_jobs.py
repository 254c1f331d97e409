"""What schedulers refused to take, kept until jobs that ask for the same are taken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .connection import Database, Transaction

_KEEP_SECONDS = 30 * 86400.0


class RefusedJob(NamedTuple):
    """One refusal: which jobs it holds for, when it was last tried, and how things stood then.

    `kind` is as in Submitted. `in_queue` counts the user's jobs in the queue, `settings` is a digest.
    """

    asked: str
    kind: str
    words: str
    at: float
    in_queue: int
    settings: str


def read_refused(db: Database, queue: str) -> dict[str, RefusedJob]:
    """What this queue refused, by what was asked for."""
    sql = "SELECT asked, kind, words, at, in_queue, settings FROM refused WHERE queue = ?"
    return {row[0]: RefusedJob(*row) for row in db.rows(sql, (queue,))}


def read_refused_batches(db: Database) -> dict[int, tuple[str, str, str]]:
    """(queue, kind, words) of the latest refusal for each batch that one holds up."""
    rows = db.rows(
        "SELECT BatchID, queue, kind, words FROM refused_batch JOIN refused USING (queue, asked)"
        " ORDER BY at, asked"
    )
    return {batch_id: (queue, kind, words) for batch_id, queue, kind, words in rows}


def keep_refused(tx: Transaction, queue: str, refused: RefusedJob, batches: Iterable[int]) -> None:
    """Keep a refusal, in place of what was kept of the same, and which batches it holds up."""
    tx.connection.execute(
        "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?, ?, ?)",
        (queue, refused.asked, *refused[1:]),
    )
    tx.connection.executemany(
        "INSERT OR IGNORE INTO refused_batch VALUES (?, ?, ?)",
        ((batch_id, queue, refused.asked) for batch_id in batches),
    )


def forget_refused(tx: Transaction, queue: str, asked: Iterable[str], batches: Iterable[int]) -> None:
    """Forget refusals of what is taken by now; of batches whose jobs were taken all, and what is too old."""
    connection = tx.connection
    connection.executemany(
        "DELETE FROM refused WHERE queue = ? AND asked = ?", ((queue, one) for one in asked)
    )
    connection.executemany(
        "DELETE FROM refused_batch WHERE BatchID = ? AND queue = ?", ((one, queue) for one in batches)
    )
    connection.execute("DELETE FROM refused WHERE at < ?", (tx.at - _KEEP_SECONDS,))
    connection.execute(
        "DELETE FROM refused_batch WHERE NOT EXISTS (SELECT 1 FROM refused"
        " WHERE refused.queue = refused_batch.queue AND refused.asked = refused_batch.asked)"
    )
