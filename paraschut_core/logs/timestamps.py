"""Finding the place in a log where it was a given time, by halving the file."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import UsageError
from .log_file import LogError, OpenLog
from .rows import Row, row_start, rows_after, strip_escapes

_DAY = 86400
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = r"(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d|60))?(?![\d:])"
_DATED = re.compile(r"(?P<year>\d{4})[-/.](?P<month>\d\d?)[-/.](?P<day>\d\d?)(?:[T ,_]+" + _CLOCK + ")?")
_SYSLOG = re.compile(
    rf"\b(?P<name>{'|'.join(_MONTHS)})[a-z]*\.? +(?P<day>\d\d?)[, ]+" + _CLOCK, re.IGNORECASE
)
_BARE = re.compile(r"(?<![\d:.])" + _CLOCK)
_HEAD = 100  # a time further on in a line is rather what the line is about than when it was written
_LOOK = 400  # rows looked at for one that has a time
_NEAR = 1 << 16


class TimePoint(NamedTuple):
    """A time as a log or a person writes it: `day` is (year, month, day), parts that are not given None;
    `second` counts from midnight."""

    day: tuple[int | None, int, int] | None
    second: int


def parse_time(text: str, *, seconds: bool = False) -> TimePoint | None:
    """The first time in a text: `2026-11-22 12:05`, `2026/11/22T12:05:01`, `Nov 22 12:05:01`, `12:05`.

    `seconds` asks a time without a date to have its seconds, as logs write them: `12:05` may be anything.
    """
    if found := _DATED.search(text):
        day = (int(found["year"]), int(found["month"]), int(found["day"]))
        return TimePoint(day, _second(found) if found["hour"] else 0)
    if found := _SYSLOG.search(text):
        return TimePoint((None, _MONTHS.index(found["name"].lower()) + 1, int(found["day"])), _second(found))
    found = _BARE.search(text)
    if found is None or (seconds and found["second"] is None):
        return None
    return TimePoint(None, _second(found))


def find_time(log: OpenLog, text: str) -> int:
    """Where the first row begins that was written at the time `text` or later.

    Takes the log's times to be in order. In a log without dates, times smaller than the first are of the
    next day. A time without a date, in a log with dates, is of the last day on which there is such a one.

    Raises:
        UsageError: `text` is not a time.
        LogError: the log has no times at the begin of its lines, or cannot be read.
    """
    when = parse_time(text)
    if when is None:
        raise UsageError(f"{text!r} is not a time such as 12:05, 12:05:01 or 2026-11-22 12:05")
    first = _stamp_from(log, 0)
    if first is None:
        raise LogError(f"No times were found at the begin of the lines of {log.path}")
    origin = first[1]
    if when.day is None and origin.day is not None:
        last = _last_stamp(log) or origin
        day = last.day if when.second <= last.second else None
        # The last day may not have come to that time yet; then it is the day before, as far as known.
        when = TimePoint(day or _day_before(log, last) or origin.day, when.second)
    return _halve(log, _key(when, origin), origin)


def _halve(log: OpenLog, wanted: tuple[int, ...], origin: TimePoint) -> int:
    low, high = 0, log.size
    while high - low > _NEAR:
        middle = row_start(log, (low + high) // 2)
        found = _stamp_from(log, middle)
        if middle <= low:
            break
        if found is not None and _key(found[1], origin) < wanted:
            low = middle
        else:
            high = middle
    at = low
    while rows := rows_after(log, at, _LOOK):
        for row in rows:
            stamp = _stamp(row)
            if stamp is not None and _key(stamp, origin) >= wanted:
                return row.start
        at = rows[-1].end
    return row_start(log, log.size)


def _key(when: TimePoint, origin: TimePoint) -> tuple[int, ...]:
    """Sort key of a time in a log whose first time is `origin`."""
    if when.day is None or origin.day is None:
        return (when.second + (_DAY if when.second < origin.second else 0),)
    year, month, day = when.day
    if year is None or origin.day[0] is None:
        # Without a year, a month before the first one is of the next year.
        return (month + (12 if month < origin.day[1] else 0), day, when.second)
    return (year, month, day, when.second)


def _stamp(row: Row) -> TimePoint | None:
    return parse_time(strip_escapes(row.text[: 4 * _HEAD])[:_HEAD], seconds=True) if row.first else None


def _stamp_from(log: OpenLog, offset: int) -> tuple[Row, TimePoint] | None:
    """The first row with a time from `offset` on, within reason."""
    for row in rows_after(log, offset, _LOOK):
        stamp = _stamp(row)
        if stamp is not None:
            return row, stamp
    return None


def _last_stamp(log: OpenLog) -> TimePoint | None:
    for back in (_NEAR, 16 * _NEAR):
        rows = rows_after(log, row_start(log, max(log.size - back, 0)), 100 * _LOOK)
        stamps = [stamp for row in rows if (stamp := _stamp(row)) is not None]
        if stamps:
            return stamps[-1]
    return None


def _day_before(log: OpenLog, last: TimePoint) -> tuple[int | None, int, int] | None:
    """The day of the last row that was written before the day of `last`."""
    if last.day is None:
        return None
    midnight = _halve(log, _key(TimePoint(last.day, 0), last), last)
    before = row_start(log, midnight - 1) if midnight else 0
    for _ in range(_LOOK):
        rows = rows_after(log, before, 1)
        stamp = _stamp(rows[0]) if rows else None
        if stamp is not None:
            return stamp.day
        if before == 0:
            break
        before = row_start(log, before - 1)
    return None


def _second(found: re.Match[str]) -> int:
    return int(found["hour"]) * 3600 + int(found["minute"]) * 60 + int(found["second"] or 0)
