"""The local executor against xargs, GNU parallel and task-spooler: thousands of jobs that do nothing."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

import paraschut_core as psu
from paraschut_core import config
from paraschut_core.executors.local import LocalJobExecutor
from tests.clusters.tools import specs
from tests.helpers import wait_until
from tests.terminal.screen import paraschut

from .measure import Cost, Spread, cost_of, cost_of_command, cpu_with_children, turns
from .place import add, job, place, silence
from .table import Row, Table, ratio_least

TITLE = "The local executor: jobs of `true`, two at once, against xargs and others"

SLOTS = 2


class Rival(NamedTuple):
    """Another way to run commands, two at once. `jobs` are fewer where it is slow."""

    name: str
    command: str
    package: str
    run: Callable[[int], Cost]
    jobs: int
    least: float | None


def run(table: Table, *, quick: bool) -> None:
    n, rounds = (100, 1) if quick else (5_000, 3)
    rivals = (
        Rival("xargs -P2", "xargs", "findutils", _xargs, n, 1.0),
        Rival("GNU parallel -j2", "parallel", "parallel", _parallel, n // 5, 5.0),
        Rival("task-spooler -S2", "tsp", "task-spooler", _spooler, n // 5, None),
    )
    there = [rival for rival in rivals if shutil.which(rival.command)]
    for rival in rivals:
        if rival not in there:
            table.lacks(f"{rival.name}: not installed (apt install {rival.package})")
    with place():
        table.tell(f"{n:,} jobs, and {', '.join(rival.name for rival in there)}")
        ours, *theirs = turns(rounds, lambda: _ours(n), *(partial(rival.run, rival.jobs) for rival in there))
        rate = [n / cost.wall for cost in ours]
        per_job = [1e3 * cost.cpu / n for cost in ours]
        for rival, costs in zip(there, theirs, strict=True):
            table.compare(
                f"{n:,} jobs" + (f", the rival {rival.jobs:,}" if rival.jobs != n else ""),
                "jobs/s",
                rate,
                rival.name,
                [rival.jobs / cost.wall for cost in costs],
                goal=ratio_least(rival.least) if rival.least else None,
                short=f"{n:,} local jobs, jobs per second",
            )
        for rival, costs in zip(there, theirs, strict=True):
            table.compare(
                "CPU of a job", "ms", per_job, rival.name, [1e3 * cost.cpu / rival.jobs for cost in costs]
            )
        _whole_way(table, 20 if quick else 200)


# ------------------------------------------------------------------------------------ ours


def _ours(n: int) -> Cost:
    """From handing the jobs over until the last one's end is written down, each with its log files."""
    folder = Path(tempfile.mkdtemp(dir=os.getcwd()))
    settings = config.load()
    settings = msgspec.structs.replace(settings, job_dir=str(folder))
    executor = LocalJobExecutor(SLOTS, settings=settings)
    jobs = specs(folder / "logs", ["true"] * n)
    (folder / "logs").mkdir()
    began = time.perf_counter()
    size = executor.max_batch_size()

    def submit() -> None:
        for start in range(0, n, size):
            assert all(done.id for done in executor.submit_many(jobs[start : start + size]))

    submitting = cost_of(submit)
    (path,) = folder.glob(".paraschut/local/*/queue.db")
    queue = sqlite3.connect(path)
    live = "SELECT count(*) FROM job WHERE state <> 'ended'"
    while queue.execute(live).fetchone()[0]:
        time.sleep(0.02)
    wall = time.perf_counter() - began
    ended = queue.execute("SELECT count(*) FROM job WHERE reason = 'exit status 0'").fetchone()[0]
    assert ended == n, f"only {ended} of {n} jobs ended well"
    (pid,) = queue.execute("SELECT pid FROM runner").fetchone()
    queue.close()
    cpu = submitting.cpu + cpu_with_children(pid)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the runner has ended")
    shutil.rmtree(folder)
    return Cost(wall, cpu)


def _whole_way(table: Table, n: int) -> None:
    """Jobs that tell the index of their start and end, submitted as the priority rules say."""
    table.tell(f"{n:,} jobs that report to the index")
    command = shlex.join(paraschut("run", "--", "true"))
    add([job(index, script=command, resources={}) for index in range(n)])
    began = time.perf_counter()
    with silence():
        psu.submit_jobs()
    index = sqlite3.connect(os.environ["PARASCHUT_DB"], timeout=60)
    done = "SELECT coalesce(sum(n), 0) FROM counter WHERE state = 'complete'"
    wait_until(lambda: index.execute(done).fetchone()[0] == n, "all jobs are complete", 300)
    index.close()
    rate = n / (time.perf_counter() - began)
    table.add(Row(f"{n:,} of `paraschut run -- true`, states in the index", "jobs/s", Spread.of([rate])))


# ------------------------------------------------------------------------------------ rivals


def _numbers(n: int) -> bytes:
    return "".join(f"{number}\n" for number in range(n)).encode()


def _xargs(n: int) -> Cost:
    return cost_of_command(["xargs", f"-P{SLOTS}", "-n1", "true"], stdin=_numbers(n))


def _parallel(n: int) -> Cost:
    argv = ["parallel", "--will-cite", f"-j{SLOTS}", "--joblog", "parallel.log", "true"]
    return cost_of_command(argv, stdin=_numbers(n))


def _spooler(n: int) -> Cost:
    """Its server goes on after the last job: it is asked for its own time before it is ended."""
    socket = os.path.abspath("spooler")
    environment = {**os.environ, "TS_SOCKET": socket, "TS_MAXFINISHED": str(n + 1), "TMPDIR": os.getcwd()}

    def spool(*arguments: str) -> str:
        return subprocess.run(
            ["tsp", *arguments], env=environment, capture_output=True, text=True, check=True
        ).stdout

    spool("-S", str(SLOTS))
    began = time.perf_counter()
    adding = cost_of_command(
        ["xargs", "-n1", "tsp", "-n", "true"], environment=environment, stdin=_numbers(n)
    )
    wait_until(lambda: not _waiting(spool()), "the spooler is done", 300)
    wall = time.perf_counter() - began
    server = _server_of(socket)
    cpu = cpu_with_children(server) if server else 0.0
    spool("-K")
    return Cost(wall, adding.cpu + cpu)


def _waiting(listing: str) -> int:
    return sum(line.split()[1:2] in (["queued"], ["running"]) for line in listing.splitlines()[1:])


def _server_of(socket: str) -> int:
    """The process that listens on a socket, found by its environment; 0 if it cannot be."""
    wanted = f"TS_SOCKET={socket}".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/comm", encoding="utf-8") as file:
                is_spooler = file.read().strip() == "tsp"
            with open(f"/proc/{name}/environ", "rb") as file:
                if is_spooler and wanted in file.read().split(b"\0"):
                    return int(name)
        except OSError:
            continue
    return 0
