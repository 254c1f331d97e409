"""What the dashboard remembers of a database from one time to the next: cursor, columns, filters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from paraschut_core.model import JobKey

from .columns import DEFAULT, Chosen, SortKey
from .outline import BATCH, NodeKey


class Memory(NamedTuple):
    """What is remembered of one database. `filter` is the one in force; `left` the columns that the batches
    take and `upper` the share of the lines above the log (0: as it comes); `window` the overview's; `log_*`
    how a log is shown, `searches` what was searched for in one."""

    open: tuple[NodeKey, ...] = ()
    cursor: JobKey | None = None
    grouping: str = "time"
    density: str = "cells"
    columns: tuple[Chosen, ...] = DEFAULT
    sorting: tuple[SortKey, ...] = ()
    filters: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
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


def encoded(memory: Memory) -> dict[str, Any]:
    """As JSON can hold it."""
    # Branches below a batch's states name looks, which are numbered anew each time.
    branches = sorted(node.batch_id for node in memory.open if node.kind == BATCH)
    return {**memory._asdict(), "open": branches}


def decoded(entry: Mapping[str, Any]) -> Memory:
    """What was encoded; what a field lacks is as at first.

    Raises:
        TypeError, ValueError, AttributeError: it is not what `encoded` made.
    """
    entry = {**encoded(Memory()), **entry}
    columns = tuple(Chosen(str(name), int(wider)) for name, wider in entry["columns"])
    return Memory(
        tuple(NodeKey(BATCH, int(batch_id)) for batch_id in entry["open"]),
        JobKey(*map(int, entry["cursor"])) if entry["cursor"] else None,
        str(entry["grouping"]) if entry["grouping"] in ("time", "name", "type") else "time",
        "rows" if entry["density"] == "rows" else "cells",
        columns or DEFAULT,
        tuple(SortKey(str(name), bool(down)) for name, down in entry["sorting"]),
        tuple(map(str, entry["filters"])),
        tuple(map(str, entry["saved"])),
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
    )


def merged(mine: Memory, base: Memory, theirs: Memory) -> Memory:
    """Mine, with the filters that another dashboard on the same database has added since `base` was read."""

    def with_added(name: str) -> tuple[str, ...]:
        own, before, other = (getattr(memory, name) for memory in (mine, base, theirs))
        return (*own, *(text for text in other if text not in before and text not in own))

    return mine._replace(filters=with_added("filters"), saved=with_added("saved"))
