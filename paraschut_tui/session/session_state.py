"""What the dashboard remembers of a database from one time to the next: cursor, columns, filters. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from paraschut_core.model import JobKey

from ..batch_tree.model import NodePath
from ..job_grid.columns import DEFAULT, ColumnSetting, SortKey

T = TypeVar("T")


class SessionState(NamedTuple):
    """What is remembered of one database. `saved` are filters with a name, `filter` is the one in force;
    `left` the columns that the batches take and `upper` the share of the lines above the log (0: as it
    comes); `window` the overview's; `log_*` how a log is shown, `searches` what was searched for in one;
    `row` is the cursor of the batches: it and the job's stood so many lines `_below` the top."""

    open: tuple[NodePath, ...] = ()
    cursor: JobKey | None = None
    grouping: str = "time"
    density: str = "cells"
    columns: tuple[ColumnSetting, ...] = DEFAULT
    sorting: tuple[SortKey, ...] = ()
    filters: tuple[str, ...] = ()
    saved: tuple[tuple[str, str], ...] = ()
    theme: str = ""
    filter: str = ""
    details: bool = False
    left: int = 0
    upper: float = 0.0
    window: str = ""
    log_wrap: bool = False
    log_numbers: bool = True
    log_split: bool = False
    searches: tuple[str, ...] = ()
    row: NodePath | None = None
    row_below: int = 0
    job_below: int = 0


def encoded(memory: SessionState) -> dict[str, Any]:
    """As JSON can hold it."""
    return memory._asdict()


def decoded(entry: Mapping[str, Any]) -> SessionState:
    """Decode saved state; missing fields get their defaults.

    Raises:
        TypeError, ValueError, AttributeError: it is not what `encoded` made.
    """
    entry = {**encoded(SessionState()), **entry}
    columns = tuple(ColumnSetting(str(name), int(wider)) for name, wider in entry["columns"])
    return SessionState(
        tuple(_branch(one) for one in entry["open"]),
        JobKey(*map(int, entry["cursor"])) if entry["cursor"] else None,
        str(entry["grouping"]) if entry["grouping"] in ("time", "name", "type") else "time",
        "rows" if entry["density"] == "rows" else "cells",
        columns or DEFAULT,
        tuple(SortKey(str(name), bool(down)) for name, down in entry["sorting"]),
        tuple(map(str, entry["filters"])),
        tuple((str(name), str(text)) for name, text in entry["saved"]),
        str(entry["theme"]),
        str(entry["filter"]),
        bool(entry["details"]),
        max(int(entry["left"]), 0),
        min(max(float(entry["upper"]), 0.0), 1.0),
        str(entry["window"]),
        bool(entry["log_wrap"]),
        bool(entry["log_numbers"]),
        bool(entry["log_split"]),
        tuple(map(str, entry["searches"])),
        _branch(entry["row"]) if entry["row"] else None,
        max(int(entry["row_below"]), 0),
        max(int(entry["job_below"]), 0),
    )


def _branch(entry: Sequence[Any]) -> NodePath:
    batch_id, state, job, spawn = entry
    return NodePath(int(batch_id), None if state is None else str(state), int(job), int(spawn))


def merged(mine: SessionState, base: SessionState, theirs: SessionState) -> SessionState:
    """Mine, with the filters that another dashboard on the same database has added since `base` was read."""

    def with_added(own: tuple[T, ...], before: tuple[T, ...], other: tuple[T, ...]) -> tuple[T, ...]:
        return (*own, *(item for item in other if item not in before and item not in own))

    return mine._replace(
        filters=with_added(mine.filters, base.filters, theirs.filters),
        saved=with_added(mine.saved, base.saved, theirs.saved),
    )
