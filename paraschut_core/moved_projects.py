"""A project that was moved: what its index names by absolute paths is found again where it lies now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .database.connection import Database, Transaction
    from .model import JobInfo

_job_dirs: list[str] = []
"""The job directories of the projects that this process opened, the latest first."""


def know(job_dir: str) -> None:
    """Record where a project that was opened lies."""
    if job_dir and job_dir not in _job_dirs[:1]:
        _job_dirs[:] = [job_dir, *(other for other in _job_dirs if other != job_dir)][:8]


def candidates(path: str) -> Iterator[str]:
    """Where a file that lay in a batch's folder, and is not there any more, may lie now."""
    parts = path.split("/")
    for at, part in enumerate(parts):
        if part.isascii() and part.isdigit():
            yield from (f"{job_dir.rstrip('/')}/{'/'.join(parts[at:])}" for job_dir in _job_dirs)


def found(path: str) -> str:
    """Where a file lies now; `path` itself if it is there, or nowhere."""
    return path if os.path.exists(path) else next(filter(os.path.exists, candidates(path)), path)


def note_place(tx: Transaction, job_dir: str) -> None:
    """Record, with jobs that are added, where their project lies."""
    tx.connection.execute("INSERT OR IGNORE INTO place (job_dir, since) VALUES (?, ?)", (job_dir, tx.at))


def bring(db: Database, infos: Iterable[JobInfo], job_dir: str) -> None:
    """Has jobs work where their project lies now, if it was moved since they were added.

    Their directory and their script, where they are not there any more, are looked for below `job_dir`.
    """
    places: list[str] | None = None
    for info in infos:
        for field in ("cwd", "script"):
            path = info.get(field)
            if not isinstance(path, str) or not os.path.isabs(path) or os.path.lexists(path):
                continue
            if places is None:
                places = [str(row[0]) for row in db.rows("SELECT job_dir FROM place ORDER BY since DESC")]
            for place in (*places, *_places_of(info)):
                now = _moved(path, place, job_dir)
                if now is not None:
                    info[field] = now
                    break


def _moved(path: str, place: str, job_dir: str) -> str | None:
    """What lay below `place` and lies below `job_dir` now."""
    if path != place and not path.startswith(f"{place.rstrip('/')}/"):
        return None
    now = os.path.normpath(os.path.join(job_dir, os.path.relpath(path, place)))
    return now if os.path.exists(now) else None


def _places_of(info: JobInfo) -> Iterator[str]:
    """Where the project lay, by the job's own logs: they are in its batch's folder."""
    for stream in ("stdout", "stderr"):
        history = info.get(stream)
        for path in history if isinstance(history, list) else [history]:
            before, found, _ = str(path or "").partition(f"/{info.get('BatchID')}/")
            if found:
                yield before
