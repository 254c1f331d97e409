"""One project opened: its settings, its database and its executor, each made when first asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .database.connection import Database
from .database.kept_endings import import_kept
from .moved_projects import know
from .security.confinement import is_confined

if TYPE_CHECKING:
    from types import TracebackType

    from .config import Settings
    from .executors.base import JobExecutor


class Project:
    """What the functions of the core work on.

    Args:
        settings: see config.load.
        executor: instead of the one that the settings name.
        create: make the database if there is none.
        who: the author named in events (default: this process).
    """

    def __init__(
        self,
        settings: Settings,
        executor: JobExecutor | None = None,
        *,
        create: bool = False,
        who: str = "",
    ) -> None:
        self.settings = settings
        self._executor = executor
        self._is_given = executor is not None
        self._told_to_jobs: dict[str, str] | None = None
        self.db = open_database(settings, create=create, who=who)
        self._reader: Database | None = None

    @property
    def reader(self) -> Database:
        """The database opened for reading only; works where writing is not allowed."""
        if self._reader is None:
            self._reader = open_database(self.settings, read_only=True)
        return self._reader

    @property
    def executor(self) -> JobExecutor:
        """Who runs the jobs. Raises UsageError for a name that nobody provides."""
        if self._executor is None:
            from .executors import make

            self._executor = make(self.settings)
        return self._executor

    @property
    def told_to_jobs(self) -> dict[str, str]:
        """The environment variables by which a job submits others with this executor."""
        if self._told_to_jobs is None:
            from .executors import variables_for

            self._told_to_jobs = variables_for(self.executor, self.settings, given=self._is_given)
        return self._told_to_jobs

    @property
    def job_dir(self) -> str:
        return self.settings.job_dir

    def batch_dir(self, batch_id: int) -> str:
        """The batch's own folder."""
        return os.path.join(self.settings.job_dir, str(batch_id))

    def close(self) -> None:
        self.db.close()
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_database(
    settings: Settings, *, read_only: bool = False, create: bool = False, who: str = ""
) -> Database:
    """The database that `settings` name, opened as they say."""
    know(settings.job_dir)
    database = Database(
        settings.database,
        timeout=settings.write_timeout,
        journal=settings.journal,
        local=settings.executor == "local",
        read_only=read_only or is_confined(),
        create=create,
        who=who,
    )
    if not read_only:
        database.importer = import_kept
    return database
