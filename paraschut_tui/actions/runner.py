"""Carries actions out: from the words of the screen to the core's functions, and back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paraschut_core.config import Settings
from paraschut_core.database.jobs import OWN_FIELDS, SPAWN_FIELDS, read_info
from paraschut_core.errors import ParaschutError, UsageError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.model import DONE_STATES, INIT, JobKey
from paraschut_core.project import Project

if TYPE_CHECKING:
    from paraschut_core.actions import ActionReport, JobResult, ProgressReporter

from ..formatting import count, plural
from ..job_details.value_format import replaced
from .command_lines import command_line, setting_of
from .resource_increase import ResourceIncrease, propose
from .types import ActionResult, ActionTarget, JobMessage, PreviewText

Progress = Callable[[int, int], None]


class ActionRunner:
    """Each deed opens the project anew, in the thread that it runs in, and lets go of it afterwards.

    The core's functions are imported where they are used: the screen is to open fast.
    """

    def __init__(self, settings: Settings, executor: JobExecutor | None) -> None:
        self._settings = settings
        self._executor = executor

    # ------------------------------------------------------------------ looking

    def preview(self, verb: str, target: ActionTarget, reasons: Mapping[JobKey, str]) -> PreviewText:
        """Counts what an action would meet. Raises ParaschutError."""
        with Project(self._settings, self._executor) as ws:
            if verb == "submit_next":
                return _plan(ws)
            if verb == "clean":
                return _files(ws, target)
            return _jobs(ws, target, reasons)

    # ------------------------------------------------------------------ doing

    def act(
        self,
        verb: str,
        target: ActionTarget,
        *,
        force: bool,
        value: str,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> ActionResult:
        """Does it; what went wrong is in the verdict."""
        from paraschut_core.actions import ProgressReporter

        try:
            with Project(self._settings, self._executor) as ws:
                return self._act(ws, verb, target, force, value, ProgressReporter(progress, cancelled))
        except ParaschutError as error:
            return ActionResult(0, error=str(error))

    def edit(self, key: JobKey, rev: int, path: Sequence[object], value: object) -> ActionResult:
        """Sets one field of one job, or an entry within it, as it was at `rev`; what went wrong is in the
        verdict."""
        from paraschut_core import actions

        field, *rest = path
        name = str(field)
        if name in OWN_FIELDS or name in SPAWN_FIELDS:
            return ActionResult(0, error=f"{name} is given by the index; nobody sets it.")
        if name == "state" and value == INIT:
            return ActionResult(0, error="A job comes back to init by a reset.")

        def fields(info: Mapping[str, Any]) -> dict[str, object]:
            return {name: replaced(info.get(name), rest, value)}

        try:
            with Project(self._settings, self._executor) as ws:
                whole = fields(read_info(ws.reader, key))[name]
                command = f"set {key.batch_id} {key.job_index} {setting_of(name, rest, value, whole)}"
                report = actions.edit(ws, key, rev, fields, command=command)
        except ParaschutError as error:
            return ActionResult(0, error=str(error))
        return ActionResult(report.done, (), True, command)

    def summary(self, id_: str) -> Mapping[str, object]:
        """The scheduler's own record of a job; {} where it has none."""
        try:
            with Project(self._settings, self._executor) as ws:
                return dict(ws.executor.get_job_summary(id_))
        except ParaschutError:
            return {}

    def _act(
        self, ws: Project, verb: str, target: ActionTarget, force: bool, value: str, watcher: ProgressReporter
    ) -> ActionResult:
        from paraschut_core import actions

        selection = actions.Selection(target.keys, target.batches)
        command = command_line(verb, target, force, value)
        shown = target.stamps
        match verb:
            case "reset":
                report = actions.reset(
                    ws, selection, force=force, command=command, watcher=watcher, shown=shown
                )
            case "resubmit":
                report = actions.resubmit(
                    ws,
                    selection,
                    force=force,
                    resources=target.raises.values,
                    command=command,
                    watcher=watcher,
                    shown=shown,
                )
            case "qdel":
                report = actions.qdel(ws, selection, command=command, watcher=watcher, shown=shown)
            case "submit_these":
                report = actions.submit_now(ws, selection, command=command, watcher=watcher)
            case "submit_batch":
                report = actions.submit_batches(ws, target.batches, command=command, watcher=watcher)
            case "collect":
                report = actions.mark_collected(ws, selection, command=command, watcher=watcher)
            case "remove":
                report = actions.remove_batches(
                    ws, target.batches, force=force, command=command, shown=target.signatures
                )
            case "undo":
                report = actions.undo(ws, int(value) if value else None)
            case "boost":
                report = actions.boost(ws, selection, number(value), command=command, watcher=watcher)
            case "edit" | "priority":
                word = f"priority={number(value)}" if verb == "priority" else value
                fields = dict([actions.parse_field(word)])
                report = actions.change(
                    ws,
                    selection.resolve(ws),
                    fields,
                    {} if force else actions.PROTECTED,
                    force=force,
                    command=command,
                    watcher=watcher,
                    shown=shown,
                )
            case "submit_next" | "auto_submit":
                by_itself = verb == "auto_submit"
                sent = actions.submit_next(ws, by_itself=by_itself, command=command, watcher=watcher)
                kinds = {True: actions.ResultKind.FAILED, False: actions.ResultKind.DONE}
                outcomes = [
                    actions.JobResult(o.key, kinds[o.id is None], o.id or o.error) for o in sent.outcomes
                ]
                report = actions.ActionReport(verb, outcomes, stopped=watcher.cancelled())
            case "clean":
                cleaned = actions.clean_files(ws, ws.settings.temp_files, target.batches, command=command)
                left = tuple(JobMessage(key, held.words) for key, held in cleaned.left.items())
                return ActionResult(sum(cleaned.files.values()), command=command, left=left)
            case _:
                raise UsageError(f"There is no action {verb}.")
        return ActionResult(
            report.done,
            _told(report.failed),
            report.action is not None and (report.done > 0 or verb == "resubmit"),
            command,
            "stopped before the rest" if report.stopped else _effects(report),
            left=_told(report.left),
            made=_told(outcome for outcome in report.outcomes if outcome.ok),
        )


def _effects(report: ActionReport) -> str:
    """What a deletion did, in words."""
    return ", ".join(f"{count(n)} {effect.value}" for effect, n in report.effects().items())


def _told(outcomes: Iterable[JobResult]) -> tuple[JobMessage, ...]:
    return tuple(JobMessage(outcome.key, outcome.message) for outcome in outcomes)


def _jobs(ws: Project, target: ActionTarget, reasons: Mapping[JobKey, str]) -> PreviewText:
    from paraschut_core import actions
    from paraschut_core.database.jobs import read_infos

    found = actions.preview(ws, actions.Selection(target.keys, target.batches))
    raises = propose(read_infos(ws.reader, reasons), reasons) if reasons else ResourceIncrease()
    counts = sorted(found.reasons.items(), key=lambda item: -item[1])
    return PreviewText(
        len(found.keys),
        found.states,
        found.live,
        found.missing,
        sum(n for state, n in found.states.items() if state in DONE_STATES),
        found.highest_attempt,
        tuple(f"{count(n)} missing: {reason}" for reason, n in counts[:3]),
        raises,
        found.queued,
        len(found.live_batches),
        len(found.lost_spawns),
        sum(found.lost_spawns.values()),
        found.stamps,
        elsewhere=found.elsewhere,
        running=found.held.get(actions.Hold.RUNNING, 0),
        held=sum(found.held.values()),
        signatures=actions.signatures(ws, target.batches),
    )


MOST_GROUPS = 6
"""Groups that are named of what would be submitted next."""


def _plan(ws: Project) -> PreviewText:
    """What would be submitted next."""
    from paraschut_core.actions import plan_next
    from paraschut_core.database.changes import read_batches

    plan = plan_next(ws)
    names = {i: batch.name for i, batch in read_batches(ws.reader, [i for i, _, _ in plan.groups]).items()}
    waiting = sum(n for _, _, n in plan.groups)
    if not waiting:
        lines = ["No job may be submitted now: none in init has its turn."]
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
    lines += [f"{ws.executor.name} does not answer: {plan.error}"] if plan.error else []
    # A scheduler that is silent is asked once more: the counts may be old.
    return PreviewText(plan.jobs or (waiting if plan.error else 0), {"init": waiting}, lines=tuple(lines))


def _files(ws: Project, target: ActionTarget) -> PreviewText:
    """Which temporary files there are."""
    from paraschut_core.jobs.cleanup import temp_files

    patterns = ws.settings.temp_files
    n = size = 0
    for _, path in temp_files(ws, patterns, target.batches):
        n += 1
        try:
            size += os.lstat(path).st_size
        except OSError:
            pass  # gone meanwhile
    head = f"{plural(n, 'file')}, {figure(size)}" if n else "no file"
    return PreviewText(n, {}, lines=(f"{head} matching {' '.join(patterns)}",))


def figure(size: float) -> str:
    """Bytes in a few letters: "1.4 MB"."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def number(text: str) -> int | float:
    """A number that somebody typed. Raises UsageError."""
    try:
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number.") from None


def wrong_number(text: str) -> str:
    """What is wrong with a number that somebody typed; "" if it is one."""
    try:
        number(text)
    except UsageError as error:
        return str(error)
    return ""


def wrong_field(text: str) -> str:
    """What is wrong with `field=value`; "" if nothing is."""
    from paraschut_core.actions import parse_field

    try:
        parse_field(text)
    except UsageError as error:
        return str(error)
    return ""
