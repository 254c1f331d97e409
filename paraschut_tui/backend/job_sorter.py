"""Sorting: puts up to millions of jobs in the order of several columns, without holding up the screen.

The values go into a table in memory, for SQLite sorts without Python's lock: other threads go on meanwhile.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Sequence

from ..job_grid.columns import SchedulerRow, SortKey, overlaid


class JobSorter:
    """Takes jobs by number, with their values, and gives the numbers back in order.

    Args:
        keys: what to sort by, the first one first. What a job does not have comes last either way; where all
            values are the same, the jobs stay in the order of their numbers.
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
        """Takes some jobs: the number of each, then a value for each key, as SQLite has them."""
        self._db.execute("BEGIN")
        self._db.executemany(self._insert, jobs)
        self._db.execute("COMMIT")

    def correct(self, n: int, standing: SchedulerRow) -> None:
        """Puts in what the scheduler says of a job that was added."""
        for values in self._db.execute(self._select, (n,)).fetchall():
            told = overlaid(values, standing, self._keys)
            self._db.execute(self._insert, (n, *told))

    def order(self) -> array[int]:
        """All numbers in order; the sorter is of no use afterwards."""
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
