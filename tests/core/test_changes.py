"""A refresh reads what changed and nothing else; counters kept by triggers are what counting would give."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import paraschut_core as psu
from paraschut_core.database.changes import MANY, read_batches, read_changes, read_revision
from paraschut_core.database.connection import Database
from paraschut_core.database.jobs import insert_jobs
from paraschut_core.errors import ParaschutError
from paraschut_core.model import JobKey
from paraschut_core.monitoring.monitor import Monitor
from tests.helpers import BATCH, ProjectDir, Scheduler, assert_sound


class Work:
    """Counts the steps of SQLite's machine on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.steps = 0
        connection.set_progress_handler(self._count, 1)

    def _count(self) -> int:
        self.steps += 1
        return 0


def steps_of(db: Database, read: Callable[[], object]) -> int:
    work = Work(db.connection)
    read()
    db.connection.set_progress_handler(None, 0)
    return work.steps


def filled(path: Path, n: int, per_batch: int = 10_000) -> Database:
    """A database with `n` jobs in few batches, some of them online."""
    db = Database(path, create=True)
    for batch, start in enumerate(range(0, n, per_batch)):
        with db.transaction() as tx:
            insert_jobs(
                tx,
                [
                    {
                        "BatchID": BATCH + batch,
                        "JobIndex": index,
                        "name": "x",
                        "batch_type": "y",
                        "state": "complete" if index > 5 else "run",
                    }
                    for index in range(min(per_batch, n - start))
                ],
            )
    return db


def change(db: Database, jobs: Sequence[int]) -> None:
    from paraschut_core.database.lifecycle import change_fields

    with db.transaction() as tx:
        for index in jobs:
            change_fields(tx, JobKey(BATCH, index), {"priority": 7}, {}, why="test", action=None)


def test_the_work_of_reading_changes_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """100 times as many jobs, in one batch, and the same steps of SQLite's machine."""
    work = {}
    for n in (1_000, 100_000):
        with filled(tmp_path / f"{n}.db", n, per_batch=n) as db:
            nothing = steps_of(db, lambda: read_changes(db, read_revision(db)))
            since = read_revision(db)
            change(db, range(20))
            some = steps_of(db, partial(read_changes, db, since))
            assert len(read_changes(db, since).jobs) == 20
            work[n] = (nothing, some)
    print(f"steps to read (no change, 20 changes): {work}")
    assert work[100_000][0] == work[1_000][0]
    assert work[100_000][1] <= work[1_000][1] * 1.2
    assert work[100_000][0] < 100


def test_the_work_of_a_refresh_and_of_a_poll_does_not_grow_with_the_file(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = {}
    for n in (1_000, 30_000):
        path = project.folder / f"{n}.db"
        with filled(path, n, per_batch=n) as db:
            monkeypatch.setenv("PARASCHUT_DB", str(path))
            with project.workspace(Scheduler()) as ws:
                watched = Monitor(ws)
                watched.poll()
                change(db, range(3))
                refreshed = steps_of(ws.reader, watched.refresh)
                polled = steps_of(ws.reader, watched.poll)
                work[n] = (refreshed, polled)
    print(f"steps of (refresh, poll): {work}")
    assert work[30_000][0] <= work[1_000][0] * 1.2
    assert work[30_000][1] <= work[1_000][1] * 1.2


def test_changes_are_listed_with_their_batches_counters(project: ProjectDir) -> None:
    project.add_many(3)
    project.add_many(2, BATCH + 1)
    with Database(project.database) as db:
        since = read_revision(db)
        psu.set_job_field(BATCH, 1, {"state": "run"})
        found = read_changes(db, since)
    assert found.complete
    assert [(row.key, row.state) for row in found.jobs] == [((BATCH, 1), "run")]
    assert {i: batch.states for i, batch in found.batches.items()} == {BATCH: {"init": 2, "run": 1}}
    assert found.removed == []
    assert found.rev > since


def test_an_ending_and_a_spawn_are_changes_of_their_job(project: ProjectDir) -> None:
    from paraschut_core.database.events import record_ending
    from paraschut_core.database.spawns import NewSpawn, insert_spawn
    from paraschut_core.model import ExitInfo

    project.add_many(3)
    with Database(project.database) as db:
        since = read_revision(db)
        with db.transaction() as tx:
            record_ending(tx, JobKey(BATCH, 0), 0, ExitInfo("exit status 3", 3))
            insert_spawn(tx, JobKey(BATCH, 2), NewSpawn(0, "o", "e", None, 1))
        found = read_changes(db, since)
    assert [(row.key.job_index, row.ending) for row in found.jobs] == [(0, "exit status 3"), (2, None)]


def test_a_removed_batch_leaves_a_tombstone(project: ProjectDir) -> None:
    project.add_many(3)
    with Database(project.database) as db:
        since = read_revision(db)
        psu.remove_batch(BATCH)
        found = read_changes(db, since)
        assert (found.jobs, found.batches, found.removed, found.complete) == ([], {}, [BATCH], True)
        assert read_changes(db, found.rev).removed == []


@pytest.mark.parametrize("n", [MANY, MANY + 1])
def test_up_to_many_changes_are_listed_and_more_are_not(project: ProjectDir, n: int) -> None:
    with Database(project.database, create=True) as db:
        since = read_revision(db)
        project.add_many(n)
        found = read_changes(db, since)
    assert found.complete == (n <= MANY)
    assert len(found.jobs) == (n if n <= MANY else 0)
    assert found.batches[BATCH].total == n


def test_anybodys_own_sql_gets_a_new_revision(project: ProjectDir) -> None:
    project.add_many(5)
    with Database(project.database) as db:
        since = read_revision(db)
        project.sql("UPDATE job SET state = 'needs_review' WHERE JobIndex > 2")
        found = read_changes(db, since)
        assert found.rev > since
        assert [row.key.job_index for row in found.jobs] == [3, 4]
        assert found.batches[BATCH].states == {"init": 3, "needs_review": 2}
    assert_sound(project.database)


def test_anybodys_own_sql_that_moves_a_job_to_another_batch_is_counted(project: ProjectDir) -> None:
    project.add_many(3)
    project.add_many(1, BATCH + 1)
    project.sql(
        "UPDATE job SET BatchID = ?, JobIndex = 9 WHERE BatchID = ? AND JobIndex = 0", (BATCH + 1, BATCH)
    )
    assert_sound(project.database)


def test_our_own_writes_carry_their_transactions_revision(project: ProjectDir, scheduler: Scheduler) -> None:
    """A second statement on the same row would look like anybody's own SQL, and an undo be refused."""
    project.add_many(2)
    project.configure("[poll]\ninterval = 0\n")
    steps: list[Callable[[], Any]] = [
        lambda: psu.submit_one_job(BATCH, 0, Executor=scheduler),
        lambda: psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001"),
        lambda: psu.update_job(psu.get_job_info(BATCH, 0) | {"note": 1}),
        lambda: psu.spawn_submit(psu.get_job_info(BATCH, 0), 1, Executor=scheduler),
        lambda: psu.spawn_complete(psu.get_job_info(BATCH, 0, ClusterID="1001")),
        lambda: psu.spawn_complete(psu.get_job_info(BATCH, 0, ClusterID="1002")),
        lambda: psu.set_complete(BATCH, 0),
        lambda: psu.set_job_field(BATCH, 0, {"state": "init", "note": 2}, {}),
        lambda: psu.boost_batch_priority(BATCH),
    ]
    for step in steps:
        step()
        (event,) = project.sql("SELECT rev FROM event WHERE JobIndex = 0 ORDER BY id DESC LIMIT 1")[0]
        assert project.column("rev") >= event
        if project.sql("SELECT count(*) FROM event WHERE JobIndex = 0 AND rev = ?", (event,)) == [(1,)]:
            rows = project.sql("SELECT rev FROM job WHERE rev > ?", (event,))
            assert all(rev == read_rev(project) for (rev,) in rows)


def read_rev(project: ProjectDir) -> int:
    return int(project.sql("SELECT rev FROM revision")[0][0])


# ------------------------------------------------------------------------------------ counters

STATE = st.sampled_from(["init", "submit", "run", "complete", "collected", "held", ""])
PRIORITY = st.sampled_from([1, 1.0, 2, 0.5, -3, 100, float("inf")])
INDEX = st.integers(0, 5)
STEP = st.one_of(
    st.tuples(st.just("add"), INDEX, STATE, PRIORITY),
    st.tuples(st.just("set"), INDEX, STATE, PRIORITY),
    st.tuples(st.just("sql state"), INDEX, STATE, PRIORITY),
    st.tuples(st.just("sql priority"), INDEX, STATE, PRIORITY),
    st.tuples(st.just("sql delete"), INDEX, STATE, PRIORITY),
    st.tuples(st.just("complete"), INDEX, STATE, PRIORITY),
    st.tuples(st.just("remove"), INDEX, STATE, PRIORITY),
    st.tuples(st.just("undo"), INDEX, STATE, PRIORITY),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=25))
def test_counters_and_changes_are_right_after_any_run_of_writes(
    project: ProjectDir, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str, Any]]
) -> None:
    """Somebody who only ever reads what changed ends up with what reading everything gives."""
    path = tmp_path_factory.mktemp("counters") / "jobs.db"
    with Database(path, create=True, who="me@x:1") as db:
        picture: dict[JobKey, str] = {}
        seen = read_revision(db)
        counters = read_batches(db)
        for step in steps:
            apply(db, *step)
            found = read_changes(db, seen)
            for key in [key for key in picture if key.batch_id in found.removed]:
                del picture[key]
            picture.update((row.key, row.state) for row in found.jobs)
            counters = {i: b for i, b in counters.items() if i not in found.removed} | found.batches
            seen = found.rev
        rows = db.rows("SELECT BatchID, JobIndex, state FROM job")
        expected = {JobKey(b, j): state for b, j, state in rows}
        if not any(step[0] == "sql delete" for step in steps):  # which leaves no trace
            assert picture == expected
            assert counters == read_batches(db)
    assert_sound(path)


def apply(db: Database, what: str, index: int, state: str, priority: Any) -> None:
    from paraschut_core.database.events import add_action, last_undoable, undo
    from paraschut_core.database.jobs import delete_batch
    from paraschut_core.database.lifecycle import change_fields, complete, current_info

    key = JobKey(BATCH + index % 2, index)
    job = {"BatchID": key[0], "JobIndex": key[1], "name": "n", "batch_type": "t"}
    try:
        last = last_undoable(db, db.who) if what == "undo" else None
        with db.transaction() as tx:
            if what == "add":
                insert_jobs(tx, [job | {"state": state, "priority": priority}])
            elif what == "set":
                action = add_action(tx, "set", 1, "", can_undo=True)
                change_fields(tx, key, {"state": state, "priority": priority}, {}, why="set", action=action)
            elif what == "complete":
                complete(tx, db, key, current_info(tx, db, key), by_job=True)
            elif what == "remove":
                delete_batch(tx, key.batch_id)
            elif what == "undo" and last is not None:
                undo(tx, last)
            elif what == "sql state":
                tx.connection.execute("UPDATE job SET state = ? WHERE JobIndex = ?", (state, index))
            elif what == "sql priority":
                tx.connection.execute("UPDATE job SET priority = ? WHERE JobIndex >= ?", (priority, index))
            elif what == "sql delete":
                tx.connection.execute("DELETE FROM job WHERE JobIndex = ?", (index,))
    except ParaschutError:
        pass  # a job or batch that is there already, or is not: nothing was written
