"""The terms of a filter as SQL: texts, numbers, spans of time, fields of the metadata. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from paraschut_core.errors import FilterError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_COMPARE = re.compile(r"(>=|<=|!=|>|<|=)?\s*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*([smhdw]?)$")
_SPAN = re.compile(r"([-+]?\d+(?:\.\d+)?)-([-+]?\d+(?:\.\d+)?)$")
_TYPING = re.compile(r"[<>!=]*-?$")
"""What a number or a span of time begins with."""


class TermValue(NamedTuple):
    """What follows a field: all of it, and its alternatives; `quoted` if it stood in quotes."""

    text: str
    parts: tuple[str, ...] = ()
    quoted: bool = False

    def __bool__(self) -> bool:
        return bool(self.parts)


def quote(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"


def text_term(columns: Sequence[str], value: TermValue) -> str:
    """One of the columns holds one of the texts."""
    return " OR ".join(_alike(column, part) for part in value.parts for column in columns)


def _alike(column: str, text: str) -> str:
    if text.startswith("~"):
        return f"{column} REGEXP {quote(_pattern(text[1:]))}"
    if text.startswith("="):
        return f"{column} = {quote(text[1:])}"
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return f"{column} LIKE {quote('%' + escaped + '%')} ESCAPE '\\'"


def _pattern(text: str) -> str:
    """A regular expression; without capital letters it does not tell them from small ones."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise FilterError(f"{text!r} is no regular expression: {error}.") from error
    return text if text != text.lower() else f"(?i:{text})"


def number_term(column: str, value: TermValue) -> str:
    """The column is one of the numbers, or within one of the bounds."""
    return " OR ".join(_numeric(column, part) for part in value.parts if not _TYPING.match(part)) or "1"


def _numeric(column: str, part: str) -> str:
    span = _SPAN.match(part)
    if span is not None:
        return f"{column} BETWEEN {span[1]} AND {span[2]}"
    match = _COMPARE.match(part)
    if match is None or match[3]:
        raise FilterError(f"{part!r} is not a number: write 3, >3, <=3, 3-9 or 3,5.")
    return f"{column} {match[1] or '='} {match[2]}"


def span_term(expression: str, value: TermValue) -> str:
    """The expression, in seconds, is above or below a span of time; without a sign: above."""
    return " AND ".join(_longer(expression, part) for part in value.parts if not _TYPING.match(part)) or "1"


def _longer(expression: str, part: str) -> str:
    match = _COMPARE.match(part)
    if match is None:
        raise FilterError(f"{part!r} is not a span of time: write >2h, <30m, >1d.")
    sign = match[1] if match[1] in (">", ">=", "<", "<=") else ">"
    return f"{expression} {sign} {float(match[2]) * _UNITS[match[3] or 's']:.15g}"


def meta_term(path: str, value: TermValue | None) -> str:
    """A field of the metadata, or a part of one (`resources.mem`), is like the value; None: it is there."""
    where = quote("$" + "".join(f'."{part}"' for part in path.replace('"', "").split(".") if part))
    if value is None:
        return f"json_type(fields, {where}) IS NOT NULL"
    got = f"json_extract(fields, {where})"
    kind = f"json_type(fields, {where})"
    terms = []
    for part in value.parts:
        match = _COMPARE.match(part)
        if match is not None and not match[3] and not value.quoted:
            number = f"{kind} IN ('integer', 'real') AND {got} {match[1] or '='} {match[2]}"
            terms.append(f"({number})" + ("" if match[1] else f" OR {kind} = 'text' AND {_alike(got, part)}"))
        elif not _TYPING.match(part) or value.quoted:
            words = f"CASE {kind} WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE {got} END"
            terms.append(_alike(f"({words})", part))
    return " OR ".join(terms) or "1"
