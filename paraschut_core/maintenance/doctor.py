"""Checks that everything a project needs works: one finding a check, none of them prints or mends."""

from __future__ import annotations

import grp
import os
import shlex
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..database import sqlite_library
from ..database.connection import SCHEMA_VERSION, Database, group_advice, mount_of, on_network
from ..database.kept_endings import REFUSED, folder_of
from ..database.lock_holders import described, holders
from ..database.odd_values import find_odd
from ..database.orphans import orphan_words, read_orphans
from ..errors import LibraryError, ParaschutError, UntrustedError
from ..executors.base import JobExecutor
from ..executors.batch.base import BatchExecutor
from ..executors.local import LocalJobExecutor
from ..identity import queue_name, user_folder, user_name
from ..model import ONLINE_STATES
from ..monitoring.polling import notice
from ..paths import current_umask
from ..project import Project, open_database
from ..sanitize import clean_line, plural
from ..security.ownership import enter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config import Settings

OK, WARN, FAIL = "ok", "warn", "FAIL"

_RISKY_OPTIONS = ("nolock", "localflock", "local_lock=all", "local_lock=posix", "noflock")
"""Mount options with which hosts do not see each other's locks."""

_CLOCK_TOLERANCE = 5.0
_LITTLE_SPACE = 200 << 20
_LOCK_TEST_SECONDS = 30


class CheckResult(NamedTuple):
    """What one check found: its verdict, what was looked at, and one line about it."""

    verdict: str
    what: str
    detail: str


def ok(what: str, detail: str) -> CheckResult:
    return CheckResult(OK, what, detail)


def warn(what: str, detail: str) -> CheckResult:
    return CheckResult(WARN, what, detail)


def fail(what: str, detail: str) -> CheckResult:
    return CheckResult(FAIL, what, detail)


def examine(load: Callable[[], Settings], version: str) -> Iterator[CheckResult]:
    """All checks, each finding as soon as it is there.

    Args:
        load: reads the configuration (and raises ConfigError).
        version: Paraschut's own.
    """
    yield ok("versions", _versions(version))
    try:
        sqlite_library.check()
    except LibraryError as error:
        yield fail("SQLite", str(error))
        return  # what SQLite would say of the file is worth nothing
    try:
        settings = load()
    except ParaschutError as error:
        yield fail("configuration", str(error))
        yield from _terminal()
        return
    yield ok("configuration", settings.config_file or f"no file; the database is {settings.database}")
    for what, check in _CHECKS:
        try:
            yield from check(settings)
        except ParaschutError as error:
            yield fail(what, str(error))
        except OSError as error:
            yield fail(what, f"{error.filename}: {error.strerror}")
    yield from _terminal()


def _versions(version: str) -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    return f"Paraschut {version}, Python {python}, SQLite {sqlite3.sqlite_version}"


# ------------------------------------------------------------------------------------ database


def _database(settings: Settings) -> Iterator[CheckResult]:
    with open_database(settings, read_only=True) as database:
        (jobs, batches), *_ = database.rows("SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM batch)")
        size = os.path.getsize(database.path)
        yield ok(
            "database",
            f"{database.path}: format {SCHEMA_VERSION}, {plural(jobs, 'job')} in "
            f"{plural(batches, 'batch', 'batches')}, {size:,} bytes",
        )
        whole = _integrity(database)
        yield whole
        if whole.verdict == FAIL:
            return  # of a damaged file nothing else that one reads is worth anything
        yield _contents(database)
        yield from _odd_rows(database)
        if words := orphan_words(read_orphans(database)):
            yield warn("removed batches", clean_line(words, 400))
        yield _journal(database, settings)
    yield _lock(database.path)
    if os.access(settings.database, os.W_OK):
        return
    if _only_looks(settings):
        detail = "you may read it but not write to it, which is all that [dashboard] read_only needs"
        yield ok("database", detail)
    else:
        yield fail(
            "database",
            f"no permission to write to {settings.database}: your jobs cannot report"
            f"{group_advice(settings.database)}. To look at the jobs of others is possible: set "
            "[dashboard] read_only = true",
        )


def _only_looks(settings: Settings) -> bool:
    """Return whether this user may not write to the database, and need not."""
    return settings.dashboard.read_only and not os.access(settings.database, os.W_OK)


_LOOKS_ONLY = "not tried: you may only look at this project"


def _integrity(database: Database) -> CheckResult:
    found = [row[0] for row in database.rows("PRAGMA integrity_check(3)")]
    if found == ["ok"]:
        return ok("integrity", "the file is whole")
    return fail(
        "integrity",
        f"damaged: {clean_line('; '.join(found), 300)}. Save what is readable: paraschut recover FILE",
    )


def _contents(database: Database) -> CheckResult:
    """What SQLite cannot know: metadata that is readable, and counters that are right."""
    ((bad,),) = database.rows("SELECT count(*) FROM job WHERE NOT json_valid(metadata)")
    counted = database.rows(
        "SELECT BatchID, priority, state, count(*) FROM job GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    kept = database.rows("SELECT BatchID, priority, state, n FROM counter ORDER BY 1, 2, 3")
    if counted != kept:
        return fail(
            "contents",
            "the counters of the batches are wrong (was a trigger dropped?): paraschut recover FILE makes a "
            "file in which they are right",
        )
    if bad:
        example = database.rows("SELECT BatchID, JobIndex FROM job WHERE NOT json_valid(metadata) LIMIT 1")[0]
        return warn(
            "contents", f"{plural(bad, 'job')} with unreadable metadata, e.g. {example[0]}/{example[1]}"
        )
    return ok("contents", "all metadata can be read, all counters are right")


def _odd_rows(database: Database) -> Iterator[CheckResult]:
    """Rows that somebody's own SQL left with values that nothing can be done with."""
    odd = find_odd(database, _MOST_ODD + 1)
    for batch_id, index, words in odd[:_MOST_ODD]:
        where = clean_line(f"{batch_id}/{index}", 80)
        advice = f": paraschut set {where.replace('/', ' ')} priority=1" if "priority" in words else ""
        yield warn("contents", f"job {where}: {words}{advice}")
    if len(odd) > _MOST_ODD:
        yield warn("contents", "and more jobs like these")
    numbers = database.rows("SELECT rev FROM revision")
    if len(numbers) != 1 or not isinstance(numbers[0][0], int):
        words = "is empty" if not numbers else "does not hold one number"
        yield warn("contents", f"the table revision {words}: the next write mends that")


_MOST_ODD = 5
_LOOKS = 10
_BETWEEN = 0.1


def _lock(path: str) -> CheckResult:
    """Return whether one process keeps the file locked, so that no other can write."""
    if not os.access(path, os.W_OK):
        return ok("lock", "not tried: you may not write to the file")
    keepers: set[int] = set()
    for look in range(_LOOKS):
        answer = try_to_write(path)  # in a process of its own: this one's locks would not keep it out
        if answer == "written":
            return ok("lock", "the file can be written to now")
        if answer != "refused":
            return fail("lock", clean_line(answer, 200))
        found = set(holders(path)) - {os.getpid()}
        keepers = keepers & found if look else found
        time.sleep(_BETWEEN)
    who = f"by {described(sorted(keepers))}" if keepers else "by a process of another host or container"
    return warn("lock", f"nobody can write to {path}: it stays locked {who}")


def _journal(database: Database, settings: Settings) -> CheckResult:
    ((mode,),) = database.rows("PRAGMA journal_mode")
    kind = mount_of(database.path)[1] or "an unknown file system"
    if on_network(database.path) and "wal" in (mode, settings.journal):
        return fail("journal", f'WAL on {kind} corrupts the file: set journal = "delete"')
    return ok("journal", f'{mode} (journal = "{settings.journal}")')


def _file_system(settings: Settings) -> Iterator[CheckResult]:
    for what, path in (("database", settings.database), ("job directory", settings.job_dir)):
        point, kind, options = mount_of(path)
        where = f"{what} on {kind or 'an unknown file system'} at {point or '?'}"
        risky = [name for name in _RISKY_OPTIONS if name in options.split(",")]
        if "ro" in options.split(","):
            yield fail("file system", f"{where} is mounted read-only")
        elif risky:
            yield warn(
                "file system", f"{where}, mounted {', '.join(risky)}: hosts do not see each other's locks"
            )
        else:
            yield ok("file system", where + (", a network file system" if on_network(path) else ""))
        yield from _space(what, path)


def _space(what: str, path: str) -> Iterator[CheckResult]:
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    if os.path.isdir(folder):
        free = shutil.disk_usage(folder).free
        if free < _LITTLE_SPACE:
            yield warn("space", f"only {free >> 20:,} MB are free for the {what}")


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
        """Let others write."""
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


def _locks(settings: Settings) -> Iterator[CheckResult]:
    if _only_looks(settings):
        yield ok("locks", _LOOKS_ONLY)
        return
    folder = os.path.dirname(os.path.realpath(settings.database))  # where the file is, not a link to it
    try:
        with LockTest(folder) as test:
            held = try_to_write(test.path)
            test.release()
            free = try_to_write(test.path)
    except (sqlite3.Error, OSError) as error:
        yield fail("locks", f"a test file in {folder} cannot be written: {error}")
        return
    if held == "refused" and free == "written":
        yield ok("locks", f"in {folder} a second process has to wait for the first")
    elif held == "written":
        yield fail(
            "locks",
            f"{folder}: a second process could write while the first held the lock. This file system does "
            "not lock: jobs would destroy the database. Put it on another",
        )
    else:
        yield fail("locks", f"{folder}: the test failed: {clean_line(f'{held}; then {free}', 200)}")


def _clock(settings: Settings) -> Iterator[CheckResult]:
    with open_database(settings, read_only=True) as database:
        newest = database.rows(
            "SELECT changed_at, changed_by FROM job WHERE typeof(changed_at) IN ('integer', 'real')"
            " ORDER BY changed_at DESC LIMIT 1"
        )
    at, by = newest[0] if newest else (0.0, "")
    if at > time.time() + _CLOCK_TOLERANCE:
        ahead = at - time.time()
        yield warn(
            "clock",
            f"the latest change, by {clean_line(by, 80)}, is {ahead:.0f} s in the future: the "
            "clock of that host or of this one is wrong",
        )
    else:
        yield ok("clock", "clocks agree")


# ------------------------------------------------------------------------------------ job directory


def _job_directory(settings: Settings) -> Iterator[CheckResult]:
    path = settings.job_dir
    if not os.path.isdir(path):
        kind = "is not a directory" if os.path.lexists(path) else "does not exist; make it, or set job_dir"
        yield fail("job directory", f"{path} {kind}")
        return
    if _only_looks(settings):
        yield ok("job directory", _LOOKS_ONLY)
        return
    if not os.access(path, os.W_OK | os.X_OK):
        yield fail("job directory", f"no permission to write to {path}")
        return
    with tempfile.TemporaryFile(dir=path) as file:
        file.write(b"test")
    open_to_all = [folder for folder in _parents(path) if _others_can_write(folder)]
    if open_to_all:
        yield warn(
            "job directory",
            f"everybody may write to {open_to_all[0]}, and so replace scripts that your jobs run: "
            f"chmod o-w {open_to_all[0]}",
        )
    else:
        yield ok("job directory", f"{path} can be written, and not by everybody")


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


# ------------------------------------------------------------------------------------ sharing


def _sharing(settings: Settings) -> Iterator[CheckResult]:
    """Who may do what with the project's files: a group that shares it, and this user's own folders."""
    path = os.path.realpath(settings.database)
    status, folder = os.stat(path), os.stat(os.path.dirname(path))
    group = _group(folder)
    if group and folder.st_mode & stat.S_IWGRP:
        files = [path, *filter(None, [settings.config_file])]
        closed = [one for one in files if not os.stat(one).st_mode & stat.S_IWGRP]
        if closed:
            yield warn(
                "sharing",
                f"the group {group} may write to {os.path.dirname(path)}, but not to {' and '.join(closed)}: "
                f"chmod g+w {shlex.join(closed)}",
            )
        elif (mask := current_umask()) & stat.S_IWGRP:
            yield warn(
                "sharing",
                f"the group {group} shares this project, but cannot write to what you make in it: your umask "
                f"is {mask:03o}. Set it before you work here: umask 002",
            )
        else:
            yield ok("sharing", f"the group {group} may write to the database")
    else:
        writers = "everybody" if status.st_mode & stat.S_IWOTH else f"{user_name(status.st_uid)} alone"
        readers = ", everybody may read it" if status.st_mode & stat.S_IROTH else ""
        yield ok("sharing", f"{writers} may write to the database{readers}")
    yield from _own_folders(settings)


def _group(status: os.stat_result) -> str:
    """The group of a folder; '' if it is the owner's private one."""
    try:
        name = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        name = str(status.st_gid)
    return "" if name == user_name(status.st_uid) else clean_line(name, 80)


def _own_folders(settings: Settings) -> Iterator[CheckResult]:
    """Whether this user's queues, scripts and records are of use: nobody else may be able to change them."""
    base = os.path.join(settings.job_dir, ".paraschut")
    for kind in _listed(base):
        for name in _listed(os.path.join(base, kind)):
            if name == user_folder() or name.startswith(f"{user_folder()}@"):
                try:
                    os.close(enter(os.path.join(base, kind, name)))
                except UntrustedError as error:
                    yield fail("sharing", str(error))


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _kept_results(settings: Settings) -> Iterator[CheckResult]:
    """The ends of jobs that the database could not take when they ended."""
    folder = folder_of(settings.database)
    names = _listed(folder)
    waiting = sum(name.endswith(".json") for name in names)
    refused = sum(name.endswith(REFUSED) for name in names)
    if waiting:
        yield warn(
            "kept results", f"{waiting} in {folder} wait to be taken into the database: paraschut submit"
        )
    if refused:
        yield warn(
            "kept results",
            f"{refused} in {folder} came too late: their jobs were reset, submitted again or removed "
            f"meanwhile. Remove *{REFUSED} there when you do not need them",
        )


# ------------------------------------------------------------------------------------ executor


def _executor(settings: Settings) -> Iterator[CheckResult]:
    with Project(settings) as ws:
        executor = ws.executor
        name = executor.name
        if not executor.isconnected() and _only_looks(settings):
            yield ok("executor", f"{name}: {_LOOKS_ONLY}")
            return
        if not executor.isconnected():
            yield fail("executor", f"{name}: its commands are not here, or this is no submit host")
            return
        began = time.monotonic()
        jobs = executor.poll()
        took = time.monotonic() - began
        yield ok("executor", f"{name} answers in {took:.2f} s; {plural(len(jobs), 'job')} of yours")
        # Executors of others need not have it.
        health = getattr(executor, "health", None)
        if callable(health):
            for line in str(health()).splitlines():
                yield ok(name, line)
        yield ok(name, f"jobs that one command may submit: {executor.max_batch_size():,}")
        yield from _queues(ws)
        if waits := notice(ws):
            yield warn(name, waits)


def _queues(ws: Project) -> Iterator[CheckResult]:
    """The queue that jobs are noted with, and the jobs that went to another."""
    own = queue_name(ws.executor.backend_id)
    user = "" if own.uid is None else f" of {user_name(own.uid)} (uid {own.uid})"
    yield ok("queue", f"jobs are noted with {clean_line(own.shown, 200)}{user}")
    if isinstance(ws.executor, BatchExecutor) and not own.place:
        yield warn(
            "queue", f"{own.kind} does not name its cluster: jobs of two clusters cannot be told apart here"
        )
    states = sorted(ONLINE_STATES)
    noted = ws.reader.rows(
        "SELECT executor, count(*) FROM job WHERE executor IS NOT NULL AND state IN (?, ?, ?)"
        " GROUP BY executor ORDER BY executor",
        states,
    )
    for text, count in noted:
        finding = _about_queue(ws.executor, text)
        if finding is not None:
            verdict, words = finding
            yield CheckResult(verdict, "queue", f"{plural(count, 'job')} {words}")


def _about_queue(executor: JobExecutor, noted: str) -> tuple[str, str] | None:
    """What is to be said of the jobs that were submitted to the queue `noted`: how bad it is, and words."""
    name = queue_name(noted)
    shown = clean_line(name.shown, 200)
    if not executor.owns(noted):
        whose = "" if name.is_mine else f" of {user_name(name.uid)}"
        return OK, (
            f"elsewhere, in {shown}{whose}: only from there can one tell. If that is gone for good: "
            "paraschut reset BATCH --force"
        )
    if isinstance(executor, LocalJobExecutor) and executor.went_with_container(noted):
        return WARN, (
            f"submitted to {shown}, and that container is gone with them: paraschut resubmit --missing"
        )
    if isinstance(executor, LocalJobExecutor) and executor.was_deleted(noted):
        return WARN, (
            f"submitted to {shown}, which was deleted: they are missing once their processes have "
            "ended; then: paraschut resubmit --missing"
        )
    return None


_CHECKS: tuple[tuple[str, Callable[[Settings], Iterator[CheckResult]]], ...] = (
    ("database", _database),
    ("file system", _file_system),
    ("locks", _locks),
    ("clock", _clock),
    ("job directory", _job_directory),
    ("sharing", _sharing),
    ("kept results", _kept_results),
    ("executor", _executor),
)
"""The checks that need a configuration, in order, each with what it is about where it cannot be done."""


# ------------------------------------------------------------------------------------ terminal


def _terminal() -> Iterator[CheckResult]:
    term = os.environ.get("TERM", "")
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if not sys.stdout.isatty():
        yield ok("terminal", "not a terminal; skipped")
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
        yield warn("terminal", trouble)
    if not troubles:
        colours = os.environ.get("COLORTERM") or ("256 colours" if "256" in term else "16 colours")
        yield ok("terminal", f"{term}, {colours}, UTF-8, {size.columns}x{size.lines}")
