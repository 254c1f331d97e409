"""What the dashboard, the command line and the documented functions do to jobs: one implementation each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core import actions
from paraschut_core.actions import ProgressReporter, Selection
from paraschut_core.database.events import read_actions
from paraschut_core.errors import (
    DatabaseBusyError,
    FilterError,
    ParaschutError,
    SchedulerError,
    UnknownJobError,
    UsageError,
)
from paraschut_core.jobs import cleanup
from paraschut_core.model import DeleteResult, ExitInfo, JobInfo, JobKey
from tests.helpers import BATCH, ProjectDir, Scheduler

OTHER = BATCH + 1
WHOLE = Selection(batches=(BATCH,))


@pytest.fixture
def busy(project: ProjectDir, scheduler: Scheduler) -> Scheduler:
    """0 init, 1 queued, 2 runs, 3 complete, 4 gone from the queue."""
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add_many(5)
    psu.submit_one_job(BATCH, [1, 2, 4], Executor=scheduler)
    scheduler.run("1002", "1003")
    psu.get_job_info(BATCH, 2, SetID=True, ClusterID="1002")
    psu.get_job_info(BATCH, 4, SetID=True, ClusterID="1003")
    psu.set_complete(BATCH, 3)
    psu.get_queue(Verbose=False, Executor=scheduler)
    scheduler.lose_sight("1003")
    scheduler.endings["1003"] = ExitInfo("out of memory", 137, 9)
    psu.get_queue(Verbose=False, Executor=scheduler)
    return scheduler


def messages(report: actions.ActionReport) -> dict[int, str]:
    return {outcome.key.job_index: outcome.message for outcome in report.outcomes if not outcome.ok}


# ------------------------------------------------------------------------------------ selections


def test_a_selection_names_jobs_batches_and_a_condition_and_holds_each_once(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.add_many(4)
    project.add_many(2, OTHER)
    chosen = Selection((JobKey(BATCH, 1),), (OTHER,), f"BatchID = {BATCH} AND JobIndex < 2")
    with project.workspace(scheduler) as ws:
        assert chosen.resolve(ws) == [(BATCH, 0), (BATCH, 1), (OTHER, 0), (OTHER, 1)]
        with pytest.raises(UnknownJobError):
            Selection(batches=(9,)).resolve(ws)
        with pytest.raises(FilterError):
            Selection(condition="1 = ").resolve(ws)


def test_a_preview_counts_what_an_action_would_touch(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        seen = actions.preview(ws, WHOLE)
    assert seen.states == {"init": 1, "submit": 1, "run": 2, "complete": 1}
    assert (seen.live, seen.missing, seen.reasons, seen.highest_attempt) == (2, 1, {"out of memory": 1}, 1)
    assert len(seen.keys) == 5


# ------------------------------------------------------------------------------------ reset, resubmit


def test_a_reset_leaves_alone_what_is_done_and_what_the_queue_holds(
    busy: Scheduler, project: ProjectDir
) -> None:
    with project.workspace(busy) as ws:
        report = actions.reset(ws, WHOLE)
    assert messages(report) == {
        1: "queued in the queue as 1001: delete it instead",
        2: "running in the queue as 1002: delete it instead",
        3: "state is complete",
    }
    assert project.states() == {0: "init", 1: "submit", 2: "run", 3: "complete", 4: "init"}


def test_a_job_submitted_after_the_last_poll_is_looked_for_before_it_is_reset(project: ProjectDir) -> None:
    project.configure("[poll]\ninterval = 1000\n")
    project.add_many(1)
    scheduler = Scheduler(expensive_poll=True)
    psu.get_queue(Verbose=False, Executor=scheduler)
    psu.submit_one_batch(BATCH, Executor=scheduler)
    with project.workspace(scheduler) as ws:
        assert messages(actions.reset(ws, WHOLE)) == {0: "queued in the queue as 1001: delete it instead"}
        assert messages(actions.reset(ws, WHOLE)) == {0: "queued in the queue as 1001: delete it instead"}
    assert scheduler.polls == 2


def test_while_the_scheduler_is_silent_only_what_was_missing_before_is_reset(
    busy: Scheduler, project: ProjectDir
) -> None:
    psu.get_queue(Verbose=False, Executor=busy)  # the second in a row without job 4
    psu.submit_one_job(BATCH, 0, Executor=busy)
    busy.fault = SchedulerError("down")
    with project.workspace(busy) as ws:
        report = actions.reset(ws, WHOLE)
        (kept,) = actions.remove_batches(ws, [BATCH], force=False).outcomes
    assert re.fullmatch("fake does not answer since [0-9: -]+: down; --force .*", messages(report)[0])
    assert project.states() == {0: "submit", 1: "submit", 2: "run", 3: "complete", 4: "init"}
    assert "it has jobs in the queue" in kept.message


def test_a_batch_is_not_removed_while_nobody_ever_answered_whether_its_jobs_run(project: ProjectDir) -> None:
    project.add_many(1)
    psu.submit_one_batch(BATCH, Executor=Scheduler())
    project.sql("DELETE FROM poll")
    silent = Scheduler()
    silent.fault = SchedulerError("down")
    with project.workspace(silent) as ws:
        (kept,) = actions.remove_batches(ws, [BATCH], force=False).outcomes
        assert "nobody can tell here whether its jobs run: fake does not answer" in kept.message
        assert actions.remove_batches(ws, [BATCH], force=True).done == 1


def test_a_forced_reset_takes_all(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        assert actions.reset(ws, WHOLE, force=True).done == 5
    assert set(project.states().values()) == {"init"}


def test_a_resubmit_resets_and_submits_what_can_be(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        report = actions.resubmit(ws, WHOLE)
    assert report.done == 2
    assert sorted(messages(report)) == [1, 2, 3]
    assert project.states() == {0: "submit", 1: "submit", 2: "run", 3: "complete", 4: "submit"}
    assert project.column("attempt", 4) == 2


@pytest.mark.parametrize("act", [actions.resubmit, actions.submit_now])
def test_a_job_that_somebody_else_submits_meanwhile_is_told_as_that(
    busy: Scheduler, project: ProjectDir, act: Callable[..., actions.ActionReport]
) -> None:
    """As a job does that ends just then, and submits what is next."""
    key = JobKey(BATCH, 4 if act is actions.resubmit else 0)
    before = len(busy.specs)

    def somebody_else() -> bool:
        if project.state(key.job_index) == "init":
            psu.submit_one_job(BATCH, key.job_index, Executor=busy)
        return False

    with project.workspace(busy) as ws:
        report = act(ws, Selection((key,)), watcher=ProgressReporter(None, somebody_else))
    assert [outcome.message for outcome in report.outcomes] == ["submitted by another process meanwhile"]
    assert (report.done, len(report.failed)) == ((1, 0) if act is actions.resubmit else (0, 0))
    assert report.action is None, "there is nothing to undo"
    assert len(busy.specs) == before + 1, "it was submitted once"


def test_a_resubmit_may_raise_the_resources_of_single_jobs(busy: Scheduler, project: ProjectDir) -> None:
    psu.set_job_field(BATCH, 4, {"resources": {"mem": "1gb", "cput": "1:00:00"}}, {})
    with project.workspace(busy) as ws:
        actions.resubmit(
            ws, Selection((JobKey(BATCH, 4),)), force=True, resources={JobKey(BATCH, 4): {"mem": "2gb"}}
        )
    assert busy.specs[-1].resources == {"mem": "2gb", "cput": "1:00:00"}


def test_a_resubmit_of_a_spawn_job_submits_its_missing_spawns(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add(project.job())
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    info = psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001")
    psu.spawn_submit(info, 3, Executor=scheduler)
    scheduler.lose_sight("1003")
    with project.workspace(scheduler) as ws:
        report = actions.resubmit(ws, WHOLE)
    assert [(o.ok, o.message) for o in report.outcomes] == [(True, "1 spawn resubmitted")]
    assert project.state() == "spawn"


def test_submit_now_takes_init_jobs_and_says_why_not_the_others(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        report = actions.submit_now(ws, Selection((JobKey(BATCH, 9),), (BATCH,)))
    assert report.done == 1
    assert messages(report) == {
        1: "already in state submit",
        2: "already in state run",
        3: "already in state complete",
        4: "already in state run",
        9: "not in the index",
    }


# ------------------------------------------------------------------------------------ watching and stopping


def test_progress_is_told_and_a_stop_leaves_the_rest(project: ProjectDir, scheduler: Scheduler) -> None:
    n = 2 * actions.CHUNK + 1
    project.add_many(n)
    told: list[tuple[int, int]] = []
    watcher = ProgressReporter(lambda *numbers: told.append(numbers), lambda: len(told) == 2)
    with project.workspace(scheduler) as ws:
        report = actions.boost(ws, WHOLE, 1, watcher=watcher)
    assert told == [(1000, n), (2000, n)]
    assert report.stopped
    assert report.done == 2000
    assert project.sql("SELECT count(*) FROM job WHERE priority = 2") == [(2000,)]
    assert project.sql("SELECT jobs FROM action WHERE verb = 'boost'") == [(2000,)]


# ------------------------------------------------------------------------------------ qdel


def test_qdel_says_why_jobs_are_left_alone(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        report = actions.qdel(ws, WHOLE)
    out = "it is not in the queue"
    assert messages(report) == {0: out, 3: "it is complete", 4: out}
    assert not report.failed
    assert report.effects() == {actions.Effect.KILLED: 1, actions.Effect.UNQUEUED: 1}
    assert project.states() == {0: "init", 1: "init", 2: "init", 3: "complete", 4: "run"}


def test_qdel_of_a_claim_without_an_id_says_to_try_again(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add(project.job())
    scheduler.lose = True
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    scheduler.lose_sight("1001")
    with project.workspace(scheduler) as ws:
        assert "try again in a moment" in messages(actions.qdel(ws, WHOLE))[0]


def test_what_was_deleted_before_the_scheduler_fell_silent_is_put_down(project: ProjectDir) -> None:
    class Falling(Scheduler):
        def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
            if self.deleted:
                raise SchedulerError("timed out")
            return super().delete_many(jobs)

    n = actions.CHUNK + 2
    falling = Falling()
    falling.chunk = n
    project.add_many(n)
    with project.workspace(falling) as ws:
        actions.submit_now(ws, WHOLE)
        report = actions.qdel(ws, WHOLE)
    assert report.done == actions.CHUNK
    assert set(messages(report).values()) == {"timed out"}
    states = list(project.states().values())
    assert (states.count("init"), states.count("submit")) == (actions.CHUNK, 2)


def test_a_job_that_completed_while_it_was_deleted_stays_complete(project: ProjectDir) -> None:
    class Late(Scheduler):
        def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
            psu.set_complete(BATCH, 0)
            return super().delete_many(jobs)

    late = Late()
    project.add(project.job())
    psu.submit_one_job(BATCH, 0, Executor=late)
    with project.workspace(late) as ws:
        assert messages(actions.qdel(ws, WHOLE)) == {0: "state is complete: it was over before"}
    assert project.state() == "complete"


# ------------------------------------------------------------------------------------ collect, remove, clean


def test_only_complete_jobs_are_collected(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        report = actions.mark_collected(ws, WHOLE)
    assert report.done == 1
    assert project.states()[3] == "collected"
    assert messages(report)[2] == "not complete"


def test_a_batch_with_jobs_in_the_queue_is_removed_only_by_force(
    busy: Scheduler, project: ProjectDir
) -> None:
    with project.workspace(busy) as ws:
        report = actions.remove_batches(ws, [BATCH], force=False)
        assert [o.message for o in report.failed] == ["it has jobs in the queue: delete them first"]
        assert len(project.states()) == 5
        assert actions.remove_batches(ws, [BATCH], force=True).done == 1
    assert project.states() == {}


def test_a_folder_that_cannot_be_removed_is_said_and_the_rows_go(
    project: ProjectDir, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any) -> None:
        raise PermissionError(13, "Permission denied")

    project.add_many(1)
    (project.folder / str(BATCH)).mkdir()
    monkeypatch.setattr(cleanup.shutil, "rmtree", refuse)
    with project.workspace(scheduler) as ws:
        report = actions.remove_batches(ws, [BATCH])
    assert report.outcomes[0].ok
    assert "could not be removed whole: Permission denied" in report.outcomes[0].message
    assert project.states() == {}


def test_a_jobs_folder_that_is_a_link_is_not_cleaned(
    project: ProjectDir, scheduler: Scheduler, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    project.add_many(1)
    (project.folder / str(BATCH)).mkdir()
    (project.folder / str(BATCH) / "0").symlink_to(precious)
    with project.workspace(scheduler) as ws:
        assert actions.clean_folders(ws, [BATCH]).folders == []
    assert precious.exists()


def test_a_file_that_cannot_be_removed_is_an_error_that_names_it(
    project: ProjectDir, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any) -> None:
        raise PermissionError(13, "Permission denied")

    project.add_many(1)
    (project.folder / str(BATCH)).mkdir()
    (project.folder / str(BATCH) / "a.tmp").touch()
    monkeypatch.setattr(cleanup.os, "unlink", refuse)
    with (
        project.workspace(scheduler) as ws,
        pytest.raises(ParaschutError, match=r"a\.tmp: Permission denied"),
    ):
        actions.clean_files(ws, ["*.tmp"], [BATCH])


# ------------------------------------------------------------------------------------ what is told


def history(project: ProjectDir, scheduler: Scheduler) -> list[tuple[str, int, str, bool]]:
    """(verb, jobs, command, can_undo) of the acts so far, newest first."""
    with project.workspace(scheduler) as ws:
        return [(a.verb, a.jobs, a.command, a.can_undo) for a in read_actions(ws.reader)]


def test_what_an_action_is_not_for_is_left_alone_and_has_not_failed(
    busy: Scheduler, project: ProjectDir
) -> None:
    with project.workspace(busy) as ws:
        for act, left in (
            (actions.reset, {1, 2, 3}),
            (actions.submit_now, {1, 2, 3}),
            (actions.mark_collected, {1, 2, 4}),
            (actions.qdel, {3}),
        ):
            report = act(ws, WHOLE)
            assert not report.failed, act
            assert left <= {outcome.key.job_index for outcome in report.left}, act


def test_a_resubmit_is_one_act_that_nobody_can_undo(busy: Scheduler, project: ProjectDir) -> None:
    key = JobKey(BATCH, 4)
    with project.workspace(busy) as ws:
        report = actions.resubmit(
            ws, Selection((key,)), resources={key: {"mem": "2gb"}}, command=f"resubmit {BATCH} 4"
        )
    assert (report.done, report.action) == (1, None)
    assert history(project, busy)[0] == ("resubmit", 1, f"resubmit {BATCH} 4", False)
    assert [verb for verb, *_ in history(project, busy)] == ["resubmit", "submit"]


def test_a_resubmit_while_the_scheduler_is_down_loses_nothing(busy: Scheduler, project: ProjectDir) -> None:
    busy.refuse = "sbatch: error: Unable to contact slurm controller"
    with project.workspace(busy) as ws:
        report = actions.resubmit(ws, Selection((JobKey(BATCH, 4),)))
        assert messages(report) == {4: f"reset, but not submitted: {busy.refuse}"}
        assert project.state(4) == "init"
        assert report.action is None, "the attempt to submit it has changed the job since: there is no undo"
    busy.refuse = ""
    with project.workspace(busy) as ws:
        assert actions.submit_next(ws).submitted == 2


def test_a_resubmit_whose_database_fails_says_so_of_each_job(
    busy: Scheduler, project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise DatabaseBusyError("jobs.db is locked")

    monkeypatch.setattr("paraschut_core.actions.submit.submit_keys", locked)
    with project.workspace(busy) as ws:
        report = actions.resubmit(ws, Selection((JobKey(BATCH, 4),)))
        assert messages(report) == {4: "reset, but not submitted: jobs.db is locked"}
        assert actions.undo(ws, report.action).done == 1
    assert project.state(4) == "run"


def test_a_database_that_fails_midway_leaves_a_report_of_what_is_done(
    project: ProjectDir, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paraschut_core.actions.fields.CHUNK", 2)
    keys = project.add_many(5)
    done = 0

    def fields(info: JobInfo) -> dict[str, Any]:
        nonlocal done
        done += 1
        if done == 4:
            raise DatabaseBusyError("database or disk is full")
        return {"note": "x"}

    with project.workspace(scheduler) as ws:
        report = actions.set_fields(ws, keys, fields, {})
        assert report.done == 2
        assert messages(report) == dict.fromkeys((2, 3, 4), "database or disk is full")
        assert history(project, scheduler)[0][:2] == ("set", 2)
        assert [psu.get_job_info(BATCH, i).get("note") for i in range(5)] == ["x", "x", None, None, None]
        assert actions.undo(ws).done == 2


def test_a_job_that_somebody_resubmits_after_the_look_is_left_alone(
    busy: Scheduler, project: ProjectDir
) -> None:
    chosen = Selection((JobKey(BATCH, 4),))
    with project.workspace(busy) as ws:
        seen = actions.preview(ws, chosen)
        actions.resubmit(ws, chosen)
        report = actions.resubmit(ws, chosen, force=True, shown=seen.stamps)
    assert messages(report) == {4: "it was submitted again meanwhile"}
    assert project.column("attempt", 4) == 2


def test_a_job_that_is_submitted_again_after_the_look_is_left_alone_and_does_not_count_as_failed(
    busy: Scheduler, project: ProjectDir
) -> None:
    chosen = Selection((JobKey(BATCH, 4),))
    with project.workspace(busy) as ws:
        seen = actions.preview(ws, chosen)
        actions.resubmit(ws, chosen)
        for force in (False, True):
            report = actions.reset(ws, chosen, force=force, shown=seen.stamps)
            assert (report.done, report.failed) == (0, [])
            assert [outcome.key for outcome in report.left] == [JobKey(BATCH, 4)]


def test_spawns_that_all_live_are_left_alone_and_forced_ones_start_over(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add(project.job())
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    info = psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001")
    psu.spawn_submit(info, 3, Executor=scheduler)
    with project.workspace(scheduler) as ws:
        assert not actions.preview(ws, WHOLE).lost_spawns
        report = actions.resubmit(ws, WHOLE)
        assert [(o.ok, o.left, o.message) for o in report.outcomes] == [
            (False, True, "none of its spawns is missing")
        ]
        scheduler.lose_sight("1003")
        psu.get_queue(Verbose=False, Executor=scheduler)
        psu.get_queue(Verbose=False, Executor=scheduler)
        assert actions.preview(ws, WHOLE).lost_spawns == {JobKey(BATCH, 0): 1}
        assert actions.resubmit(ws, WHOLE, force=True).done == 1
    assert project.state() == "submit"


def test_submissions_and_cleanings_are_in_the_history(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add_many(3)
    project.add_many(2, OTHER)
    folder = project.folder / str(BATCH)
    folder.mkdir(exist_ok=True)
    (folder / "a.tmp").write_text("x")
    with project.workspace(scheduler) as ws:
        actions.clean_files(ws, ["*.tmp"], [BATCH], command=f"clean {BATCH}")
        actions.submit_next(ws, max_jobs=1, command="submit --max-jobs 1")
        actions.submit_batches(ws, [BATCH, OTHER], 3, command=f"submit {BATCH},{OTHER}")
        actions.submit_next(ws, max_jobs=0)
    assert history(project, scheduler) == [
        ("submit", 3, f"submit {BATCH},{OTHER}", False),
        ("submit", 1, "submit --max-jobs 1", False),
        ("clean", 1, f"clean {BATCH}", False),
    ]


def test_a_plan_tells_what_would_be_submitted_next(busy: Scheduler, project: ProjectDir) -> None:
    project.add(*(project.job(index, OTHER, priority=index // 2) for index in range(4)))
    with project.workspace(busy, submit={"max_jobs": 4}) as ws:
        plan = actions.plan_next(ws)
        assert plan.groups == [(BATCH, 1, 1), (OTHER, 1, 2)]
        assert (plan.limit, plan.in_queue, plan.room, plan.jobs, plan.error) == (4, 2, 2, 2, "")
        assert actions.submit_next(ws).submitted == plan.jobs


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("queue=long", "queue", "long"),
        ("note= a b ", "note", "a b"),
        ("x=0.5", "x", 0.5),
        ('tags=["a", 1]', "tags", ["a", 1]),
        ("eq=a=b", "eq", "a=b"),
        ("none=null", "none", None),
    ],
)
def test_a_field_is_read_as_json_or_as_text(word: str, name: str, value: object) -> None:
    assert actions.parse_field(word) == (name, value)


@pytest.mark.parametrize("word", ["queue", "=x", " =x", "BatchID=1", "rev=1", "SpawnID=3"])
def test_a_word_that_sets_no_field_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        actions.parse_field(word)
