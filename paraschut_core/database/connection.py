"""Opens the SQLite file: pragmas, journal choice, locking and retry, transactions."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Any

from ..errors import DatabaseBusyError, DatabaseError, NoDatabaseError, NotADatabaseError
from ..identity import user_name
from ..paths import absolute
from . import sqlite_library
from .additions import add, create_temporary, drop_temporary, lacking, schema_version, transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Literal

    Journal = Literal["delete", "wal", "auto"]

Row = tuple[Any, ...]

APPLICATION_ID = 0x50534354  # "PSCT"
SCHEMA_VERSION = 2

BUSY_TIMEOUT = 60.0
"""Seconds to wait for another writer: SQLite's 5 s lose 4-5 % of 200 simultaneous writers."""

IMPORT_KEPT_EVERY = 60.0
"""Seconds between two looks for ends of jobs that are kept beside the file."""

_inherited: list[sqlite3.Connection] = []
"""Connections that came through a fork. They are kept for good: to drop one is to close it, and that would
end the parent's transaction."""

_NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs3 nfs4 cifs smb smb2 smb3 smbfs lustre gpfs beegfs ceph glusterfs afs 9p pvfs2"  # noqa: SIM905
    " orangefs panfs".split()  # as a list these would take a page
)


def author_id() -> str:
    """This process, as events name it: user@host:pid."""
    return f"{user_name()}@{os.uname().nodename}:{os.getpid()}"


def process_is_alive(who: str) -> bool | None:
    """Whether the process that calls itself `who` still runs; None where that cannot be told from here."""
    host, _, rest = who.partition("@")[2].rpartition(":")
    pid = rest.partition(" ")[0]  # inside a job, its id follows
    if host != os.uname().nodename or not pid.isdigit():
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is alive, and another user's
    return True


def mount_of(path: str) -> tuple[str, str, str]:
    """(mount point, file system type, options) of the mount that holds `path`; blanks if unknown."""
    real = os.path.realpath(path)
    best = ("", "", "")
    try:
        with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                _, point, kind, options = line.split()[:4]
                point = point.replace("\\040", " ")
                inside = real == point or real.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best[0]):
                    best = (point, kind, options)
    except OSError:
        pass  # not Linux: unknown, and unknown is treated as a network file system
    return best


def on_network(path: str) -> bool:
    """Return whether `path` lies on a file system that other hosts may write to (unknown counts as yes)."""
    kind = mount_of(path)[1]
    return not kind or kind in _NETWORK_FILE_SYSTEMS or kind.startswith("fuse")


SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's calls raise: the second where its message quotes, of a damaged file, what is no text."""


class Transaction:
    """A write under way: its connection, its author and the revision that its rows will carry."""

    def __init__(self, connection: sqlite3.Connection, who: str) -> None:
        self.connection = connection
        self.who = who
        self.at = time.time()
        self._rev: int | None = None

    @property
    def rev(self) -> int:
        """The new revision; the counter moves when it is first asked for."""
        if self._rev is None:
            self.connection.execute("UPDATE revision SET rev = rev + 1")
            row = self.connection.execute("SELECT rev FROM revision").fetchone()
            self._rev = row[0] if row is not None and isinstance(row[0], int) else self._mended()
        return self._rev

    def _mended(self) -> int:
        """Rebuild the counter of revisions above those of all rows; return it."""
        tables = ("job", "batch", "spawn", "ending", "event", "tombstone")
        highest = ", ".join(
            f"(SELECT coalesce(max(rev), 0) FROM {table} WHERE typeof(rev) = 'integer')" for table in tables
        )
        (rev,) = self.connection.execute(f"SELECT 1 + max({highest})").fetchone()
        self.connection.execute("DELETE FROM revision")
        self.connection.execute("INSERT INTO revision VALUES (?)", (rev,))
        return int(rev)


class Database:
    """One Paraschut database file, opened by one thread of one process.

    The connection opens at first use and is kept until `close`; a fork never inherits it.

    Args:
        path: the file.
        timeout: seconds to wait for other writers.
        journal: "delete", "wal", or "auto": WAL where no other host can write to the file. `local`
            says whether that may be so (WAL breaks when two hosts share the file). None: as it is.
        read_only: open for reading only.
        create: make the file and its tables if there is none yet.
        who: the author named in events (default: this process).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        timeout: float = BUSY_TIMEOUT,
        journal: Journal | None = "delete",
        local: bool = False,
        read_only: bool = False,
        create: bool = False,
        who: str = "",
    ) -> None:
        self.path = absolute(os.fspath(path))
        self.timeout = timeout
        self.journal = journal
        self.local = local
        self.read_only = read_only
        self.create = create
        self.who = who or author_id()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._file: tuple[int, int] | None = None
        self._lacking: list[str] = []
        self._older = False
        self.importer: Callable[[Database], None] | None = None  # kept_endings.import_kept
        self._imported_at = -IMPORT_KEPT_EVERY
        self._schema = 0

    # ------------------------------------------------------------------ open and close

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection. Read with it in single statements, fetched whole."""
        if self._connection is None or self._pid != os.getpid():
            self.close()
            self._connection = self._open()
            self._pid = os.getpid()
        return self._connection

    def reopen_if_replaced(self) -> bool:
        """Close the file if another took its place (a rename, a restored backup) or it was removed;
        return True if so.

        What is written to a file that nobody can find any more would be lost.
        """
        if self._connection is None or _identity(self.path) in (self._file, UNKNOWN):
            return False
        self.close()
        return True

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        if self._connection is not None:
            if self._pid == os.getpid():
                self._connection.close()
            else:
                _inherited.append(self._connection)
        self._connection = None

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, *, again: bool = True) -> sqlite3.Connection:
        sqlite_library.check()
        self._check_path()
        mode = "ro" if self.read_only else "rwc" if self.create else "rw"
        if mode == "rwc":
            _make(self.path)
        uri = "file:" + uri_of(self.path) + "?mode=" + mode
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=self.timeout, isolation_level=None)
        except sqlite3.Error as error:
            raise self._explained(error) from error
        try:
            self._prepare(connection)
        except SQLITE_ERRORS as error:
            connection.close()
            if again and self._rolled_back(error):
                return self._open(again=False)
            raise self._explained(error) from error
        except BaseException:
            connection.close()
            raise
        self._file = _identity(self.path)
        self.create = False  # a file that vanishes later must not be taken for one that was never there
        return connection

    def _check_path(self) -> None:
        path = self.path
        if os.path.isdir(path):
            raise DatabaseError(f"{path} is a directory, not a database file: name the file in it.")
        if not os.path.lexists(path):
            if not self.create or self.read_only:
                raise NoDatabaseError(
                    f"There is no database {path}. Make one with: paraschut init (or try: paraschut demo)"
                )
            folder = os.path.dirname(path)
            if not os.path.isdir(folder):
                raise DatabaseError(f"Cannot make {path}: there is no directory {folder}.")
            if not os.access(folder, os.W_OK):
                raise DatabaseError(f"Cannot make {path}: no permission to write to {folder}.")
        elif not os.path.isfile(path):
            kind = "a broken link" if not os.path.exists(path) else "not a regular file"
            raise DatabaseError(f"{path} is {kind}.")
        elif not os.access(path, os.R_OK):
            raise DatabaseError(f"No permission to read {path}.")
        elif not self.read_only and not os.access(path, os.W_OK):
            raise DatabaseError(
                f"No permission to write to {path} (or its file system is read-only); "
                f"reading works: paraschut queue{group_advice(path)}"
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        sqlite_library.tolerate(connection, True)
        # One statement for both numbers: they are read at every job's start.
        application, version, tables = connection.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
            " FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if tables == 0 and application == 0:
            if self.read_only or not self.create:
                raise NotADatabaseError(
                    f"{self.path} is empty: it has no jobs and no tables. Make them with: paraschut init"
                )
            from .migrations import create

            create(connection)
        elif application != APPLICATION_ID:
            raise NotADatabaseError(_what_it_is(connection, self.path))
        elif version > SCHEMA_VERSION:
            raise NotADatabaseError(
                f"{self.path} was written by a newer Paraschut (its format is {version}, this one knows "
                f"{SCHEMA_VERSION}). Update Paraschut: pip install -U paraschut"
            )
        elif version < 1:
            raise NotADatabaseError(
                f"{self.path} is damaged (its format is said to be {version}). "
                "Save what is readable with: paraschut recover FILE"
            )
        self._look_for_additions(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = OFF")
        if not self.read_only and self.journal is not None:
            self._choose_journal(connection)

    def _choose_journal(self, connection: sqlite3.Connection) -> None:
        wal = self.journal == "wal" or (self.journal == "auto" and self.local)
        if wal and on_network(self.path):
            if self.journal == "wal":
                raise DatabaseError(
                    f'journal = "wal" cannot be used for {self.path}: it lies on a network file system '
                    f'({mount_of(self.path)[1] or "unknown"}), where WAL corrupts. Use "delete".'
                )
            wal = False
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        wanted = "wal" if wal else "delete"
        # Only "delete" is kept by the connection; leaving WAL needs every other process to be gone, so
        # it is tried without waiting and tried again by whoever opens the file next.
        if mode != wanted and (wal or mode == "wal"):
            try:
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
            except sqlite3.OperationalError:
                pass
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(self.timeout * 1000)}")

    def _look_for_additions(self, connection: sqlite3.Connection) -> None:
        """Record what the file lacks of this version's; until it is added that is seen as empty."""
        self._schema = schema_version(connection)
        (version,) = connection.execute("PRAGMA main.user_version").fetchone()
        self._older = version < SCHEMA_VERSION
        self._lacking = lacking(connection)
        if self._older:
            from . import migrations

            migrations.create_temporary(connection)
        if self._lacking:
            create_temporary(connection, self._lacking)
        else:
            sqlite_library.tolerate(connection, False)

    def _drop_temporary(self, connection: sqlite3.Connection) -> None:
        drop_temporary(connection, self._lacking)
        if self._older:
            from . import migrations

            migrations.drop_temporary(connection)

    def _see_additions(self) -> None:
        """Take the empty tables away as soon as another process has added the real ones to the file."""
        connection = self.connection
        if schema_version(connection) != self._schema and not connection.in_transaction:
            self._drop_temporary(connection)
            self._look_for_additions(connection)

    def add_missing(self) -> None:
        """Add to the file what it lacks of this version's tables, before the first write; all or nothing.

        Raises:
            DatabaseError: the file cannot be written to; it stays as it was.
        """
        connection = self.connection
        if not self._lacking and not self._older:
            return
        try:
            self._drop_temporary(connection)
            try:
                with transaction(connection):
                    add(connection)
                    if self._older:
                        from .migrations import upgrade

                        upgrade(connection)
            finally:
                self._look_for_additions(connection)
        except SQLITE_ERRORS as error:
            raise self.explained(error) from error

    def import_kept(self) -> None:
        """Take in what jobs of this user's left beside the file while it could not be written to."""
        now = time.monotonic()
        if now < self._imported_at + IMPORT_KEPT_EVERY:
            return
        self._imported_at = now
        if self.importer is not None and os.path.isdir(f"{self.path}.results-{os.getuid()}"):
            self.importer(self)

    # ------------------------------------------------------------------ read and write

    def rows(self, sql: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        """The whole answer of one query; no read cursor stays open behind it.

        Raises:
            DatabaseError: the file cannot be read.
        """
        try:
            if self._lacking or self._older:
                self._see_additions()
            return self.connection.execute(sql, values).fetchall()
        except SQLITE_ERRORS as error:
            if not self._rolled_back(error):
                raise self.explained(error) from error
        self.reopen_if_replaced()
        try:
            return self.connection.execute(sql, values).fetchall()
        except SQLITE_ERRORS as error:
            raise self.explained(error) from error

    def _rolled_back(self, error: Exception) -> bool:
        """Whether reading failed for what a writer left half done when it was killed, and that is undone now.

        SQLite undoes it for whoever comes next, unless that one opened the file for reading only.
        """
        if not self.read_only or sqlite_library.fault_of(error) != sqlite_library.READ_ONLY:
            return False
        try:
            with Database(self.path, timeout=self.timeout, journal=None) as writer:
                writer.rows("SELECT rev FROM revision")
        except DatabaseError:
            return False
        return True

    def transaction(self, who: str = "") -> _Write:
        """`with db.transaction() as tx:` one write, all or nothing; waits for other writers.

        Raises:
            DatabaseBusyError: others kept the file locked for longer than the time-out.
            DatabaseError: the disk is full, the file is damaged or gone, ...
        """
        return _Write(self, who or self.who)

    def explained(self, error: Exception) -> DatabaseError:
        """The house's error for an error of SQLite's, with what to do about it."""
        return self._explained(error)

    def _explained(self, error: Exception) -> DatabaseError:
        text = "malformed tables" if isinstance(error, UnicodeDecodeError) else str(error)
        path, fault = self.path, sqlite_library.fault_of(error)
        if fault == sqlite_library.NOT_A_DATABASE:
            return NotADatabaseError(f"{path} is not a database (a text file, perhaps?).")
        if fault == sqlite_library.UNREADABLE:
            return DatabaseError(
                f"{path} holds what SQLite {sqlite3.sqlite_version}, this Python's, does not understand "
                f"({text}). If somebody changed its tables with a newer one, use a Python with that; if not, "
                "the file is damaged: paraschut recover FILE"
            )
        if fault == sqlite_library.DAMAGED:
            return DatabaseError(
                f"{path} is damaged ({text}). Save what is readable with: paraschut recover FILE"
            )
        if fault == sqlite_library.BUSY:
            from .lock_holders import held_by

            return DatabaseBusyError(
                f"{path} stayed locked by another process for {self.timeout:g} s; nothing was written. "
                f"{held_by(path)}"
            )
        if fault == sqlite_library.FULL:
            return DatabaseError(
                f"No space left for {path} (disk full or quota reached); nothing was written."
            )
        if fault == sqlite_library.READ_ONLY and self.read_only:
            return DatabaseError(
                f"{path} holds what a process left half written when it was killed. Whoever may write to the "
                "file and its directory undoes that by opening it: paraschut doctor"
            )
        if fault == sqlite_library.READ_ONLY:
            return DatabaseError(
                f"{path} cannot be written to: it, or its directory, is read-only.{group_advice(path)}"
            )
        if fault in (sqlite_library.IO, sqlite_library.CANNOT_OPEN):
            why = _obstacle(path)
            if why:
                return DatabaseError(f"{path} cannot be written: {why}; nothing was written.")
        if fault == sqlite_library.CANNOT_OPEN:
            return DatabaseError(
                f"{path} cannot be opened ({text}): look at the permissions of the file and its directory."
            )
        return DatabaseError(f"{path}: {text}")


class _Write:
    """The context manager behind `Database.transaction` (contextlib costs imports at a job's start)."""

    def __init__(self, database: Database, who: str) -> None:
        self._database = database
        self._who = who
        self._began = 0.0

    def __enter__(self) -> Transaction:
        if self._database.read_only:
            raise DatabaseError(f"{self._database.path} was opened for reading only.")
        self._database.reopen_if_replaced()
        self._database.add_missing()
        self._database.import_kept()
        connection = self._database.connection
        _backoff(self._database.path)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except SQLITE_ERRORS as error:
            raise self._database.explained(error) from error
        self._began = time.monotonic()
        return Transaction(connection, self._who)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end(error)
        finally:
            now = time.monotonic()
            _writes[self._database.path] = now, now - self._began

    def _end(self, error: BaseException | None) -> None:
        connection = self._database.connection
        if error is not None:
            self._rollback(connection)
            if isinstance(error, SQLITE_ERRORS):
                raise self._database.explained(error) from error
            return
        deadline = time.monotonic() + self._database.timeout
        while True:
            try:
                connection.execute("COMMIT")
                return
            except sqlite3.OperationalError as failure:
                # A commit waits for readers to finish; the transaction is still whole and can be
                # committed again.
                busy = sqlite_library.fault_of(failure) == sqlite_library.BUSY
                if busy and connection.in_transaction and time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                self._rollback(connection)
                raise self._database.explained(failure) from failure
            except BaseException:
                self._rollback(connection)
                raise

    @staticmethod
    def _rollback(connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # the file is gone or the disk failed: the journal rolls it back at the next open


_writes: dict[str, tuple[float, float]] = {}
"""Of each file: when this process's last write ended (monotonic s), and for how long it held the lock."""

_BRIEF = 0.005
_SHARE = 0.1


def _backoff(path: str) -> None:
    """Leave the lock free for a moment if this process has only just let go of it.

    Who waits for it tries ten times a second (SQLite's own way): one who writes in a loop would give it
    back for microseconds only, and keep all others out for as long as the loop lasts. Left free for a tenth
    of the time, a lock is found so after ten tries or so. Brief writes leave as much by themselves.
    """
    ended, held = _writes.get(path, (0.0, 0.0))
    if held > _BRIEF and time.monotonic() - ended < held * _SHARE:
        time.sleep(held * _SHARE)


_LONGEST_PATH = 512 - len("-journal")
_ROOM = 1 << 20
"""Bytes that a write may well want to add."""

UNKNOWN = (-1, -1)


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode of a file; None if there is none, UNKNOWN if that cannot be told."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError:
        return UNKNOWN
    return status.st_dev, status.st_ino


def _obstacle(path: str) -> str:
    """What SQLite's error for a file that it cannot write or make does not tell; "" if nothing is found."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        room = os.statvfs(os.path.dirname(path) or ".")
        size = os.path.getsize(path) if os.path.exists(path) else 0
    except OSError:
        return ""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        return f"its path has more than {_LONGEST_PATH} bytes, SQLite's most: use a shorter one"
    if limit != resource.RLIM_INFINITY and size + _ROOM >= limit:
        return f"this process may write no file of more than {limit:,} bytes (raise that limit: ulimit -f)"
    if room.f_files and not room.f_favail:
        return "no inodes are left on its file system: remove files that are not needed"
    return ""


def _make(path: str) -> None:
    """Make an empty file with all the permissions that the umask leaves: SQLite's own are never a group's.

    Nothing is said of what fails: SQLite says it better.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except OSError:
        pass  # it is there, or cannot be made


def group_advice(path: str) -> str:
    """What the owner of a file that a group shares has to do, for one of the group; "" for others.

    SQLite makes its journal beside the file: the directory counts as well.
    """
    try:
        groups = {os.getegid(), *os.getgroups()}
        closed = [
            one
            for one in (os.path.dirname(path) or ".", path)
            if (status := os.stat(one)).st_uid != os.geteuid()
            and status.st_gid in groups
            and not status.st_mode & 0o020
        ]
    except OSError:
        return ""
    return f". Its owner lets the group write: chmod g+w {' '.join(closed)}" if closed else ""


def uri_of(path: str) -> str:
    """A path as a part of SQLite's URIs."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _what_it_is(connection: sqlite3.Connection, path: str) -> str:
    columns = {
        name
        for (name,) in connection.execute(
            "SELECT c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.name = 'job'"
        )
    }
    if {"BatchID", "JobIndex", "metadata", "md5"} <= columns:
        return f"{path} is a database of Paraschut 0.6. Take its jobs over with: paraschut import {path}"
    return f"{path} is an SQLite database, but not one of Paraschut's."
