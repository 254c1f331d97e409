"""`qdel`: deletes jobs from the scheduler's queue."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ..sanitize import plural
from . import output
from .job_command import JobCommand, job_command

if TYPE_CHECKING:
    from ..actions import Selection
    from ..project import Project


@job_command()
@click.option("--orphans", is_flag=True, help="Jobs still in the queue of batches removed by force.")
def qdel(command: JobCommand, orphans: bool) -> int:
    """Delete jobs from the scheduler's queue; they go back to init.

    Only what is in the queue: a job that failed stays as it is (reset is for
    that). Asks first where something runs.

    \b
    Examples:
      paraschut qdel 20250101120000
      paraschut qdel --filter 'state == "run" AND hostname == "n12"'
    """
    from ..actions import qdel as act

    if orphans:
        if command.targets or command.condition or command.missing:
            raise UsageError("--orphans is for removed batches: leave out BATCH, --filter and --missing.")
        return _end_orphans(command)
    return command.run(
        lambda call: act(
            call.ws, call.selection, command=call.command, watcher=call.watcher, shown=call.shown
        ),
        verb="qdel",
        done="deleted from the queue",
        question=_what_runs,
    )


def _end_orphans(command: JobCommand) -> int:
    from ..actions.orphans import end_orphans

    with command.project.open() as ws:
        ended = end_orphans(ws)
    if command.as_json:
        output.dump(
            {
                "deleted": [[*one.key, one.id] for one in ended.killed],
                "over": [[*one.key, one.id] for one in ended.over],
                "left": [[*one.key, one.id, why] for one, why in ended.left],
            }
        )
        return 1 if ended.left else 0
    for one, why in ended.left:
        output.line(f"not deleted: {one.key} {one.id}: {why}")
    output.line(f"{len(ended.killed):,} deleted from the queue, {len(ended.over):,} were over")
    return 1 if ended.left else 0


def _what_runs(ws: Project, selection: Selection) -> str:
    """Ask before anything is killed."""
    from ..actions import Hold, preview

    if not sys.stdin.isatty():
        return ""  # not a terminal: no question, so no need to poll
    found = preview(ws, selection)
    runs = found.held.get(Hold.RUNNING, 0)
    if not runs:
        return ""
    which = "it runs and is killed" if found.queued == 1 else f"{runs:,} of them run and are killed"
    return f"Delete {plural(found.queued, 'job')} from the queue ({which})?"


COMMANDS = {"qdel": qdel}
