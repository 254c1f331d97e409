"""Reads a database of Paraschut 0.6, row by row, and leaves it as it is."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple

from ..database import sqlite_library
from ..database.connection import APPLICATION_ID, BUSY_TIMEOUT, Row
from ..database.metadata_json import decode, encode
from ..errors import DatabaseBusyError, DatabaseError, MetadataError, NotADatabaseError
from ..model import JobInfo, JobKey, Spawn, name_text
from ..paths import absolute
from ..sanitize import clean_line
from .safe_unpickle import unpack

RESERVED = ("rev", "attempt", "token", "unreadable")
"""Fields that now have a meaning of their own: a user's field of that name gets a `_` at its end."""

MOST_TEXT = 64 << 20
"""Most of one job's metadata, as `metadata_json.encode` counts it."""

# What a value raises that hostile bytes left half made, when it is looked at.
_OF_BAD_VALUES = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, MemoryError)

_COLUMNS = {
    "batch": ("BatchID", "name", "batch_type"),
    "job": ("BatchID", "JobIndex", "state", "priority", "metadata", "md5"),
    "spawn": ("BatchID", "JobIndex", "SpawnID", "ClusterID", "stdout", "stderr", "spawn_state"),
}


class LegacyBatch(NamedTuple):
    """A batch. `notes` say what is different from what the row says."""

    batch_id: int
    name: str
    batch_type: str
    notes: list[str]


class LegacyJob(NamedTuple):
    """A job and all its metadata, as our own database will give it back.

    Its `md5` is left out. `notes` name each field that changed its form or was not as it should be.
    """

    key: JobKey
    info: JobInfo
    notes: list[str]


class LegacySpawn(NamedTuple):
    """One process of a spawn job."""

    key: JobKey
    spawn: Spawn
    notes: list[str]


class LegacyError(NamedTuple):
    """A row that cannot be taken over: which ("job row 17 (20210101120000/3)"), and why."""

    row: str
    message: str


def read_legacy(path: str | os.PathLike[str]) -> LegacyDatabase:
    """Open a v0.6 database for reading.

    Raises:
        DatabaseError: the file is not there, not readable or damaged.
        NotADatabaseError: it is something else than a v0.6 database.
    """
    return LegacyDatabase(path)


class LegacyDatabase:
    """A v0.6 database, held still (its writers wait) until it is closed.

    A row that cannot be read is given as a LegacyError, and the others go on.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = absolute(path)
        if not os.path.isfile(self.path):
            raise DatabaseError(f"There is no database {self.path}.")
        self._connection = self._open()
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> LegacyDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def job_count(self) -> int:
        """Rows of jobs, readable or not. Raises DatabaseError."""
        try:
            (count,) = self._connection.execute("SELECT count(*) FROM job").fetchone()
        except sqlite3.Error as error:
            raise self._explained(error) from error
        return int(count)

    # ------------------------------------------------------------------ opening

    def _open(self) -> sqlite3.Connection:
        uri = "file:" + urllib.parse.quote(os.fsencode(self.path)) + "?mode=ro"
        try:
            return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _check(self) -> None:
        """Return whether the tables are v0.6's; and the lock that keeps them as they are."""
        execute = self._connection.execute
        try:
            execute("BEGIN")
            (application,) = execute("PRAGMA application_id").fetchone()
            missing = [
                f"{table}.{column}"
                for table, columns in _COLUMNS.items()
                for column in set(columns) - {name for _, name, *_ in execute(f"PRAGMA table_info({table})")}
            ]
            # A view, or a table of an extension, may have no end. None of v0.6's is one.
            views = {
                name
                for name, kind, sql in execute("SELECT name, type, sql FROM sqlite_master").fetchall()
                if name in _COLUMNS
                and (kind != "table" or str(sql).upper().lstrip().startswith("CREATE VIRT"))
            }
        except sqlite3.Error as error:
            raise self._explained(error) from error
        if application == APPLICATION_ID:
            raise NotADatabaseError(
                f"{self.path} is a database of this Paraschut, not of version 0.6: use it as it is, with "
                f"--db {self.path}"
            )
        if views:
            raise NotADatabaseError(
                f"{self.path} is not a database of Paraschut 0.6: {', '.join(sorted(views)[:3])} is no "
                "table in it but something that is computed, perhaps without end."
            )
        if missing:
            raise NotADatabaseError(
                f"{self.path} is not a database of Paraschut 0.6: it has no {', '.join(sorted(missing)[:3])}."
            )

    def _explained(self, error: sqlite3.Error) -> DatabaseError:
        text, fault = str(error), sqlite_library.fault_of(error)
        if fault == sqlite_library.NOT_A_DATABASE:
            return NotADatabaseError(f"{self.path} is not an SQLite database.")
        if fault == sqlite_library.BUSY:
            return DatabaseBusyError(
                f"{self.path} stayed locked by another process. Stop v0.6's programs, then try again."
            )
        if fault in (sqlite_library.READ_ONLY, sqlite_library.CANNOT_OPEN):
            return DatabaseError(
                f"{self.path} cannot be opened for reading ({text}). Look at its permissions. If there is "
                f"a {os.path.basename(self.path)}-journal beside it, a crash left a write unfinished: "
                "open the file once with v0.6 or with sqlite3 to have that undone."
            )
        return DatabaseError(f"{self.path}: {text}")

    # ------------------------------------------------------------------ rows

    def _numbers(self, table: str) -> tuple[list[int], LegacyError | None]:
        """The numbers of a table's rows, and what ended their list before its end."""
        numbers: list[int] = []
        try:
            for (number,) in self._connection.execute(f"SELECT rowid FROM {table} ORDER BY rowid"):
                numbers.append(number)
        except sqlite3.Error as error:
            last = f"after row {numbers[-1]}" if numbers else "from its beginning"
            return numbers, LegacyError(f"table {table}", f"cannot be read {last}: {error}")
        return numbers, None

    def _rows(self, table: str, numbers: list[int] | None = None) -> Iterator[tuple[int, Row] | LegacyError]:
        """Each row with its number. They are fetched one by one: a damaged one does not end the reading."""
        end: LegacyError | None = None
        if numbers is None:
            numbers, end = self._numbers(table)
        columns = ", ".join(_COLUMNS[table])
        for number in numbers:
            try:
                row = self._connection.execute(
                    f"SELECT {columns} FROM {table} WHERE rowid = ?", (number,)
                ).fetchone()
            except sqlite3.Error as error:
                yield LegacyError(f"{table} row {number}", clean_line(error, 200))
            else:
                yield number, row
        if end is not None:
            yield end

    def batches(self) -> Iterator[LegacyBatch | LegacyError]:
        """The batches; also those that have jobs but no row of their own, as v0.6 sometimes leaves them."""
        known: set[int] = set()
        for entry in self._rows("batch"):
            if isinstance(entry, LegacyError):
                yield entry
                continue
            number, (batch_id, name, batch_type) = entry
            wrong = _wrong(BatchID=(batch_id, int), name=(name, str), batch_type=(batch_type, str))
            if wrong:
                yield LegacyError(f"batch row {number}", wrong)
            else:
                known.add(batch_id)
                yield LegacyBatch(batch_id, name, batch_type, [])
        yield from self._unlisted_batches(known)

    def _unlisted_batches(self, known: set[int]) -> Iterator[LegacyBatch]:
        for batch_id, numbers in self._jobs_of_others(known).items():
            for entry in self._rows("job", numbers):
                job = entry if isinstance(entry, LegacyError) else _job(*entry)
                if isinstance(job, LegacyError):
                    continue  # jobs() reports it
                note = f"batch {batch_id} has no row of its own that can be read: named as job {job.key} says"
                name, batch_type = name_text(job.info.get("name", "")), str(job.info.get("batch_type", ""))
                yield LegacyBatch(batch_id, name, batch_type, [note])
                break

    def _jobs_of_others(self, known: set[int]) -> dict[int, list[int]]:
        """The row numbers of jobs whose batch is not among `known`, by batch."""
        others: dict[int, list[int]] = {}
        try:
            for number, batch_id in self._connection.execute("SELECT rowid, BatchID FROM job ORDER BY rowid"):
                if batch_id not in known:
                    others.setdefault(batch_id, []).append(number)
        except sqlite3.Error:
            pass  # jobs() reports it
        return others

    def jobs(self) -> Iterator[LegacyJob | LegacyError]:
        """The jobs in the order of their rows.

        Where BatchID, JobIndex, state or priority differ between a row's columns and its metadata, the
        columns count (v0.6 looks for jobs by them), and a note says so. Of two jobs with one number the
        first counts.
        """
        seen: dict[JobKey, int] = {}
        for entry in self._rows("job"):
            if isinstance(entry, LegacyError):
                yield entry
                continue
            number, row = entry
            job = _job(number, row)
            if isinstance(job, LegacyJob):
                first = seen.setdefault(job.key, number)
                if first != number:
                    yield LegacyError(
                        f"job row {number} ({job.key})", f"has the number of another job, in row {first}"
                    )
                    continue
            yield job

    def spawns(self) -> Iterator[LegacySpawn | LegacyError]:
        """The processes of spawn jobs, in the order of their rows.

        v0.6 gives a SpawnID twice when the numbers before it have a gap: the second gets a free one, and a
        note says so.
        """
        rows: list[tuple[int, Row]] = []
        free: dict[JobKey, int] = {}
        for entry in self._rows("spawn"):
            if isinstance(entry, LegacyError):
                yield entry
                continue
            number, row = entry
            wrong = _wrong(
                **{name: (value, int) for name, value in zip(_COLUMNS["spawn"][:3], row[:3], strict=True)},
                **{name: (value, str) for name, value in zip(_COLUMNS["spawn"][3:], row[3:], strict=True)},
            )
            if wrong:
                yield LegacyError(f"spawn row {number}", wrong)
                continue
            rows.append(entry)
            key = JobKey(row[0], row[1])
            free[key] = max(free.get(key, 0), row[2] + 1)
        seen: set[tuple[JobKey, int]] = set()
        for _, (batch_id, index, spawn_id, cluster_id, stdout, stderr, state) in rows:
            key, notes = JobKey(batch_id, index), []
            if (key, spawn_id) in seen:
                notes = [f"SpawnID: {spawn_id} was given twice; this one became {free[key]}"]
                spawn_id = free[key]
                free[key] += 1
            seen.add((key, spawn_id))
            yield LegacySpawn(key, Spawn(spawn_id, cluster_id or None, state, stdout, stderr), notes)


# --------------------------------------------------------------------------- one job


def _wrong(**columns: tuple[object, type]) -> str:
    """What is wrong with columns that should hold values of certain types; '' if nothing."""
    for name, (value, kind) in columns.items():
        if type(value) is not kind:
            wanted = "a whole number" if kind is int else "text"
            return f"its {name} is {clean_line(ascii(value), 40)}, not {wanted}"
    return ""


def _job(number: int, row: Row) -> LegacyJob | LegacyError:
    """The job of a row."""
    batch_id, index, state, priority, blob, md5 = row
    name = f"job row {number} ({clean_line(batch_id, 20)}/{clean_line(index, 20)})"
    wrong = _wrong(BatchID=(batch_id, int), JobIndex=(index, int), state=(state, str))
    if not wrong and type(priority) not in (int, float):
        wrong = f"its priority is {clean_line(ascii(priority), 40)}, not a number"
    if not wrong and type(blob) is not bytes:
        wrong = "its metadata are not packed as v0.6 packs them"
    if wrong:
        return LegacyError(name, wrong)
    damaged = hashlib.md5(blob, usedforsecurity=False).hexdigest() != md5
    try:
        info, notes = _info(blob)
    except (MetadataError, *_OF_BAD_VALUES) as error:
        checksum = " (and its checksum is wrong)" if damaged else ""
        return LegacyError(name, f"its metadata cannot be taken over{checksum}: {clean_line(error, 300)}")
    if damaged:
        notes.append("md5: the checksum is wrong, but the metadata can be read; look whether they are right")
    columns = {"BatchID": batch_id, "JobIndex": index, "state": state, "priority": priority}
    notes += _settle(info, columns)
    return LegacyJob(JobKey(batch_id, index), info, notes)


def _info(blob: bytes) -> tuple[JobInfo, list[str]]:
    """The metadata as they will be stored, and what changed its form. Raises MetadataError."""
    packed = unpack(blob)
    if type(packed) is not dict:
        raise MetadataError(f"a {type(packed).__name__}, not a dict")
    packed.pop("md5", None)  # of what was packed; nothing of the job
    text, conversions = encode(packed, most=MOST_TEXT)
    info = decode(text)
    notes = [str(conversion) for conversion in conversions]
    for field in RESERVED:
        if field in info:
            new = field + "_"
            while new in info:
                new += "_"
            # In its old place: the order of the fields is the user's.
            info = {new if name == field else name: value for name, value in info.items()}
            notes.append(f"{field}: renamed to {new}, as Paraschut has a field {field} of its own")
    return info, notes


def _settle(info: JobInfo, columns: dict[str, object]) -> list[str]:
    """Make the metadata say what the row's columns say; return a note for each difference."""
    notes = []
    for field, value in columns.items():
        found = info.get(field)
        if type(found) in (int, float, str) and found == value:
            continue
        before = "missing" if field not in info else clean_line(ascii(found), 40)
        notes.append(f"{field}: {before} in the metadata, {value!r} in its column, which counts")
        info[field] = value
    return notes
