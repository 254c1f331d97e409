"""Submitting on real daemons of Slurm and Grid Engine, against loops of their commands and an array."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO

import paraschut_core as psu
from paraschut_core import config
from paraschut_core.project import Project
from tests.clusters.clusters import GridEngine, OwnCluster, Slurm

from .measure import Cost, Spread, cost_of, cost_of_command, ratios, turns
from .place import add, job, place
from .table import Row, Table, ratio_least

TITLE = "Submitting to real schedulers, against a loop of their own command and one array written by hand"

spawned: list[str] = []
"""The commands that this process has started."""


def run(table: Table, *, quick: bool) -> None:
    sys.addaudithook(_note_process)
    for cluster in (Slurm(), GridEngine()):
        missing = cluster.missing()
        if missing:
            table.lacks(f"{cluster.name}: not installed: {', '.join(missing)} (tests/clusters/install.sh)")
            continue
        table.tell(f"starting {cluster.name}")
        with place(cluster.name):
            cluster.start()
            try:
                os.environ.update(cluster.environment)
                _on(table, cluster, quick=quick)
            finally:
                cluster.stop()


def _note_process(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("subprocess.Popen", "os.posix_spawn"):
        spawned.append(str(arguments[0]))


def _on(table: Table, cluster: OwnCluster, *, quick: bool) -> None:
    few, many, loop = (20, 50, 10) if quick else (1_000, 10_000, 200)
    rounds = 1 if quick else 2
    name = cluster.name
    for n in (few, many):
        table.tell(f"{name}: {n:,} jobs")
        commands: list[str] = []
        ours, array, one_by_one = turns(
            rounds if n == few else 1,
            partial(_ours, cluster, n, commands),
            partial(_array, cluster, n),
            partial(_loop, cluster, loop),
        )
        rate = [n / cost.wall for cost in ours]
        table.compare(
            f"{name}: submit {n:,} jobs",
            "jobs/s",
            rate,
            f"a loop of {_SUBMIT[name][0]} ({loop})",
            [loop / cost.wall for cost in one_by_one],
            cpu=ratios([n / cost.cpu for cost in ours], [loop / cost.cpu for cost in one_by_one]),
            goal=ratio_least(20),
            short=f"submit {n:,} jobs to {type(cluster).__name__}, jobs per second" if n == few else "",
        )
        table.compare(
            f"{name}: {n:,} jobs", "s", [c.wall for c in ours], "one array by hand", [c.wall for c in array]
        )
        table.add(
            Row(
                f"{name}: {n:,} jobs: commands",
                "",
                Spread.of([len(commands)]),
                f"a loop of {_SUBMIT[name][0]}",
                Spread.of([n]),
                note=", ".join(sorted({os.path.basename(path) for path in commands})),
            )
        )
        if n == many:
            _poll(table, cluster, n, rounds=2 if quick else 5)
        cluster.clean()


# ------------------------------------------------------------------------------------ ours


def _ours(cluster: OwnCluster, n: int, commands: list[str]) -> Cost:
    """submit_jobs of jobs in the index, held so that none of them starts; `commands` are what it called."""
    if os.path.exists(os.environ["PARASCHUT_DB"]):
        os.unlink(os.environ["PARASCHUT_DB"])
    cluster.clean()
    with open("paraschut.toml", "w", encoding="utf-8") as file:
        file.write(f"[submit]\ndirectives = [{', '.join(map(repr, cluster.held))}]\n")
    add([job(index, script="true", resources={}, queue=None) for index in range(n)])
    said = StringIO()
    spawned.clear()
    with redirect_stdout(said):
        cost = cost_of(lambda: psu.submit_jobs(MaxJobs=2 * n))
    commands[:] = spawned
    assert f"submitted: {n}" in said.getvalue(), said.getvalue()[-400:]
    return cost


def _poll(table: Table, cluster: OwnCluster, n: int, *, rounds: int) -> None:
    """One look at the queue with `n` of our jobs in it (the array and the loop's are there as well)."""
    with Project(config.load()) as ws:
        table.race(
            f"{cluster.name}: poll with {n:,} queued",
            lambda: cost_of(ws.executor.poll),
            _LIST[cluster.name][0],
            lambda: cost_of_command(_LIST[cluster.name]),
            rounds=rounds,
        )
        table.race(
            f"{cluster.name}: get_queue with {n:,} queued",
            lambda: cost_of(_queue),
            _LIST[cluster.name][0],
            lambda: cost_of_command(_LIST[cluster.name]),
            rounds=rounds,
        )


def _queue() -> None:
    with redirect_stdout(StringIO()):
        psu.get_queue()


# ------------------------------------------------------------------------------------ rivals

_SUBMIT = {
    "slurm": ["sbatch", "--hold", "--output=/dev/null", "--chdir=/", "--wrap", "true"],
    "sge": ["qsub", "-h", "-terse", "-o", "/dev/null", "-j", "y", "-b", "y", "true"],
}
_ARRAY: dict[str, Callable[[int], list[str]]] = {
    "slurm": lambda n: [*_SUBMIT["slurm"][:1], f"--array=1-{n}", *_SUBMIT["slurm"][1:]],
    "sge": lambda n: [*_SUBMIT["sge"][:1], "-t", f"1-{n}", *_SUBMIT["sge"][1:]],
}
_LIST = {"slurm": ["squeue"], "sge": ["qstat", "-xml"]}


def _array(cluster: OwnCluster, n: int) -> Cost:
    return cost_of_command(_ARRAY[cluster.name](n))


def _loop(cluster: OwnCluster, n: int) -> Cost:
    def call() -> None:
        for _ in range(n):
            subprocess.run(_SUBMIT[cluster.name], stdout=subprocess.DEVNULL, check=True)

    return cost_of(call)
