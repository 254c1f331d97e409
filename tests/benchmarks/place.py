"""A project to measure in: a folder of its own, none of the user's configuration, as many jobs as wanted."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import paraschut_core as psu
from paraschut_core.database.connection import Database
from paraschut_core.database.lifecycle import change_fields
from paraschut_core.model import JobKey
from tests.helpers import ROOT

BATCH = 20260101120000

STATES = ("complete",) * 7 + ("failed",) * 2 + ("init",) * 3
"""In which states the jobs of a filled index are, again and again."""

ID_PREFIX = "77"
"""What the ids of queued jobs in a filled index begin with; their JobIndex follows."""


@contextmanager
def place(executor: str = "local") -> Iterator[Path]:
    """A project in a new folder, which this process and its children find by their environment."""
    before = dict(os.environ)
    where = os.getcwd()
    folder = Path(tempfile.mkdtemp(prefix="paraschut-bench-"))
    folder.chmod(0o755)  # the daemons of a cluster, and its users, must get there
    for name in [name for name in os.environ if name.startswith("PARASCHUT_")]:
        del os.environ[name]
    # What is installed has been compiled once, and so shall be what is measured.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ |= {
        "PARASCHUT_DB": str(folder / "jobs.db"),
        "PARASCHUT_JOB_DIR": str(folder / "jobs"),
        "PARASCHUT_EXECUTOR": executor,
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONPATH": ROOT,
    }
    (folder / "jobs").mkdir()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(where)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def job(index: int, batch: int = BATCH, **fields: Any) -> dict[str, Any]:
    """A job's metadata as users make it: some 400 bytes."""
    return {
        "BatchID": batch,
        "JobIndex": index,
        "priority": 1,
        "name": ["human", "genome_map"],
        "batch_type": "map",
        "data": None,
        "script": f"bwa mem -t 4 reference/hg38.fa reads/sample_{index:07d}.fastq.gz",
        "queue": "long",
        "resources": {"cput": "04:59:00", "mem": "1gb", "pmem": "1gb", "pvmem": "3gb", "vmem": "3gb"},
        "state": "init",
        "sample": f"sample_{index:07d}",
        "organism": "Homo sapiens",
        **fields,
    }


def add(jobs: list[dict[str, Any]]) -> None:
    """Puts jobs of one new batch into the index, and prints nothing."""
    with silence():
        psu.add_batch_to_queue(jobs[0]["BatchID"], jobs)


@contextmanager
def silence() -> Iterator[None]:
    """Nothing that is printed meanwhile is seen, but it is written."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


def fill(n: int, online: int = 0) -> str:
    """An index of `n` jobs of one batch, made quickly: complete, failed, waiting, the first `online` queued.

    The first job goes in as every job does, the others are copies of its row. Returns the file's path.
    """
    path = os.environ["PARASCHUT_DB"]
    add([job(0)])
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(job)")]
        states = " ".join(f"WHEN {at} THEN '{state}'" for at, state in enumerate(STATES))
        values = {name: name for name in columns} | {
            "idx": "NULL",
            "JobIndex": "n",
            "state": f"CASE WHEN n <= {online} THEN 'submit' ELSE CASE n % {len(STATES)} {states} END END",
            "submit_id": f"CASE WHEN n <= {online} THEN '{ID_PREFIX}' || n END",
        }
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i LIMIT :more)"
            f" INSERT INTO job ({', '.join(columns)})"
            f" SELECT {', '.join(values[name] for name in columns)} FROM i, job WHERE JobIndex = 0",
            {"more": n - 1},
        )
        connection.execute("COMMIT")
    finally:
        connection.close()
    return path


class Changer:
    """Somebody else who changes jobs: a connection of its own."""

    def __init__(self) -> None:
        self._db = Database(os.environ["PARASCHUT_DB"], journal=None)
        self._states = itertools.cycle(("failed", "complete"))

    def change(self, *indexes: int) -> float:
        """Gives these jobs another state, in one transaction; returns when it was committed (monotonic)."""
        state = next(self._states)
        with self._db.transaction() as tx:
            for index in indexes:
                key = JobKey(BATCH, index)
                change_fields(tx, key, {"state": state}, {}, why="changed", action=None)
        return time.monotonic()

    def close(self) -> None:
        self._db.close()
