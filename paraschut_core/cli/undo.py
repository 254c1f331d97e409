"""`undo`: takes an action back."""

from __future__ import annotations

import click

from .context import CliContext, json_option, pass_project, show_report
from .param_types import PositiveInt


@click.command()
@click.argument("number", type=PositiveInt(), required=False, metavar="[NUMBER]")
@json_option
@pass_project
def undo(project: CliContext, number: int | None, as_json: bool) -> int:
    """Take back your last reset, qdel, set or boost, or the action NUMBER.

    Jobs that changed since are left as they are. What a deletion ended stays
    ended. The numbers are in: paraschut actions

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
