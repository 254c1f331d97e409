"""The functions take every argument of v0.6, and ids as a script finds them on its command line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core.errors import DuplicateJobError, UnknownJobError, UsageError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.in_job import settings

from ..helpers import BATCH, ROOT, ProjectDir, Scheduler, run_script, wait_until

Names = tuple[str, ...]


def job(index: int = 0, batch: object = BATCH, **fields: object) -> dict[str, Any]:
    return {**psu.get_job_template(), "BatchID": batch, "JobIndex": index, "script": "true", **fields}


@pytest.fixture
def index(project: ProjectDir) -> ProjectDir:
    """A batch of three jobs."""
    project.configure('executor = "file"\n')
    psu.add_batch_to_queue(BATCH, [job(i) for i in range(3)])
    return project


def call(name: str, *args: object, **kwargs: object) -> Any:
    """One call of a documented function as v0.6's users spelled it, which mypy would not let through."""
    return getattr(psu, name)(*args, **kwargs)


# ------------------------------------------------------------------------------------ arguments


WITHOUT_EFFECT: list[tuple[str, dict[str, object], Names]] = [
    ("get_job_info", {"BatchID": BATCH, "JobIndex": 0}, ("db_connection", "enforce_unique_job", "HoldFile")),
    ("set_job_field", {"BatchID": BATCH, "JobIndex": 0, "Fields": {"x": 1}}, ("db_connection",)),
    ("submit_jobs", {"MaxJobs": 0}, ("ForceSubmit",)),
    ("periodic_submitter", {"n": 1, "MaxJobs": 0}, ("ForceSubmit",)),
    ("LocalJobExecutor", {"max_workers": 1}, ("verbose",)),
]
NEED_THE_JOB = [
    ("update_job", ("Release", "db_connection", "tries", "enforce_unique_job")),
    ("spawn_complete", ("db_connection", "tries")),
    ("spawn_get_info", ("db_connection", "tries")),
    ("spawn_resubmit", ("spawn_state",)),
]


@pytest.mark.parametrize(("function", "needed", "old"), WITHOUT_EFFECT)
def test_an_argument_without_effect_gives_one_warning_and_the_call_works(
    index: ProjectDir, function: str, needed: dict[str, object], old: Names
) -> None:
    with pytest.warns(DeprecationWarning) as caught:
        call(function, **needed, **dict.fromkeys(old, None))
    (warning,) = caught
    assert str(warning.message).startswith(f"{function}: ") or function == "periodic_submitter"
    assert all(name in str(warning.message) for name in old)


@pytest.mark.parametrize("function", [name for name, _ in NEED_THE_JOB])
def test_what_a_running_job_calls_takes_them_too(
    index: ProjectDir, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.setenv("PARASCHUT_JOB_ID", "7")
    executor = Scheduler()
    info = psu.get_job_info(BATCH, 0, SetID=True, ClusterID="7")
    if function != "update_job":
        info = psu.spawn_submit(info, 0, executor)
    arguments: dict[str, object] = {"JobInfo": info}
    if function.endswith(("_info", "_resubmit")):
        arguments = {"BatchID": BATCH, "JobIndex": 0}
    if function == "spawn_resubmit":
        arguments["Executor"] = executor
    old = dict(NEED_THE_JOB)[function]
    with pytest.warns(DeprecationWarning) as caught:
        call(function, **arguments, **dict.fromkeys(old, True))
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_arguments_by_position_mean_what_they_meant(index: ProjectDir) -> None:
    info = psu.get_job_info(BATCH, 0)
    with pytest.warns(DeprecationWarning):
        call("update_job", info, True)
    with pytest.warns(DeprecationWarning, match="db_connection, enforce_unique_job"):
        call("get_job_info", BATCH, 0, False, None, None, True, True)
    with pytest.warns(DeprecationWarning):
        call("set_job_field", BATCH, 0, {"x": 2}, {}, None)
    assert psu.get_job_info(BATCH, 0)["x"] == 2
    with pytest.warns(DeprecationWarning):
        call("submit_jobs", None, 0, 0, True, "")
    psu.FileJobExecutor("run.sh", True)
    psu.LocalJobExecutor(1, True).shutdown(wait=True)
    JobExecutor().shutdown(True)


def test_what_was_never_an_argument_is_an_error_still(index: ProjectDir) -> None:
    for arguments in ((BATCH, 0, False, None, None, True, False, False, 1), (BATCH,) * 9):
        with pytest.raises(TypeError):
            call("get_job_info", *arguments)
    with pytest.raises(TypeError, match="Releases"):
        call("update_job", psu.get_job_info(BATCH, 0), Releases=True)
    with pytest.raises(TypeError, match="multiple values"):
        call("update_job", psu.get_job_info(BATCH, 0), True, JobInfo={})


def test_a_call_of_today_gives_no_warning(index: ProjectDir) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        psu.update_job(psu.get_job_info(BATCH, 0, SetID=False, ClusterID=None, ignore_spawn=True))
        psu.FileJobExecutor("run.sh", submitter=True)
        psu.submit_jobs(MaxJobs=0)


def test_jobs_are_the_list_of_a_batch(index: ProjectDir) -> None:
    call("add_batch_to_queue", BATCH + 1, Jobs=[job(0, BATCH + 1)])
    call("add_batch_to_queue", BATCH + 2, job(0, BATCH + 2))
    assert psu.get_job_info(BATCH + 1, 0)["state"] == psu.get_job_info(BATCH + 2, 0)["state"] == "init"


def test_one_more_spawn_is_submitted_of_a_job(index: ProjectDir, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = Scheduler()
    monkeypatch.setenv("PARASCHUT_JOB_ID", "7")
    psu.get_job_info(BATCH, 0, SetID=True, ClusterID="7")
    psu.submit_one_job(BATCH, 0, executor, Spawn=True)
    assert psu.spawn_get_info(BATCH, 0)["SpawnID"] == [0, 1]
    psu.submit_one_job(BATCH, 0, executor, True, 3)
    assert psu.spawn_get_info(BATCH, 0)["SpawnID"] == [0, 1, 2]
    with pytest.raises(UsageError, match="SpawnCount is 3"):
        psu.submit_one_job(BATCH, 0, executor, True, 3)
    with pytest.raises(UsageError, match="'init'"):
        psu.submit_one_job(BATCH, 1, executor, Spawn=True)


OLD_JOB = """
import sys
import paraschut_core as psu
job = psu.get_job_info(sys.argv[1], sys.argv[2], HoldFile=True, SetID=True, ClusterID=psu.ClusterID)
job['result'] = 6 * 7
psu.update_job(job, Release=True)
job['state'] = 'complete'
psu.update_job(job, Release=True)
"""


def test_a_job_of_v06_that_releases_itself_ends_well(project: ProjectDir) -> None:
    (project.folder / "job.py").write_text(OLD_JOB)
    script = f"env PYTHONPATH={ROOT} {sys.executable} job.py {BATCH} 0"
    psu.add_job_to_queue(job(script=script))
    psu.submit_jobs()
    wait_until(lambda: project.state() == "complete", "the job is complete")
    assert psu.get_job_info(BATCH, 0)["result"] == 42


# ------------------------------------------------------------------------------------ ids

B, J = str(BATCH), "1"

BY_TEXT: dict[str, Callable[[], object]] = {
    "get_job_info": lambda: psu.get_job_info(B, J),
    "get_job_info SetID": lambda: psu.get_job_info(B, J, SetID=True, ClusterID="7"),
    "print_log": lambda: psu.print_log(B, J),
    "print_log of several": lambda: psu.print_log([B], ["0", 1]),
    "submit_one_batch": lambda: psu.submit_one_batch(B),
    "submit_one_batch of several": lambda: psu.submit_one_batch([B]),
    "submit_one_job": lambda: psu.submit_one_job(B, J),
    "set_batch_field": lambda: psu.set_batch_field(B, {"x": 1}),
    "set_job_field": lambda: psu.set_job_field(B, J, {"x": 1}),
    "boost_batch_priority": lambda: psu.boost_batch_priority(B),
    "qdel_batch": lambda: psu.qdel_batch(B),
    "qdel_job": lambda: psu.qdel_job(B, J),
    "qdel_job of several": lambda: psu.qdel_job(B, ["0", J]),
    "qdel_job by metadata": lambda: psu.qdel_job(JobInfo={"BatchID": B, "JobIndex": J}),
    "set_complete": lambda: psu.set_complete(B, J),
    "set_complete by metadata": lambda: psu.set_complete(
        JobInfo={**psu.get_job_info(BATCH, 1), "BatchID": B, "JobIndex": J}
    ),
    "update_job": lambda: psu.update_job({**psu.get_job_info(BATCH, 1), "BatchID": B, "JobIndex": J}),
    "generate_script": lambda: psu.generate_script(job(1, B, script="echo {BatchID} {JobIndex}")),
    "generate_data": lambda: psu.generate_data({"BatchID": B, "JobIndex": J}, [1]),
    "clean_temp_files": lambda: psu.clean_temp_files(batch_list=B),
    "clean_temp_folders": lambda: psu.clean_temp_folders([B]),
    "remove_batch": lambda: psu.remove_batch(B),
    "add_batch_to_queue": lambda: psu.add_batch_to_queue(str(BATCH + 1), [job(0, str(BATCH + 1))]),
    "add_job_to_queue": lambda: psu.add_job_to_queue({**job(0, B), "JobIndex": "3"}),
}


@pytest.mark.parametrize("function", BY_TEXT)
def test_digits_as_text_are_ids(
    index: ProjectDir, function: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    BY_TEXT[function]()
    if function == "set_job_field":
        assert [psu.get_job_info(BATCH, i).get("x") for i in range(3)] == [None, 1, None]
    elif function.startswith("set_complete"):
        assert index.states() == {0: "init", 1: "complete", 2: "init"}
    elif function == "submit_one_job":
        assert index.states() == {0: "init", 1: "submit", 2: "init"}
    elif function == "remove_batch":
        assert index.states() == {}
    elif function == "add_job_to_queue":
        assert sorted(index.states()) == [0, 1, 2, 3]


def test_spawns_are_named_by_digits_as_text(index: ProjectDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARASCHUT_JOB_ID", "7")
    info = psu.get_job_info(B, J, SetID=True, ClusterID="7")
    executor = Scheduler()
    info = psu.spawn_submit({**info, "BatchID": B, "JobIndex": J}, 1, executor)
    assert psu.spawn_get_info(B, J)["SpawnID"] == [0, 1]
    assert psu.spawn_complete({**info, "BatchID": B, "JobIndex": J})["state"] == "spawn"
    assert psu.spawn_resubmit(B, J, executor, SpawnCount=3) == 1


@pytest.mark.parametrize(
    "value", ["", "x", "1 OR 1=1", "-1", "1.0", "0x1", "١", "9" * 30, "9" * 5000, b"1", 1.0, True, None]
)
def test_anything_else_is_no_id(index: ProjectDir, value: Any) -> None:
    for function in (psu.remove_batch, psu.set_batch_field, psu.qdel_batch, psu.submit_one_batch):
        with pytest.raises(UsageError, match="BatchID"):
            function(value)
    with pytest.raises(UsageError):
        psu.set_job_field(BATCH, value)
    assert index.states() == {0: "init", 1: "init", 2: "init"}


UNKNOWN: dict[str, Callable[[], object]] = {
    "set_batch_field": lambda: psu.set_batch_field(99),
    "set_job_field of no batch": lambda: psu.set_job_field(99, 0),
    "set_job_field": lambda: psu.set_job_field(BATCH, [0, 99], {"x": 1}),
    "boost_batch_priority": lambda: psu.boost_batch_priority(99),
    "qdel_batch": lambda: psu.qdel_batch(99),
    "qdel_job": lambda: psu.qdel_job(BATCH, 99),
    "qdel_job of several": lambda: psu.qdel_job(BATCH, [0, 99]),
    "qdel_job by metadata": lambda: psu.qdel_job(JobInfo={"BatchID": BATCH, "JobIndex": 99}),
    "remove_batch": lambda: psu.remove_batch([BATCH, 99]),
    "submit_one_batch": lambda: psu.submit_one_batch(99),
    "submit_one_job": lambda: psu.submit_one_job(BATCH, [0, 99]),
    "get_job_info": lambda: psu.get_job_info(BATCH, 99),
    "get_job_info SetID": lambda: psu.get_job_info(BATCH, 99, SetID=True, ClusterID="7"),
    "set_complete": lambda: psu.set_complete(BATCH, 99),
    "update_job": lambda: psu.update_job({**psu.get_job_info(BATCH, 0), "JobIndex": 99}),
    "print_log": lambda: psu.print_log(BATCH, 99),
    "spawn_submit": lambda: psu.spawn_submit({"BatchID": BATCH, "JobIndex": 99}, 1),
    "spawn_complete": lambda: psu.spawn_complete({"BatchID": BATCH, "JobIndex": 99}),
    "spawn_resubmit": lambda: psu.spawn_resubmit(BATCH, 99),
    "spawn_get_info": lambda: psu.spawn_get_info(BATCH, 99),
    "clean_temp_files": lambda: psu.clean_temp_files(batch_list=99),
    "clean_temp_folders": lambda: psu.clean_temp_folders(99),
}


@pytest.mark.parametrize("function", UNKNOWN)
def test_an_unknown_job_or_batch_is_an_error_and_nothing_is_done(index: ProjectDir, function: str) -> None:
    with pytest.raises(UnknownJobError, match="99"):
        UNKNOWN[function]()
    assert index.states() == {0: "init", 1: "init", 2: "init"}
    assert "x" not in psu.get_job_info(BATCH, 0)


# ------------------------------------------------------------------------------------ iterables


def some(batch: int) -> Iterator[dict[str, Any]]:
    for i in range(3):
        yield job(i, batch)


MADE: dict[str, Callable[[int], Any]] = {
    "generator": some,
    "tuple": lambda batch: tuple(some(batch)),
    "map": lambda batch: map(dict, some(batch)),
    "dict view": lambda batch: dict(enumerate(some(batch))).values(),
    "deque": lambda batch: __import__("collections").deque(some(batch)),
}


@pytest.mark.parametrize("kind", MADE)
def test_jobs_are_added_from_any_iterable(
    index: ProjectDir, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    psu.add_batch_to_queue(BATCH + 1, MADE[kind](BATCH + 1))
    assert "(size 3)" in capsys.readouterr().out
    psu.add_job_to_queue(MADE[kind](BATCH + 2), set_index=True)
    assert len(index.states(BATCH + 1)) == len(index.states(BATCH + 2)) == 3
    with pytest.raises(DuplicateJobError):
        psu.add_job_to_queue(MADE[kind](BATCH + 2))


def test_batches_and_jobs_are_chosen_by_any_iterable(index: ProjectDir) -> None:
    psu.set_job_field(BATCH, (i for i in (0, "1")), {"x": 1})
    psu.set_batch_field((b for b in [BATCH]), {"y": 1})
    psu.submit_one_batch(psu.get_queue(Verbose=False) or {})
    assert [psu.get_job_info(BATCH, i).get("x") for i in range(3)] == [1, 1, None]
    assert set(index.states().values()) == {"submit"}
    psu.qdel_job(BATCH, range(2))
    psu.qdel_batch({BATCH: []})
    assert set(index.states().values()) == {"init"}
    psu.clean_temp_files(iter(["*.x"]), iter([BATCH]))
    psu.remove_batch_by_state(state for state in ["init"])
    assert index.states() == {}


# ------------------------------------------------------------------------------------ JobDir


def test_what_is_added_to_the_job_directory_is_a_path_in_it(project: ProjectDir) -> None:
    assert psu.JobDir == f"{project.folder}/"
    assert settings().job_dir == str(project.folder), "the setting itself stays as it is"
    code = "import paraschut_core as psu; print(psu.JobDir + '5/results')"
    assert run_script(code).strip() == str(project.folder / "5" / "results")
    assert run_script(code, PARASCHUT_JOB_DIR="/tmp/").strip() == "/tmp/5/results"
