"""Copies the database while jobs write to it; and saves what is readable of a damaged one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..database import sqlite_library
from ..database.additions import created_by, known, statements
from ..database.connection import SQLITE_ERRORS, Database
from ..errors import DatabaseError, NotADatabaseError, UsageError
from ..paths import absolute

Progress = Callable[[int, int], None]

PAGES = 2_000
"""Pages copied between two reports of progress."""

# ------------------------------------------------------------------------------------ backup


def backup(database: Database, target: str, *, force: bool = False, progress: Progress | None = None) -> int:
    """Copy a database as of one moment; return the copy's size in bytes.

    The target is whole or not there at all. Jobs that want to write wait while it is copied.

    Args:
        database: opened for reading.
        target: a file; `force` lets it replace one that is there.
        progress: called with (pages done, pages in all).

    Raises:
        UsageError: the target cannot be written or must not be.
        DatabaseError: the database cannot be read.
    """
    target = absolute(os.path.expanduser(target))
    _check_target(target, database.path, force=force)
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        _copy(database, temporary, progress)
        os.chmod(temporary, os.stat(database.path).st_mode & 0o666)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
            size = file.seek(0, os.SEEK_END)
        os.replace(temporary, target)
    except OSError as error:
        raise UsageError(f"Cannot write {target}: {error.strerror}.") from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return size


def _check_target(target: str, source: str, *, force: bool) -> None:
    folder = os.path.dirname(target)
    if os.path.isdir(target):
        raise UsageError(f"{target} is a directory: name a file in it.")
    if not os.path.isdir(folder):
        raise UsageError(f"Cannot write {target}: there is no directory {folder}.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"Cannot write {target}: no permission to write to {folder}.")
    if os.path.lexists(target):
        if os.path.exists(target) and os.path.samefile(target, source):
            raise UsageError(f"{target} is the database itself: name another file.")
        if not force:
            raise UsageError(f"{target} is there already: name another file, or replace it with --force.")


def _copy(database: Database, target: str, progress: Progress | None) -> None:
    def tell(_: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    source = database.connection
    copy = sqlite3.connect(target, isolation_level=None)
    sqlite_library.tolerate(copy, True)
    try:
        # Within a transaction nothing changes what is read, so the copying never has to start again.
        source.execute("BEGIN")
        source.execute("SELECT rev FROM revision").fetchone()
        source.backup(copy, pages=PAGES, progress=tell)
        copy.execute("PRAGMA journal_mode = DELETE")
        (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        if sqlite_library.fault_of(error) == sqlite_library.FULL:
            raise UsageError(f"No space left for {target}.") from error
        raise database.explained(error) from error
    finally:
        copy.close()
        if source.in_transaction:
            source.execute("ROLLBACK")
    if verdict != "ok":
        raise DatabaseError(
            f"{database.path} is damaged ({verdict.splitlines()[0]}), so a copy of it would be too. Save "
            "what is readable with: paraschut recover FILE"
        )


# ------------------------------------------------------------------------------------ recover


class RecoveredTable(NamedTuple):
    """What came of one table: rows saved, rows that were read but could not be stored, and the gaps in
    what could be read ("between row 17 and row 40")."""

    table: str
    rows: int
    refused: int
    gaps: list[str]


# The index's tables without what is only kept for speed (counters, the scheduler's last answer).
_TABLES = ("batch", "job", "spawn", "ending", "event", "action")
_MOST_REVISIONS = 2**53
"""What no database gets to: a revision above it is damaged."""

_MOST_PROBES = 2_000_000
"""Most row numbers looked up one by one within a gap."""


def recover(path: str, target: str, progress: Progress | None = None) -> list[RecoveredTable]:
    """Put all rows of a damaged database that can be read into a new one.

    The damaged file is only copied (with its journal, whose unfinished write is undone in the copy), never
    opened as a database nor changed.

    Args:
        progress: called with (tables done, tables in all).

    Raises:
        UsageError: the target is there already or cannot be written, or there is no such database.
        NotADatabaseError: nothing of a Paraschut database can be found in it.
    """
    target = absolute(os.path.expanduser(target))
    if not os.path.isfile(path):
        raise UsageError(f"There is no database {path}.")
    _check_target(target, path, force=False)
    with tempfile.TemporaryDirectory(prefix=".paraschut-recover-", dir=os.path.dirname(target)) as folder:
        copy = _raw_copy(path, folder)
        new = os.path.join(folder, "new.db")
        saved = _save_all(copy, new, path, progress)
        os.replace(new, target)
    return saved


def _added() -> list[str]:
    """The tables that the format gained later; a file of an earlier version has none of them."""
    made = [created_by(text) for sql in known().values() for text in statements(sql)]
    return [name for kind, name in made if kind == "TABLE"]


def _order(new: sqlite3.Connection, table: str) -> str:
    """By what the rows of a table lie in the file."""
    key = [(place, name) for _, name, *_, place in new.execute(f"PRAGMA table_info({table})") if place]
    (sql,) = new.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return ", ".join(name for _, name in sorted(key)) if "WITHOUT ROWID" in sql else "rowid"


def _raw_copy(path: str, folder: str) -> str:
    copy = os.path.join(folder, os.path.basename(path))
    try:
        for suffix in ("", "-journal", "-wal"):
            if os.path.exists(path + suffix):
                shutil.copyfile(path + suffix, copy + suffix)
    except OSError as error:
        raise UsageError(f"Cannot copy {error.filename}: {error.strerror}.") from error
    return copy


def _save_all(copy: str, new: str, path: str, progress: Progress | None) -> list[RecoveredTable]:
    damaged = sqlite3.connect(copy, isolation_level=None)
    sqlite_library.tolerate(damaged, True)
    damaged.text_factory = lambda data: data.decode("utf-8", "replace")
    try:
        columns = _columns(damaged, path)
        with Database(new, create=True) as database, database.transaction() as tx:
            saved = []
            tables = (*_TABLES, *_added())
            for number, table in enumerate(tables):
                if progress is not None:
                    progress(number, len(tables))
                if table in columns:
                    saved.append(_save(damaged, tx.connection, table, columns[table]))
                elif table in _TABLES:
                    saved.append(RecoveredTable(table, 0, 0, ["all of it"]))
            _make_whole(tx.connection)
    finally:
        damaged.close()
    return saved


def _columns(damaged: sqlite3.Connection, path: str) -> dict[str, list[str]]:
    """The columns of the tables that are known to the damaged file."""
    try:
        found = {
            table: [name for _, name, *_ in damaged.execute(f"PRAGMA table_info({table})")]
            for table in (*_TABLES, *_added())
        }
    except SQLITE_ERRORS as error:
        raise NotADatabaseError(
            f"Nothing can be read of {path}: {error}. Its first page, which says where the tables are, is "
            "lost; take the last backup."
        ) from error
    found = {table: names for table, names in found.items() if names}
    if "job" not in found:
        raise NotADatabaseError(f"{path} has no table of jobs: it is no Paraschut database, or all is lost.")
    return found


def _save(
    damaged: sqlite3.Connection, new: sqlite3.Connection, table: str, names: list[str]
) -> RecoveredTable:
    known = [name for _, name, *_ in new.execute(f"PRAGMA table_info({table})")]
    names = [name for name in names if name in known]
    quoted = ", ".join(f'"{name}"' for name in names)
    insert = f"INSERT INTO {table} ({quoted}) VALUES ({', '.join('?' * len(names))})"
    rows = refused = 0
    gaps: list[str] = []
    key = _order(new, table)
    revision = names.index("rev") if "rev" in names else -1
    for row in _readable(damaged, table, quoted, key, gaps):
        try:
            new.execute(insert, row if revision < 0 else _with_revision(row, revision))
            rows += 1
        except (sqlite3.Error, UnicodeEncodeError):
            refused += 1  # twice there, or not what the table may hold: a row of rubbish
    return RecoveredTable(table, rows, refused, gaps)


def _with_revision(row: tuple[object, ...], place: int) -> tuple[object, ...]:
    """The row, with a revision that can be one: SQLite puts any text above all numbers."""
    found = row[place]
    if isinstance(found, int) and 0 <= found <= _MOST_REVISIONS:
        return row
    return (*row[:place], 0, *row[place + 1 :])


def _readable(
    damaged: sqlite3.Connection, table: str, columns: str, key: str, gaps: list[str]
) -> Iterator[tuple[object, ...]]:
    """All rows that can be read: from the beginning, from the end, and in between one by one."""
    select = f"SELECT {key}, {columns} FROM {table} NOT INDEXED"
    if key != "rowid":
        select = f"SELECT {columns} FROM {table}"
    width = 1 if key == "rowid" else 0
    first: list[int] = []
    whole = True
    try:
        for row in damaged.execute(f"{select} ORDER BY {key}"):
            if width:
                first[:] = [row[0]]
            yield row[width:]
    except SQLITE_ERRORS:
        whole = False
    if whole:
        return
    last: list[int] = []
    backwards: list[tuple[object, ...]] = []
    below = f" WHERE rowid > {first[0]}" if first else ""
    try:
        for row in damaged.execute(f"{select}{below} ORDER BY {key} DESC"):
            if width:
                last[:] = [row[0]]
            backwards.append(row[width:])
    except SQLITE_ERRORS:
        pass  # that end of the damage is as far as one gets from there
    yield from backwards
    after = f"after row {first[0]}" if first else "from its beginning"
    until = f"to before row {last[0]}" if last else "to its end"
    if not width or not last:
        gaps.append(f"{after} {until}" if width else "a part of it")
        return
    yield from _between(damaged, select, (first[0] if first else 0) + 1, last[0], gaps)


def _between(
    damaged: sqlite3.Connection, select: str, start: int, stop: int, gaps: list[str]
) -> Iterator[tuple[object, ...]]:
    """Row by row what lies between the readable ends."""
    if stop - start > _MOST_PROBES:
        gaps.append(f"rows {start} to {stop - 1}")
        return
    lost: list[int] = []
    for number in range(start, stop):
        try:
            row = damaged.execute(f"{select} WHERE rowid = ?", (number,)).fetchone()
        except SQLITE_ERRORS:
            lost.append(number)
            continue
        if row is not None:
            yield row[1:]
    if lost:
        gaps.append(f"rows {lost[0]} to {lost[-1]} ({len(lost)} unreadable)")


def _make_whole(new: sqlite3.Connection) -> None:
    """What other rows need to be of use: batches for all jobs, and the revision above all of them."""
    new.execute(
        "INSERT INTO batch SELECT BatchID, coalesce(max(CASE WHEN json_valid(metadata) THEN"
        " CASE json_type(metadata, '$.name') WHEN 'array' THEN (SELECT group_concat(value, '/') FROM"
        " json_each(metadata, '$.name')) ELSE json_extract(metadata, '$.name') END END), 'recovered'),"
        " coalesce(max(CASE WHEN json_valid(metadata) THEN json_extract(metadata, '$.batch_type') END), ''),"
        " min(changed_at), 'paraschut recover', max(rev) FROM job"
        " WHERE BatchID NOT IN (SELECT BatchID FROM batch) GROUP BY BatchID"
    )
    highest = (
        new.execute(f"SELECT coalesce(max(rev), 0) FROM {table}").fetchone()[0]
        for table in ("batch", "job", "spawn", "ending", "event")
    )
    new.execute("UPDATE revision SET rev = 1 + ?", (max(highest),))
