"""`paraschut doctor` on real clusters: what it tells of them, and the probe job that looks from a node."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from paraschut_core.identity import user_name
from tests.clusters.clusters import Cluster, OwnCluster
from tests.core.cli import CommandLine

TOML = """
executor = "{executor}"
resources = {{}}
[poll]
interval = 0.0
grace = 0.0
"""

TOLD = {
    "slurm": ("Slurm 2", "MaxArraySize = 20001", "partition main* up", "partition short up, time limit 5:00"),
    "sge": (
        "Grid Engine",
        "queue all.q: slots 16, time limit none",
        "parallel environments: smp",
        "max_aj_tasks = 75000",
    ),
}


@pytest.fixture(
    params=[
        pytest.param("slurm", marks=[pytest.mark.cluster("slurm"), pytest.mark.xdist_group("slurm")]),
        pytest.param("sge", marks=[pytest.mark.cluster("sge"), pytest.mark.xdist_group("sge")]),
    ]
)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return found


@pytest.fixture
def cli(in_cluster: Cluster, work: Path) -> CommandLine:
    project = CommandLine(work / "project", TOML.format(executor=in_cluster.executor_class.name))
    project.add("true")
    return project


def change(cli: CommandLine, more: str) -> None:
    path = cli.folder / "paraschut.toml"
    path.write_text(path.read_text() + more)


def test_it_tells_version_queues_and_limits(cli: CommandLine, in_cluster: Cluster) -> None:
    out = cli("doctor").out
    assert f"executor: {in_cluster.executor_class.name} answers in" in out
    assert f"{in_cluster.executor_class.name}: jobs that one command may submit: 1,000" in out
    for line in TOLD[in_cluster.name]:
        assert line in out


def test_it_tells_which_cluster_jobs_are_noted_with(
    cli: CommandLine, in_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = in_cluster.executor_class.name
    place = in_cluster.executor(cli.folder).home
    assert place
    monkeypatch.setenv("SBATCH_TIMELIMIT", "7")
    monkeypatch.setenv("SBATCH_OUTPUT", "/nowhere")  # decided by the program itself
    cli.sql(f"UPDATE job SET state = 'run', executor = '{name}@another-place#{os.getuid()}'")
    out = cli("doctor").out
    assert f"ok    queue: jobs are noted with {name}@{place} of {user_name()} (uid {os.getuid()})" in out
    assert f"ok    queue: 1 job elsewhere, in {name}@another-place: " in out
    assert ("default of your environment: SBATCH_TIMELIMIT=7" in out) == (name == "slurm")
    assert "SBATCH_OUTPUT" not in out


def test_the_probe_job_sees_the_database_and_its_lock_from_a_node(
    cli: CommandLine, in_cluster: Cluster
) -> None:
    out = cli("doctor", "--probe", "--wait", 120).out
    here = os.uname().nodename
    assert f"ok    probe: a job on {here} (this is {here}): the lock of the other host is seen" in out
    assert len(cli.sql("SELECT * FROM batch")) == 1  # the test's own
    assert not list(cli.folder.glob(".paraschut-lock*"))


def test_a_probe_job_that_waits_too_long_is_given_up_and_taken_from_the_queue(
    cli: CommandLine, in_cluster: Cluster
) -> None:
    change(cli, f"[submit]\ndirectives = {[*in_cluster.held]}\n")
    out = cli("doctor", "--probe", "--wait", 2, status=1).out
    assert "FAIL  probe: the job has not ended after 2 s (state submit" in out
    assert len(cli.sql("SELECT * FROM batch")) == 1
    queue = in_cluster.executor(cli.folder).poll()
    assert {job.state for job in queue.values()} <= {"ended", "ending"}


def test_a_probe_job_that_is_refused_says_why(cli: CommandLine, in_cluster: Cluster) -> None:
    path = cli.folder / "paraschut.toml"
    path.write_text('queue = "nosuch.queue"\n' + path.read_text())
    out = cli("doctor", "--probe", "--wait", 60, status=1).out
    assert "FAIL  probe: the job cannot be submitted: " in out
    assert "nosuch.queue" in out
    assert len(cli.sql("SELECT * FROM batch")) == 1


def test_a_probe_job_that_does_not_see_the_database_says_so(cli: CommandLine, in_cluster: Cluster) -> None:
    """As on a node that mounts something else there."""
    hide = f'for f in {shlex.quote(str(cli.folder))}/.paraschut-lock-*.db; do mv "$f" "$f.away"; done'
    change(cli, f"[submit]\nmodules = [{json.dumps(hide)}]\n")
    out = cli("doctor", "--probe", "--wait", 120, status=1).out
    assert "FAIL  probe: the job failed: exit status 1" in out
    assert "unable to open database file" in out
    for path in cli.folder.glob(".paraschut-lock*"):
        path.unlink()


def test_a_dead_controller_is_one_clear_line(cli: CommandLine, in_cluster: OwnCluster) -> None:
    in_cluster.kill_controller()
    try:
        out = cli("doctor", "--probe", status=1).out
    finally:
        in_cluster.restart_controller()
    failed = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1, failed
    assert failed[0].startswith(f"FAIL  executor: {in_cluster.executor(cli.folder).commands[1]}")
