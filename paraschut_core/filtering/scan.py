"""A filter over a file of any size: part by part, each a short reading, so that writers get their turn."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from ..database.connection import Database, Row
from ..model import JobKey
from .sql_condition import SECONDS, SqlCondition

PART_SECONDS = 0.2
"""What one part should take (s): writers wait for no longer, and a search that is given up ends as soon."""

_FIRST = 4_000  # jobs in the first part
_FEWEST, _MOST = 500, 400_000


class ScanChunk(NamedTuple):
    """What a part of the search found; `searched` is how much of the file has been looked through, 0 to 1."""

    rows: list[Row]
    searched: float


def search(
    database: Database, columns: str, condition: str, missing: Collection[JobKey] = ()
) -> Iterator[ScanChunk]:
    """Columns of the jobs for which the condition holds, in the order in which they were added.

    It takes as long as it takes, and ends when the caller stops asking. What changes meanwhile may be seen
    before or after its change.

    Args:
        database: where the jobs are.
        columns: see filters.select.
        condition: see filters.py; it may also use the columns `missing`, 1 or 0, and `fields`.
        missing: the jobs that are.

    Raises:
        FilterError: SQLite does not understand the condition, may not run it, or cannot get through even a
            few jobs in `SECONDS`.
        DatabaseError: the file cannot be read.
    """
    with Database(database.path, read_only=True, timeout=database.timeout) as reader:
        matching = SqlCondition(reader, condition, SECONDS, missing)
        first, last = reader.rows("SELECT min(idx), max(idx) FROM job")[0]
        if first is None:
            matching.prepare()
            return
        low, size = first, _FIRST
        while low <= last:
            high = min(low + size - 1, last)
            begin = time.monotonic()
            rows = matching.rows(columns, among=f"idx BETWEEN {low} AND {high}")
            took = max(time.monotonic() - begin, 1e-4)
            yield ScanChunk(rows, (high - first + 1) / (last - first + 1))
            low = high + 1
            size = max(_FEWEST, min(int(size * min(PART_SECONDS / took, 8.0)), _MOST))


def search_among(
    database: Database, columns: str, condition: str, keys: Iterable[JobKey], missing: Collection[JobKey] = ()
) -> list[Row]:
    """The same for a few jobs only: what it costs depends on them alone.

    Raises:
        FilterError, DatabaseError: see `search`.
    """
    with Database(database.path, read_only=True, timeout=database.timeout) as reader:
        sql = "SELECT idx FROM job WHERE BatchID = ? AND JobIndex = ?"
        numbers = [str(row[0]) for key in keys for row in reader.rows(sql, key)]
        if not numbers:
            return []
        matching = SqlCondition(reader, condition, SECONDS, missing)
        return matching.rows(columns, among=f"idx IN ({', '.join(numbers)})")
