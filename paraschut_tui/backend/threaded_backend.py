"""ThreadedBackend: the backend of a real project. Every request runs in the thread of its kind."""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from textual.message import Message

from paraschut_core.config import Settings
from paraschut_core.database.connection import Database
from paraschut_core.database.events import latest_completions, read_actions
from paraschut_core.database.jobs import read_rows
from paraschut_core.errors import ParaschutError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.exit_kinds import LOST
from paraschut_core.filtering.language import Query
from paraschut_core.model import Action, JobInfo, JobKey, JobRow, MissingJob, Priority, Snapshot
from paraschut_core.project import open_database

from ..actions.action_entry import ActionEntry
from ..actions.runner import ActionRunner
from ..actions.types import ActionResult, ActionTarget, JobRecord, PreviewText
from ..job_details.script_text import ScriptText, read_script
from ..job_grid.columns import SortKey
from ..job_grid.model import GridModel
from ..messages import ActionProgress, SnapshotReady
from ..state_styles import StateStyles
from . import queries
from .backend import Post
from .job_loader import JobLoader, JobQuery
from .job_sorter import check_sortable, sort_jobs
from .queries import DatabaseReader
from .recent_log import RecentLogHandler
from .snapshot_worker import SnapshotUpdate, SnapshotWorker
from .statistics_worker import StatisticsWorker
from .worker_thread import LatestOnly, Request, WorkerThread

log = logging.getLogger(__name__)

T = TypeVar("T")


class ThreadedBackend:
    """One project, as the screen sees it: see Backend.

    Args:
        settings: the project.
        styles: the states met; shared with the widgets.
        executor: instead of the one that the settings name.
    """

    def __init__(self, settings: Settings, styles: StateStyles, executor: JobExecutor | None = None) -> None:
        self.settings = settings
        self.styles = styles
        self.running_action: ActionEntry | None = None
        self.last_result: ActionResult | None = None
        self._post: Post = lambda message: None
        self._cancelled = False
        self._runner = ActionRunner(settings, executor)
        self._snapshots = SnapshotWorker(settings, executor, styles, lambda: self._send(SnapshotReady()))
        self._loader = JobLoader(self._open, styles, self._send)
        self._statistics = StatisticsWorker(self._open, self._send)
        self._reader = DatabaseReader(self._open)
        self._sort_requests = LatestOnly()
        self._sort_thread = WorkerThread("paraschut-sort")
        self._details_thread = WorkerThread("paraschut-details")
        self._preview_thread = WorkerThread("paraschut-preview")
        self._action_thread = WorkerThread("paraschut-action")
        self._recent_log = RecentLogHandler()

    def _open(self) -> Database:
        return open_database(self.settings, read_only=True)

    def _send(self, message: Message) -> None:
        self._post(message)

    # ------------------------------------------------------------------ starting and stopping

    def start(self, post: Post) -> None:
        self._post = post
        self._recent_log.open()
        self._snapshots.start()

    def stop(self) -> None:
        self._cancelled = True
        self._sort_requests.cancel()
        for worker in (
            self._snapshots,
            self._loader,
            self._statistics,
            self._reader,
            self._sort_thread,
            self._details_thread,
            self._preview_thread,
            self._action_thread,
        ):
            worker.stop()
        self._recent_log.close()

    def close(self, patience: float = 60.0) -> None:
        self.stop()
        self._snapshots.join(1.0)
        self._action_thread.join(patience if self.running_action else 1.0)

    def recent_log(self) -> list[str]:
        return self._recent_log.lines()

    # ------------------------------------------------------------------ snapshots

    @property
    def seen(self) -> float:
        return self._snapshots.seen

    def take_update(self) -> SnapshotUpdate | None:
        return self._snapshots.take()

    def request_poll(self) -> None:
        self._snapshots.poll_now()

    # ------------------------------------------------------------------ jobs for the grid

    def load(self, wanted: JobQuery, missing: Collection[JobKey] = ()) -> Request:
        return self._loader.load(wanted, missing)

    def match(
        self, request: Request, query: Query, keys: Collection[JobKey], missing: Collection[JobKey]
    ) -> None:
        self._loader.match(request, query, keys, missing)

    @property
    def matching_log(self) -> Mapping[JobKey, str]:
        return self._loader.matching_log

    async def sorted_order(
        self, board: GridModel, sorting: Sequence[SortKey], snapshot: Snapshot
    ) -> array[int] | None:
        check_sortable(board)
        return await self._sort_requests.run(
            self._sort_thread, lambda request: sort_jobs(self._open, request, board, sorting, snapshot)
        )

    async def rows(self, keys: Sequence[JobKey]) -> list[JobRow]:
        return await self._reader.read(lambda db: read_rows(db, keys))

    async def rows_and_fields(
        self, keys: Sequence[JobKey], fields: Sequence[str]
    ) -> tuple[list[JobRow], dict[JobKey, JobInfo]]:
        return await self._reader.read(lambda db: queries.read_rows_and_fields(db, keys, fields))

    async def indexes(
        self, batch_id: int, look: int, limit: int, priorities: Sequence[Priority] = ()
    ) -> list[int]:
        state = self.styles.states[look]
        return await self._reader.read(
            lambda db: queries.read_indexes(db, batch_id, state, limit, priorities)
        )

    # ------------------------------------------------------------------ one job

    async def record(self, key: JobKey) -> JobRecord:
        try:
            return await self._reader.read(lambda db: queries.read_record(db, key))
        except ParaschutError as error:
            return JobRecord(key, {}, error=str(error))

    async def script(self, info: JobInfo) -> ScriptText:
        return await _result_of(self._details_thread, lambda: read_script(info))

    async def summary(self, info: JobInfo) -> Mapping[str, object]:
        id_ = info.get("ClusterID") or info.get("submit_id")
        if not id_:
            return {}
        return await _result_of(self._details_thread, lambda: self._runner.summary(str(id_)))

    # ------------------------------------------------------------------ the whole project

    async def fields(self) -> list[str]:
        return await self._reader.read(queries.read_field_names)

    async def latest_completions(self, since: float) -> list[float]:
        return await self._reader.read(lambda db: latest_completions(db, since))

    def start_statistics(
        self, window: str, batch_id: int | None, missing: Mapping[JobKey, MissingJob]
    ) -> Request:
        return self._statistics.start(window, batch_id, _unexplained(missing))

    def refresh_statistics(self, missing: Mapping[JobKey, MissingJob]) -> None:
        self._statistics.refresh(_unexplained(missing))

    def stop_statistics(self) -> None:
        self._statistics.cancel()

    # ------------------------------------------------------------------ actions

    async def preview(
        self, action: ActionEntry, target: ActionTarget, ends: Mapping[JobKey, str]
    ) -> PreviewText:
        return await _result_of(self._preview_thread, lambda: self._runner.preview(action, target, ends))

    async def run(
        self, action: ActionEntry, target: ActionTarget, *, force: bool = False, value: str = ""
    ) -> ActionResult:
        self._cancelled = False

        def run() -> ActionResult:
            self.running_action, self.last_result = action, None
            try:
                result = self._runner.run(
                    action,
                    target,
                    force=force,
                    value=value,
                    progress=lambda done, total: self._send(ActionProgress(done, total)),
                    cancelled=lambda: self._cancelled,
                )
                self.last_result = result
                log.info("%s: %s", result.command or action.name, _log_line(result))
                return result
            finally:
                self.running_action = None

        return await _result_of(self._action_thread, run)

    async def edit(self, key: JobKey, rev: int, path: Sequence[object], value: object) -> ActionResult:
        return await _result_of(self._action_thread, lambda: self._runner.edit(key, rev, path, value))

    def cancel(self) -> None:
        self._cancelled = True

    async def actions(self) -> list[Action]:
        return await self._reader.read(read_actions)

    async def latest_actions(self) -> tuple[Action | None, Action | None]:
        return await self._reader.read(queries.read_latest_actions)

    async def outcomes(self, action: Action) -> ActionResult:
        return await self._reader.read(lambda db: queries.read_outcomes(db, action))


async def _result_of(thread: WorkerThread, task: Callable[[], T]) -> T:
    return await asyncio.wrap_future(thread.submit(task))


def _log_line(result: ActionResult) -> str:
    """An action's result as a line of the log."""
    numbers = f"{result.done} done, {len(result.failures)} failed, {len(result.left)} left alone"
    first = f"; first failure: {result.failures[0]}" if result.failures else ""
    return result.error or f"{numbers}{first}"


def _unexplained(missing: Mapping[JobKey, MissingJob]) -> dict[JobKey, str]:
    """The missing jobs of which it is unknown how they ended; the others have an ending."""
    return {key: job.reason for key, job in missing.items() if job.kind in LOST}


def require_readable(settings: Settings) -> None:
    """Read something of a project's database. Call it from a thread that may block.

    Raises:
        ParaschutError: it cannot be opened or read.
    """
    with open_database(settings, read_only=True) as opened:
        opened.rows("SELECT rev FROM revision")
