"""Carries actions out: from the words of the screen to the core's functions, and back."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from paraschut_core.config import Settings
from paraschut_core.errors import ParaschutError, UsageError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.model import DONE_STATES, JobKey
from paraschut_core.workspace import Workspace

if TYPE_CHECKING:
    from paraschut_core.actions import Watcher

from .raising import Raises, propose
from .records import Failure, Preview, Target, Verdict

Progress = Callable[[int, int], None]

_OWN = frozenset({"BatchID", "JobIndex", "attempt", "rev", "SpawnID", "spawn_state"})
"""Fields that the index gives."""


class Deeds:
    """Each deed opens the project anew, in the thread that it runs in, and lets go of it afterwards.

    The core's functions are imported where they are used: the screen is to open fast.
    """

    def __init__(self, settings: Settings, executor: JobExecutor | None) -> None:
        self._settings = settings
        self._executor = executor

    def preview(self, target: Target, reasons: Mapping[JobKey, str]) -> Preview:
        """Counts what an action would meet. Raises ParaschutError."""
        from paraschut_core import actions
        from paraschut_core.db.jobs import read_infos

        with Workspace(self._settings, self._executor) as ws:
            found = actions.preview(ws, actions.Selection(target.keys, target.batches))
            raises = propose(read_infos(ws.reader, reasons), reasons) if reasons else Raises()
        counts = sorted(found.reasons.items(), key=lambda item: -item[1])
        return Preview(
            len(found.keys),
            found.states,
            found.live,
            found.missing,
            sum(n for state, n in found.states.items() if state in DONE_STATES),
            found.highest_attempt,
            tuple(f"{n} missing: {reason}" for reason, n in counts[:3]),
            raises,
        )

    def act(
        self,
        verb: str,
        target: Target,
        *,
        force: bool,
        value: str,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> Verdict:
        """Does it; what went wrong is in the verdict."""
        from paraschut_core.actions import Watcher

        try:
            with Workspace(self._settings, self._executor) as ws:
                return self._act(ws, verb, target, force, value, Watcher(progress, cancelled))
        except ParaschutError as error:
            return Verdict(0, error=str(error))

    def _act(
        self, ws: Workspace, verb: str, target: Target, force: bool, value: str, watcher: Watcher
    ) -> Verdict:
        from paraschut_core import actions

        selection = actions.Selection(target.keys, target.batches)
        command = command_line(verb, target, force, value)
        match verb:
            case "reset":
                report = actions.reset(ws, selection, force=force, command=command, watcher=watcher)
            case "resubmit":
                raises = target.raises.values
                report = actions.resubmit(
                    ws, selection, force=force, resources=raises, command=command, watcher=watcher
                )
                report = report._replace(action=None)  # what was submitted anew cannot be taken back
            case "qdel":
                report = actions.qdel(ws, selection, command=command, watcher=watcher)
            case "submit_these":
                report = actions.submit_now(ws, selection, command=command, watcher=watcher)
            case "collect":
                report = actions.mark_collected(ws, selection, command=command, watcher=watcher)
            case "remove":
                report = actions.remove_batches(ws, target.batches, command=command)
            case "undo":
                report = actions.undo(ws, int(value) if value else None)
            case "boost":
                fields = {"priority": _number(value)}
                report = actions.set_fields(
                    ws, selection.resolve(ws), fields, {}, verb="priority", command=command, watcher=watcher
                )
            case "edit":
                name, field = parse_field(value)
                unless = {} if force else actions.PROTECTED
                report = actions.set_fields(
                    ws,
                    selection.resolve(ws),
                    lambda info: changed(info, name, field),
                    unless,
                    verb="set",
                    command=command,
                    watcher=watcher,
                )
            case "submit_next":
                return _submit_next(ws, watcher)
            case "clean":
                from paraschut_core.folders import clean_temp_files

                removed = clean_temp_files(ws, ws.settings.temp_files, target.batches)
                return Verdict(sum(removed.values()), command=command)
            case _:
                raise UsageError(f"There is no action {verb}.")
        return Verdict(
            report.done,
            tuple(Failure(outcome.key, outcome.message) for outcome in report.failed),
            report.action is not None and report.done > 0,
            command,
            "stopped" if report.stopped else "",
        )


def _submit_next(ws: Workspace, watcher: Watcher) -> Verdict:
    from paraschut_core.submission import submit_next

    report = submit_next(ws, progress=watcher.progress, cancelled=watcher.cancelled)
    failed = tuple(Failure(o.key, o.error) for o in report.outcomes if o.id is None)
    return Verdict(len(report.outcomes) - len(failed), failed, command="submit")


def _number(text: str) -> int | float:
    try:
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number.") from None


def parse_field(text: str) -> tuple[str, object]:
    """ "name=value" as a field and its value: JSON if it is that, else text.

    Raises:
        UsageError: no name, no `=`, or a field that the index itself gives.
    """
    name, sign, value = text.partition("=")
    name = name.strip()
    if not sign or not name:
        raise UsageError(f"Write field=value, e.g. queue=long; {text!r} has no =.")
    if name.partition(".")[0] in _OWN:
        raise UsageError(f"{name} is given by the index; nobody sets it.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value.strip()


def changed(info: Mapping[str, Any], name: str, value: object) -> dict[str, object]:
    """What to set for `name=value`; `resources.mem` stands for one entry of a field."""
    field, dot, entry = name.partition(".")
    if not dot:
        return {name: value}
    old = info.get(field)
    return {field: {**(old if isinstance(old, Mapping) else {}), entry: value}}


_WORDS = {
    "submit_next": "submit",
    "submit_these": "submit",
    "edit": "set",
    "boost": "set",
    "clean": "clean --files",
}
_LONGEST = 2000


def command_line(verb: str, target: Target, force: bool, value: str) -> str:
    """The command that does the same (one after the other for jobs of several batches), as the command
    line's own acts are kept: without the program's name."""
    if verb == "undo":
        return f"undo {value}".strip()
    word = _WORDS.get(verb, verb)
    setting = f"priority={value}" if verb == "boost" else value
    tail = [shlex.quote(setting)] if value else []
    tail += ["--force"] if force else []
    for name, new in _same_raise(target).items():
        tail += ["--resource", shlex.quote(f"{name}={new}")]
    heads = [",".join(str(batch_id) for batch_id in target.batches)] if target.batches else []
    by_batch: dict[int, list[int]] = {}
    for key in target.keys:
        by_batch.setdefault(key.batch_id, []).append(key.job_index)
    heads += [f"{batch_id} {spans(indexes)}" for batch_id, indexes in by_batch.items()]
    text = "; ".join(" ".join([word, *([head] if head else []), *tail]) for head in heads or [""])
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _same_raise(target: Target) -> Mapping[str, object]:
    """The raised resources, if they are the same for all jobs: only then one command does it."""
    values = list(target.raises.values.values())
    same = len(values) == len(target.keys) and all(value == values[0] for value in values)
    return values[0] if values and same else {}


def spans(indexes: Iterable[int]) -> str:
    """1,2,3,7 -> "1-3,7"."""
    parts: list[str] = []
    start = last = None
    for index in [*sorted(indexes), None]:
        if last is not None and index == last + 1:
            last = index
            continue
        if start is not None:
            parts.append(f"{start}" if start == last else f"{start}-{last}")
        start = last = index
    return ",".join(parts)
