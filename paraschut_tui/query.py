"""The filter language: words and field:value terms, made into an SQLite condition and a wish about missing.

state:missing,run  batch:2026  host:n12  age:>2h  exit:137  attempt:>1  log:"CUDA error"  !term  sql: ...
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from paraschut_core.errors import FilterError
from paraschut_core.model import ONLINE_STATES

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WORD = re.compile(r"""\s*(?P<not>[!-]?)(?:(?P<field>[A-Za-z_.]+):)?(?P<value>"[^"]*"?|'[^']*'?|\S*)""")
_COMPARE = re.compile(r"(>=|<=|>|<|=)?\s*(-?\d+(?:\.\d+)?)\s*([smhdw]?)$")
_SQL = re.compile(r"[=<>]|^(AND|OR|NOT|LIKE|GLOB|IN|IS|BETWEEN)$")
"""A word that only makes sense in an SQLite condition: then all of the text is one."""

_SPAN = re.compile(r"(-?\d+)-(-?\d+)$")


class Query(NamedTuple):
    """What a filter means.

    `condition` is for SQLite ("" matches all). `lost` True keeps only missing jobs, False only others,
    None both. With `or_lost` there is a second condition, whose jobs match if they are missing. `log`
    are texts that must be in a job's latest log.
    """

    text: str
    condition: str = ""
    lost: bool | None = None
    or_lost: str = ""
    log: tuple[str, ...] = ()


def parse(text: str, now: float | None = None) -> Query:
    """The meaning of a filter's text.

    Raises:
        FilterError: a term that is none; the message says what is allowed.
    """
    text = text.strip()
    if text.startswith("sql:"):
        return Query(text, text[4:].strip())
    now = time.time() if now is None else now
    terms: list[str] = []
    states: list[str] | None = None
    logs: list[str] = []
    found = False  # whether "not missing" was asked for
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None or match.end() == position:
            break
        position = match.end()
        field, value = match["field"] or "", match["value"].strip("\"'")
        if not value:
            continue
        if not field and _SQL.search(value):
            return Query(text, text)
        if field == "log" and not match["not"]:
            logs.append(value)
            continue
        if field == "state" and not match["not"]:
            states = (states or []) + [state for state in value.split(",") if state]
            continue
        if field == "state" and value == "missing":
            found = True
            continue
        term = _term(field, value, now)
        terms.append(f"NOT ({term})" if match["not"] else term)
    query = _with_states(text, terms, states)._replace(log=tuple(logs))
    return query._replace(lost=False) if found and query.lost is None else query


def _with_states(text: str, terms: list[str], states: list[str] | None) -> Query:
    if states is None:
        return Query(text, " AND ".join(terms))
    plain = [state for state in states if state != "missing"]
    online = f"state IN ({_list(sorted(ONLINE_STATES))})"
    if not plain:
        return Query(text, " AND ".join([*terms, online]), lost=True)
    condition = " AND ".join([*terms, f"state IN ({_list(plain)})"])
    if "missing" not in states:
        return Query(text, condition, lost=False)
    return Query(text, condition, lost=False, or_lost=" AND ".join([*terms, online]))


def _term(field: str, value: str, now: float) -> str:
    if not field:
        return _anything(value)
    name = field.lower()
    if name in _FIELDS:
        return _FIELDS[name](value)
    if name == "age":
        return _age("changed_at", value, now)
    if name == "started":
        return _age("started_at", value, now)
    if name.startswith("meta."):
        path = field[5:].replace("'", "").replace('"', "")
        return f"""CAST(json_extract(metadata, '$."{path}"') AS TEXT) LIKE {_like(value)}"""
    known = ", ".join(f"{name}:" for name in FIELDS)
    raise FilterError(
        f"There is no field {field}: to filter by; there are {known}, and sql: for a condition."
    )


def _anything(value: str) -> str:
    term = f"name LIKE {_like(value)}"
    return f"({term} OR JobIndex = {int(value)} OR BatchID = {int(value)})" if value.isdecimal() else term


def _batch(value: str) -> str:
    parts = []
    for part in value.split(","):
        if part.isdecimal() and len(part) >= 14:
            parts.append(f"BatchID = {int(part)}")
        elif part.isdecimal():
            parts.append(f"CAST(BatchID AS TEXT) LIKE {_quote(part + '%')}")
        else:
            parts.append(f"name LIKE {_like(part)}")
    return "(" + " OR ".join(parts) + ")"


def _numbers(column: str) -> Callable[[str], str]:
    def term(value: str) -> str:
        parts = []
        for part in value.split(","):
            span = _SPAN.match(part)
            if span is not None:
                parts.append(f"{column} BETWEEN {int(span[1])} AND {int(span[2])}")
                continue
            match = _COMPARE.match(part)
            if match is None or match[3]:
                raise FilterError(f"{part!r} is not a number: write 3, >3, <=3, 3-9 or 3,5.")
            parts.append(f"{column} {match[1] or '='} {match[2]}")
        return "(" + " OR ".join(parts) + ")"

    return term


def _texts(*columns: str) -> Callable[[str], str]:
    def term(value: str) -> str:
        return (
            "(" + " OR ".join(f"{c} LIKE {_like(part)}" for part in value.split(",") for c in columns) + ")"
        )

    return term


def _age(column: str, value: str, now: float) -> str:
    match = _COMPARE.match(value)
    if match is None:
        raise FilterError(f"{value!r} is not an age: write >2h, <30m, >1d.")
    seconds = float(match[2]) * _UNITS[match[3] or "s"]
    older = (match[1] or ">").startswith(">")
    return f"{column} {'<' if older else '>'} {now - seconds:.0f}"


_FIELDS: dict[str, Callable[[str], str]] = {
    "name": _texts("name"),
    "batch": _batch,
    "type": _texts("batch_type"),
    "host": _texts("hostname"),
    "id": _texts("ClusterID", "submit_id"),
    "reason": _texts("reason"),
    "exit": _numbers("exit_status"),
    "signal": _numbers("signal"),
    "attempt": _numbers("attempt"),
    "priority": _numbers("priority"),
    "index": _numbers("JobIndex"),
    "state": lambda value: f"state IN ({_list(value.split(','))})",
}

FIELDS = ("state", *(name for name in _FIELDS if name != "state"), "age", "started", "log", "meta.FIELD")
"""Names of the fields, in the order to offer them."""


def _like(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return _quote(f"%{escaped}%") + " ESCAPE '\\'"


def _list(values: list[str]) -> str:
    return ", ".join(_quote(value) for value in values)


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
