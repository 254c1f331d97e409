"""`doctor`, `backup`, `recover` and `import`: looking after the database."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, UsageError
from ..paths import absolute
from . import output
from .context import CliContext, json_option, pass_project
from .param_types import FiniteFloat

if TYPE_CHECKING:
    from ..maintenance.doctor import CheckResult
    from ..migration_v06.importer import ImportResult


@click.command()
@click.option("--probe", is_flag=True, help="Run a job too, that looks at the database from its node.")
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


@click.command("import")
@click.argument("old", metavar="OLD.db")
@click.option("--job-dir", metavar="DIR", help="Where the batches' folders are now.")
@click.option("--verbose", "-v", is_flag=True, help="Say of each job what changed its form.")
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
    from ..migration_v06.reader import read_legacy

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
        f"imported: {len(result.batches):,} batches, {jobs:,} jobs, {spawns:,} spawns; "
        f"left out: {len(result.left_out):,} rows"
    )


COMMANDS = {"doctor": doctor, "backup": backup, "recover": recover, "import": import_}
