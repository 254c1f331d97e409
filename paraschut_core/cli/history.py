"""`history` and `actions`: what happened to jobs, and what users did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..model import COMPLETE, INIT
from . import output
from .context import CliContext, complete_batch, json_option, one_job, pass_project, read_batches
from .param_types import PositiveInt

if TYPE_CHECKING:
    from ..model import Event


@click.command()
@click.argument("batch", metavar="BATCH", shell_complete=complete_batch)
@click.argument("job", required=False, metavar="[JOB]")
@click.option("--last", type=PositiveInt(), default=None, metavar="N", help="The last N entries only.")
@json_option
@pass_project
def history(project: CliContext, batch: str, job: str | None, last: int | None, as_json: bool) -> int:
    """Show what happened to a batch or a job: when, by whom, from which state to which, why.

    \b
    Examples:
      paraschut history 20250101120000         # of all its jobs
      paraschut history 20250101120000 7 --last 5
    """
    from ..database.events import read_events
    from ..database.jobs import require_batch

    with project.open() as ws:
        batch_id = read_batches(batch)[0]
        require_batch(ws.reader, batch_id)
        index = None if job is None else one_job(ws, batch, job).job_index
        events = read_events(ws.reader, batch_id, index, -1 if last is None else last)
    if as_json:
        output.dump([_event(event) for event in events])
    elif not events:
        output.line("nothing is recorded")
    else:
        output.table(
            ("when", "job", "attempt", "from", "to", "why", "who"),
            [
                (
                    output.when(event.at),
                    "all" if event.key.job_index < 0 else event.key.job_index,
                    event.attempt or "",
                    event.before,
                    event.after,
                    event.why + _changes(event),
                    event.who,
                )
                for event in events
            ],
        )
    return 0


def _event(event: Event) -> dict[str, Any]:
    found = event._asdict()
    key = found.pop("key")
    # What an undo needs is no business of a reader's.
    changed = found.pop("detail").get("changed", {})
    return {
        "BatchID": key.batch_id,
        "JobIndex": None if key.job_index < 0 else key.job_index,
        **found,
        "changed": changed,
        "ids": _dropped_ids(event),
    }


def _dropped_ids(event: Event) -> dict[str, str]:
    """The scheduler's ids that the job had until then: its end and a reset drop them."""
    if event.after not in (INIT, COMPLETE):
        return {}
    kept = event.detail.get("ids") or event.detail.get("columns", {})
    return {name: str(kept[name]) for name in ("submit_id", "ClusterID") if kept.get(name)}


def _changes(event: Event) -> str:
    changed = event.detail.get("changed", {})
    parts = [f"{name}: {old!r} -> {new!r}" for name, (old, new) in changed.items() if name != "state"]
    ids = sorted(set(_dropped_ids(event).values()))
    parts += [f"was {' '.join(ids)}"] if ids else []
    return f" ({', '.join(parts)})" if parts else ""


@click.command()
@click.option("--last", type=PositiveInt(), default=20, metavar="N", help="The last N (default 20).")
@json_option
@pass_project
def actions(project: CliContext, last: int, as_json: bool) -> int:
    """Show what users did: resets, deletions, changes, submissions, removals.

    \b
    Examples:
      paraschut actions --last 5
    """
    from ..database.events import read_actions

    with project.open() as ws:
        found = read_actions(ws.reader, last)
    if as_json:
        output.dump([action._asdict() for action in found])
        return 0
    if not found:
        output.line("no actions recorded")
        return 0
    output.table(
        ("number", "when", "who", "what", "jobs", "undo", "command"),
        [
            (
                action.id,
                output.when(action.at),
                action.who,
                action.verb,
                action.jobs,
                "undone" if action.undone else "possible" if action.can_undo else "",
                action.command,
            )
            for action in found
        ],
    )
    return 0


COMMANDS = {"history": history, "actions": actions}
