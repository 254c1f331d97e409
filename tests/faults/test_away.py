"""What the machine may mend costs no waiting local job: it waits, it is said why, and it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_core.executors.local import unavailable_dirs
from paraschut_core.model import ENDED, QUEUED
from tests.conftest import Tally
from tests.core.test_local_executor import Machine, until

JOBS = int(os.environ.get("PARASCHUT_TEST_ROUNDS", "60"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    folder = tmp_path / "project"
    folder.mkdir()
    machine = Machine(folder, slots=2)
    yield machine
    machine.close()


def mount(folder: Path, options: str) -> None:
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("only root can mount a file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """A directory on a small file system of its own, which a test may take away."""
    folder = tmp_path / "work"
    folder.mkdir()
    mount(folder, "size=1m,nr_inodes=40")
    yield folder
    while subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False).returncode == 0:
        pass


def start_with_one_running(machine: Machine, work: Path) -> tuple[list[str], Path]:
    """Jobs of the directory, of which none can start before a gate opens."""
    wait, gate = machine.gate()
    blockers = machine.submit(wait, wait)
    fields = {"cwd": str(work)}
    ids = machine.submit(*["echo $PARASCHUT_JOB_ID >> " + str(machine.folder / "ran")] * JOBS, **fields)
    until(lambda: all(machine.states()[id_] != QUEUED for id_ in blockers), "the slots are taken")
    return ids, gate


def assert_all_ran_once(machine: Machine, ids: list[str], tally: Tally, remark: str) -> None:
    endings = machine.endings(ids)
    ran = machine.read("ran").split()
    lost = sum(ending.exit_status != 0 for ending in endings.values()) + abs(len(ran) - len(ids))
    tally(len(ids), lost, remark)
    assert sorted(ran) == sorted(ids)


def test_a_mount_that_is_away_for_two_seconds_costs_no_job(
    machine: Machine, work: Path, tally: Tally
) -> None:
    place = work / "place"
    place.mkdir()
    ids, gate = start_with_one_running(machine, place)
    far = work.with_name("far")
    far.mkdir()
    subprocess.run(["mount", "--bind", str(work), str(far)], check=True)
    subprocess.run(["umount", "-l", str(work)], check=True)
    try:
        gate.touch()
        job = until(
            lambda: (j := machine.executor.poll()[ids[-1]]).reason.startswith("waits: ") and j, "it waits"
        )
        assert f"cannot enter its working directory {place}" in job.reason
        assert str(place) in machine.executor.notice()
        (other,) = machine.submit("true")
        assert machine.endings([other])[other].exit_status == 0, "other directories go on"
        subprocess.run(["mount", "--bind", str(far), str(work)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(far)], check=True)
    assert_all_ran_once(machine, ids, tally, "their directory's mount was away")
    assert machine.executor.notice() == ""


def test_no_free_inodes_for_logs_cost_no_job(machine: Machine, work: Path, tally: Tally) -> None:
    filler = []
    try:
        while True:
            file = work / f"filler_{len(filler)}"
            file.touch()
            filler.append(file)
    except OSError:
        pass  # full
    script = "echo $PARASCHUT_JOB_ID >> " + str(machine.folder / "ran")
    specs = [
        machine.spec(script, cwd=str(work), stdout=str(work / "one.out"), stderr=str(work / "one.err"))
        for _ in range(JOBS)
    ]
    ids = [str(outcome.id) for outcome in machine.executor.submit_many(specs)]
    job = until(
        lambda: (j := machine.executor.poll()[ids[-1]]).reason.startswith("waits: ") and j, "it waits"
    )
    assert "no space left on device" in job.reason
    for file in filler[:4]:
        file.unlink()
    assert_all_ran_once(machine, ids, tally, "no inodes for their logs")


def test_of_jobs_that_cannot_start_one_after_another_the_rest_waits(machine: Machine, tally: Tally) -> None:
    """A folder of programs that is away looks like each job's own fault."""
    program = machine.folder / "program"
    ids = machine.submit(*[f"{program} x"] * JOBS)
    until(lambda: str(program) in machine.executor.notice(), "the rest waits")
    program.write_text(f"#!/bin/sh\necho $PARASCHUT_JOB_ID >> {machine.folder}/ran\n")
    program.chmod(0o755)
    endings = machine.endings(ids)
    lost = [id_ for id_ in ids if endings[id_].exit_status != 0]
    assert lost == ids[: unavailable_dirs.IN_A_ROW - 1]
    assert sorted(machine.read("ran").split()) == sorted(set(ids) - set(lost))


def test_held_jobs_can_be_deleted(machine: Machine) -> None:
    place = machine.folder / "place"
    place.mkdir()
    wait, gate = machine.gate()
    blockers = machine.submit(wait, wait)
    ids = machine.submit("true", "true", cwd=str(place))
    until(lambda: all(machine.states()[id_] != QUEUED for id_ in blockers), "the slots are taken")
    place.rmdir()
    gate.touch()
    until(lambda: str(place) in machine.executor.notice(), "they wait")
    outcome = machine.executor.delete_many({id_: {} for id_ in ids})
    assert all(deleted.gone for deleted in outcome.values())
    until(lambda: machine.executor.notice() == "", "nothing waits any more")


def test_the_job_directory_itself_may_be_away(machine: Machine, tmp_path: Path, tally: Tally) -> None:
    gate = tmp_path / "gate"
    blockers = machine.submit(*[f"while [ ! -e {gate} ]; do sleep 0.05; done"] * 2)
    ids = machine.submit(*["echo $PARASCHUT_JOB_ID >> ran"] * JOBS)
    until(lambda: all(machine.states()[id_] != QUEUED for id_ in blockers), "the slots are taken")
    away = machine.folder.with_name("away")
    machine.folder.rename(away)
    gate.touch()
    subprocess.run(["sleep", "2"], check=True)
    away.rename(machine.folder)
    assert_all_ran_once(machine, ids, tally, "the job directory was away")


def test_a_stopped_runner_is_told(machine: Machine) -> None:
    wait, gate = machine.gate()
    ids = machine.submit(wait)
    until(lambda: machine.states()[ids[0]] != QUEUED, "it runs")
    pid = machine.runner()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert f"kill -CONT {pid}" in machine.executor.notice()
        assert f"kill -CONT {pid}" in machine.executor.poll()[ids[0]].reason
    finally:
        os.kill(pid, signal.SIGCONT)
    gate.touch()
    until(lambda: machine.states()[ids[0]] == ENDED, "it has ended")
    assert machine.executor.notice() == ""
