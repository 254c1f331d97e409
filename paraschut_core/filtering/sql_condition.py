"""A user's SQL condition over the jobs, made safe: it can only be read with, and only for so long.

A condition is what SQLite takes after WHERE, over the columns of `job_view`:

    name LIKE "%Ingolia_2009%" AND BatchID > 20210101000000 AND batch_type=="ribo"
    json_extract(metadata, '$.result') > 3

As in v0.6 (and in SQLite), a word in double quotes is text, unless a column has that very name.

Four walls stand around it, each enough for most of what could go wrong. The condition is cut into SQL's
words first: comments, `;`, parameters and parentheses that do not match are refused, so that it cannot
leave the WHERE it is put in. It runs on a connection of its own that was opened for reading only. An
authorizer allows nothing but SELECT on the tables of the view, and functions that compute one small thing
from others. And it ends after `SECONDS`: while it runs, it holds a lock that makes writers wait. Whoever
has more patience than that searches the file part by part (search.py).

Beside SQLite's own operators there is REGEXP: `hostname REGEXP '^n[12]$'`.
"""

from __future__ import annotations

import bisect
import re
import sqlite3
import sys
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import NoReturn

from ..database.connection import SQLITE_ERRORS, Database, Row
from ..errors import FilterError, UsageError
from ..logs.safe_regex import RegexTimeoutError, SafeRegex
from ..model import JobKey
from .sql_tokens import WORDING, SqlToken, shown, strange, word_at

SECONDS = 2.0
"""Longest time a condition may take (s)."""

LONGEST = 100_000
"""Most characters in a condition."""

ARROWS_AT = (3, 38)
"""The first version of SQLite with -> and ->>."""

_LARGEST = 64 << 20  # bytes of one value within SQLite
_STEPS = 500  # of SQLite's machine between two looks at the clock; a step may parse a whole metadata

_TABLES = frozenset({"job_view", "job", "batch", "ending", "json_each", "json_tree"})
_EARLIER = "earlier_job_view"
_OURS = frozenset({*_TABLES, _EARLIER, "lost"})  # in memory, see `_add_missing`

# No function that makes much of little (replace, printf, zeroblob, group_concat, ...), none that differs
# from call to call, none that touches files.
_FUNCTIONS = frozenset(
    "-> ->> abs avg ceil ceiling char coalesce count date datetime floor glob ifnull iif instr"  # noqa: SIM905
    " json json_array_length json_extract json_type json_valid julianday length like"
    " lower ltrim max min mod nullif regexp round rtrim sign strftime substr substring sum time timediff"
    " total trim trunc typeof unicode unixepoch upper".split()  # as a list these would take a page
)

# How SQLite's messages begin that are about the file, not about the condition.
_OF_THE_FILE = (
    "database is locked",
    "database disk image is malformed",
    "database or disk is full",
    "malformed database schema",
    "file is not a database",
    "unable to open database file",
    "disk I/O error",
    "locking protocol",
)


# --------------------------------------------------------------------------- what others call


def check(database: Database, condition: str) -> None:
    """Whether SQLite understands the condition, without running it.

    Raises:
        FilterError: it does not, or may not run it; the message shows where.
        DatabaseError: the file cannot be read.
    """
    if condition.strip():
        with Database(database.path, read_only=True, timeout=database.timeout) as reader:
            SqlCondition(reader, condition, SECONDS).prepare()


def matching_keys(
    database: Database, condition: str, limit: int | None = None, *, seconds: float = SECONDS
) -> list[JobKey]:
    """The jobs for which the condition holds, by BatchID and JobIndex.

    Args:
        database: where the jobs are.
        condition: see above; blank means every job.
        limit: most jobs to return.
        seconds: longest time that it may take.

    Raises:
        FilterError: SQLite does not understand the condition, may not run it, or it takes too long.
        DatabaseError: the file cannot be read.
    """
    rows = select(database, "job.BatchID, job.JobIndex", condition, limit=limit, seconds=seconds)
    return [JobKey(*row) for row in rows]


def select(
    database: Database,
    columns: str,
    condition: str,
    *,
    limit: int | None = None,
    seconds: float = SECONDS,
) -> list[Row]:
    """Columns of the jobs for which the condition holds, in one reading, by BatchID and JobIndex.

    Args:
        database: where the jobs are.
        columns: SQL of ours, never of a user's: expressions over `job` and `batch`, written with the
            table's name (`job.state`, `batch.name`).
        condition, limit, seconds: see `matching_keys`.

    Raises:
        FilterError, DatabaseError: see `matching_keys`.
    """
    with Database(database.path, read_only=True, timeout=database.timeout) as reader:
        return SqlCondition(reader, condition, seconds).rows(columns, limit)


# --------------------------------------------------------------------------- one condition


class SqlCondition:
    """One condition on its way through the walls.

    Args:
        reader: a connection for this condition alone, opened for reading only.
        condition: see above.
        seconds: longest time that one reading may take.
        missing: the jobs that are missing; then there are two columns more: `missing`, 1 for these and
            else 0, and `fields`, the metadata as it is stored, which is quicker to look into.
    """

    def __init__(
        self, reader: Database, condition: str, seconds: float, missing: Iterable[JobKey] | None = None
    ) -> None:
        self.condition = condition
        self.seconds = seconds
        self.reader = reader
        self.deadline = 0.0
        self.refused = ("", "")
        self.words = self._cut(condition)
        # Named for the first time, these two make SQLite declare a table in memory: done here, that need
        # not be allowed to the condition.
        reader.rows("SELECT 1 FROM json_each('[]'), json_tree('[]')")
        reader.connection.create_function("regexp", 2, self._regexp, deterministic=True)
        if missing is not None:
            self._add_missing(missing)
        names = reader.rows("SELECT name FROM pragma_table_info('job_view')")
        self.columns = [str(name) for (name,) in names if name != "idx"]
        self.sql = "".join(self._literal(word) for word in self.words)

    def _add_missing(self, missing: Iterable[JobKey]) -> None:
        """Lays a view in memory over the file's, that knows who is missing: no row of the file does."""
        self.reader.rows("PRAGMA temp_store = MEMORY")
        self.reader.rows(
            "CREATE TEMP TABLE lost (BatchID INTEGER, JobIndex INTEGER, PRIMARY KEY (BatchID, JobIndex))"
            " WITHOUT ROWID"
        )
        self.reader.connection.executemany("INSERT OR IGNORE INTO lost VALUES (?, ?)", missing)
        source = "main.job_view"
        # In a file of an earlier version, the view of the jobs lies in memory already.
        for (text,) in self.reader.rows("SELECT sql FROM sqlite_temp_master WHERE name = 'job_view'"):
            source = f"temp.{_EARLIER}"
            self.reader.rows("DROP VIEW temp.job_view")
            self.reader.rows(f"CREATE TEMP VIEW {_EARLIER} AS {text.partition(' AS')[2]}")
        self.reader.rows(
            "CREATE TEMP VIEW job_view AS SELECT v.*, EXISTS (SELECT 1 FROM temp.lost l"
            " WHERE l.BatchID = v.BatchID AND l.JobIndex = v.JobIndex) AS missing,"
            f" (SELECT j.metadata FROM main.job j WHERE j.idx = v.idx) AS fields FROM {source} v"
        )

    # ------------------------------------------------------------------ cutting

    def _cut(self, condition: str) -> list[SqlToken]:
        """The condition's words, if nothing in them could lead out of a pair of parentheses."""
        if not isinstance(condition, str):
            raise FilterError(f"A Filter is text, an SQL condition, not {type(condition).__name__}.")
        if len(condition) > LONGEST:
            raise FilterError(
                f"The Filter has {len(condition):,} characters; {LONGEST:,} is the most. Split it, or choose "
                "the jobs by a field of their metadata."
            )
        for character in condition:
            if character == "\0" or "\ud800" <= character <= "\udfff":
                self._fail(f"SQL does not know the character {character!a}", condition.index(character))
        words: list[SqlToken] = []
        open_at: list[int] = []
        place = 0
        while place < len(condition):
            match = word_at(condition, place)
            kind = match.lastgroup if match else None
            if match is None or kind is None or kind == "comment":
                self._fail(strange(condition, place), place)
            word = SqlToken(kind, match.group(), place)
            if word.text == "(":
                open_at.append(place)
            elif word.text == ")":
                if not open_at:
                    self._fail("this ) closes nothing", place)
                open_at.pop()
            words.append(word)
            place = match.end()
        if open_at:
            self._fail("this ( is never closed", open_at[-1])
        return words

    def _literal(self, word: SqlToken) -> str:
        """The word as SQLite shall read it: double quotes mean text also where SQLite is built without."""
        if word.kind == "quoted":
            inner = word.text[1:-1].replace('""', '"')
            if inner.lower() not in map(str.lower, self.columns):
                return " '" + inner.replace("'", "''") + "' "
        return word.text

    # ------------------------------------------------------------------ running

    def prepare(self) -> None:
        """Lets SQLite read the condition without running it."""
        self._start()
        self._run("EXPLAIN SELECT idx FROM job_view WHERE (" + self.sql + ")")

    def rows(self, columns: str, limit: int | None = None, among: str = "1") -> list[Row]:
        """What matches, in a reading of its own.

        Args:
            columns, limit: see `select`.
            among: SQL of ours over `idx`: the jobs to look at.
        """
        self._start()
        try:
            return self._matching(columns, limit, among)
        finally:
            self._end()

    def _matching(self, columns: str, limit: int | None, among: str) -> list[Row]:
        if not self.condition.strip():
            return self._run(_statement(f"WHERE {among}", columns, limit))
        try:
            return self._run(_statement(f"WHERE {among} AND ({self.sql})", columns, limit))
        except FilterError as error:
            if str(error.__cause__) != "malformed JSON":
                raise
        # One damaged row must not make all the others unreadable: it matches no condition.
        whole = "CASE WHEN idx IN (SELECT idx FROM job WHERE NOT json_valid(metadata)) THEN 0 ELSE"
        return self._run(_statement(f"WHERE {among} AND {whole} ({self.sql}) END", columns, limit))

    def _start(self) -> None:
        """Takes the reader's lock, however long that is, then puts the limits in place."""
        connection = self.reader.connection
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT idx FROM job LIMIT 1").fetchone()
        except SQLITE_ERRORS as error:
            raise self.reader.explained(error) from error
        if sys.version_info >= (3, 11):  # before, SQLite's own limit holds: 1 GB
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST)
        connection.set_authorizer(self._allowed)
        self.deadline = time.monotonic() + self.seconds
        connection.set_progress_handler(self._late, _STEPS)

    def _end(self) -> None:
        """Gives the reader's lock back."""
        connection = self.reader.connection
        try:
            if connection.in_transaction:
                connection.execute("COMMIT")
        except SQLITE_ERRORS:
            self.reader.close()  # of a damaged file; that has its own error, and closing gives it back too

    def _late(self) -> bool:
        return time.monotonic() > self.deadline

    def _allowed(
        self, action: int, first: str | None, second: str | None, base: str | None, within: str | None
    ) -> int:
        """SQLite's question, for each thing that a statement would do, whether it may."""
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_TRANSACTION):
            return sqlite3.SQLITE_OK  # no condition can be a transaction: it is a part of a SELECT
        if action == sqlite3.SQLITE_READ:
            if (first in _TABLES and base in ("main", None)) or (first in _OURS and base == "temp"):
                return sqlite3.SQLITE_OK
            self.refused = (f"a Filter may not read the table {first}", str(first))
        elif action == sqlite3.SQLITE_FUNCTION:
            if str(second).lower() in _FUNCTIONS or (
                second == "json_set" and within in ("job_view", _EARLIER)
            ):
                return sqlite3.SQLITE_OK
            self.refused = (f"the function {second} may not be used in a Filter", str(second))
        elif action == sqlite3.SQLITE_RECURSIVE:
            self.refused = ("a Filter may not be recursive", "recursive")
        else:
            self.refused = ("a Filter may only compare and read", str(first))
        return sqlite3.SQLITE_DENY

    def _regexp(self, pattern: object, text: object) -> bool:
        """SQLite's REGEXP; what it raises, SQLite only calls an exception of a function of ours."""
        try:
            return text is not None and _matches(str(pattern), str(text))
        except RegexTimeoutError:
            self.refused = (f"the regular expression {pattern} takes too long: make it simpler", "REGEXP")
            raise
        except UsageError as error:
            self.refused = (str(error), "REGEXP")
            raise

    def _run(self, sql: str) -> list[Row]:
        try:
            return self.reader.connection.execute(sql).fetchall()
        except (*SQLITE_ERRORS, sqlite3.Warning, MemoryError) as error:
            of_the_file = isinstance(error, sqlite3.Error) and str(error).startswith(_OF_THE_FILE)
            if of_the_file or isinstance(error, UnicodeDecodeError):
                raise self.reader.explained(error) from error
            raise self._error(*self._explained(str(error) or "out of memory")) from error

    # ------------------------------------------------------------------ explaining

    def _explained(self, text: str) -> tuple[str, int | None]:
        """SQLite's complaint in clear words, and the place in the condition that it is about."""
        if text == "interrupted":
            return (
                f"it took longer than {self.seconds:g} s and was stopped, as writers wait while it runs. "
                "Begin with a narrow part (BatchID == ... AND ...), or compare columns, not metadata"
            ), None
        if self.refused[0]:
            return self.refused[0], self._place(self.refused[1])
        if match := re.fullmatch('near "(.*)": syntax error', text, re.DOTALL):
            arrow = next((word for word in self.words if word.text in ("->", "->>")), None)
            if arrow is not None and sqlite3.sqlite_version_info < ARROWS_AT:
                return (
                    f"SQLite {sqlite3.sqlite_version}, this Python's, has no {arrow.text}: write "
                    "json_extract(metadata, '$.field')"
                ), arrow.start
            place = self._unexpected(match.group(1))
            if place is None:  # the parenthesis that we close it with
                return "something is missing at its end", len(self.condition)
            return f"SQL does not expect {match.group(1)} here", place
        for pattern, what in WORDING:
            if match := re.fullmatch(pattern, text, re.DOTALL):
                named = match.group(1) if match.groups() else ""
                return what.format(named=named, columns=", ".join(self.columns)), self._place(named)
        return text, None

    def _place(self, named: str) -> int | None:
        """Where the word stands that SQLite named, if it stands there."""
        found = self._found(named.rpartition(".")[2])
        return found[0].start if found else None

    def _found(self, named: str) -> list[SqlToken]:
        named = named.strip("\"'`[]").lower()
        return [word for word in self.words if named and word.text.strip("\"'`[]").lower() == named]

    def _unexpected(self, named: str) -> int | None:
        """Which of the words like that SQLite did not expect: the first after which it reads no further."""

        def stops(word: SqlToken) -> bool:
            begin = "".join(self._literal(other) for other in self.words if other.start <= word.start)
            try:
                self.reader.connection.execute(f"EXPLAIN SELECT idx FROM job_view WHERE ({begin}")
            except (sqlite3.Error, sqlite3.Warning) as error:
                return "syntax error" in str(error)
            return False

        found = self._found(named)
        first = bisect.bisect_left(found, True, key=stops)
        return found[first].start if first < len(found) else None

    def _error(self, what: str, place: int | None) -> FilterError:
        return FilterError(f"{what}.\n{shown(self.condition, place)}", place, "Cannot use this Filter: ")

    def _fail(self, what: str, place: int) -> NoReturn:
        raise self._error(what, place)


@lru_cache(maxsize=10_000)
def _matches(pattern: str, text: str) -> bool:
    """The names of batches and hosts are few, so most answers are known already."""
    return _matcher(pattern).found_in(text)


@lru_cache(maxsize=64)
def _matcher(pattern: str) -> SafeRegex:
    return SafeRegex(pattern)


def _statement(where: str, columns: str, limit: int | None) -> str:
    # A table of its own for what matches: inside the condition, no column of ours is in sight.
    end = "" if limit is None else f" LIMIT {max(int(limit), 0)}"
    return (
        f"WITH chosen AS (SELECT idx FROM job_view {where})"
        f" SELECT {columns} FROM chosen JOIN job ON job.idx = chosen.idx"
        " JOIN batch ON batch.BatchID = job.BatchID"
        f" ORDER BY job.BatchID, job.JobIndex{end}"
    )
