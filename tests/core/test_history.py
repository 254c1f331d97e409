"""What happened to jobs: events, and the undo of the last reset, deletion, field change or boost."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core import actions
from paraschut_core.actions import Selection
from paraschut_core.database.events import read_actions, read_events
from paraschut_core.errors import UsageError
from paraschut_core.model import JobKey
from tests.helpers import BATCH, ProjectDir, Scheduler, assert_sound

WHOLE = Selection(batches=(BATCH,))

COLUMNS = (
    "state, priority, attempt, restarts, token, submit_id, ClusterID, hostname, subtime, submitted_at,"
    " started_at, metadata"
)


def picture(project: ProjectDir) -> dict[str, Any]:
    """All that an undo must bring back."""
    return {
        "jobs": project.sql(f"SELECT BatchID, JobIndex, {COLUMNS} FROM job ORDER BY 1, 2"),
        "spawns": project.sql(
            "SELECT BatchID, JobIndex, SpawnID, spawn_state, attempt, token, submit_id, ClusterID, hostname,"
            " submitted_at, stdout, stderr FROM spawn ORDER BY 1, 2, 3"
        ),
        "counters": project.sql("SELECT BatchID, priority, state, n FROM counter ORDER BY 1, 2, 3"),
    }


@pytest.fixture
def busy(project: ProjectDir, scheduler: Scheduler) -> Scheduler:
    """A batch with jobs in all states: 0 init, 1 submitted, 2 runs, 3 complete, 4 multiplied itself."""
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add(*(project.job(index, note=f"n{index}") for index in range(5)))
    psu.submit_one_job(BATCH, [1, 2, 4], Executor=scheduler)
    psu.get_job_info(BATCH, 2, SetID=True, ClusterID="1002")
    psu.set_complete(BATCH, 3)
    info = psu.get_job_info(BATCH, 4, SetID=True, ClusterID="1003")
    psu.spawn_submit(info, 2, Executor=scheduler)
    return scheduler


# ------------------------------------------------------------------------------------ events


def test_every_change_of_state_is_an_event_with_when_who_from_to_and_why(
    busy: Scheduler, project: ProjectDir
) -> None:
    project.reset_by_force(2)
    with project.workspace(busy) as ws:
        events = read_events(ws.reader, BATCH, 2)
    assert [(e.before, e.after, e.why, e.attempt) for e in events] == [
        (None, None, "5 jobs added", 0),
        ("init", "submit", "submitted", 1),
        ("submit", "run", "started", 1),
        ("run", "init", "reset", 1),
    ]
    assert all(f"@{os.uname().nodename}:{os.getpid()}" in e.who for e in events)
    assert [e.at for e in events] == sorted(e.at for e in events)


def test_the_ids_of_a_finished_job_are_in_its_history(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add(project.job())
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001")
    psu.set_complete(BATCH, 0)
    with project.workspace(scheduler) as ws:
        last = read_events(ws.reader, BATCH, 0)[-1]
    assert last.detail["ids"] == {"submit_id": "1001", "ClusterID": "1001"}


def test_a_reset_keeps_the_dropped_ids_in_the_history(busy: Scheduler, project: ProjectDir) -> None:
    project.reset_by_force(2)
    with project.workspace(busy) as ws:
        last = read_events(ws.reader, BATCH, 2)[-1]
    assert last.detail["columns"]["submit_id"] == "1002"
    assert last.detail["changed"] == {"state": ["run", "init"]}


def test_the_latest_events_can_be_asked_for_alone(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        assert [e.why for e in read_events(ws.reader, BATCH, 2, limit=1)] == ["started"]
        assert len(read_events(ws.reader, BATCH)) > 6


def test_nothing_deletes_events_but_removing_the_batch(busy: Scheduler, project: ProjectDir) -> None:
    for index in range(5):
        project.reset_by_force(index)
    before = project.sql("SELECT count(*) FROM event")[0][0]
    actions_before = len(read_actions(project.workspace(busy).reader))
    psu.remove_batch(BATCH)
    assert before > 10
    assert project.sql("SELECT count(*) FROM event") == [(0,)]
    assert len(read_actions(project.workspace(busy).reader)) == actions_before + 1


# ------------------------------------------------------------------------------------ undo

Act = Callable[[Any], Any]

ACTS: dict[str, Act] = {
    "reset": lambda ws: actions.reset(ws, WHOLE, force=True),
    "a reset that protects": lambda ws: actions.set_fields(
        ws, WHOLE.resolve(ws), {"state": "init"}, actions.PROTECTED
    ),
    "field change": lambda ws: actions.set_fields(
        ws, WHOLE.resolve(ws), {"note": [1, {"a": (2,)}], "priority": 7, "new": None}, {}
    ),
    "a state of ones own": lambda ws: actions.set_fields(ws, WHOLE.resolve(ws), {"state": "held"}, {}),
    "boost": lambda ws: actions.boost(ws, WHOLE, 100),
    "deletion": lambda ws: actions.qdel(ws, WHOLE),
    "collection": lambda ws: actions.mark_collected(ws, WHOLE),
}


@pytest.mark.parametrize("name", ACTS)
def test_an_undo_brings_back_exactly_what_was(name: str, busy: Scheduler, project: ProjectDir) -> None:
    before = picture(project)
    with project.workspace(busy) as ws:
        report = ACTS[name](ws)
        assert report.done > 0
        assert picture(project) != before
        undone = actions.undo(ws)
    assert (undone.done, undone.failed) == (report.done, [])
    after = picture(project)
    for key in before:
        assert after[key] == before[key], key
    assert_sound(project.database)


def test_the_history_keeps_the_fields_that_changed_and_not_the_whole_job(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.add(*(project.job(index, payload="x" * 100_000, note="a") for index in range(20)))
    size = project.database.stat().st_size
    with project.workspace(scheduler) as ws:
        actions.set_fields(ws, WHOLE.resolve(ws), {"note": "b"}, {})
        psu.update_job(psu.get_job_info(BATCH, 0) | {"note": "c"})
        assert project.database.stat().st_size < size + 200_000
        assert actions.undo(ws).done == 19
    assert psu.get_job_info(BATCH, 1)["note"] == "a"


def test_an_undo_brings_back_arrays_and_takes_new_fields_away(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    numpy = pytest.importorskip("numpy")
    project.add(project.job(matrix=numpy.arange(3.0), note=(1, {2})))
    before = project.column("metadata")
    with project.workspace(scheduler) as ws:
        actions.set_fields(ws, WHOLE.resolve(ws), {"matrix": 1, "note": None, "added": numpy.arange(2)}, {})
        actions.undo(ws)
    assert project.column("metadata") == before


def test_a_running_job_reports_as_ever_after_its_reset_was_undone(
    busy: Scheduler, project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = project.column("token", 2)
    with project.workspace(busy) as ws:
        actions.reset(ws, Selection((JobKey(BATCH, 2),)), force=True)
        actions.undo(ws)
    for name, value in {"BATCH_ID": BATCH, "JOB_INDEX": 2, "TOKEN": token, "JOB_ID": "1002"}.items():
        monkeypatch.setenv(f"PARASCHUT_{name}", str(value))
    psu.set_complete()
    assert project.states()[2] == "complete"


def test_an_undo_of_many_jobs_spans_all_their_transactions(project: ProjectDir, scheduler: Scheduler) -> None:
    n = actions.CHUNK + 5
    project.add_many(n)
    with project.workspace(scheduler) as ws:
        assert actions.boost(ws, WHOLE, 5).done == n
        assert actions.undo(ws).done == n
    assert project.sql("SELECT DISTINCT priority FROM job") == [(1,)]


def test_what_changed_since_is_left_and_said_with_whom(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        actions.boost(ws, WHOLE, 10)
        info = psu.get_job_info(BATCH, 1)
        psu.update_job(info | {"note": "mine"})
        undone = actions.undo(ws)
    assert [outcome.key.job_index for outcome in undone.failed] == [1]
    assert undone.failed[0].message.startswith("changed since by ")
    assert f":{os.getpid()}" in undone.failed[0].message
    assert [project.column("priority", index) for index in range(5)] == [1, 11, 1, 1, 1]
    assert psu.get_job_info(BATCH, 1)["note"] == "mine"


def test_what_was_removed_since_is_said(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        actions.boost(ws, WHOLE, 10)
        project.sql("DELETE FROM job WHERE JobIndex = 0")
        assert [o.message for o in actions.undo(ws).failed] == ["removed since"]


def test_undos_go_back_one_act_at_a_time_and_not_twice(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        actions.boost(ws, WHOLE, 1)
        actions.boost(ws, WHOLE, 10)
        actions.undo(ws)
        assert project.column("priority") == 2
        actions.undo(ws)
        assert project.column("priority") == 1
        with pytest.raises(UsageError, match="nothing to undo"):
            actions.undo(ws)


def test_undos_are_known_as_such_also_those_of_an_earlier_version(
    busy: Scheduler, project: ProjectDir
) -> None:
    with project.workspace(busy) as ws:
        actions.boost(ws, WHOLE, 1)
        actions.undo(ws)
        actions.boost(ws, WHOLE, 1)
        project.sql(
            "INSERT INTO action (at, who, verb, jobs, command, can_undo)"
            " VALUES (1, 'ana@n1:5', 'undo of boost', 1, 'undo 9', 0)"
        )
        newest = [(act.verb, act.is_undo) for act in read_actions(ws.reader)]
    assert newest[:4] == [
        ("undo of boost", True),
        ("boost", False),
        ("undo of boost", True),
        ("boost", False),
    ]
    assert project.sql(
        "SELECT a.verb, b.verb FROM undo JOIN action a ON a.id = undo.action"
        " JOIN action b ON b.id = undo.undone"
    ) == [("undo of boost", "boost")]


def test_only_the_same_user_undoes_on_whatever_host(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy, who="ana@n1:5") as ws:
        actions.boost(ws, WHOLE, 10)
        (act,) = [a for a in read_actions(ws.reader) if a.verb == "boost"]
    with project.workspace(busy, who="bob@n1:5") as ws:
        with pytest.raises(UsageError, match="nothing to undo"):
            actions.undo(ws)
        with pytest.raises(UsageError, match="is ana@n1:5's"):
            actions.undo(ws, act.id)
    with project.workspace(busy, who="ana@n2:99") as ws:
        assert actions.undo(ws).done == 5


def test_an_act_named_by_its_number_is_undone_and_one_that_cannot_be_is_refused(
    busy: Scheduler, project: ProjectDir
) -> None:
    with project.workspace(busy) as ws:
        first = actions.boost(ws, Selection((JobKey(BATCH, 0),)), 1)
        actions.boost(ws, Selection((JobKey(BATCH, 1),)), 1)
        assert first.action is not None
        actions.undo(ws, first.action)
        assert [project.column("priority", index) for index in range(2)] == [1, 2]
        with pytest.raises(UsageError, match="undone already"):
            actions.undo(ws, first.action)
        with pytest.raises(UsageError, match="cannot be undone"):
            actions.undo(ws, 9999)
        submitted = [a for a in read_actions(ws.reader, -1) if not a.can_undo]
        with pytest.raises(UsageError, match="cannot be undone"):
            actions.undo(ws, submitted[0].id)


def test_an_act_that_changed_nothing_is_not_the_one_that_is_undone(
    busy: Scheduler, project: ProjectDir
) -> None:
    with project.workspace(busy) as ws:
        actions.boost(ws, WHOLE, 10)
        report = actions.set_fields(ws, [JobKey(BATCH, 3)], {"state": "init"}, actions.PROTECTED)
        assert report.done == 0
        actions.undo(ws)
    assert project.column("priority") == 1


def test_an_old_act_can_be_undone_however_many_others_came_after_it(
    busy: Scheduler, project: ProjectDir
) -> None:
    with project.workspace(busy) as ws:
        actions.boost(ws, WHOLE, 10)
        with ws.db.transaction() as tx:
            from paraschut_core.database.events import add_action

            for _ in range(300):
                add_action(tx, "submit", 1, "submit", can_undo=False)
        assert actions.undo(ws).done == 5


def test_acts_are_listed_newest_first_with_their_command(busy: Scheduler, project: ProjectDir) -> None:
    with project.workspace(busy) as ws:
        actions.boost(ws, WHOLE, 10, command=f"boost {BATCH} --by 10")
        actions.undo(ws)
        undone, boost, *_ = read_actions(ws.reader)
    assert (boost.verb, boost.jobs, boost.command, boost.undone, boost.can_undo) == (
        "boost",
        5,
        f"boost {BATCH} --by 10",
        True,
        True,
    )
    assert (undone.verb, undone.can_undo) == ("undo of boost", False)
