"""`import`: takes over the jobs of a v0.6 database."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, UsageError
from ..paths import absolute
from ..sanitize import plural
from . import output
from .context import CliContext, json_option, pass_project

if TYPE_CHECKING:
    from ..migration_v06.importer import ImportResult


@click.command("import")
@click.argument("old", metavar="OLD.db")
@click.option("--job-dir", metavar="DIR", help="Where the batches' folders are now.")
@click.option("--verbose", "-v", is_flag=True, help="List for each job which values changed their form.")
@json_option
@pass_project
def import_(project: CliContext, old: str, job_dir: str | None, verbose: bool, as_json: bool) -> int:
    """Take over the batches, jobs and spawns of a v0.6 database.

    The old file stays as it is. Batches keep their numbers; those that are in
    the database already are left out and named, and so is every row that cannot
    be read: then the exit status is 1. Without a project here one is made, with
    DIR as its job directory. With --job-dir, relative log paths count from DIR.

    \b
    Examples:
      paraschut import old.db
      paraschut import old.db --verbose
    """
    from ..migration_v06.importer import import_legacy
    from ..migration_v06.old_database import read_legacy

    folder = None if job_dir is None else absolute(os.path.expanduser(job_dir))
    if folder is not None and not os.path.isdir(folder):
        raise UsageError(f"--job-dir {folder}: there is no such directory.")
    path = os.path.expanduser(old)
    with read_legacy(path) as legacy:
        _find_or_make_project(project, folder)
        with project.open(create=True) as ws, output.ProgressLine("importing") as progress:
            result = import_legacy(ws, legacy, job_dir=folder, progress=progress)
    if as_json:
        output.dump({**result._asdict(), "batches": [batch._asdict() for batch in result.batches]})
    else:
        _show_import(result, verbose)
    return 1 if result.left_out else 0


def _find_or_make_project(project: CliContext, wanted: str | None) -> None:
    """The settings to import with; a new paraschut.toml if there is none.

    Its job directory is the new database's own folder unless another is `wanted`: nothing is written beside
    the old database unasked.
    """
    from .. import config
    from ..jobs.builder import write_whole
    from .project import toml

    try:
        settings = project.settings
    except ConfigError:
        if project.config or os.environ.get(config.CONFIG_VARIABLE) or os.path.exists(config.FILE_NAME):
            raise
        given = {"executor": "local"} if wanted is None else {"executor": "local", "job_dir": wanted}
        write_whole(absolute(config.FILE_NAME), toml(given).encode())
        output.line(f"made {absolute(config.FILE_NAME)}: look at its executor")
        settings = project.settings
    if (
        wanted is not None
        and settings.config_file
        and os.path.realpath(settings.job_dir) != os.path.realpath(wanted)
    ):
        raise UsageError(
            f"{settings.config_file} says job_dir = {settings.job_dir!r}, not {wanted!r}: set it there, so "
            "that the batches' folders are found."
        )


def _show_import(result: ImportResult, verbose: bool) -> None:
    if verbose:
        for note in result.notes:
            output.line(note)
    if result.fields:
        output.table(
            ("field", "changed its form in"), [(name, f"{n}") for name, n in result.fields.most_common()]
        )
        output.line()
    shown = result.batches if verbose or len(result.batches) <= shutil.get_terminal_size().lines else []
    if shown:
        output.table(
            ("batch", "name", "jobs", "spawns"),
            [(b.batch_id, b.name, f"{b.jobs}", f"{b.spawns}") for b in shown],
        )
        output.line()
    for row in result.left_out:
        output.line(f"left out: {row}")
    jobs = sum(batch.jobs for batch in result.batches)
    spawns = sum(batch.spawns for batch in result.batches)
    output.line(
        f"imported: {plural(len(result.batches), 'batch', 'batches')}, {plural(jobs, 'job')}, "
        f"{plural(spawns, 'spawn')}; left out: {plural(len(result.left_out), 'row')}"
    )


COMMANDS = {"import": import_}
