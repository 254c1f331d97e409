"""Makes the tables of a new file, and brings those of earlier versions up to date."""

from __future__ import annotations

import os
import sqlite3

from .additions import add, statements, transaction
from .connection import APPLICATION_ID, SCHEMA_VERSION

_COLUMNS = {"job": "executor TEXT", "spawn": "executor TEXT", "poll": "rev INTEGER NOT NULL DEFAULT 0"}
"""What the tables of version 1 lack of version 2's. Its view of the jobs is replaced too."""


def create(connection: sqlite3.Connection) -> None:
    """Make all tables in an empty file, unless another process was faster. Raises sqlite3.Error."""
    with transaction(connection):
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            for statement in _statements():
                connection.execute(statement)
            add(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def upgrade(connection: sqlite3.Connection) -> None:
    """Give a file of version 1 the columns that it lacks. Within a transaction that writes.

    Its number stays while jobs wait or run: those of version 1 write to a file with more columns, and refuse
    one of a higher number. The first write after their end changes the number.

    Raises:
        sqlite3.Error: it cannot be written to, or is damaged.
    """
    for table in _older(connection):
        connection.execute(f"ALTER TABLE main.{table} ADD COLUMN {_COLUMNS[table]}")
    view = _view()
    if (
        connection.execute("SELECT 1 FROM pragma_table_info('job_view') WHERE name = 'executor'").fetchone()
        is None
    ):
        connection.execute("DROP VIEW main.job_view")
        connection.execute(view)
    (online,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM main.job WHERE state IN ('submit', 'run', 'spawn'))"
    ).fetchone()
    if not online:
        connection.execute(f"PRAGMA main.user_version = {SCHEMA_VERSION}")


def create_temporary(connection: sqlite3.Connection) -> None:
    """Let a reader see a file of version 1 as one of version 2: by views in memory. Raises sqlite3.Error."""
    connection.execute("PRAGMA temp_store = MEMORY")
    drop_temporary(connection)
    older = _older(connection)
    for table in older:
        name = _COLUMNS[table].split()[0]
        value = "0" if "DEFAULT 0" in _COLUMNS[table] else "NULL"
        connection.execute(f"CREATE TEMP VIEW {table} AS SELECT *, {value} AS {name} FROM main.{table}")
    if older:
        connection.execute(_view().replace("CREATE VIEW", "CREATE TEMP VIEW", 1))


def drop_temporary(connection: sqlite3.Connection) -> None:
    """Drop what `create_temporary` made. Raises sqlite3.Error."""
    for name in ("job_view", *_COLUMNS):
        connection.execute(f"DROP VIEW IF EXISTS temp.{name}")


def _older(connection: sqlite3.Connection) -> list[str]:
    """The tables of the file that lack a column."""
    return [
        table
        for table, column in _COLUMNS.items()
        if connection.execute(
            "SELECT 1 FROM pragma_table_info(?, 'main') WHERE name = ?", (table, column.split()[0])
        ).fetchone()
        is None
    ]


def _view() -> str:
    return next(text for text in _statements() if "CREATE VIEW job_view" in text)


def _statements() -> list[str]:
    """The statements of schema.sql."""
    with open(os.path.join(os.path.dirname(__file__), "schema.sql"), encoding="utf-8") as schema:
        return statements(schema.read())
