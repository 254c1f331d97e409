"""How jobs ended, and who is believed about it, on real schedulers, with accounts and without.

The jobs are commands of `add` and bare scripts; some trap the signal that ends them and exit with 0.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping

import pytest

from paraschut_core import exit_kinds
from paraschut_core.identity import user_name
from paraschut_core.model import JobKey, MissingJob
from paraschut_core.monitoring.monitor import Monitor
from tests.clusters.clusters import Cluster, SlurmWithAccounts
from tests.clusters.tools import read
from tests.clusters.whole_path_place import Place, place
from tests.helpers import wait_until

__all__ = ["place"]

TRAINS = """#!/bin/bash
# Counts epochs up to the file `last`, tells the signals that come, and leaves with 0 when it is to end.
name=$1
epoch=$(($(cat "$name.epoch" 2>/dev/null || echo 0) + 1))
trap 'echo USR1 >>"$name.said"' USR1
trap 'echo TERM >>"$name.said"; echo "$epoch" >"$name.epoch"; exit 0' TERM
echo "$$" >"$name.pid"
echo start >>"$name.said"
until [ -e "$name.go" ]; do sleep 0.1; epoch=$((epoch + 1)); done
echo done >>"$name.said"
"""
"""A program as many train with: what it has done is kept when it is told to end, and taken up again later."""

EATS = f"""#!{sys.executable}
import time
x = b"x" * 400_000_000
time.sleep(600)
"""

SLURM = [
    pytest.param("slurm", marks=[pytest.mark.cluster("slurm"), pytest.mark.xdist_group("slurm")]),
    pytest.param("accounts", marks=[pytest.mark.cluster("slurm"), pytest.mark.xdist_group("accounts")]),
]
SGE = pytest.param("sge", marks=[pytest.mark.cluster("sge"), pytest.mark.xdist_group("sge")])


@pytest.fixture(params=SLURM)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return found


BOTH = ("add", "bare")
"""How a job's command came into the index: by `add`, or as a script, which alone says that it is complete."""


class Jobs:
    """Jobs by name, each of them once a command of `add` and once a bare script: `name-add`, `name-bare`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.keys: dict[str, JobKey] = {}
        self.monitor: Monitor = place.monitor()
        for name, text in (("train.sh", TRAINS), ("eat.py", EATS)):
            (place.folder / name).write_text(text)
            (place.folder / name).chmod(0o755)

    def add(self, name: str, script: str, *directives: str, **resources: str) -> None:
        more = [f"--directive={word}" for word in directives]
        more += [word for key, value in resources.items() for word in ("--resource", f"{key}={value}")]
        added = self.place("add", "--json", *more, script.format(name=f"{name}-add")).json["BatchID"]
        bare = self.place.make(
            {
                "script": script.format(name=f"{name}-bare"),
                "directives": list(directives),
                "resources": resources,
            }
        )
        for batch, way in ((added, "add"), (bare, "bare")):
            self.keys[f"{name}-{way}"] = JobKey(batch, 0)
            self.place("submit", batch)

    def ids(self, name: str) -> list[str]:
        return [self.place.ids(self.keys[f"{name}-{way}"].batch_id)[0] for way in BOTH]

    def start(self, *names: str) -> None:
        for name in both(*names):
            wait_until(lambda name=name: self.said(name), f"{name} has started", 120)

    def said(self, name: str) -> list[str]:
        return self.place.lines(f"{name}.said")

    def state(self, name: str) -> str:
        return self.place.states(self.keys[name].batch_id)[0]

    def missing(self) -> Mapping[str, MissingJob]:
        lost = self.monitor.poll().missing
        return {name: lost[key] for name, key in self.keys.items() if key in lost}

    def wait_for_kinds(self, wanted: Mapping[str, str]) -> Mapping[str, MissingJob]:
        """Waits until these jobs have failed, for these reasons."""

        def told() -> Mapping[str, MissingJob] | None:
            lost = self.missing()
            return lost if {name: lost[name].kind for name in wanted if name in lost} == wanted else None

        return wait_until(told, f"why they failed: {wanted}", 120) or {}

    def wait_for_reasons(self, wanted: Mapping[str, str]) -> None:
        """Waits until it is said so of these jobs: of some the log tells first, the scheduler more later."""

        def told() -> bool:
            lost = self.missing()
            return {name: lost[name].reason for name in wanted if name in lost} == wanted

        wait_until(told, f"the reasons {wanted}", 60)


def both(*names: str) -> list[str]:
    return [f"{name}-{way}" for name in names for way in BOTH]


@pytest.fixture
def jobs(place: Place) -> Iterator[Jobs]:
    found = Jobs(place)
    yield found
    found.monitor.close()


def test_the_scheduler_is_believed_before_a_wrapper_and_a_program_that_it_ended_is_not_complete(
    jobs: Jobs, place: Place
) -> None:
    run = place.cluster.run
    kinds = {
        "limit-trap": exit_kinds.TIME_LIMIT,
        "limit-sleep": exit_kinds.TIME_LIMIT,
        "cancel-trap": exit_kinds.CANCELLED,
        "cancel-sleep": exit_kinds.CANCELLED,
        "memory": exit_kinds.MEMORY,
        "exit": exit_kinds.EXIT,
    }
    wanted = {name: kind for short, kind in kinds.items() for name in both(short)}
    trains, sleeps = "./train.sh {name}", "sh -c 'echo start >>{name}.said; exec sleep 600'"
    jobs.add("requeue", trains, "--requeue")
    jobs.add("limit-trap", trains, walltime="1m")
    jobs.add("limit-sleep", sleeps, walltime="1m")
    jobs.add("cancel-trap", trains)
    jobs.add("cancel-sleep", sleeps)
    jobs.add("early", trains)
    jobs.add("all", trains)
    jobs.add("told", trains)
    jobs.add("memory", "./eat.py", mem="100mb")
    jobs.add("exit", "sh -c 'exit 3'")
    jobs.start("requeue")
    for id_ in jobs.ids("requeue"):
        place.requeue(id_)
    jobs.start("limit-trap", "limit-sleep", "cancel-trap", "cancel-sleep", "early", "all", "told")
    for id_ in (*jobs.ids("limit-trap"), *jobs.ids("limit-sleep")):
        run("scontrol", "update", f"jobid={id_}", "EndTime=now+1")
    run("scancel", *jobs.ids("cancel-trap"), *jobs.ids("cancel-sleep"))
    run("scancel", "--batch", "--signal=USR1", *jobs.ids("early"))
    run("scancel", "--full", "--signal=USR1", *jobs.ids("all"))
    run("scancel", "--full", "--signal=TERM", *jobs.ids("told"))

    lost = jobs.wait_for_kinds(wanted)
    assert "complete" not in {jobs.state(name) for name in wanted}
    reasons = dict.fromkeys(both("limit-trap", "limit-sleep"), "time limit 00:01:00")
    if isinstance(place.cluster, SlurmWithAccounts):  # the controller does not tell who
        reasons |= dict.fromkeys(both("cancel-trap", "cancel-sleep"), f"cancelled by {user_name()}")
    jobs.wait_for_reasons(reasons)
    assert {lost[name].signal for name in both("memory")} <= {None, 9}
    assert {lost[name].exit_status for name in both("exit")} == {3}

    # The early warning came to the batch shell alone, the other to all: each has got it once.
    for name in both("early", "all"):
        wait_until(lambda name=name: "USR1" in jobs.said(name), f"{name} is warned")
        (place.folder / f"{name}.go").touch()
        wait_until(lambda name=name: "done" in jobs.said(name), f"{name} goes on to its end")
        assert jobs.said(name) == ["start", "USR1", "done"]

    # One ended well by the scheduler's own verdict, though a signal made that doubtful.
    assert [jobs.said(name) for name in both("told")] == [["start", "TERM"]] * 2
    for name in ("early-add", "all-add", "told-add"):
        wait_until(lambda name=name: jobs.missing() and jobs.state(name) == "complete", f"{name} is complete")
    jobs.wait_for_kinds({"early-bare": exit_kinds.UNSAID, "all-bare": exit_kinds.UNSAID})

    # What was put back into the queue is taken up again.
    for id_ in jobs.ids("requeue"):
        place.start_soon(id_)
    for name in both("requeue"):
        wait_until(lambda name=name: jobs.said(name) == ["start", "TERM", "start"], f"{name} again", 120)
    assert not {"requeue-add", "requeue-bare"} & jobs.missing().keys()
    for name in both("requeue"):
        assert int(read(place.folder / f"{name}.epoch")) > 0
        (place.folder / f"{name}.go").touch()
    wait_until(lambda: jobs.state("requeue-add") == "complete", "it is complete")
    jobs.wait_for_kinds({"requeue-bare": exit_kinds.UNSAID})


@pytest.mark.parametrize("cluster", [SGE], indirect=True)
def test_grid_engine_is_believed_where_it_tells_and_a_program_that_it_ended_is_not_complete(
    jobs: Jobs, place: Place
) -> None:
    trains = "./train.sh {name}"
    jobs.add("limit", trains, walltime="2s")
    jobs.add("deleted", trains)
    jobs.add("told", trains)
    jobs.add("rerun", trains, "-r", "y")
    jobs.start("limit", "deleted", "told", "rerun")
    place.cluster.run("qdel", *jobs.ids("deleted"))
    for name in both("told"):  # by somebody on the node: no account knows of it
        os.killpg(os.getpgid(int(read(place.folder / f"{name}.pid"))), signal.SIGTERM)
    for id_ in jobs.ids("rerun"):
        place.requeue(id_)
    limited = dict.fromkeys(both("limit"), exit_kinds.TIME_LIMIT)
    lost = jobs.wait_for_kinds({**limited, **dict.fromkeys(both("deleted", "told"), exit_kinds.SIGNAL)})
    assert not any(lost[name].confirmed for name in both("told"))
    assert [jobs.state(name) for name in ("limit-add", "deleted-add", "told-add")] == ["run"] * 3
    for name in both("rerun"):
        wait_until(lambda name=name: jobs.said(name).count("start") == 2, f"{name} starts again", 120)
        (place.folder / f"{name}.go").touch()
    wait_until(lambda: jobs.missing() and jobs.state("rerun-add") == "complete", "it is complete", 60)
