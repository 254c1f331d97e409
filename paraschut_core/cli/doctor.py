"""`doctor`: checks that everything works."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from . import output
from .context import CliContext, json_option, pass_project
from .param_types import FiniteFloat

if TYPE_CHECKING:
    from ..maintenance.doctor import CheckResult


@click.command()
@click.option(
    "--probe", is_flag=True, help="Also submit a test job that checks the database from a compute node."
)
@click.option(
    "--wait", type=FiniteFloat(0, 1e7), default=600, metavar="S", help="Seconds to wait for it (default 600)."
)
@json_option
@pass_project
def doctor(project: CliContext, probe: bool, wait: float, as_json: bool) -> int:
    """Check that everything works: one line a check, exit status 1 if any fails.

    Configuration, database, file system, locks (a second process tries to
    write), clock, job directory, scheduler, terminal. Nothing is changed.

    \b
    Examples:
      paraschut doctor
      paraschut doctor --probe                 # from a node of the cluster too
    """
    from .. import __version__
    from ..maintenance.doctor import FAIL, examine

    findings = []
    for finding in examine(lambda: project.settings, __version__):
        findings.append(finding)
        _show(finding, as_json)
    if probe and not any(finding.verdict == FAIL for finding in findings):
        from ..maintenance.node_probe import probe as run_probe

        with project.open() as ws:
            for finding in run_probe(ws, wait, lambda text: click.echo(text, err=True)):
                findings.append(finding)
                _show(finding, as_json)
    if as_json:
        output.dump([finding._asdict() for finding in findings])
    return 1 if any(finding.verdict == FAIL for finding in findings) else 0


def _show(finding: CheckResult, as_json: bool) -> None:
    if as_json:
        return
    from ..sanitize import clean_line

    colours = {"ok": "green", "warn": "yellow", "FAIL": "red"}
    word = f"{finding.verdict:<4}"
    if output.on_terminal() and not os.environ.get("NO_COLOR"):
        word = click.style(word, fg=colours[finding.verdict], bold=finding.verdict == "FAIL")
    click.echo(f"{word}  {finding.what}: {clean_line(finding.detail)}")


COMMANDS = {"doctor": doctor}
