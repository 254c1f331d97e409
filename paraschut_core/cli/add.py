"""`add` and `run`: create jobs from plain commands, and run them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..paths import absolute, here
from . import output
from .context import CliContext, json_option, pass_project, read_ranges, report_data, show_report
from .job_command import pairs
from .param_types import FiniteFloat

if TYPE_CHECKING:
    from ..actions import ActionReport
    from ..model import JobInfo
    from ..project import Project


@click.command()
@click.argument("command", nargs=-1, required=True, metavar="COMMAND")
@click.option("--name", metavar="A/B/C", help="The batch's name, parts separated by '/'.")
@click.option("--type", "batch_type", metavar="WORD", help="The batch's type.")
@click.option(
    "--priority", type=FiniteFloat(), metavar="N", help="Higher values go first; from 100 on across batches."
)
@click.option("--range", "ranges", multiple=True, metavar="A-B", help="JobIndexes: 0-9,20 (repeatable).")
@click.option("--list", "list_file", metavar="FILE", help="One job per line, its text is {item}; '-': stdin.")
@click.option("--jsonl", "jsonl_file", metavar="FILE", help="One job per line, a JSON object of its fields.")
@click.option("--var", "variables", multiple=True, metavar="K=V", help="Environment variable (repeatable).")
@click.option("--queue", metavar="NAME", help="The scheduler's queue or partition.")
@click.option(
    "--resource", "resources", multiple=True, metavar="K=V", help="mem=2gb, cpus=4; 'mem=' for none."
)
@click.option(
    "--directive",
    "directives",
    multiple=True,
    metavar="WORD",
    help="Option of the scheduler: --directive=--hold.",
)
@click.option(
    "--batch", "batch_id", type=click.IntRange(0, 2**63 - 1), metavar="BATCH", help="Add to this batch."
)
@click.option("--cwd", metavar="DIR", help="Where the command runs (default: here).")
@click.option("--chain", is_flag=True, help="Each complete job submits the next jobs.")
@click.option("--submit", is_flag=True, help="Submit the new jobs at once, whatever their priority.")
@click.option("--dry-run", is_flag=True, help="Show the commands; add no job.")
@json_option
@pass_project
def add(
    project: CliContext,
    command: tuple[str, ...],
    name: str | None,
    batch_type: str | None,
    priority: float | None,
    ranges: tuple[str, ...],
    list_file: str | None,
    jsonl_file: str | None,
    variables: tuple[str, ...],
    queue: str | None,
    resources: tuple[str, ...],
    directives: tuple[str, ...],
    batch_id: int | None,
    cwd: str | None,
    chain: bool,
    submit: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Create a batch of jobs from a COMMAND with {fields}.

    A single word is a shell command line. To pass a command and its arguments
    unchanged, write them after `--`. {JobIndex}, {BatchID}, {name}, {item} and
    all fields of --jsonl are filled in and quoted, so that no value can become
    a command; write {{ and }} for braces. (Quoting does not reach into a nested
    shell such as `sh -c`: pass values to it with --var.) The command finds its job in
    $PARASCHUT_BATCH_ID and $PARASCHUT_JOB_INDEX. A job is complete when its
    command ends with status 0.

    \b
    Examples:
      paraschut add --name human/map --priority 2 --range 0-99 \\
          'python map.py {JobIndex}'
      ls *.bam | paraschut add --name sort --list - \\
          'samtools sort {item} > sorted/{item}'
      paraschut add --range 1-9 "awk '{{print \\$1}}' {JobIndex}.txt"
    """
    from ..executors.resources import read
    from ..jobs.builder import add_jobs
    from ..jobs.command_template import Template, make_jobs
    from ..scheduling.submission import checked_vars
    from .suggestions import agreed_resources

    template = Template(command)
    own = _own_fields(ranges, list_file, jsonl_file)
    with project.open(create=True) as ws:
        common = _common(ws, batch_id)
        given = {
            "name": name.split("/") if name and "/" in name else name,
            "batch_type": batch_type,
            "priority": int(priority) if priority is not None and priority.is_integer() else priority,
            "queue": queue,
            "directives": list(directives) or None,
        }
        common.update({field: value for field, value in given.items() if value is not None})
        asked = pairs(resources, "--resource")
        if asked and not agreed_resources(ws, asked):
            output.line("nothing was added")
            return 1
        common["resources"] = {**(common.get("resources") or {}), **asked}
        read(common["resources"], bare=1)  # before anything is added
        common["cwd"] = absolute(os.path.expanduser(cwd or here()))
        if not os.path.isdir(common["cwd"]):
            raise UsageError(f"--cwd {common['cwd']}: no such directory.")
        numbered = _numbered(ws, own, common["BatchID"] if batch_id is not None else None)
        with output.ProgressLine("making jobs") as progress:
            infos = make_jobs(
                common, numbered, template, pairs(variables, "--var"), chain=chain, progress=progress
            )
        for info in infos:
            checked_vars(info)
        if dry_run:
            return _show(infos, as_json)
        add_jobs(ws, infos, new_batch=common["BatchID"] if batch_id is None else None)
        if not as_json:
            what = "1 job" if len(infos) == 1 else f"{len(infos):,} jobs"
            output.line(f"batch {infos[0]['BatchID']}: {what} added to {ws.db.path}")
        added = {"BatchID": infos[0]["BatchID"], "JobIndex": [info["JobIndex"] for info in infos]}
        try:
            report = _submit(ws, infos, project.line) if submit else None
            # What a chain submitted meanwhile is submitted: not explicit.
            added |= {"submitted": report_data(report, explicit=False)} if report else {}
        finally:
            if as_json:
                output.dump(added)  # one object, also where the submission failed
        if report is None or as_json:
            return 1 if report and report.failed else 0
        return show_report(report, "submitted", explicit=False)


def _common(ws: Project, batch_id: int | None) -> dict[str, Any]:
    """Return the fields that all new jobs share: the template, or those of the batch's first job."""
    from ..database.jobs import read_info, read_keys, require_batch
    from ..jobs.builder import template

    common = template(ws, set_id=batch_id is None)
    common["name"], common["batch_type"] = "commands", "command"
    if ws.settings.resources is None:
        common["resources"] = {}  # a template's values are for scripts that show or change them
    common.update(ws.settings.job_template)
    if batch_id is not None:
        require_batch(ws.reader, batch_id)
        for key in read_keys(ws.reader, batch_id, limit=1):
            first = read_info(ws.reader, key)
            fields = ("name", "batch_type", "priority", "queue", "resources", "directives")
            common.update({field: first[field] for field in fields if field in first})
        common["BatchID"] = batch_id
    return common


def _own_fields(ranges: Sequence[str], list_file: str | None, jsonl_file: str | None) -> list[dict[str, Any]]:
    """Return each job's own fields from --range, --list or --jsonl; one job if none is given."""
    if sum(bool(given) for given in (ranges, list_file, jsonl_file)) > 1:
        raise UsageError("Use only one of --range, --list and --jsonl.")
    if ranges:
        indices = [index for text in ranges for found in read_ranges(text, "--range") for index in found]
        return [{"JobIndex": index} for index in indices]
    if list_file:
        items = [text.rstrip("\r\n") for text in _lines(list_file)]
        jobs: list[dict[str, Any]] = [{"item": item} for item in items if item]
    elif jsonl_file:
        from ..jobs.command_template import read_jsonl

        jobs = read_jsonl(_lines(jsonl_file), jsonl_file)
    else:
        return [{}]
    if not jobs:
        raise UsageError(f"{list_file or jsonl_file} is empty: there are no jobs to add.")
    return jobs


def _lines(path: str) -> list[str]:
    """The lines of a file, or of stdin for '-'; split at newlines only, without a byte order mark."""
    try:
        if path == "-":
            return sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape").split("\n")
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            return list(file)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error


def _numbered(ws: Project, jobs: Iterable[dict[str, Any]], batch_id: int | None) -> list[dict[str, Any]]:
    """The jobs with their JobIndex: given, or counted on from the highest in the batch."""
    following = 0
    if batch_id is not None:
        highest = ws.reader.rows("SELECT max(JobIndex) FROM job WHERE BatchID = ?", (batch_id,))[0][0]
        following = 0 if highest is None else highest + 1
    numbered = []
    for job in jobs:
        index = job.get("JobIndex", following)
        if not isinstance(index, int) or isinstance(index, bool):
            raise UsageError(f"JobIndex must be an integer, not {index!r}.")
        numbered.append({**job, "JobIndex": index})
        following = max(following, index + 1)
    return numbered


def _show(infos: Sequence[JobInfo], as_json: bool) -> int:
    if as_json:
        output.dump([{"JobIndex": info["JobIndex"], "command": info["command"]} for info in infos])
        return 0
    for info in infos:
        output.line(f"{info['JobIndex']}: {info['command']}")
    return 0


def _submit(ws: Project, infos: Sequence[JobInfo], line: str) -> ActionReport:
    from ..actions import ProgressReporter, Selection, submit_now
    from ..jobs.builder import job_key

    with output.ProgressLine("submitting") as progress:
        return submit_now(
            ws, Selection(keys=tuple(map(job_key, infos))), command=line, watcher=ProgressReporter(progress)
        )


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("words", nargs=-1, metavar="[BATCH JOB] [--submit] -- COMMAND [ARGUMENT]...")
def run(words: tuple[str, ...]) -> int:
    """Run a command as a job, and record how it ended.

    The state becomes `run`. The job is complete if the command exits with
    status 0. Otherwise it becomes missing, with the exit status or the signal
    as the reason. The exit status is that of the command (128 + N if signal N
    ended it; 127 not found, 126 not executable). An outdated attempt of the job
    stops before the command starts.

    Inside a job BATCH and JOB may be left out. Signals sent to this process are
    passed on to the command. With --submit, a complete job submits the next jobs.

    \b
    Examples:
      paraschut run 20250101120000 7 -- python map.py 7
      paraschut run 20250101120000 8 --submit -- sh -c 'exit 0'
    """
    from .run import run as run_job

    # Only reached through click itself: cli.main hands `run` over before click is imported.
    return run_job(list(words), None, None)


COMMANDS = {"add": add, "run": run}
