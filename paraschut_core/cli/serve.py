"""`serve`: the dashboard in a browser."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from ..errors import UsageError
from ..security.child_python import python
from . import output
from .context import CliContext, pass_project


@click.command()
@click.option("--host", default="127.0.0.1", metavar="HOST", help="Listen here (default 127.0.0.1).")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="This port (default: the first from 8000).",
)
@click.option("--read-only", is_flag=True, help="Show only; refuse every change.")
@click.option("--filter", "condition", default="", metavar="FILTER", help="Start with this filter.")
@click.option("--batch", type=click.IntRange(0), metavar="BATCH", help="Start at this batch.")
@pass_project
def serve(
    project: CliContext, host: str, port: int | None, read_only: bool, condition: str, batch: int | None
) -> int:
    """Show the dashboard in a browser, at the address that is printed.

    The address ends in a new secret each time. Anyone with this address can do
    what you can, unless --read-only is given. The server listens on localhost
    only, unless --host names another address. To reach a login node from your own
    machine, run `ssh -L 8000:127.0.0.1:8000 NODE` and open the printed address.

    Needs the extra `web`. Ctrl-C ends it.

    \b
    Examples:
      paraschut serve
      paraschut serve --read-only --port 0     # any free port
      paraschut serve --filter state:missing
    """
    from .group import check_database

    check_database(project.settings)
    try:
        # By name: the core does not know the dashboard, only that this command serves it.
        server: Any = importlib.import_module("paraschut_tui.web.server")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual_serve", "aiohttp"):
            raise
        raise UsageError(
            f"The dashboard in a browser needs {error.name}, which is not installed. Install the extra web: "
            f"{sys.executable} -m pip install 'paraschut[web]'"
        ) from error
    read_only = read_only or project.settings.dashboard.read_only
    command = _dashboard(project, read_only, condition, batch)
    status: int = server.run(command, host, port, output.line, read_only=read_only)
    return status


def _dashboard(project: CliContext, read_only: bool, condition: str, batch: int | None) -> list[str]:
    """The command line of the dashboard in a tab: the same project, whatever this process was told."""
    command = python("paraschut_core.cli")
    for option, value in (
        ("--config", project.config),
        ("--db", project.database),
        ("--filter", condition),
        ("--batch", batch),
    ):
        command += [f"{option}={value}"] if value not in (None, "") else []
    return [*command, "--read-only", "--confined"] if read_only else command


COMMANDS = {"serve": serve}
