"""What tests of several rooms share: waiting, projects, schedulers under exact control, real processes."""

from __future__ import annotations

import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from paraschut_core import config
from paraschut_core.errors import SchedulerError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.model import (
    ENDED,
    QUEUED,
    RUNNING,
    DeleteResult,
    ExitInfo,
    JobInfo,
    JobKey,
    JobSpec,
    LiveJob,
    SubmitResult,
)
from paraschut_core.project import Project

T = TypeVar("T")

ROOT = str(Path(__file__).resolve().parents[1])

BATCH = 20210101120000
"""The BatchID of tests that need but one."""


def wait_until(condition: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """Waits until `condition` gives something true, and returns that; fails with `what` if it never does."""
    end = time.monotonic() + seconds
    pause = 0.005
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds:g} s still not: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def as_added(command: str) -> str:
    """Return the script of a job that `paraschut add` makes of a shell's command line."""
    return shlex.join([sys.executable, "-P", "-m", "paraschut_core.cli", "run", "--", "sh", "-c", command])


# ------------------------------------------------------------------------------------ projects


class ProjectDir:
    """A project directory of its own: its database, its configuration, its jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "jobs.db"

    def configure(self, text: str) -> None:
        """Writes paraschut.toml, which every process started in the folder finds."""
        (self.folder / "paraschut.toml").write_text(text)

    def settings(self, **changes: Any) -> config.Settings:
        """The settings in force, with changes: poll={"grace": 0} and the like for the sections."""
        settings = config.load()
        for name, value in changes.items():
            if isinstance(value, Mapping):
                value = config.msgspec.structs.replace(getattr(settings, name), **value)
            settings = config.msgspec.structs.replace(settings, **{name: value})
        return settings

    def workspace(self, executor: JobExecutor | None = None, *, who: str = "", **changes: Any) -> Project:
        """The project opened; the caller closes it."""
        return Project(self.settings(**changes), executor, create=True, who=who)

    def job(self, index: int = 0, batch: int = BATCH, **fields: Any) -> JobInfo:
        """A job's metadata, ready to be added."""
        info: JobInfo = {
            "BatchID": batch,
            "JobIndex": index,
            "priority": 1,
            "name": ["human", "genome_map"],
            "batch_type": "foo",
            "data": None,
            "script": "true",
            "queue": None,
            "resources": {},
            "state": "init",
        }
        return {**info, **fields}

    def add(self, *jobs: JobInfo) -> list[JobInfo]:
        """Puts jobs into the index (making it if there is none)."""
        from paraschut_core.jobs.builder import add_jobs

        infos = list(jobs)
        with self.workspace(Scheduler()) as ws:
            add_jobs(ws, infos)
        return infos

    def add_many(self, n: int, batch: int = BATCH, **fields: Any) -> list[JobKey]:
        """Puts `n` equal jobs into the index; returns their keys."""
        self.add(*(self.job(index, batch, **fields) for index in range(n)))
        return [JobKey(batch, index) for index in range(n)]

    def sql(
        self, statement: str, values: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Anybody's own SQL on the file, on a connection of its own, committed."""
        connection = sqlite3.connect(self.database, timeout=60.0)
        try:
            with connection:
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def state(self, index: int = 0, batch: int = BATCH) -> str:
        return str(self.column("state", index, batch))

    def column(self, name: str, index: int = 0, batch: int = BATCH) -> Any:
        """One column of a job's row, read afresh."""
        rows = self.sql(f"SELECT {name} FROM job WHERE BatchID = ? AND JobIndex = ?", (batch, index))
        assert rows, f"there is no job {batch}/{index}"
        return rows[0][0]

    def states(self, batch: int = BATCH) -> dict[int, str]:
        return dict(self.sql("SELECT JobIndex, state FROM job WHERE BatchID = ? ORDER BY JobIndex", (batch,)))

    def reset_by_force(self, index: int = 0, batch: int = BATCH) -> None:
        """Puts a job back to `init` although it may run, as `reset --force` does."""
        from paraschut_core.actions import Selection, reset

        with self.workspace(Scheduler()) as ws:
            reset(ws, Selection((JobKey(batch, index),)), force=True)

    def remove_by_force(self, batch: int = BATCH) -> None:
        """Removes a batch although its jobs may run, as `remove --force` does."""
        from paraschut_core.actions import remove_batches

        with self.workspace(Scheduler()) as ws:
            assert remove_batches(ws, [batch], force=True).done == 1

    def set_columns(self, index: int = 0, batch: int = BATCH, **columns: object) -> None:
        """Somebody's own SQL: sets columns of a job's row."""
        assignments = ", ".join(f"{name} = ?" for name in columns)
        self.sql(
            f"UPDATE job SET {assignments} WHERE BatchID = ? AND JobIndex = ?",
            (*columns.values(), batch, index),
        )


def assert_sound(path: str | os.PathLike[str]) -> None:
    """The file is whole, and its counters are what counting the rows gives."""
    connection = sqlite3.connect(path, timeout=60.0)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counted = connection.execute(
            "SELECT BatchID, priority, state, count(*) FROM job GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ).fetchall()
        kept = connection.execute(
            "SELECT BatchID, priority, state, n FROM counter ORDER BY BatchID, priority, state"
        ).fetchall()
        assert kept == counted
        (newest,) = connection.execute("SELECT coalesce(max(rev), 0) FROM job").fetchone()
        (rev,) = connection.execute("SELECT rev FROM revision").fetchone()
        assert newest <= rev, "a row is newer than the database"
        orphans = connection.execute(
            "SELECT BatchID FROM job WHERE BatchID NOT IN (SELECT BatchID FROM batch)"
        ).fetchall()
        assert orphans == []
    finally:
        connection.close()


# ------------------------------------------------------------------------------------ schedulers


class Scheduler(JobExecutor):
    """A scheduler in memory, of which the test says what it answers.

    `live` is what the next poll shows (`endings` what its accounts tell); `fault` is raised by every
    command while it is set. All calls are counted.
    """

    name = "fake"

    def __init__(
        self, *, expensive_poll: bool = False, reports_tokens: bool = True, absent_means_ended: bool = False
    ) -> None:
        self.expensive_poll = expensive_poll
        self.reports_tokens = reports_tokens
        self.absent_means_ended = absent_means_ended
        self.live: dict[str, LiveJob] = {}
        self.endings: dict[str, ExitInfo] = {}
        self.specs: list[JobSpec] = []
        self.deleted: list[str] = []
        self.fault: Exception | None = None
        self.refuse = ""
        self.lose = False
        self.polls = 0
        self.explained: list[tuple[str, ...]] = []
        self.chunk = 1000
        self.during_poll: Callable[[], object] = lambda: None
        self.during_submit: Callable[[], object] = lambda: None
        self._ids = 0

    def max_batch_size(self) -> int:
        return self.chunk

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        self.during_submit()
        if self.fault is not None:
            raise self.fault
        if self.refuse:
            return [SubmitResult(None, self.refuse) for _ in jobs]
        outcomes = []
        for job in jobs:
            self._ids += 1
            id_ = str(1000 + self._ids)
            self.specs.append(job)
            self.live[id_] = LiveJob(id_, QUEUED, token=job.token, name=job.name)
            outcomes.append(
                SubmitResult(None, "timed out", certain=False) if self.lose else SubmitResult(id_)
            )
        return outcomes

    def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
        if self.fault is not None:
            raise self.fault
        for id_ in jobs:
            self.live.pop(id_, None)
            self.deleted.append(id_)
        return {id_: DeleteResult(True) for id_ in jobs}

    def poll(self) -> dict[str, LiveJob]:
        self.polls += 1
        if self.fault is not None:
            raise self.fault
        answer = dict(self.live)
        self.during_poll()
        return answer

    def get_exit_info(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        self.explained.append(tuple(ids))
        if self.fault is not None:
            raise self.fault
        return {id_: self.endings[id_] for id_ in ids if id_ in self.endings}

    # What the test has happen.

    def run(self, *ids: str) -> None:
        """These jobs (all, if none is named) start."""
        for id_ in ids or tuple(self.live):
            self.live[id_] = self.live[id_]._replace(state=RUNNING)

    def lose_sight(self, *ids: str) -> None:
        """These jobs (all, if none is named) are gone from the queue without a trace."""
        for id_ in ids or tuple(self.live):
            del self.live[id_]

    def end(self, id_: str, ending: ExitInfo | None = None) -> None:
        """This job ended, and the queue still shows it."""
        self.live[id_] = self.live[id_]._replace(state=ENDED, ending=ending)


class SchedulerDownError(SchedulerError):
    """What a test raises for a scheduler that does not answer."""


class FileQueue(JobExecutor):
    """A scheduler whose queue is a file that several processes share: each submission is one line.

    A line is `id token`; `O_APPEND` makes each a whole one, whoever writes at the same time.
    """

    name = "filequeue"
    reports_tokens = True

    def __init__(self, path: str, *, chunk: int = 100, expensive_poll: bool = False) -> None:
        self.path = path
        self.chunk = chunk
        self.expensive_poll = expensive_poll

    def max_batch_size(self) -> int:
        return self.chunk

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        ids = [f"{os.getpid()}.{job.token}" for job in jobs]
        lines = "".join(f"{id_} {job.token} {job.key}\n" for id_, job in zip(ids, jobs, strict=True))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, lines.encode())
        finally:
            os.close(descriptor)
        return [SubmitResult(id_) for id_ in ids]

    def lines(self) -> list[tuple[str, str, str]]:
        """(id, token, job) of every submission there was."""
        try:
            with open(self.path, encoding="ascii") as file:
                return [(a, b, c) for a, b, c in (line.split() for line in file)]
        except FileNotFoundError:
            return []

    def poll(self) -> dict[str, LiveJob]:
        return {id_: LiveJob(id_, QUEUED, token=token) for id_, token, _ in self.lines()}


# ------------------------------------------------------------------------------------ processes


class Script:
    """A Python process that a test started and ends. Its code may import this file as `tests.helpers`."""

    def __init__(
        self,
        code: str,
        *arguments: object,
        under: Sequence[str] = (),
        first: Path | None = None,
        **environment: str,
    ) -> None:
        """
        Args:
            code: what it does.
            arguments: its sys.argv[1:].
            under: a command that runs it by exec (`nice`, say).
            first: a folder whose packages it imports rather than this version's.
            environment: variables that it has besides this process's.
        """
        path = os.pathsep.join(filter(None, [str(first or ""), ROOT, os.environ.get("PYTHONPATH", "")]))
        self.process = subprocess.Popen(
            [*under, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **environment},
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self, seconds: float = 120.0) -> str:
        """What it printed, once it has ended well."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError(f"the process did not end within {seconds:g} s") from None
        assert self.process.returncode == 0, f"exit status {self.process.returncode}:\n{out}\n{err}"
        return out

    def failure(self, seconds: float = 120.0) -> str:
        """What it wrote to stderr, once it has failed."""
        _, err = self.process.communicate(timeout=seconds)
        assert self.process.returncode != 0, "it was to fail, and did not"
        return err

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """kill -9, and waits for it."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def run_script(code: str, *arguments: object, **environment: str) -> str:
    """Runs a Python process to its good end; returns what it printed."""
    return Script(code, *arguments, **environment).output()
