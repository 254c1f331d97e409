"""`backup` and `recover`: copies of the database."""

from __future__ import annotations

import click

from . import output
from .context import CliContext, pass_project


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@pass_project
def backup(project: CliContext, file: str, force: bool) -> int:
    """Copy the database to FILE, as of one moment, while jobs write to it.

    FILE is whole or not there at all, and a database like any other:
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
    """Save what is readable of a damaged database into the new FILE.

    The damaged one is copied and left as it is. Each table is read from its
    beginning, from its end, and row by row in between; what cannot be read is
    said. Exit status 1 if anything was lost. Then stop all jobs, look at FILE
    (paraschut --db FILE queue), and put it in the place of the damaged one.

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
    output.line(f"\n{file} has what could be saved of {path}" + ("" if lost else ": all of it"))
    return 1 if lost else 0


COMMANDS = {"backup": backup, "recover": recover}
