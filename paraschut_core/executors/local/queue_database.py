"""The queue file itself: its tables, how it is opened, and what is wrong when it cannot be.

A separate SQLite file, never the index of batches.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator

from ...database.connection import on_network, uri_of
from ...database.lock_holders import held_by
from ...errors import SchedulerError, UntrustedError
from ...security.confinement import is_confined
from ...security.ownership import enter, is_open, look_at_own

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


ADDITIONS = (
    # Working directories that were there when jobs were submitted: what is away later may come back.
    "CREATE TABLE IF NOT EXISTS there (folder BLOB PRIMARY KEY) WITHOUT ROWID",
    # Directories whose jobs wait, and why (`since`: epoch seconds). Their runner writes it.
    "CREATE TABLE IF NOT EXISTS hold (folder BLOB PRIMARY KEY, why TEXT NOT NULL, since REAL NOT NULL)"
    " WITHOUT ROWID",
)
"""Tables that files made by earlier versions lack; those do not know them."""


class QueueDatabase:
    """One queue file. Every use opens and closes it: nothing stays open across a fork or a thread.

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
        """Whether there is such a file: before the first job there is none."""
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
            part = ""
            for line in _SCHEMA.splitlines(keepends=True):
                part += line
                if sqlite3.complete_statement(part):
                    connection.execute(part)
                    part = ""
            mark = os.urandom(3).hex()[:5]
            connection.execute("INSERT INTO runner (mark, host) VALUES (?, ?)", (mark, os.uname().nodename))
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SchedulerError(self._explained(str(error))) from error

    def _explained(self, text: str) -> str:
        if "locked" in text or "busy" in text:
            return (
                f"The local queue {self.path} stayed locked by another process for {self.timeout:g} s; "
                f"nothing was changed. {held_by(self.path)}"
            )
        if "full" in text:
            return (
                f"No space left for the local queue {self.path} (disk full or quota reached); nothing was "
                "changed. Make room and try again."
            )
        if "readonly" in text or "unable to open" in text:
            return (
                f"The local queue {self.path} cannot be opened for writing ({text}): look at the "
                "permissions of the file and its folder, and whether job_dir is still there."
            )
        if "not a database" in text or "malformed" in text:
            return (
                f"The local queue {self.path} is damaged ({text}). Jobs that run go on; remove the folder "
                f"{self.folder} and submit the others again."
            )
        return f"The local queue {self.path}: {text}"


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write, all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
