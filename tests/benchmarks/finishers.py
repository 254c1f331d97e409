"""Two hundred jobs that end at the same moment: how long they wait for the file, and whether one is lost."""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import time
from collections.abc import Callable

import paraschut_core as psu

from .database import RawIndex
from .measure import Spread, turns
from .place import BATCH, add, job, place
from .table import Row, Table, value_most

TITLE = "Simultaneous finishers: every one starts and completes at the same moment"


def run(table: Table, *, quick: bool) -> None:
    n, rounds = (20, 1) if quick else (200, 2)
    with place() as folder:
        jobs = [job(index) for index in range(n)]
        add(jobs)
        raw = RawIndex(str(folder / "raw.db"))
        raw.add(jobs)
        table.tell(f"{n} at once")
        ours, theirs = turns(
            rounds, lambda: _together(n, _finish), lambda: _together(n, lambda i: _finish_raw(raw.path, i))
        )
        done = sqlite3.connect(os.environ["PARASCHUT_DB"]).execute(
            "SELECT count(*) FROM job WHERE state = 'complete'"
        )
        assert done.fetchone() == (n,), "a job that said it had completed is not complete"
    rival = "raw sqlite3, its own 5 s"
    for what, place_of in (("median wait", 50), ("p99 wait", 99)):
        table.compare(
            f"{n} finishers: {what}",
            "s",
            [_percentile(waits, place_of) for waits in ours],
            rival,
            [_percentile(waits, place_of) for waits in theirs],
        )
    table.compare(f"{n} finishers: worst wait", "s", list(map(max, ours)), rival, list(map(max, theirs)))
    lost, rivals = (n * rounds - sum(map(len, waits)) for waits in (ours, theirs))
    table.add(
        Row(
            f"{n * rounds} completions: lost",
            "",
            Spread.of([lost]),
            rival,
            Spread.of([rivals]),
            goal=value_most(0),
            short=f"jobs lost of {n * rounds}, {n} ending at once",
        )
    )


def _percentile(waits: list[float], number: int) -> float:
    return statistics.quantiles(waits, n=100, method="inclusive")[number - 1]


def _together(n: int, finish: Callable[[int], object]) -> list[float]:
    """Forks `n` processes that do it at once; returns how long each one that succeeded took."""
    gate_read, gate_write = os.pipe()
    answer_read, answer_write = os.pipe()
    pids = []
    for index in range(n):
        pid = os.fork()
        if not pid:
            os.close(gate_write)
            status = 1
            try:
                os.read(gate_read, 1)  # ends when the parent closes its end
                began = time.monotonic()
                finish(index)
                os.write(answer_write, json.dumps(time.monotonic() - began).encode() + b"\n")
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    os.close(gate_read)
    time.sleep(0.5)  # all of them stand at the gate
    os.close(gate_write)
    os.close(answer_write)
    with open(answer_read, encoding="ascii") as answers:
        waits = [float(line) for line in answers]
    for pid in pids:
        os.waitpid(pid, 0)
    return waits


def _finish(index: int) -> None:
    info = psu.get_job_info(BATCH, index, SetID=True)
    info["result"] = index
    psu.set_complete(JobInfo=info)


def _finish_raw(path: str, index: int) -> None:
    """The same two writes by somebody who takes the module as it comes."""
    for state in ("run", "complete"):
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(
                "UPDATE job SET state = ? WHERE BatchID = ? AND JobIndex = ?", (state, BATCH, index)
            )
        connection.close()
