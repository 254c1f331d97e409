"""What a running job calls: completing with everybody's changes kept, its token, its children."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core import exit_kinds
from paraschut_core.errors import ConflictError, StaleJobError, UsageError
from paraschut_core.model import ExitInfo, JobKey
from tests.helpers import BATCH, ProjectDir, Scheduler, Script, assert_sound, run_script

Enter = Callable[..., None]


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, project: ProjectDir) -> Enter:
    """Makes this process the current submission of a job."""

    def enter(index: int = 0, job_id: str = "1001", **variables: str) -> None:
        given = {
            "PARASCHUT_BATCH_ID": str(BATCH),
            "PARASCHUT_JOB_INDEX": str(index),
            "PARASCHUT_TOKEN": str(project.column("token", index)),
            "PARASCHUT_JOB_ID": job_id,
        }
        for name, value in {**given, **variables}.items():
            monkeypatch.setenv(name, value)

    return enter


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def leave() -> None:
        for name in ("BATCH_ID", "JOB_INDEX", "TOKEN", "JOB_ID"):
            monkeypatch.delenv(f"PARASCHUT_{name}", raising=False)

    return leave


@pytest.fixture
def submitted(project: ProjectDir, scheduler: Scheduler) -> Scheduler:
    """One job, submitted as 1001."""
    project.add(project.job(count=1, tags=["a"]))
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    return scheduler


# ------------------------------------------------------------------------------------ set_complete


def test_a_job_goes_its_whole_way(submitted: Scheduler, inside: Enter, project: ProjectDir) -> None:
    inside()
    info = psu.get_job_info(SetID=True)
    assert info["ClusterID"] == info["submit_id"] == "1001"
    info["result"] = [1, 2.5]
    psu.set_complete(BATCH, 0, info)
    done = psu.get_job_info(BATCH, 0)
    assert done["state"] == "complete"
    assert done["result"] == [1, 2.5]
    assert done["qstat"]["job_id"] == "1001"
    assert "ClusterID" not in done
    assert "submit_id" not in done
    assert project.sql('SELECT "from", "to" FROM event WHERE JobIndex = 0 ORDER BY id') == [
        ("init", "submit"),
        ("submit", "run"),
        ("run", "complete"),
    ]
    assert_sound(project.database)


def test_set_complete_without_metadata_takes_what_is_stored(project: ProjectDir) -> None:
    project.add(project.job(count=1))
    psu.set_complete(BATCH, 0)
    assert psu.get_job_info(BATCH, 0)["count"] == 1
    assert project.state() == "complete"


def test_set_complete_takes_the_job_from_its_metadata_or_the_environment(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add_many(3)
    psu.set_complete(JobInfo=psu.get_job_info(BATCH, 1))
    monkeypatch.setenv("PARASCHUT_BATCH_ID", str(BATCH))
    monkeypatch.setenv("PARASCHUT_JOB_INDEX", "2")
    psu.set_complete()
    assert project.states() == {0: "init", 1: "complete", 2: "complete"}
    monkeypatch.delenv("PARASCHUT_BATCH_ID")
    with pytest.raises(UsageError, match="Which job"):
        psu.set_complete()


def test_what_others_changed_while_the_job_ran_survives_its_completion(
    submitted: Scheduler, inside: Enter, outside: Callable[[], None], project: ProjectDir
) -> None:
    inside()
    info = psu.get_job_info(SetID=True)
    outside()
    psu.boost_batch_priority(BATCH, 100)
    psu.set_job_field(BATCH, 0, {"resources": {"mem": "9gb"}, "added": True})
    other = psu.get_job_info(BATCH, 0)
    other["tags"] = ["a", "b"]
    psu.update_job(other)
    inside()
    info["result"] = 7
    psu.set_complete(BATCH, 0, info)
    done = psu.get_job_info(BATCH, 0)
    assert (done["priority"], done["resources"], done["added"], done["tags"], done["result"]) == (
        101,
        {"mem": "9gb"},
        True,
        ["a", "b"],
        7,
    )
    assert info["priority"] == 101, "the job's own copy is brought up to date"


def test_where_both_changed_a_field_the_jobs_own_word_wins(
    submitted: Scheduler, inside: Enter, outside: Callable[[], None], project: ProjectDir
) -> None:
    inside()
    info = psu.get_job_info(SetID=True)
    outside()
    psu.set_job_field(BATCH, 0, {"count": 50})
    inside()
    info["count"] = 2
    psu.set_complete(BATCH, 0, info)
    assert psu.get_job_info(BATCH, 0)["count"] == 2


def test_arrays_in_the_metadata_merge_too(
    submitted: Scheduler, inside: Enter, outside: Callable[[], None]
) -> None:
    numpy = pytest.importorskip("numpy")
    outside()
    psu.set_job_field(BATCH, 0, {"matrix": numpy.arange(4.0)})
    inside()
    info = psu.get_job_info(SetID=True)
    outside()
    psu.set_job_field(BATCH, 0, {"matrix": numpy.arange(4.0) + 1})
    inside()
    psu.set_complete(BATCH, 0, info)
    assert list(psu.get_job_info(BATCH, 0)["matrix"]) == [1, 2, 3, 4]


def test_a_boost_during_a_real_job_survives_it(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add(project.job())
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    code = """
        import os
        import time
        import paraschut_core as psu
        info = psu.get_job_info(SetID=True)
        print("running", flush=True)
        while not os.path.exists("go on"):
            time.sleep(0.01)
        info["result"] = 1
        psu.set_complete(JobInfo=info)
    """
    with Script(code, **scheduler.specs[0].environment, PARASCHUT_JOB_ID="1001") as job:
        assert job.line() == "running"
        psu.boost_batch_priority(BATCH)
        (project.folder / "go on").touch()
        job.output()
    info = psu.get_job_info(BATCH, 0)
    assert (info["state"], info["priority"], info["result"]) == ("complete", 101, 1)


@pytest.mark.parametrize(("field", "value"), [("priority", "high"), ("priority", None)])
def test_a_job_that_stores_nonsense_fails_and_its_row_stays(
    submitted: Scheduler, inside: Enter, project: ProjectDir, field: str, value: Any
) -> None:
    inside()
    info = psu.get_job_info(SetID=True)
    with pytest.raises(UsageError, match=field):
        psu.set_complete(BATCH, 0, {**info, field: value})
    assert project.state() == "run"
    assert project.column("priority") == 1


def test_set_complete_submits_what_is_next(project: ProjectDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a real job of the local executor, by the documents' two lines."""
    project.configure('executor = "file"\n')
    project.add(project.job(0, priority=2), project.job(1, priority=1))
    project.set_columns(0, state="run")
    out = run_script(
        f"import paraschut_core as psu; info = psu.get_job_info({BATCH}, 0)\n"
        f"psu.set_complete({BATCH}, 0, info, Submit=True)"
    )
    assert out == "max jobs: 1000\nin queue: 0\nsubmitted: 1\n"
    assert project.states() == {0: "complete", 1: "submit"}


def test_a_job_completes_even_if_what_is_next_cannot_be_submitted(
    project: ProjectDir, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARASCHUT_EXECUTOR", "nobody")
    project.add_many(2)
    psu.set_complete(BATCH, 0, Submit=True)
    assert project.states() == {0: "complete", 1: "init"}
    assert "the next jobs were not submitted: There is no executor 'nobody'" in capsys.readouterr().err


# ------------------------------------------------------------------------------------ stale attempts


def test_a_stale_duplicate_stops_at_the_start_gate(
    submitted: Scheduler, inside: Enter, outside: Callable[[], None], project: ProjectDir
) -> None:
    inside(job_id="1001")
    old = os.environ["PARASCHUT_TOKEN"]
    outside()
    project.reset_by_force()
    inside(PARASCHUT_TOKEN=old)
    with pytest.raises(StaleJobError, match="must not start: it was reset"):
        psu.get_job_info(SetID=True)
    assert project.state() == "init"
    outside()
    psu.submit_one_job(BATCH, 0, Executor=submitted)
    inside(PARASCHUT_TOKEN=old)
    with pytest.raises(StaleJobError, match="attempt 2 has taken its place"):
        psu.get_job_info(SetID=True)
    assert project.state() == "submit"


def test_an_attempt_that_was_reset_while_it_ran_cannot_complete_nor_record_its_exit(
    submitted: Scheduler, inside: Enter, outside: Callable[[], None], project: ProjectDir
) -> None:
    from paraschut_core import in_job

    inside()
    info = psu.get_job_info(SetID=True)
    old = os.environ["PARASCHUT_TOKEN"]
    outside()
    project.reset_by_force()
    inside(PARASCHUT_TOKEN=old)
    with pytest.raises(StaleJobError, match="was reset while"):
        psu.set_complete(BATCH, 0, info)
    outside()
    psu.submit_one_job(BATCH, 0, Executor=submitted)
    inside(PARASCHUT_TOKEN=old)
    with pytest.raises(StaleJobError, match="was submitted again while"):
        psu.set_complete(BATCH, 0, info)
    with in_job.database() as db, pytest.raises(StaleJobError):
        in_job.record_exit(db, JobKey(BATCH, 0), 1, in_job.CommandEnd(3))
    assert project.state() == "submit"
    assert project.sql("SELECT count(*) FROM ending") == [(0,)]


def test_without_a_token_an_older_attempt_cannot_complete_either(
    submitted: Scheduler, project: ProjectDir
) -> None:
    info = psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001")
    project.reset_by_force()
    psu.submit_one_job(BATCH, 0, Executor=submitted)
    with pytest.raises(ConflictError, match="at attempt 2 by now, this is attempt 1"):
        psu.set_complete(BATCH, 0, info)
    assert project.state() == "submit"


def test_a_requeue_by_the_scheduler_is_a_new_attempt_into_the_same_logs(
    submitted: Scheduler, project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paraschut_core.database.connection import Database
    from paraschut_core.database.lifecycle import JobProcess, start

    key = JobKey(BATCH, 0)
    token = project.column("token")
    with Database(project.database) as db:
        for restarts in (0, 1, 1):
            with db.transaction() as tx:
                info = start(tx, db, key, JobProcess("1001", "n1", token, restarts))
    assert info["attempt"] == 2
    assert info["stdout"] == [submitted.specs[0].stdout] * 2
    assert project.column("restarts") == 1
    assert project.sql("SELECT attempt, why FROM event WHERE why LIKE '%requeued%'") == [
        (2, "requeued by the scheduler")
    ]


def test_a_completed_job_that_the_scheduler_requeues_stops_before_users_code(
    submitted: Scheduler, inside: Enter
) -> None:
    inside()
    psu.set_complete(JobInfo=psu.get_job_info(SetID=True))
    with pytest.raises(StaleJobError, match="complete already"):
        psu.get_job_info(SetID=True)


# ------------------------------------------------------------------------------------ by itself


def test_a_job_updates_its_own_metadata_while_it_runs(
    submitted: Scheduler, inside: Enter, project: ProjectDir
) -> None:
    inside()
    info = psu.get_job_info(SetID=True)
    for phase in range(3):
        info["phase"] = phase
        psu.update_job(info)
    info["state"] = "phase 3"
    psu.update_job(info)
    psu.set_complete(JobInfo=info)
    assert psu.get_job_info(BATCH, 0)["phase"] == 2
    whys = [why for (why,) in project.sql("SELECT why FROM event WHERE JobIndex = 0 ORDER BY id")]
    assert whys == ["submitted", "started", "update_job", "completed"], "only changes of state are history"


def test_an_exit_status_is_kept_for_whoever_finds_the_job_missing(
    submitted: Scheduler, inside: Enter, project: ProjectDir
) -> None:
    from paraschut_core import in_job
    from paraschut_core.database.events import read_ending

    inside()
    with in_job.database() as db:
        in_job.record_exit(db, JobKey(BATCH, 0), 1, in_job.CommandEnd(-9, 9))
        ending = read_ending(db, JobKey(BATCH, 0), 1)
    words = "killed by signal 9 (SIGKILL)"
    assert ending == ExitInfo(
        words, None, 9, os.uname().nodename, kind=exit_kinds.SIGNAL, source=exit_kinds.WRAPPER
    )


def test_events_name_the_process_and_inside_a_job_its_id(
    submitted: Scheduler, inside: Enter, project: ProjectDir
) -> None:
    inside()
    psu.get_job_info(SetID=True)
    (who,) = project.sql("SELECT who FROM event WHERE why = 'started'")[0]
    assert who.endswith(f"@{os.uname().nodename}:{os.getpid()} (1001)")


def test_a_process_whose_environment_is_anothers_junk_is_no_job(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add(project.job())
    monkeypatch.setenv("PARASCHUT_BATCH_ID", "x")
    monkeypatch.setenv("PARASCHUT_JOB_INDEX", "")
    with pytest.raises(UsageError, match="Which job"):
        psu.get_job_info()
    monkeypatch.setenv("PARASCHUT_EXECUTOR", "nobody")
    assert psu.ClusterID is None


def test_a_job_leaves_the_journal_as_its_submitter_chose_it(project: ProjectDir) -> None:
    from paraschut_core.database.connection import on_network

    if on_network(str(project.folder)):
        pytest.skip("temporary files are on a network file system, where there is no WAL")
    project.configure('journal = "auto"\n')
    project.add(project.job())
    assert project.sql("PRAGMA journal_mode") == [("wal",)]
    run_script(f"import paraschut_core as psu; psu.set_complete({BATCH}, 0)")
    assert project.sql("PRAGMA journal_mode") == [("wal",)]
    assert project.state() == "complete"
