"""`remove` and `clean`: what is deleted for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ..sanitize import plural
from . import output
from .context import (
    CliContext,
    complete_batch,
    confirm,
    json_option,
    pass_project,
    read_batches,
    show_report,
    yes_option,
)

if TYPE_CHECKING:
    from ..project import Project


@click.command()
@click.argument("batches", nargs=-1, metavar="BATCH...", shell_complete=complete_batch)
@click.option(
    "--by-state", multiple=True, metavar="STATE", help="Batches all of whose jobs are in these states."
)
@click.option(
    "--force",
    is_flag=True,
    help="Include batches with jobs in the queue; delete these jobs from it first.",
)
@yes_option
@json_option
@pass_project
def remove(
    project: CliContext,
    batches: tuple[str, ...],
    by_state: tuple[str, ...],
    force: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Remove batches: their jobs, history and folders. There is no way back.

    Asks first; without a terminal, --yes is needed.

    \b
    Examples:
      paraschut remove 20250101120000
      paraschut remove --by-state collected --yes
    """
    from ..actions import batches_in_states, remove_batches, signatures

    if bool(batches) == bool(by_state):
        raise UsageError("Remove which batches? Give BATCH..., or --by-state STATE.")
    states = {state for text in by_state for state in text.split(",")}
    with project.open() as ws:
        wanted = batches_in_states(ws, states) if states else [i for t in batches for i in read_batches(t)]
        if not wanted:
            output.line("no batch is selected; nothing was removed")
            return 0
        shown = signatures(ws, wanted)  # what changes until the answer comes is left
        if not confirm(_question(ws, wanted, force), yes, required=True):
            output.line("nothing was removed")
            return 1
        report = remove_batches(ws, wanted, force=force, command=project.line, shown=shown, states=states)
    not_removed = [outcome for outcome in report.outcomes if not outcome.ok]
    if not as_json:
        for outcome in report.outcomes:
            if outcome.ok and outcome.message:
                output.line(f"batch {outcome.key.batch_id}: {outcome.message}")
        for outcome in not_removed:
            output.line(f"not removed: batch {outcome.key.batch_id}: {outcome.message}")
        output.line(f"{plural(report.done, 'batch', 'batches')} removed")
        return 1 if not_removed else 0
    return show_report(report, "removed", explicit=True, as_json=True)


def _question(ws: Project, wanted: list[int], force: bool) -> str:
    """What will be lost, in one question. Raises UnknownJobError."""
    from ..database.changes import read_batches as read_counters
    from ..database.jobs import require_batch
    from ..sanitize import clean_line

    for batch_id in wanted:
        require_batch(ws.reader, batch_id)
    found = read_counters(ws.reader, wanted)
    names = ", ".join(clean_line(found[i].name, 40) for i in wanted[:3]) + (
        ", ..." if len(wanted) > 3 else ""
    )
    jobs = sum(batch.total for batch in found.values())
    from ..actions import protect_batches

    held = sum(len(found.held) for found in protect_batches(ws, wanted).values()) if force else 0
    ended = f" {held:,} of them are in a queue, or may be: what is there is deleted first." if held else ""
    batches, folder = plural(len(wanted), "batch", "batches"), "their folders"
    if len(wanted) == 1:
        folder = "its folder"
    return f"Remove {batches} ({names}) with {plural(jobs, 'job')} and all files in {folder}?{ended}"


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
    project: CliContext,
    batches: tuple[str, ...],
    files: bool,
    folders: bool,
    patterns: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> int:
    """Remove temporary files and the jobs' temporary folders (BATCH/JOB).

    Of all batches, or of BATCH. Files are those that match the setting
    temp_files, or --pattern. What jobs that run or wait in the queue may need
    is left: their folders, and the files of their batches. Asks first; where
    nobody can be asked, --yes is needed.

    \b
    Examples:
      paraschut clean
      paraschut clean 20250101120000 --files --pattern '*.tmp'
    """
    from ..actions import CleanReport, clean_files, clean_folders
    from ..database.changes import read_batches as read_counters
    from ..database.jobs import require_batch
    from ..jobs.cleanup import require_inside

    both = not (files or folders)
    with project.open() as ws:
        wanted = [i for text in batches for i in read_batches(text)] or list(read_counters(ws.reader))
        for batch_id in wanted:
            require_batch(ws.reader, batch_id)
        of = f"{len(wanted)} batches" if len(wanted) != 1 else f"batch {wanted[0]}"
        what = " and ".join(
            [
                *(["temporary files"] if files or both else []),
                *(["the jobs' folders"] if folders or both else []),
            ]
        )
        globs = patterns or ws.settings.temp_files
        require_inside(globs)
        if not confirm(f"Remove {what} of {of}?", yes, required=True):
            output.line("nothing was removed")
            return 1
        nothing = CleanReport({}, [], {})
        one = clean_files(ws, globs, wanted, command=project.line) if files or both else nothing
        other = clean_folders(ws, wanted, command=project.line) if folders or both else nothing
    left = [*one.left_alone(), *other.left_alone()]
    if as_json:
        output.dump({"files": one.files, "folders": other.folders, "left": left})
        return 0
    for text in left:
        output.line(f"left alone: {text}")
    in_all, removed = sum(one.files.values()), len(other.folders)
    output.line(f"{plural(in_all, 'file')} and {plural(removed, 'folder')} removed")
    return 0


COMMANDS = {"remove": remove, "clean": clean}
