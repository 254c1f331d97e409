"""The submission protocol: claim, submit, record; what a crash between them leaves, and who mends it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import paraschut_core as psu
from paraschut_core.config import Settings
from paraschut_core.database.connection import Database, author_id
from paraschut_core.errors import ConfigError, DatabaseError, SchedulerError, SubmitError
from paraschut_core.model import JobInfo, JobKey, JobSpec, LiveJob, SubmitResult
from paraschut_core.monitoring import polling
from paraschut_core.project import Project
from paraschut_core.scheduling import submission
from paraschut_core.scheduling.submission import log_paths, resolve_claims, submit_keys, submit_next
from tests.helpers import BATCH, ProjectDir, Scheduler, SchedulerDownError, assert_sound

ME = author_id().partition("@")[0]


def dead_process() -> str:
    """The name of a process of this user that has ended, as it would have put it into the database."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return f"{ME}@{os.uname().nodename}:{pid}"


def claim_by(project: ProjectDir, who: str, keys: Sequence[JobKey], age: float = 0.0) -> list[str]:
    """Claims jobs as another process did that never came to record their ids; returns the tokens."""

    class Dying(Scheduler):
        def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
            raise KeyboardInterrupt

    with project.workspace(Dying(), who=who) as ws, pytest.raises(KeyboardInterrupt):
        submit_keys(ws, keys)
    for _, index in keys:
        project.set_columns(index, submitted_at=time.time() - age)
    return [project.column("token", index) for _, index in keys]


def settle(project: ProjectDir, scheduler: Scheduler, **changes: Any) -> int:
    with project.workspace(scheduler, **changes) as ws:
        return resolve_claims(ws, polling.poll_scheduler(ws, force=True))


# ------------------------------------------------------------------------------------ claims


def test_a_job_is_claimed_with_a_token_before_the_scheduler_is_asked(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    keys = project.add_many(3)
    seen: list[Any] = []
    scheduler.during_submit = lambda: seen.extend(
        project.sql("SELECT state, attempt, token, submit_id, claimed_by FROM job ORDER BY JobIndex")
    )
    with project.workspace(scheduler) as ws:
        outcomes = submit_keys(ws, keys)
        assert [row[:2] + row[3:] for row in seen] == [("submit", 1, None, ws.db.who)] * 3
    assert [outcome.id for outcome in outcomes] == ["1001", "1002", "1003"]
    groups = {token.rsplit("-", 1)[0] for _, _, token, *_ in seen}
    assert len(groups) == 1
    assert [token.rsplit("-", 1)[1] for _, _, token, *_ in seen] == ["1", "2", "3"]
    assert re.fullmatch(r"[a-z0-9]{10}", groups.pop())


def test_two_submitters_never_claim_the_same_job(project: ProjectDir) -> None:
    keys = project.add_many(5)
    first, second = Scheduler(), Scheduler()

    def meanwhile() -> None:
        first.during_submit = lambda: None
        with project.workspace(second, who="other@x:1") as ws:
            assert submit_keys(ws, keys[2:]) == []

    first.chunk = 5
    first.during_submit = meanwhile
    with project.workspace(first) as ws:
        assert len(submit_keys(ws, keys)) == 5
    assert second.specs == []


def between_look_and_claim(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Has `act` happen once after a submitter has looked at what it may claim, and before it claims that."""
    look = submission.still_in_init

    def look_then_act(db: Database, keys: Iterable[JobKey]) -> list[JobKey]:
        found = look(db, keys)
        monkeypatch.setattr(submission, "still_in_init", look)
        act()
        return found

    monkeypatch.setattr(submission, "still_in_init", look_then_act)


def test_a_job_that_another_submitter_claims_at_the_last_moment_is_left_to_it(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = project.add_many(4)
    first, second = Scheduler(), Scheduler()
    between_look_and_claim(monkeypatch, lambda: psu.submit_one_job(BATCH, [1, 3], Executor=second))
    with project.workspace(first) as ws:
        assert [outcome.key.job_index for outcome in submit_keys(ws, keys)] == [0, 2]
    assert [spec.key.job_index for spec in first.specs] == [0, 2]
    assert [spec.key.job_index for spec in second.specs] == [1, 3]


def test_what_is_changed_at_a_job_at_the_last_moment_is_what_is_submitted(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = project.add_many(3)
    scheduler = Scheduler()
    between_look_and_claim(monkeypatch, lambda: psu.set_job_field(BATCH, 1, {"queue": "long", "note": "new"}))
    with project.workspace(scheduler) as ws:
        submit_keys(ws, keys)
    assert [spec.queue for spec in scheduler.specs].count("long") == 1
    assert psu.get_job_info(BATCH, 1)["note"] == "new", "what was read before is not written back"
    assert [psu.get_job_info(BATCH, index)["attempt"] for index in range(3)] == [1, 1, 1]


def test_the_limit_holds_although_another_submitter_fills_the_queue_at_the_last_moment(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add_many(6)
    first, second = Scheduler(), Scheduler()
    between_look_and_claim(monkeypatch, lambda: psu.submit_one_job(BATCH, [3, 4, 5], Executor=second))
    with project.workspace(first) as ws:
        report = submit_next(ws, max_jobs=4)
    assert report.submitted == 1
    assert list(project.states().values()).count("submit") == 4


def test_jobs_go_out_in_chunks_of_one_group(project: ProjectDir) -> None:
    class Grouping(Scheduler):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[list[int]] = []

        def batch_key(self, JobInfo: JobInfo) -> object:
            return JobInfo["queue"]

        def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
            self.calls.append([job.key.job_index for job in jobs])
            return super().submit_many(jobs)

    grouping = Grouping()
    grouping.chunk = 2
    project.add(*(project.job(index, queue="ab"[index % 2]) for index in range(6)))
    psu.submit_jobs(Executor=grouping)
    assert grouping.calls == [[0, 2], [4], [1, 3], [5]]


def test_progress_is_told_and_a_cancel_stops_between_chunks(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    keys = project.add_many(6)
    scheduler.chunk = 2
    told: list[tuple[int, int]] = []
    with project.workspace(scheduler) as ws:
        submit_keys(
            ws, keys, progress=lambda *numbers: told.append(numbers), cancelled=lambda: len(told) == 2
        )
    assert told == [(2, 6), (4, 6)]
    assert list(project.states().values()).count("submit") == 4


def test_an_executor_that_surely_submitted_nothing_gives_all_back(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.add_many(2)
    scheduler.fault = SubmitError("no runner can be started")
    with project.workspace(scheduler) as ws:
        outcomes = submit_keys(ws, [JobKey(BATCH, 0)])
    assert outcomes[0].error == "no runner can be started"
    assert project.states() == {0: "init", 1: "init"}
    assert project.column("attempt") == 0


def test_an_uncertain_submission_is_never_repeated_blindly(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add(project.job())
    for fault in (SchedulerError("timed out"), OSError("broken pipe")):
        scheduler.fault = fault
        with project.workspace(scheduler) as ws:
            outcomes = submit_keys(ws, [JobKey(BATCH, 0)])
        assert project.state() == "submit"
        if outcomes:
            assert outcomes[0].error.endswith("(it will be looked for in the queue)")
    scheduler.fault = None
    for _ in range(3):
        settle(project, scheduler)
        psu.submit_jobs(Executor=scheduler)
    assert scheduler.specs == []
    assert project.state() == "submit"


# ------------------------------------------------------------------------------------ settling


def test_what_the_queue_shows_under_a_claims_token_is_adopted(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    keys = project.add_many(2)
    tokens = claim_by(project, dead_process(), keys)
    scheduler.live = {"77": LiveJob("77", "queued", token=tokens[1])}
    assert settle(project, scheduler) == 1
    assert [project.column("submit_id", index) for index in range(2)] == [None, "77"]
    assert project.states() == {0: "submit", 1: "submit"}


def test_claims_that_may_still_take_effect_cost_no_look_at_the_queue_beyond_the_poll_of_all(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    keys = project.add_many(3)
    tokens = claim_by(project, dead_process(), keys)
    scheduler.live = {"77": LiveJob("77", "queued", token=tokens[1])}
    assert settle(project, scheduler) == 1
    assert settle(project, scheduler) == 0
    assert scheduler.polls == 2


def test_before_a_claim_goes_back_the_queue_is_looked_at_once_more(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    keys = project.add_many(2)
    tokens = claim_by(project, dead_process(), keys, age=1000)

    def arrives() -> None:
        scheduler.live = {"78": LiveJob("78", "queued", token=tokens[0])}

    scheduler.during_poll = arrives
    assert settle(project, scheduler) == 2
    assert project.states() == {0: "submit", 1: "init"}
    assert project.column("submit_id", 0) == "78"


def test_a_claim_that_is_nowhere_goes_back_only_when_it_can_take_effect_no_more(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    keys = project.add_many(1)
    claim_by(project, dead_process(), keys, age=100)
    changes: dict[str, Any] = {"submit": {"timeout": 120.0}, "poll": {"grace": 30.0}}
    assert settle(project, scheduler, **changes) == 0
    assert project.state() == "submit"
    project.set_columns(submitted_at=time.time() - 151)
    assert settle(project, scheduler, **changes) == 1
    assert project.state() == "init"
    assert project.column("attempt") == 1, "its number is used up: what may still start stops at the gate"
    assert project.column("token") is None


def test_where_absence_is_proof_a_dead_submitters_claim_goes_back_at_once_and_a_living_ones_does_not(
    project: ProjectDir,
) -> None:
    keys = project.add_many(3)
    local = Scheduler(absent_means_ended=True)
    claim_by(project, dead_process(), keys[:1])
    claim_by(project, f"{ME}@{os.uname().nodename}:{os.getpid()}", keys[1:2])
    claim_by(project, f"{ME}@{os.uname().nodename}:{os.getpid()} (1001)", keys[2:])
    assert settle(project, local) == 1
    assert project.states() == {0: "init", 1: "submit", 2: "submit"}


def test_a_change_by_a_process_that_has_ended_does_not_make_the_submitter_look_dead(
    project: ProjectDir,
) -> None:
    local = Scheduler(absent_means_ended=True)
    keys = project.add_many(1)
    claim_by(project, f"{ME}@{os.uname().nodename}:{os.getpid()}", keys)
    with project.workspace(local, who=dead_process()) as ws:
        from paraschut_core.actions import Selection, boost

        boost(ws, Selection(batches=(BATCH,)), 5)
    assert settle(project, local) == 0
    assert project.state() == "submit"


def test_another_users_claims_are_not_judged_by_ones_own_queue(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    keys = project.add_many(1)
    claim_by(project, "somebody.else@elsewhere:5", keys, age=1e6)
    assert settle(project, scheduler) == 0
    assert project.state() == "submit"


def test_nothing_is_settled_while_the_scheduler_does_not_answer(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    keys = project.add_many(1)
    claim_by(project, dead_process(), keys, age=1e6)
    scheduler.fault = SchedulerDownError("down")
    assert settle(project, scheduler) == 0
    assert project.state() == "submit"


def test_spawns_are_adopted_and_given_back_likewise(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add(project.job(state="spawn"))
    for spawn_id, token in enumerate(("tok-1", "tok-2")):
        project.sql(
            "INSERT INTO spawn (BatchID, JobIndex, SpawnID, spawn_state, token, submitted_at)"
            " VALUES (?, 0, ?, 'submit', ?, 1.0)",
            (BATCH, spawn_id, token),
        )
    scheduler.live = {"5": LiveJob("5", "queued", token="tok-1")}
    assert settle(project, scheduler) == 2
    found = psu.spawn_get_info(BATCH, 0)
    assert found["spawn_state"] == ["submit", "init"]
    assert found["ClusterID"] == ["5", None]


def test_a_users_executor_that_fails_to_find_leaves_claims_alone(project: ProjectDir) -> None:
    class Raising(Scheduler):
        def find_by_token(self, tokens: Sequence[str]) -> dict[str, str]:
            raise ZeroDivisionError

    keys = project.add_many(1)
    claim_by(project, dead_process(), keys, age=1e6)
    assert settle(project, Raising()) == 0
    assert project.state() == "submit"


def test_the_next_submission_starts_by_settling(project: ProjectDir, scheduler: Scheduler) -> None:
    keys = project.add_many(2)
    claim_by(project, dead_process(), keys[:1], age=1e6)
    psu.submit_jobs(Executor=scheduler)
    assert project.states() == {0: "submit", 1: "submit"}
    assert [spec.key.job_index for spec in scheduler.specs] == [0, 1]
    assert scheduler.specs[0].attempt == 2


def test_an_adopted_job_starts_with_the_token_of_its_claim(
    project: ProjectDir, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = project.add_many(1)
    (token,) = claim_by(project, dead_process(), keys)
    scheduler.live = {"77": LiveJob("77", "queued", token=token)}
    settle(project, scheduler)
    monkeypatch.setenv("PARASCHUT_BATCH_ID", str(BATCH))
    monkeypatch.setenv("PARASCHUT_JOB_INDEX", "0")
    monkeypatch.setenv("PARASCHUT_TOKEN", token)
    monkeypatch.setenv("PARASCHUT_JOB_ID", "77")
    assert psu.get_job_info(SetID=True)["state"] == "run"


def test_a_job_may_start_before_its_id_is_recorded(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add(project.job())
    scheduler = Scheduler()

    def start() -> None:
        with monkeypatch.context() as job:
            job.setenv("PARASCHUT_BATCH_ID", str(BATCH))
            job.setenv("PARASCHUT_JOB_INDEX", "0")
            job.setenv("PARASCHUT_TOKEN", project.column("token"))
            job.setenv("PARASCHUT_JOB_ID", "1001")
            psu.get_job_info(SetID=True)

    scheduler.during_submit = start
    psu.submit_jobs(Executor=scheduler)
    assert project.state() == "run"
    assert project.column("submit_id") == "1001"
    assert scheduler.deleted == []


def test_a_database_that_fails_after_the_submission_costs_no_job(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    """The ids could not be recorded: they are found in the queue by their tokens."""
    keys = project.add_many(3)
    with project.workspace(scheduler) as ws:
        scheduler.during_submit = lambda: os.rename(project.database, project.folder / "away")
        with pytest.raises(DatabaseError):
            submit_keys(ws, keys)
        os.rename(project.folder / "away", project.database)
        scheduler.during_submit = lambda: None
        assert resolve_claims(ws, polling.poll_scheduler(ws)) == 3
    assert [project.column("submit_id", index) for index in range(3)] == ["1001", "1002", "1003"]
    assert_sound(project.database)


def test_a_claims_attempt_and_log_are_taken_back_only_if_nothing_can_have_been_submitted(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.add(project.job(stdout=["old.out"], stderr=["old.err"]))
    scheduler.refuse = "no"
    psu.submit_jobs(Executor=scheduler)
    assert psu.get_job_info(BATCH, 0)["stdout"] == ["old.out"]
    claim_by(project, dead_process(), [JobKey(BATCH, 0)], age=1e6)
    settle(project, scheduler)
    info = psu.get_job_info(BATCH, 0)
    assert len(info["stdout"]) == 2
    assert info["attempt"] == 1


def test_a_claim_whose_metadata_was_damaged_meanwhile_goes_back_as_it_is(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    keys = project.add_many(2)
    claim_by(project, dead_process(), keys, age=1e6)
    project.set_columns(0, metadata="{broken", submitted_at=1.0)
    settle(project, scheduler)
    assert project.states() == {0: "init", 1: "init"}
    assert project.column("metadata", 0) == "{broken"


# ------------------------------------------------------------------------------------ log paths


def in_memory(settings: Settings) -> Project:
    return Project(settings, Scheduler())


@given(name=st.one_of(st.text(), st.lists(st.text(), max_size=4)), batch=st.integers(0, 2**60))
def test_whatever_a_jobs_name_its_logs_lie_in_its_batchs_log_folder(name: Any, batch: int) -> None:
    ws = in_memory(Settings(database="/p/jobs.db", job_dir="/p"))
    info = {"BatchID": batch, "JobIndex": 3, "name": name, "subtime": 20210101120000}
    out, err = log_paths(ws, info, 0)
    for path, stream in ((out, "out"), (err, "err")):
        folder, _, file = path.rpartition("/")
        assert folder == f"/p/{batch}/logs"
        assert re.fullmatch(rf"[\w.+=@,-]+_0003_20210101120000\.0\.{stream}", file, re.ASCII)
        assert not file.startswith(".")
        assert len(os.fsencode(file)) < 200


@given(fields=st.dictionaries(st.sampled_from(["lab", "name", "sample"]), st.text(), min_size=3))
def test_text_fields_in_a_log_pattern_cannot_lead_elsewhere(fields: Mapping[str, str]) -> None:
    ws = in_memory(Settings(database="/p/jobs.db", job_dir="/p", log_out="{JobDir}/{lab}/{sample}.out"))
    info = {"BatchID": 1, "JobIndex": 3, "subtime": 1, **fields}
    out, _ = log_paths(ws, info, 0)
    assert re.fullmatch(r"/p/[^/]+/[^/]+\.0\.out", out)
    assert "/../" not in out


@pytest.mark.parametrize("pattern", ["{nothing}.out", "{JobIndex:x}y}", "{JobIndex.a}", "{name[x}"])
def test_a_log_pattern_that_cannot_be_filled_in_is_a_fault_of_the_configuration(pattern: str) -> None:
    ws = in_memory(Settings(database="/p/jobs.db", job_dir="/p", log_out=pattern))
    with pytest.raises(ConfigError, match="log file pattern"):
        log_paths(ws, {"BatchID": 1, "JobIndex": 3, "name": "x", "subtime": 1}, 0)


def test_tokens_are_never_the_same() -> None:
    assert len({submission.new_token() for _ in range(10_000)}) == 10_000


def test_submit_next_tells_what_it_did(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add(project.job(0), project.job(1, script=""))
    with project.workspace(scheduler) as ws:
        report = submit_next(ws, max_jobs=5)
    assert (report.max_jobs, report.in_queue, report.submitted) == (5, 0, 1)
    assert sorted((o.key.job_index, o.id) for o in report.outcomes) == [(0, "1001"), (1, None)]
