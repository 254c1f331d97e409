"""Single reads of the database, and the thread that runs them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from paraschut_core.database.connection import Database
from paraschut_core.database.events import (
    last_undoable,
    read_action_events,
    read_actions,
    read_ending,
    read_events,
)
from paraschut_core.database.jobs import (
    COLUMN_FIELDS,
    OWN_FIELDS,
    read_info,
    read_infos,
    read_keys,
    read_keys_of_priority,
    read_rows,
)
from paraschut_core.database.spawns import read_spawns
from paraschut_core.errors import ParaschutError
from paraschut_core.identity import same_user
from paraschut_core.model import Action, JobInfo, JobKey, JobRow, Priority

from ..actions.types import ActionResult, JobMessage, JobRecord
from .worker_thread import WorkerThread

T = TypeVar("T")

MOST_EVENTS = 500
"""Entries of a job's history that are read, the latest."""

FEW_PRIORITIES = 100
"""Most priorities of a batch that are looked up one by one."""

SAMPLED_BATCHES = 30
"""Batches of which one job tells which fields the metadata has."""


class DatabaseReader:
    """Runs queries one after the other in its thread, over one connection."""

    def __init__(self, open_database: Callable[[], Database]) -> None:
        self._open = open_database
        self._db: Database | None = None
        self._thread = WorkerThread("paraschut-read")

    async def read(self, query: Callable[[Database], T]) -> T:
        """Run a query. Raises ParaschutError."""
        return await asyncio.wrap_future(self._thread.submit(lambda: self._run(query)))

    def stop(self) -> None:
        self._thread.stop()

    def _run(self, query: Callable[[Database], T]) -> T:
        if self._db is None:
            self._db = self._open()
        try:
            return query(self._db)
        except ParaschutError:
            self._db.close()
            self._db = None
            raise


def read_rows_and_fields(
    db: Database, keys: Sequence[JobKey], fields: Sequence[str]
) -> tuple[list[JobRow], dict[JobKey, JobInfo]]:
    infos = read_infos(db, keys) if fields else ()
    return read_rows(db, keys), {JobKey(info["BatchID"], info["JobIndex"]): info for info in infos}


def read_record(db: Database, key: JobKey) -> JobRecord:
    info = read_info(db, key)
    return JobRecord(
        key,
        info,
        events=read_events(db, key.batch_id, key.job_index, MOST_EVENTS),
        spawns=read_spawns(db, key),
        row=next(iter(read_rows(db, [key])), None),
        ending=read_ending(db, key, info.get("attempt", 0)),
    )


def read_indexes(
    db: Database, batch_id: int, state: str, limit: int, priorities: Sequence[Priority]
) -> list[int]:
    """The first JobIndexes in a state. An index of the database finds them by known priorities."""
    if 0 < len(priorities) <= FEW_PRIORITIES:
        parts = [read_keys_of_priority(db, batch_id, p, state, limit) for p in priorities]
        return sorted(key.job_index for part in parts for key in part)[:limit]
    return [key.job_index for key in read_keys(db, batch_id, (state,), limit)]


def read_field_names(db: Database) -> list[str]:
    """Names of the metadata's fields, and of their parts, as jobs of the newest batches have them."""
    names: dict[str, None] = {}
    newest = db.rows("SELECT BatchID FROM batch ORDER BY BatchID DESC LIMIT ?", (SAMPLED_BATCHES,))
    keys = [key for (batch_id,) in newest for key in read_keys(db, batch_id, limit=1)]
    for info in read_infos(db, keys):
        for name, value in info.items():
            if name not in (*COLUMN_FIELDS, *OWN_FIELDS, "name", "batch_type"):
                names[name] = None
                if isinstance(value, dict):
                    names.update(dict.fromkeys(f"{name}.{part}" for part in value))
    return [name for name in names if not re.search(r"[^\w.-]", name)]


def read_latest_actions(db: Database) -> tuple[Action | None, Action | None]:
    """The user's latest action, and the latest one that can be undone."""
    mine = (action for action in read_actions(db) if same_user(action.who, db.who))
    return next(mine, None), last_undoable(db, db.who)


def read_outcomes(db: Database, action: Action) -> ActionResult:
    """What an action did to each job, as far as the events tell."""
    made = tuple(
        JobMessage(event.key, event.why if event.before == event.after else f"{event.before} → {event.after}")
        for event in read_action_events(db, action.id)
    )
    note = "" if made else "Per-job results were not recorded; see the histories of the jobs."
    return ActionResult(len(made), command=action.command, made=made, note=note)
