"""What the overview says: its lists, as lines, and the jobs that each line leads to. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from paraschut_core.filtering.sql_terms import quote
from paraschut_core.model import Batch, JobKey
from paraschut_core.reporting.statistics import WINDOWS, Forecast, SlowJob, StatisticsSummary, TimeBucket
from paraschut_core.sanitize import clean_line

from ..formatting import bar, count, duration, percent
from ..state_styles import L_COMPLETE, L_RUN, StateStyles
from ..widgets.styled_line import Part, fit

_PLAIN = re.compile(r"[\w.-]+")

WORDS = {"1h": "last hour", "6h": "last 6 hours", "1d": "last day", "all": "all the time"}
"""The windows of time in words."""


class NavigationTarget(NamedTuple):
    """Where a line leads to: a batch, a job, or a filter."""

    batch_id: int | None = None
    job: JobKey | None = None
    filter: str = ""


class OverviewLine(NamedTuple):
    """A line of a list, and where it leads to."""

    parts: Sequence[Part]
    target: NavigationTarget


class OverviewLists(NamedTuple):
    """The lists of the overview."""

    forecasts: Sequence[OverviewLine]
    reasons: Sequence[OverviewLine]
    slowest: Sequence[OverviewLine]
    hosts: Sequence[OverviewLine]


def lists(
    summary: StatisticsSummary, batches: Mapping[int, Batch], held_back: Mapping[int, str], looks: StateStyles
) -> OverviewLists:
    """The four lists.

    Args:
        held_back: why a batch does not move.
    """
    return OverviewLists(
        [_forecast(one, held_back.get(one.batch_id, "")) for one in summary.forecasts],
        _reasons(summary),
        [_slow(one, batches, looks) for one in summary.slowest],
        _hosts(summary),
    )


def _forecast(one: Forecast, why: str) -> OverviewLine:
    left = "" if one.seconds is None else f"~{duration(one.seconds)}"
    parts: list[Part] = [
        (f"{left or '?':>7} ", "accent" if left else "muted"),
        (f"{percent(one.done, one.total):>4}  ", "success"),
        (clean_line(one.name) or str(one.batch_id), "text"),
    ]
    if one.lost:
        parts.append((f"  {count(one.lost)} missing", "error"))
    elif why and one.seconds is None:
        parts.append((f"  {clean_line(why)}", "warning"))
    if one.per_minute and one.seconds is not None:
        parts.append((f"  {rate(one.per_minute)}", "muted"))
    return OverviewLine(parts, NavigationTarget(batch_id=one.batch_id))


def _reasons(summary: StatisticsSummary) -> list[OverviewLine]:
    most = max((reason.failed for reason in summary.reasons), default=1)
    entries = []
    for reason in summary.reasons:
        full, empty = bar(reason.failed, most, 8)
        parts: list[Part] = [
            (f"{count(reason.failed):>7} ", "error"),
            (full, "error"),
            (empty, "line"),
            (f"  {clean_line(reason.reason)}", "text"),
        ]
        entries.append(
            OverviewLine(parts, NavigationTarget(filter=_scoped(summary, reason_filter(reason.reason))))
        )
    return entries


def _hosts(summary: StatisticsSummary) -> list[OverviewLine]:
    entries = []
    for host in summary.hosts:
        whole = host.failed + host.completed
        parts: list[Part] = [
            (f"{count(host.failed):>7} ", "error"),
            (f"{percent(host.failed, whole):>4}", "warning" if 2 * host.failed >= whole else "muted"),
            (f"  {clean_line(host.host)}", "text"),
            (f"  of {count(whole)}", "muted"),
        ]
        entries.append(OverviewLine(parts, NavigationTarget(filter=host_filter(host.host, summary.batch_id))))
    return entries


def _slow(one: SlowJob, batches: Mapping[int, Batch], looks: StateStyles) -> OverviewLine:
    code = L_RUN if one.running else L_COMPLETE
    batch = batches.get(one.key.batch_id)
    name = clean_line(batch.name) if batch is not None else ""
    parts: list[Part] = [
        (f"{duration(one.seconds):>7} ", "accent" if one.running else "text"),
        (f"{looks.glyph(code)} ", looks.looks[code].role),
        (f"{one.key.job_index}", "text"),
        (f"  {name or one.key.batch_id}", "muted"),
        (f"  {clean_line(one.host)}" if one.host else "", "muted"),
    ]
    return OverviewLine(parts, NavigationTarget(job=one.key))


def reason_filter(reason: str) -> str:
    """The filter for jobs that ended so; what would end its quotes is left open."""
    return f'reason:"{reason.replace(chr(34), "*")}"'


def host_filter(host: str, batch_id: int | None) -> str:
    """The filter for jobs that ended badly on exactly this host."""
    if _PLAIN.fullmatch(host):
        return f"host:={host} reason:*" + (f" batch:{batch_id}" if batch_id is not None else "")
    of = f" AND BatchID = {batch_id}" if batch_id is not None else ""
    return f"sql: hostname = {quote(host)} AND reason IS NOT NULL{of}"


def _scoped(summary: StatisticsSummary, text: str) -> str:
    return text if summary.batch_id is None else f"{text} batch:{summary.batch_id}"


def rate(per_minute: float) -> str:
    """ "14/min", or "6/h" where that says more."""
    if per_minute >= 1 or not per_minute:
        return f"{per_minute:.0f}/min"
    return f"{per_minute * 60:.0f}/h" if per_minute * 60 >= 1 else f"{per_minute * 1440:.1f}/d"


# ------------------------------------------------------------------------------------ the curves


def spread(summary: StatisticsSummary, field: str) -> list[float]:
    """A field of the points over all of the window: what was not read yet, or was before everything, is 0."""
    values = [float(getattr(point, field)) for point in summary.points]
    length, width = WINDOWS[summary.window]
    return [0.0] * (round(length / width) - len(values) if length else 0) + values


def ticks(summary: StatisticsSummary, columns: int) -> list[tuple[int, str]]:
    """Points to name below a curve of so many columns, with their times; the last is now."""
    points = summary.points
    length, width = WINDOWS[summary.window]
    n = round(length / width) if length else len(points)
    if not points or n < 2:
        return [(0, "now")]
    last = points[-1].at
    parts = max(min(columns // 14, 6, n - 1), 1)
    long = n * summary.width > 3 * 86400
    places = [round(i * (n - 1) / parts) for i in range(parts)]
    times = [last - (n - 1 - at) * summary.width for at in places]
    named = [time.strftime("%m-%d" if long else "%H:%M", time.localtime(at)) for at in times]
    return [*zip(places, named, strict=True), (n - 1, "now")]


def heading(summary: StatisticsSummary, batches: Mapping[int, Batch], *, narrow: bool) -> list[Part]:
    """The first line: of what, since when, how many."""
    batch = batches.get(summary.batch_id) if summary.batch_id is not None else None
    what = "all batches" if summary.batch_id is None else (clean_line(batch.name) if batch else "")
    parts: list[Part] = [
        (" OVERVIEW", "accent-bold"),
        (f"  {what or summary.batch_id}", "bold"),
        ("" if narrow else f"  {WORDS[summary.window]}", "text"),
        (f"  {count(summary.completed)} completed", "success"),
        (f"  {count(summary.failed)} failed", "error" if summary.failed else "muted"),
    ]
    return parts if summary.whole else [*parts, ("  reading", "muted")]


def throughput_title(points: Sequence[TimeBucket], width: int) -> list[Part]:
    """Above the left curve."""
    now = points[-1].per_minute if points else 0.0
    most = max((point.per_minute for point in points), default=0.0)
    text = f"now {rate(now)}  most {rate(most)}"
    return [(" completed ", "success"), (fit(text, max(width - 13, 0)).rstrip(), "muted")]


def load_title(summary: StatisticsSummary) -> list[Part]:
    """Above the right curve."""
    last = summary.points[-1] if summary.points else None
    parts: list[Part] = [
        (" running ", "accent"),
        (count(last.running if last else 0), "text"),
        ("  queued ", "queued"),
        (count(last.queued if last else 0), "text"),
    ]
    return [*parts, (f"  {count(summary.lost)} of them missing", "error")] if summary.lost else parts
