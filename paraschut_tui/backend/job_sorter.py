"""Sorting up to millions of jobs by several columns, without holding up the screen.

The values go into an SQLite table in memory, because SQLite sorts without Python's lock: other threads go on
meanwhile.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from paraschut_core.database.connection import Database, Row
from paraschut_core.database.jobs import read_rows, read_values
from paraschut_core.errors import UsageError
from paraschut_core.model import Snapshot

from ..job_grid.columns import SchedulerRow, SortKey, overlaid, sort_sql
from ..job_grid.model import GridModel
from .worker_thread import Request

CHUNK = 20_000
"""Rows read at a time."""

MOST_SORTED = 2_000_000
"""Most jobs that can be sorted: each one's row is read for it."""


class JobSorter:
    """Sorts the numbers of jobs by their values.

    Args:
        keys: the columns to sort by, the most important first. Missing values come last in both directions;
            jobs with the same values stay in the order of their numbers.
    """

    def __init__(self, keys: Sequence[SortKey]) -> None:
        self._keys = keys
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        columns = "".join(f", v{at}" for at in range(len(keys)))
        self._db.execute(f"CREATE TABLE job (n INTEGER PRIMARY KEY{columns})")
        self._db.execute("PRAGMA temp_store = MEMORY")
        self._insert = f"INSERT OR REPLACE INTO job VALUES (?{', ?' * len(keys)})"
        self._select = f"SELECT {columns[2:]} FROM job WHERE n = ?"

    def add(self, jobs: Iterable[Sequence[object]]) -> None:
        """Add some jobs: the number of each, then a value for each key, as SQLite has them."""
        self._db.execute("BEGIN")
        self._db.executemany(self._insert, jobs)
        self._db.execute("COMMIT")

    def correct(self, n: int, standing: SchedulerRow) -> None:
        """Replace the values of an added job by what the scheduler reports of it."""
        for values in self._db.execute(self._select, (n,)).fetchall():
            told = overlaid(values, standing, self._keys)
            self._db.execute(self._insert, (n, *told))

    def order(self) -> array[int]:
        """Return all numbers in order, and close the sorter."""
        terms: list[str] = []
        for at, key in enumerate(self._keys):
            value = f"nullif(v{at}, '')"
            terms += [f"{value} IS NULL", f"{value} {'DESC' if key.down else 'ASC'}"]
        found = self._db.execute(f"SELECT n FROM job ORDER BY {', '.join([*terms, 'n'])}")
        order = array("q")
        while some := found.fetchmany(10_000):
            order.extend(n for (n,) in some)
        self._db.close()
        return order


def check_sortable(board: GridModel) -> None:
    """Raise UsageError if there are too many jobs."""
    if board.total > MOST_SORTED:
        raise UsageError(
            f"{board.total:,} jobs are too many to sort (at most {MOST_SORTED:,}): filter them first."
        )


def sort_jobs(
    open_database: Callable[[], Database],
    request: Request,
    board: GridModel,
    sorting: Sequence[SortKey],
    snapshot: Snapshot,
) -> array[int] | None:
    """Return the numbers of the grid's jobs, sorted; None once the request is not wanted any more."""
    sorter = JobSorter(sorting)
    sql = sort_sql(sorting)
    with open_database() as db:
        for group, start in zip(board.groups, board.starts, strict=False):
            for low in range(0, len(group.indexes), CHUNK):
                if not request.wanted:
                    return None
                wanted = group.indexes[low : low + CHUNK]
                sorter.add(_numbered(_values_of(db, group.batch_id, wanted, sql), wanted, start + low))
        known = {*snapshot.live, *snapshot.missing}
        for row in read_rows(db, [key for key in known if board.locate(key) is not None]):
            place = board.locate(row.key)
            if place is not None:
                standing = SchedulerRow(row, snapshot.live.get(row.key), snapshot.missing.get(row.key))
                sorter.correct(board.number(*place), standing)
    return sorter.order()


def _values_of(db: Database, batch_id: int, indexes: Sequence[int], sql: Sequence[str]) -> list[Row]:
    """The values that some jobs of a batch are sorted by: in one query where they are near each other."""
    if indexes[-1] - indexes[0] < 4 * len(indexes):
        return read_values(db, batch_id, indexes[0], indexes[-1], sql)
    return [row for index in indexes for row in read_values(db, batch_id, index, index, sql)]


def _numbered(rows: Sequence[Row], wanted: Sequence[int], start: int) -> Iterator[tuple[object, ...]]:
    """The values of the wanted jobs, with their numbers in place of their JobIndexes."""
    if len(rows) == len(wanted) and isinstance(wanted, range):
        shift = start - wanted[0]
        return ((row[0] + shift, *row[1:]) for row in rows)
    values = {row[0]: row[1:] for row in rows}
    nothing = (None,) * (len(rows[0]) - 1) if rows else ()
    return ((n, *values.get(index, nothing)) for n, index in enumerate(wanted, start))
