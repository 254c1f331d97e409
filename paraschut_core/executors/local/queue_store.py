"""The queue file of one user, host and job directory: its tables, and what every process may do with it.

A separate SQLite file, never the index of batches. Only the daemon changes the state of a job
(daemon_store.py). Other processes add rows, request deletions, and read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ... import exit_kinds
from ...database import sqlite_library
from ...database.additions import statements, transaction
from ...database.connection import on_network, uri_of
from ...database.lock_holders import held_by
from ...errors import SchedulerError, UntrustedError
from ...model import ENDED, ENDING, QUEUED, RUNNING, ExitInfo, LiveJob
from ...security.confinement import is_confined
from ...security.ownership import enter, is_open, look_at_own
from .process import alive, boot_id, is_stopped

_FILE = "queue.db"
_APPLICATION_ID = 0x5053434C  # "PSCL"
_VERSION = 1

_SCHEMA = """
CREATE TABLE job (
  number      INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of submission; never given out twice
  token       TEXT NOT NULL,
  name        TEXT NOT NULL,
  state       TEXT NOT NULL,       -- queued, running, ended
  arguments   BLOB NOT NULL,       -- separated by NUL
  environment BLOB NOT NULL,       -- key in the table of that name
  variables   BLOB NOT NULL,       -- the job's own, over those
  cwd         BLOB NOT NULL,
  stdout      BLOB NOT NULL,
  stderr      BLOB NOT NULL,
  umask       INTEGER NOT NULL,
  walltime    REAL,                -- seconds; NULL: no limit
  cpu_limit   INTEGER,             -- seconds in one process
  queued_at   REAL NOT NULL,
  cancel_at   REAL,                -- when somebody asked for its deletion
  pid         INTEGER,
  start       INTEGER,             -- of that process, in clock ticks since boot
  boot        TEXT,
  started_at  REAL,
  ended_at    REAL,
  reason      TEXT,
  exit_status INTEGER,
  signal      INTEGER,
  cpu         REAL,                -- seconds used by the job and its children
  rss         INTEGER              -- bytes of its largest process
);
CREATE INDEX job_live ON job (state, number) WHERE state <> 'ended';
CREATE INDEX job_ended ON job (ended_at) WHERE state = 'ended';
CREATE INDEX job_cancelled ON job (number) WHERE cancel_at IS NOT NULL AND state <> 'ended';

-- The environments that jobs were submitted from, each once.
CREATE TABLE environment (hash BLOB PRIMARY KEY, variables BLOB NOT NULL) WITHOUT ROWID;

-- One row: the runner that serves this queue (pid NULL: none does), and how it shall work.
CREATE TABLE runner (
  mark         TEXT NOT NULL,      -- first part of every id, so that no two queues give out the same
  host         TEXT NOT NULL,
  pid          INTEGER,
  start        INTEGER,
  boot         TEXT,
  slots        INTEGER NOT NULL DEFAULT 0,
  idle_timeout REAL NOT NULL DEFAULT 10,
  kill_grace   REAL NOT NULL DEFAULT 5
);
"""


ADDITIONS = {
    # Working directories that were there when jobs were submitted: what is away later may come back.
    "there": "CREATE TABLE IF NOT EXISTS there (folder BLOB PRIMARY KEY) WITHOUT ROWID",
    # Directories whose jobs wait, and why (`since`: epoch seconds). Their runner writes it.
    "hold": "CREATE TABLE IF NOT EXISTS hold"
    " (folder BLOB PRIMARY KEY, why TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID",
    # How jobs ended, as codes of exit_kinds. A runner of an earlier version writes the words in `job` alone.
    "ended": "CREATE TABLE IF NOT EXISTS ended (number INTEGER PRIMARY KEY, kind TEXT NOT NULL)",
}
"""Tables that files of earlier versions lack, by name."""

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


class LocalQueue:
    """The queue, as every process but its daemon uses it.

    Every use opens and closes the file: nothing stays open across a fork or a thread.

    Args:
        folder: the queue's folder: JOB_DIR/.paraschut/local/USER@HOST.
        timeout: seconds to wait for other writers.

    Raises (every method):
        SchedulerError: the file cannot be opened, read or written; nothing was changed.
    """

    def __init__(self, folder: str, timeout: float = 60.0) -> None:
        self.folder = folder
        self.path = os.path.join(folder, _FILE)
        self.timeout = timeout

    def __bool__(self) -> bool:
        """Return whether there is such a file: before the first job there is none."""
        try:
            folder = enter(self.folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SchedulerError(f"{self.folder} cannot be opened: {error.strerror}.") from error
        try:
            return look_at_own(_FILE, folder=folder, path=self.path) is not None
        finally:
            os.close(folder)

    # ------------------------------------------------------------------ open

    @contextlib.contextmanager
    def opened(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """The open file, closed at the end; SQLite's errors become the house's."""
        with self._explaining():
            connection = self.connect(create)
            try:
                yield connection
            finally:
                connection.close()

    def connect(self, create: bool = False) -> sqlite3.Connection:
        """A connection that the caller closes. Raises sqlite3.Error as well."""
        folder = self._make_folder() if create else self._enter()
        try:
            look_at_own(_FILE, folder=folder, path=self.path)
            connection = self._connected(create)
            try:
                self._require_same(folder)
            except BaseException:
                connection.close()
                raise
        finally:
            os.close(folder)
        return connection

    def _connected(self, create: bool) -> sqlite3.Connection:
        uri = "file:" + uri_of(self.path)
        mode = "ro" if is_confined() else "rwc" if create else "rw"
        connection = sqlite3.connect(
            f"{uri}?mode={mode}", uri=True, timeout=self.timeout, isolation_level=None
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _enter(self) -> int:
        try:
            return enter(self.folder)
        except OSError as error:
            raise SchedulerError(
                f"The local queue's folder {self.folder} cannot be opened ({error.strerror}): look at its "
                "permissions, and whether job_dir is still there."
            ) from error

    def _require_same(self, folder: int) -> None:
        """SQLite opens files by their paths: they must be what lies in the folder that was checked."""
        for name in (_FILE, f"{_FILE}-wal"):
            status = look_at_own(name, folder=folder, path=self.path)
            if not (is_open(status) if status is not None else name != _FILE):
                raise UntrustedError(f"{self.path} was replaced while it was opened: it is not used.")

    def _make_folder(self) -> int:
        job_dir = os.path.dirname(os.path.dirname(os.path.dirname(self.folder)))
        try:
            os.makedirs(job_dir, exist_ok=True)
            # Whoever may use the job directory may have a queue of their own there.
            handle = enter(self.folder, make=True)
            if stat.S_IMODE(os.fstat(handle).st_mode) != 0o700:
                os.fchmod(handle, 0o700)  # it holds the environments of jobs
            return handle
        except OSError as error:
            raise SchedulerError(
                f"Cannot make the local queue's folder {self.folder} ({error.strerror}): set job_dir to a "
                "directory that exists and can be written to."
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        application, version, tables = connection.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
            " FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if tables == 0 and application == 0:
            self._create(connection)  # new, or its maker was killed, or is at it: the first one does it
        elif application != _APPLICATION_ID or version != _VERSION:
            raise SchedulerError(
                f"{self.path} is not a local queue of this version of Paraschut. When its jobs are done, "
                f"remove {self.folder} and submit again."
            )

    def _create(self, connection: sqlite3.Connection) -> None:
        if not on_network(self.folder):
            # Another process may be making the same file: then it is for that one to choose.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
        with transaction(connection):
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables:
                return  # made by another process while we waited
            for statement in statements(_SCHEMA):
                connection.execute(statement)
            queue_id = os.urandom(3).hex()[:5]
            connection.execute(
                "INSERT INTO runner (mark, host) VALUES (?, ?)", (queue_id, os.uname().nodename)
            )
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SchedulerError(self._explained(error)) from error

    def _explained(self, error: sqlite3.Error) -> str:
        text, fault = str(error), sqlite_library.fault_of(error)
        if fault == sqlite_library.BUSY:
            return (
                f"The local queue {self.path} stayed locked by another process for {self.timeout:g} s; "
                f"nothing was changed. {held_by(self.path)}"
            )
        if fault == sqlite_library.FULL:
            return (
                f"No space left for the local queue {self.path} (disk full or quota reached); nothing was "
                "changed. Make room and try again."
            )
        if fault in (sqlite_library.READ_ONLY, sqlite_library.CANNOT_OPEN):
            return (
                f"The local queue {self.path} cannot be opened for writing ({text}): look at the "
                "permissions of the file and its folder, and whether job_dir is still there."
            )
        if fault in (sqlite_library.NOT_A_DATABASE, sqlite_library.DAMAGED):
            return (
                f"The local queue {self.path} is damaged ({text}). Jobs that run go on; remove the folder "
                f"{self.folder} and submit the others again."
            )
        return f"The local queue {self.path}: {text}"

    # ------------------------------------------------------------------ write

    def add(
        self, tasks: Sequence[NewJob], environment: bytes, limits: DaemonSettings
    ) -> tuple[list[str], DaemonInfo]:
        """Queue jobs, all or none; return their ids and the runner that serves them, if any does.

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
            for statement in ADDITIONS.values():
                connection.execute(statement)
            there = sorted({task.cwd for task in tasks if os.path.isdir(task.cwd)})
            connection.executemany("INSERT OR IGNORE INTO there VALUES (?)", ((folder,) for folder in there))
            queue_id, serving = _runner(connection)
        return [f"{queue_id}.{number}" for number in numbers], serving

    def withdraw(self, ids: Iterable[str]) -> None:
        """Take jobs out that were never started; only while holding the runner's lock."""
        with self.opened() as connection, transaction(connection):
            self._for_each(connection, ids, "DELETE FROM job WHERE state = 'queued' AND number")

    def cancel(self, ids: Iterable[str]) -> tuple[set[str], DaemonInfo]:
        """Ask the runner to delete jobs; return those that are still to end, and the runner."""
        ids, now = list(ids), time.time()
        with self.opened() as connection, transaction(connection):
            queue_id, serving = _runner(connection)
            self._for_each(
                connection,
                ids,
                "UPDATE job SET cancel_at = coalesce(cancel_at, ?) WHERE state <> 'ended' AND number",
                now,
            )
            rows = self._for_each(connection, ids, _LIVE)
        return {f"{queue_id}.{number}" for (number,) in rows}, serving

    # ------------------------------------------------------------------ read

    def queue_id(self) -> str:
        """The first part of every id of this queue."""
        with self.opened() as connection:
            return _runner(connection)[0]

    def serving(self) -> DaemonInfo:
        """The runner that serves this queue."""
        with self.opened() as connection:
            return _runner(connection)[1]

    def is_served_here(self) -> bool:
        """Return whether its runner, or a job of it, is a process of this machine or container."""
        with self.opened() as connection:
            _, serving = _runner(connection)
            rows = connection.execute("SELECT pid, start, boot FROM job WHERE state = 'running'").fetchall()
        boot = boot_id()
        return serving.lives or any(
            pid is not None and there == boot and alive(pid, start) for pid, start, there in rows
        )

    def live(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that have not ended."""
        with self.opened() as connection:
            queue_id = _runner(connection)[0]
            return {f"{queue_id}.{number}" for (number,) in self._for_each(connection, ids, _LIVE)}

    def jobs(self) -> tuple[dict[str, LiveJob], DaemonInfo]:
        """Every queued and running job in order, those that ended of late, and the runner."""
        with self.opened() as connection:
            connection.execute("BEGIN")  # one moment for all that follows
            queue_id, serving = _runner(connection)
            host, slots = connection.execute("SELECT host, slots FROM runner").fetchone()
            holds = _holds(connection)
            paths = "cwd, stdout, stderr" if holds else "NULL, NULL, NULL"
            rows = connection.execute(
                f"SELECT number, token, name, state, cancel_at, {paths} FROM job"
                " WHERE state IN ('queued', 'running') ORDER BY number"
            ).fetchall()
            ended = connection.execute(
                f"SELECT token, name, {_ENDING}, {_kind(connection)} FROM job"
                " WHERE state = 'ended' AND ended_at > ?"
                f" ORDER BY ended_at DESC LIMIT {_RECENT_ROWS}",
                (time.time() - _RECENT,),
            ).fetchall()
            connection.execute("COMMIT")
        running = sum(1 for row in rows if row[3] == RUNNING)
        waits = f"waits for a free slot: {running} running" + (f", {slots} at once" if slots else "")
        obstacle = self._obstacle(serving)
        jobs: dict[str, LiveJob] = {}
        for number, token, name, state, cancelled, *paths in rows:
            id_ = f"{queue_id}.{number}"
            if cancelled is not None:
                jobs[id_] = LiveJob(id_, ENDING, token, name, "is being deleted", host)
            elif state == QUEUED:
                why = obstacle or (_why_held(holds, *paths) if holds else "") or waits
                jobs[id_] = LiveJob(id_, QUEUED, token, name, why)
            else:
                jobs[id_] = LiveJob(id_, RUNNING, token, name, obstacle, host)
        for token, name, *row in ended:
            id_ = f"{queue_id}.{row[0]}"
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
            queue_id = _runner(connection)[0]
            for first in range(0, len(wanted), _PART):
                part = wanted[first : first + _PART]
                rows = connection.execute(
                    f"SELECT token, number FROM job WHERE token IN ({','.join('?' * len(part))})", part
                )
                found.update((token, f"{queue_id}.{number}") for token, number in rows)
        return found

    def endings(self, ids: Iterable[str]) -> dict[str, ExitInfo]:
        """How those of `ids` ended that have."""
        with self.opened() as connection:
            queue_id = _runner(connection)[0]
            (host,) = connection.execute("SELECT host FROM runner").fetchone()
            ended = f"SELECT {_ENDING}, {_kind(connection)} FROM job WHERE state = 'ended' AND number"
            return {
                f"{queue_id}.{row[0]}": _ending(row, host) for row in self._for_each(connection, ids, ended)
            }

    def _for_each(
        self, connection: sqlite3.Connection, ids: Iterable[str], statement: str, *values: object
    ) -> list[Any]:
        """All rows of a statement that ends with the column of the job's number, for the jobs `ids`."""
        numbers = self._numbers(connection, ids)
        rows: list[Any] = []
        for start in range(0, len(numbers), _PART):
            part = numbers[start : start + _PART]
            marks = ",".join("?" * len(part))
            rows += connection.execute(f"{statement} IN ({marks})", (*values, *part)).fetchall()
        return rows

    def _numbers(self, connection: sqlite3.Connection, ids: Iterable[str]) -> list[int]:
        """The job numbers in `ids`; ids of other queues are left out."""
        (queue_id,) = connection.execute("SELECT mark FROM runner").fetchone()
        numbers = []
        for id_ in ids:
            first, _, number = id_.partition(".")
            if first == queue_id and number.isascii() and number.isdigit() and len(number) < 19:
                numbers.append(int(number))
        return numbers


def _holds(connection: sqlite3.Connection) -> dict[bytes, str]:
    """The directories whose jobs wait, and why."""
    if not has_table(connection, "hold"):
        return {}  # made by an earlier version
    return {folder: str(why) for folder, why in connection.execute("SELECT folder, why FROM hold")}


def _why_held(holds: Mapping[bytes, str], cwd: bytes, stdout: bytes, stderr: bytes) -> str:
    folders = (cwd, os.path.dirname(stdout), os.path.dirname(stderr))
    return next((f"waits: {holds[folder]}" for folder in folders if folder in holds), "")


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def _kind(connection: sqlite3.Connection) -> str:
    """SQL for the code of a job's end: NULL where an earlier version wrote it."""
    return (
        "(SELECT kind FROM ended WHERE ended.number = job.number)"
        if has_table(connection, "ended")
        else "NULL"
    )


_LIVE = "SELECT number FROM job WHERE state <> 'ended' AND number"
_ENDING = "number, reason, exit_status, signal, pid, queued_at, started_at, ended_at, cpu, rss"


def _ending(row: Sequence[Any], host: str) -> ExitInfo:
    _, reason, status, number, pid, queued, started, ended, cpu, rss, kind = row
    record: Mapping[str, Any] = {
        "pid": pid,
        "queued_at": queued,
        "started_at": started,
        "ended_at": ended,
        "cpu_time": cpu,
        "max_rss": rss,
    }
    known = {key: value for key, value in record.items() if value is not None}
    kind = kind or exit_kinds.kind_of_words(reason or "")
    return ExitInfo(reason or "", status, number, host if pid else "", known, kind, exit_kinds.ACCOUNT)


def _runner(connection: sqlite3.Connection) -> tuple[str, DaemonInfo]:
    """(first part of the queue's ids, its runner)"""
    queue_id, pid, start, boot = connection.execute("SELECT mark, pid, start, boot FROM runner").fetchone()
    return queue_id, DaemonInfo(pid, start or 0, boot or "")
