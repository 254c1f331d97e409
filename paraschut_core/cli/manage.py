"""`set`, `reset`, `resubmit`, `qdel`, `boost`, `collect` and `undo`: what users do to jobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from . import output
from .context import (
    CliContext,
    ask_for_many,
    choose,
    complete_batch,
    confirm,
    filter_option,
    json_option,
    pass_project,
    select_options,
    show_report,
    yes_option,
)
from .param_types import FiniteFloat, PositiveInt

if TYPE_CHECKING:
    from ..actions import ActionReport, ProgressReporter, Selection
    from ..model import JobKey, Stamp
    from ..project import Project

Stamps = Mapping["JobKey", "Stamp"]
Act = Callable[["Project", "Selection", "ProgressReporter", Stamps], "ActionReport"]
Question = Callable[["Project", "Selection"], str]


def _do(
    project: CliContext,
    select: tuple[Sequence[str], str, bool],
    act: Act,
    *,
    verb: str,
    done: str,
    force: bool = False,
    yes: bool = False,
    as_json: bool = False,
    required: bool = False,
    question: Question | None = None,
    agreed: Callable[[Project, Selection], bool] | None = None,
) -> int:
    """Chooses, asks if need be, acts and reports: the frame of all commands here.

    Args:
        act: it is given where the jobs stood when the user was asked.
        required: what would be asked at a terminal needs --yes where there is none.
        question: makes a question of its own from the selection; "" asks none.
        agreed: asks about what looks like a slip; False: nothing is done.
    """
    from ..actions import ProgressReporter
    from ..database.jobs import read_rows

    with project.open() as ws:
        # Chosen once, so that what was asked about is what is done.
        chosen = choose(ws, *select)
        if not chosen.keys:
            output.line("no job is selected; nothing was done")
            return 0
        shown = {row.key: row.stamp for row in read_rows(ws.reader, chosen.keys)}
        if agreed is not None and not agreed(ws, chosen.selection):
            output.line("nothing was done")
            return 1
        special = question(ws, chosen.selection) if question is not None and not yes else ""
        may = (
            confirm(special, yes, required=required)
            if special
            else ask_for_many(chosen, verb, force=force, yes=yes, required=required)
        )
        if not may:
            output.line("nothing was done")
            return 1
        with output.ProgressLine(verb) as progress:
            report = act(ws, chosen.selection, ProgressReporter(progress), shown)
    return show_report(report, done, explicit=chosen.explicit, as_json=as_json)


@click.command()
@select_options
@click.option("--force", is_flag=True, help="Complete jobs too, and those in the queue.")
@yes_option
@json_option
@pass_project
def reset(
    project: CliContext,
    targets: tuple[str, ...],
    condition: str,
    missing: bool,
    force: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Put jobs back to init, their ids dropped.

    Complete and collected jobs, and those that the scheduler still holds, are
    left alone unless --force. Asks first for jobs of several batches, or with
    --force. `paraschut undo` takes it back.

    \b
    Examples:
      paraschut reset 20250101120000 3 5-9
      paraschut reset --missing                # all that died
    """
    from ..actions import reset as act

    return _do(
        project,
        (targets, condition, missing),
        lambda ws, selection, watcher, shown: act(
            ws, selection, force=force, command=project.line, watcher=watcher, shown=shown
        ),
        verb="reset",
        done="reset",
        force=force,
        required=True,
        yes=yes,
        as_json=as_json,
    )


@click.command()
@select_options
@click.option("--force", is_flag=True, help="Complete jobs too, and those in the queue.")
@click.option("--resource", "resources", multiple=True, metavar="K=V", help="Ask for this anew: mem=8gb.")
@yes_option
@json_option
@pass_project
def resubmit(
    project: CliContext,
    targets: tuple[str, ...],
    condition: str,
    missing: bool,
    force: bool,
    resources: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> int:
    """Reset jobs and submit them at once, whatever their priority.

    Of a job that multiplied itself, only its lost spawns are submitted.

    \b
    Examples:
      paraschut resubmit --missing
      paraschut resubmit 20250101120000 7 --resource mem=8gb
    """
    from ..actions import resubmit as act
    from .suggestions import agreed_resources

    raised = _pairs(resources, "--resource")

    def run(ws: Project, selection: Selection, watcher: ProgressReporter, shown: Stamps) -> ActionReport:
        more = dict.fromkeys(selection.keys, raised) if raised else None
        return act(
            ws,
            selection,
            force=force,
            resources=more,
            command=project.line,
            watcher=watcher,
            shown=shown,
        )

    return _do(
        project,
        (targets, condition, missing),
        run,
        verb="resubmit",
        done="resubmitted",
        agreed=lambda ws, _: not raised or agreed_resources(ws, raised, yes),
        force=force,
        required=True,
        yes=yes,
        as_json=as_json,
    )


@click.command()
@select_options
@click.option("--orphans", is_flag=True, help="What goes on of batches removed by force.")
@yes_option
@json_option
@pass_project
def qdel(
    project: CliContext,
    targets: tuple[str, ...],
    condition: str,
    missing: bool,
    orphans: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Delete jobs from the scheduler's queue; they go back to init.

    Only what is in the queue: a job that failed stays as it is (reset is for
    that). Asks first where something runs.

    \b
    Examples:
      paraschut qdel 20250101120000
      paraschut qdel --filter 'state == "run" AND hostname == "n12"'
    """
    from ..actions import qdel as act

    if orphans:
        if targets or condition or missing:
            raise UsageError("--orphans is for removed batches: leave out BATCH, --filter and --missing.")
        return _end_orphans(project, as_json)
    return _do(
        project,
        (targets, condition, missing),
        lambda ws, selection, watcher, shown: act(
            ws, selection, command=project.line, watcher=watcher, shown=shown
        ),
        verb="qdel",
        done="deleted from the queue",
        yes=yes,
        as_json=as_json,
        question=_what_runs,
    )


def _end_orphans(project: CliContext, as_json: bool) -> int:
    from ..actions.orphans import end_orphans

    with project.open() as ws:
        ended = end_orphans(ws)
    if as_json:
        output.dump(
            {
                "deleted": [[*one.key, one.id] for one in ended.killed],
                "over": [[*one.key, one.id] for one in ended.over],
                "left": [[*one.key, one.id, why] for one, why in ended.left],
            }
        )
        return 1 if ended.left else 0
    for one, why in ended.left:
        output.line(f"not deleted: {one.key} {one.id}: {why}")
    output.line(f"{len(ended.killed):,} deleted from the queue, {len(ended.over):,} were over")
    return 1 if ended.left else 0


def _what_runs(ws: Project, selection: Selection) -> str:
    """Asks before anything is killed."""
    from ..actions import Hold, preview

    if not sys.stdin.isatty():
        return ""  # nobody can be asked: the scheduler need not be
    found = preview(ws, selection)
    runs = found.held.get(Hold.RUNNING, 0)
    if not runs:
        return ""
    which = "it runs and is killed" if found.queued == 1 else f"{runs:,} of them run and are killed"
    return f"Delete {found.queued:,} jobs from the queue ({which})?"


@click.command()
@select_options
@click.option(
    "--by", type=FiniteFloat(), default=100, metavar="N", help="Add this to the priority (default 100)."
)
@yes_option
@json_option
@pass_project
def boost(
    project: CliContext,
    targets: tuple[str, ...],
    condition: str,
    missing: bool,
    by: float,
    yes: bool,
    as_json: bool,
) -> int:
    """Raise the priority of jobs. From 100 on it counts across all batches.

    \b
    Examples:
      paraschut boost 20250101120000           # before all other batches
      paraschut boost 20250101120000 --by -100
    """
    from ..actions import boost as act

    step = int(by) if by.is_integer() else by
    return _do(
        project,
        (targets, condition, missing),
        lambda ws, selection, watcher, _: act(ws, selection, step, command=project.line, watcher=watcher),
        verb="boost",
        done=f"boosted by {step:g}",
        yes=yes,
        as_json=as_json,
    )


@click.command()
@select_options
@yes_option
@json_option
@pass_project
def collect(
    project: CliContext, targets: tuple[str, ...], condition: str, missing: bool, yes: bool, as_json: bool
) -> int:
    """Mark complete jobs as collected: their results are used.

    \b
    Examples:
      paraschut collect 20250101120000
    """
    from ..actions import mark_collected

    return _do(
        project,
        (targets, condition, missing),
        lambda ws, selection, watcher, _: mark_collected(
            ws, selection, command=project.line, watcher=watcher
        ),
        verb="collect",
        done="collected",
        yes=yes,
        as_json=as_json,
    )


# ------------------------------------------------------------------------------------ set


@click.command("set")
@click.argument(
    "words", nargs=-1, required=True, metavar="BATCH [JOB]... FIELD=VALUE...", shell_complete=complete_batch
)
@filter_option
@click.option("--missing", is_flag=True, help="Missing jobs (of BATCH, or all).")
@click.option(
    "--unless", multiple=True, metavar="FIELD=V,...", help="Leave jobs alone that have one of these."
)
@click.option("--force", is_flag=True, help="All of them, complete ones too.")
@yes_option
@json_option
@pass_project
def set_(
    project: CliContext,
    words: tuple[str, ...],
    condition: str,
    missing: bool,
    unless: tuple[str, ...],
    force: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Set fields of jobs. VALUE is JSON, or else text.

    `resources.mem=4gb` and `vars.X=1` change one entry. Complete and collected
    jobs are left alone unless --force, or unless --unless names other values.
    Setting state=init is a reset. `paraschut undo` takes it back.

    \b
    Examples:
      paraschut set 20250101120000 priority=5 queue=long
      paraschut set 20250101120000 3-7 resources.mem=8gb
      paraschut set 20250101120000 4 state=complete --force
    """
    from ..actions import GUARDED, PROTECTED, change
    from .suggestions import agreed_fields

    if force and unless:
        raise UsageError("--force leaves no job alone, --unless some: give one of them.")
    fields = _fields([word for word in words if "=" in word])
    kept = {name: _values(value) for name, value in _pairs(unless, "--unless").items()}
    protected: Mapping[str, Sequence[object]] = {} if force else kept or PROTECTED

    def act(ws: Project, selection: Selection, watcher: ProgressReporter, shown: Stamps) -> ActionReport:
        return change(
            ws,
            selection.keys,
            fields,
            protected,
            force=force,
            command=project.line,
            watcher=watcher,
            shown=shown,
        )

    return _do(
        project,
        ([word for word in words if "=" not in word], condition, missing),
        act,
        verb="set",
        done="changed",
        agreed=lambda ws, selection: agreed_fields(ws, selection.keys, fields, yes),
        force=force,
        required=force and any(name in fields for name in GUARDED),
        yes=yes,
        as_json=as_json,
    )


def _pairs(words: Sequence[str], option: str) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} {word!r}: write NAME=VALUE.")
        pairs[name] = value
    return pairs


def _fields(words: Sequence[str]) -> dict[str, Any]:
    """What to set. Raises UsageError: nothing, or what nobody can set."""
    from ..actions import parse_field

    if not words:
        raise UsageError("Set what? Give FIELD=VALUE, for example priority=5.")
    return dict(map(parse_field, words))


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _values(text: str) -> list[Any]:
    return [_json_or_text(part) for part in text.split(",")]


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


COMMANDS = {
    "set": set_,
    "reset": reset,
    "resubmit": resubmit,
    "qdel": qdel,
    "boost": boost,
    "collect": collect,
    "undo": undo,
}
