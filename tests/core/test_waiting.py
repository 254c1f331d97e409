"""A script goes on when its jobs are over, and knows whether all are complete."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core.errors import UnknownJobError, UsageError

from ..helpers import BATCH, ROOT, ProjectDir, Scheduler, Script, run_script, wait_until
from .cli import CommandLine

JOB = """
import sys, time
import paraschut_core as psu
job = psu.get_job_info(sys.argv[1], sys.argv[2], SetID=True, ClusterID=psu.ClusterID)
time.sleep(float(sys.argv[3]))
if sys.argv[4:] != ['fail']:
    psu.set_complete(JobInfo=job, Submit='chain' in sys.argv)
"""

SETTINGS = 'executor = "local"\n[local]\nidle_timeout = 1\n[poll]\ninterval = 0.5\ngrace = 0\n'


class Made:
    """A project whose jobs sleep, and then complete or not."""

    def __init__(self, project: ProjectDir) -> None:
        self.project = project
        self.cli = CommandLine(project.folder, SETTINGS)
        (project.folder / "job.py").write_text(JOB)

    def add(self, *words: str, priorities: tuple[int, ...] = (), batch: int = BATCH) -> None:
        """A job for each text of arguments."""
        common = {**psu.get_job_template(), "BatchID": batch}
        script = f"env PYTHONPATH={ROOT} {sys.executable} {self.project.folder}/job.py"
        psu.add_job_to_queue(
            {**common, "JobIndex": i, "priority": priority, "script": f"{script} {batch} {i} {text}"}
            for i, (text, priority) in enumerate(zip(words, priorities or (1,) * len(words), strict=True))
        )


@pytest.fixture
def made(project: ProjectDir) -> Made:
    return Made(project)


RUN = """
import paraschut_core as psu
psu.submit_jobs()
print(psu.wait_for_jobs())
"""


def test_a_script_ends_when_its_jobs_and_what_they_submitted_are_complete(made: Made) -> None:
    made.add("0.5 chain", "0.3 chain", "0.3 chain", "0.1", priorities=(3, 3, 2, 1))
    out = run_script(RUN).splitlines()
    assert out[-1] == "True"
    assert out[-2] == "4 of 4 complete"
    assert set(made.project.states().values()) == {"complete"}
    assert "total jobs on server queue: 0" in made.cli("queue").out


def test_jobs_that_fail_are_told_and_the_others_are_waited_for(made: Made) -> None:
    made.add("0 fail", "1.5")
    out = run_script(RUN).splitlines()
    assert out[-1] == "False"
    assert "1 of 2 complete, 1 missing" in out
    assert any(line.startswith(f"missing: {BATCH}/0: exit status 0 without set_complete") for line in out)
    assert made.project.states() == {0: "run", 1: "complete"}


def test_the_jobs_of_lower_priority_are_submitted_if_that_is_asked_for(made: Made) -> None:
    made.add("0", "0", "0", priorities=(3, 2, 1))
    psu.submit_jobs()
    assert not psu.wait_for_jobs(), "two were never submitted"
    assert psu.wait_for_jobs(Submit=True)
    assert set(made.project.states().values()) == {"complete"}


def test_batches_and_jobs_are_waited_for_by_themselves(made: Made) -> None:
    made.add("0", "30")
    made.add("30", batch=BATCH + 1)
    psu.submit_jobs()
    began = time.monotonic()
    assert psu.wait_for_jobs(str(BATCH), ["0"])
    assert not psu.wait_for_jobs(BATCH, Timeout=0.5)
    assert not psu.wait_for_jobs(Timeout=0, Verbose=False)
    assert time.monotonic() - began < 15
    psu.qdel_batch([BATCH, BATCH + 1])
    assert not psu.wait_for_jobs([BATCH])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((99,), UnknownJobError),
        ((BATCH, 99), UnknownJobError),
        ((None, 1), UsageError),
        (([1], 1), UsageError),
    ],
)
def test_what_is_not_there_is_not_waited_for(
    made: Made, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    made.add("0")
    with pytest.raises(error):
        psu.wait_for_jobs(*arguments)


def test_a_job_waits_for_all_but_itself(made: Made) -> None:
    (made.project.folder / "waiter.py").write_text(
        JOB.replace("time.sleep(float(sys.argv[3]))", "job['well'] = psu.wait_for_jobs(Submit=True)")
    )
    made.add("0", "0", priorities=(2, 2))
    script = psu.get_job_info(BATCH, 1)["script"].replace("job.py", "waiter.py")
    psu.set_job_field(BATCH, 1, {"script": script})
    psu.submit_jobs()
    assert psu.wait_for_jobs()
    assert psu.get_job_info(BATCH, 1)["well"] is True


OWN = """
import os, subprocess
import paraschut_core as psu

class Own(psu.JobExecutor):
    jobs = {}
    def submit(self, JobInfo, Spawn=False):
        job = subprocess.Popen(JobInfo["script"], shell=True, env={**os.environ, **JobInfo["vars"]})
        self.jobs[str(job.pid)] = job
        return str(job.pid)
"""
QSTAT = """
    def qstat(self):
        return {i: ["job", "R"] for i, job in self.jobs.items() if job.poll() is None}
"""


@pytest.mark.parametrize("sees", ["", QSTAT])
def test_any_executor_is_waited_for_and_given_what_its_jobs_leave_to_it(made: Made, sees: str) -> None:
    made.add("0.2 chain", "0.2 chain", "0.1", priorities=(2, 2, 1))
    code = """
    E = Own()
    psu.submit_jobs(E)
    print(psu.wait_for_jobs(Executor=E, Submit=True))
    """
    out = run_script(OWN + sees + textwrap.dedent(code))
    assert out.splitlines()[-1] == "True"
    assert set(made.project.states().values()) == {"complete"}


def test_a_script_file_is_waited_for_until_somebody_runs_it(made: Made) -> None:
    made.add("0")
    with Script(
        RUN.replace("psu.submit_jobs()", "E = psu.FileJobExecutor('run.sh'); psu.submit_jobs(E)")
    ) as s:
        wait_until(lambda: made.project.state() == "submit", "it is submitted")
        assert s.process.poll() is None
        subprocess.run(["sh", str(made.project.folder / "run.sh")], check=True)
        assert s.output(20).splitlines()[-1] == "True"


def test_a_wait_costs_nothing_while_nothing_changes(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between polls, the file is looked at, and not read."""
    made.cli = CommandLine(made.project.folder, SETTINGS.replace("0.5", "100"))
    made.add("0")
    scheduler = Scheduler()
    psu.submit_jobs(scheduler)
    scheduler.polls = 0
    assert not psu.wait_for_jobs(Executor=scheduler, Timeout=2.5)
    assert scheduler.polls == 1


def test_the_local_executor_waits_for_its_jobs_when_it_is_shut_down(made: Made) -> None:
    made.add("0.7", "0.2", "0 fail")
    executor = psu.LocalJobExecutor(2)
    psu.submit_jobs(executor)
    executor.shutdown(wait=False)
    assert "submit" in made.project.states().values()
    executor.shutdown()
    assert made.project.states() == {0: "complete", 1: "complete", 2: "run"}
    executor.shutdown(True)


# ------------------------------------------------------------------------------------ command line


@pytest.mark.parametrize("command", [("wait",), ("wait", BATCH), ("wait", BATCH, "0-1")])
def test_the_command_waits_and_its_status_says_whether_all_is_well(
    made: Made, command: tuple[object, ...]
) -> None:
    made.add("0.3", "0")
    made.cli("submit")
    assert "2 of 2 complete" in made.cli(*command).out
    psu.set_job_field(BATCH, 0, {"state": "init"}, Unless={})
    answer = made.cli(*command, "--json", status=1)
    assert answer.json == {
        "total": 2,
        "complete": 1,
        "states": {"init": 1, "complete": 1},
        "missing": [],
        "timed_out": False,
    }
    assert "1 in state init: not submitted" in made.cli(*command, status=1).out


def test_the_command_ends_when_the_time_is_over_and_says_what_is_missing(made: Made) -> None:
    made.add("0 fail", "30")
    made.cli("submit")
    answer = made.cli("wait", "--timeout", 3, status=124)
    assert "1 in the queue" in answer.out
    assert f"missing: {BATCH}/0" in answer.out
    made.cli("qdel", BATCH, 1)
    made.cli("wait", 99, status=2)


@pytest.mark.parametrize("target", [(), (BATCH,)])
def test_submit_and_wait_goes_on_to_the_last_group(made: Made, target: tuple[object, ...]) -> None:
    made.add("0", "0.2", "0", priorities=(3, 2, 1))
    assert "3 of 3 complete" in made.cli("submit", *target, "--wait").out


def test_submit_and_wait_of_jobs_waits_for_these_and_tells_of_a_refusal(made: Made) -> None:
    made.add("0", "30", "0 fail")
    assert "1 of 1 complete" in made.cli("submit", BATCH, 0, "--wait").out
    assert "1 missing" in made.cli("submit", BATCH, 2, "--wait", status=1).out
    psu.set_job_field(BATCH, 1, {"script": "/no/such/file"})
    answer = made.cli("submit", "--wait", status=1)
    assert "its script does not exist" in answer.err
    made.cli("submit", "--wait", "--every", 1, status=2)


def interrupted(process: subprocess.Popen[str], ready: Callable[[], bool]) -> tuple[int, str]:
    wait_until(ready, "it waits")
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def test_an_interrupt_ends_the_waiting_and_not_the_jobs(made: Made) -> None:
    made.add("4")
    process = made.cli.start("submit", "--wait")
    status, err = interrupted(process, lambda: made.project.state() == "run")
    assert status == 130
    assert "the jobs continue" in err
    assert "Traceback" not in err
    assert "1 of 1 complete" in made.cli("wait").out
