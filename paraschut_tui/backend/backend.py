"""Backend: all that the screen asks of the core. Requests return at once; answers are messages or awaited.

The screen's thread never touches a file: one on a network file system can hang for minutes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from textual.message import Message

from paraschut_core.config import Settings
from paraschut_core.filtering.language import Query
from paraschut_core.model import Action, JobInfo, JobKey, JobRow, MissingJob, Priority, Snapshot

from ..actions.action_entry import ActionEntry
from ..actions.types import ActionResult, ActionTarget, JobRecord, PreviewText
from ..job_details.script_text import ScriptText
from ..job_grid.columns import SortKey
from ..job_grid.model import GridModel
from ..state_styles import StateStyles
from .job_loader import JobQuery
from .snapshot_worker import SnapshotUpdate
from .worker_thread import Request

Post = Callable[[Message], object]


class Backend(Protocol):
    """One project, as the screen sees it. What is awaited raises ParaschutError, unless stated otherwise."""

    settings: Settings
    styles: StateStyles
    """The styles of the states met so far; shared with the widgets."""
    running_action: ActionEntry | None
    last_result: ActionResult | None
    """The result of the last action; None while one runs."""

    def start(self, post: Post) -> None:
        """Begin to follow the project. Messages go to `post`, from any thread."""

    def stop(self) -> None:
        """Tell all threads to end, without waiting for any."""

    def close(self, patience: float = 60.0) -> None:
        """End the threads. A running action gets `patience` seconds to finish the jobs that it is at. Threads
        that only read may hang in a file system; they end with the process."""

    def recent_log(self) -> list[str]:
        """The latest lines of the program's own log."""

    # ------------------------------------------------------------------ snapshots

    @property
    def seen(self) -> float:
        """When the database was last read (epoch s), whether or not it had changed."""

    def take_update(self) -> SnapshotUpdate | None:
        """What changed since the last call."""

    def request_poll(self) -> None:
        """Poll the scheduler and read the database now."""

    # ------------------------------------------------------------------ jobs for the grid

    def load(self, wanted: JobQuery, missing: Collection[JobKey] = ()) -> Request:
        """Begin to read jobs for the grid. They come as JobsLoaded messages that carry the request returned.

        Args:
            missing: the missing jobs, for a query that asks for them.
        """

    def match(
        self, request: Request, query: Query, keys: Collection[JobKey], missing: Collection[JobKey]
    ) -> None:
        """Check jobs that changed against the filter of a request. The answer is a JobsRechecked message."""

    @property
    def matching_log(self) -> Mapping[JobKey, str]:
        """The log of a job that matches the filter, by the log viewer's name for it."""

    async def sorted_order(
        self, board: GridModel, sorting: Sequence[SortKey], snapshot: Snapshot
    ) -> array[int] | None:
        """The numbers of the grid's jobs, sorted; None if a newer request replaced this one.

        Raises:
            UsageError: there are too many jobs.
        """

    async def rows(self, keys: Sequence[JobKey]) -> list[JobRow]:
        """The rows of jobs."""

    async def rows_and_fields(
        self, keys: Sequence[JobKey], fields: Sequence[str]
    ) -> tuple[list[JobRow], dict[JobKey, JobInfo]]:
        """The rows of jobs; and their metadata, if any field of it is wanted."""

    async def indexes(
        self, batch_id: int, look: int, limit: int, priorities: Sequence[Priority] = ()
    ) -> list[int]:
        """The first JobIndexes of a batch's jobs in the state that `look` stands for.

        Args:
            priorities: those that these jobs have, if known: they make the search faster.
        """

    # ------------------------------------------------------------------ one job

    async def record(self, key: JobKey) -> JobRecord:
        """All about one job. Raises nothing: an error is part of the record."""

    async def script(self, info: JobInfo) -> ScriptText:
        """The text of a job's script."""

    async def summary(self, info: JobInfo) -> Mapping[str, object]:
        """The scheduler's own record of a job; {} if it has none, or does not answer."""

    # ------------------------------------------------------------------ the whole project

    async def fields(self) -> list[str]:
        """Names of the metadata's fields, and of their parts (`resources.mem`), as some jobs have them."""

    async def latest_completions(self, since: float) -> list[float]:
        """When the latest jobs became complete (epoch s), not before `since`."""

    def start_statistics(
        self, window: str, batch_id: int | None, missing: Mapping[JobKey, MissingJob]
    ) -> Request:
        """Read the overview's numbers. They come as StatisticsReady messages that carry the request returned:
        the latest first, then more of the past. A new request ends the one before.

        Args:
            window: one of reporting.statistics.WINDOWS.
            batch_id: one batch; None: all.
            missing: the missing jobs.
        """

    def refresh_statistics(self, missing: Mapping[JobKey, MissingJob]) -> None:
        """Read what is new since the last answer."""

    def stop_statistics(self) -> None:
        """Stop reading the overview's numbers."""

    # ------------------------------------------------------------------ actions

    async def preview(
        self, action: ActionEntry, target: ActionTarget, ends: Mapping[JobKey, str]
    ) -> PreviewText:
        """Count what an action would meet.

        Args:
            ends: how some of the jobs ended (codes of exit_kinds); these may be offered more time or memory.
        """

    async def run(
        self, action: ActionEntry, target: ActionTarget, *, force: bool = False, value: str = ""
    ) -> ActionResult:
        """Run an action. Progress comes as ActionProgress messages; an error is part of the result."""

    async def edit(self, key: JobKey, rev: int, path: Sequence[object], value: object) -> ActionResult:
        """Set one field of a job, or an entry within it, if the job is unchanged since `rev`."""

    def cancel(self) -> None:
        """Stop the running action after the jobs that it is at."""

    async def actions(self) -> list[Action]:
        """The users' latest actions, newest first."""

    async def latest_actions(self) -> tuple[Action | None, Action | None]:
        """This user's latest action, and the latest one that can be undone."""

    async def outcomes(self, action: Action) -> ActionResult:
        """What an action did to each job, as far as the events tell."""
