"""The only door to the core: requests go in and run in threads, answers come out as messages or futures.

The thread of the screen never touches a file: one on a network file system can hang for minutes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from textual.message import Message

from paraschut_core.config import Settings
from paraschut_core.database.connection import Database, Row
from paraschut_core.errors import ParaschutError, UsageError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.exit_kinds import LOST
from paraschut_core.filtering.language import Query
from paraschut_core.model import Action, JobInfo, JobKey, JobRow, MissingJob, Priority, Snapshot

from ..actions.action_entry import ActionEntry
from ..actions.runner import ActionRunner
from ..actions.types import ActionResult, ActionTarget, JobMessage, JobRecord, PreviewText
from ..job_details.script_text import ScriptText
from ..job_grid.columns import SchedulerRow, SortKey, sort_sql
from ..job_grid.model import GridModel
from ..messages import ActionProgress, SnapshotReady
from ..state_styles import StateStyles
from .job_loader import JobLoader, JobQuery
from .job_sorter import JobSorter
from .recent_log import RecentLogHandler
from .snapshot_worker import SnapshotUpdate, SnapshotWorker
from .statistics_worker import StatisticsWorker
from .worker_thread import LatestOnly, Request, WorkerThread

log = logging.getLogger(__name__)

T = TypeVar("T")
Post = Callable[[Message], object]

CHUNK = 20_000
"""Rows read at a time where many are read."""

MOST_SORTED = 2_000_000
"""Jobs that the rows can be sorted of: each one's row is read for it."""

MOST_EVENTS = 500
"""Entries of a job's history that are read, the latest."""


FEW_PRIORITIES = 100
"""Up to so many priorities of a batch are looked up one by one."""

SAMPLED = 30
"""Batches of which one job tells what fields the metadata has."""


class ThreadedBackend:
    """One project, as the screen sees it.

    Args:
        settings: the project.
        looks: the states met; shared with the widgets.
        executor: instead of the one that the settings name.
    """

    def __init__(self, settings: Settings, looks: StateStyles, executor: JobExecutor | None = None) -> None:
        self.settings = settings
        self.looks = looks
        self._deeds = ActionRunner(settings, executor)
        self._post: Post = lambda message: None
        self._feed = SnapshotWorker(settings, executor, looks, self._announce)
        self._reader: WorkerThread | None = None
        self._loading: JobLoader | None = None
        self._actor: WorkerThread | None = None
        self._counter: WorkerThread | None = None
        self._sorter: WorkerThread | None = None
        self._asker: WorkerThread | None = None
        self._sort_requests = LatestOnly()
        self._surveyor: StatisticsWorker | None = None
        self._journal = RecentLogHandler()
        self._reader_db: Database | None = None
        self._cancelled = False
        self._acting: ActionEntry | None = None
        self.verdict: ActionResult | None = None
        """What came of the last action; None while one is under way."""

    # ------------------------------------------------------------------ life

    def start(self, post: Post) -> None:
        """Begins to follow the project; messages go to `post`, from any thread."""
        self._post = post
        self._reader = WorkerThread("paraschut-read")
        self._loading = JobLoader(self._open, self.looks, self._tell_of)
        self._actor, self._counter = WorkerThread("paraschut-act"), WorkerThread("paraschut-count")
        self._sorter, self._asker = WorkerThread("paraschut-sort"), WorkerThread("paraschut-ask")
        self._journal.open()
        self._feed.start()

    def stop(self) -> None:
        """Tells all threads to end, without waiting for any."""
        self._cancelled = True
        self._sort_requests.cancel()
        self._feed.stop()
        self.stop_statistics()
        for lane in (self._reader, self._loading, self._actor, self._counter, self._sorter, self._asker):
            if lane is not None:
                lane.stop()
        self._journal.close()

    @property
    def acting(self) -> ActionEntry | None:
        """The action that is under way."""
        return self._acting

    def close(self, patience: float = 60.0) -> None:
        """Ends the threads. An action under way gets `patience` seconds to come to a good place; what only
        reads, and may hang in a file system, is left to end with the process."""
        self.stop()
        self._feed.join(1.0)
        if self._actor is not None:
            self._actor.join(patience if self._acting else 1.0)

    def journal(self) -> list[str]:
        """The latest lines of the program's own log, of what went wrong or nearly so."""
        return self._journal.lines()

    # ------------------------------------------------------------------ snapshots

    @property
    def seen(self) -> float:
        """When the database was last looked at (epoch s), whether or not it had changed."""
        return self._feed.seen

    def take_update(self) -> SnapshotUpdate | None:
        """What is new since the last take."""
        return self._feed.take()

    def request_poll(self) -> None:
        """Has the scheduler polled and the file read now."""
        self._feed.poll_now()

    def _announce(self) -> None:
        self._post(SnapshotReady())

    def _tell_of(self, message: Message) -> None:
        self._post(message)

    # ------------------------------------------------------------------ jobs for the grid

    def load(self, wanted: JobQuery, missing: Collection[JobKey] = ()) -> Request:
        """Begin to read jobs for the grid: see JobLoader.load."""
        assert self._loading is not None  # started
        return self._loading.load(wanted, missing)

    def match(
        self, request: Request, query: Query, keys: Collection[JobKey], missing: Collection[JobKey]
    ) -> None:
        """Check jobs that changed against the filter of a request: see JobLoader.match."""
        assert self._loading is not None  # started
        self._loading.match(request, query, keys, missing)

    @property
    def matching_log(self) -> Mapping[JobKey, str]:
        """Which of a job's logs holds what the filter wants in it: see Loading.found_in."""
        return self._loading.found_in if self._loading is not None else {}

    # ------------------------------------------------------------------ one job

    async def rows(self, keys: Sequence[JobKey]) -> list[JobRow]:
        """The rows of jobs, for the grid's columns."""
        from paraschut_core.database.jobs import read_rows

        return await self._read(lambda db: read_rows(db, keys))

    async def rows_and_fields(
        self, keys: Sequence[JobKey], fields: Sequence[str]
    ) -> tuple[list[JobRow], dict[JobKey, JobInfo]]:
        """The rows of jobs; and their metadata, if any field of it is wanted."""
        from paraschut_core.database.jobs import read_infos, read_rows

        def read(db: Database) -> tuple[list[JobRow], dict[JobKey, JobInfo]]:
            infos = read_infos(db, keys) if fields else ()
            return read_rows(db, keys), {JobKey(info["BatchID"], info["JobIndex"]): info for info in infos}

        return await self._read(read)

    async def sorted_order(
        self, board: GridModel, sorting: Sequence[SortKey], snapshot: Snapshot
    ) -> array[int] | None:
        """The numbers of the board's jobs, sorted; None if another order was asked for meanwhile.

        Raises:
            UsageError: there are too many jobs.
        """
        if board.total > MOST_SORTED:
            raise UsageError(
                f"{board.total:,} jobs are too many to sort (at most {MOST_SORTED:,}): filter them first."
            )
        assert self._sorter is not None  # started
        return await self._sort_requests.run(
            self._sorter, lambda request: self._sort(request, board, sorting, snapshot)
        )

    def _sort(
        self, request: Request, board: GridModel, sorting: Sequence[SortKey], snapshot: Snapshot
    ) -> array[int] | None:
        from paraschut_core.database.jobs import read_rows

        sorter = JobSorter(sorting)
        sql = sort_sql(sorting)
        with self._open() as db:
            for group, start in zip(board.groups, board.starts, strict=False):
                for low in range(0, len(group.indexes), CHUNK):
                    if not request.wanted:
                        return None
                    wanted = group.indexes[low : low + CHUNK]
                    sorter.add(_numbered(_values_of(db, group.batch_id, wanted, sql), wanted, start + low))
            known = {*snapshot.live, *snapshot.missing}
            for row in read_rows(db, [key for key in known if board.locate(key) is not None]):
                place = board.locate(row.key)
                if place is not None:
                    standing = SchedulerRow(row, snapshot.live.get(row.key), snapshot.missing.get(row.key))
                    sorter.correct(board.number(*place), standing)
        return sorter.order()

    async def record(self, key: JobKey) -> JobRecord:
        """All about one job; what cannot be read is said in its `error`."""
        try:
            return await self._read(lambda db: _read_record(db, key))
        except ParaschutError as error:
            return JobRecord(key, {}, error=str(error))

    async def script(self, info: JobInfo) -> ScriptText:
        """The text of a job's script."""
        from ..job_details.script_text import read_script

        assert self._asker is not None  # started
        return await asyncio.wrap_future(self._asker.submit(lambda: read_script(info)))

    async def summary(self, info: JobInfo) -> Mapping[str, object]:
        """The scheduler's own record of a job; {} if it has none, or does not answer."""
        id_ = info.get("ClusterID") or info.get("submit_id")
        assert self._asker is not None  # started
        if not id_:
            return {}
        return await asyncio.wrap_future(self._asker.submit(lambda: self._deeds.summary(str(id_))))

    async def indexes(
        self, batch_id: int, look: int, limit: int, priorities: Sequence[Priority] = ()
    ) -> list[int]:
        """The first JobIndexes of a batch's jobs in the state that `look` stands for.

        Args:
            priorities: those that these jobs have: by them an index finds the first ones of any number.
        """
        from paraschut_core.database.jobs import read_keys, read_keys_of_priority

        state = self.looks.states[look]

        def read(db: Database) -> list[int]:
            if 0 < len(priorities) <= FEW_PRIORITIES:
                parts = [read_keys_of_priority(db, batch_id, p, state, limit) for p in priorities]
                return sorted(key.job_index for part in parts for key in part)[:limit]
            return [key.job_index for key in read_keys(db, batch_id, (state,), limit)]

        return await self._read(read)

    async def fields(self) -> list[str]:
        """Names of the metadata's fields, and of their parts (`resources.mem`), as some jobs have them."""
        return await self._read(_read_fields)

    async def latest_actions(self) -> tuple[Action | None, Action | None]:
        """The user's latest act, and the latest that can be undone."""
        from paraschut_core.database.events import last_undoable, read_actions
        from paraschut_core.identity import same_user

        def read(db: Database) -> tuple[Action | None, Action | None]:
            mine = (action for action in read_actions(db) if same_user(action.who, db.who))
            return next(mine, None), last_undoable(db, db.who)

        return await self._read(read)

    async def latest_completions(self, since: float) -> list[float]:
        """When the latest jobs became complete (epoch s), not before `since`."""
        from paraschut_core.database.events import latest_completions

        return await self._read(lambda db: latest_completions(db, since))

    async def outcomes(self, action: Action) -> ActionResult:
        """What an act did to each job, as far as the events tell."""
        from paraschut_core.database.events import read_action_events

        events = await self._read(lambda db: read_action_events(db, action.id))
        made = tuple(
            JobMessage(e.key, e.why if e.before == e.after else f"{e.before} → {e.after}") for e in events
        )
        note = "" if made else "Its jobs were not noted one by one; the jobs' own histories tell."
        return ActionResult(len(made), command=action.command, made=made, note=note)

    async def actions(self) -> list[Action]:
        """The latest acts of users, newest first."""
        from paraschut_core.database.events import read_actions

        return await self._read(read_actions)

    async def _read(self, task: Callable[[Database], T]) -> T:
        def run() -> T:
            if self._reader_db is None:
                self._reader_db = self._open()
            try:
                return task(self._reader_db)
            except ParaschutError:
                self._reader_db.close()
                self._reader_db = None
                raise

        assert self._reader is not None  # started
        return await asyncio.wrap_future(self._reader.submit(run))

    def _open(self) -> Database:
        from paraschut_core.project import open_database

        return open_database(self.settings, read_only=True)

    # ------------------------------------------------------------------ how the work went

    def start_statistics(
        self, window: str, batch_id: int | None, missing: Mapping[JobKey, MissingJob]
    ) -> Request:
        """Read the overview's numbers. They come as StatisticsReady messages that carry the request returned:
        the latest first, then more of the past. A new request ends the one before.

        Args:
            window: one of stats.WINDOWS.
            batch_id: of one batch; None: of all.
            missing: what is missing now.
        """
        if self._surveyor is None:
            self._surveyor = StatisticsWorker(self._open, lambda message: self._post(message))
        return self._surveyor.show(window, batch_id, _unexplained(missing))

    def refresh_statistics(self, missing: Mapping[JobKey, MissingJob]) -> None:
        """Reads what is new since the last survey."""
        if self._surveyor is not None:
            self._surveyor.go_on(_unexplained(missing))

    def stop_statistics(self) -> None:
        """Ends what is being read of the past."""
        if self._surveyor is not None:
            self._surveyor.stop()
            self._surveyor = None

    # ------------------------------------------------------------------ actions

    async def preview(
        self, action: ActionEntry, target: ActionTarget, ends: Mapping[JobKey, str]
    ) -> PreviewText:
        """How many jobs of which states an action would meet.

        Args:
            ends: how some of them ended (codes of exit_kinds); they may be offered more time or memory.

        Raises:
            ParaschutError: there is no such job, or the file cannot be read.
        """
        assert self._counter is not None  # started
        return await asyncio.wrap_future(
            self._counter.submit(lambda: self._deeds.preview(action, target, ends))
        )

    async def run(
        self, action: ActionEntry, target: ActionTarget, *, force: bool = False, value: str = ""
    ) -> ActionResult:
        """Carries an action out; tells its progress by ActionProgress messages."""
        self._cancelled = False

        def run() -> ActionResult:
            self._acting, self.verdict = action, None
            try:
                self.verdict = self._deeds.run(
                    action,
                    target,
                    force=force,
                    value=value,
                    progress=self._tell,
                    cancelled=lambda: self._cancelled,
                )
                log.info("%s: %s", self.verdict.command or action.name, _in_short(self.verdict))
                return self.verdict
            finally:
                self._acting = None

        assert self._actor is not None  # started
        return await asyncio.wrap_future(self._actor.submit(run))

    async def edit(self, key: JobKey, rev: int, path: Sequence[object], value: object) -> ActionResult:
        """Sets one field of a job, or an entry within it, if nobody changed the job since `rev`."""
        assert self._actor is not None  # started
        return await asyncio.wrap_future(self._actor.submit(lambda: self._deeds.edit(key, rev, path, value)))

    def _tell(self, done: int, total: int) -> None:
        self._post(ActionProgress(done, total))

    def cancel(self) -> None:
        """Has the action under way stop after the jobs that it is at."""
        self._cancelled = True


def _in_short(verdict: ActionResult) -> str:
    """An action's end in a line of the log."""
    numbers = f"{verdict.done} done, {len(verdict.failures)} failed, {len(verdict.left)} left alone"
    first = f"; first failure: {verdict.failures[0]}" if verdict.failures else ""
    return verdict.error or f"{numbers}{first}"


def _values_of(db: Database, batch_id: int, indexes: Sequence[int], sql: Sequence[str]) -> list[Row]:
    """What some jobs of a batch are sorted by: in one sweep where they are near each other."""
    from paraschut_core.database.jobs import read_values

    if indexes[-1] - indexes[0] < 4 * len(indexes):
        return read_values(db, batch_id, indexes[0], indexes[-1], sql)
    return [row for index in indexes for row in read_values(db, batch_id, index, index, sql)]


def _numbered(rows: Sequence[Row], wanted: Sequence[int], start: int) -> Iterator[tuple[object, ...]]:
    """The values of the wanted jobs, with their numbers in the place of their JobIndexes."""
    if len(rows) == len(wanted) and isinstance(wanted, range):
        shift = start - wanted[0]
        return ((row[0] + shift, *row[1:]) for row in rows)
    values = {row[0]: row[1:] for row in rows}
    nothing = (None,) * (len(rows[0]) - 1) if rows else ()
    return ((n, *values.get(index, nothing)) for n, index in enumerate(wanted, start))


def _read_fields(db: Database) -> list[str]:
    from paraschut_core.database.jobs import COLUMN_FIELDS, OWN_FIELDS, read_infos, read_keys

    names: dict[str, None] = {}
    newest = db.rows("SELECT BatchID FROM batch ORDER BY BatchID DESC LIMIT ?", (SAMPLED,))
    keys = [key for (batch_id,) in newest for key in read_keys(db, batch_id, limit=1)]
    for info in read_infos(db, keys):
        for name, value in info.items():
            if name not in (*COLUMN_FIELDS, *OWN_FIELDS, "name", "batch_type"):
                names[name] = None
                if isinstance(value, dict):
                    names.update(dict.fromkeys(f"{name}.{part}" for part in value))
    return [name for name in names if not re.search(r"[^\w.-]", name)]


def _read_record(db: Database, key: JobKey) -> JobRecord:
    from paraschut_core.database.events import read_ending, read_events
    from paraschut_core.database.jobs import read_info, read_rows
    from paraschut_core.database.spawns import read_spawns

    info = read_info(db, key)
    row = next(iter(read_rows(db, [key])), None)
    return JobRecord(
        key,
        info,
        events=read_events(db, key.batch_id, key.job_index, MOST_EVENTS),
        spawns=read_spawns(db, key),
        row=row,
        ending=read_ending(db, key, info.get("attempt", 0)),
    )


def _unexplained(missing: Mapping[JobKey, MissingJob]) -> dict[JobKey, str]:
    """The missing jobs of which nobody can tell how they ended; of the others there is an ending."""
    return {key: lost.reason for key, lost in missing.items() if lost.kind in LOST}


def require_readable(settings: Settings) -> None:
    """Read something of a project's database. Call it from a thread that may block.

    Raises:
        ParaschutError: it cannot be opened or read.
    """
    from paraschut_core.project import open_database

    with open_database(settings, read_only=True) as opened:
        opened.rows("SELECT rev FROM revision")
