"""`info` and `spawns`: what the index holds of jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..errors import UnknownJobError
from ..model import state_order
from . import output
from .context import CliContext, complete_batch, json_option, one_job, pass_project, read_batches

if TYPE_CHECKING:
    from ..model import JobInfo, JobKey
    from ..project import Project


@click.command()
@click.argument("batch", metavar="BATCH", shell_complete=complete_batch)
@click.argument("job", required=False, metavar="[JOB]")
@click.argument("fields", nargs=-1, metavar="[FIELD]...")
@json_option
@pass_project
def info(project: CliContext, batch: str, job: str | None, fields: tuple[str, ...], as_json: bool) -> int:
    """Show a job's metadata, or some of its fields; or a batch and its jobs.

    In JSON, values that JSON has no word for are objects with the key "$", as
    they are stored.

    \b
    Examples:
      paraschut info 20250101120000
      paraschut info 20250101120000 7 state resources
      paraschut info 20250101120000 7 --json
    """
    with project.open() as ws:
        if job is None:
            return _show_batch(ws, read_batches(batch)[0], as_json)
        key = one_job(ws, batch, job)
        found = _job(ws, key)
    if fields:
        unknown = [name for name in fields if name not in found]
        if unknown:
            raise UnknownJobError(
                f"Job {key} has no field {', '.join(unknown)}; it has {', '.join(sorted(found))}."
            )
        found = {name: found[name] for name in fields}
    if as_json:
        output.dump(_plain(found))
    elif len(fields) == 1:
        output.line(_shown(found[fields[0]]))
    else:
        output.table(("field", "value"), [(name, _shown(value)) for name, value in found.items()])
    return 0


def _job(ws: Project, key: JobKey) -> JobInfo:
    """A job's metadata, with how its last attempt ended where that is known."""
    from ..database.events import read_ending
    from ..in_job import job_info

    found = job_info(ws.reader, key)
    ending = read_ending(ws.reader, key, found["attempt"])
    if ending is not None:
        found["ending"] = ending.reason
    return found


def _plain(fields: Mapping[str, Any]) -> Any:
    from ..database.metadata_json import encode

    return json.loads(encode(dict(fields))[0])


def _shown(value: object) -> str:
    """A value for people: text as it is, containers in one line."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=repr, ensure_ascii=False)
    return repr(value)


def _show_batch(ws: Project, batch_id: int, as_json: bool) -> int:
    from ..database.changes import read_batches as read_counters
    from ..database.jobs import read_keys, read_rows, require_batch

    require_batch(ws.reader, batch_id)
    batch = read_counters(ws.reader, [batch_id])[batch_id]
    rows = read_rows(ws.reader, read_keys(ws.reader, batch_id))
    if as_json:
        jobs = [
            {
                "JobIndex": row.key.job_index,
                **{k: v for k, v in row._asdict().items() if k not in ("key", "rev")},
            }
            for row in rows
        ]
        head = {"BatchID": batch_id, "name": batch.name, "batch_type": batch.batch_type}
        output.dump({**head, "states": batch.states, "jobs": jobs})
        return 0
    output.line(f"{batch_id}: {batch.name} ({batch.batch_type}), {batch.complete}/{batch.total} complete")
    for priority in sorted({p for p, _ in batch.counts}, reverse=True):
        states = {state: n for (p, state), n in batch.counts.items() if p == priority and n}
        words = ", ".join(
            f"{states[state]} {state or repr(state)}" for state in sorted(states, key=state_order)
        )
        output.line(f"priority {priority:g}: {words}")
    output.line(f"folder: {ws.batch_dir(batch_id)}\n")
    output.table(
        ("job", "state", "priority", "attempt", "id", "host", "since", "ending"),
        [
            (
                row.key.job_index,
                row.state,
                f"{row.priority:g}",
                row.attempt,
                row.cluster_id or row.submit_id,
                row.hostname,
                output.when(row.changed_at),
                row.ending,
            )
            for row in rows
        ],
    )
    return 0


@click.command()
@click.argument("batch", metavar="BATCH", shell_complete=complete_batch)
@click.argument("job", metavar="JOB")
@json_option
@pass_project
def spawns(project: CliContext, batch: str, job: str, as_json: bool) -> int:
    """Show the spawns of a job that multiplied itself.

    Lost ones are submitted again by: paraschut resubmit BATCH JOB

    \b
    Examples:
      paraschut spawns 20250101120000 7
    """
    from ..database.spawns import read_spawns

    with project.open() as ws:
        found = read_spawns(ws.reader, one_job(ws, batch, job))
    if as_json:
        output.dump([spawn._asdict() for spawn in found])
    elif not found:
        output.line("this job has no spawns")
    else:
        output.table(
            ("spawn", "state", "id", "stdout", "stderr"),
            [(s.spawn_id, s.state, s.cluster_id or s.submit_id, s.stdout, s.stderr) for s in found],
        )
    return 0


COMMANDS = {"info": info, "spawns": spawns}
