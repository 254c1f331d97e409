"""Makes the tables of a new file, and brings files of earlier versions to those of today."""

from __future__ import annotations

import os
import sqlite3

from .connection import SCHEMA_VERSION

_CHANGES = {
    1: (
        "ALTER TABLE job ADD COLUMN executor TEXT",
        "ALTER TABLE spawn ADD COLUMN executor TEXT",
        "ALTER TABLE poll ADD COLUMN rev INTEGER NOT NULL DEFAULT 0",
    )
}
"""For each version, what its tables lack of the next one's. Views are made anew after that."""


def statements() -> list[str]:
    """The statements of schema.sql."""
    found, part = [], ""
    with open(os.path.join(os.path.dirname(__file__), "schema.sql"), encoding="utf-8") as schema:
        for line in schema:
            part += line
            if sqlite3.complete_statement(part):
                found.append(part)
                part = ""
    return found


def upgrade(connection: sqlite3.Connection) -> None:
    """Brings an older file up to date in one transaction, unless another process was faster.

    Raises:
        sqlite3.Error: it cannot be written to, or is damaged; it stays as it was.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for number in range(version, SCHEMA_VERSION):
            for statement in _CHANGES[number]:
                connection.execute(statement)
        if version < SCHEMA_VERSION:
            connection.execute("DROP VIEW job_view")
            connection.execute(next(text for text in statements() if "CREATE VIEW job_view" in text))
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
