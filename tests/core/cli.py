"""The command line as tests use it: a project in a folder of its own, commands here or in processes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from paraschut_core.cli import main
from tests.helpers import wait_until

TOML = """
executor = "local"
[local]
slots = 2
idle_timeout = 0.5
kill_grace = 1.0
[poll]
interval = 0.0
grace = 0.0
"""

COMMAND = [sys.executable, "-m", "paraschut_core.cli"]


class Answer(NamedTuple):
    """What a command line came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """A project's folder, in which command lines are run."""

    def __init__(self, folder: Path, toml: str = TOML) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.database = folder / "jobs.db"
        (folder / "paraschut.toml").write_text(toml)

    def __call__(self, *arguments: object, status: int | None = 0, stdin: bytes = b"") -> Answer:
        """Runs a command in this process, which is quick; its exit code must be `status` (None: any)."""
        out, err = io.StringIO(), io.StringIO()
        before, there = sys.stdin, os.getcwd()
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(list(map(str, arguments)))
        finally:
            sys.stdin = before
            os.chdir(there)
        answer = Answer(code, out.getvalue(), err.getvalue())
        assert status in (code, None), f"exit code {code}, not {status}: {answer}"
        return answer

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Starts a command as a process of its own, in a process group of its own."""
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def process(self, *arguments: object, status: int = 0, **environment: str) -> Answer:
        """Runs a command as a process of its own."""
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        answer = Answer(process.returncode, out, err)
        assert answer.status == status, f"exit code {answer.status}, not {status}: {answer}"
        return answer

    def add(self, *arguments: object) -> int:
        """`paraschut add`; returns the new batch's id."""
        batch: int = self("add", "--json", *arguments).json["BatchID"]
        return batch

    # ------------------------------------------------------------------ looking

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self.sql_in(self.database, statement, *values)

    @staticmethod
    def sql_in(path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def states(self, batch: int) -> dict[int, str]:
        return dict(self.sql("SELECT JobIndex, state FROM job WHERE BatchID = ? ORDER BY 1", batch))

    def missing(self, batch: int) -> list[int]:
        report = self("queue", "--json").json
        return next(b["missing"] for b in report["batches"] if b["BatchID"] == batch)

    def wait_for(self, batch: int, *states: str) -> None:
        """Waits until all jobs of a batch are in one of these states."""
        wait_until(
            lambda: set(self.states(batch).values()) <= set(states),
            f"all jobs of {batch} are {states}: {self.states(batch)}",
            120,
        )

    # ------------------------------------------------------------------ the end

    def __enter__(self) -> CommandLine:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends what a failed test may have left running, and waits until the project's runners are gone."""
        from paraschut_core import config
        from paraschut_core.executors.local import LocalJobExecutor
        from paraschut_core.executors.local.queue_store import LocalQueue

        executor = LocalJobExecutor(settings=config.Settings(job_dir=str(self.folder)))
        executor.delete_many({id_: {} for id_, job in executor.poll().items() if job.state != "ended"})
        for folder in self.folder.glob("**/.paraschut/local/*"):
            queue = LocalQueue(str(folder))
            wait_until(lambda queue=queue: not queue.serving().lives, f"the runner of {folder} has ended")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Keeps the database locked, as another writer does."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield connection
    finally:
        connection.close()
