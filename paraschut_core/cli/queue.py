"""`queue`: the report of all jobs, as a table, as v0.6's lines, or as JSON."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from ..model import DONE_STATES, JobKey, name_text, state_order
from ..sanitize import spans
from . import complain, output
from .context import CliContext, filter_option, json_option, pass_project, report_unknown_words

if TYPE_CHECKING:
    from ..project import Project
    from ..reporting.queue_report import QueueReport


@click.command()
@json_option
@filter_option
@click.option("--display", metavar="STATE,...", help="Show these states only; totals stay.")
@click.option("--poll", is_flag=True, help="Poll the scheduler now, even if the last poll is recent.")
@click.option("--report-missing", is_flag=True, help="Also print the stderr of missing jobs.")
@click.option("--reset-missing", is_flag=True, help="Set missing jobs back to init.")
@pass_project
def queue(
    project: CliContext,
    as_json: bool,
    condition: str,
    display: str | None,
    poll: bool,
    report_missing: bool,
    reset_missing: bool,
) -> int:
    """Report the state of all jobs, and which are missing and why.

    An asterisk marks a job that the scheduler says is running (for a spawn job
    one for each). FILTER is words, as in the dashboard, or an SQL condition. Its columns:
    BatchID, JobIndex, state, priority, name, batch_type, ClusterID, hostname,
    subtime, missing; other fields through json_extract.

    \b
    Examples:
      paraschut queue --display run,submit
      paraschut queue --filter 'state:missing exit:137'
      paraschut queue --filter 'name LIKE "%map%" AND priority > 1' --json
    """
    from ..reporting.queue_report import read_queue

    with project.open() as ws:
        found = read_queue(ws, condition, force_poll=poll)
        if condition.strip() and not found.jobs:
            report_unknown_words(ws, condition)
        states = None if display is None else _states_to_display(ws, display)
        if as_json:
            output.dump(as_dict(found, states))
        else:
            _show(found, states)
        if report_missing and not as_json:
            _show_stderr(found)
        if reset_missing:
            from ..actions import reset_missing as reset

            report = reset(ws, found.stamps())
            if not as_json:
                output.line(f"\nreset: {report.done} missing jobs")
    return 0


def _states_to_display(ws: Project, text: str) -> set[str]:
    """The states of `--display`: synonyms replaced, unknown ones reported."""
    from ..filtering.find_jobs import known_states
    from ..near_misses import STATE_SYNONYMS, near

    known = known_states(ws.reader)
    states = set()
    for state in (part.strip() for part in text.split(",")):
        meant = state if state in known else STATE_SYNONYMS.get(state.lower(), state)
        if meant not in known:
            guess = near(meant, sorted(known), STATE_SYNONYMS)
            complain(f"No job has the state {state}" + (f"; did you mean {guess}?" if guess else "."))
        states.add(meant)
    return states


def as_dict(queue: QueueReport, display: Collection[str] | None = None) -> dict[str, Any]:
    """The report as JSON shows it."""
    from ..reporting.queue_report import indices_of

    missing = {batch: [info["JobIndex"] for info in infos] for batch, infos in queue.missing().items()}
    batches = []
    for batch_id, infos in queue.jobs.items():
        states = indices_of(infos, display)
        if states:
            batches.append(
                {
                    "BatchID": batch_id,
                    "name": name_text(infos[0].get("name", "?")),
                    "batch_type": str(infos[0].get("batch_type", "")),
                    "states": states,
                    "online": [
                        i["JobIndex"] for i in infos if JobKey(batch_id, i["JobIndex"]) in queue.online
                    ],
                    "missing": missing.get(batch_id, []),
                }
            )
    return {
        "batches": batches,
        "counts": {
            "total": queue.total,
            "running": queue.running,
            "complete": queue.complete,
            "missing": sum(map(len, missing.values())),
        },
        "queue": {
            "executor": queue.executor,
            "connected": queue.connected,
            "total": queue.in_queue,
            "error": queue.error,
            "failing_since": queue.failing_since,
            "notice": queue.notice,
            "orphans": queue.orphans,
        },
        "elsewhere": {str(key): where for key, where in queue.elsewhere().items()},
        "refused": {str(batch_id): words for batch_id, words in queue.refused.items()},
        "reasons": {str(key): lost._asdict() for key, lost in queue.reasons().items()},
    }


def _show(queue: QueueReport, display: Collection[str] | None) -> None:
    from ..reporting.queue_report import indices_of, lines_of

    if not output.on_terminal():
        for text in lines_of(queue, display):
            output.line(text)
        return
    rows = []
    missing = queue.missing()
    for batch_id, infos in queue.jobs.items():
        states = indices_of(infos, display)
        if states:
            done = sum(info["state"] in DONE_STATES for info in infos)
            rows.append(
                (
                    batch_id,
                    name_text(infos[0].get("name", "?")),
                    f"{done}/{len(infos)}",
                    _state_lines(states),
                    sum(queue.online.get(JobKey(batch_id, info["JobIndex"]), 0) for info in infos) or "",
                    spans(info["JobIndex"] for info in missing.get(batch_id, ())),
                )
            )
    output.table(("batch", "name", "done", "states", "running", "missing"), rows)
    _show_end(queue)


def _state_lines(states: dict[str, list[int]]) -> str:
    ordered = sorted(states, key=state_order)
    return ", ".join(f"{state or repr(state)} {spans(states[state])}" for state in ordered)


def _show_end(queue: QueueReport) -> None:
    """The lines below the table."""
    from ..monitoring.polling import outage_message
    from ..reporting.queue_report import elsewhere_lines

    output.line()
    for batch_id, words in queue.refused.items():
        output.problem(f"{batch_id}: {words}")
    for key, lost in queue.reasons().items():
        output.line(f"missing {key}: {lost.reason}")
    for infos in queue.jobs.values():
        for info in infos:
            if "unreadable" in info:
                output.line(info["unreadable"])
    for text in elsewhere_lines(queue):
        output.line(text.strip())
    if queue.orphans:
        output.problem(queue.orphans)
    if queue.notice:
        output.line(queue.notice)
    if not queue.connected:
        output.line(outage_message(queue.executor, queue.failing_since, queue.error))
    output.line(f"total jobs on server queue: {queue.in_queue}")
    output.line(f"running/complete/total: {queue.running}/{queue.complete}/{queue.total}")


def _show_stderr(queue: QueueReport) -> None:
    from ..reporting.queue_report import log_lines

    lost = queue.missing()
    if lost:
        output.line("\nerror logs for missing jobs:\n")
    for infos in lost.values():
        for info in infos:
            for text in log_lines(info, "stderr", -1, None, None):
                click.echo(text)


COMMANDS = {"queue": queue}
