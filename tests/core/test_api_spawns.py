"""Spawn jobs: a job that multiplies itself, and is complete when all of it is, exactly once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core.errors import ConflictError, SchedulerError, StaleJobError, UnknownJobError, UsageError
from paraschut_core.model import JobInfo, JobKey
from paraschut_tui.actions.types import JobRecord
from paraschut_tui.dashboard.titles import log_streams
from tests.helpers import BATCH, ProjectDir, Scheduler, SchedulerDownError, Script, assert_sound

from .cli import CommandLine


@pytest.fixture(autouse=True)
def polls_always(project: ProjectDir) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")


class Job:
    """One job of which this process can play any spawn: it enters their environments in turn."""

    def __init__(self, project: ProjectDir, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project = project
        self.scheduler = scheduler
        self._monkeypatch = monkeypatch
        project.add(project.job())
        psu.submit_one_job(BATCH, 0, Executor=scheduler)
        self.parent = scheduler.specs[0].environment

    def act(self, environment: dict[str, str], job_id: str, play: Callable[[], Any]) -> Any:
        """Runs `play` as the process that was submitted with this environment under this id."""
        with self._monkeypatch.context() as context:
            for name, value in {**environment, "PARASCHUT_JOB_ID": job_id}.items():
                context.setenv(name, value)
            return play()

    def multiply(self, n: int, **fields: Any) -> JobInfo:
        def play() -> JobInfo:
            info = psu.get_job_info(SetID=True)
            return psu.spawn_submit(info | fields, n, Executor=self.scheduler)

        return self.act(self.parent, "1001", play)

    def spawn(self, number: int, play: Callable[[], Any]) -> Any:
        """Runs `play` as the spawn that was submitted `number`-th (1 is the first)."""
        ids = [id_ for id_ in self.ids() if id_ != "1001"]
        return self.act(dict(self.scheduler.specs[number].environment), ids[number - 1], play)

    def ids(self) -> list[str]:
        return [str(1001 + n) for n in range(len(self.scheduler.specs))]


@pytest.fixture
def job(project: ProjectDir, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(project, scheduler, monkeypatch)


def finish() -> JobInfo:
    """What every spawn's script does: to start, to work, to complete; the last finishes the job."""
    info = psu.spawn_complete(psu.get_job_info(SetID=True))
    if info["state"] == "complete":
        psu.set_complete(JobInfo=info)
    return info


def test_a_job_that_multiplies_itself_is_spawn_zero_and_submits_n_more(job: Job, project: ProjectDir) -> None:
    info = job.multiply(3)
    assert (info["state"], info["SpawnID"], info["ClusterID"], info["spawn_state"]) == (
        "spawn",
        [0],
        ["1001"],
        ["run"],
    )
    assert project.state() == "spawn"
    found = psu.spawn_get_info(BATCH, 0)
    assert found["SpawnID"] == [0, 1, 2, 3]
    assert found["ClusterID"] == ["1001", "1002", "1003", "1004"]
    assert found["spawn_state"] == ["run", "submit", "submit", "submit"]
    assert len(set(found["stdout"])) == len(set(found["stderr"])) == 4
    assert [spec.spawn_id for spec in job.scheduler.specs] == [None, 1, 2, 3]
    assert job.scheduler.specs[2].environment["PARASCHUT_SPAWN_ID"] == "2"
    assert job.scheduler.specs[2].stdout == found["stdout"][2]


def test_the_callers_unsaved_fields_are_kept(job: Job) -> None:
    info = job.multiply(1, parts=[1, 2])
    assert info["parts"] == [1, 2]

    def last() -> JobInfo:
        return psu.spawn_complete(psu.get_job_info(SetID=True) | {"mine": "x"})

    def parent() -> JobInfo:
        return psu.spawn_complete(info)

    assert job.act(job.parent, "1001", parent)["parts"] == [1, 2]
    done = job.spawn(1, last)
    assert (done["state"], done["mine"]) == ("complete", "x")


def test_what_the_job_updates_after_multiplying_itself_is_stored(job: Job) -> None:
    info = job.multiply(1)
    info["chunks"] = [[0, 5], [5, 10]]
    job.act(job.parent, "1001", lambda: psu.update_job(info))
    assert job.spawn(1, lambda: psu.get_job_info(SetID=True))["chunks"] == [[0, 5], [5, 10]]
    assert psu.spawn_get_info(BATCH, 0)["ClusterID"] == ["1001", "1002"]


def test_each_spawn_sees_its_own_fields_and_outsiders_see_all(job: Job) -> None:
    job.multiply(2)
    info = job.spawn(2, lambda: psu.get_job_info(SetID=True))
    assert (info["state"], info["SpawnID"], info["ClusterID"]) == ("spawn", [2], ["1003"])
    assert job.spawn(2, psu.get_job_info)["SpawnID"] == [2]
    assert psu.get_job_info(BATCH, 0)["SpawnID"] == [0, 1, 2]
    assert psu.get_job_info(BATCH, 0, ClusterID="1002")["SpawnID"] == [1]
    assert "SpawnID" not in psu.get_job_info(BATCH, 0, ignore_spawn=True)
    assert psu.spawn_get_info(BATCH, 0, ClusterID="1003")["spawn_state"] == ["run"]


def test_all_but_the_last_complete_as_spawn_and_the_last_finishes_the_job(
    job: Job, project: ProjectDir
) -> None:
    info = job.multiply(2)
    assert job.spawn(1, finish)["state"] == "spawn"
    assert psu.spawn_get_info(BATCH, 0)["spawn_state"] == ["run", "complete", "submit"]
    assert job.act(job.parent, "1001", lambda: psu.spawn_complete(info))["state"] == "spawn"
    done = job.spawn(2, finish)
    assert done["state"] == "complete"
    assert project.state() == "complete"
    assert psu.spawn_get_info(BATCH, 0)["SpawnID"] == []
    stored = psu.get_job_info(BATCH, 0)
    assert "ClusterID" not in stored
    assert stored["stdout"] == [job.scheduler.specs[0].stdout], "the job's own logs are as they were"
    assert_sound(project.database)


def test_a_spawn_that_completes_twice_counts_once(job: Job, project: ProjectDir) -> None:
    info = job.multiply(2)
    for _ in range(3):
        assert job.spawn(1, finish_only)["state"] == "spawn"
    assert job.act(job.parent, "1001", lambda: psu.spawn_complete(info))["state"] == "spawn"
    assert job.spawn(2, finish)["state"] == "complete"


def finish_only() -> JobInfo:
    return psu.spawn_complete(psu.get_job_info())


def test_ids_stay_unique_after_a_gap(job: Job, project: ProjectDir) -> None:
    job.multiply(3)
    project.sql("DELETE FROM spawn WHERE SpawnID = 2")
    assert psu.spawn_resubmit(BATCH, 0, Executor=job.scheduler, SpawnCount=6) == 3
    ids = psu.spawn_get_info(BATCH, 0)["SpawnID"]
    assert len(ids) == len(set(ids)) == 6
    names = psu.spawn_get_info(BATCH, 0)["stdout"]
    assert len(set(names)) == 6


# ------------------------------------------------------------------------------------ spawn_resubmit


def test_resubmit_submits_the_missing_ones_and_returns_how_many(job: Job) -> None:
    job.multiply(3)
    job.spawn(1, finish)
    job.scheduler.lose_sight("1003")
    job.scheduler.end("1004")
    assert psu.spawn_resubmit(BATCH, 0, Executor=job.scheduler) == 2
    found = psu.spawn_get_info(BATCH, 0)
    assert found["SpawnID"] == [0, 1, 2, 3]
    assert found["spawn_state"] == ["run", "complete", "submit", "submit"]
    assert found["ClusterID"][2:] == ["1005", "1006"]
    assert psu.spawn_resubmit(BATCH, 0, Executor=job.scheduler) == 0


def test_a_replaced_spawn_that_lives_after_all_can_neither_start_nor_complete(
    job: Job, project: ProjectDir
) -> None:
    job.multiply(1)
    stale = job.spawn(1, lambda: psu.get_job_info(SetID=True))
    job.scheduler.lose_sight("1002")
    assert psu.spawn_resubmit(BATCH, 0, Executor=job.scheduler) == 1
    with pytest.raises(StaleJobError, match="none of its spawns"):
        job.spawn(1, lambda: psu.get_job_info(SetID=True))
    with pytest.raises(ConflictError, match="no spawn of job"):
        job.spawn(1, lambda: psu.spawn_complete(stale))
    assert psu.spawn_get_info(BATCH, 0)["spawn_state"] == ["run", "submit"]
    assert project.state() == "spawn"


def test_a_spawn_that_was_submitted_after_the_last_poll_is_not_missing(job: Job, project: ProjectDir) -> None:
    project.configure("[poll]\ninterval = 3600\n")
    job.scheduler.expensive_poll = True
    job.multiply(1)
    job.scheduler.during_poll = lambda: job.act(
        job.parent, "1001", lambda: psu.spawn_submit(psu.get_job_info(), 1, Executor=job.scheduler)
    )
    assert psu.spawn_resubmit(BATCH, 0, Executor=job.scheduler) == 0
    assert psu.spawn_get_info(BATCH, 0)["spawn_state"] == ["run", "submit", "submit"]


def test_resubmit_with_fewer_spawns_than_are_missing_leaves_somebody_to_finish_the_job(
    job: Job, project: ProjectDir
) -> None:
    info = job.multiply(2)
    job.act(job.parent, "1001", lambda: psu.spawn_complete(info))
    job.spawn(1, finish)
    job.scheduler.lose_sight("1003")
    assert psu.spawn_resubmit(BATCH, 0, Executor=job.scheduler, SpawnCount=2) == 1
    assert job.spawn(3, finish)["state"] == "complete"
    assert project.state() == "complete"


def test_resubmit_of_what_is_no_spawn_job_or_with_a_silent_scheduler_changes_nothing(
    job: Job, project: ProjectDir
) -> None:
    with pytest.raises(UsageError, match="its state is 'submit'"):
        psu.spawn_resubmit(BATCH, 0, Executor=job.scheduler, SpawnCount=3)
    with pytest.raises(UnknownJobError):
        psu.spawn_resubmit(BATCH, 9, Executor=job.scheduler)
    job.multiply(2)
    job.scheduler.fault = SchedulerDownError("timed out")
    with pytest.raises(SchedulerError, match="nothing was resubmitted"):
        psu.spawn_resubmit(BATCH, 0, Executor=job.scheduler)
    assert psu.spawn_get_info(BATCH, 0)["spawn_state"] == ["run", "submit", "submit"]


def test_spawns_that_the_scheduler_refuses_wait_for_a_resubmit(job: Job) -> None:
    job.scheduler.refuse = "no room"
    job.multiply(2)
    assert psu.spawn_get_info(BATCH, 0)["spawn_state"] == ["run", "init", "init"]
    job.scheduler.refuse = ""
    assert psu.spawn_resubmit(BATCH, 0, Executor=job.scheduler) == 2


def test_submit_one_batch_submits_lost_spawns_too(job: Job) -> None:
    job.scheduler.refuse = "no room"
    job.multiply(2)
    job.scheduler.refuse = ""
    assert psu.submit_one_batch(BATCH, Executor=job.scheduler) == 2


# ------------------------------------------------------------------------------------ refusals


def test_a_spawn_may_multiply_the_job_further_and_the_others_stay(job: Job) -> None:
    job.multiply(1)
    again = job.spawn(1, lambda: psu.spawn_submit(psu.get_job_info(SetID=True), 2, Executor=job.scheduler))
    assert again["SpawnID"] == [1]
    assert psu.spawn_get_info(BATCH, 0)["SpawnID"] == [0, 1, 2, 3]
    assert psu.spawn_get_info(BATCH, 0)["spawn_state"] == ["run", "run", "submit", "submit"]


def test_a_stale_attempt_cannot_multiply_the_job(job: Job, project: ProjectDir) -> None:
    project.reset_by_force()
    psu.submit_one_job(BATCH, 0, Executor=job.scheduler)
    info = psu.get_job_info(BATCH, 0)
    with pytest.raises(StaleJobError):
        job.act(job.parent, "1001", lambda: psu.spawn_submit(info, 2, Executor=job.scheduler))
    assert project.state() == "submit"
    assert psu.spawn_get_info(BATCH, 0)["SpawnID"] == []


def test_a_finished_job_cannot_multiply_itself_nor_a_number_be_negative(project: ProjectDir) -> None:
    project.add(project.job(state="complete"))
    with pytest.raises(ConflictError, match="it cannot multiply itself"):
        psu.spawn_submit(psu.get_job_info(BATCH, 0), 2, Executor=Scheduler())
    with pytest.raises(UsageError, match="-1"):
        psu.spawn_submit(psu.get_job_info(BATCH, 0), -1, Executor=Scheduler())


def test_a_reset_takes_the_spawns_away_and_none_of_them_can_complete(job: Job, project: ProjectDir) -> None:
    info = job.multiply(2)
    spawn = job.spawn(1, lambda: psu.get_job_info(SetID=True))
    project.reset_by_force()
    assert psu.spawn_get_info(BATCH, 0)["SpawnID"] == []
    for stale, play in ((job.parent, info), (dict(job.scheduler.specs[1].environment), spawn)):
        with pytest.raises(ConflictError, match="state 'init'"):
            job.act(stale, "1001", lambda play=play: psu.spawn_complete(play))
    with pytest.raises(StaleJobError):
        job.spawn(2, lambda: psu.get_job_info(SetID=True))
    assert project.state() == "init"


# ------------------------------------------------------------------------------------ real concurrency


def test_of_forty_real_processes_that_complete_at_once_exactly_one_finishes_the_job(
    job: Job, project: ProjectDir
) -> None:
    n = 39
    info = job.multiply(n)
    code = """
        import os, sys, time
        import paraschut_core as psu
        from paraschut_core import in_job, api
        from paraschut_core.scheduling import spawns

        jobs = [line.rstrip("\\n").split(" ") for line in sys.stdin]
        go = os.path.abspath("go")
        children = []
        for job_id, token in jobs:
            pid = os.fork()
            if pid == 0:
                os.environ.update(PARASCHUT_JOB_ID=job_id, PARASCHUT_TOKEN=token)
                while not os.path.exists(go):
                    time.sleep(0.005)
                info = psu.get_job_info(SetID=True)
                info[f"field of {job_id}"] = 1
                info = psu.spawn_complete(info)
                if info["state"] == "complete":
                    psu.set_complete(JobInfo=info)
                sys.stdout.write(info["state"] + "\\n")
                sys.stdout.flush()
                os._exit(0)
            children.append(pid)
        open(go, "w").close()
        failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
        sys.exit(failed)
    """
    known = [("1001", job.parent["PARASCHUT_TOKEN"])]
    known += [
        (str(1001 + n), spec.environment["PARASCHUT_TOKEN"])
        for n, spec in enumerate(job.scheduler.specs)
        if n
    ]
    (project.folder / "jobs.txt").write_text("".join(f"{a} {b}\n" for a, b in known))
    common = {name: value for name, value in job.parent.items() if name != "PARASCHUT_TOKEN"}
    script = Script(code.replace("sys.stdin", "open('jobs.txt')"), **common)
    states = script.output().split()
    assert sorted(states) == ["complete"] + ["spawn"] * n
    assert info["state"] == "spawn"
    assert project.state() == "complete"
    assert project.sql("SELECT count(*) FROM event WHERE \"to\" = 'complete'") == [(1,)]
    assert psu.spawn_get_info(BATCH, 0)["SpawnID"] == []
    assert_sound(project.database)


# ------------------------------------------------------------------------------------ logs


def write_logs(found: dict[str, list[Any]]) -> None:
    for stream in ("stdout", "stderr"):
        for number, path in zip(found["SpawnID"], found[stream], strict=True):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{stream} of spawn {number}\n")


def test_the_logs_of_all_spawns_are_printed_while_they_run_and_afterwards(
    job: Job, project: ProjectDir, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = CommandLine(project.folder)
    info = job.multiply(2)
    write_logs(psu.spawn_get_info(BATCH, 0))

    def look() -> None:
        capsys.readouterr()
        psu.print_log(BATCH, 0, "stdout", 1)
        assert "stdout of spawn 1" in capsys.readouterr().out
        psu.print_log(str(BATCH), "0", "stderr", [0, 2, 3])
        out = capsys.readouterr().out
        assert "stderr of spawn 0" in out
        assert "stderr of spawn 2" in out
        assert "log index too large" in out
        assert "stdout of spawn 2" in cli("log", BATCH, 0, "--spawn", 2).out
        assert "stderr of spawn 1" in cli("log", BATCH, 0, "--spawn", 1, "--stderr").out
        assert "it has 0, 1, 2" in cli("log", BATCH, 0, "--spawn", 3, status=2).err
        assert "stdout of spawn 0" in cli("log", BATCH, 0).out, "the job's own log, as ever"
        assert "not both" in cli("log", BATCH, 0, "--spawn", 1, "--index", 0, status=2).err

    look()
    job.spawn(1, finish)
    look()
    job.act(job.parent, "1001", lambda: psu.spawn_complete(info))
    job.spawn(2, finish)
    look()
    done = psu.get_job_info(BATCH, 0)
    assert done["state"] == "complete"
    assert done["spawn_logs"]["SpawnID"] == [0, 1, 2]
    assert "stdout of spawn 1" in cli("log", BATCH, 0, "--spawn", 1, "-f").out
    psu.set_job_field(BATCH, 0, Unless={})
    psu.submit_one_job(BATCH, 0, Executor=job.scheduler)
    assert "spawn_logs" not in psu.get_job_info(BATCH, 0), "they were of the attempt before"
    assert "it has none" in cli("log", BATCH, 0, "--spawn", 0, status=2).err


def test_the_logs_of_spawns_are_named_if_the_last_one_completes_the_job_with_metadata_read_before(
    job: Job,
) -> None:
    info = job.multiply(1)
    names = psu.spawn_get_info(BATCH, 0)["stdout"]
    before = dict(psu.get_job_info(BATCH, 0, ignore_spawn=True))
    job.act(job.parent, "1001", lambda: psu.spawn_complete(info))

    def last() -> None:
        psu.spawn_complete(psu.get_job_info(SetID=True))
        assert psu.get_job_info()["spawn_logs"]["stdout"] == names
        psu.set_complete(JobInfo=before)

    job.spawn(1, last)
    assert psu.get_job_info(BATCH, 0)["spawn_logs"]["stdout"] == names


@pytest.mark.parametrize("own", [1, "x", [], {"SpawnID": 1}, {"SpawnID": [1], "stdout": "x", "stderr": []}])
def test_a_users_own_field_of_that_name_is_nothing_to_stumble_over(
    project: ProjectDir, own: object, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add(project.job(spawn_logs=own))
    psu.print_log(BATCH, 0)
    assert "log unknown" in capsys.readouterr().out
    assert "it has none" in CommandLine(project.folder)("log", BATCH, 0, "--spawn", 0, status=2).err
    assert log_streams(JobRecord(JobKey(BATCH, 0), psu.get_job_info(BATCH, 0)), False)[0] == {}


def test_the_dashboard_shows_the_logs_of_the_spawns_that_a_job_had() -> None:
    logs = {"SpawnID": [0, 2], "stdout": ["a", "b"], "stderr": ["c", "d"]}
    record = JobRecord(JobKey(BATCH, 0), {"stdout": ["a"], "stderr": ["c"], "spawn_logs": logs})
    streams, _ = log_streams(record, False)
    assert streams["spawn 2 stderr"] == ("d",)
    assert streams["stdout"] == ("a",)
