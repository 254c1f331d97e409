"""`remove` and `clean`: what is deleted for good."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from . import output
from .common import (
    Project,
    complete_batch,
    confirm,
    json_option,
    pass_project,
    read_batches,
    show_report,
    yes_option,
)

if TYPE_CHECKING:
    from ..workspace import Workspace


@click.command()
@click.argument("batches", nargs=-1, metavar="BATCH...", shell_complete=complete_batch)
@click.option(
    "--by-state", multiple=True, metavar="STATE", help="Batches all of whose jobs are in these states."
)
@click.option("--force", is_flag=True, help="Batches with jobs in the scheduler's queue too.")
@yes_option
@json_option
@pass_project
def remove(
    project: Project,
    batches: tuple[str, ...],
    by_state: tuple[str, ...],
    force: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Remove batches: their jobs, history and folders. There is no way back.

    Asks first; where nobody can be asked, --yes is needed.

    \b
    Examples:
      paraschut remove 20250101120000
      paraschut remove --by-state collected --yes
    """
    from ..actions import remove_batches

    if bool(batches) == bool(by_state):
        raise UsageError("Remove which batches? Give BATCH..., or --by-state STATE.")
    with project.open() as ws:
        wanted = _in_states(ws, by_state) if by_state else [i for text in batches for i in read_batches(text)]
        if not wanted:
            output.line("no batch is selected; nothing was removed")
            return 0
        if not confirm(_question(ws, wanted), yes, required=True):
            output.line("nothing was removed")
            return 1
        report = remove_batches(ws, wanted, force=force, command=project.line)
    if not as_json:
        for outcome in report.outcomes:
            if outcome.ok and outcome.message:
                output.line(f"batch {outcome.key.batch_id}: {outcome.message}")
        for outcome in report.failed:
            output.line(f"not removed: batch {outcome.key.batch_id}: {outcome.message}")
        output.line(f"{report.done} batches removed")
        return 1 if report.failed else 0
    return show_report(report, "removed", explicit=True, as_json=True)


def _in_states(ws: Workspace, states: Iterable[str]) -> list[int]:
    from ..db.changes import read_batches as read_counters

    wanted = {state for text in states for state in text.split(",")}
    return [i for i, b in read_counters(ws.reader).items() if b.states and b.states.keys() <= wanted]


def _question(ws: Workspace, wanted: list[int]) -> str:
    """What will be lost, in one question. Raises UnknownJobError."""
    from ..db.changes import read_batches as read_counters
    from ..db.jobs import require_batch
    from ..text import clean_line

    for batch_id in wanted:
        require_batch(ws.reader, batch_id)
    found = read_counters(ws.reader, wanted)
    names = ", ".join(clean_line(found[i].name, 40) for i in wanted[:3]) + (
        ", ..." if len(wanted) > 3 else ""
    )
    jobs = sum(batch.total for batch in found.values())
    if len(wanted) == 1:
        return f"Remove 1 batch ({names}) with {jobs:,} jobs and all files in its folder?"
    return f"Remove {len(wanted)} batches ({names}) with {jobs:,} jobs and all files in their folders?"


@click.command()
@click.argument("batches", nargs=-1, metavar="[BATCH]...", shell_complete=complete_batch)
@click.option("--files", is_flag=True, help="Temporary files only.")
@click.option("--folders", is_flag=True, help="The jobs' temporary folders only.")
@click.option(
    "--pattern", "patterns", multiple=True, metavar="GLOB", help="Files to remove (default: temp_files)."
)
@yes_option
@json_option
@pass_project
def clean(
    project: Project,
    batches: tuple[str, ...],
    files: bool,
    folders: bool,
    patterns: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> int:
    """Remove temporary files and the jobs' temporary folders (BATCH/JOB).

    Of all batches, or of BATCH. Files are those that match the setting
    temp_files, or --pattern.

    \b
    Examples:
      paraschut clean
      paraschut clean 20250101120000 --files --pattern '*.tmp'
    """
    from ..actions import clean_files
    from ..db.changes import read_batches as read_counters
    from ..db.jobs import require_batch
    from ..folders import clean_temp_folders

    both = not (files or folders)
    with project.open() as ws:
        wanted = [i for text in batches for i in read_batches(text)] or list(read_counters(ws.reader))
        for batch_id in wanted:
            require_batch(ws.reader, batch_id)
        if len(wanted) > 1 and not confirm(f"Clean the folders of {len(wanted)} batches?", yes):
            output.line("nothing was removed")
            return 1
        globs = patterns or ws.settings.temp_files
        counts = clean_files(ws, globs, wanted, command=project.line) if files or both else {}
        removed = clean_temp_folders(ws, wanted) if folders or both else []
    if as_json:
        output.dump({"files": counts, "folders": removed})
    else:
        output.line(f"{sum(counts.values()):,} files and {len(removed):,} folders removed")
    return 0


COMMANDS = {"remove": remove, "clean": clean}
