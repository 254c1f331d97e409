"""Reads values that a column should not hold, put there by somebody's own SQL, as what comes nearest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .connection import Database, Row

_NUMBER = frozenset((int, float))
_INTEGER = frozenset((int,))
_TEXT = frozenset((str,))
_NONE = frozenset((type(None),))

NUMBER, INTEGER, TEXT = (_NUMBER, 0), (_INTEGER, 0), (_TEXT, "")
MAYBE_NUMBER, MAYBE_INTEGER, MAYBE_TEXT = (
    (_NUMBER | _NONE, None),
    (_INTEGER | _NONE, None),
    (_TEXT | _NONE, None),
)
"""What a column may hold, and what stands for a value of another kind where text cannot."""

ODD_PRIORITY = float("-inf")
"""Stands for a priority that is no number: its jobs hold up no others, and it is nobody's turn."""


def as_expected(row: Row, columns: Sequence[tuple[frozenset[type], object]]) -> Sequence[Any]:
    """The row, with values of its columns' kinds."""
    if all(type(value) in kinds for value, (kinds, _) in zip(row, columns, strict=True)):
        return row
    return [
        value if type(value) in kinds else text_of(value) if str in kinds else instead
        for value, (kinds, instead) in zip(row, columns, strict=True)
    ]


def text_of(value: object) -> str:
    """A value that should be a text as one."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None else str(value)


def priority_of(value: Any) -> int | float:
    """A priority by which jobs are put in order."""
    return value if type(value) in _NUMBER else ODD_PRIORITY


def keyed(rows: Iterable[Row]) -> list[Row]:
    """Those of rows that begin with BatchID and JobIndex of which both are numbers."""
    return [row for row in rows if type(row[0]) is int and type(row[1]) is int]


def find_odd(db: Database, limit: int) -> list[tuple[object, object, str]]:
    """(BatchID, JobIndex, what is wrong) of at most `limit` jobs with values that columns should not hold."""
    found: list[tuple[object, object, str]] = []
    for wrong, words in _WRONG.items():
        sql = f"SELECT BatchID, JobIndex FROM job WHERE {wrong} LIMIT ?"
        found += [(batch_id, index, words) for batch_id, index in db.rows(sql, (limit - len(found),))]
        if len(found) >= limit:
            break
    return found


_WRONG = {
    "typeof(BatchID) <> 'integer' OR typeof(JobIndex) <> 'integer'": "its BatchID or JobIndex is no number",
    "typeof(priority) NOT IN ('integer', 'real')": "its priority is no number",
    "typeof(state) <> 'text'": "its state is no text",
    "typeof(attempt) <> 'integer'": "its attempt is no number",
    "typeof(changed_at) NOT IN ('integer', 'real')": "when it changed is no number",
    "typeof(rev) <> 'integer'": "its revision is no number",
    "typeof(submitted_at) IN ('text', 'blob') OR typeof(started_at) IN ('text', 'blob')"
    " OR typeof(subtime) NOT IN ('integer', 'null')": "a time of it is no number",
    "typeof(submit_id) = 'blob' OR typeof(ClusterID) = 'blob' OR typeof(hostname) = 'blob'"
    " OR typeof(token) = 'blob' OR typeof(executor) = 'blob'": "an id or name of it is no text",
}
