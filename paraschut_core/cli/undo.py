"""`undo`: reverse an action."""

from __future__ import annotations

import click

from .context import CliContext, json_option, pass_project, show_report
from .param_types import PositiveInt


@click.command()
@click.argument("number", type=PositiveInt(), required=False, metavar="[NUMBER]")
@json_option
@pass_project
def undo(project: CliContext, number: int | None, as_json: bool) -> int:
    """Undo your last reset, qdel, set or boost, or the action NUMBER.

    Jobs that have changed since are skipped. Jobs that a deletion stopped are
    not restarted. For the numbers see: paraschut actions

    \b
    Examples:
      paraschut undo
      paraschut undo 12
    """
    from ..actions import undo as act

    with project.open() as ws:
        report = act(ws, number)
    return show_report(report, f"taken back ({report.verb})", explicit=True, as_json=as_json)


COMMANDS = {"undo": undo}
