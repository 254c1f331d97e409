"""What a refresh of the dashboard costs: one changed job in files of any size, and how soon it is seen."""

from __future__ import annotations

import os
import sqlite3
import statistics
from collections.abc import Callable

from paraschut_core import config
from paraschut_core.model import QUEUED, LiveJob
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project
from tests.helpers import Scheduler
from tests.terminal.screen import paraschut

from .measure import Cost, Spread, cost_of
from .place import ID_PREFIX, Changer, fill, place
from .pty import Pty
from .table import Row, Table, ratio_most, value_most

TITLE = "Refresh: what one change costs in a file of any size, and how soon it is on the screen"

ALL_AGAIN = "reading all states anew"


def run(table: Table, *, quick: bool) -> None:
    sizes = (200, 2_000) if quick else (1_000, 100_000, 1_000_000)
    steps: dict[int, float] = {}
    for n in sizes:
        online = min(n // 4, 1_000)
        with place():
            table.tell(f"making an index of {n:,} jobs")
            fill(n, online)
            steps[n] = _measure(table, n, online, rounds=5 if quick else 30, last=n == sizes[-1])
    table.compare(
        f"SQLite's steps, {sizes[-1]:,} jobs",
        "",
        [steps[sizes[-1]]],
        f"the same, {sizes[0]:,} jobs",
        [steps[sizes[0]]],
        goal=ratio_most(1.1),
        note="virtual machine instructions: exact, whatever else the machine does",
        short=f"refresh after one change: SQLite's work with {sizes[-1]:,} jobs",
    )
    _measure_latency(table, changes=4 if quick else 30, jobs=200 if quick else 100_000)


def _measure(table: Table, n: int, online: int, *, rounds: int, last: bool) -> float:
    """Refreshes after one change, in turns with reading all; returns SQLite's steps for one."""
    scheduler = Scheduler()
    for index in range(1, online + 1):
        scheduler.live[f"{ID_PREFIX}{index}"] = LiveJob(f"{ID_PREFIX}{index}", QUEUED)
    monitor = Monitor(Project(config.load(), scheduler))
    monitor.poll()
    changer = Changer()
    rival = sqlite3.connect(os.environ["PARASCHUT_DB"])

    def refresh(*indexes: int) -> Cost:
        changer.change(*indexes)
        snapshots = []
        cost = cost_of(lambda: snapshots.append(monitor.refresh()))
        assert len(snapshots[0].changed) == len(indexes)
        return cost

    def read_all() -> None:
        rival.execute("SELECT JobIndex, state FROM job").fetchall()

    try:
        table.race(
            f"one change, {n:,} jobs, {online:,} queued",
            lambda: refresh(n - 1),
            ALL_AGAIN,
            lambda: cost_of(read_all),
            rounds=rounds if n < 1_000_000 else 7,
            goal=value_most(5),
            short=f"refresh after one change of {n:,} jobs" if last else "",
        )
        steps = _steps(monitor, lambda: refresh(n - 1))
        if last:
            many = range(n - min(1_000, n // 2), n)
            costs = [refresh(*many) for _ in range(3)]
            table.value(
                f"{len(many):,} changes at once, {n:,} jobs", "ms", [1e3 * cost.wall for cost in costs]
            )
        return steps
    finally:
        rival.close()
        changer.close()
        monitor.close()


def _steps(monitor: Monitor, call: Callable[[], object]) -> float:
    """How many instructions SQLite carries out for the monitor while `call` runs."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection = monitor.workspace.reader.connection
    connection.set_progress_handler(step, 1)
    call()
    connection.set_progress_handler(None, 0)
    return float(count)


def _measure_latency(table: Table, *, changes: int, jobs: int) -> None:
    with place() as folder:
        table.tell("from commit to screen")
        fill(jobs)
        with Pty(paraschut("--db", str(folder / "jobs.db"))) as shown:
            shown.until("✓✓✓")
            shown.settle()
            changer = Changer()
            delays = []
            for number in range(changes):
                shown.settle(0.25 + 0.6 * (number * 0.618 % 1))  # never in step with what the program does
                committed = changer.change(5)
                seen = shown.read(10.0)
                assert seen, "the change never came to the screen"
                delays.append(1e3 * (seen - committed))
            changer.close()
    ordered = statistics.quantiles(delays, n=20, method="inclusive")
    table.value(
        "commit to screen, another process", "ms", delays, short="from another process's commit to the screen"
    )
    table.add(Row("commit to screen, p95", "ms", Spread.of([ordered[-1]])))
