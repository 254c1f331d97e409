"""What actions do: functions that preview an action, or run it where the core's function alone does not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from paraschut_core.database.changes import read_batches
from paraschut_core.database.jobs import read_infos
from paraschut_core.errors import UsageError
from paraschut_core.jobs.cleanup import temp_files
from paraschut_core.model import DONE_STATES, INIT, JobKey, Stamp
from paraschut_core.project import Project
from paraschut_core.sanitize import plural

from ..formatting import count
from .core_actions import core
from .resource_increase import ResourceIncrease, propose
from .types import ActionResult, ActionTarget, JobMessage, PreviewText

if TYPE_CHECKING:
    from paraschut_core.actions import ActionReport, JobResult, ProgressReporter, Selection


class Reporting(TypedDict):
    """What each of the core's actions takes."""

    command: str
    watcher: ProgressReporter


class Guarded(TypedDict):
    """The same, and what the user was shown: an action leaves alone what changed since."""

    command: str
    watcher: ProgressReporter
    shown: Mapping[JobKey, Stamp]


@dataclass(frozen=True, kw_only=True)
class ActionCall:
    """One call of an action.

    Attributes:
        project: the open project.
        target: the jobs that it applies to.
        force: whether to include the jobs that are left alone otherwise.
        value: the text that the user typed; "" if the action asks for none.
        command: the command line that does the same, for the action history.
        progress: takes reports of progress and says whether to stop.
    """

    project: Project
    target: ActionTarget
    force: bool
    value: str
    command: str
    progress: ProgressReporter

    @property
    def selection(self) -> Selection:
        return core.Selection(self.target.keys, self.target.batches)

    @property
    def reporting(self) -> Reporting:
        return {"command": self.command, "watcher": self.progress}

    @property
    def guarded(self) -> Guarded:
        return {"command": self.command, "watcher": self.progress, "shown": self.target.stamps}


def to_result(report: ActionReport, command: str, *, undo_failures: bool) -> ActionResult:
    """Turn a report of the core into a result.

    Args:
        undo_failures: whether the action can be undone even if it succeeded for no job.
    """
    effects = ", ".join(f"{count(n)} {effect.value}" for effect, n in report.effects().items())
    return ActionResult(
        report.done,
        failures=_messages(report.failed),
        left=_messages(report.left),
        made=_messages(outcome for outcome in report.outcomes if outcome.ok),
        can_undo=report.action is not None and (report.done > 0 or undo_failures),
        command=command,
        note="stopped before the rest" if report.stopped else effects,
    )


def _messages(outcomes: Iterable[JobResult]) -> tuple[JobMessage, ...]:
    return tuple(JobMessage(outcome.key, outcome.message) for outcome in outcomes)


# ------------------------------------------------------------------------------------ running


def submit_next(call: ActionCall, *, by_itself: bool = False) -> ActionReport:
    """Submit what is next; `by_itself` if no user asked for it just now."""
    sent = core.submit_next(call.project, by_itself=by_itself, **call.reporting)
    kinds = {True: core.ResultKind.FAILED, False: core.ResultKind.DONE}
    outcomes = [core.JobResult(o.key, kinds[o.id is None], o.id or o.error) for o in sent.outcomes]
    return core.ActionReport("submit", outcomes, stopped=call.progress.cancelled())


def remove_batches(call: ActionCall) -> ActionReport:
    """Remove whole batches, unless they changed since the user was asked."""
    target = call.target
    return core.remove_batches(
        call.project, target.batches, force=call.force, command=call.command, shown=target.signatures
    )


def clean_files(call: ActionCall) -> ActionResult:
    """Remove the temporary files of batches."""
    patterns = call.project.settings.temp_files
    cleaned = core.clean_files(call.project, patterns, call.target.batches, command=call.command)
    left = tuple(JobMessage(key, held.words) for key, held in cleaned.left.items())
    return ActionResult(sum(cleaned.files.values()), command=call.command, left=left)


def set_field(call: ActionCall, name: str, value: object) -> ActionReport:
    """Set a field of each job."""
    return core.change(
        call.project,
        call.selection.resolve(call.project),
        {name: value},
        {} if call.force else core.PROTECTED,
        force=call.force,
        **call.guarded,
    )


# ------------------------------------------------------------------------------------ previews


def preview_jobs(project: Project, target: ActionTarget, ends: Mapping[JobKey, str]) -> PreviewText:
    """Count the jobs of the target.

    Args:
        ends: how some of them ended (codes of exit_kinds); these may be offered more time or memory.
    """
    found = core.preview(project, core.Selection(target.keys, target.batches))
    reasons = sorted(found.reasons.items(), key=lambda item: -item[1])
    return PreviewText(
        len(found.keys),
        found.states,
        live=found.live,
        live_batches=len(found.live_batches),
        running=found.held.get(core.Hold.RUNNING, 0),
        missing=found.missing,
        elsewhere=found.elsewhere,
        queued=found.queued,
        held=sum(found.held.values()),
        done=sum(n for state, n in found.states.items() if state in DONE_STATES),
        halves=len(found.lost_spawns),
        lost_spawns=sum(found.lost_spawns.values()),
        attempt=found.highest_attempt,
        hints=tuple(f"{count(n)} missing: {reason}" for reason, n in reasons[:3]),
        raises=propose(read_infos(project.reader, ends), ends) if ends else ResourceIncrease(),
        stamps=found.stamps,
        signatures=core.signatures(project, target.batches),
    )


MOST_GROUPS = 6
"""Groups of jobs that are named of what would be submitted next."""


def preview_next(project: Project, target: ActionTarget, ends: Mapping[JobKey, str]) -> PreviewText:
    """Tell what would be submitted next."""
    plan = core.plan_next(project)
    batches = read_batches(project.reader, [batch_id for batch_id, _, _ in plan.groups])
    names = {batch_id: batch.name for batch_id, batch in batches.items()}
    waiting = sum(n for _, _, n in plan.groups)
    if not waiting:
        lines = ["Nothing to submit: no job in state init is allowed to run yet."]
    elif plan.room:
        lines = [
            f"{plural(plan.jobs, 'job')}; the queue has room for {count(plan.room)} of {count(plan.limit)}"
        ]
    else:
        lines = [f"The queue is full: {count(plan.in_queue)} of at most {count(plan.limit)} jobs."]
    lines += [
        f"{count(n)} of {names.get(batch_id) or batch_id}, priority {priority:g}"
        for batch_id, priority, n in plan.groups[:MOST_GROUPS]
    ]
    more = len(plan.groups) - MOST_GROUPS
    lines += [f"and {plural(more, 'more batch', 'more batches')}"] if more > 0 else []
    lines += [f"{project.executor.name} does not answer: {plan.error}"] if plan.error else []
    # A scheduler that is silent is asked once more: the counts may be old.
    return PreviewText(plan.jobs or (waiting if plan.error else 0), {INIT: waiting}, lines=tuple(lines))


def preview_files(project: Project, target: ActionTarget, ends: Mapping[JobKey, str]) -> PreviewText:
    """Count the temporary files."""
    patterns = project.settings.temp_files
    n = size = 0
    for _, path in temp_files(project, patterns, target.batches):
        n += 1
        try:
            size += os.lstat(path).st_size
        except OSError:
            pass  # removed meanwhile
    head = f"{plural(n, 'file')}, {bytes_in_words(size)}" if n else "no file"
    return PreviewText(n, {}, lines=(f"{head} matching {' '.join(patterns)}",))


def bytes_in_words(size: float) -> str:
    """Format a number of bytes: "1.4 MB"."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


# ------------------------------------------------------------------------------------ typed values


def number(text: str) -> int | float:
    """Parse a number. Raises UsageError."""
    try:
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number.") from None


def wrong_number(text: str) -> str:
    """Say what is wrong with a number; "" if nothing is."""
    try:
        number(text)
    except UsageError as error:
        return str(error)
    return ""


def wrong_field(text: str) -> str:
    """Say what is wrong with `field=value`; "" if nothing is."""
    try:
        core.parse_field(text)
    except UsageError as error:
        return str(error)
    return ""
