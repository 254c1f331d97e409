"""One index, two schedulers: each is asked about, and deletes, what was submitted to it, and nothing else."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core import actions
from paraschut_core.actions import Selection
from paraschut_core.database.connection import Database
from paraschut_core.database.events import restore_spawns
from paraschut_core.database.jobs import read_rows
from paraschut_core.errors import SchedulerError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.executors.file import FileJobExecutor
from paraschut_core.exit_kinds import GONE
from paraschut_core.filtering.sql_condition import SqlCondition, matching_keys
from paraschut_core.identity import queue_name
from paraschut_core.model import RUNNING, JobInfo, JobKey, LiveJob, Snapshot
from paraschut_core.monitoring import polling
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.reporting import queue_report
from paraschut_core.scheduling.submission import resolve_claims, submit_next
from tests.helpers import BATCH, ProjectDir, Scheduler, run_script


class North(Scheduler):
    name = "north"


class South(Scheduler):
    """Another one, whose ids are the same numbers."""

    name = "south"


@pytest.fixture
def project(project: ProjectDir) -> ProjectDir:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n[submit]\ntimeout = 0.1\n")
    return project


@pytest.fixture
def north(project: ProjectDir) -> North:
    """Jobs 0 and 1 run there as 1001 and 1002."""
    found = North()
    project.add_many(4)
    psu.submit_one_job(BATCH, range(2), Executor=found)
    found.run()
    for index in range(2):
        psu.get_job_info(BATCH, index, SetID=True, ClusterID=str(1001 + index))
    return found


@pytest.fixture
def south(north: North) -> South:
    """Jobs 2 and 3 run there, as 1001 and 1002 too."""
    found = South()
    psu.submit_one_job(BATCH, [2, 3], Executor=found)
    found.run()
    return found


def polled(project: ProjectDir, executor: JobExecutor, times: int = 3) -> Snapshot:
    """What a dashboard shows that asks this scheduler alone."""
    watching = Monitor(project.workspace(executor))
    try:
        return [watching.poll() for _ in range(times)][-1]
    finally:
        watching.close()


def indexes(keys: Any) -> list[int]:
    return sorted(key.job_index for key in keys)


def test_only_jobs_of_the_polled_scheduler_are_judged(
    project: ProjectDir, north: North, south: South
) -> None:
    north.lose_sight()
    assert indexes(polled(project, south).missing) == []
    assert indexes(polled(project, south).live) == [2, 3]
    snapshot = polled(project, north)
    assert {key.job_index: lost.kind for key, lost in snapshot.missing.items()} == {0: GONE, 1: GONE}
    assert indexes(snapshot.live) == []


def test_the_snapshot_says_in_whose_queue_the_others_are(project: ProjectDir, north: North) -> None:
    snapshot = polled(project, South())
    assert snapshot.elsewhere == {JobKey(BATCH, 0): "north", JobKey(BATCH, 1): "north"}
    assert snapshot.blocked == {BATCH: "2 in north, which this executor does not manage"}
    assert snapshot.scheduler.notice == "2 in north, which this executor does not manage"
    assert polled(project, north).elsewhere == {}


def test_other_users_jobs_are_said_to_be_in_their_queue(project: ProjectDir, north: North) -> None:
    project.set_columns(0, claimed_by="anna@n1:5")
    project.set_columns(1, claimed_by="anna@n1:5", executor=None)
    north.lose_sight()
    snapshot = polled(project, north)
    assert snapshot.missing == {}
    assert list(snapshot.elsewhere.values()) == ["north of anna", "the queue of anna"]


def test_a_job_of_which_nobody_noted_the_executor_is_judged_by_whoever_is_asked(
    project: ProjectDir, north: North
) -> None:
    project.set_columns(0, executor=None)
    snapshot = polled(project, South())
    assert indexes(snapshot.missing) == [0]
    assert indexes(snapshot.elsewhere) == [1]


def test_the_report_stars_no_job_for_the_same_number_elsewhere(
    project: ProjectDir, north: North, south: South
) -> None:
    with project.workspace(south) as ws:
        queue = queue_report.read_queue(ws, force_poll=True)
    assert indexes(queue.online) == [2, 3]
    assert "\n2 submitted to north, of which south cannot tell" in list(queue_report.lines_of(queue))


def test_jobs_elsewhere_take_no_room_here(project: ProjectDir, north: North) -> None:
    with project.workspace(South()) as ws:
        found = submit_next(ws, max_jobs=2)
        assert (found.in_queue, found.submitted) == (0, 2)
        assert submit_next(ws, max_jobs=2).submitted == 0


def test_a_deletion_leaves_the_same_number_elsewhere_alone_and_says_so(
    project: ProjectDir, north: North, south: South
) -> None:
    with project.workspace(south) as ws:
        told = actions.qdel(ws, Selection(batches=(BATCH,)))
    assert sorted(south.deleted) == ["1001", "1002"]
    assert north.deleted == []
    assert {o.key.job_index: o.message for o in told.outcomes if not o.ok} == dict.fromkeys(
        (0, 1), "it was submitted to north, and what is asked here is south: delete it there"
    )
    assert project.states() == {0: "run", 1: "run", 2: "init", 3: "init"}


def test_a_reset_leaves_jobs_elsewhere_alone_unless_forced(project: ProjectDir, north: North) -> None:
    with project.workspace(South()) as ws:
        told = actions.reset(ws, Selection(keys=(JobKey(BATCH, 0),)))
        assert [o.message for o in told.left] == [
            "it was submitted to north, and what is asked here is south; --force takes it all the same"
        ]
        assert project.state(0) == "run"
        assert actions.reset(ws, Selection(keys=(JobKey(BATCH, 0),)), force=True).done == 1
        assert project.column("executor") is None
        assert actions.undo(ws).done == 1
    assert (project.state(0), project.column("executor")) == ("run", "north")


def test_a_batch_with_jobs_elsewhere_is_removed_only_by_force(project: ProjectDir, north: North) -> None:
    with project.workspace(South()) as ws:
        (kept,) = actions.remove_batches(ws, [BATCH], force=False).outcomes
        assert "nobody can tell here whether its jobs run: it was submitted to north" in kept.message
        assert actions.remove_batches(ws, [BATCH], force=True).done == 1


def test_a_lost_claim_is_adopted_and_given_back_by_its_own_scheduler_alone(project: ProjectDir) -> None:
    north, south = North(), South()
    north.lose = True
    project.add_many(2)
    psu.submit_one_batch(BATCH, Executor=north)
    project.sql("UPDATE job SET submitted_at = 1")  # long ago
    token = project.column("token", 0)
    south.live["7"] = LiveJob("7", RUNNING, token=token)
    with project.workspace(south) as ws:
        for _ in range(3):
            assert resolve_claims(ws, polling.poll_scheduler(ws, force=True)) == 0
        assert submit_next(ws).submitted == 0
    assert project.states() == {0: "submit", 1: "submit"}
    del north.live["1002"]
    with project.workspace(north) as ws:
        assert resolve_claims(ws, polling.poll_scheduler(ws, force=True)) == 2
    assert (project.column("submit_id", 0), project.state(1)) == ("1001", "init")
    assert project.column("executor", 1) is None


def test_a_spawn_job_is_judged_where_its_spawns_are(project: ProjectDir, north: North) -> None:
    info: JobInfo = psu.get_job_info(BATCH, 0)
    psu.spawn_submit(info, 1, Executor=north)
    ids = project.sql("SELECT executor, ClusterID, submit_id FROM spawn ORDER BY SpawnID")
    assert ids == [("north", "1001", "1001"), ("north", None, "1003")]
    north.run()
    assert polled(project, north).live_spawns == {(BATCH, 0): (2, 2)}
    snapshot = polled(project, South())
    assert snapshot.elsewhere[JobKey(BATCH, 0)] == "north"
    assert snapshot.missing == {}
    with project.workspace(South()) as ws:
        assert actions.qdel(ws, Selection(keys=(JobKey(BATCH, 0),))).done == 0
    assert psu.spawn_resubmit(BATCH, 0, Executor=South()) == 0, "what is elsewhere is not lost here"
    north.lose_sight("1003")
    project.sql("UPDATE spawn SET executor = 'south' WHERE SpawnID = 0")
    snapshot = polled(project, north)
    assert snapshot.missing == {}, "a spawn may be alive elsewhere"
    assert snapshot.elsewhere[JobKey(BATCH, 0)] == "south"
    assert psu.spawn_resubmit(BATCH, 0, Executor=north) == 1


def test_scripts_of_the_file_executor_are_queues_of_their_own(project: ProjectDir) -> None:
    usual = FileJobExecutor()
    other = FileJobExecutor(str(project.folder / "other.sh"))
    places = [queue_name(executor.backend_id).place for executor in (usual, other)]
    assert places == [
        f"{project.folder}/{usual.script_file.rpartition('/')[2]}",
        f"{project.folder}/other.sh",
    ]
    project.add_many(1)
    psu.submit_one_batch(BATCH, Executor=other)
    assert polled(project, usual).elsewhere == {JobKey(BATCH, 0): f"file@{other.script_file}"}
    assert indexes(polled(project, other).live) == [0]
    # As earlier versions noted it.
    project.set_columns(executor=f"file {other.script_file}")
    assert polled(project, usual).elsewhere
    assert indexes(polled(project, other).live) == [0]


def test_executors_of_ones_own_are_told_apart_by_their_class_or_their_name() -> None:
    class Mine(JobExecutor):
        pass

    assert Mine().backend_id.endswith("Mine")
    assert North().backend_id == "north"


# ------------------------------------------------------------------------------------ older files


@pytest.fixture
def first(project: ProjectDir) -> Path:
    """A file as version 1 made it, with a job that runs and a spawn."""
    schema = Path(__file__).parents[1] / "samples" / "schema_version_1.sql"
    with sqlite3.connect(project.database) as made:
        made.executescript(schema.read_text())
        made.execute("PRAGMA application_id = 1347634004")
        made.execute("PRAGMA user_version = 1")
        made.execute(f"INSERT INTO batch VALUES ({BATCH}, 'a', 'b', 0, 'me', 1)")
        made.execute(
            "INSERT INTO job (BatchID, JobIndex, state, priority, attempt, submit_id, changed_at, metadata)"
            f" VALUES ({BATCH}, 0, 'run', 1, 1, '1001', 0, '{{\"script\": \"true\"}}')"
        )
        made.execute(
            "INSERT INTO spawn (BatchID, JobIndex, SpawnID, spawn_state, submit_id)"
            f" VALUES ({BATCH}, 0, 0, 'run', '7')"
        )
    made.close()
    return project.database


def format_of(path: Path) -> int:
    with sqlite3.connect(path) as file:
        return int(file.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize("writable", [True, False])
def test_looking_at_a_file_of_version_1_leaves_it_as_it_is(
    project: ProjectDir, first: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    before = first.read_bytes()
    if not writable:
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    for read_only in (True, False)[: 1 + writable]:
        with Database(first, read_only=read_only) as db:
            assert db.rows("SELECT state, submit_id, executor FROM job") == [("run", "1001", None)]
            assert db.rows("SELECT executor FROM job_view") == [(None,)]
            assert db.rows("SELECT submit_id, executor FROM spawn") == [("7", None)]
            assert db.rows("SELECT rev FROM poll") == []
            assert len(read_rows(db, [JobKey(BATCH, 0)])) == 1
    assert matching_keys(Database(first, read_only=True), "state = 'run' AND executor IS NULL")
    with Database(first, read_only=True) as db:
        lost = SqlCondition(db, "missing AND state = 'run'", 2.0, [JobKey(BATCH, 0)])
        assert lost.rows("job.JobIndex", None) == [(0,)]
    assert first.read_bytes() == before


def test_a_file_of_version_1_keeps_its_number_while_its_jobs_wait_or_run(
    project: ProjectDir, first: Path
) -> None:
    with Database(first, read_only=True) as reader:
        assert reader.rows("SELECT executor FROM job") == [(None,)]
        assert indexes(polled(project, South()).missing) == [0], "as before, whoever is asked judges it"
        assert format_of(first) == 1
        assert reader.rows("SELECT name FROM addition"), "a reader sees what was added meanwhile"
    # A job of version 1 ends: with the statements that it has.
    project.sql("INSERT INTO ending VALUES (?, 0, 1, 0, 'exit status 0', 0, NULL, NULL, NULL, 9)", (BATCH,))
    project.sql("UPDATE job SET state = 'complete', rev = 9")
    with Database(first) as db, db.transaction():
        pass
    assert format_of(first) == 2
    with Database(project.folder / "new.db", create=True) as new, Database(first) as db:
        columns = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c ORDER BY 1, 2"
        assert db.rows(columns) == new.rows(columns)


def test_processes_that_write_to_a_file_of_version_1_at_once_all_find_it_up_to_date(first: Path) -> None:
    code = """
        import sys, threading
        from paraschut_core.database.connection import Database
        def look(gate):
            gate.wait()
            with Database(sys.argv[1]) as db:
                with db.transaction() as tx:
                    tx.connection.execute("UPDATE job SET executor = 'x', rev = ?", (tx.rev,))
                sys.stdout.write(f"{db.rows('SELECT executor FROM job')}\\n")
        gate = threading.Barrier(8)
        threads = [threading.Thread(target=look, args=(gate,)) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    """
    assert run_script(code, first).count("[('x',)]") == 8


def test_an_undo_of_what_version_1_reset_restores_its_spawns(project: ProjectDir, first: Path) -> None:
    with Database(first) as db, db.transaction() as tx:
        row = [BATCH, 0, 3, "run", 1, "t-1", "9", "9", None, 0.0, "o", "e"]
        restore_spawns(tx, [row])
    assert project.sql("SELECT submit_id, executor FROM spawn WHERE SpawnID = 3") == [("9", None)]


def test_a_scheduler_that_cannot_be_asked_deletes_nothing(project: ProjectDir, north: North) -> None:
    north.fault = SchedulerError("down")
    with project.workspace(north) as ws, pytest.raises(SchedulerError):
        actions.qdel(ws, Selection(batches=(BATCH,)))
    assert project.states() == {0: "run", 1: "run", 2: "init", 3: "init"}
