"""Checks that everything a project needs works: one finding a check, none of them prints or mends."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .db import library
from .db.connection import SCHEMA_VERSION, Database, group_advice, mount_of, on_network
from .db.holders import described, holders
from .errors import LibraryError, ParaschutError
from .text import clean_line
from .workspace import Workspace, open_database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import Settings

OK, WARN, FAIL = "ok", "warn", "FAIL"

_RISKY_OPTIONS = ("nolock", "localflock", "local_lock=all", "local_lock=posix", "noflock")
"""Mount options with which hosts do not see each other's locks."""

_CLOCK_TOLERANCE = 5.0
_LITTLE_SPACE = 200 << 20
_LOCK_TEST_SECONDS = 30


class Finding(NamedTuple):
    """What one check found: its verdict, what was looked at, and one line about it."""

    verdict: str
    what: str
    detail: str


def examine(load: Callable[[], Settings], version: str) -> Iterator[Finding]:
    """All checks, each finding as soon as it is there.

    Args:
        load: reads the configuration (and raises ConfigError).
        version: Paraschut's own.
    """
    yield Finding(OK, "versions", _versions(version))
    try:
        library.check()
    except LibraryError as error:
        yield Finding(FAIL, "SQLite", str(error))
        return  # what SQLite would say of the file is worth nothing
    try:
        settings = load()
    except ParaschutError as error:
        yield Finding(FAIL, "configuration", str(error))
        yield from _terminal()
        return
    yield Finding(
        OK, "configuration", settings.config_file or f"no file; the database is {settings.database}"
    )
    for check in (_database, _file_system, _locks, _clock, _job_directory, _executor):
        try:
            yield from check(settings)
        except ParaschutError as error:
            yield Finding(FAIL, check.__name__.strip("_").replace("_", " "), str(error))
        except OSError as error:
            yield Finding(
                FAIL, check.__name__.strip("_").replace("_", " "), f"{error.filename}: {error.strerror}"
            )
    yield from _terminal()


def _versions(version: str) -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    return f"Paraschut {version}, Python {python}, SQLite {sqlite3.sqlite_version}"


# ------------------------------------------------------------------------------------ database


def _database(settings: Settings) -> Iterator[Finding]:
    with open_database(settings, read_only=True) as database:
        (jobs, batches), *_ = database.rows("SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM batch)")
        size = os.path.getsize(database.path)
        yield Finding(
            OK,
            "database",
            f"{database.path}: format {SCHEMA_VERSION}, {jobs:,} jobs in {batches:,} batches, {size:,} bytes",
        )
        whole = _integrity(database)
        yield whole
        if whole.verdict == FAIL:
            return  # of a damaged file nothing else that one reads is worth anything
        yield _contents(database)
        yield _journal(database, settings)
    yield _lock(database.path)
    if not os.access(settings.database, os.W_OK):
        yield Finding(
            FAIL,
            "database",
            f"no permission to write to {settings.database}: jobs cannot report"
            + group_advice(settings.database),
        )


def _integrity(database: Database) -> Finding:
    found = [row[0] for row in database.rows("PRAGMA integrity_check(3)")]
    if found == ["ok"]:
        return Finding(OK, "integrity", "the file is whole")
    return Finding(
        FAIL,
        "integrity",
        f"damaged: {clean_line('; '.join(found), 300)}. Save what is readable: paraschut recover FILE",
    )


def _contents(database: Database) -> Finding:
    """What SQLite cannot know: metadata that is readable, and counters that are right."""
    ((bad,),) = database.rows("SELECT count(*) FROM job WHERE NOT json_valid(metadata)")
    counted = database.rows(
        "SELECT BatchID, priority, state, count(*) FROM job GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    kept = database.rows("SELECT BatchID, priority, state, n FROM counter ORDER BY 1, 2, 3")
    if counted != kept:
        return Finding(
            FAIL,
            "contents",
            "the counters of the batches are wrong (was a trigger dropped?): paraschut recover FILE makes a "
            "file in which they are right",
        )
    if bad:
        example = database.rows("SELECT BatchID, JobIndex FROM job WHERE NOT json_valid(metadata) LIMIT 1")[0]
        return Finding(
            WARN, "contents", f"{bad} jobs have unreadable metadata, e.g. {example[0]}/{example[1]}"
        )
    return Finding(OK, "contents", "all metadata can be read, all counters are right")


_LOOKS = 10
_BETWEEN = 0.1


def _lock(path: str) -> Finding:
    """Whether one process keeps the file locked, so that no other can write."""
    if not os.access(path, os.W_OK):
        return Finding(OK, "lock", "not tried: you may not write to the file")
    keepers: set[int] = set()
    for look in range(_LOOKS):
        answer = try_to_write(path)  # in a process of its own: this one's locks would not keep it out
        if answer == "written":
            return Finding(OK, "lock", "the file can be written to now")
        if answer != "refused":
            return Finding(FAIL, "lock", clean_line(answer, 200))
        found = set(holders(path)) - {os.getpid()}
        keepers = keepers & found if look else found
        time.sleep(_BETWEEN)
    who = f"by {described(sorted(keepers))}" if keepers else "by a process of another host or container"
    return Finding(WARN, "lock", f"nobody can write to {path}: it stays locked {who}")


def _journal(database: Database, settings: Settings) -> Finding:
    ((mode,),) = database.rows("PRAGMA journal_mode")
    kind = mount_of(database.path)[1] or "an unknown file system"
    if on_network(database.path) and "wal" in (mode, settings.journal):
        return Finding(FAIL, "journal", f'WAL on {kind} corrupts the file: set journal = "delete"')
    return Finding(OK, "journal", f'{mode} (journal = "{settings.journal}")')


def _file_system(settings: Settings) -> Iterator[Finding]:
    for what, path in (("database", settings.database), ("job directory", settings.job_dir)):
        point, kind, options = mount_of(path)
        where = f"{what} on {kind or 'an unknown file system'} at {point or '?'}"
        risky = [name for name in _RISKY_OPTIONS if name in options.split(",")]
        if "ro" in options.split(","):
            yield Finding(FAIL, "file system", f"{where} is mounted read-only")
        elif risky:
            yield Finding(
                WARN,
                "file system",
                f"{where}, mounted {', '.join(risky)}: hosts do not see each other's locks",
            )
        else:
            yield Finding(OK, "file system", where + (", a network file system" if on_network(path) else ""))
        yield from _space(what, path)


def _space(what: str, path: str) -> Iterator[Finding]:
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    if os.path.isdir(folder):
        free = shutil.disk_usage(folder).free
        if free < _LITTLE_SPACE:
            yield Finding(WARN, "space", f"only {free >> 20:,} MB are free for the {what}")


# ------------------------------------------------------------------------------------ locks

_TRY_TO_WRITE = """\
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print("refused" if "locked" in str(error) else error)
else:
    print("written")
"""


class LockTest:
    """A small SQLite file that this process keeps locked; use as a context manager.

    `path` is the file. Others that try to write to it while it is held must be refused.
    """

    def __init__(self, folder: str) -> None:
        handle, self.path = tempfile.mkstemp(prefix=".paraschut-lock-", suffix=".db", dir=folder)
        os.close(handle)
        self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None)

    def __enter__(self) -> LockTest:
        self._connection.execute("CREATE TABLE test (x)")
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT INTO test VALUES (1)")
        return self

    def release(self) -> None:
        """Lets others write."""
        self._connection.execute("COMMIT")

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        for suffix in ("", "-journal"):
            try:
                os.unlink(self.path + suffix)
            except FileNotFoundError:
                pass  # SQLite removes its journal itself


def try_to_write(path: str) -> str:
    """What becomes of another process that wants to write: "refused", "written" or an error."""
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-c", _TRY_TO_WRITE, path],
            capture_output=True,
            text=True,
            timeout=_LOCK_TEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer for {_LOCK_TEST_SECONDS} s"
    return answer.stdout.strip() or answer.stderr.strip().rpartition("\n")[2]


def _locks(settings: Settings) -> Iterator[Finding]:
    folder = os.path.dirname(os.path.realpath(settings.database))  # where the file is, not a link to it
    try:
        with LockTest(folder) as test:
            held = try_to_write(test.path)
            test.release()
            free = try_to_write(test.path)
    except (sqlite3.Error, OSError) as error:
        yield Finding(FAIL, "locks", f"a test file in {folder} cannot be written: {error}")
        return
    if held == "refused" and free == "written":
        yield Finding(OK, "locks", f"in {folder} a second process has to wait for the first")
    elif held == "written":
        yield Finding(
            FAIL,
            "locks",
            f"{folder}: a second process could write while the first held the lock. This file system does "
            "not lock: jobs would destroy the database. Put it on another",
        )
    else:
        yield Finding(FAIL, "locks", f"{folder}: the test failed: {clean_line(f'{held}; then {free}', 200)}")


def _clock(settings: Settings) -> Iterator[Finding]:
    with open_database(settings, read_only=True) as database:
        newest = database.rows("SELECT changed_at, changed_by FROM job ORDER BY changed_at DESC LIMIT 1")
    if newest and newest[0][0] > time.time() + _CLOCK_TOLERANCE:
        ahead = newest[0][0] - time.time()
        yield Finding(
            WARN,
            "clock",
            f"the latest change, by {clean_line(newest[0][1], 80)}, is {ahead:.0f} s in the future: the "
            "clock of that host or of this one is wrong",
        )
    else:
        yield Finding(OK, "clock", "no change is from the future")


# ------------------------------------------------------------------------------------ job directory


def _job_directory(settings: Settings) -> Iterator[Finding]:
    path = settings.job_dir
    if not os.path.isdir(path):
        kind = "is not a directory" if os.path.lexists(path) else "does not exist; make it, or set job_dir"
        yield Finding(FAIL, "job directory", f"{path} {kind}")
        return
    if not os.access(path, os.W_OK | os.X_OK):
        yield Finding(FAIL, "job directory", f"no permission to write to {path}")
        return
    with tempfile.TemporaryFile(dir=path) as file:
        file.write(b"test")
    open_to_all = [folder for folder in _parents(path) if _others_can_write(folder)]
    if open_to_all:
        yield Finding(
            WARN,
            "job directory",
            f"everybody may write to {open_to_all[0]}, and so replace scripts that your jobs run: "
            f"chmod o-w {open_to_all[0]}",
        )
    else:
        yield Finding(OK, "job directory", f"{path} can be written, and not by everybody")


def _parents(path: str) -> Iterator[str]:
    path = os.path.realpath(path)
    while True:
        yield path
        if path == os.path.dirname(path):
            return
        path = os.path.dirname(path)


def _others_can_write(folder: str) -> bool:
    """Whether everybody may put or replace files there (in a sticky folder like /tmp: only their own)."""
    mode = os.stat(folder).st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


# ------------------------------------------------------------------------------------ executor


def _executor(settings: Settings) -> Iterator[Finding]:
    with Workspace(settings) as ws:
        executor = ws.executor
        name = executor.name
        if not executor.isconnected():
            yield Finding(FAIL, "executor", f"{name}: its commands are not here, or this is no submit host")
            return
        began = time.monotonic()
        jobs = executor.poll()
        took = time.monotonic() - began
        yield Finding(OK, "executor", f"{name} answers in {took:.2f} s; {len(jobs)} jobs of yours")
        # Executors of others need not have it.
        health = getattr(executor, "health", None)
        if callable(health):
            for line in str(health()).splitlines():
                yield Finding(OK, name, line)
        yield Finding(OK, name, f"jobs that one command may submit: {executor.chunk_limit():,}")


# ------------------------------------------------------------------------------------ terminal


def _terminal() -> Iterator[Finding]:
    term = os.environ.get("TERM", "")
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if not sys.stdout.isatty():
        yield Finding(OK, "terminal", "stdout is none: nothing to check")
        return
    troubles = []
    if term in ("", "dumb", "unknown"):
        troubles.append(
            f"TERM is {term!r}, so the dashboard cannot draw: set it, for example to xterm-256color"
        )
    if encoding != "utf8":
        troubles.append(f"its encoding is {encoding}, not UTF-8: set LANG, for example to C.UTF-8")
    size = shutil.get_terminal_size()
    if size.columns < 80 or size.lines < 24:
        troubles.append(f"it has {size.columns}x{size.lines} characters; the dashboard wants 80x24")
    for trouble in troubles:
        yield Finding(WARN, "terminal", trouble)
    if not troubles:
        colours = os.environ.get("COLORTERM") or ("256 colours" if "256" in term else "16 colours")
        yield Finding(OK, "terminal", f"{term}, {colours}, UTF-8, {size.columns}x{size.lines}")
