"""The daemon's side of the queue file: jobs to start, their starts and ends, and which process serves it."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from ...database.additions import transaction
from .launcher import unpacked
from .queue_store import ADDITIONS, DaemonInfo, DaemonSettings, LocalQueue, has_table

KEPT_DAYS = 7
"""Days after which a job that ended is forgotten."""


class QueuedJob(NamedTuple):
    """A queued or running job. `pid`, `start`, `boot` and `started_at` are None until it started."""

    number: int
    id: str
    arguments: bytes
    environment: bytes
    variables: bytes
    cwd: bytes
    stdout: bytes
    stderr: bytes
    umask: int
    walltime: float | None
    cpu_limit: int | None
    pid: int | None
    start: int | None
    boot: str | None
    started_at: float | None
    cancel_at: float | None


class StartRecord(NamedTuple):
    """The start of a job, as it is recorded."""

    pid: int
    start: int
    boot: str
    started_at: float
    number: int


class EndRecord(NamedTuple):
    """The end of a job, as it is recorded."""

    reason: str
    exit_status: int | None
    signal: int | None
    cpu: float | None
    rss: int | None
    ended_at: float
    pid: int | None
    start: int | None
    boot: str | None
    started_at: float | None
    number: int
    kind: str


class DaemonStore:
    """The queue file, kept open by its daemon.

    Raises (every method):
        sqlite3.Error: it cannot be read or written now; nothing was changed.
        SchedulerError: (at the start) it is no queue file.
    """

    def __init__(self, folder: str) -> None:
        # A short wait: the runner has jobs to look after, and tries again by itself.
        self.queue = LocalQueue(folder, timeout=2.0)
        self._connection = self.queue.connect(create=True)
        self._file = os.stat(self.queue.path)
        self._version = -1
        if not all(has_table(self._connection, name) for name in ADDITIONS):
            with transaction(self._connection):
                for statement in ADDITIONS.values():
                    self._connection.execute(statement)
        (self.queue_id,) = self._connection.execute("SELECT mark FROM runner").fetchone()
        self._environments: dict[bytes, dict[bytes, bytes]] = {}

    def close(self) -> None:
        self._connection.close()

    def is_ours(self, pid: int) -> bool:
        """Return whether the file is still where it was, and this process still its runner.

        Raises:
            FileNotFoundError: there is none: it was removed, or what it lies on is away.
        """
        now = os.stat(self.queue.path)
        if (now.st_ino, now.st_dev) != (self._file.st_ino, self._file.st_dev):
            return False
        (registered,) = self._connection.execute("SELECT pid FROM runner").fetchone()
        return bool(registered == pid)

    def changed(self) -> bool:
        """Return whether another process wrote to the file since this was last asked."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        before, self._version = self._version, int(version)
        return self._version != before

    # ------------------------------------------------------------------ who serves

    def limits(self) -> DaemonSettings:
        row = self._connection.execute("SELECT slots, idle_timeout, kill_grace FROM runner").fetchone()
        return DaemonSettings(*row)

    def is_free(self, pid: int) -> bool:
        """Return whether no other process serves the queue."""
        row = self._connection.execute("SELECT pid, start, boot FROM runner").fetchone()
        return row[0] == pid or not DaemonInfo(row[0], row[1] or 0, row[2] or "").lives

    def register(self, pid: int, start: int, boot: str) -> None:
        """Make this process the one that serves the queue."""
        with transaction(self._connection):
            self._connection.execute("UPDATE runner SET pid = ?, start = ?, boot = ?", (pid, start, boot))

    def retire(self, always: bool = False) -> bool:
        """Record that no process serves the queue any more; False, and nothing changed, if there is work.

        The submitter of a job that is added later finds no daemon and starts one; a job that was added
        before is seen here. So no job is left without a daemon.
        """
        with transaction(self._connection):
            busy = self._connection.execute("SELECT 1 FROM job WHERE state IN ('queued', 'running') LIMIT 1")
            if not always and busy.fetchone():
                return False
            self._connection.execute("UPDATE runner SET pid = NULL")
        return True

    # ------------------------------------------------------------------ what to do

    def waiting(self, after: int, limit: int) -> list[QueuedJob]:
        """Queued jobs in order, from the one after number `after`."""
        return self._entries(
            "state = 'queued' AND cancel_at IS NULL AND number > ? ORDER BY number LIMIT ?", (after, limit)
        )

    def running(self) -> list[QueuedJob]:
        return self._entries("state = 'running'", ())

    def by_number(self, numbers: set[int]) -> list[QueuedJob]:
        """Those of `numbers` that are queued as far as the file knows."""
        found = []
        for number in sorted(numbers):
            found += self._entries("state = 'queued' AND number = ?", (number,))
        return found

    def cancelled(self) -> list[QueuedJob]:
        """Jobs that somebody asked to delete and that have not ended."""
        return self._entries("cancel_at IS NOT NULL AND state <> 'ended' ORDER BY number", ())

    def environment(self, key: bytes) -> dict[bytes, bytes]:
        """The variables that a job was submitted with (the last few are remembered)."""
        variables = self._environments.get(key)
        if variables is None:
            row = self._connection.execute(
                "SELECT variables FROM environment WHERE hash = ?", (key,)
            ).fetchone()
            variables = unpacked(row[0]) if row else {}
            if len(self._environments) >= 8:
                self._environments.clear()
            self._environments[key] = variables
        return variables

    def was_there(self, folder: bytes) -> bool:
        """Return whether a job's working directory was there when it was submitted."""
        row = self._connection.execute("SELECT 1 FROM there WHERE folder = ?", (folder,)).fetchone()
        return row is not None

    def _entries(self, where: str, values: tuple[object, ...]) -> list[QueuedJob]:
        rows = self._connection.execute(
            "SELECT number, '', arguments, environment, variables, cwd, stdout, stderr, umask, walltime,"
            f" cpu_limit, pid, start, boot, started_at, cancel_at FROM job WHERE {where}",
            values,
        )
        return [QueuedJob(*row)._replace(id=f"{self.queue_id}.{row[0]}") for row in rows.fetchall()]

    # ------------------------------------------------------------------ what became of it

    def record(self, started: list[StartRecord], ended: list[EndRecord]) -> None:
        """Write down what happened to jobs, all or nothing."""
        with transaction(self._connection):
            self._connection.executemany(
                "UPDATE job SET state = 'running', pid = ?, start = ?, boot = ?, started_at = ?"
                " WHERE number = ? AND state = 'queued'",
                started,
            )
            self._connection.executemany(
                "UPDATE job SET state = 'ended', reason = ?, exit_status = ?, signal = ?, cpu = ?, rss = ?,"
                " ended_at = ?, pid = ?, start = ?, boot = ?, started_at = ? WHERE number = ?",
                [end[:-1] for end in ended],
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO ended VALUES (?, ?)", [(end.number, end.kind) for end in ended]
            )

    def write_holds(self, holds: list[tuple[bytes, str, float]]) -> None:
        """Write down which directories wait: (directory, why, since when)."""
        with transaction(self._connection):
            self._connection.execute("DELETE FROM hold")
            self._connection.executemany("INSERT INTO hold (folder, why, since) VALUES (?, ?, ?)", holds)

    def prune(self) -> None:
        """Forget jobs that ended long ago, and the environments that none needs any more."""
        with transaction(self._connection):
            gone = self._connection.execute(
                "DELETE FROM job WHERE state = 'ended' AND ended_at < ?", (time.time() - KEPT_DAYS * 86400,)
            )
            if gone.rowcount > 0:
                self._connection.execute(
                    "DELETE FROM environment WHERE hash NOT IN (SELECT environment FROM job)"
                )
                self._connection.execute("DELETE FROM there WHERE folder NOT IN (SELECT cwd FROM job)")
                self._connection.execute("DELETE FROM ended WHERE number NOT IN (SELECT number FROM job)")
