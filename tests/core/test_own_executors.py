"""Executors as v0.6's users wrote them, and what jobs submit: by the executor of their own, or not at all."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core.errors import SchedulerError, SubmitError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.model import JobInfo

from ..helpers import BATCH, ROOT, ProjectDir, run_script, wait_until

JOB = """
import os, sys
import paraschut_core as psu
job = psu.get_job_info(sys.argv[1], sys.argv[2], SetID=True, ClusterID=psu.ClusterID)
job['ran_in'] = os.environ.get('WHO', 'nobody')
psu.set_complete(JobInfo=job, Submit=True)
"""

# An executor of a user's own: starts processes, and knows them by their numbers.
MINE = """
import os, subprocess
import paraschut_core as psu

class Mine(psu.JobExecutor):
    def __init__(self):
        self.processes = {}

    def submit(self, JobInfo, Spawn=False):
        out = open(JobInfo["stdout"][-1], "ab")
        env = {**os.environ, **JobInfo["vars"], "WHO": "Mine"}
        job = subprocess.Popen(JobInfo["script"], shell=True, env=env, stdout=out, stderr=out)
        self.processes[str(job.pid)] = job
        return str(job.pid)

    def delete(self, JobInfo):
        self.processes[JobInfo["submit_id"]].kill()

    def qstat(self):
        return {id_: ["job", "R"] for id_, job in self.processes.items() if job.poll() is None}

    def wait(self):
        for job in self.processes.values():
            job.wait()
"""


@pytest.fixture
def chain(project: ProjectDir) -> ProjectDir:
    """Two jobs, and one of lower priority that the last of them submits. The default executor is `local`."""
    project.configure('executor = "local"\n[poll]\ninterval = 0\ngrace = 0\n')
    (project.folder / "job.py").write_text(JOB)
    (project.folder / str(BATCH) / "logs").mkdir(parents=True)
    common = {**psu.get_job_template(), "BatchID": BATCH}
    script = f"env PYTHONPATH={ROOT} {sys.executable} {project.folder}/job.py {BATCH} {{}}"
    psu.add_job_to_queue(
        [
            {**common, "JobIndex": i, "priority": priority, "script": script.format(i)}
            for i, priority in enumerate((2, 2, 1))
        ]
    )
    return project


def state_of_all(project: ProjectDir) -> list[str]:
    return list(project.states().values())


# ------------------------------------------------------------------------------------ what jobs submit


@pytest.mark.parametrize("default", ["local", "file"])
def test_jobs_of_a_script_file_submit_others_into_the_same_file(chain: ProjectDir, default: str) -> None:
    chain.configure(f'executor = "{default}"\n')
    run_script("import paraschut_core as psu; psu.submit_jobs(Executor=psu.FileJobExecutor('run.sh'))")
    assert state_of_all(chain) == ["submit", "submit", "init"]
    subprocess.run(["sh", str(chain.folder / "run.sh")], cwd="/", check=True)
    assert state_of_all(chain) == ["complete"] * 3
    assert not (chain.folder / "jobs.sh").exists()
    assert not (chain.folder / ".paraschut" / "local").exists(), "nothing went to another executor"


def test_what_a_job_of_a_script_file_submitted_can_be_deleted_and_submitted_again(chain: ProjectDir) -> None:
    executor = psu.FileJobExecutor("run.sh")
    psu.submit_jobs(executor)
    psu.set_job_field(BATCH, 2, {"script": "true"})
    subprocess.run(["sh", str(chain.folder / "run.sh")], check=True)
    assert state_of_all(chain) == ["complete", "complete", "submit"], "it ran, and never said so"
    psu.set_job_field(BATCH, 2, Executor=executor)
    psu.submit_jobs(psu.FileJobExecutor("run.sh"))
    assert state_of_all(chain) == ["complete", "complete", "submit"]
    psu.qdel_job(BATCH, 2, Executor=executor)
    assert state_of_all(chain) == ["complete", "complete", "init"]


def test_jobs_of_an_own_executor_leave_the_next_ones_to_the_process_that_has_it(chain: ProjectDir) -> None:
    run = """
    E = Mine()
    psu.submit_jobs(Executor=E)
    E.wait()
    print([job["state"] for job in psu.get_queue(Verbose=False, Executor=E)[{batch}]])
    psu.submit_jobs(Executor=E)
    E.wait()
    """
    out = run_script(MINE + textwrap.dedent(run).format(batch=BATCH))
    assert "['complete', 'complete', 'init']" in out
    assert state_of_all(chain) == ["complete"] * 3
    assert {psu.get_job_info(BATCH, i)["ran_in"] for i in range(3)} == {"Mine"}
    assert not (chain.folder / ".paraschut" / "local").exists(), "the default executor was never used"
    logs = "".join(path.read_text() for path in (chain.folder / str(BATCH) / "logs").iterdir())
    assert "executor object Mine" in logs
    assert "its next submit_jobs(Executor=...) submits them" in logs


SPAWNER = """
import sys
import paraschut_core as psu
job = psu.get_job_info(sys.argv[1], sys.argv[2], SetID=True, ClusterID=psu.ClusterID)
if job['state'] != 'spawn':
    job = psu.spawn_submit(job, 2)
job = psu.spawn_complete(job)
if job['state'] == 'complete':
    psu.set_complete(JobInfo=job)
"""


def test_spawns_of_an_own_executor_wait_for_it_too(chain: ProjectDir) -> None:
    (chain.folder / "job.py").write_text(SPAWNER)
    run = """
    E = Mine()
    psu.submit_one_job({batch}, 0, Executor=E)
    E.wait()
    print(psu.spawn_get_info({batch}, 0)["spawn_state"])
    print(psu.spawn_resubmit({batch}, 0, Executor=E))
    E.wait()
    """
    out = run_script(MINE + textwrap.dedent(run).format(batch=BATCH)).splitlines()
    assert out == ["['complete', 'init', 'init']", "2"]
    assert chain.state(0) == "complete"


@pytest.mark.parametrize(
    ("made", "name", "arguments"),
    [
        ("LocalJobExecutor()", "local", ""),
        ("LocalJobExecutor(3)", "local", '{"max_workers": 3}'),
        ("SlurmJobExecutor()", "slurm", ""),
        ("SlurmJobExecutor(queue='long')", "slurm", '{"queue": "long"}'),
        ("PBSJobExecutor('long', {'mem': '2gb'})", "pbs", '{"queue": "long", "resources": {"mem": "2gb"}}'),
        ("FileJobExecutor()", "file", ""),
        ("type('Slurm2', (psu.SlurmJobExecutor,), {})()", "slurm", '"slurm"'),
        ("type('Own', (psu.JobExecutor,), {})()", "local", '"Own"'),
    ],
)
def test_a_job_is_told_how_its_executor_was_made(
    chain: ProjectDir, monkeypatch: pytest.MonkeyPatch, made: str, name: str, arguments: str
) -> None:
    from paraschut_core import config, executors

    executor = eval(made if made.startswith("type") else f"psu.{made}")
    variables = executors.variables_for(executor, config.load(), given=True)
    assert variables == {"PARASCHUT_EXECUTOR": name, "PARASCHUT_EXECUTOR_ARGUMENTS": arguments}
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    again = executors.make(config.load())
    if arguments.startswith('"'):
        with pytest.raises(SchedulerError, match="its next submit_jobs"):
            again.isconnected()
        assert not again.owns(executor.backend_id)
    else:
        assert type(again) is type(executor)
        assert (again.backend_id, again.made_with()) == (executor.backend_id, executor.made_with())


# ------------------------------------------------------------------------------------ overridden methods


@pytest.mark.parametrize("base", ["PBSJobExecutor", "SGEJobExecutor", "SlurmJobExecutor", "FileJobExecutor"])
def test_the_methods_that_a_subclass_overrides_are_called(chain: ProjectDir, base: str) -> None:
    calls: list[str] = []
    queue: dict[str, list[str]] = {}

    class Own(getattr(psu, base)):  # type: ignore[misc]  # the class is the test's parameter
        def isconnected(self) -> bool:
            return True

        def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
            calls.append("submit")
            queue[str(len(calls))] = ["job", "R"]
            return str(len(calls))

        def qstat(self) -> Mapping[str, Sequence[Any]]:
            calls.append("qstat")
            return queue

        def delete(self, JobInfo: JobInfo) -> object:
            calls.append("delete")
            return queue.pop(JobInfo["submit_id"]) and None

    executor = Own()
    psu.submit_jobs(Executor=executor)
    assert calls.count("submit") == 2
    assert "qstat" in calls
    assert state_of_all(chain) == ["submit", "submit", "init"]
    psu.qdel_job(BATCH, 1, Executor=executor)
    assert calls[-1] == "delete"
    assert state_of_all(chain) == ["submit", "init", "init"]
    assert "Own" in executor.backend_id or base == "FileJobExecutor"


def test_an_overridden_method_may_call_the_built_in_one(chain: ProjectDir) -> None:
    calls: list[str] = []

    class Own(psu.LocalJobExecutor):
        def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
            JobInfo["vars"] = {**JobInfo["vars"], "WHO": "Own"}
            calls.append("submit")
            return super().submit(JobInfo, Spawn=Spawn)

        def qstat(self) -> Mapping[str, Sequence[Any]]:
            calls.append("qstat")
            return super().qstat()

        def delete(self, JobInfo: JobInfo) -> bool:
            calls.append("delete")
            return super().delete(JobInfo)

    executor = Own()
    psu.set_job_field(BATCH, 1, {"script": "sleep 60"})
    psu.submit_jobs(Executor=executor)
    wait_until(lambda: chain.state(0) == "complete", "the job is complete")
    assert psu.get_job_info(BATCH, 0)["ran_in"] == "Own"
    psu.qdel_job(BATCH, 1, Executor=executor)
    assert chain.state(1) == "init"
    assert {"submit", "qstat", "delete"} == set(calls)


@pytest.mark.parametrize("method", ["submit", "qstat", "delete", "isconnected"])
def test_what_is_not_overridden_stays(method: str) -> None:
    Own = type("Own", (psu.SlurmJobExecutor,), {method: lambda self, *_, **__: None})
    many = {"submit": "submit_many", "qstat": "poll", "delete": "delete_many"}
    for one, name in many.items():
        kept = inspect.getattr_static(Own, name) is inspect.getattr_static(BatchExecutor, name)
        assert kept == (one != method), name
    assert (Own.max_batch_size is BatchExecutor.max_batch_size) == (method != "submit"), "arrays stay"
    Further = type("Further", (Own,), {})
    assert all(getattr(Further, name) is getattr(Own, name) for name in many.values())
    both = {"submit": lambda self, info: "1", "submit_many": lambda self, jobs: []}
    assert type("Both", (psu.SlurmJobExecutor,), both).submit_many is both["submit_many"]
    mixin = type("Mixin", (), {"submit": lambda self, info: "1"})
    assert type("Mixed", (mixin, psu.SlurmJobExecutor), {}).submit_many is JobExecutor.submit_many  # type: ignore[attr-defined]  # made here


# ------------------------------------------------------------------------------------ submit alone


def test_an_executor_with_submit_alone_works_and_judges_nothing_missing(
    chain: ProjectDir, capsys: pytest.CaptureFixture[str]
) -> None:
    class Alone(psu.JobExecutor):
        def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
            return f"id-{JobInfo['JobIndex']}"

    executor = Alone()
    assert executor.qstat() == {}
    assert not executor.delete({"submit_id": "1"})
    psu.submit_jobs(Executor=executor)
    assert state_of_all(chain) == ["submit", "submit", "init"]
    for _ in range(4):
        psu.get_queue(Executor=executor, ResetMissing=True)
    assert "missing jobs: {}" in capsys.readouterr().out
    assert state_of_all(chain) == ["submit", "submit", "init"]
    psu.qdel_job(BATCH, 0, Executor=executor)
    assert f"not deleted: {BATCH}/0: Alone has no method delete" in capsys.readouterr().out
    assert chain.state(0) == "submit"
    psu.set_job_field(BATCH, 0)
    psu.submit_jobs(Executor=executor)
    assert state_of_all(chain) == ["submit", "submit", "init"]


def test_the_base_class_itself_takes_no_job(chain: ProjectDir, capsys: pytest.CaptureFixture[str]) -> None:
    executor = psu.JobExecutor()
    assert executor.submit({}) == "failed"
    psu.submit_jobs(Executor=executor)
    assert "JobExecutor did not take the job" in capsys.readouterr().out
    assert state_of_all(chain) == ["init"] * 3


# ------------------------------------------------------------------------------------ update_job in submit


class Updating(psu.JobExecutor):
    """v0.6's contract: `submit` itself writes submit_id, subtime and state."""

    def __init__(self) -> None:
        self.queue: dict[str, list[str]] = {}

    def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
        submit_id = f"u{len(self.queue)}"
        self.queue[submit_id] = ["job", "Q"]
        JobInfo["submit_id"] = submit_id
        if not Spawn:
            JobInfo["state"] = "submit"
            JobInfo.pop("ClusterID", None)
        elif JobInfo["state"] != "spawn":
            JobInfo["state"] = "spawn"
        JobInfo["asked"] = True
        psu.update_job(JobInfo)
        return submit_id

    def qstat(self) -> Mapping[str, Sequence[Any]]:
        return self.queue


def test_a_submit_that_updates_the_job_itself_works(
    chain: ProjectDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    psu.set_job_field(BATCH, 1, {"vars": {"MINE": "1"}})
    executor = Updating()
    psu.submit_jobs(Executor=executor)
    assert "not submitted" not in capsys.readouterr().out
    jobs = [psu.get_job_info(BATCH, i) for i in range(2)]
    assert [(job["state"], job["submit_id"], job["asked"]) for job in jobs] == [
        ("submit", "u0", True),
        ("submit", "u1", True),
    ]
    assert "vars" not in jobs[0]
    assert jobs[1]["vars"] == {"MINE": "1"}, "what the job is told is not stored"
    monkeypatch.setenv("PARASCHUT_JOB_ID", "u0")
    info = psu.get_job_info(BATCH, 0, SetID=True, ClusterID="u0")
    logs = info["stdout"]
    psu.spawn_submit(info, 2, executor)
    assert psu.spawn_get_info(BATCH, 0)["ClusterID"] == ["u0", "u2", "u3"]
    assert psu.get_job_info(BATCH, 0, ignore_spawn=True)["stdout"] == logs


def test_a_delete_that_updates_the_job_itself_works(
    chain: ProjectDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Deleting(Updating):
        def delete(self, JobInfo: JobInfo) -> object:
            del self.queue[JobInfo.pop("submit_id")]
            del JobInfo["ClusterID"]
            JobInfo["state"] = "init"
            psu.update_job(JobInfo)
            return None

    executor = Deleting()
    psu.submit_jobs(Executor=executor)
    psu.qdel_job(BATCH, 1, Executor=executor)
    assert state_of_all(chain) == ["submit", "init", "init"]
    monkeypatch.setenv("PARASCHUT_JOB_ID", "u0")
    psu.spawn_submit(psu.get_job_info(BATCH, 0, SetID=True, ClusterID="u0"), 2, executor)
    monkeypatch.delenv("PARASCHUT_JOB_ID")
    psu.qdel_batch(BATCH, executor)
    assert "not deleted" not in capsys.readouterr().out
    assert state_of_all(chain) == ["init"] * 3
    assert executor.queue == {}


@pytest.mark.parametrize(
    ("raised", "state"), [(SubmitError("full"), "init"), (psu.ParaschutError("who knows"), "submit")]
)
def test_only_a_refusal_gives_a_job_back(chain: ProjectDir, raised: Exception, state: str) -> None:
    class Raising(psu.JobExecutor):
        def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
            raise raised

    psu.submit_jobs(Executor=Raising())
    assert state_of_all(chain) == [state, state, "init"]


def test_what_fails_after_the_job_was_taken_leaves_it_in_doubt(chain: ProjectDir) -> None:
    class Failing(psu.JobExecutor):
        def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
            JobInfo["result"] = lambda: 0
            psu.update_job(JobInfo)  # the scheduler has it by now
            return "1"

    psu.submit_jobs(Executor=Failing())
    assert state_of_all(chain) == ["submit", "submit", "init"]
