"""`backup` and `recover`: copies of the database."""

from __future__ import annotations

import click

from . import output
from .context import CliContext, pass_project


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@pass_project
def backup(project: CliContext, file: str, force: bool) -> int:
    """Copy a consistent state of the database to FILE while jobs write to it.

    FILE appears only once the copy is whole. It is a database like any other:
    `paraschut --db FILE queue` shows it.

    \b
    Examples:
      paraschut backup "jobs-$(date +%F).db"
    """
    from ..maintenance.backup import backup as copy
    from ..project import open_database

    with (
        open_database(project.settings, read_only=True) as database,
        output.ProgressLine("copying") as progress,
    ):
        size = copy(database, file, force=force, progress=progress)
    output.line(f"{file}: {size:,} bytes")
    return 0


@click.command()
@click.argument("file", metavar="FILE")
@pass_project
def recover(project: CliContext, file: str) -> int:
    """Save the readable part of a damaged database into the new FILE.

    The damaged file is copied and not changed. Each table is read from its
    beginning, from its end, and row by row in between; unreadable parts are
    listed. The exit status is 1 if anything was lost. Afterwards stop all jobs,
    check FILE (paraschut --db FILE queue), and replace the damaged file by it.

    \b
    Examples:
      paraschut recover saved.db
      paraschut --db damaged.db recover saved.db
    """
    from ..maintenance.backup import recover as save

    path = project.settings.database
    with output.ProgressLine("saving") as progress:
        saved = save(path, file, progress)
    output.table(
        ("table", "rows saved", "rows refused", "not readable"),
        [(table, f"{rows}", f"{refused}", "; ".join(gaps) or "-") for table, rows, refused, gaps in saved],
    )
    lost = any(refused or gaps for _, _, refused, gaps in saved)
    output.line(f"\nsaved {'the readable part' if lost else 'all'} of {path} to {file}")
    return 1 if lost else 0


COMMANDS = {"backup": backup, "recover": recover}
