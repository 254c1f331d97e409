"""`stats`: throughput, forecasts, why jobs failed and where, which took longest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import output
from .context import CliContext, json_option, pass_project, read_batches

if TYPE_CHECKING:
    from ..reporting.statistics import Forecast, StatisticsSummary

_SHOWN = 10
"""Entries of each list that people are shown; JSON has them all."""


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
@click.option(
    "--window",
    type=click.Choice(("1h", "6h", "1d", "all")),
    default="1d",
    show_default=True,
    help="How far back to report.",
)
@json_option
@pass_project
def stats(project: CliContext, batch: str | None, window: str, as_json: bool) -> int:
    """Show how the work went, of all batches or of one.

    Jobs completed, running and queued over time; when each batch will be done at
    its present pace; why attempts failed, and on which hosts; the jobs that took
    longest. The dashboard draws the same on its overview (key V).

    \b
    Examples:
      paraschut stats
      paraschut stats 20250101120000 --window 1h
      paraschut stats --window all --json
    """
    from ..database.jobs import require_batch
    from ..errors import UsageError
    from ..reporting.statistics import HistoryAggregator

    with project.open() as ws:
        batch_id = None
        if batch is not None:
            batches = read_batches(batch)
            if len(batches) > 1:
                raise UsageError("Name one BATCH, or none for all of them.")
            batch_id = batches[0]
            require_batch(ws.reader, batch_id)
        found = HistoryAggregator(ws.reader, window, batch_id).read()
    if as_json:
        output.dump(as_dict(found))
    else:
        _show(found)
    return 0


def as_dict(found: StatisticsSummary) -> dict[str, object]:
    """The summary as JSON shows it; times are epoch seconds, spans seconds."""
    return {
        "window": found.window,
        "BatchID": found.batch_id,
        "since": found.since,
        "until": found.until,
        "completed": found.completed,
        "failed": found.failed,
        "lost": found.lost,
        "points": [point._asdict() for point in found.points],
        "forecasts": [
            {"BatchID": one.batch_id, **{k: v for k, v in one._asdict().items() if k != "batch_id"}}
            for one in found.forecasts
        ],
        "reasons": [reason._asdict() for reason in found.reasons],
        "hosts": [host._asdict() for host in found.hosts],
        "slowest": [
            {
                "BatchID": one.key.batch_id,
                "JobIndex": one.key.job_index,
                **{k: v for k, v in one._asdict().items() if k != "key"},
            }
            for one in found.slowest
        ],
    }


def _show(found: StatisticsSummary) -> None:
    last = found.points[-1] if found.points else None
    minutes = max((found.until - found.since) / 60, 1)
    output.line(
        f"since {output.when(found.since)}: {found.completed:,} completed ({found.completed / minutes:.3g} a"
        f" minute), {found.failed:,} failed"
    )
    if last is not None:
        lost = f" ({found.lost:,} of them lost)" if found.lost else ""
        output.line(f"now: {last.running:,} running, {last.queued:,} queued{lost}")
    if found.completed or found.failed:
        output.line()
        output.table(
            ("from", "completed", "per minute", "running", "queued"),
            [
                (output.when(p.at), p.completed, f"{p.per_minute:.3g}", p.running, p.queued)
                for p in found.points[-_SHOWN:]
            ],
        )
    _part(
        ("batch", "name", "done", "per minute", "left"),
        [
            (one.batch_id, one.name, f"{one.done}/{one.total}", f"{one.per_minute:.3g}", _left(one))
            for one in found.forecasts
        ],
    )
    _part(("failed", "reason"), [(one.failed, one.reason) for one in found.reasons])
    _part(("failed", "completed", "host"), [(one.failed, one.completed, one.host) for one in found.hosts])
    _part(
        ("batch", "job", "ran", "host", "still runs"),
        [
            (*one.key, output.span(one.seconds), one.host, "yes" if one.running else "")
            for one in found.slowest
        ],
    )


def _left(one: Forecast) -> str:
    lost = f"{one.lost:,} lost" if one.lost else ""
    if one.seconds is None:
        return lost or "not known"
    return f"{output.span(one.seconds)}, {lost}" if lost else output.span(one.seconds)


def _part(headers: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    if rows:
        output.line()
        output.table(headers, rows[:_SHOWN])
        if len(rows) > _SHOWN:
            output.line(f"and {len(rows) - _SHOWN:,} more")


COMMANDS = {"stats": stats}
