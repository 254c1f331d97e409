"""The command line that does the same as an action of the dashboard. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence

from .action_entry import ActionEntry, TargetKind
from .core_actions import core
from .types import ActionTarget

LONGEST = 20_000
"""Most characters of a command; a remark replaces the rest of the jobs."""


def command_line(action: ActionEntry, target: ActionTarget, force: bool, value: str) -> str:
    """The equivalent command, without the program's name at its front, as the command line records its own
    actions. Jobs of several batches, or with different new resources, take several commands."""
    if action.target is TargetKind.NONE:
        return f"{action.words} {value}".strip()
    options = _options(action, force, value)
    batches = ",".join(map(str, target.batches))
    commands = [" ".join([action.words, batches, *options])] if batches else []
    for (batch_id, more), indexes in _groups(target).items():
        resources = [f"--resource {shlex.quote(f'{name}={new}')}" for name, new in more]
        commands.append(" ".join([action.words, str(batch_id), spans(indexes), *options, *resources]))
    text = "; paraschut ".join(commands)
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST].rpartition(',')[0]}  # and more: {target.title}"


def _options(action: ActionEntry, force: bool, value: str) -> list[str]:
    words = ["--force"] if force else []
    if not value:
        return words
    setting = [action.value_option, value] if action.value_option else [shlex.quote(action.setting(value))]
    return [*setting, *words]


def _groups(target: ActionTarget) -> dict[tuple[int, tuple[tuple[str, object], ...]], list[int]]:
    """Group the jobs by batch and by the resources that are raised for them."""
    groups: dict[tuple[int, tuple[tuple[str, object], ...]], list[int]] = {}
    for key in target.keys:
        more = tuple(sorted(target.raises.values.get(key, {}).items()))
        groups.setdefault((key.batch_id, more), []).append(key.job_index)
    return groups


def setting_of(name: str, rest: Sequence[object], value: object, whole: object) -> str:
    """Return "field=value" as the command line takes it: an entry of a field, else the whole field."""
    if len(rest) == 1 and name in core.NESTED:
        name, whole = f"{name}.{rest[0]}", value
    try:
        return shlex.quote(f"{name}={json.dumps(whole, ensure_ascii=False)}")
    except (TypeError, ValueError):
        return shlex.quote(f"{name}={whole}")


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
