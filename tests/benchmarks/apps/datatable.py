"""Jobs in Textual's DataTable, as one would write it in an hour: rows are read, and changed cells updated.

Usage: python -m tests.benchmarks.apps.datatable DATABASE
"""

from __future__ import annotations

import sqlite3
import sys

from textual.app import App, ComposeResult
from textual.widgets import DataTable

LOOK_SECONDS = 0.2


class Jobs(App[None]):
    """One row a job."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.connection = sqlite3.connect(path)
        self.version = self.rev = -1

    def compose(self) -> ComposeResult:
        yield DataTable[str](cursor_type="row")

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_column("job", key="job")
        table.add_column("state", key="state", width=12)
        table.add_column("priority", key="priority")
        self.rev = self.connection.execute("SELECT rev FROM revision").fetchone()[0]
        for index, state, priority in self.connection.execute(
            "SELECT JobIndex, state, priority FROM job ORDER BY JobIndex"
        ):
            table.add_row(str(index), state, str(priority), key=str(index))
        table.focus()
        self.set_interval(LOOK_SECONDS, self.look)

    def look(self) -> None:
        """Updates what changed."""
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        if version != self.version:
            self.version = version
            table = self.query_one(DataTable)
            for index, state, rev in self.connection.execute(
                "SELECT JobIndex, state, rev FROM job WHERE rev > ?", (self.rev,)
            ).fetchall():
                self.rev = max(self.rev, rev)
                table.update_cell(str(index), "state", state)


if __name__ == "__main__":
    Jobs(sys.argv[1]).run()
