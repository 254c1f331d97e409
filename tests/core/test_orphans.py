"""What goes on of a batch that was removed by force is kept, shown, and can be ended."""

from __future__ import annotations

import time

import pytest

import paraschut_core as psu
from paraschut_core.actions import remove_batches
from paraschut_core.actions.orphans import end_orphans
from paraschut_core.errors import SchedulerError
from paraschut_core.maintenance import doctor
from paraschut_core.reporting.queue_report import lines_of, read_queue
from tests.helpers import BATCH, ProjectDir, Scheduler, SchedulerDownError


def removed(project: ProjectDir, scheduler: Scheduler) -> None:
    """Two jobs were submitted; the scheduler is silent while their batch is removed by force."""
    project.add_many(2)
    psu.submit_jobs(Executor=scheduler)
    scheduler.fault = SchedulerDownError("down")
    with project.workspace(scheduler) as ws:
        assert remove_batches(ws, [BATCH], force=True).done == 1
    scheduler.fault = None


def kept(project: ProjectDir) -> list[str]:
    return [row[0] for row in project.sql("SELECT submit_id FROM orphan ORDER BY 1")]


def test_it_is_shown_until_it_was_ended(project: ProjectDir, scheduler: Scheduler) -> None:
    removed(project, scheduler)
    assert kept(project) == ["1001", "1002"]
    with project.workspace(scheduler) as ws:
        said = [text for text in lines_of(read_queue(ws)) if "qdel --orphans" in text]
        assert len(said) == 1 and "1001" in said[0]
    told = [finding for finding in doctor.examine(project.settings, "1") if finding.what == "removed batches"]
    assert len(told) == 1 and "1002" in told[0].detail
    with project.workspace(scheduler) as ws:
        ended = end_orphans(ws)
        assert (len(ended.killed), ended.left) == (2, [])
        assert read_queue(ws).orphans == ""
    assert sorted(scheduler.deleted) == ["1001", "1002"]
    assert kept(project) == []


def test_a_scheduler_that_is_silent_still_ends_nothing(project: ProjectDir, scheduler: Scheduler) -> None:
    removed(project, scheduler)
    scheduler.fault = SchedulerDownError("down")
    with project.workspace(scheduler) as ws, pytest.raises(SchedulerError, match="nothing was deleted"):
        end_orphans(ws)
    assert kept(project) == ["1001", "1002"]


def test_what_the_queue_does_not_show_is_over_after_the_grace_alone(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    removed(project, scheduler)
    scheduler.lose_sight()
    with project.workspace(scheduler, poll={"grace": 300.0}) as ws:
        assert len(end_orphans(ws).left) == 2
        project.sql("UPDATE orphan SET at = ?", (time.time() - 1000,))
        assert len(end_orphans(ws).over) == 2
    assert (kept(project), scheduler.deleted) == ([], [])


def test_another_job_with_the_id_is_not_deleted(project: ProjectDir, scheduler: Scheduler) -> None:
    removed(project, scheduler)
    project.sql("UPDATE orphan SET at = 0")
    scheduler.live["1001"] = scheduler.live["1001"]._replace(token="another-1")
    with project.workspace(scheduler) as ws:
        end_orphans(ws)
    assert scheduler.deleted == ["1002"]


def test_of_a_queue_elsewhere_nothing_is_forgotten(project: ProjectDir, scheduler: Scheduler) -> None:
    removed(project, scheduler)
    project.sql("UPDATE orphan SET executor = 'slurm@north#1'")
    with project.workspace(scheduler) as ws:
        ended = end_orphans(ws)
    assert [why for _, why in ended.left] == ["it is in slurm@north#1: end it there"] * 2
    assert kept(project) == ["1001", "1002"]


def test_a_removal_that_ended_all_keeps_nothing(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add_many(2)
    psu.submit_jobs(Executor=scheduler)
    with project.workspace(scheduler) as ws:
        assert remove_batches(ws, [BATCH], force=True).done == 1
    assert kept(project) == []
