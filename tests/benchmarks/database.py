"""The index against raw sqlite3 that does the same minimal work: insert, read, change."""

from __future__ import annotations

import json
import os
import sqlite3
from typing import Any

import paraschut_core as psu

from .measure import Cost, cost_of
from .place import BATCH, add, job, place, silence
from .table import Table, ratio_most

TITLE = "The index: adding, reading and changing jobs, against raw sqlite3"

RAW = "raw sqlite3"


class RawIndex:
    """What somebody would write who needs a table of jobs and nothing else: no history, no counters."""

    def __init__(self, path: str) -> None:
        self.path = path

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=60.0)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def add(self, jobs: list[dict[str, Any]]) -> None:
        connection = self.connect()
        connection.execute(
            "CREATE TABLE job (idx INTEGER PRIMARY KEY, BatchID INTEGER, JobIndex INTEGER, state TEXT,"
            " priority REAL, metadata TEXT, UNIQUE (BatchID, JobIndex))"
        )
        with connection:
            connection.executemany(
                "INSERT INTO job (BatchID, JobIndex, state, priority, metadata) VALUES (?, ?, ?, ?, ?)",
                ((j["BatchID"], j["JobIndex"], j["state"], j["priority"], json.dumps(j)) for j in jobs),
            )
        connection.close()

    def queue(self) -> dict[int, list[dict[str, Any]]]:
        """All jobs with all their metadata."""
        connection = self.connect()
        jobs: dict[int, list[dict[str, Any]]] = {}
        for batch, state, priority, metadata in connection.execute(
            "SELECT BatchID, state, priority, metadata FROM job ORDER BY BatchID, JobIndex"
        ):
            jobs.setdefault(batch, []).append({**json.loads(metadata), "state": state, "priority": priority})
        connection.close()
        return jobs

    def print_states(self) -> None:
        """Each batch's jobs by state."""
        connection = self.connect()
        states: dict[int, dict[str, list[int]]] = {}
        for batch, index, state in connection.execute(
            "SELECT BatchID, JobIndex, state FROM job ORDER BY BatchID, JobIndex"
        ):
            states.setdefault(batch, {}).setdefault(state, []).append(index)
        for batch, found in states.items():
            print(batch, found)
        connection.close()

    def reset(self) -> None:
        """The state of all jobs that are not complete."""
        connection = self.connect()
        with connection:
            connection.execute("UPDATE job SET state = 'init' WHERE state NOT IN ('complete', 'collected')")
        connection.close()

    def set_field(self, field: str, value: object) -> None:
        """A field of all jobs."""
        connection = self.connect()
        with connection:
            rows = connection.execute("SELECT idx, metadata FROM job WHERE BatchID = ?", (BATCH,)).fetchall()
            connection.executemany(
                "UPDATE job SET metadata = ? WHERE idx = ?",
                [(json.dumps({**json.loads(metadata), field: value}), idx) for idx, metadata in rows],
            )
        connection.close()

    def update_one(self, index: int, field: str, value: object) -> None:
        connection = self.connect()
        where = (BATCH, index)
        with connection:
            (metadata,) = connection.execute(
                "SELECT metadata FROM job WHERE BatchID = ? AND JobIndex = ?", where
            ).fetchone()
            connection.execute(
                "UPDATE job SET metadata = ? WHERE BatchID = ? AND JobIndex = ?",
                (json.dumps({**json.loads(metadata), field: value}), *where),
            )
        connection.close()


def run(table: Table, *, quick: bool) -> None:
    sizes = ((100, 3), (1_000, 2)) if quick else ((1_000, 9), (10_000, 5), (100_000, 3), (1_000_000, 1))
    per_job: dict[int, float] = {}
    for n, rounds in sizes:
        with place() as folder:
            jobs = [job(index) for index in range(n)]
            _race_to_add(table, jobs, rounds, str(folder / "raw.db"))
            per_job[n] = table.rows[-2].ours.median / n
            if n <= 100_000:
                _race_to_read(table, n, rounds, RawIndex(str(folder / "raw.db")))
            if n in (sizes[1][0], 100_000):
                _race_to_change(
                    table, n, 1 if n > 10_000 else min(rounds, 3), RawIndex(str(folder / "raw.db"))
                )
            if n == sizes[1][0]:
                _race_to_update(table, n, 5 if quick else 40, RawIndex(str(folder / "raw.db")))
    small, large = (sizes[0][0] if quick else 10_000), sizes[-1][0]
    table.value(
        f"add: a job's time, {large:,} jobs to {small:,}",
        "×",
        [per_job[large] / per_job[small]],
        short=f"adding a job to an index of {large:,}, to one of {small:,}",
    )


def _race_to_add(table: Table, jobs: list[dict[str, Any]], rounds: int, raw: str) -> None:
    ours = os.environ["PARASCHUT_DB"]
    n = len(jobs)

    def add_ours() -> Cost:
        _remove(ours)
        return cost_of(lambda: add(jobs))

    def add_theirs() -> Cost:
        _remove(raw)
        return cost_of(lambda: RawIndex(raw).add(jobs))

    short = f"add {n:,} jobs" if n in (10_000, 1_000_000) else ""
    table.race(f"add {n:,} jobs", add_ours, RAW, add_theirs, rounds=rounds, goal=ratio_most(2), short=short)
    table.compare(
        f"file, bytes a job of {n:,}", "", [os.path.getsize(ours) / n], RAW, [os.path.getsize(raw) / n]
    )


def _race_to_read(table: Table, n: int, rounds: int, raw: RawIndex) -> None:
    def printed() -> None:
        with silence():
            psu.get_queue()

    def printed_raw() -> None:
        with silence():
            raw.print_states()

    table.race(
        f"get_queue of {n:,}, all metadata",
        lambda: cost_of(lambda: psu.get_queue(Verbose=False)),
        RAW,
        lambda: cost_of(raw.queue),
        rounds=rounds,
        goal=ratio_most(2),
        short=f"get_queue of {n:,} jobs with all metadata" if n == 100_000 else "",
    )
    table.race(
        f"get_queue of {n:,}, printed",
        lambda: cost_of(printed),
        f"{RAW}, states alone",
        lambda: cost_of(printed_raw),
        rounds=rounds,
    )


def _race_to_change(table: Table, n: int, rounds: int, raw: RawIndex) -> None:
    values = iter(range(10_000))

    def set_ours() -> Cost:
        fields = {"organism": f"organism {next(values)}"}
        return cost_of(lambda: psu.set_batch_field(BATCH, fields, {}))

    def set_theirs() -> Cost:
        return cost_of(lambda: raw.set_field("organism", f"organism {next(values)}"))

    table.race(
        f"set_batch_field of {n:,}",
        set_ours,
        RAW,
        set_theirs,
        rounds=rounds,
        note="with a history entry for each job, which can be undone",
    )
    table.race(
        f"reset {n:,}, set_batch_field(B)",
        lambda: cost_of(lambda: psu.set_batch_field(BATCH)),
        f"{RAW}, one UPDATE",
        lambda: cost_of(raw.reset),
        rounds=rounds,
        note="likewise; the rival is one statement that keeps nothing of what was before",
    )


def _race_to_update(table: Table, n: int, rounds: int, raw: RawIndex) -> None:
    numbers = iter(range(10_000))

    def ours() -> None:
        info = psu.get_job_info(BATCH, 77 % n)
        info["result"] = next(numbers)
        psu.update_job(info)

    table.race(
        "one job: get_job_info, update_job",
        lambda: cost_of(ours),
        RAW,
        lambda: cost_of(lambda: raw.update_one(77 % n, "result", next(numbers))),
        rounds=rounds,
        note="two connections, a check that nobody else changed it, and its history",
    )


def _remove(path: str) -> None:
    for name in (path, f"{path}-journal", f"{path}-wal", f"{path}-shm"):
        if os.path.exists(name):
            os.unlink(name)
