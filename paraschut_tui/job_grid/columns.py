"""The columns that the grid can show of each job in its row density, and how each sorts. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from paraschut_core.model import DONE_STATES, RUNNING, STATES, JobKey, JobRow, LiveJob, MissingJob
from paraschut_core.sanitize import clean_line

from ..formatting import span
from ..state_styles import StateStyle
from ..widgets.styled_line import Part, fit

META = "meta."
"""What the name of a column for a metadata field begins with."""


class RowData(NamedTuple):
    """All that a column may tell of one job. `row` is None while it is being read."""

    key: JobKey
    look: StateStyle
    glyph: str
    row: JobRow | None
    live: LiveJob | None
    missing: MissingJob | None
    spawns: tuple[int, int] | None
    fields: Mapping[str, object]
    now: float


AS_READ = object()
"""Says that the row has it right."""


class SchedulerRow(NamedTuple):
    """A job's row, and what the scheduler says of the job."""

    row: JobRow
    live: LiveJob | None = None
    missing: MissingJob | None = None


class Column(NamedTuple):
    """One column. `least` is the width that it is useful at; 0 means all that is left. `sql` is what it is
    sorted by, and `overlay` what instead where the scheduler knows better."""

    name: str
    title: str
    least: int
    right: bool
    text: Callable[[RowData], str]
    sql: str
    help: str = ""
    overlay: Callable[[SchedulerRow], object] = lambda standing: AS_READ


class ColumnSetting(NamedTuple):
    """A column that is shown; `wider` is by how many columns the user made it wider."""

    name: str
    wider: int = 0


class SortKey(NamedTuple):
    """One of the columns that rows are sorted by."""

    name: str
    down: bool = False


def _state(facts: RowData) -> str:
    words = clean_line(facts.row.state) if facts.row is not None else facts.look.label
    return f"{facts.glyph} {words}"


def _online(facts: RowData) -> str:
    if facts.spawns is not None:
        return f"{facts.spawns[0]}/{facts.spawns[1]}"
    if facts.live is None:
        return ""
    return "*" if facts.live.state == RUNNING else clean_line(facts.live.state)


def _reason(facts: RowData) -> str:
    if facts.missing is not None:
        return clean_line(facts.missing.reason, 500)
    if facts.live is not None and facts.live.reason:
        return clean_line(facts.live.reason, 500)
    return clean_line(facts.row.ending, 500) if facts.row is not None and facts.row.ending else ""


def _elapsed(facts: RowData) -> str:
    row = facts.row
    if row is None or row.started_at is None or row.state in ("init", "submit"):
        return ""
    end = row.changed_at if row.state in DONE_STATES or facts.missing is not None else facts.now
    return span(end - row.started_at)


def _of_row(get: Callable[[JobRow], object]) -> Callable[[RowData], str]:
    def text(facts: RowData) -> str:
        value = get(facts.row) if facts.row is not None else None
        return "" if value is None else clean_line(value, 500)

    return text


def _id(row: JobRow) -> str | None:
    return row.cluster_id or row.submit_id


def _priority(row: JobRow) -> str:
    return f"{row.priority:g}"


def _missing_first(standing: SchedulerRow) -> object:
    return "0" if standing.missing is not None else AS_READ


def _online_state(standing: SchedulerRow) -> object:
    return standing.live.state if standing.live is not None else AS_READ


def _reason_now(standing: SchedulerRow) -> object:
    if standing.missing is not None:
        return standing.missing.reason
    return (standing.live.reason if standing.live is not None else "") or AS_READ


def _time_until_lost(standing: SchedulerRow) -> object:
    row = standing.row
    return row.changed_at - row.started_at if standing.missing is not None and row.started_at else AS_READ


def _ago(get: Callable[[JobRow], float | None]) -> Callable[[RowData], str]:
    """How long ago that moment of the row was."""

    def text(facts: RowData) -> str:
        at = get(facts.row) if facts.row is not None else None
        return "" if at is None else span(facts.now - at)

    return text


def _submitted(row: JobRow) -> float | None:
    return row.submitted_at


def _started(row: JobRow) -> float | None:
    return row.started_at


def _changed(row: JobRow) -> float | None:
    return row.changed_at


def _words(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


_STATE_SQL = f"""CASE {" ".join(f"WHEN j.state = '{s}' THEN '{n + 1}'" for n, s in enumerate(STATES))}
 ELSE '9' || j.state END"""
_DONE = _words(sorted(DONE_STATES))
_TIME_SQL = f"CASE WHEN j.state IN ({_DONE}) THEN j.changed_at ELSE 1e12 END - j.started_at"

_ALL = (
    Column("index", "JOB", 6, True, lambda f: str(f.key.job_index), "j.JobIndex", "JobIndex"),
    Column("batch", "BATCH", 14, False, lambda f: str(f.key.batch_id), "j.BatchID", "BatchID"),
    Column("state", "STATE", 11, False, _state, _STATE_SQL, "the state in the index", _missing_first),
    Column("online", "ONLINE", 7, False, _online, "NULL", "what the scheduler says", _online_state),
    Column("attempt", "TRY", 3, True, _of_row(lambda r: r.attempt or ""), "j.attempt", "submissions"),
    Column("priority", "PRIO", 4, True, _of_row(_priority), "j.priority", "the priority"),
    Column("id", "ID", 12, False, _of_row(_id), "coalesce(j.ClusterID, j.submit_id)", "the scheduler's id"),
    Column("host", "HOST", 10, False, _of_row(lambda r: r.hostname), "j.hostname", "where it ran"),
    Column("submitted", "SUBM", 5, True, _ago(_submitted), "-j.submitted_at", "since it was submitted"),
    Column("started", "START", 5, True, _ago(_started), "-j.started_at", "since it started"),
    Column("elapsed", "TIME", 5, True, _elapsed, _TIME_SQL, "how long it runs or ran", _time_until_lost),
    Column("changed", "CHANGE", 6, True, _ago(_changed), "-j.changed_at", "since it changed"),
    Column("reason", "REASON", 0, False, _reason, "e.reason", "why it is lost, waits, or ended", _reason_now),
)

COLUMNS: Mapping[str, Column] = {column.name: column for column in _ALL}

DEFAULT = tuple(
    ColumnSetting(name)
    for name in (
        "index",
        "state",
        "online",
        "attempt",
        "host",
        "elapsed",
        "submitted",
        "id",
        "priority",
        "reason",
    )
)


def column_of(name: str) -> Column:
    """The column of that name; `meta.FIELD` shows a field of the metadata."""
    known = COLUMNS.get(name)
    if known is not None:
        return known
    field = name.removeprefix(META)
    title = clean_line(field, 20).upper()
    return Column(name, title, max(len(title), 10), False, lambda facts: _field(facts, field), "")


def _looked_up(fields: Mapping[str, object], path: str) -> object:
    """The metadata's `field`, or `field.part`."""
    value: object = fields
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _field(facts: RowData, field: str) -> str:
    value = _looked_up(facts.fields, field)
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return clean_line(text, 500)


class PlacedColumn(NamedTuple):
    """A column with the width that it has on the screen."""

    column: Column
    width: int


def place(chosen: Sequence[ColumnSetting], width: int) -> list[PlacedColumn]:
    """The columns that fit `width`, each with its width; the one that takes what is left is always there."""
    wanted = [(column_of(one.name), one.wider) for one in chosen]
    greedy = any(column.least == 0 for column, _ in wanted)
    room = width - (12 if greedy else 0)
    places: list[PlacedColumn] = []
    for column, wider in wanted:
        if column.least == 0:
            places.append(PlacedColumn(column, 0))
            continue
        size = max(column.least + wider, 1)
        if size + 2 > room and places:
            continue
        places.append(PlacedColumn(column, min(size, max(room, 1))))
        room -= size + 2
    rest = max(room + 12, 8) if greedy else 0
    return [one if one.width else PlacedColumn(one.column, rest) for one in places]


def heading(places: Sequence[PlacedColumn], sorting: Sequence[SortKey], current: str = "") -> list[Part]:
    """The titles above the columns; a sorted one carries an arrow, and its rank if there are several.

    Args:
        current: the column that keys work upon.
    """
    parts: list[Part] = []
    for column, width in places:
        title, role = column.title, "muted"
        for rank, key in enumerate(sorting, 1):
            if key.name == column.name:
                arrow = ("▼" if key.down else "▲") + (str(rank) if len(sorting) > 1 else "")
                title = title[: max(width - len(arrow), 0)] + arrow
                role = "accent"
        if column.name == current:
            role = "cursor-away"
        parts += [(_aligned(title, width, column.right), role), ("  ", "base")]
    return parts[:-1]


def row_parts(places: Sequence[PlacedColumn], facts: RowData) -> list[Part]:
    """One job's row."""
    parts: list[Part] = []
    for column, width in places:
        role = "text"
        if column.name == "state":
            role = facts.look.role
        elif column.name == "reason":
            role = "error" if facts.missing is not None else "muted"
        elif column.name in ("id", "priority", "submitted", "started", "changed", "batch"):
            role = "muted"
        parts += [(_aligned(column.text(facts), width, column.right), role), ("  ", "base")]
    return parts[:-1]


def _aligned(text: str, width: int, right: bool) -> str:
    cut = fit(text, width)
    return cut.strip().rjust(width) if right and cut.endswith(" ") else cut


def sort_sql(keys: Sequence[SortKey]) -> list[str]:
    """What jobs are sorted by, as SQL over the job `j` and how it ended, `e`."""
    return [
        _field_sql(key.name.removeprefix(META)) if key.name.startswith(META) else column_of(key.name).sql
        for key in keys
    ]


def _field_sql(field: str) -> str:
    path = "$" + "".join(f'."{part}"' for part in field.replace('"', "").split("."))
    quoted = path.replace("'", "''")
    return f"CASE WHEN json_valid(j.metadata) THEN json_extract(j.metadata, '{quoted}') END"


def overlaid(values: Sequence[object], standing: SchedulerRow, keys: Sequence[SortKey]) -> list[object]:
    """A job's values, where the scheduler knows better than its row."""
    told = [column_of(key.name).overlay(standing) for key in keys]
    return [value if now is AS_READ else now for value, now in zip(values, told, strict=True)]
