"""Takes over the jobs of a v0.6 database: each batch whole, under its own number, in one transaction."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from ..database.changes import read_batches
from ..database.connection import Transaction
from ..database.events import add_event
from ..database.jobs import insert_jobs
from ..database.spawns import NewSpawn, insert_spawn
from ..errors import ParaschutError
from ..model import SPAWN, JobInfo, JobKey
from ..project import Project
from .old_database import LegacyBatch, LegacyDatabase, LegacyError, LegacyJob, LegacySpawn

Progress = Callable[[int, int], None]

_T = TypeVar("_T")

_FIELD = re.compile(r"[^:\[.]+")


class ImportedBatch(NamedTuple):
    """What came of one batch: jobs and spawns taken over."""

    batch_id: int
    name: str
    jobs: int
    spawns: int


class ImportResult(NamedTuple):
    """What came of an import.

    `notes` say of each job what changed its form, `fields` count that by field; `left_out` are the rows
    that were not taken over, and why.
    """

    batches: list[ImportedBatch]
    notes: list[str]
    fields: Counter[str]
    left_out: list[str]


class _Contents(NamedTuple):
    batches: list[LegacyBatch]
    jobs: dict[int, list[LegacyJob]]
    spawns: dict[JobKey, list[LegacySpawn]]


def import_legacy(
    ws: Project, old: LegacyDatabase, *, job_dir: str | None = None, progress: Progress | None = None
) -> ImportResult:
    """Put what a v0.6 database holds into this one. What is here already stays as it is.

    Args:
        old: see legacy.read_legacy.
        job_dir: where the batches' folders are now: relative log paths, and those to files that are not
            there any more, then count from it.
        progress: called with (batches done, batches in all).

    Returns:
        what was taken over and what was not; a bad row never keeps the others from being taken.
    """
    result = ImportResult([], [], Counter(), [])
    contents = _read(old, result)
    present = read_batches(ws.db)
    for number, batch in enumerate(contents.batches):
        jobs = contents.jobs.pop(batch.batch_id, [])
        if batch.batch_id in present:
            result.left_out.append(f"batch {batch.batch_id}: it is in {ws.db.path} already")
        elif jobs:
            _note(result, f"batch {batch.batch_id}", batch.notes)
            for job in jobs:
                _note(result, f"job {job.key}", [*job.notes, *_settled(job, job_dir)])
            result.batches.append(_import_batch(ws, old.path, batch, jobs, contents.spawns, result))
        else:
            result.left_out.append(f"batch {batch.batch_id} ({batch.name}): it has no jobs")
        if progress is not None:
            progress(number + 1, len(contents.batches))
    for batch_id, jobs in contents.jobs.items():
        result.left_out.append(f"{len(jobs)} jobs of batch {batch_id}: there is no such batch")
    return result


def _read(old: LegacyDatabase, result: ImportResult) -> _Contents:
    """All rows; those that cannot be read are noted in the result."""
    contents = _Contents([], {}, {})
    for batch in _good(old.batches(), result):
        contents.batches.append(batch)
    for job in _good(old.jobs(), result):
        contents.jobs.setdefault(job.key.batch_id, []).append(job)
    for spawn in _good(old.spawns(), result):
        _note(result, f"spawn {spawn.spawn.spawn_id} of job {spawn.key}", spawn.notes)
        contents.spawns.setdefault(spawn.key, []).append(spawn)
    return contents


def _good(rows: Iterable[_T | LegacyError], result: ImportResult) -> Iterator[_T]:
    for row in rows:
        if isinstance(row, LegacyError):
            result.left_out.append(f"{row.row}: {row.message}")
        else:
            yield row


def _note(result: ImportResult, what: str, notes: Iterable[str]) -> None:
    for note in notes:
        result.notes.append(f"{what}: {note}")
        field = _FIELD.match(note)
        result.fields[field.group() if field else note] += 1


# ------------------------------------------------------------------------------------ one batch


def _import_batch(
    ws: Project,
    source: str,
    batch: LegacyBatch,
    jobs: list[LegacyJob],
    spawns: dict[JobKey, list[LegacySpawn]],
    result: ImportResult,
) -> ImportedBatch:
    """One transaction: the batch with its jobs and spawns."""
    kept = spawn_count = 0
    try:
        with ws.db.transaction() as tx:
            kept = _insert(tx, batch, jobs, result)
            if kept:
                for job in jobs:
                    spawn_count += _insert_spawns(tx, job, spawns.pop(job.key, []))
                    _set_attempt(tx, job)
                _name_batch(tx, batch)
                add_event(tx, JobKey(batch.batch_id, -1), 0, None, None, f"imported from {source} (v0.6)")
    except ParaschutError as error:
        result.left_out.append(f"batch {batch.batch_id}: {error}")
        return ImportedBatch(batch.batch_id, batch.name, 0, 0)
    return ImportedBatch(batch.batch_id, batch.name, kept, spawn_count)


def _insert(tx: Transaction, batch: LegacyBatch, jobs: list[LegacyJob], result: ImportResult) -> int:
    """Insert all jobs at once; where one of them cannot be, one by one, and names it. Return how many."""
    infos = [_with_names(job.info, batch) for job in jobs]
    try:
        insert_jobs(tx, infos, new_batch=batch.batch_id)
        return len(infos)
    except ParaschutError:
        kept = []
        for job, info in zip(jobs, infos, strict=True):
            try:
                insert_jobs(tx, [info])
                kept.append(job)
            except ParaschutError as error:
                result.left_out.append(f"job {job.key}: {error}")
        jobs[:] = kept
        return len(kept)


def _with_names(info: JobInfo, batch: LegacyBatch) -> JobInfo:
    """v0.6 takes a job without these; the index needs them."""
    missing = {
        name: value
        for name, value in (("name", batch.name), ("batch_type", batch.batch_type))
        if info.get(name) is None
    }
    return {**info, **missing}


def _insert_spawns(tx: Transaction, job: LegacyJob, spawns: list[LegacySpawn]) -> int:
    """The spawn rows of a job; those left behind of a job that is no spawn job any more are not taken."""
    if job.info["state"] != SPAWN:
        return 0
    for _, spawn, _ in spawns:
        row = NewSpawn(spawn.spawn_id, spawn.stdout, spawn.stderr, None, 1, spawn.cluster_id, spawn.state)
        insert_spawn(tx, job.key, row)
    return len(spawns)


def _set_attempt(tx: Transaction, job: LegacyJob) -> None:
    """The number of submissions is the length of the log history."""
    history = job.info.get("stdout")
    if isinstance(history, list) and history:
        tx.connection.execute(
            "UPDATE job SET attempt = ?, rev = ? WHERE BatchID = ? AND JobIndex = ?",
            (len(history), tx.rev, *job.key),
        )


def _name_batch(tx: Transaction, batch: LegacyBatch) -> None:
    tx.connection.execute(
        "UPDATE batch SET name = ?, batch_type = ? WHERE BatchID = ?",
        (batch.name, batch.batch_type, batch.batch_id),
    )


# ------------------------------------------------------------------------------------ paths


def _settled(job: LegacyJob, job_dir: str | None) -> list[str]:
    """Bring log histories into today's form, and paths to where the folders are now; record what changed."""
    notes = []
    for field in ("stdout", "stderr"):
        value = job.info.get(field)
        if isinstance(value, str):
            job.info[field] = value = [value]
            notes.append(f"{field}: text became a list of one")
        if job_dir is not None and isinstance(value, list):
            moved = [_moved(path, job.key.batch_id, job_dir) for path in value]
            if moved != value:
                job.info[field] = moved
                notes.append(f"{field}: paths now count from {job_dir}")
    data = job.info.get("data")
    if job_dir is not None and isinstance(data, str):
        moved_data = _moved(data, job.key.batch_id, job_dir)
        if moved_data != data:
            job.info["data"] = moved_data
            notes.append(f"data: its path now counts from {job_dir}")
    return notes


def _moved(path: object, batch_id: int, job_dir: str) -> object:
    """A path within a batch's folder as it is under `job_dir`; others, and those that are right, stay."""
    if not isinstance(path, str) or (os.path.isabs(path) and os.path.exists(path)):
        return path
    parts = path.split("/")
    if str(batch_id) not in parts:
        return path
    inside = parts[len(parts) - parts[::-1].index(str(batch_id)) :]
    return os.path.join(job_dir, str(batch_id), *inside)
