"""Makes the tables of a new file, and brings those of earlier versions up to date."""

from __future__ import annotations

import os
import sqlite3

from .additions import add, statements, whole
from .connection import APPLICATION_ID, SCHEMA_VERSION

_CHANGES = {
    1: (
        "ALTER TABLE job ADD COLUMN executor TEXT",
        "ALTER TABLE spawn ADD COLUMN executor TEXT",
        "ALTER TABLE poll ADD COLUMN rev INTEGER NOT NULL DEFAULT 0",
    )
}
"""For each version, what its tables lack of the next one's. Views are made anew after that."""


def create(connection: sqlite3.Connection) -> None:
    """Makes all tables in an empty file, unless another process was faster. Raises sqlite3.Error."""
    with whole(connection):
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            for statement in _statements():
                connection.execute(statement)
            add(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def upgrade(connection: sqlite3.Connection) -> None:
    """Brings an older file up to date, unless another process was faster.

    Raises:
        sqlite3.Error: it cannot be written to, or is damaged; it stays as it was.
    """
    with whole(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for number in range(version, SCHEMA_VERSION):
            for statement in _CHANGES[number]:
                connection.execute(statement)
        if version < SCHEMA_VERSION:
            connection.execute("DROP VIEW job_view")
            connection.execute(next(text for text in _statements() if "CREATE VIEW job_view" in text))
            add(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _statements() -> list[str]:
    """The statements of schema.sql."""
    with open(os.path.join(os.path.dirname(__file__), "schema.sql"), encoding="utf-8") as schema:
        return statements(schema.read())
