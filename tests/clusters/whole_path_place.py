"""What the tests of the whole path share: a user's project on one machine or on a cluster."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

import paraschut_core as psu
from paraschut_core import config
from paraschut_core.executors.base import JobExecutor
from paraschut_core.executors.batch import run_command
from paraschut_core.model import ENDED, QUEUED, JobKey, LiveJob
from paraschut_core.monitoring.liveness import ONLINE
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project
from tests.clusters.clusters import Cluster, GridEngine, OverSlurm, OwnCluster, Slurm, is_alive
from tests.clusters.tools import read
from tests.core.cli import CommandLine
from tests.helpers import wait_until


def _place(name: str, daemons: str) -> Any:
    """A place for tests; those with the same daemons run in one worker."""
    return pytest.param(name, marks=[pytest.mark.cluster(name), pytest.mark.xdist_group(daemons)])


LOCAL = [pytest.param("local", marks=pytest.mark.xdist_group("local"))]

OWN = [_place("slurm", "slurm"), _place("torque", "slurm"), _place("sge", "sge")]
"""Schedulers with daemons of our own, which may be killed."""

CLUSTERS = [*OWN, _place("pbs", "pbs")]
"""All with commands, which may fail; the last only where it is asked for."""

PLACES = [*LOCAL, *CLUSTERS]

TOML = """
executor = "{executor}"
resources = {{}}
[local]
slots = 6
idle_timeout = 0.5
kill_grace = 1.0
[poll]
interval = {interval:g}
timeout = {poll_timeout:g}
grace = 0.0
backoff = 2.0
[submit]
max_jobs = 100000
timeout = {submit_timeout:g}
"""

WAIT = "while [ ! -e go ]; do sleep 0.1; done"
"""A command line that ends once the test makes the file `go`."""


class Words(NamedTuple):
    """What a scheduler's commands for submitting, listing and deleting are called."""

    submit: str
    list: str
    delete: str


WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "slurm": Words("sbatch", "squeue", "scancel"),
        **dict.fromkeys(("sge", "torque", "pbs"), Words("qsub", "qstat", "qdel")),
    }
)


class Local(Cluster):
    """This machine alone: no daemons, no commands."""

    name = "local"


class Place(CommandLine):
    """A user's project, as its user meets it: the documented functions (by `psu`) and the command line.

    Its folder has a blank and a quote in its name. All jobs work there.
    """

    def __init__(self, cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self.cluster = cluster
        self.name = cluster.name
        self.executor_name = "local" if cluster.name == "local" else cluster.executor_class.name
        self._monkeypatch = monkeypatch
        self.configure()
        monkeypatch.chdir(folder)
        # On a cluster that is not ours, its user may have other jobs.
        self._others = frozenset(self.executor.poll()) if cluster.name == "pbs" else frozenset()

    @property
    def own(self) -> OwnCluster:
        """The daemons, of which the test may break what it likes."""
        cluster = self.cluster.slurm if isinstance(self.cluster, OverSlurm) else self.cluster
        assert isinstance(cluster, OwnCluster)
        return cluster

    @property
    def on_slurm(self) -> bool:
        """Whether Slurm's daemons run the jobs, by whatever commands they came."""
        return self.name in ("slurm", "torque")

    @property
    def has_arrays(self) -> bool:
        return self.name != "torque"

    @property
    def words(self) -> Words:
        return WORDS[self.name]

    def configure(
        self,
        poll_timeout: float = 60.0,
        submit_timeout: float = 60.0,
        interval: float = 0.0,
        executor: str = "",
        more: str = "",
    ) -> None:
        """Writes the project's configuration; `more` are lines that end it."""
        text = TOML.format(
            executor=executor or self.executor_name,
            interval=interval,
            poll_timeout=poll_timeout,
            submit_timeout=submit_timeout,
        )
        (self.folder / "paraschut.toml").write_text(text + more)

    # ------------------------------------------------------------------ jobs

    def script(self, name: str, code: str) -> str:
        """Writes a Python script that a job can be; returns its path. `psu` is imported in it."""
        path = self.folder / name
        start = f"#!{sys.executable}\nimport os, sys, time\nimport paraschut_core as psu\n"
        path.write_text(start + textwrap.dedent(code))
        path.chmod(0o755)
        return str(path)

    def make(self, *jobs: Mapping[str, Any], **common: Any) -> int:
        """Adds a batch as users do, jobs numbered from 0; returns its BatchID."""
        template = psu.get_job_template(SetID=True)
        common = {"name": ["human", "genome map"], "cwd": str(self.folder), **common}
        infos = [{**template, "JobIndex": n, **common, **job} for n, job in enumerate(jobs)]
        psu.add_batch_to_queue(template["BatchID"], infos)
        return int(template["BatchID"])

    def held(self) -> dict[str, Any]:
        """What keeps a cluster's job waiting in the queue."""
        return {"directives": list(self.cluster.held)}

    # ------------------------------------------------------------------ looking

    def workspace(self) -> Project:
        return Project(config.load())

    def monitor(self) -> Monitor:
        """What a dashboard has; the caller closes it."""
        return Monitor(self.workspace())

    @property
    def executor(self) -> JobExecutor:
        from paraschut_core.executors import make

        return make(config.load())

    def queue(self) -> dict[str, LiveJob]:
        """What the scheduler holds of this project now."""
        jobs = self.executor.poll()
        return {id_: job for id_, job in jobs.items() if job.state != ENDED and id_ not in self._others}

    def running(self, monitor: Monitor) -> set[JobKey]:
        """The jobs that a dashboard sees running, as of a new poll."""
        return {key for key, job in monitor.poll().live.items() if job.state in ONLINE}

    def ids(self, batch: int) -> dict[int, str]:
        """The ids that are recorded of a batch's jobs."""
        return dict(
            self.sql(
                "SELECT JobIndex, submit_id FROM job WHERE BatchID = ? AND submit_id IS NOT NULL ORDER BY 1",
                batch,
            )
        )

    def count(self, batch: int, state: str) -> int:
        """How many of a batch's jobs are in that state."""
        return int(self.sql("SELECT count(*) FROM job WHERE BatchID = ? AND state = ?", batch, state)[0][0])

    def history(self, batch: int, index: int) -> list[tuple[str | None, str | None, str]]:
        """(from, to, why) of a job's events."""
        return self.sql(
            'SELECT "from", "to", why FROM event WHERE BatchID = ? AND JobIndex = ? ORDER BY id', batch, index
        )

    def reasons(self) -> dict[str, str]:
        """Why jobs are missing, by `paraschut queue --json`, which asks the scheduler anew."""
        report = self("queue", "--json", "--poll").json
        return {key: lost["reason"] for key, lost in report["reasons"].items()}

    def lines(self, name: str) -> list[str]:
        """The lines of a file in the project."""
        return read(self.folder / name).splitlines()

    def counts(self) -> dict[str, int]:
        """The scheduler's commands that this process has run since `forget_counts`."""
        return dict(run_command.COUNTS)

    # ------------------------------------------------------------------ making things happen

    def go(self) -> None:
        (self.folder / "go").touch()

    def stand_in(self, name: str, *lines: str) -> Path:
        """A shell script that is run instead of a scheduler's command; `$real` in it is the command."""
        folder = self.folder / "stand-ins"
        folder.mkdir(exist_ok=True)
        real = shutil.which(name, path=self.cluster.environment["PATH"])
        path = folder / name
        path.write_text("\n".join(["#!/bin/bash", f"real={shlex.quote(str(real))}", *lines, ""]))
        path.chmod(0o755)
        if str(folder) not in os.environ["PATH"].split(os.pathsep):
            self._monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return path

    def kill_in_queue(self, id_: str) -> None:
        """Ends a job behind our back, as its user can with the scheduler's own command."""
        if self.name == "local":
            assert self.executor.delete_many({id_: {}})[id_].gone
        else:
            self.cluster.run(self.words.delete, id_)

    def clear(self) -> None:
        """Ends all jobs of this project."""
        if isinstance(self.cluster, OwnCluster | OverSlurm):
            self.cluster.clean()
        else:
            self.executor.delete_many({id_: {} for id_ in self.queue()})

    def release(self, batch: int) -> None:
        """Lets held jobs run."""
        arrays = dict.fromkeys(re.sub(r"[_.].*|(?<=\[)[0-9]+", "", id_) for id_ in self.ids(batch).values())
        if self.on_slurm:
            self.cluster.run("scontrol", "release", ",".join(arrays))
        else:
            self.cluster.run("qrls", *arrays)
        if self.name == "pbs":  # which looks for what may run when a job comes or goes, or minutes later
            self.cluster.run("qsub", "-N", "nudge", "-o", "/dev/null", "-j", "oe", "--", "/bin/true")

    def no_login_shells(self) -> None:
        """Has Grid Engine start jobs without the login files of whoever runs these tests: what those do, say
        and wait for is their own."""
        conf = self.cluster.run("qconf", "-sconf", "global") if self.name == "sge" else ""
        wanted = re.sub(r"(?m)^login_shells .*", "login_shells none", conf)
        if wanted != conf:
            path = self.folder / "global"
            path.write_text(wanted)
            self.cluster.run("qconf", "-Mconf", str(path))
            path.unlink()

    def kill_node(self) -> None:
        """kill -9 for the daemon of a node (Slurm's n2)."""
        if isinstance(self.own, Slurm):
            self.own.kill_node("n2")
        elif isinstance(self.own, GridEngine):
            self.own.kill_node()

    def restart_node(self) -> None:
        if isinstance(self.own, Slurm):
            self.own.restart_node("n2")
        elif isinstance(self.own, GridEngine):
            self.own.restart_node()

    def requeue(self, id_: str) -> None:
        """Has the scheduler start a running job anew, as after the end of its node."""
        self.cluster.run(*(("scontrol", "requeue") if self.on_slurm else ("qmod", "-rj")), id_)

    def start_soon(self, id_: str) -> None:
        """Spares a requeued job the two minutes that Slurm has it wait."""
        if self.on_slurm:
            wait_until(lambda: self.queue()[id_].state == QUEUED, "it is in the queue again", 120)
            # Within the same second the node takes the new run for the one that it was told to end.
            self.cluster.run("scontrol", "update", f"jobid={id_}", "StartTime=now+2")

    def wait_for_states(self, batch: int, states: Mapping[int, str]) -> None:
        """Waits until these jobs of a batch are in these states."""
        wait_until(lambda: states.items() <= self.states(batch).items(), f"{batch} is at {states}", 120)

    def wait_for_process(self, name: str) -> int:
        """The process number that a job writes to a file, once it has."""
        return int(wait_until(lambda: read(self.folder / name).strip(), f"a job has written {name}", 120))


def forget_counts() -> None:
    run_command.COUNTS.clear()


def has_ended(pid: int) -> bool:
    return not is_alive(pid)


@pytest.fixture(params=PLACES)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    if request.param == "local":
        return Local()
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return found


@pytest.fixture
def place(in_cluster: Cluster, work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An empty project on that cluster; this process works in its folder."""
    forget_counts()
    with Place(in_cluster, work, monkeypatch) as found:
        found.no_login_shells()
        yield found
        if in_cluster.name == "pbs":  # others are cleaned before their next test
            monkeypatch.setenv("PATH", in_cluster.environment["PATH"])
            found.clear()
