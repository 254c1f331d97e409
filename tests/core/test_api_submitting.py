"""Submitting, setting fields, deleting and removing, as the documents describe them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core.errors import ConfigError, FilterError, SchedulerError, UnknownJobError, UsageError
from paraschut_core.model import RUNNING, DeleteResult, JobInfo, JobSpec, LiveJob, SubmitResult
from tests.helpers import BATCH, FileQueue, ProjectDir, Scheduler, SchedulerDownError, Script, assert_sound

OTHER = BATCH + 1
THIRD = BATCH + 2


@pytest.fixture(autouse=True)
def polls_always(project: ProjectDir) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")


def submitted(project: ProjectDir) -> dict[int, list[int]]:
    rows = project.sql("SELECT BatchID, JobIndex FROM job WHERE state = 'submit' ORDER BY 1, 2")
    return {batch: [index for b, index in rows if b == batch] for batch, _ in rows}


def numbers(printed: str) -> dict[str, int]:
    """What submit_jobs prints: max jobs, in queue, submitted."""
    return {name: int(value) for name, value in (line.split(": ") for line in printed.split("\n") if line)}


@pytest.fixture
def submit(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, int]]:
    def call(**options: Any) -> dict[str, int]:
        capsys.readouterr()
        assert psu.submit_jobs(**{"Executor": scheduler, **options}) is None
        return numbers(capsys.readouterr().out)

    return call


# ------------------------------------------------------------------------------------ priorities


def test_submit_jobs_prints_max_jobs_in_queue_and_submitted(
    project: ProjectDir, scheduler: Scheduler, submit: Callable[..., dict[str, int]]
) -> None:
    project.add_many(3)
    scheduler.live["elsewhere"] = LiveJob("elsewhere", RUNNING)
    assert submit() == {"max jobs": 1000, "in queue": 1, "submitted": 3}
    assert project.states() == dict.fromkeys(range(3), "submit")
    assert [project.column("submit_id", index) for index in range(3)] == ["1001", "1002", "1003"]
    assert submit() == {"max jobs": 1000, "in queue": 4, "submitted": 0}


def test_the_highest_group_goes_first_and_the_next_once_all_of_it_is_complete(
    project: ProjectDir, submit: Callable[..., dict[str, int]]
) -> None:
    project.add(*(project.job(index, priority=priority) for index, priority in enumerate([2, 2, 1, 1, 3])))
    submit()
    assert submitted(project) == {BATCH: [4]}
    submit()
    assert submitted(project) == {BATCH: [4]}
    psu.set_complete(BATCH, 4)
    submit()
    assert submitted(project) == {BATCH: [0, 1]}
    psu.set_complete(BATCH, 0)
    submit()
    assert submitted(project) == {BATCH: [1]}
    psu.set_complete(BATCH, 1)
    psu.set_job_field(BATCH, 1, {"state": "collected"}, {})
    submit()
    assert submitted(project) == {BATCH: [2, 3]}


@pytest.mark.parametrize("state", ["run", "submit", "spawn", "needs_review", ""])
def test_any_unfinished_state_above_holds_back_the_groups_below(
    project: ProjectDir, submit: Callable[..., dict[str, int]], state: str
) -> None:
    project.add(project.job(0, priority=2, state=state), project.job(1, priority=1))
    assert submit()["submitted"] == 0
    assert project.states()[1] == "init"


def test_below_100_batches_do_not_wait_for_one_another(
    project: ProjectDir, submit: Callable[..., dict[str, int]]
) -> None:
    project.add(project.job(0, BATCH, priority=99), project.job(0, OTHER, priority=1))
    submit()
    assert submitted(project) == {BATCH: [0], OTHER: [0]}


def test_from_100_up_only_the_batches_at_the_overall_maximum_submit(
    project: ProjectDir, submit: Callable[..., dict[str, int]]
) -> None:
    project.add(
        project.job(0, BATCH, priority=100),
        project.job(0, OTHER, priority=100),
        project.job(1, OTHER, priority=1),
        project.job(0, THIRD, priority=99),
    )
    submit()
    assert submitted(project) == {BATCH: [0], OTHER: [0]}
    psu.set_complete(BATCH, 0)
    submit()
    assert submitted(project) == {OTHER: [0]}
    psu.set_complete(OTHER, 0)
    submit()
    assert submitted(project) == {OTHER: [1], THIRD: [0]}


def test_min_prior_leaves_out_batches_below_it(
    project: ProjectDir, submit: Callable[..., dict[str, int]]
) -> None:
    project.add(project.job(0, BATCH, priority=5), project.job(0, OTHER, priority=4.5))
    submit(MinPrior=5)
    assert submitted(project) == {BATCH: [0]}


def test_negative_priorities_run(project: ProjectDir, submit: Callable[..., dict[str, int]]) -> None:
    project.add(project.job(0, priority=-1), project.job(1, priority=-2.5))
    submit()
    assert submitted(project) == {BATCH: [0]}
    psu.set_complete(BATCH, 0)
    submit()
    assert submitted(project) == {BATCH: [1]}


def test_filter_submits_only_what_matches(project: ProjectDir, submit: Callable[..., dict[str, int]]) -> None:
    project.add(*(project.job(index) for index in range(4)))
    project.add(project.job(0, OTHER, name="other"))
    submit(Filter='name LIKE "%genome%" AND JobIndex >= 2')
    assert submitted(project) == {BATCH: [2, 3]}
    with pytest.raises(FilterError):
        submit(Filter="no_such_column = 1")


# ------------------------------------------------------------------------------------ MaxJobs


def test_max_jobs_counts_what_is_queued_already(
    project: ProjectDir, scheduler: Scheduler, submit: Callable[..., dict[str, int]]
) -> None:
    project.add_many(10)
    scheduler.live = {"x": LiveJob("x", RUNNING), "y": LiveJob("y", "queued")}
    assert submit(MaxJobs=5) == {"max jobs": 5, "in queue": 2, "submitted": 3}
    assert submit(MaxJobs=5) == {"max jobs": 5, "in queue": 5, "submitted": 0}
    assert submit(MaxJobs=0)["submitted"] == 0
    assert len(submitted(project)[BATCH]) == 3


def test_max_jobs_comes_from_the_first_line_of_the_maxjobs_file(
    project: ProjectDir, submit: Callable[..., dict[str, int]]
) -> None:
    project.add_many(5)
    (project.folder / "maxjobs").write_text(" 2 \nnot read\n")
    assert submit() == {"max jobs": 2, "in queue": 0, "submitted": 2}
    (project.folder / "maxjobs").write_text("many\n")
    with pytest.raises(ConfigError, match="maxjobs: its first line must be a number, not 'many'"):
        submit()


def test_max_jobs_cuts_a_group_short_and_goes_on_with_it_next_time(
    project: ProjectDir, scheduler: Scheduler, submit: Callable[..., dict[str, int]]
) -> None:
    project.add(*(project.job(index, priority=2) for index in range(4)), project.job(4))
    submit(MaxJobs=3)
    assert submitted(project) == {BATCH: [0, 1, 2]}
    for index, id_ in enumerate(("1001", "1002", "1003")):
        psu.set_complete(BATCH, index)
        scheduler.lose_sight(id_)
    submit(MaxJobs=3)
    assert submitted(project) == {BATCH: [3]}


def test_max_jobs_does_not_count_jobs_that_completed_since_the_last_poll(
    project: ProjectDir, submit: Callable[..., dict[str, int]]
) -> None:
    """Else the last of a few short jobs finds no room for what is next, and nothing runs any more."""
    project.configure("[poll]\ninterval = 3600\n")
    shared = Scheduler(expensive_poll=True)
    project.add_many(6)
    submit(Executor=shared, MaxJobs=2)
    assert submitted(project) == {BATCH: [0, 1]}
    with project.workspace(shared) as ws:
        from paraschut_core.monitoring import polling

        polling.poll_scheduler(ws, force=True)
    psu.set_complete(BATCH, 0)
    assert submit(Executor=shared, MaxJobs=2) == {"max jobs": 2, "in queue": 1, "submitted": 1}
    psu.set_complete(BATCH, 1)
    psu.set_complete(BATCH, 2)
    assert submit(Executor=shared, MaxJobs=2)["submitted"] == 2
    assert shared.polls == 2, "nothing of this asked the scheduler again"


def test_the_last_job_of_a_chain_finds_room_though_it_is_in_the_queue_itself(
    project: ProjectDir,
    scheduler: Scheduler,
    submit: Callable[..., dict[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project.add_many(2)
    submit(MaxJobs=1)
    psu.set_complete(BATCH, 0)
    monkeypatch.setenv("PARASCHUT_JOB_ID", "1001")
    assert submit(MaxJobs=1)["submitted"] == 1
    monkeypatch.delenv("PARASCHUT_JOB_ID")
    assert submit(MaxJobs=1) == {"max jobs": 1, "in queue": 2, "submitted": 0}


def test_max_jobs_counts_claims_whose_id_is_not_known_yet(
    project: ProjectDir, scheduler: Scheduler, submit: Callable[..., dict[str, int]]
) -> None:
    project.add_many(4)
    scheduler.lose = True
    submit_one = {"Executor": scheduler}
    psu.submit_one_job(BATCH, 0, **submit_one)
    scheduler.lose = False
    scheduler.live.clear()
    assert submit(MaxJobs=2) == {"max jobs": 2, "in queue": 1, "submitted": 1}


def test_max_jobs_counts_each_spawn(
    project: ProjectDir, scheduler: Scheduler, submit: Callable[..., dict[str, int]]
) -> None:
    project.add_many(3)
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    info = psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001")
    psu.spawn_submit(info, 3, Executor=scheduler)
    assert submit(MaxJobs=5) == {"max jobs": 5, "in queue": 4, "submitted": 1}


def test_submitters_at_once_keep_to_max_jobs_together_and_submit_each_job_once(project: ProjectDir) -> None:
    project.add_many(400)
    queue = FileQueue(str(project.folder / "queue"))
    code = """
        import sys
        import paraschut_core as psu
        from tests.helpers import FileQueue
        psu.submit_jobs(Executor=FileQueue(sys.argv[1], chunk=7), MaxJobs=150)
    """
    scripts = [Script(code, queue.path) for _ in range(4)]
    for script in scripts:
        script.output()
    jobs = [key for _, _, key in queue.lines()]
    assert len(jobs) == len(set(jobs)) == 150
    assert list(project.states().values()).count("submit") == 150
    psu.submit_jobs(Executor=queue, MaxJobs=150)
    assert len(queue.lines()) == 150


# ------------------------------------------------------------------------------------ what the job gets


def test_a_job_gets_its_variables_logs_and_a_way_back(
    project: ProjectDir, scheduler: Scheduler, submit: Callable[..., dict[str, int]]
) -> None:
    value = "a,b 'c' \"d\" $HOME\n`e` \\ ü"
    project.add(project.job(12, vars={"GENOME": value, "N": 3}, queue="long", resources={"mem": "2gb"}))
    submit()
    (spec,) = scheduler.specs
    assert spec.environment["GENOME"] == value
    assert spec.environment["N"] == "3"
    assert spec.environment["PARASCHUT_DB"] == str(project.database)
    assert spec.environment["PARASCHUT_CONFIG"] == str(project.folder / "paraschut.toml")
    assert spec.environment["PARASCHUT_JOB_DIR"] == str(project.folder)
    assert spec.environment["PARASCHUT_BATCH_ID"] == str(BATCH)
    assert spec.environment["PARASCHUT_JOB_INDEX"] == "12"
    assert spec.environment["PARASCHUT_TOKEN"] == spec.token == project.column("token", 12)
    assert (spec.queue, spec.resources, spec.name, spec.attempt) == (
        "long",
        {"mem": "2gb"},
        "human/genome_map",
        1,
    )
    info = psu.get_job_info(BATCH, 12)
    assert info["stdout"] == [spec.stdout]
    assert info["stderr"] == [spec.stderr]
    expected = project.folder / str(BATCH) / "logs" / f"human_genome_map_0012_{info['subtime']}.0"
    assert spec.stdout == f"{expected}.out"
    assert spec.stderr == f"{expected}.err"


def test_each_submission_adds_a_log_to_the_history(
    project: ProjectDir, scheduler: Scheduler, submit: Callable[..., dict[str, int]]
) -> None:
    project.add(project.job())
    for _ in range(3):
        submit()
        project.reset_by_force()
    info = psu.get_job_info(BATCH, 0)
    assert [path.rsplit(".", 2)[1] for path in info["stdout"]] == ["0", "1", "2"]
    assert info["attempt"] == 3


def test_an_executor_of_ones_own_does_not_name_the_executor_of_the_jobs_children(
    project: ProjectDir, submit: Callable[..., dict[str, int]], scheduler: Scheduler
) -> None:
    """A job that submits others reads this variable: it must name one that a configuration can name."""
    project.configure('executor = "slurm"\n')
    project.add(project.job())
    submit()
    assert scheduler.specs[0].environment["PARASCHUT_EXECUTOR"] == "slurm"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"vars": {"A=B": "x"}}, "cannot be the name"),
        ({"vars": {"1A": "x"}}, "cannot be the name"),
        ({"vars": {"A": "x\0y"}}, "NUL"),
        ({"vars": {"A": "\ud800"}}, "cannot be encoded"),
        ({"vars": ["A"]}, "must be a dict"),
        ({"script": ""}, "no script"),
        ({"script": None}, "no script"),
        ({"script": "/nowhere/map.sh"}, "does not exist: /nowhere/map.sh"),
        ({"script": "/"}, "is a directory"),
        ({"script": "/etc/passwd"}, "chmod +x /etc/passwd"),
        ({"directives": "--comment='oh"}, "cannot be split into words: No closing quotation"),
        ({"directives": {"--hold": True}}, "directives must be a list of words or a text, not dict"),
        ({"resources": "mem=4gb"}, "resources must be a dict such as {'mem': '4gb'}, not str"),
    ],
)
def test_a_job_that_cannot_run_is_said_and_stays_and_the_others_go(
    project: ProjectDir,
    scheduler: Scheduler,
    capsys: pytest.CaptureFixture[str],
    fields: dict[str, Any],
    complaint: str,
) -> None:
    project.add(project.job(0, **fields), project.job(1))
    psu.submit_jobs(Executor=scheduler)
    printed = capsys.readouterr().out
    assert f"not submitted: {BATCH}/0: " in printed
    assert complaint in printed
    assert project.states() == {0: "init", 1: "submit"}
    assert project.column("attempt", 0) == 0


def test_directives_are_words_or_a_text_of_words_and_the_projects_come_first(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.configure('[submit]\ndirectives = ["-A", "lab"]\n')
    project.add(
        project.job(0, directives="--hold --comment='two words'"), project.job(1, directives=["-p", 5])
    )
    psu.submit_jobs(Executor=scheduler)
    assert [spec.directives for spec in scheduler.specs] == [
        ["-A", "lab", "--hold", "--comment=two words"],
        ["-A", "lab", "-p", "5"],
    ]


def test_a_refused_job_goes_back_as_if_nothing_had_been(
    project: ProjectDir, scheduler: Scheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add(project.job(stdout=["before"], stderr=["before"]))
    scheduler.refuse = "no such partition: short"
    psu.submit_jobs(Executor=scheduler)
    assert f"not submitted: {BATCH}/0: no such partition: short" in capsys.readouterr().out
    info = psu.get_job_info(BATCH, 0)
    assert (info["state"], info["attempt"], info["stdout"], info["stderr"]) == (
        "init",
        0,
        ["before"],
        ["before"],
    )


def test_a_scheduler_that_never_answered_gets_nothing_submitted(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.add(project.job())
    scheduler.fault = SchedulerDownError("squeue: timed out")
    with pytest.raises(
        SchedulerError, match=r"does not answer since .*: squeue: timed out; nothing was submitted"
    ):
        psu.submit_jobs(Executor=scheduler)
    assert project.state() == "init"
    assert scheduler.specs == []


def test_a_scheduler_that_is_back_is_asked_at_once_although_its_next_poll_is_not_due(
    project: ProjectDir, submit: Callable[..., dict[str, int]]
) -> None:
    project.configure("[poll]\ninterval = 600\n")
    project.add(project.job())
    shared = Scheduler(expensive_poll=True)
    shared.fault = SchedulerDownError("down")
    with pytest.raises(SchedulerError):
        submit(Executor=shared)
    shared.fault = None
    assert submit(Executor=shared)["submitted"] == 1


def test_an_executor_that_is_not_connected_gets_nothing_submitted(project: ProjectDir) -> None:
    class Elsewhere(Scheduler):
        def isconnected(self) -> bool:
            return False

    project.add(project.job())
    with pytest.raises(SchedulerError, match="cannot be submitted from this host"):
        psu.submit_jobs(Executor=Elsewhere())


# ------------------------------------------------------------------------------------ one batch, one job


def test_submit_one_batch_takes_its_highest_group_and_counts(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.add(*(project.job(index, priority=index // 2) for index in range(6)))
    project.add(project.job(0, OTHER, priority=100))
    assert psu.submit_one_batch(BATCH, Executor=scheduler) == 2
    assert submitted(project) == {BATCH: [4, 5]}
    assert psu.submit_one_batch(BATCH, Executor=scheduler, SubCount=7) == 7


def test_submit_one_batch_takes_many_and_keeps_to_its_limit(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.add_many(3, BATCH)
    project.add_many(3, OTHER)
    assert psu.submit_one_batch([BATCH, OTHER], Executor=scheduler, SubCount=1, MaxJobs=5) == 5
    assert submitted(project) == {BATCH: [0, 1, 2], OTHER: [0]}
    with pytest.raises(UnknownJobError, match="no batch 7"):
        psu.submit_one_batch(7, Executor=scheduler)


def test_submit_one_job_takes_one_or_many_whatever_their_priority(
    project: ProjectDir, scheduler: Scheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add(*(project.job(index, priority=index) for index in range(5)))
    psu.submit_one_job(BATCH, 1, Executor=scheduler)
    assert submitted(project) == {BATCH: [1]}
    psu.submit_one_job(BATCH, [0, 1, 3], Executor=scheduler)
    assert submitted(project) == {BATCH: [0, 1, 3]}
    printed = capsys.readouterr().out
    assert f"not submitted: {BATCH}/1: already in state submit" in printed
    with pytest.raises(UnknownJobError):
        psu.submit_one_job(BATCH, [2, 9], Executor=scheduler)
    assert submitted(project) == {BATCH: [0, 1, 3]}


def test_periodic_submitter_submits_n_times_and_outlives_a_failure(
    project: ProjectDir, scheduler: Scheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add_many(4)
    answers = iter([SchedulerDownError("down"), SchedulerDownError("down"), None, None])

    def next_answer() -> None:
        scheduler.fault = next(answers, None)

    class Trembling(Scheduler):
        def poll(self) -> dict[str, LiveJob]:
            next_answer()
            self.fault = scheduler.fault
            return super().poll()

    began = time.monotonic()
    psu.periodic_submitter(period=0.001, n=3, Executor=Trembling(), MaxJobs=2)
    assert time.monotonic() - began >= 2 * 0.06
    printed = capsys.readouterr().out
    assert re.search("not submitted: fake does not answer since .*: down", printed)
    assert printed.count("max jobs: 2") == 2
    assert submitted(project) == {BATCH: [0, 1]}


# ------------------------------------------------------------------------------------ fields


def test_set_batch_field_resets_what_is_not_complete_and_drops_the_ids(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    states = ["init", "submit", "run", "complete", "collected", "needs_review"]
    project.add(
        *(project.job(index, state=state, submit_id="5", ClusterID="5") for index, state in enumerate(states))
    )
    psu.set_batch_field(BATCH)
    assert list(project.states().values()) == ["init", "init", "init", "complete", "collected", "init"]
    assert [project.column("submit_id", index) for index in range(6)] == [None, None, None, "5", "5", None]
    assert [project.column("ClusterID", index) for index in range(6)] == [None, None, None, "5", "5", None]


def test_unless_protects_and_empty_forces(project: ProjectDir) -> None:
    project.add(*(project.job(index, state=state) for index, state in enumerate(["complete", "run", "init"])))
    psu.set_batch_field(BATCH, {"note": 1}, {"state": "run", "JobIndex": [2]})
    assert ["note" in psu.get_job_info(BATCH, index) for index in range(3)] == [True, False, False]
    psu.set_batch_field(BATCH, Unless={})
    assert set(project.states().values()) == {"init"}


def test_set_job_field_takes_one_or_many_and_any_fields(project: ProjectDir) -> None:
    project.add_many(5)
    psu.set_job_field(BATCH, 1, {"priority": 3, "resources": {"mem": "4gb"}, "phase": 2})
    psu.set_job_field(BATCH, range(3, 5), Fields={"state": "collected"})
    info = psu.get_job_info(BATCH, 1)
    assert (info["priority"], info["resources"], info["phase"]) == (3, {"mem": "4gb"}, 2)
    assert project.states() == {0: "init", 1: "init", 2: "init", 3: "collected", 4: "collected"}
    assert_sound(project.database)


def test_set_batch_field_takes_one_or_many_batches(project: ProjectDir) -> None:
    for batch in (BATCH, OTHER, THIRD):
        project.add(project.job(0, batch))
    psu.set_batch_field([BATCH, THIRD], {"state": "held"})
    assert [project.state(0, batch) for batch in (BATCH, OTHER, THIRD)] == ["held", "init", "held"]


@pytest.mark.parametrize("field", ["BatchID", "JobIndex", "attempt", "rev"])
def test_fields_that_the_index_gives_cannot_be_set(project: ProjectDir, field: str) -> None:
    project.add(project.job())
    with pytest.raises(UsageError, match=f"The field {field} cannot be set"):
        psu.set_job_field(BATCH, 0, {field: 5})


def test_a_value_that_a_field_cannot_have_changes_nothing(project: ProjectDir) -> None:
    project.add_many(3)
    with pytest.raises(UsageError, match="priority must be a finite number"):
        psu.set_batch_field(BATCH, {"priority": "high"})
    assert [project.column("priority", index) for index in range(3)] == [1, 1, 1]


def test_a_damaged_row_keeps_no_other_from_being_reset(project: ProjectDir) -> None:
    project.add(*(project.job(index, state="run") for index in range(3)))
    project.set_columns(1, metadata="{broken")
    psu.set_batch_field(BATCH)
    assert project.states() == dict.fromkeys(range(3), "init")
    psu.set_batch_field(BATCH, {"note": "x"})
    assert project.column("metadata", 1) == "{broken"
    assert psu.get_job_info(BATCH, 2)["note"] == "x"
    assert project.sql("SELECT name FROM batch") == [("human/genome_map",)]


def test_renaming_jobs_renames_their_batch_and_nothing_else_does(project: ProjectDir) -> None:
    project.add(project.job(0, name="a"), project.job(1, name="b"))
    psu.set_job_field(BATCH, 1)
    info = psu.get_job_info(BATCH, 1)
    psu.update_job(info | {"note": 1})
    assert project.sql("SELECT name FROM batch") == [("a",)]
    psu.set_batch_field(BATCH, {"name": ["c", "d"]})
    assert project.sql("SELECT name FROM batch") == [("c/d",)]


def test_boost_raises_the_priority_of_all_jobs(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add(project.job(0, priority=1), project.job(1, priority=2.5), project.job(0, OTHER))
    psu.boost_batch_priority(BATCH)
    assert [project.column("priority", index) for index in range(2)] == [101, 102.5]
    psu.boost_batch_priority([BATCH, OTHER], Booster=-1)
    assert project.column("priority", 0, OTHER) == 0
    assert_sound(project.database)


def test_boosts_at_once_all_count(project: ProjectDir) -> None:
    project.add_many(50)
    code = "import paraschut_core as psu, sys; psu.boost_batch_priority(int(sys.argv[1]), 10)"
    scripts = [Script(code, BATCH) for _ in range(5)]
    for script in scripts:
        script.output()
    assert {project.column("priority", index) for index in range(50)} == {51}


# ------------------------------------------------------------------------------------ qdel


def test_qdel_batch_deletes_from_the_queue_and_puts_back(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add_many(3)
    project.add(project.job(3, state="complete"))
    psu.submit_one_job(BATCH, [0, 1], Executor=scheduler)
    psu.get_job_info(BATCH, 1, SetID=True, ClusterID="1002")
    psu.qdel_batch(BATCH, Executor=scheduler)
    assert sorted(scheduler.deleted) == ["1001", "1002"]
    assert project.states() == {0: "init", 1: "init", 2: "init", 3: "complete"}
    assert [project.column("submit_id", index) for index in range(2)] == [None, None]
    assert project.column("token", 0) is None


def test_qdel_job_takes_one_many_or_its_metadata(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add_many(4)
    psu.submit_one_job(BATCH, range(4), Executor=scheduler)
    psu.qdel_job(BATCH, 0, Executor=scheduler)
    psu.qdel_job(BATCH, [1, 2], Executor=scheduler)
    psu.qdel_job(JobInfo=psu.get_job_info(BATCH, 3), Executor=scheduler)
    assert project.states() == dict.fromkeys(range(4), "init")
    assert scheduler.live == {}


def test_qdel_says_what_could_not_be_deleted_and_leaves_it(
    project: ProjectDir, capsys: pytest.CaptureFixture[str]
) -> None:
    class Owned(Scheduler):
        def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
            return {id_: DeleteResult(id_ == "1001", "" if id_ == "1001" else "not yours") for id_ in jobs}

    owned = Owned()
    project.add_many(2)
    psu.submit_one_job(BATCH, range(2), Executor=owned)
    capsys.readouterr()
    psu.qdel_batch(BATCH, Executor=owned)
    assert capsys.readouterr().out == f"not deleted: {BATCH}/1: not yours\n"
    assert project.states() == {0: "init", 1: "submit"}
    assert project.column("submit_id", 1) == "1002"


def test_qdel_with_a_silent_scheduler_changes_nothing(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add_many(2)
    psu.submit_one_job(BATCH, range(2), Executor=scheduler)
    scheduler.fault = SchedulerDownError("timed out")
    with pytest.raises(SchedulerError):
        psu.qdel_batch(BATCH, Executor=scheduler)
    assert project.states() == {0: "submit", 1: "submit"}


def test_qdel_of_a_spawn_job_deletes_all_its_spawns(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add(project.job())
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    info = psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001")
    psu.spawn_submit(info, 2, Executor=scheduler)
    psu.qdel_job(BATCH, 0, Executor=scheduler)
    assert scheduler.live == {}
    assert project.state() == "init"
    assert psu.spawn_get_info(BATCH, 0)["SpawnID"] == []


def test_qdel_leaves_alone_what_was_submitted_again_while_it_deleted(project: ProjectDir) -> None:
    class Slow(Scheduler):
        def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
            outcome = super().delete_many(jobs)
            project.reset_by_force()
            psu.submit_one_job(BATCH, 0, Executor=self)
            return outcome

    slow = Slow()
    project.add(project.job())
    psu.submit_one_job(BATCH, 0, Executor=slow)
    psu.qdel_job(BATCH, 0, Executor=slow)
    assert project.state() == "submit"
    assert project.column("submit_id") == "1002"


# ------------------------------------------------------------------------------------ remove, clean


def batch_folder(project: ProjectDir, batch: int = BATCH) -> Path:
    folder = project.folder / str(batch)
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "x.out").write_text("x")
    return folder


def test_remove_batch_removes_rows_and_folder(project: ProjectDir) -> None:
    project.add_many(3)
    project.add(project.job(0, OTHER))
    folder, other = batch_folder(project), batch_folder(project, OTHER)
    psu.remove_batch(BATCH)
    assert project.states() == {}
    assert not folder.exists()
    assert project.states(OTHER) == {0: "init"}
    assert other.exists()
    assert_sound(project.database)
    with pytest.raises(UnknownJobError):
        psu.remove_batch(BATCH)


@pytest.mark.parametrize(
    "value", ["1 OR 1=1", "", "20210101120000;", b"", None, 1.5, True, [""], ["1;", 2], "."]
)
def test_remove_batch_takes_integers_only_and_else_removes_nothing(project: ProjectDir, value: Any) -> None:
    project.add_many(2)
    folder = batch_folder(project)
    with pytest.raises(UsageError, match="must be an integer"):
        psu.remove_batch(value)
    assert len(project.states()) == 2
    assert folder.exists()


def test_remove_batch_with_one_unknown_among_them_removes_nothing(project: ProjectDir) -> None:
    project.add_many(2)
    with pytest.raises(UnknownJobError):
        psu.remove_batch([BATCH, 77])
    assert len(project.states()) == 2


def test_remove_batch_named_twice_removes_it_once(project: ProjectDir) -> None:
    project.add_many(2)
    psu.remove_batch([BATCH, BATCH])
    assert project.states() == {}


def test_remove_batch_never_follows_a_symbolic_link(
    project: ProjectDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("x")
    project.add_many(1)
    project.add(project.job(0, OTHER))
    (project.folder / str(BATCH)).symlink_to(precious)
    folder = batch_folder(project, OTHER)
    (folder / "link").symlink_to(precious)
    psu.remove_batch([BATCH, OTHER])
    assert (precious / "data").exists()
    assert not folder.exists()
    assert "is a symbolic link and was left" in capsys.readouterr().out


def test_remove_batch_by_state_takes_batches_all_of_whose_jobs_are_in_it(project: ProjectDir) -> None:
    project.add(project.job(0, BATCH, state="complete"), project.job(1, BATCH, state="complete"))
    project.add(project.job(0, OTHER, state="complete"), project.job(1, OTHER, state="collected"))
    psu.remove_batch_by_state("complete")
    assert (project.states(BATCH), len(project.states(OTHER))) == ({}, 2)
    psu.remove_batch_by_state(["complete", "collected"])
    assert project.states(OTHER) == {}


def test_clean_temp_files_removes_the_configured_patterns_from_batch_folders(
    project: ProjectDir, capsys: pytest.CaptureFixture[str]
) -> None:
    project.configure('temp_files = ["*.genes.*", "*.tmp"]\n')
    project.add(project.job(0, BATCH), project.job(0, OTHER))
    for batch in (BATCH, OTHER):
        folder = batch_folder(project, batch)
        for name in ("a.genes.npz", "b.tmp", "keep.txt", "logs/c.tmp"):
            (folder / name).write_text("x")
    capsys.readouterr()
    psu.clean_temp_files(batch_list=BATCH)
    assert capsys.readouterr().out == f"files removed:\n{{{BATCH}: 2}}\n"
    assert sorted(path.name for path in (project.folder / str(BATCH)).iterdir()) == ["keep.txt", "logs"]
    assert (project.folder / str(BATCH) / "logs" / "c.tmp").exists()
    assert (project.folder / str(OTHER) / "b.tmp").exists()
    psu.clean_temp_files("logs/*.tmp")
    assert not (project.folder / str(OTHER) / "logs" / "c.tmp").exists()


def test_clean_temp_files_stays_inside_the_batches_folders(project: ProjectDir, tmp_path: Path) -> None:
    elsewhere = project.folder / f"{BATCH}0"
    elsewhere.mkdir()
    (elsewhere / "a.tmp").write_text("x")
    project.add(project.job(0, BATCH), project.job(0, OTHER))
    folder = batch_folder(project)
    (folder / "link").symlink_to(elsewhere)
    (project.folder / str(OTHER)).symlink_to(elsewhere)
    for pattern in ("link/*.tmp", "*/*.tmp", "*.tmp"):
        psu.clean_temp_files(pattern)
    assert (elsewhere / "a.tmp").exists()
    for pattern in ("../*", "/etc/*", "a/../../*"):
        with pytest.raises(UsageError, match="leads out of"):
            psu.clean_temp_files(pattern)


def test_clean_temp_folders_removes_the_jobs_folders_and_returns_their_paths(
    project: ProjectDir, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add_many(3)
    folder = batch_folder(project)
    for index in (0, 2, 7):
        (folder / str(index)).mkdir()
        (folder / str(index) / "x").write_text("x")
    capsys.readouterr()
    removed = psu.clean_temp_folders()
    assert removed == [str(folder / "0"), str(folder / "2")]
    assert "removed 2 temp dirs" in capsys.readouterr().out
    assert (folder / "7").exists(), "it is no job's"
    assert (folder / "logs").exists()


# ------------------------------------------------------------------------------------ executors of users


def test_a_users_subclass_in_v06s_form_submits_deletes_and_lists(project: ProjectDir) -> None:
    class Bench(psu.JobExecutor):
        """One job at a time, as v0.6's users wrote them."""

        def __init__(self) -> None:
            self.jobs: dict[str, JobInfo] = {}

        def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
            if JobInfo["JobIndex"] == 2:
                return "failed"
            id_ = f"bench.{len(self.jobs)}"
            self.jobs[id_] = dict(JobInfo)
            return id_

        def delete(self, JobInfo: JobInfo) -> None:
            del self.jobs[JobInfo["submit_id"]]

        def qstat(self) -> dict[str, list[Any]]:
            return {
                id_: [str(info["name"]), "R" if info["JobIndex"] == 0 else "Q"]
                for id_, info in self.jobs.items()
            }

        def get_job_id(self) -> str | None:
            return None

    bench = Bench()
    project.add_many(3, vars={"X": "1"})
    psu.submit_jobs(Executor=bench)
    assert project.states() == {0: "submit", 1: "submit", 2: "init"}
    assert bench.jobs["bench.0"]["vars"]["X"] == "1"
    assert bench.jobs["bench.0"]["vars"]["PARASCHUT_TOKEN"] == project.column("token", 0)
    psu.get_job_info(BATCH, 0, SetID=True, ClusterID="bench.0")
    queue = psu.get_queue(Verbose=False, Executor=bench)
    assert [info["state"] for info in queue[BATCH]] == ["run", "submit", "init"]
    psu.qdel_batch(BATCH, Executor=bench)
    assert bench.jobs == {}
    assert set(project.states().values()) == {"init"}


@pytest.mark.parametrize(
    ("raised", "state"),
    [
        (psu.ParaschutError("who knows"), "submit"),
        (SchedulerError("timed out"), "submit"),
        (RuntimeError("who knows"), "submit"),
        (UsageError("no such queue"), "init"),
    ],
)
def test_a_users_executor_that_raises_leaves_in_doubt_what_is_in_doubt(
    project: ProjectDir, raised: Exception, state: str
) -> None:
    class Raising(psu.JobExecutor):
        def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
            raise raised

        def qstat(self) -> dict[str, list[Any]]:
            return {}

    project.add(project.job())
    psu.submit_jobs(Executor=Raising())
    assert project.state() == state


def test_an_executor_that_answers_for_too_few_jobs_leaves_the_rest_in_doubt(project: ProjectDir) -> None:
    class Short(Scheduler):
        def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
            return super().submit_many(jobs)[:1]

    project.add_many(3)
    short = Short(reports_tokens=False)
    psu.submit_jobs(Executor=short)
    assert project.states() == dict.fromkeys(range(3), "submit")
    assert [project.column("submit_id", index) for index in range(3)] == ["1001", None, None]
    psu.submit_jobs(Executor=short)
    assert len(short.specs) == 3, "what is in doubt is not submitted again"


def test_a_job_reset_while_it_is_being_submitted_is_taken_back_from_the_queue(
    project: ProjectDir, scheduler: Scheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add_many(2)
    scheduler.during_submit = project.reset_by_force
    psu.submit_jobs(Executor=scheduler)
    printed = capsys.readouterr().out
    assert f"not submitted: {BATCH}/0: it was reset while it was being submitted, and taken back" in printed
    assert "submitted: 1\n" in printed
    assert project.states() == {0: "init", 1: "submit"}
    assert scheduler.deleted == ["1001"]
    assert list(scheduler.live) == ["1002"]


def test_a_job_that_completes_before_its_id_is_recorded_stays_complete_without_ids(
    project: ProjectDir, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish() -> None:
        token = project.column("token")
        with monkeypatch.context() as job:
            for name, value in {"BATCH_ID": BATCH, "JOB_INDEX": 0, "TOKEN": token, "JOB_ID": "1001"}.items():
                job.setenv(f"PARASCHUT_{name}", str(value))
            psu.set_complete(JobInfo=psu.get_job_info(SetID=True))

    project.add(project.job())
    scheduler.during_submit = finish
    psu.submit_jobs(Executor=scheduler)
    assert project.state() == "complete"
    assert (project.column("submit_id"), project.column("ClusterID")) == (None, None)
    assert scheduler.deleted == []


def test_ten_thousand_jobs_are_reset_in_little_more_than_ten_times_the_time_of_a_thousand(
    project: ProjectDir,
) -> None:
    def seconds(batch: int, n: int) -> float:
        project.add_many(n, batch, state="run", payload="x" * 200)
        began = time.perf_counter()
        psu.set_batch_field(batch)
        return time.perf_counter() - began

    thousand = min(seconds(BATCH + n, 1000) for n in range(3))
    ten_thousand = seconds(OTHER + 10, 10_000)
    print(f"reset: 1,000 jobs {thousand:.2f} s, 10,000 jobs {ten_thousand:.2f} s")
    assert ten_thousand < 40 * thousand, "quadratic would be a hundred times"
