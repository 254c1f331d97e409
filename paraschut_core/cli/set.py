"""`set`: changes fields of jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from ..errors import UsageError
from .job_command import JobCommand, job_command, pairs


@job_command("set", required=True, metavar="BATCH [JOB]... FIELD=VALUE...")
@click.option(
    "--unless", multiple=True, metavar="FIELD=V,...", help="Skip jobs that have one of these values."
)
@click.option("--force", is_flag=True, help="Include complete jobs and jobs in the queue.")
def set_(command: JobCommand, unless: tuple[str, ...], force: bool) -> int:
    """Set fields of jobs. VALUE is JSON, or else text.

    `resources.mem=4gb` and `vars.X=1` change one entry. Complete and collected
    jobs are skipped unless --force, or unless --unless names other values.
    Setting state=init is a reset. `paraschut undo` reverses it.

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
    fields = _fields([word for word in command.targets if "=" in word])
    kept = {name: _values(value) for name, value in pairs(unless, "--unless").items()}
    protected: Mapping[str, Sequence[object]] = {} if force else kept or PROTECTED
    jobs = replace(command, targets=tuple(word for word in command.targets if "=" not in word))
    return jobs.run(
        lambda call: change(
            call.ws,
            call.selection.keys,
            fields,
            protected,
            force=force,
            command=call.command,
            watcher=call.watcher,
            shown=call.shown,
        ),
        verb="set",
        done="changed",
        agreed=lambda ws, selection: agreed_fields(ws, selection.keys, fields, command.yes),
        force=force,
        required=force and any(name in fields for name in GUARDED),
    )


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


COMMANDS = {"set": set_}
