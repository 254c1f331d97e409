"""Changes fields of jobs, and takes changes back: set, reset, boost, collect, undo."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..db.history import add_action, last_undoable, read_actions, set_action_jobs
from ..db.history import undo as undo_action
from ..db.jobs import OWN_FIELDS, SPAWN_FIELDS, read_rows, require_unchanged
from ..db.submitting import change_fields
from ..errors import DatabaseError, UsageError
from ..folders import clean_job_folder
from ..identity import same_user
from ..model import COLLECTED, COMPLETE, INIT, JobInfo, JobKey
from ..workspace import Workspace
from .common import NOBODY, Outcome, Report, Selection, Watcher
from .held import held_jobs

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
    return name, found


def changes_of(info: JobInfo, fields: Mapping[str, Any]) -> dict[str, Any]:
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


def set_fields(
    ws: Workspace,
    keys: Sequence[JobKey],
    fields: Fields,
    unless: Mapping[str, Sequence[Any]],
    *,
    verb: str = "set",
    command: str = "",
    watcher: Watcher = NOBODY,
    attempts: Mapping[JobKey, int] | None = None,
) -> Report:
    """Sets fields of jobs, except of those where a field has one of the values of `unless`.

    A database that fails after the first jobs are done ends it: what is done is told all the same.

    Args:
        fields: the new values, or what makes them from a job's metadata.
        verb, command: for the action history; the command is the equivalent command line.
        attempts: leave jobs alone that are at another submission by now.

    Raises:
        UsageError: a field that nobody can set, or a value that it cannot have.
        DatabaseError: nothing could be written at all.
    """
    for field in OWN_FIELDS:
        if not callable(fields) and field in fields:
            raise UsageError(f"The field {field} cannot be set: the index gives it.")
    outcomes: list[Outcome] = []
    action: int | None = None
    for start in range(0, len(keys), CHUNK):
        if watcher.cancelled():
            return Report(verb, outcomes, action, stopped=True)
        try:
            with ws.db.transaction() as tx:
                number = action or add_action(tx, verb, 0, command or verb, can_undo=True)
                made = []
                for key in keys[start : start + CHUNK]:
                    attempt = attempts.get(key) if attempts else None
                    why = change_fields(tx, key, fields, unless, why=verb, action=number, attempt=attempt)
                    made.append(Outcome(key, not why, why, left=_is_spared(why, unless)))
                set_action_jobs(tx, number, sum(1 for outcome in (*outcomes, *made) if outcome.ok))
        except DatabaseError as error:
            if not outcomes:
                raise
            outcomes += [Outcome(key, False, str(error)) for key in keys[start:]]
            break
        action = number
        outcomes += made
        watcher.tell(len(outcomes), len(keys))
    return Report(verb, outcomes, action)


def edit(ws: Workspace, key: JobKey, rev: int, fields: Fields, *, command: str = "") -> Report:
    """Sets fields of one job if nobody has changed it since it was read, at its revision `rev`.

    Raises:
        ConflictError: somebody has, and the message says who; nothing was written.
        UsageError: a value that a field cannot have.
    """
    with ws.db.transaction() as tx:
        require_unchanged(tx, key, rev)
        action = add_action(tx, "set", 1, command or "set", can_undo=True)
        why = change_fields(tx, key, fields, {}, why="set", action=action)
        if why:
            raise UsageError(f"Job {key} was not changed: {why}")
    return Report("set", [Outcome(key, True)], action)


def _is_spared(why: str, unless: Mapping[str, Sequence[Any]]) -> bool:
    return any(why.startswith(f"{field} is ") for field in unless)


def reset(
    ws: Workspace,
    selection: Selection,
    *,
    force: bool = False,
    command: str = "",
    watcher: Watcher = NOBODY,
    attempts: Mapping[JobKey, int] | None = None,
    verb: str = "reset",
    fields: Fields | None = None,
) -> Report:
    """Puts jobs back to `init`, their ids dropped (they stay in the history).

    Complete and collected jobs, those that the scheduler still holds, and those that it may hold while it
    does not answer, or while another executor or user would have to be asked, are left alone unless `force`.

    Args:
        attempts: leave jobs alone that are at another submission by now.
        verb: what the history calls it, where it is a part of another action.
        fields: what else to set; it must set the state as well.
    """
    keys = selection.resolve(ws)
    held = {} if force else held_jobs(ws, keys)
    report = set_fields(
        ws,
        [key for key in keys if key not in held],
        fields or {"state": INIT},
        {} if force else PROTECTED,
        verb=verb,
        command=command,
        watcher=watcher,
        attempts=attempts,
    )
    kept = [Outcome(key, False, why, left=True) for key, why in held.items()]
    return report._replace(outcomes=[*report.outcomes, *kept])


def boost(
    ws: Workspace, selection: Selection, by: float, *, command: str = "", watcher: Watcher = NOBODY
) -> Report:
    """Adds `by` to the priority of all selected jobs."""
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
    ws: Workspace, selection: Selection, *, command: str = "", watcher: Watcher = NOBODY
) -> Report:
    """Marks complete jobs as collected; others are left alone."""
    keys = selection.resolve(ws)
    complete = {row.key for row in read_rows(ws.reader, keys) if row.state == COMPLETE}
    report = set_fields(
        ws,
        [key for key in keys if key in complete],
        {"state": COLLECTED},
        {},
        verb="collect",
        command=command,
        watcher=watcher,
    )
    others = [Outcome(key, False, "not complete", left=True) for key in keys if key not in complete]
    return report._replace(outcomes=[*report.outcomes, *others])


def undo(ws: Workspace, action_id: int | None = None) -> Report:
    """Takes back this user's last reset, deletion, field change or boost, where nothing changed since.

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
        add_action(tx, f"undo of {action.verb}", len(restored), f"undo {action.id}", can_undo=False)
    outcomes = [Outcome(key, True) for key in restored]
    outcomes += [Outcome(key, False, why) for key, why in refused]
    return Report(f"undo of {action.verb}", outcomes)


def reset_missing(
    ws: Workspace, keys: Iterable[JobKey], attempts: Mapping[JobKey, int] | None = None
) -> Report:
    """Puts missing jobs back to `init` and clears their temporary folders.

    Args:
        attempts: the submissions that were found missing; jobs at another one by now are left alone.
    """
    report = set_fields(ws, list(keys), {"state": INIT}, PROTECTED, verb="reset", attempts=attempts)
    for outcome in report.outcomes:
        if outcome.ok:
            clean_job_folder(ws, outcome.key)
    return report
