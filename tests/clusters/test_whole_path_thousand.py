"""A thousand jobs: how many commands they cost, and how long they take beside a plain loop of sbatch or qsub.

Where there are no arrays, it is a hundred.

Prints a table (pytest -s shows it); asserts counts, never times.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import paraschut_core as psu
from paraschut_core.model import JobKey
from tests.clusters.whole_path_place import CLUSTERS, WAIT, Place, cluster, forget_counts, place
from tests.helpers import wait_until

__all__ = ["cluster", "place"]

JOBS = 1000

KEPT = int(os.environ.get("PARASCHUT_TEST_COMPLETE", "50"))
"""Of the thousand, so many run to their end; the rest is deleted (a job's start costs CPU time)."""

LOOP = 100
"""Jobs in the plain loop; it is extrapolated."""


class Figures:
    """Seconds and scheduler commands of what was measured, a line each."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.commands: dict[str, int] = {}

    @contextmanager
    def of(self, what: str, times: float = 1.0) -> Iterator[None]:
        """Measures what is done within; `times` extrapolates."""
        forget_counts()
        began = time.monotonic()
        yield
        seconds = (time.monotonic() - began) * times
        self.commands = self._place.counts()
        print(f"{self._place.name:6} {what:46} {seconds:8.2f} s   {self.commands or ''}")


def plain_loop(place: Place, n: int) -> None:
    """What a user without Paraschut does: one command a job."""
    options = {
        "slurm": ["sbatch", "--parsable", "--hold", "-o", "/dev/null", "--wrap", "true"],
        "sge": ["qsub", "-terse", "-h", "-o", "/dev/null", "-j", "y", "-b", "y", "-N", "plain", "true"],
        "pbs": ["qsub", "-h", "-o", "/dev/null", "-j", "oe", "-N", "plain", "--", "/bin/true"],
    }
    for _ in range(n):
        place.cluster.run(*options[place.name])


def waiting(place: Place) -> dict[str, object]:
    """A batch of jobs that wait: on a cluster held, on one machine for those that fill it."""
    if place.name == "local":
        psu.submit_one_batch(place.make(*[{"script": WAIT}] * 6))
        return {}
    return place.held()


def test_a_thousand_jobs_are_one_command_to_submit_one_to_poll_and_few_to_delete(place: Place) -> None:
    figures = Figures(place)
    waits = waiting(place)
    jobs = JOBS if place.has_arrays else JOBS // 10
    script = f"exec {sys.executable} -m paraschut_core.cli run -- true"
    batch = place.make(*[{}] * jobs, script=script, **waits)
    with figures.of(f"submit {jobs:,} jobs, all ids recorded"):
        psu.submit_one_batch(batch)
    if place.name == "local":
        assert figures.commands == {}
    else:
        commands = 1 if place.has_arrays else jobs
        assert figures.commands[place.words.submit] == commands
        assert sum(figures.commands.values()) <= commands + 1  # that asks for arrays' limit, once a day
    assert len(set(place.ids(batch).values())) == jobs
    look_at(place, figures, batch, jobs)
    with figures.of(f"delete {jobs - KEPT} of them"):
        report = place("qdel", batch, f"{KEPT}-{jobs - 1}", "--yes", "--json").json
    assert len(report["done"]) == jobs - KEPT
    # One looks at the queue before; of Slurm's qstat it learns first that it has no wide table.
    deletes = {"local": 0, "torque": 3 + jobs - KEPT}.get(place.name, 1 + 1)
    assert sum(figures.commands.values()) == deletes
    assert place.count(batch, "init") == jobs - KEPT
    if place.name == "local":
        place.go()
    else:
        place.release(batch)
    with figures.of(f"released, until {KEPT} are complete"):
        wait_until(lambda: place.count(batch, "complete") == KEPT, "all are complete", 280)
    wait_until(lambda: not place.queue(), "the queue is empty", 120)
    assert not [key for key in place.reasons() if key.startswith(f"{batch}/")]
    assert place.sql("SELECT count(*), sum(attempt) FROM job WHERE BatchID = ?", batch) == [(jobs, jobs)]


@pytest.mark.parametrize("cluster", [one for one in CLUSTERS if "torque" not in one.values], indirect=True)
def test_ten_thousand_jobs_in_the_queue_cost_one_command_a_poll(place: Place) -> None:
    figures = Figures(place)
    place.configure(more="array_size = 20000\n")
    with figures.of(f"a plain loop, {LOOP} jobs, times {JOBS // LOOP}", JOBS / LOOP):
        plain_loop(place, LOOP)
    place.clear()
    batch = place.make(*[{}] * 10 * JOBS, script="true", **place.held())
    with figures.of("submit 10,000 jobs, all ids recorded"):
        psu.submit_one_batch(batch)
    assert figures.commands[place.words.submit] == 1
    look_at(place, figures, batch, 10 * JOBS)


COMMANDS_OF_A_POLL = {
    "local": {},
    "slurm": {"squeue": 1},
    "torque": {"qstat": 1},
    "sge": {"qstat": 1},
    "pbs": {"qstat": 1, "qselect": 1},  # which tells that arrays are on hold, and is run for these alone
}


def look_at(place: Place, figures: Figures, batch: int, n: int) -> None:
    """Polls as a dashboard does; on a cluster each poll is one command."""
    monitor = place.monitor()
    try:
        for which in ("the first poll", "a poll", "a poll"):
            with figures.of(f"{which} with {n:,} waiting"):
                snapshot = monitor.poll()
            if (place.name, which) == ("torque", "the first poll"):
                assert figures.commands == {"qstat": 3}  # learns that Slurm's has no wide table
            else:
                assert figures.commands == COMMANDS_OF_A_POLL[place.name]
            assert sum(key.batch_id == batch for key in snapshot.live) == n
            assert snapshot.missing == {}
        assert snapshot.live[JobKey(batch, n - 1)].id == place.ids(batch)[n - 1]
    finally:
        monitor.close()
    if place.name != "local":
        argv = {
            "slurm": ("squeue", "-h", "-r", "-o", "%i|%T|%N|%r|%j"),
            "torque": ("qstat", "-f"),
            "sge": ("qstat", "-xml", "-u", "*"),
            "pbs": ("qstat", "-t"),
        }[place.name]
        with figures.of(f"{argv[0]} by itself with {n:,} waiting"):
            place.cluster.run(*argv)
