"""`boost` and `collect`."""

from __future__ import annotations

import click

from .job_command import JobCommand, job_command
from .param_types import FiniteFloat


@job_command()
@click.option(
    "--by", type=FiniteFloat(), default=100, metavar="N", help="Add this to the priority (default 100)."
)
def boost(command: JobCommand, by: float) -> int:
    """Raise the priority of jobs. From 100 on it counts across all batches.

    \b
    Examples:
      paraschut boost 20250101120000           # before all other batches
      paraschut boost 20250101120000 --by -100
    """
    from ..actions import boost as act

    step = int(by) if by.is_integer() else by
    return command.run(
        lambda call: act(call.ws, call.selection, step, command=call.command, watcher=call.watcher),
        verb="boost",
        done=f"boosted by {step:g}",
    )


@job_command()
def collect(command: JobCommand) -> int:
    """Mark complete jobs as collected: their results are used.

    \b
    Examples:
      paraschut collect 20250101120000
    """
    from ..actions import mark_collected

    return command.run(
        lambda call: mark_collected(call.ws, call.selection, command=call.command, watcher=call.watcher),
        verb="collect",
        done="collected",
    )


COMMANDS = {"boost": boost, "collect": collect}
