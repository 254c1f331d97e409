"""The columns that the grid can show of each job in its row density, and how each sorts. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from paraschut_core.model import DONE_STATES, RUNNING, JobKey, JobRow, LiveJob, Missing, state_order
from paraschut_core.text import clean_line

from .figures import span
from .look import Look
from .strips import Part, fit

META = "meta."
"""What the name of a column for a metadata field begins with."""


class Facts(NamedTuple):
    """All that a column may tell of one job. `row` is None while it is being read."""

    key: JobKey
    look: Look
    glyph: str
    row: JobRow | None
    live: LiveJob | None
    missing: Missing | None
    spawns: tuple[int, int] | None
    fields: Mapping[str, object]
    now: float


class Column(NamedTuple):
    """One column. `least` is the width that it is useful at; 0 means all that is left."""

    name: str
    title: str
    least: int
    right: bool
    text: Callable[[Facts], str]
    value: Callable[[JobRow], object]
    help: str = ""


class Chosen(NamedTuple):
    """A column that is shown; `wider` is by how many columns the user made it wider."""

    name: str
    wider: int = 0


class SortKey(NamedTuple):
    """One of the columns that rows are sorted by."""

    name: str
    down: bool = False


def _state(facts: Facts) -> str:
    words = clean_line(facts.row.state) if facts.row is not None else facts.look.label
    return f"{facts.glyph} {words}"


def _online(facts: Facts) -> str:
    if facts.spawns is not None:
        return f"{facts.spawns[0]}/{facts.spawns[1]}"
    if facts.live is None:
        return ""
    return "*" if facts.live.state == RUNNING else clean_line(facts.live.state)


def _reason(facts: Facts) -> str:
    if facts.missing is not None:
        return clean_line(facts.missing.reason, 500)
    if facts.live is not None and facts.live.reason:
        return clean_line(facts.live.reason, 500)
    return clean_line(facts.row.ending, 500) if facts.row is not None and facts.row.ending else ""


def _elapsed(facts: Facts) -> str:
    row = facts.row
    if row is None or row.started_at is None or row.state in ("init", "submit"):
        return ""
    end = row.changed_at if row.state in DONE_STATES or facts.missing is not None else facts.now
    return span(end - row.started_at)


def _of_row(get: Callable[[JobRow], object]) -> Callable[[Facts], str]:
    def text(facts: Facts) -> str:
        value = get(facts.row) if facts.row is not None else None
        return "" if value is None else clean_line(value, 500)

    return text


def _id(row: JobRow) -> str | None:
    return row.cluster_id or row.submit_id


def _priority(row: JobRow) -> str:
    return f"{row.priority:g}"


def _by_time(row: JobRow) -> object:
    if row.started_at is None:
        return None
    return (row.changed_at if row.state in DONE_STATES else float("inf")) - row.started_at


def _ago(get: Callable[[JobRow], float | None]) -> Callable[[Facts], str]:
    """How long ago that moment of the row was."""

    def text(facts: Facts) -> str:
        at = get(facts.row) if facts.row is not None else None
        return "" if at is None else span(facts.now - at)

    return text


def _backwards(get: Callable[[JobRow], float | None]) -> Callable[[JobRow], object]:
    """The value that sorts moments by how long ago they were."""

    def value(row: JobRow) -> object:
        at = get(row)
        return None if at is None else -at

    return value


def _submitted(row: JobRow) -> float | None:
    return row.submitted_at


def _started(row: JobRow) -> float | None:
    return row.started_at


def _changed(row: JobRow) -> float | None:
    return row.changed_at


_ALL = (
    Column("index", "JOB", 6, True, lambda f: str(f.key.job_index), lambda r: r.key.job_index, "JobIndex"),
    Column("batch", "BATCH", 14, False, lambda f: str(f.key.batch_id), lambda r: r.key.batch_id, "BatchID"),
    Column("state", "STATE", 11, False, _state, lambda r: state_order(r.state), "the state in the index"),
    Column("online", "ONLINE", 7, False, _online, lambda r: r.cluster_id or "", "what the scheduler says"),
    Column("attempt", "TRY", 3, True, _of_row(lambda r: r.attempt or ""), lambda r: r.attempt, "submissions"),
    Column("priority", "PRIO", 4, True, _of_row(_priority), lambda r: r.priority, "the priority"),
    Column("id", "ID", 12, False, _of_row(_id), _id, "the scheduler's id"),
    Column("host", "HOST", 10, False, _of_row(lambda r: r.hostname), lambda r: r.hostname, "where it ran"),
    Column("submitted", "SUBM", 5, True, _ago(_submitted), _backwards(_submitted), "since it was submitted"),
    Column("started", "START", 5, True, _ago(_started), _backwards(_started), "since it started"),
    Column("elapsed", "TIME", 5, True, _elapsed, _by_time, "how long it runs or ran"),
    Column("changed", "CHANGE", 6, True, _ago(_changed), _backwards(_changed), "since it changed"),
    Column(
        "reason", "REASON", 0, False, _reason, lambda r: r.ending or "", "why it is lost, waits, or ended"
    ),
)

COLUMNS: Mapping[str, Column] = {column.name: column for column in _ALL}

DEFAULT = tuple(
    Chosen(name)
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
    return Column(
        name, title, max(len(title), 10), False, lambda facts: _field(facts, field), lambda row: None
    )


def _looked_up(fields: Mapping[str, object], path: str) -> object:
    """The metadata's `field`, or `field.part`."""
    value: object = fields
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _field(facts: Facts, field: str) -> str:
    value = _looked_up(facts.fields, field)
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return clean_line(text, 500)


class Place(NamedTuple):
    """A column with the width that it has on the screen."""

    column: Column
    width: int


def place(chosen: Sequence[Chosen], width: int) -> list[Place]:
    """The columns that fit `width`, each with its width; the one that takes what is left is always there."""
    wanted = [(column_of(one.name), one.wider) for one in chosen]
    greedy = any(column.least == 0 for column, _ in wanted)
    room = width - (12 if greedy else 0)
    places: list[Place] = []
    for column, wider in wanted:
        if column.least == 0:
            places.append(Place(column, 0))
            continue
        size = max(column.least + wider, 1)
        if size + 2 > room and places:
            continue
        places.append(Place(column, min(size, max(room, 1))))
        room -= size + 2
    rest = max(room + 12, 8) if greedy else 0
    return [one if one.width else Place(one.column, rest) for one in places]


def heading(places: Sequence[Place], sorting: Sequence[SortKey]) -> list[Part]:
    """The titles above the columns; a sorted one carries an arrow, and its rank if there are several."""
    parts: list[Part] = []
    for column, width in places:
        title, role = column.title, "muted"
        for rank, key in enumerate(sorting, 1):
            if key.name == column.name:
                arrow = ("▼" if key.down else "▲") + (str(rank) if len(sorting) > 1 else "")
                title = title[: max(width - len(arrow), 0)] + arrow
                role = "accent"
        parts += [(_aligned(title, width, column.right), role), ("  ", "base")]
    return parts[:-1]


def row_parts(places: Sequence[Place], facts: Facts) -> list[Part]:
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


def sort_rows(
    rows: Sequence[JobRow], fields: Mapping[JobKey, Mapping[str, object]], keys: Sequence[SortKey]
) -> list[JobKey]:
    """The jobs in the order of `keys`, the first one first; what a job does not have comes last."""
    ordered = list(rows)
    for key in reversed(keys):
        ordered.sort(key=lambda row: _rank(row, key, fields), reverse=key.down)
    return [row.key for row in ordered]


def _rank(
    row: JobRow, key: SortKey, fields: Mapping[JobKey, Mapping[str, object]]
) -> tuple[int, int, object]:
    if key.name.startswith(META):
        value = _looked_up(fields.get(row.key, {}), key.name.removeprefix(META))
    else:
        value = column_of(key.name).value(row)
    if value is None or value == "":
        return (0 if key.down else 2), 0, 0
    if isinstance(value, (int, float)):
        return 1, 0, value
    return (1, 1, value) if isinstance(value, tuple) else (1, 2, str(value))
