"""What a job's own bookkeeping costs it, against a Python that does nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial

from tests.terminal.screen import paraschut

from .measure import PYTHON, Cost, Spread, cost_of_command, ratios, syscalls_of_command, turns
from .place import BATCH, add, job, place
from .table import Row, Table, value_most

TITLE = "A job's own overhead, against a Python that does nothing"

BARE = [PYTHON, "-c", "pass"]
IMPORT = [PYTHON, "-c", "import paraschut_core"]
JOB = [
    PYTHON,
    "-c",
    "import paraschut_core as psu; job = psu.get_job_info(SetID=True); psu.set_complete(JobInfo=job)",
]
RUN = paraschut("run", "--", "true")

TOKEN = "benchmark-1"


def run(table: Table, *, quick: bool) -> None:
    rounds = 3 if quick else 25
    with place():
        add([job(0)])
        for what, argv, goal in (
            ("import paraschut_core", IMPORT, None),
            ("get_job_info(SetID), set_complete", JOB, value_most(40)),
            ("paraschut run -- true", RUN, value_most(40)),
        ):
            table.tell(what)
            mine, bare = turns(rounds, partial(_started, argv), lambda: cost_of_command(BARE))
            table.compare(
                what,
                "ms CPU",
                [1e3 * cost.cpu for cost in mine],
                "python -c pass",
                [1e3 * cost.cpu for cost in bare],
                cpu=ratios([cost.cpu for cost in mine], [cost.cpu for cost in bare]),
            )
            more = [1e3 * (cost.cpu - other.cpu) for cost, other in zip(mine, bare, strict=True)]
            table.value(f"{what}: beyond bare Python", "ms CPU", more, goal=goal, short=_SHORT.get(what, ""))
        _count_calls(table)


_SHORT = {
    "get_job_info(SetID), set_complete": "a job's two calls, CPU beyond bare Python",
    "paraschut run -- true": "`paraschut run`, CPU beyond bare Python",
}


def _started(argv: Sequence[str]) -> Cost:
    """Runs a command as the job that was just submitted."""
    return cost_of_command(argv, environment=_as_job())


def _as_job() -> Mapping[str, str]:
    """Has the job be submitted; returns what its process finds in its environment."""
    connection = sqlite3.connect(os.environ["PARASCHUT_DB"])
    with connection:
        connection.execute(
            "UPDATE job SET state = 'submit', attempt = 1, token = ?, ClusterID = NULL", (TOKEN,)
        )
    connection.close()
    return {
        **os.environ,
        "PARASCHUT_BATCH_ID": str(BATCH),
        "PARASCHUT_JOB_INDEX": "0",
        "PARASCHUT_TOKEN": TOKEN,
    }


def _count_calls(table: Table) -> None:
    """System calls, and files opened: what a job's start costs on a network file system."""
    for what, argv in (("get_job_info(SetID), set_complete", JOB), ("paraschut run -- true", RUN)):
        mine, bare = syscalls_of_command(argv, _as_job()), syscalls_of_command(BARE, os.environ)
        if mine is None or bare is None:
            table.lacks("system calls: strace is not installed, or may not look (apt install strace)")
            return
        for title, names in (("system calls", set(mine) | set(bare)), ("files opened", {"openat"})):
            counted = [sum(calls.get(name, 0) for name in names) for calls in (mine, bare)]
            table.add(
                Row(
                    f"{what}: {title}",
                    "",
                    Spread.of([counted[0]]),
                    "python -c pass",
                    Spread.of([counted[1]]),
                    ratio=ratios([counted[0]], [counted[1]]),
                )
            )
