"""Changes fields of jobs, and takes changes back: set, reset, boost, collect, undo."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..database.events import add_action, last_undoable, read_actions, set_action_jobs
from ..database.events import undo as undo_action
from ..database.jobs import OWN_FIELDS, SPAWN_FIELDS, read_info, read_rows, require_unchanged
from ..database.lifecycle import change_fields
from ..errors import DatabaseError, UsageError
from ..executors.resources import read as read_resources
from ..identity import same_user
from ..jobs.cleanup import job_folder, remove_whole, set_aside
from ..model import COLLECTED, COMPLETE, INIT, JobInfo, JobKey, Stamp
from ..project import Project
from .protection import protect
from .report import NO_PROGRESS, ActionReport, JobResult, ProgressReporter, ResultKind, Selection, outcome_of

log = logging.getLogger(__name__)

Fields = Mapping[str, Any] | Callable[[JobInfo], Mapping[str, Any]]
"""New values, or what makes them from a job's metadata."""

CHUNK = 1000
"""Jobs changed in one transaction: other writers get their turn in between."""

PROTECTED: Mapping[str, Sequence[object]] = {"state": (COMPLETE, COLLECTED)}
"""What a reset leaves alone (v0.6's default `Unless`)."""

NESTED = ("resources", "vars")
"""Fields of which one entry can be set: `resources.mem`."""


# ------------------------------------------------------------------------------------ words


def parse_field(word: str) -> tuple[str, Any]:
    """ "name=value" as a field and its value: JSON if it is that, else text.

    Raises:
        UsageError: no name, no `=`, or a field that the index itself gives.
    """
    name, equals, value = word.partition("=")
    name = name.strip()
    if not equals or not name:
        raise UsageError(f"Write FIELD=VALUE, for example queue=long; {word!r} is not that.")
    if name in OWN_FIELDS or name in SPAWN_FIELDS:
        raise UsageError(f"The field {name} belongs to the index and cannot be set.")
    found: Any
    try:
        found = json.loads(value)
    except ValueError:
        found = value.strip()
    if name in NESTED and not isinstance(found, dict):
        raise UsageError(f"{name} has entries: write for example {name}.NAME=VALUE, not {word!r}.")
    if name == "priority" and isinstance(found, float) and not math.isfinite(found):
        raise UsageError(f"A priority must be a finite number, not {value!r}.")
    outer, _, inner = name.partition(".")
    if outer == "resources":
        read_resources({inner: found} if inner else found, bare=1)
    return name, found


def expand_field_changes(info: JobInfo, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The new values for one job: `resources.mem` changes one entry of what it has."""
    new: dict[str, Any] = {}
    for name, value in fields.items():
        outer, dot, inner = name.partition(".")
        if dot and outer in NESTED:
            new[outer] = {**(new.get(outer) or info.get(outer) or {}), inner: value}
        else:
            new[name] = value
    return new


# ------------------------------------------------------------------------------------ fields


GUARDED = ("state", "submit_id", "ClusterID")
"""Fields by which a job that runs is known: of one that is in a queue they are not set."""


def set_fields(
    ws: Project,
    keys: Sequence[JobKey],
    fields: Fields,
    unless: Mapping[str, Sequence[Any]],
    *,
    verb: str = "set",
    command: str = "",
    watcher: ProgressReporter = NO_PROGRESS,
    seen: Mapping[JobKey, Stamp] | None = None,
    strictly: bool = True,
    also: Callable[[JobKey], None] | None = None,
) -> ActionReport:
    """Set fields of jobs, except of those where a field has one of the values of `unless`.

    What may be in a queue is for the caller to ask about (`change`, `reset`). A database that fails after
    the first jobs are done ends it: what is done is told all the same.

    Args:
        fields: the new values, or what makes them from a job's metadata.
        verb, command: for the action history; the command is the equivalent command line.
        seen: leave jobs alone that do not stand there any more.
        strictly: else a job of `seen` need only be at the same submission.
        also: called inside the transaction for each job that was changed.

    Raises:
        UsageError: a field that nobody can set, or a value that it cannot have.
        DatabaseError: nothing could be written at all.
    """
    if not callable(fields):
        _require_settable(fields)
    outcomes: list[JobResult] = []
    action: int | None = None
    for start in range(0, len(keys), CHUNK):
        if watcher.cancelled():
            return ActionReport(verb, outcomes, action, stopped=True)
        try:
            with ws.db.transaction() as tx:
                number = action or add_action(tx, verb, 0, command or verb, can_undo=True)
                made = []
                for key in keys[start : start + CHUNK]:
                    refusal = change_fields(
                        tx,
                        key,
                        fields,
                        unless,
                        why=verb,
                        action=number,
                        seen=seen.get(key) if seen else None,
                        strictly=strictly,
                    )
                    made.append(outcome_of(key, refusal))
                    if refusal is None and also is not None:
                        also(key)
                set_action_jobs(tx, number, sum(1 for outcome in (*outcomes, *made) if outcome.ok))
        except DatabaseError as error:
            if not outcomes:
                raise
            outcomes += [JobResult(key, ResultKind.FAILED, str(error)) for key in keys[start:]]
            break
        action = number
        outcomes += made
        watcher.tell(len(outcomes), len(keys))
    return ActionReport(verb, outcomes, action)


def change(
    ws: Project,
    keys: Sequence[JobKey],
    fields: Mapping[str, Any],
    unless: Mapping[str, Sequence[Any]],
    *,
    force: bool = False,
    own: JobKey | None = None,
    command: str = "",
    watcher: ProgressReporter = NO_PROGRESS,
    shown: Mapping[JobKey, Stamp] | None = None,
) -> ActionReport:
    """Set fields as a user asks for it: `resources.mem` for one entry; state=init is a reset.

    Jobs that are in a queue, or may be, keep what they are known by (GUARDED) unless `force`.

    Args:
        own: the job that asks this for itself; it may set its own state, but cannot reset itself.
        shown: where the jobs stood when the user was asked.
    """
    _require_settable(fields)
    reset_too = fields.get("state") == INIT
    report, held = _guarded(
        ws,
        keys,
        lambda info: expand_field_changes(info, fields),
        unless,
        guard=not force and any(name in fields for name in GUARDED),
        exempt=None if reset_too else own,
        shown=shown,
        verb="reset" if reset_too else "set",
        command=command,
        watcher=watcher,
    )
    return report._replace(outcomes=[*report.outcomes, *held])


def _require_settable(fields: Mapping[str, Any]) -> None:
    for field in OWN_FIELDS:
        if field in fields:
            raise UsageError(f"The field {field} cannot be set: the index gives it.")


def _guarded(
    ws: Project,
    keys: Sequence[JobKey],
    fields: Fields,
    unless: Mapping[str, Sequence[Any]],
    *,
    guard: bool,
    shown: Mapping[JobKey, Stamp] | None,
    verb: str,
    command: str,
    watcher: ProgressReporter,
    exempt: JobKey | None = None,
) -> tuple[ActionReport, list[JobResult]]:
    """`set_fields`, but for those that the guard holds; what it held comes second."""
    if not guard:
        seen = shown or {}
        return set_fields(
            ws, keys, fields, unless, verb=verb, command=command, watcher=watcher, seen=seen, strictly=False
        ), []
    protection = protect(ws, keys, shown)
    held = {key: held for key, held in protection.held.items() if key != exempt}
    report = set_fields(
        ws,
        [key for key in keys if key not in held],
        fields,
        unless,
        verb=verb,
        command=command,
        watcher=watcher,
        seen={key: stamp for key, stamp in protection.stamps.items() if key != exempt},
    )
    return report, [JobResult(key, ResultKind.SKIPPED, why.words, hold=why.code) for key, why in held.items()]


def edit(ws: Project, key: JobKey, rev: int, fields: Fields, *, command: str = "") -> ActionReport:
    """Set fields of one job if nobody has changed it since it was read, at its revision `rev`.

    Raises:
        ConflictError: somebody has, and the message says who; nothing was written.
        UsageError: a value that a field cannot have, or that a job in a queue must keep.
    """
    new = fields(read_info(ws.reader, key)) if callable(fields) else fields
    if any(name in new for name in GUARDED) and (held := protect(ws, [key]).held.get(key)):
        raise UsageError(f"Job {key} was not changed: {held.words}")
    with ws.db.transaction() as tx:
        require_unchanged(tx, key, rev)
        action = add_action(tx, "set", 1, command or "set", can_undo=True)
        refusal = change_fields(tx, key, fields, {}, why="set", action=action)
        if refusal is not None:
            raise UsageError(f"Job {key} was not changed: {refusal.words}")
    return ActionReport("set", [JobResult(key, ResultKind.DONE)], action)


def reset(
    ws: Project,
    selection: Selection,
    *,
    force: bool = False,
    command: str = "",
    watcher: ProgressReporter = NO_PROGRESS,
    shown: Mapping[JobKey, Stamp] | None = None,
    verb: str = "reset",
    fields: Fields | None = None,
) -> ActionReport:
    """Put jobs back to `init`, their ids dropped (they stay in the history).

    Complete and collected jobs, those that the scheduler still holds, and those that it may hold while it
    does not answer, or while another executor or user would have to be asked, are left alone unless `force`.

    Args:
        shown: where the jobs stood when the user was asked: what changed since is left alone.
        verb: what the history calls it, where it is a part of another action.
        fields: what else to set; it must set the state as well.
    """
    report, held = _guarded(
        ws,
        selection.resolve(ws),
        fields or {"state": INIT},
        {} if force else PROTECTED,
        guard=not force,
        shown=shown,
        verb=verb,
        command=command,
        watcher=watcher,
    )
    return report._replace(outcomes=[*report.outcomes, *held])


def boost(
    ws: Project,
    selection: Selection,
    by: float,
    *,
    command: str = "",
    watcher: ProgressReporter = NO_PROGRESS,
) -> ActionReport:
    """Add `by` to the priority of all selected jobs."""
    return set_fields(
        ws,
        selection.resolve(ws),
        lambda info: {"priority": info["priority"] + by},
        {},
        verb="boost",
        command=command,
        watcher=watcher,
    )


def mark_collected(
    ws: Project, selection: Selection, *, command: str = "", watcher: ProgressReporter = NO_PROGRESS
) -> ActionReport:
    """Mark complete jobs as collected; others are left alone."""
    keys = selection.resolve(ws)
    complete = {row.key: row.stamp for row in read_rows(ws.reader, keys) if row.state == COMPLETE}
    report = set_fields(
        ws,
        [key for key in keys if key in complete],
        {"state": COLLECTED},
        {},
        verb="collect",
        command=command,
        watcher=watcher,
        seen=complete,
    )
    others = [JobResult(key, ResultKind.SKIPPED, "not complete") for key in keys if key not in complete]
    return report._replace(outcomes=[*report.outcomes, *others])


def undo(ws: Project, action_id: int | None = None) -> ActionReport:
    """Take back this user's last reset, deletion, field change or boost, where nothing changed since.

    Raises:
        UsageError: there is nothing to undo.
    """
    if action_id is None:
        action = last_undoable(ws.db, ws.db.who)
        if action is None:
            raise UsageError("There is nothing to undo: no reset, deletion, field change or boost of yours.")
    else:
        found = [a for a in read_actions(ws.db, -1) if a.id == action_id]
        if not found or not found[0].can_undo:
            raise UsageError(f"Action {action_id} cannot be undone; see: paraschut actions")
        action = found[0]
        if not same_user(action.who, ws.db.who):
            raise UsageError(f"Action {action_id} is {action.who}'s: only that user can undo it.")
    with ws.db.transaction() as tx:
        restored, refused = undo_action(tx, action)
        add_action(
            tx,
            f"undo of {action.verb}",
            len(restored),
            f"undo {action.id}",
            can_undo=False,
            undone=action.id,
        )
    outcomes = [JobResult(key, ResultKind.DONE) for key in restored]
    outcomes += [JobResult(key, ResultKind.FAILED, why) for key, why in refused]
    return ActionReport(f"undo of {action.verb}", outcomes)


def reset_missing(ws: Project, missing: Mapping[JobKey, Stamp]) -> ActionReport:
    """Put missing jobs back to `init` and remove their temporary folders.

    Args:
        missing: where the jobs stood when they were found missing: what changed since is left alone.
    """
    aside: list[tuple[str, str]] = []

    def clear(key: JobKey) -> None:
        # Inside the transaction: nobody can submit the job again, and run it there, before that is done.
        folder = job_folder(ws, key)
        if folder and (renamed := set_aside(folder)):
            aside.append((renamed, folder))

    try:
        report = set_fields(
            ws, list(missing), {"state": INIT}, PROTECTED, verb="reset", seen=missing, also=clear
        )
    finally:
        for renamed, _ in aside:
            if problem := remove_whole(renamed):
                log.warning("%s", problem)
    return report
