"""What a scheduler refuses is found once, remembered for a while, and shown where the batch is."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from paraschut_core.model import AS_ASKED, TOO_MANY, JobInfo, JobSpec, SubmitResult
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.reporting.queue_report import lines_of, read_queue
from paraschut_core.scheduling import refusals
from paraschut_core.scheduling.submission import submit_next
from tests.helpers import BATCH, ProjectDir, Scheduler, assert_sound

LIMIT = "sbatch: error: AssocMaxSubmitJobLimit"
NO_PARTITION = "invalid partition nosuch"


class Site(Scheduler):
    """Takes no more than `most` jobs, and none for a queue in `refuses`."""

    name = "slurm"

    def __init__(self, most: int = 10**6, refuses: Sequence[str] = ()) -> None:
        super().__init__()
        self.most = most
        self.refuses = list(refuses)
        self.tries: list[int] = []

    def batch_key(self, JobInfo: JobInfo) -> object:
        return JobInfo.get("queue")

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        self.tries.append(len(jobs))
        if jobs[0].queue in self.refuses:
            return [SubmitResult(None, NO_PARTITION, refusal=AS_ASKED)] * len(jobs)
        n = len(jobs)
        while n and len(self.live) + n > self.most:
            n = n // 4 or n - 1
        return [
            *super().submit_many(jobs[:n]),
            *[SubmitResult(None, LIMIT, refusal=TOO_MANY)] * (len(jobs) - n),
        ]


def sent(project: ProjectDir, site: Site, **arguments: Any) -> int:
    """How many jobs one act of submitting submits."""
    with project.workspace(site) as ws:
        return submit_next(ws, **arguments).submitted


def events(project: ProjectDir) -> int:
    return int(project.sql("SELECT count(*) FROM event")[0][0])


def pass_time(project: ProjectDir, seconds: float) -> None:
    project.sql("UPDATE refused SET at = at - ?", (seconds,))


def test_what_fits_is_submitted_and_the_rest_is_one_entry_of_the_history(project: ProjectDir) -> None:
    project.add_many(3000)
    site = Site(most=100)
    before = events(project)
    assert sent(project, site) == 100
    assert len(site.tries) < 20
    assert events(project) - before < 100 + 10
    assert sorted(project.states().values()) == ["init"] * 2900 + ["submit"] * 100
    assert project.sql(
        "SELECT count(*) FROM job WHERE state = 'init' AND (attempt <> 0 OR token NOTNULL)"
    ) == [(0,)]
    why = [row[0] for row in project.sql("SELECT why FROM event WHERE why LIKE 'not submitted%'")]
    assert any(re.search(rf"\(with [0-9]+ others\): {LIMIT}", text) for text in why)
    assert_sound(project.database)


@pytest.mark.parametrize("most", [0, 100])
def test_at_the_limit_nothing_is_tried_until_something_changes(project: ProjectDir, most: int) -> None:
    project.add_many(400)
    site = Site(most=most)
    assert sent(project, site) == most
    tries, before, size = len(site.tries), events(project), project.database.stat().st_size
    for _ in range(5):
        assert sent(project, site, by_itself=True) == 0
    assert (len(site.tries), events(project)) == (tries, before)
    assert project.database.stat().st_size == size
    pass_time(project, refusals.AGAIN_SECONDS + 1)
    assert sent(project, site, by_itself=True) == 0
    assert site.tries[tries:] == [1], "one job tells whether there is room again"
    if most:
        site.lose_sight("1001", "1002", "1003")
        project.sql("UPDATE job SET state = 'complete' WHERE submit_id IN ('1001', '1002', '1003')")
        with project.workspace(site) as ws:
            from paraschut_core.monitoring import polling

            polling.poll_scheduler(ws, force=True)
        assert sent(project, site, by_itself=True) == 3
        assert site.tries[tries + 1 :] == [3]
    site.most = 1000
    assert sent(project, site) == 400 - most - (3 if most else 0), "who asks for it, tries"


def test_jobs_that_cannot_be_taken_keep_no_room_from_others(project: ProjectDir) -> None:
    project.add_many(30, queue="nosuch")
    project.add_many(5, batch=BATCH + 1, queue="good")
    site = Site(refuses=["nosuch"])
    assert sent(project, site, max_jobs=10) == 5
    assert site.tries.count(10) + site.tries.count(5) == len(site.tries) == 2
    for _ in range(4):
        assert sent(project, site, max_jobs=10, by_itself=True) == 0
    assert len(site.tries) == 2
    assert sent(project, site, max_jobs=10) == 0
    assert site.tries[2:] == [1]


def test_a_change_of_the_settings_is_tried_at_once(project: ProjectDir) -> None:
    project.add_many(3, queue="nosuch")
    site = Site(refuses=["nosuch"])
    assert sent(project, site) == 0
    with project.workspace(site, submit={"timeout": 33.0}) as ws:
        submit_next(ws, by_itself=True)
    assert len(site.tries) == 2
    psu.set_batch_field(BATCH, {"queue": "good"}, Executor=site)
    assert sent(project, site, by_itself=True) == 3, "they ask for something else now"
    assert project.sql("SELECT count(*) FROM refused_batch") == [(0,)]


class Alone(Site):
    """Refuses one job, for itself."""

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        self.tries.append(len(jobs))
        told = Scheduler.submit_many(self, [job for job in jobs if job.key.job_index])
        return [told.pop(0) if job.key.job_index else SubmitResult(None, "not this one") for job in jobs]


def test_one_jobs_own_refusal_is_no_others(project: ProjectDir) -> None:
    project.add_many(3)
    site = Alone()
    assert sent(project, site) == 2
    for _ in range(3):
        assert sent(project, site, by_itself=True) == 0
    assert site.tries == [3]
    project.add(project.job(7))
    assert sent(project, site, by_itself=True) == 1
    pass_time(project, refusals.AGAIN_SECONDS + 1)
    sent(project, site, by_itself=True)
    assert site.tries == [3, 1, 1]


def test_it_is_shown_where_the_batch_is_until_such_jobs_are_taken(project: ProjectDir) -> None:
    project.add_many(3, queue="nosuch")
    site = Site(refuses=["nosuch"])
    words = f"refused by Slurm: {NO_PARTITION}"
    with project.workspace(site) as ws:
        watched = Monitor(ws)
        assert watched.poll().blocked == {BATCH: "3 ready to be submitted"}
        sent(project, site)
        seen = watched.refresh()
        assert (seen.blocked, seen.refused) == ({BATCH: words}, {BATCH})
        found = read_queue(ws)
        assert words in list(lines_of(found))
        from paraschut_core.cli.queue import as_dict

        assert json.loads(json.dumps(as_dict(found)))["refused"] == {str(BATCH): words}
        site.refuses = []
        assert sent(project, site) == 3
        seen = watched.refresh()
        assert (seen.blocked.get(BATCH, ""), seen.refused) == ("", frozenset())
        assert read_queue(ws).refused == {}


def test_a_batch_that_runs_at_the_limit_is_as_it_should_be(project: ProjectDir) -> None:
    project.add_many(40)
    with project.workspace(Site(most=10)) as ws:
        assert submit_next(ws).submitted == 10
        assert Monitor(ws).poll().refused == frozenset()
    with project.workspace(Site(most=0)) as ws:
        project.sql("UPDATE job SET state = 'complete' WHERE state = 'submit'")
        submit_next(ws)
        assert Monitor(ws).poll().blocked == {BATCH: f"refused by Slurm: {LIMIT}"}


def test_who_submits_reads_one_line_for_jobs_alike(
    project: ProjectDir, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add_many(30, queue="nosuch")
    psu.submit_jobs(Executor=Site(refuses=["nosuch"]))
    assert capsys.readouterr().out.splitlines()[:-3] == [f"not submitted: {BATCH} 0-29: {NO_PARTITION}"]


def test_a_removed_batch_takes_what_was_refused_of_it_along(project: ProjectDir) -> None:
    project.add_many(3, queue="nosuch")
    sent(project, Site(refuses=["nosuch"]))
    project.remove_by_force()
    assert project.sql("SELECT count(*) FROM refused_batch") == [(0,)]


@pytest.mark.parametrize(
    ("answer", "limit"),
    [
        ("sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: {all}", True),
        ("sbatch: error: AssocGrpSubmitJobsLimit\nsbatch: error: Batch job submission failed: {all}", True),
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: {all}",
            True,
        ),
        ("sbatch: error: Batch job submission failed: {all}", True),
        ("sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch ... failed: {all}", False),
        ("sbatch: error: invalid partition specified: nosuch", False),
    ],
)
def test_slurms_limits_on_jobs_are_told_from_its_limits_on_a_job(answer: str, limit: bool) -> None:
    text = answer.format(
        all="Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    )
    assert bool(SlurmJobExecutor.limit_error.search(text)) is limit
