"""The queue of one user, host and job directory: what any process may put in, ask and cancel.

Only the runner changes the state of a job (ledger.py); everybody else adds rows, asks for
cancellation, and reads.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ... import exit_kinds
from ...model import ENDED, ENDING, QUEUED, RUNNING, ExitInfo, LiveJob
from .process import alive, boot_id, is_stopped
from .queue_database import ADDITIONS, QueueDatabase, transaction

_PART = 500
"""Numbers in one statement: older SQLites take 999 values."""

_RECENT = 600.0
_RECENT_ROWS = 2000


class DaemonSettings(NamedTuple):
    """How the runner works: jobs at once (0: one for each CPU), and two times in seconds."""

    slots: int
    idle_timeout: float
    kill_grace: float


class NewJob(NamedTuple):
    """One job as it is queued: what is needed to start it."""

    token: str
    name: str
    arguments: bytes
    variables: bytes
    cwd: bytes
    stdout: bytes
    stderr: bytes
    umask: int
    walltime: float | None
    cpu_limit: int | None


class DaemonInfo(NamedTuple):
    """The runner as the queue file knows it; `pid` None: none serves it."""

    pid: int | None
    start: int
    boot: str

    @property
    def lives(self) -> bool:
        return self.pid is not None and self.boot == boot_id() and alive(self.pid, self.start)


class LocalQueue(QueueDatabase):
    """The queue, as every process but its runner uses it.

    Raises (every method):
        SchedulerError: the file cannot be opened, read or written; nothing was changed.
    """

    def add(
        self, tasks: Sequence[NewJob], environment: bytes, limits: DaemonSettings
    ) -> tuple[list[str], DaemonInfo]:
        """Queues jobs, all or none; returns their ids and the runner that serves them, if any does.

        Args:
            tasks: in the order in which they shall start.
            environment: what they find in theirs, packed.
            limits: how the runner works from now on.
        """
        key = hashlib.sha256(environment).digest()
        now = time.time()
        with self.opened(create=True) as connection, transaction(connection):
            connection.execute("INSERT OR IGNORE INTO environment VALUES (?, ?)", (key, environment))
            connection.execute(
                "UPDATE runner SET slots = ?1, idle_timeout = ?2, kill_grace = ?3"
                " WHERE slots <> ?1 OR idle_timeout <> ?2 OR kill_grace <> ?3",
                limits,
            )
            numbers = [
                connection.execute(
                    "INSERT INTO job (token, name, arguments, variables, cwd, stdout, stderr, umask,"
                    " walltime, cpu_limit, state, environment, queued_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)",
                    (*task, key, now),
                ).lastrowid
                for task in tasks
            ]
            for statement in ADDITIONS:
                connection.execute(statement)
            there = sorted({task.cwd for task in tasks if os.path.isdir(task.cwd)})
            connection.executemany("INSERT OR IGNORE INTO there VALUES (?)", ((folder,) for folder in there))
            mark, serving = _runner(connection)
        return [f"{mark}.{number}" for number in numbers], serving

    def withdraw(self, ids: Iterable[str]) -> None:
        """Takes jobs out that were never started; only while holding the runner's lock."""
        with self.opened() as connection, transaction(connection):
            for part in _parts(self._numbers(connection, ids)):
                marks = ",".join("?" * len(part))
                connection.execute(f"DELETE FROM job WHERE state = 'queued' AND number IN ({marks})", part)

    def cancel(self, ids: Iterable[str]) -> tuple[set[str], DaemonInfo]:
        """Asks the runner to delete jobs; returns those that are still to end, and the runner."""
        now = time.time()
        live: set[str] = set()
        with self.opened() as connection, transaction(connection):
            mark, serving = _runner(connection)
            for part in _parts(self._numbers(connection, ids)):
                where = f"state <> 'ended' AND number IN ({','.join('?' * len(part))})"
                connection.execute(
                    f"UPDATE job SET cancel_at = coalesce(cancel_at, ?) WHERE {where}", (now, *part)
                )
                rows = connection.execute(f"SELECT number FROM job WHERE {where}", part)
                live.update(f"{mark}.{number}" for (number,) in rows)
        return live, serving

    # ------------------------------------------------------------------ read

    def mark(self) -> str:
        """The first part of every id of this queue."""
        with self.opened() as connection:
            return _runner(connection)[0]

    def serving(self) -> DaemonInfo:
        """The runner that serves this queue."""
        with self.opened() as connection:
            return _runner(connection)[1]

    def is_served_here(self) -> bool:
        """Whether its runner, or a job of it, is a process of this machine or container."""
        with self.opened() as connection:
            _, serving = _runner(connection)
            rows = connection.execute("SELECT pid, start, boot FROM job WHERE state = 'running'").fetchall()
        boot = boot_id()
        return serving.lives or any(
            pid is not None and there == boot and alive(pid, start) for pid, start, there in rows
        )

    def live(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that have not ended."""
        found: set[str] = set()
        with self.opened() as connection:
            mark = _runner(connection)[0]
            for part in _parts(self._numbers(connection, ids)):
                where = f"state <> 'ended' AND number IN ({','.join('?' * len(part))})"
                rows = connection.execute(f"SELECT number FROM job WHERE {where}", part)
                found.update(f"{mark}.{number}" for (number,) in rows)
        return found

    def jobs(self) -> tuple[dict[str, LiveJob], DaemonInfo]:
        """Every queued and running job in order, those that ended of late, and the runner."""
        with self.opened() as connection:
            connection.execute("BEGIN")  # one moment for all that follows
            mark, serving = _runner(connection)
            host, slots = connection.execute("SELECT host, slots FROM runner").fetchone()
            holds = _holds(connection)
            paths = "cwd, stdout, stderr" if holds else "NULL, NULL, NULL"
            rows = connection.execute(
                f"SELECT number, token, name, state, cancel_at, {paths} FROM job"
                " WHERE state IN ('queued', 'running') ORDER BY number"
            ).fetchall()
            ended = connection.execute(
                f"SELECT token, name, {_ENDING} FROM job WHERE state = 'ended' AND ended_at > ?"
                f" ORDER BY ended_at DESC LIMIT {_RECENT_ROWS}",
                (time.time() - _RECENT,),
            ).fetchall()
            connection.execute("COMMIT")
        running = sum(1 for row in rows if row[3] == RUNNING)
        waits = f"waits for a free slot: {running} running" + (f", {slots} at once" if slots else "")
        obstacle = self._obstacle(serving)
        jobs: dict[str, LiveJob] = {}
        for number, token, name, state, cancelled, *paths in rows:
            id_ = f"{mark}.{number}"
            if cancelled is not None:
                jobs[id_] = LiveJob(id_, ENDING, token, name, "is being deleted", host)
            elif state == QUEUED:
                why = obstacle or (_why_held(holds, *paths) if holds else "") or waits
                jobs[id_] = LiveJob(id_, QUEUED, token, name, why)
            else:
                jobs[id_] = LiveJob(id_, RUNNING, token, name, obstacle, host)
        for token, name, *row in ended:
            id_ = f"{mark}.{row[0]}"
            ending = _ending(row, host)
            jobs[id_] = LiveJob(id_, ENDED, token, name, ending.reason, host, ending)
        return jobs, serving

    def obstacles(self) -> list[str]:
        """What keeps queued jobs from being started, for people: [] if nothing but a free slot."""
        with self.opened() as connection:
            _, serving = _runner(connection)
            holds = _holds(connection)
        obstacle = self._obstacle(serving)
        return [obstacle] if obstacle else [f"jobs wait: {why}" for why in sorted(set(holds.values()))]

    def _obstacle(self, serving: DaemonInfo) -> str:
        """What keeps all jobs of the queue back."""
        if serving.pid is not None and serving.lives and is_stopped(serving.pid):
            return (
                f"the local runner, process {serving.pid}, is stopped; go on with: kill -CONT {serving.pid}"
            )
        try:
            room = os.statvfs(self.folder)
        except OSError as error:
            return f"{self.folder} cannot be used: {error.strerror}"
        if not (room.f_bfree if os.geteuid() == 0 else room.f_bavail):
            return f"no space left for {self.folder}"
        if room.f_files and not room.f_favail:
            return f"no inodes left for {self.folder}: remove files that are not needed"
        return ""

    def find(self, tokens: Iterable[str]) -> dict[str, str]:
        """The ids of the jobs that were queued under these tokens, ended ones included."""
        wanted = list(tokens)
        found: dict[str, str] = {}
        with self.opened() as connection:
            mark = _runner(connection)[0]
            for first in range(0, len(wanted), _PART):
                part = wanted[first : first + _PART]
                rows = connection.execute(
                    f"SELECT token, number FROM job WHERE token IN ({','.join('?' * len(part))})", part
                )
                found.update((token, f"{mark}.{number}") for token, number in rows)
        return found

    def endings(self, ids: Iterable[str]) -> dict[str, ExitInfo]:
        """How those of `ids` ended that have."""
        with self.opened() as connection:
            mark = _runner(connection)[0]
            (host,) = connection.execute("SELECT host FROM runner").fetchone()
            found: dict[str, ExitInfo] = {}
            for part in _parts(self._numbers(connection, ids)):
                rows = connection.execute(
                    f"SELECT {_ENDING} FROM job WHERE state = 'ended'"
                    f" AND number IN ({','.join('?' * len(part))})",
                    part,
                )
                for row in rows:
                    found[f"{mark}.{row[0]}"] = _ending(row, host)
            return found

    def _numbers(self, connection: sqlite3.Connection, ids: Iterable[str]) -> list[int]:
        """The job numbers in `ids`; ids of other queues are left out."""
        (mark,) = connection.execute("SELECT mark FROM runner").fetchone()
        numbers = []
        for id_ in ids:
            first, _, number = id_.partition(".")
            if first == mark and number.isascii() and number.isdigit() and len(number) < 19:
                numbers.append(int(number))
        return numbers


def _holds(connection: sqlite3.Connection) -> dict[bytes, str]:
    """The directories whose jobs wait, and why."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'hold'").fetchone():
        return {}  # made by an earlier version
    return {folder: str(why) for folder, why in connection.execute("SELECT folder, why FROM hold")}


def _why_held(holds: Mapping[bytes, str], cwd: bytes, stdout: bytes, stderr: bytes) -> str:
    folders = (cwd, os.path.dirname(stdout), os.path.dirname(stderr))
    return next((f"waits: {holds[folder]}" for folder in folders if folder in holds), "")


_ENDING = "number, reason, exit_status, signal, pid, queued_at, started_at, ended_at, cpu, rss"


def _ending(row: Sequence[Any], host: str) -> ExitInfo:
    _, reason, status, number, pid, queued, started, ended, cpu, rss = row
    record: Mapping[str, Any] = {
        "pid": pid,
        "queued_at": queued,
        "started_at": started,
        "ended_at": ended,
        "cpu_time": cpu,
        "max_rss": rss,
    }
    known = {key: value for key, value in record.items() if value is not None}
    # The file keeps words alone.
    kind = exit_kinds.kind_of_words(reason or "")
    return ExitInfo(reason or "", status, number, host if pid else "", known, kind, exit_kinds.ACCOUNT)


def _runner(connection: sqlite3.Connection) -> tuple[str, DaemonInfo]:
    """(first part of the queue's ids, its runner)"""
    mark, pid, start, boot = connection.execute("SELECT mark, pid, start, boot FROM runner").fetchone()
    return mark, DaemonInfo(pid, start or 0, boot or "")


def _parts(numbers: list[int]) -> Iterator[list[int]]:
    for first in range(0, len(numbers), _PART):
        yield numbers[first : first + _PART]
