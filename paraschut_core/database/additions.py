"""Adds to a file what its format gained (additions.sql); readers of a file without it see empty tables."""

from __future__ import annotations

import os
import sqlite3

from . import sqlite_library

PATH = os.path.join(os.path.dirname(__file__), "additions.sql")
_HEADING = "-- addition "

_known: dict[str, str] = {}


def known() -> dict[str, str]:
    """The SQL of each addition by its name, in the order in which they are applied."""
    if not _known:
        name = ""
        with open(PATH, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith(_HEADING):
                    name = line[len(_HEADING) :].partition(":")[0].strip()
                    _known[name] = ""
                elif name:
                    _known[name] += line
    return _known


def lacking(connection: sqlite3.Connection) -> list[str]:
    """The additions that the file has not got yet. Raises sqlite3.Error."""
    (table,) = connection.execute(
        "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = 'addition'"
    ).fetchone()
    if not table:
        return list(known())
    found = {name for (name,) in connection.execute("SELECT name FROM main.addition").fetchall()}
    return [name for name in known() if name not in found]


def add(connection: sqlite3.Connection) -> None:
    """Add what the file lacks, within a transaction that writes. Raises sqlite3.Error."""
    names = lacking(connection)
    if names:
        sqlite_library.drop_unreadable(connection)
        connection.execute("CREATE TABLE IF NOT EXISTS main.addition (name TEXT PRIMARY KEY) WITHOUT ROWID")
    for name in names:
        for statement in statements(known()[name]):
            connection.execute(statement)
        connection.execute("INSERT INTO main.addition VALUES (?)", (name,))


class transaction:  # noqa: N801 - it is used as a function is
    """`with transaction(connection):` all or nothing (contextlib would cost a job's start)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def schema_version(connection: sqlite3.Connection) -> int:
    """A number that changes with the tables of the file, whoever changes them. Raises sqlite3.Error."""
    (number,) = connection.execute("PRAGMA main.schema_version").fetchone()
    return int(number)


def create_temporary(connection: sqlite3.Connection, names: list[str]) -> None:
    """Make, in memory, the empty tables and the views that the file lacks.

    Raises:
        sqlite3.Error: it cannot be done.
    """
    connection.execute("PRAGMA temp_store = MEMORY")
    for statement, kind, created in _created(names):
        connection.execute(f"DROP {kind} IF EXISTS temp.{created}")
        connection.execute(statement.replace(f"CREATE {kind}", f"CREATE TEMP {kind}", 1))


def drop_temporary(connection: sqlite3.Connection, names: list[str]) -> None:
    """Drop what `create_temporary` made. Raises sqlite3.Error."""
    for _, kind, created in reversed(_created(names)):
        connection.execute(f"DROP {kind} IF EXISTS temp.{created}")


def _created(names: list[str]) -> list[tuple[str, str, str]]:
    """The statements of additions that make a table or a view, each with ("TABLE" or "VIEW", its name)."""
    found = [(text, *created_by(text)) for name in names for text in statements(known()[name])]
    return [made for made in found if made[1]]


def created_by(statement: str) -> tuple[str, str]:
    """("TABLE" or "VIEW", its name) where the statement makes one, else two blanks."""
    words = statement.replace("(", " (").split()
    if words[:1] != ["CREATE"] or words[1] not in ("TABLE", "VIEW"):
        return "", ""
    rest = words[2:]
    return words[1], rest[3] if rest[:3] == ["IF", "NOT", "EXISTS"] else rest[0]


def statements(text: str) -> list[str]:
    """The statements of an SQL text, without the comments before them."""
    found, part = [], ""
    for line in text.splitlines(keepends=True):
        if not part and (not line.strip() or line.startswith("--")):
            continue
        part += line
        if sqlite3.complete_statement(part):
            found.append(part)
            part = ""
    return found
