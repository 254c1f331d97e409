"""Executors of other people: registered by an entry point, found by name, never able to crash their user."""

from __future__ import annotations

import logging
import sys

import pytest

import paraschut_core as psu
from paraschut_core import executors
from paraschut_core.config import load
from paraschut_core.errors import UsageError
from tests.helpers import BATCH, ProjectDir, run_script

MODULE = '''
"""A lab's own scheduler: a directory with a file for each job."""
import os
import paraschut_core as psu

class BenchExecutor(psu.JobExecutor):
    name = "custom"

    def __init__(self, settings=None):
        self.folder = os.path.join(settings.job_dir, "bench")
        os.makedirs(self.folder, exist_ok=True)

    def submit(self, JobInfo, Spawn=False):
        id_ = f"bench-{JobInfo['BatchID']}-{JobInfo['JobIndex']}"
        with open(os.path.join(self.folder, id_), "w") as file:
            file.write("\\n".join(f"{k}={v}" for k, v in JobInfo["vars"].items()))
        return id_

    def delete(self, JobInfo):
        os.unlink(os.path.join(self.folder, JobInfo["submit_id"]))

    def qstat(self):
        return {name: [name, "R"] for name in os.listdir(self.folder)}

    def get_job_id(self):
        return os.environ.get("BENCH_ID")

    def get_job_summary(self, ClusterID=None):
        if os.environ.get("BENCH_BREAKS"):
            raise RuntimeError("accounting is down")
        return {"bench": ClusterID or self.get_job_id()}

class Plain(psu.JobExecutor):
    """Takes no settings."""

    def __init__(self):
        pass

class Broken(psu.JobExecutor):
    def __init__(self, settings=None):
        raise RuntimeError("the bench is on fire")

class TypeBroken(psu.JobExecutor):
    def __init__(self, settings=None):
        settings + 1

class NoExecutor:
    pass
'''

POINTS = """[paraschut.executors]
bench = lab_bench:BenchExecutor
plain = lab_bench:Plain
broken = lab_bench:Broken
type_broken = lab_bench:TypeBroken
nothing = lab_bench:NoExecutor
gone = lab_bench_that_is_not_there:Executor
no_name = lab_bench:NoSuchClass
"""


@pytest.fixture
def lab(project: ProjectDir, monkeypatch: pytest.MonkeyPatch) -> ProjectDir:
    """An installed distribution, as pip leaves it: a module and its dist-info, found along sys.path."""
    site = project.folder / "site-packages"
    info = site / "lab_bench-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "lab_bench.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-bench\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setattr(executors, "_plug_ins", {})
    yield project
    sys.modules.pop("lab_bench", None)


def use(project: ProjectDir, name: str) -> None:
    project.configure(f'executor = "{name}"\n[poll]\ninterval = 0\ngrace = 0\n')


def test_a_registered_executor_is_found_by_its_name_and_does_all_the_work(lab: ProjectDir) -> None:
    use(lab, "bench")
    lab.add_many(2)
    psu.submit_jobs()
    assert lab.states() == {0: "submit", 1: "submit"}
    assert lab.column("submit_id", 1) == f"bench-{BATCH}-1"
    queue = psu.get_queue(Verbose=False)
    assert len(queue[BATCH]) == 2
    psu.qdel_job(BATCH, 1)
    assert lab.states() == {0: "submit", 1: "init"}
    assert [path.name for path in (lab.folder / "bench").iterdir()] == [f"bench-{BATCH}-0"]


def job_environment(lab: ProjectDir, index: int) -> dict[str, str]:
    text = (lab.folder / "bench" / f"bench-{BATCH}-{index}").read_text()
    return dict(line.split("=", 1) for line in text.splitlines())


def test_a_job_of_it_knows_itself_by_the_plug_in_and_submits_others_with_it(lab: ProjectDir) -> None:
    use(lab, "bench")
    lab.add(lab.job(0, priority=2), lab.job(1, priority=1))
    psu.submit_jobs()
    environment = job_environment(lab, 0)
    assert environment["PARASCHUT_EXECUTOR"] == "bench"
    code = """
        import paraschut_core as psu
        info = psu.get_job_info(SetID=True)
        assert info["ClusterID"] == psu.ClusterID == "bench-%d-0", info
        psu.set_complete(JobInfo=info, Submit=True)
    """
    out = run_script(code % BATCH, **environment, BENCH_ID=f"bench-{BATCH}-0")
    assert "submitted: 1" in out
    assert lab.states() == {0: "complete", 1: "submit"}
    assert psu.get_job_info(BATCH, 0)["qstat"] == {"bench": f"bench-{BATCH}-0"}


def test_jobs_submitted_by_the_object_that_the_settings_name_submit_others_with_it_too(
    lab: ProjectDir,
) -> None:
    """Of a module that only hands the class on, the entry point does not tell the class's own module."""
    (lab.folder / "site-packages" / "lab_front.py").write_text("from lab_bench import Plain as Front\n")
    points = lab.folder / "site-packages" / "lab_bench-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"{POINTS}front = lab_front:Front\n")
    use(lab, "front")
    settings = load()
    made = executors.make(settings)
    told = executors.variables_for(made, settings, given=True)
    assert told == {"PARASCHUT_EXECUTOR": "front", "PARASCHUT_EXECUTOR_ARGUMENTS": ""}
    assert executors.variables_for(type(made)(), settings, given=True) != told
    use(lab, "plain")
    again = executors.variables_for(type(made)(), load(), given=True)
    assert again == {"PARASCHUT_EXECUTOR": "plain", "PARASCHUT_EXECUTOR_ARGUMENTS": ""}


def test_a_plug_in_whose_accounting_fails_does_not_fail_the_job_that_is_done(lab: ProjectDir) -> None:
    use(lab, "bench")
    lab.add_many(1)
    psu.submit_jobs()
    code = "import paraschut_core as psu; psu.set_complete(JobInfo=psu.get_job_info(SetID=True))"
    run_script(code, **job_environment(lab, 0), BENCH_ID=f"bench-{BATCH}-0", BENCH_BREAKS="1")
    assert lab.state() == "complete"
    assert psu.get_job_info(BATCH, 0)["qstat"] == {"error": "accounting is down"}


def test_a_plug_in_that_takes_no_settings_is_made_without(lab: ProjectDir) -> None:
    use(lab, "plain")
    assert type(executors.make(load())).__name__ == "Plain"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("broken", "RuntimeError: the bench is on fire"),
        ("type_broken", "TypeError"),
        ("gone", "No module named 'lab_bench_that_is_not_there'"),
        ("no_name", "NoSuchClass"),
        ("nothing", "is no JobExecutor but NoExecutor"),
    ],
)
def test_a_broken_plug_in_is_logged_and_an_error_of_the_house(
    lab: ProjectDir, caplog: pytest.LogCaptureFixture, name: str, complaint: str
) -> None:
    use(lab, name)
    lab.add_many(1)
    with caplog.at_level(logging.ERROR), pytest.raises(UsageError, match=f"plug-in {name}.*{complaint}"):
        psu.submit_jobs()
    assert lab.state() == "init"
    if name != "nothing":
        assert f"The executor plug-in {name} is broken" in caplog.text
        assert caplog.records[0].exc_info


def test_a_broken_plug_in_does_not_keep_the_index_from_being_read(lab: ProjectDir) -> None:
    use(lab, "broken")
    lab.add_many(1)
    assert psu.get_job_info(BATCH, 0)["state"] == "init"
    psu.set_complete(BATCH, 0)


def test_a_name_that_nobody_provides_is_an_error_that_names_all_there_are(lab: ProjectDir) -> None:
    use(lab, "torque")
    with pytest.raises(
        UsageError, match=r"no executor 'torque'. Known: local, slurm, .*bench, broken"
    ) as raised:
        psu.submit_jobs()
    assert isinstance(raised.value, psu.ParaschutError)


@pytest.mark.parametrize("name", ["local", "slurm", "sge", "pbs", "file"])
def test_the_five_executors_are_made_by_their_names(project: ProjectDir, name: str) -> None:
    use(project, name)
    made = executors.make(load())
    assert isinstance(made, psu.JobExecutor)
    assert made.name == name


def test_the_documented_classes_are_exported(project: ProjectDir) -> None:
    for name in ("PBS", "SGE", "Slurm", "Local"):
        assert issubclass(getattr(psu, f"{name}JobExecutor"), psu.JobExecutor)
    assert issubclass(psu.FileJobExecutor, psu.JobExecutor)
    for method in ("submit", "delete", "qstat", "get_job_id", "get_job_summary", "isconnected", "shutdown"):
        assert callable(getattr(psu.JobExecutor, method))
