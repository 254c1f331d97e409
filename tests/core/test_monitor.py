"""What is live and what is missing; polls and their lease; snapshots."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import paraschut_core as psu
from paraschut_core import exit_kinds
from paraschut_core.database.poll_state import LEASE, PollState, read_poll
from paraschut_core.model import (
    ENDED,
    HELD,
    QUEUED,
    RUNNING,
    ExitInfo,
    JobKey,
    JobRow,
    LiveJob,
    Snapshot,
    Spawn,
)
from paraschut_core.monitoring import monitor, polling
from paraschut_core.monitoring.liveness import WORDS, AccountingBackoff, classify_jobs
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.monitoring.polling import update_absence
from tests.helpers import BATCH, ProjectDir, Scheduler, SchedulerDownError, Script

KEY = JobKey(BATCH, 0)
T = 1_000_000.0
GRACE = 30.0


def row(state: str = "run", **fields: Any) -> JobRow:
    whole = JobRow(
        KEY,
        state,
        priority=1,
        attempt=1,
        cluster_id="5",
        submit_id="5",
        hostname="n1",
        subtime=None,
        changed_at=T - 1000,
        ending=None,
        rev=1,
        submitted_at=T - 1000,
        started_at=T - 900,
    )
    return whole._replace(**fields)


def record(polls: int, seen: float = T - 500, at: float = T, **fields: Any) -> PollState:
    """At `at` job 5 was looked for: `polls` polls in a row did not show it, it was last seen at `seen`."""
    return PollState(at, {}, {"5": (seen, polls)}, rev=1, **fields)


def missing(
    row: JobRow, record: PollState, *, proof: bool = False, now: float = T + 5, **options: Any
) -> bool:
    observed = classify_jobs([row], {}, record, grace=GRACE, proof=proof, now=now, **options)
    assert not (KEY in observed.live and KEY in observed.missing)
    return KEY in observed.missing


# ------------------------------------------------------------------------------------ the rule


def test_two_polls_without_it_and_the_grace_make_a_job_missing() -> None:
    assert missing(row(), record(2))


@pytest.mark.parametrize(
    ("what", "job", "polled"),
    [
        ("one poll only", row(), record(1)),
        ("never polled", row(), PollState()),
        ("seen within the grace", row(), record(2, seen=T - 29)),
        ("submitted within the grace", row(submitted_at=T - 29), record(2)),
        ("changed after the poll", row(rev=2), record(9)),
        ("changed after the poll, by a clock that is behind", row(rev=2, changed_at=T - 3600), record(9)),
        ("an id that no poll has looked for", row(cluster_id="6", submit_id="6"), record(9)),
        ("one of two ids was not looked for", row(submit_id="6"), record(9)),
        ("it was shown", row(), record(0)),
    ],
)
def test_nothing_less_does(what: str, job: JobRow, polled: PollState) -> None:
    assert not missing(job, polled, now=T + 1e6), what


@pytest.mark.parametrize("state", ["init", "complete", "collected", "needs_review", ""])
def test_a_job_that_should_not_be_online_is_never_missing(state: str) -> None:
    assert not missing(row(state), record(9))
    assert not missing(row(state), record(9), proof=True)


@pytest.mark.parametrize("state", ["submit", "run", "spawn"])
def test_all_that_should_be_online_can_be(state: str) -> None:
    assert missing(row(state), record(2))


def test_a_clock_that_is_ahead_keeps_no_job_from_being_missing() -> None:
    ahead = row(changed_at=T + 3600, submitted_at=T + 3500, started_at=T + 3550)
    assert missing(ahead, record(2))
    assert not missing(ahead, record(2, seen=T - 29)), "the grace counts by the clock of those who poll"


def test_time_alone_makes_nothing_missing_only_polls_do() -> None:
    assert not missing(row(), record(1), now=T + 1e7)
    assert not missing(row(), record(2, seen=T - 20), now=T + 1e7)


def test_a_scheduler_in_trouble_neither_makes_nor_unmakes_missing() -> None:
    trouble: dict[str, Any] = {"failing_since": T + 1, "failures": 3, "error": "timed out"}
    assert missing(row(), record(2, **trouble), now=T + 1e5)
    assert not missing(row(), record(1, **trouble), now=T + 1e5)


def test_where_absence_is_proof_one_look_is_enough_and_no_grace_passes() -> None:
    assert missing(row(changed_at=T - 0.1, submitted_at=T - 0.1), record(1), proof=True)
    assert not missing(row(rev=2), record(1), proof=True)
    assert not missing(row(submit_id="6", cluster_id="6", changed_at=T - 0.1), record(1), proof=True)


def test_a_job_that_the_queue_shows_as_ended_is_missing_at_once_with_its_reason() -> None:
    ended = LiveJob("5", ENDED, ending=ExitInfo("exit status 3", 3, None, "n7"))
    polled = PollState(T, {"5": ended}, {"5": (T, 1)}, rev=1)
    observed = classify_jobs([row()], {}, polled, grace=GRACE, proof=False, now=T)
    lost = observed.missing[KEY]
    assert (lost.reason, lost.exit_status, lost.signal, lost.kind) == (
        "exit status 3",
        3,
        None,
        exit_kinds.EXIT,
    )
    assert not missing(row(rev=2), polled), "it spoke since"


def test_an_ending_that_nobody_explains_yet_is_no_ending() -> None:
    polled = PollState(T, {"5": LiveJob("5", ENDED)}, {"5": (T, 1)}, rev=1)
    assert not missing(row(), polled)


def test_a_missing_job_was_heard_of_when_it_started_whoever_edits_it_since() -> None:
    edited = row(changed_at=T - 100)
    observed = classify_jobs([edited], {}, record(2), grace=GRACE, proof=False, now=T + 5)
    assert observed.missing[KEY].since == T - 900


def test_a_submission_without_id_is_missing_only_where_nobody_could_look_it_up() -> None:
    claimed = row("submit", submit_id=None, cluster_id=None, claimed_by="me@n1:5")
    assert not missing(claimed, PollState(T), now=T + 1e6)
    assert missing(claimed, PollState(T), now=T, claim_lasts=150.0)
    assert not missing(claimed._replace(submitted_at=T - 10), PollState(T), now=T, claim_lasts=150.0)
    observed = classify_jobs([claimed], {}, PollState(T), grace=GRACE, proof=False, now=T, claim_lasts=150.0)
    assert observed.missing[KEY].kind == exit_kinds.CUT_SHORT


def test_a_submission_that_nobody_made_here_is_missing_after_the_grace() -> None:
    """A job that came into the index as submitted, or that somebody's own SQL made so."""
    strange = row("submit", submit_id=None, cluster_id=None)
    assert missing(strange, PollState(T), now=T)
    assert not missing(strange._replace(submitted_at=T - GRACE + 1), PollState(T), now=T)


def test_a_spawn_job_is_live_as_long_as_one_of_its_spawns_is() -> None:
    spawns = [
        Spawn(0, "a", "run", "", "", "a"),
        Spawn(1, None, "submit", "", "", "b"),
        Spawn(2, "c", "run", "", ""),
    ]
    parent = row("spawn")
    polled = PollState(T, {"b": LiveJob("b", QUEUED), "c": LiveJob("c", RUNNING)}, {"a": (T - 500, 9)}, rev=1)
    observed = classify_jobs([parent], {KEY: spawns}, polled, grace=GRACE, proof=False, now=T)
    assert observed.live[KEY].id == "c"
    assert observed.live_spawns[KEY] == (1, 3)
    assert observed.missing == {}
    gone = PollState(T, {}, dict.fromkeys("abc", (T - 500, 2)), rev=1)
    assert KEY in classify_jobs([parent], {KEY: spawns}, gone, grace=GRACE, proof=False, now=T).missing
    one_is_new = PollState(T, {}, dict.fromkeys("ab", (T - 500, 2)), rev=1)
    assert classify_jobs([parent], {KEY: spawns}, one_is_new, grace=GRACE, proof=False, now=T).missing == {}


POLL = st.one_of(st.sampled_from(["shown", "not shown", "ended", "failed"]))


@given(
    polls=st.lists(st.tuples(POLL, st.floats(0.1, 40)), max_size=12),
    grace=st.sampled_from([0.0, 10.0, 60.0]),
    submitted=st.floats(0, 50),
)
def test_missing_after_any_run_of_polls_is_what_the_rule_says(
    polls: list[tuple[str, float]], grace: float, submitted: float
) -> None:
    """Against an account of its own: when it was last seen, and how many polls in a row did not show it."""
    now = T
    known = PollState()
    last_seen: float | None = None
    in_a_row = 0
    job = row(submitted_at=T - submitted, changed_at=T - submitted)
    expected = False
    for what, pause in polls:
        now += pause
        if what == "failed":
            known = known._replace(failing_since=known.failing_since or now, failures=known.failures + 1)
            continue
        answer = {"5": LiveJob("5", RUNNING if what == "shown" else ENDED)} if what != "not shown" else {}
        known = PollState(now, answer, update_absence(known.absent, {"5"}, answer, now), rev=1)
        if what == "shown":
            last_seen, in_a_row = now, 0
        else:
            last_seen = now if last_seen is None else last_seen
            in_a_row += 1
        long_ago = now - last_seen >= grace and now - (T - submitted) >= grace
        expected = in_a_row >= 2 and long_ago
    observed = classify_jobs([job], {}, known, grace=grace, proof=False, now=now + 1000)
    assert (KEY in observed.missing) == expected


@given(
    expected=st.sets(st.sampled_from("abcdef")),
    shown=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([RUNNING, QUEUED, HELD, ENDED])),
    before=st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.floats(0, 2 * T), st.integers(0, 9))),
)
def test_a_poll_knows_of_each_id_that_was_expected_and_of_no_other(
    expected: set[str], shown: dict[str, str], before: dict[str, tuple[float, int]]
) -> None:
    answer = {i: LiveJob(i, state) for i, state in shown.items()}
    now = update_absence(before, expected, answer, T)
    assert set(now) == expected
    for i, (seen, polls) in now.items():
        live = i in shown and shown[i] != ENDED
        assert (polls == 0) == live
        assert seen <= T, "a time in the future is another host's clock"


# ------------------------------------------------------------------------------------ in the database


@pytest.fixture
def running(project: ProjectDir, scheduler: Scheduler) -> Scheduler:
    """Two jobs that run as 1001 and 1002; every poll is due, and no grace passes."""
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add_many(2)
    psu.submit_one_job(BATCH, range(2), Executor=scheduler)
    scheduler.run()
    for index in range(2):
        psu.get_job_info(BATCH, index, SetID=True, ClusterID=str(1001 + index))
    return scheduler


@pytest.fixture
def watched(project: ProjectDir, running: Scheduler) -> Any:
    made = Monitor(project.workspace(running))
    yield made
    made.close()


@contextmanager
def watching(project: ProjectDir, scheduler: Scheduler, jobs: int) -> Iterator[Monitor]:
    """A dashboard's monitor that has seen so many submitted jobs in the scheduler's queue."""
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add_many(jobs)
    psu.submit_one_job(BATCH, range(jobs), Executor=scheduler)
    with project.workspace(scheduler) as ws:
        watched = Monitor(ws)
        watched.poll()
        yield watched


def lost(snapshot: Snapshot) -> dict[int, str]:
    return {key.job_index: gone.reason for key, gone in snapshot.missing.items()}


def test_a_job_gone_from_the_queue_is_missing_after_the_second_poll(
    watched: Monitor, running: Scheduler
) -> None:
    assert set(watched.poll().live) == {(BATCH, 0), (BATCH, 1)}
    running.lose_sight("1001")
    assert lost(watched.poll()) == {}
    assert lost(watched.poll()) == {0: WORDS[exit_kinds.GONE]}
    running.live["1001"] = LiveJob("1001", RUNNING)
    assert lost(watched.poll()) == {}


def test_what_other_users_submitted_is_not_judged_by_ones_own_list(
    watched: Monitor, running: Scheduler, project: ProjectDir
) -> None:
    watched.poll()
    project.set_columns(0, claimed_by="somebody.else@n1:5")
    running.lose_sight("1001")
    for _ in range(3):
        snapshot = watched.poll()
    assert lost(snapshot) == {}


def test_the_jobs_own_word_wins_over_its_absence(watched: Monitor, running: Scheduler) -> None:
    watched.poll()
    running.lose_sight("1001")
    watched.poll()
    running.during_poll = lambda: psu.set_complete(BATCH, 0)
    assert lost(watched.poll()) == {}


def test_a_job_that_ends_while_the_rows_are_read_is_not_missing(
    watched: Monitor, running: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It completes after the scheduler was polled and after the rows were read: they are read again."""
    watched.poll()
    running.lose_sight("1001")
    watched.poll()
    before = monitor.read_online_rows

    def read_then_complete(db: Any) -> list[JobRow]:
        rows = before(db)
        if any(r.key == KEY and r.state == "run" for r in rows):
            psu.set_complete(BATCH, 0)
        return rows

    monkeypatch.setattr(monitor, "read_online_rows", read_then_complete)
    assert lost(watched.poll()) == {}


def test_a_failed_poll_proves_nothing_however_often(watched: Monitor, running: Scheduler) -> None:
    polled_at = watched.poll().scheduler.polled_at
    running.fault = SchedulerDownError("slurm_load_jobs error: Unable to contact slurm controller")
    for _ in range(5):
        snapshot = watched.poll(force=True)
        assert lost(snapshot) == {}
        assert set(snapshot.live) == {(BATCH, 0), (BATCH, 1)}, "what was last known is still shown"
        assert snapshot.scheduler.polled_at == polled_at
        assert snapshot.scheduler.failing_since is not None
        assert "Unable to contact" in snapshot.scheduler.error
    running.fault = None
    snapshot = watched.poll(force=True)
    assert (snapshot.scheduler.failing_since, snapshot.scheduler.error) == (None, "")


@pytest.mark.parametrize("answer", [None, [], {"1001": ["x"]}, {"1001": None}, {1: LiveJob("1", "R")}, "x"])
def test_garbage_from_an_executor_proves_nothing(
    project: ProjectDir, running: Scheduler, answer: Any
) -> None:
    class Garbage(Scheduler):
        def poll(self) -> dict[str, LiveJob]:
            return answer  # type: ignore[no-any-return]  # which is what a user's own code may do

    with project.workspace(Garbage()) as ws:
        watched = Monitor(ws)
        for _ in range(4):
            snapshot = watched.poll(force=True)
        assert snapshot.missing == {}
        assert snapshot.scheduler.failing_since is not None


def test_a_suddenly_empty_list_proves_nothing_until_it_has_come_often(
    watched: Monitor, running: Scheduler
) -> None:
    watched.poll()
    jobs, running.live = running.live, {}
    for _ in range(polling.BELIEVE_EMPTY - 1):
        snapshot = watched.poll(force=True)
        assert "an empty list" in snapshot.scheduler.error
        assert lost(snapshot) == {}
        assert len(snapshot.live) == 2
    running.live = jobs
    assert len(watched.poll(force=True).live) == 2
    running.live = {}
    for _ in range(polling.BELIEVE_EMPTY + 1):
        snapshot = watched.poll(force=True)
    assert lost(snapshot) == {0: WORDS[exit_kinds.GONE], 1: WORDS[exit_kinds.GONE]}


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_a_list_that_lost_most_jobs_at_once_is_doubted_as_an_empty_one_is(
    project: ProjectDir, kept: int
) -> None:
    running = Scheduler()
    with watching(project, running, 10) as watched:
        watched.poll()
        jobs = dict(running.live)
        running.live = {"7": LiveJob("7", RUNNING, token="somebody-1")}
        running.live |= {id_: jobs[id_] for id_ in sorted(jobs)[:kept]}
        for _ in range(polling.BELIEVE_EMPTY - 1):
            snapshot = watched.poll(force=True)
            assert lost(snapshot) == {}
            assert snapshot.scheduler.error == f"a list without {10 - kept} of 10 jobs"
        running.live |= jobs
        assert (len(watched.poll(force=True).live), watched.poll().scheduler.error) == (10, "")
        running.lose_sight(*sorted(jobs)[kept:])
        running.endings = {id_: ExitInfo("time limit") for id_ in jobs}
        watched.poll(force=True)
        assert lost(watched.poll(force=True)) == dict.fromkeys(range(kept, 10), "time limit")


def test_an_empty_list_is_believed_when_the_accounts_know_that_a_job_ended(
    watched: Monitor, running: Scheduler
) -> None:
    watched.poll()
    running.live = {}
    running.endings = {"1001": ExitInfo("exit status 1", 1), "1002": ExitInfo("time limit")}
    watched.poll()
    assert lost(watched.poll()) == {0: "exit status 1", 1: "time limit"}


def test_an_outage_does_not_hide_what_was_missing_before_it(watched: Monitor, running: Scheduler) -> None:
    watched.poll()
    running.lose_sight("1001")
    watched.poll()
    assert lost(watched.poll()) == {0: WORDS[exit_kinds.GONE]}
    running.fault = SchedulerDownError("down")
    assert lost(watched.poll()) == {0: WORDS[exit_kinds.GONE]}


def test_a_reason_is_asked_for_once_written_down_and_shown_to_all(
    watched: Monitor, running: Scheduler, project: ProjectDir
) -> None:
    watched.poll()
    running.lose_sight("1001")
    running.endings["1001"] = ExitInfo("out of memory on n1", 137, 9, "n1")
    watched.poll()
    assert lost(watched.poll()) == {0: "out of memory on n1"}
    assert running.explained == [("1001",)]
    for _ in range(3):
        watched.refresh()
        snapshot = watched.poll()
    assert lost(snapshot) == {0: "out of memory on n1"}
    assert running.explained == [("1001",)]
    with project.workspace(running) as ws:
        other = Monitor(ws)
        assert lost(other.poll()) == {0: "out of memory on n1"}
    assert running.explained == [("1001",)]
    assert project.sql("SELECT reason, exit_status, signal, hostname FROM ending") == [
        ("out of memory on n1", 137, 9, "n1")
    ]
    assert project.sql('SELECT "from", "to", why FROM event ORDER BY id DESC LIMIT 1') == [
        (None, None, "ended: out of memory on n1")
    ]


def test_what_the_queue_itself_tells_of_an_end_is_written_down_before_it_forgets(
    watched: Monitor, running: Scheduler, project: ProjectDir
) -> None:
    watched.poll()
    running.end("1001", ExitInfo("exit status 3", 3, None, "n7"))
    assert lost(watched.poll()) == {0: "exit status 3"}
    running.lose_sight("1001")
    for _ in range(3):
        snapshot = watched.poll()
    assert lost(snapshot) == {0: "exit status 3"}
    assert running.explained == []
    assert project.sql("SELECT count(*) FROM event WHERE why = 'ended: exit status 3'") == [(1,)]


@pytest.mark.parametrize("told_by", ["the queue", "the accounts"])
def test_of_a_job_that_ended_well_and_is_not_complete_it_is_said_what_it_left_out(
    watched: Monitor, running: Scheduler, told_by: str
) -> None:
    watched.poll()
    if told_by == "the queue":
        running.end("1001", ExitInfo("exit status 0", 0, None, "n7"))
    else:
        running.lose_sight("1001")
        running.endings["1001"] = ExitInfo("exit status 0", 0, None, "n7")
        watched.poll()
    (gone,) = watched.poll().missing.values()
    assert (gone.reason, gone.exit_status) == ("exit status 0 without set_complete", 0)


def test_the_schedulers_last_record_of_a_lost_job_is_its_qstat(
    watched: Monitor, running: Scheduler, project: ProjectDir
) -> None:
    watched.poll()
    running.lose_sight("1001")
    running.endings["1001"] = ExitInfo("time limit 00:01:00", record={"State": "TIMEOUT", "NodeList": "n1"})
    watched.poll()
    watched.poll()
    assert psu.get_job_info(BATCH, 0)["qstat"] == {"State": "TIMEOUT", "NodeList": "n1"}
    assert "qstat" not in psu.get_job_info(BATCH, 1)
    psu.set_job_field(BATCH, 0, Executor=running)
    psu.submit_one_job(BATCH, 0, Executor=running)
    assert "qstat" not in psu.get_job_info(BATCH, 0), "it is of the attempt before"


def test_accounts_that_know_nothing_are_asked_seldom(watched: Monitor, running: Scheduler) -> None:
    watched.poll()
    running.lose_sight("1001")
    for _ in range(8):
        watched.poll()
    assert running.explained == [("1001",)] * 2, "when it is not seen any more, and when it is missing"


def test_what_the_jobs_own_wrapper_said_is_nearer_to_the_truth_than_the_accounts(
    watched: Monitor, running: Scheduler, project: ProjectDir
) -> None:
    from paraschut_core import in_job

    with in_job.database() as db:
        in_job.record_exit(db, KEY, 1, in_job.CommandEnd(3))
    running.endings["1001"] = ExitInfo("FAILED")
    watched.poll()
    running.lose_sight("1001")
    watched.poll()
    for _ in range(3):
        assert lost(watched.poll()) == {0: "exit status 3"}
    assert running.explained == [("1001",)], "they may know why, and are asked once"


def test_of_what_nobody_else_tells_the_schedulers_words_in_the_log_are_the_reason(
    project: ProjectDir,
) -> None:
    class Talkative(Scheduler):
        def exit_info_from_logs(self, tokens: Sequence[str]) -> dict[str, ExitInfo]:
            heard.extend(tokens)
            return {tokens[0]: ExitInfo("out of memory", record={"log": "killed"})}

    heard: list[str] = []
    with watching(project, talkative := Talkative(), 3) as watched:
        talkative.lose_sight("1001")
        talkative.lose_sight("1002")
        talkative.endings["1002"] = ExitInfo("exit status 3", 3)
        watched.poll()
        assert lost(watched.poll()) == {0: "out of memory", 1: "exit status 3"}
        watched.poll()
    assert heard == [token for (token,) in project.sql("SELECT token FROM job WHERE JobIndex = 0")]
    assert psu.get_job_info(BATCH, 0)["qstat"] == {"log": "killed"}


def test_an_explanation_that_fails_leaves_the_job_missing_without_reason(project: ProjectDir) -> None:
    class Raising(Scheduler):
        def get_exit_info(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
            raise KeyError("parser")

    with watching(project, raising := Raising(), 2) as watched:
        raising.lose_sight("1001")
        watched.poll()
        assert lost(watched.poll()) == {0: WORDS[exit_kinds.GONE]}


def test_an_id_recorded_between_the_poll_and_the_look_is_not_missing_even_where_absence_is_proof(
    project: ProjectDir,
) -> None:
    """The local executor: another process queues the job while this one's poll is under way."""
    local = Scheduler(absent_means_ended=True)
    project.add_many(1)
    later: dict[str, LiveJob] = {}

    def submit_meanwhile() -> None:
        local.during_poll = lambda: None
        with project.workspace(local) as other:
            from paraschut_core.scheduling.submission import submit_keys

            submit_keys(other, [KEY])
        later.update(local.live)

    local.during_poll = submit_meanwhile
    with project.workspace(local) as ws:
        snapshot = Monitor(ws).poll()
    assert project.state() == "submit"
    assert later
    assert lost(snapshot) == {}


def test_a_row_changed_after_the_poll_is_not_missing_on_a_refresh(
    watched: Monitor, running: Scheduler
) -> None:
    watched.poll()
    running.lose_sight("1001")
    watched.poll()
    assert lost(watched.poll()) == {0: WORDS[exit_kinds.GONE]}
    info = psu.get_job_info(BATCH, 0)
    info["state"] = "run"
    psu.update_job(info)
    assert lost(watched.refresh()) == {}
    assert lost(watched.poll()) == {0: WORDS[exit_kinds.GONE]}


# ------------------------------------------------------------------------------------ polling


def poll_once(project: ProjectDir, executor: Scheduler, *, force: bool = False, **changes: Any) -> PollState:
    with project.workspace(executor, **changes) as ws:
        return polling.poll_scheduler(ws, force=force)


def test_within_an_interval_the_scheduler_is_asked_once_for_all(project: ProjectDir) -> None:
    project.configure("[poll]\ninterval = 3600\n")
    shared = Scheduler(expensive_poll=True)
    shared.live = {"1": LiveJob("1", RUNNING, token="t-1", name="n", reason="r", host="h")}
    project.add(project.job())
    records = [poll_once(project, shared) for _ in range(5)]
    assert shared.polls == 1
    assert len({r.polled_at for r in records}) == 1
    assert all(r.answer == shared.live for r in records)
    poll_once(project, shared, force=True)
    assert shared.polls == 2


def test_ten_real_processes_that_poll_at_once_ask_the_scheduler_once(project: ProjectDir) -> None:
    project.configure("[poll]\ninterval = 3600\n")
    project.add(project.job())
    code = """
        import os, sys, time
        from paraschut_core import config
        from paraschut_core.monitoring import polling
        from paraschut_core.project import Project
        from tests.helpers import Scheduler

        class Asked(Scheduler):
            def poll(self):
                with open("asked", "a") as file:
                    file.write("x")
                time.sleep(0.3)
                return {}

        print("ready", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.005)
        with Project(config.load(), Asked(expensive_poll=True)) as ws:
            for _ in range(20):
                polling.poll_scheduler(ws)
    """
    scripts = [Script(code) for _ in range(10)]
    for script in scripts:
        assert script.line() == "ready"
    (project.folder / "go").touch()
    for script in scripts:
        script.output()
    assert (project.folder / "asked").read_text() == "x"


def test_of_those_that_all_found_the_lease_free_one_gets_it(project: ProjectDir) -> None:
    """They have looked, and wait for the lock of a writer; the second and third must look again."""
    project.add(project.job())
    writer = sqlite3.connect(project.database, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    code = """
        import sys
        from paraschut_core.database import connection, poll_state
        with connection.Database(sys.argv[1]) as db:
            before = db.transaction

            def transaction():
                print("looked", flush=True)
                return before()

            db.transaction = transaction
            print(poll_state.take_lease(db, "s", 3600.0))
    """
    scripts = [Script(code, project.database) for _ in range(3)]
    for script in scripts:
        assert script.line() == "looked"
    writer.execute("COMMIT")
    writer.close()
    assert sorted(script.output().strip() for script in scripts) == ["False", "False", "True"]


@pytest.mark.parametrize("skew", [3600.0, -3600.0])
def test_another_hosts_clock_an_hour_off_does_not_block_polling(project: ProjectDir, skew: float) -> None:
    project.configure("[poll]\ninterval = 15\ngrace = 0\n")
    shared = Scheduler(expensive_poll=True)
    project.add(project.job())
    poll_once(project, shared)
    then = time.time() + skew
    project.sql("UPDATE poll SET lease_at = ?, polled_at = ?, lease_who = 'x@elsewhere:1'", (then, then))
    record = poll_once(project, shared)
    assert shared.polls == 2
    assert abs(record.polled_at - time.time()) < 1000


@pytest.mark.parametrize("skew", [3600.0, -3600.0])
def test_another_hosts_clock_an_hour_off_delays_missing_by_one_grace_at_most(
    project: ProjectDir, running: Scheduler, skew: float
) -> None:
    with project.workspace(running) as ws:
        watched = Monitor(ws)
        watched.poll()
        known = read_poll(ws.db, polling.scheduler_key(ws))
        skewed = {i: (at + skew, n) for i, (at, n) in known.absent.items()}
        from paraschut_core.database.poll_state import store_poll

        store_poll(
            ws.db, polling.scheduler_key(ws), known._replace(polled_at=T + skew, absent=skewed), answered=True
        )
        running.lose_sight("1001")
        watched.poll()
        assert lost(watched.poll()) == {0: WORDS[exit_kinds.GONE]}


def test_the_lease_of_a_process_that_died_while_it_polled_is_taken_over(project: ProjectDir) -> None:
    import os

    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    project.configure("[poll]\ninterval = 15\n")
    shared = Scheduler(expensive_poll=True)
    project.add(project.job())
    poll_once(project, shared)
    for holder, age, asked in (
        (f"x@{os.uname().nodename}:{pid}", 20.0, True),
        (f"x@{os.uname().nodename}:{os.getpid()}", 20.0, False),
        ("x@elsewhere:1", 20.0, False),
        ("x@elsewhere:1", LEASE + 1, True),
    ):
        project.sql("UPDATE poll SET lease_at = ?, lease_who = ?", (time.time() - age, holder))
        before = shared.polls
        poll_once(project, shared)
        assert (shared.polls > before) == asked, holder


def test_a_forced_poll_waits_for_the_one_under_way(project: ProjectDir) -> None:
    project.configure("[poll]\ninterval = 3600\n")
    shared = Scheduler(expensive_poll=True)
    project.add(project.job())
    with project.workspace(shared) as ws:
        polling.poll_scheduler(ws)
        key = polling.scheduler_key(ws)
    code = """
        import sys, time
        from paraschut_core.database.connection import Database
        from paraschut_core.database.poll_state import PollState, store_poll, take_lease
        from paraschut_core.model import LiveJob
        with Database(sys.argv[1]) as db:
            assert take_lease(db, sys.argv[2], 0.0)
            print("asking", flush=True)
            time.sleep(0.5)
            answer = {"9": LiveJob("9", "running")}
            store_poll(db, sys.argv[2], PollState(time.time(), answer), answered=True)
            time.sleep(5)
    """
    with Script(code, project.database, key) as other:
        assert other.line() == "asking"
        assert "9" in poll_once(project, shared, force=True).answer
    assert shared.polls == 1


def test_a_failing_scheduler_is_asked_more_and_more_seldom(project: ProjectDir) -> None:
    settings: dict[str, Any] = {"poll": {"interval": 10.0, "backoff": 100.0}}
    shared = Scheduler(expensive_poll=True)
    shared.fault = SchedulerDownError("down")
    project.add(project.job())
    waits = []
    for _ in range(6):
        poll_once(project, shared, force=True, **settings)
        with project.workspace(shared, **settings) as ws:
            waits.append(polling._interval(ws, read_poll(ws.db, polling.scheduler_key(ws))))
    assert waits == [20.0, 40.0, 80.0, 100.0, 100.0, 100.0]
    shared.fault = None
    assert poll_once(project, shared, force=True, **settings).failures == 0


def test_a_damaged_answer_in_the_database_is_as_good_as_none(project: ProjectDir) -> None:
    shared = Scheduler(expensive_poll=True)
    project.add(project.job())
    poll_once(project, shared)
    for damaged in (b"x", b"", None, "text"):
        project.sql("UPDATE poll SET answer = ?, absent = ?, lease_at = 0", (damaged, damaged))
        assert poll_once(project, shared).polled_at > 0


def test_two_executors_of_ones_own_do_not_share_their_answers(project: ProjectDir) -> None:
    class First(psu.JobExecutor):
        def qstat(self) -> dict[str, list[Any]]:
            return {"a": ["x", "R"]}

    class Second(First):
        pass

    project.add(project.job())
    with project.workspace(First()) as one, project.workspace(Second()) as two:
        assert polling.scheduler_key(one) != polling.scheduler_key(two)


# ------------------------------------------------------------------------------------ snapshots


def test_a_snapshot_shows_what_the_file_and_the_scheduler_say(watched: Monitor, running: Scheduler) -> None:
    snapshot = watched.poll()
    assert (snapshot.total, snapshot.complete, snapshot.running) == (2, 0, 2)
    assert snapshot.batches[BATCH].name == "human/genome_map"
    assert snapshot.batches[BATCH].states == {"run": 2}
    assert (snapshot.scheduler.executor, snapshot.scheduler.total) == ("fake", 2)
    psu.set_complete(BATCH, 0)
    snapshot = watched.refresh()
    assert (snapshot.complete, snapshot.running) == (1, 1)
    assert [changed.key.job_index for changed in snapshot.changed] == [0]


def test_jobs_that_run_and_have_not_said_so_are_told_apart(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add_many(3)
    psu.submit_one_job(BATCH, range(3), Executor=scheduler)
    with project.workspace(scheduler) as ws:
        monitor = Monitor(ws)
        assert (monitor.poll(force=True).running, monitor.refresh().unreported) == (0, 0)
        scheduler.run("1001", "1002")
        snapshot = monitor.poll(force=True)
        assert (snapshot.running, snapshot.unreported) == (2, 2)
        psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001")
        snapshot = monitor.refresh()
        assert (snapshot.running, snapshot.unreported) == (2, 1)


def test_a_spawn_that_goes_changes_the_job_though_others_of_it_run(
    project: ProjectDir, scheduler: Scheduler
) -> None:
    project.configure("[poll]\ninterval = 0\n")
    project.add(project.job(0, state="spawn"))
    for spawn_id in range(3):
        project.sql(
            "INSERT INTO spawn (BatchID, JobIndex, SpawnID, spawn_state, submit_id) VALUES (?, ?, ?, ?, ?)",
            (BATCH, 0, spawn_id, "run", f"s{spawn_id}"),
        )
        scheduler.live[f"s{spawn_id}"] = LiveJob(f"s{spawn_id}", RUNNING)
    with project.workspace(scheduler) as ws:
        monitor = Monitor(ws)
        assert monitor.poll().spawn_ids == {KEY: {"s0", "s1", "s2"}}
        assert monitor.poll().changed_batches == set(), "nothing changed"
        scheduler.lose_sight("s1")
        snapshot = monitor.poll()
    assert (snapshot.spawn_ids, snapshot.changed_batches) == ({KEY: {"s0", "s2"}}, {BATCH})


def test_a_refresh_without_news_brings_none(watched: Monitor) -> None:
    watched.refresh()
    snapshot = watched.refresh()
    assert (snapshot.changed, snapshot.removed_batches, snapshot.changed_batches, snapshot.reload) == (
        (),
        (),
        frozenset(),
        False,
    )


def test_a_removed_batch_goes_from_the_snapshot(watched: Monitor, project: ProjectDir) -> None:
    watched.poll()
    project.remove_by_force()
    snapshot = watched.refresh()
    assert snapshot.removed_batches == (BATCH,)
    assert (snapshot.batches, snapshot.live, snapshot.missing) == ({}, {}, {})
    project.add_many(1)
    snapshot = watched.refresh()
    assert list(snapshot.batches) == [BATCH]


def test_a_batch_removed_and_added_again_between_two_looks_is_there(
    watched: Monitor, project: ProjectDir
) -> None:
    watched.poll()
    project.remove_by_force()
    project.add_many(3)
    snapshot = watched.refresh()
    assert snapshot.removed_batches == ()
    assert snapshot.batches[BATCH].states == {"init": 3}


def test_more_changes_than_anybody_lists_are_a_reload(watched: Monitor, project: ProjectDir) -> None:
    from paraschut_core.database.changes import MANY

    watched.refresh()
    project.add_many(MANY + 10, BATCH + 1)
    snapshot = watched.refresh()
    assert snapshot.reload
    assert snapshot.changed == ()
    assert snapshot.batches[BATCH + 1].total == MANY + 10
    assert snapshot.batches[BATCH].states == {"run": 2}


def test_the_reason_why_a_batch_does_not_move_is_given(project: ProjectDir, scheduler: Scheduler) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add(project.job(0, BATCH, priority=100, name="first"), project.job(0, BATCH + 1))
    project.add(project.job(0, BATCH + 2, state="complete"))
    psu.submit_jobs(Executor=scheduler)
    with project.workspace(scheduler) as ws:
        watched = Monitor(ws)
        held = watched.poll().blocked
        assert held == {BATCH: "1 queued", BATCH + 1: "waits for priority 100: first"}
        scheduler.live["1001"] = LiveJob("1001", QUEUED, reason="Priority")
        assert watched.poll().blocked[BATCH] == "1 queued: Priority"
        scheduler.run()
        assert BATCH not in watched.poll().blocked
        scheduler.lose_sight()
        scheduler.live["other"] = LiveJob("other", RUNNING)
        watched.poll()
        assert watched.poll().blocked[BATCH] == "1 missing"


def test_an_unknown_executor_is_said_and_the_file_shown(project: ProjectDir) -> None:
    project.configure('executor = "nobody"\n')
    project.add(project.job())
    with project.workspace() as ws:
        watched = Monitor(ws)
        for snapshot in (watched.refresh(), watched.poll(), watched.refresh()):
            assert snapshot.total == 1
            assert "no executor 'nobody'" in snapshot.scheduler.error
            assert snapshot.scheduler.executor == "nobody"


def test_with_an_unknown_executor_and_no_database_a_refresh_still_raises_nothing(project: ProjectDir) -> None:
    project.configure('executor = "nobody"\n')
    from paraschut_core import config
    from paraschut_core.project import Project

    with Project(config.load()) as ws:
        snapshot = Monitor(ws).refresh()
    assert "There is no database" in snapshot.database.error


# ------------------------------------------------------------------------------------ who is believed


def doubtful(project: ProjectDir, *, chain: bool = False) -> None:
    """Its wrapper saw job 0 leave with exit status 0 after TERM."""
    from paraschut_core import in_job

    project.sql("UPDATE job SET state = 'run', ClusterID = submit_id WHERE JobIndex = 0")
    with in_job.database() as db:
        in_job.record_exit(db, KEY, 1, in_job.CommandEnd(0, None, 15), chain=chain)


def standing(project: ProjectDir) -> tuple[str, str, int]:
    """(state, kind of the end, whether it is confirmed) of job 0."""
    rows = project.sql(
        "SELECT state, coalesce(kind, ''), coalesce(confirmed, 1) FROM job"
        " LEFT JOIN ended USING (BatchID, JobIndex) WHERE JobIndex = 0"
    )
    return rows[0]  # type: ignore[no-any-return]  # sqlite3 types no rows


@pytest.mark.parametrize(
    ("account", "stands"),
    [
        (ExitInfo("exit status 0", 0, kind=exit_kinds.COMPLETED), ("complete", "", 1)),
        (
            ExitInfo("exit status 0", 0, kind=exit_kinds.EXIT),
            ("run", "signal", 0),
        ),  # no verdict: it knows no signal
        (ExitInfo("exit status 0", 0), ("run", "signal", 0)),
        (ExitInfo("time limit 00:01:00", kind=exit_kinds.TIME_LIMIT), ("run", "time-limit", 1)),
        (ExitInfo("cancelled by root", 0, kind=exit_kinds.CANCELLED), ("run", "cancelled", 1)),
        (ExitInfo("preempted on n1", None, 15, kind=exit_kinds.PREEMPTED), ("run", "preempted", 1)),
        (ExitInfo("out of memory", kind=exit_kinds.MEMORY), ("run", "memory", 1)),
        (None, ("run", "signal", 0)),
    ],
)
def test_of_an_exit_status_0_after_a_signal_the_account_decides(
    watched: Monitor,
    running: Scheduler,
    project: ProjectDir,
    account: ExitInfo | None,
    stands: tuple[str, str, int],
) -> None:
    doubtful(project)
    if account is not None:
        running.endings["1001"] = account
    watched.poll()
    assert standing(project) == stands
    for _ in range(3):
        watched.poll()
    assert standing(project) == stands, "and that is that"


def test_what_comes_next_is_submitted_once_the_account_says_that_a_chained_job_is_complete(
    watched: Monitor, running: Scheduler, project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[object] = []
    monkeypatch.setattr(
        "paraschut_core.scheduling.submission.submit_next", lambda ws, by_itself: submitted.append(ws)
    )
    doubtful(project, chain=True)
    watched.poll()
    assert submitted == []
    watched._inquiries = AccountingBackoff()  # as after the pause
    running.endings["1001"] = ExitInfo("exit status 0", 0, kind=exit_kinds.COMPLETED)
    watched.poll()
    assert len(submitted) == 1


@pytest.mark.parametrize("status", [3, 0])
def test_what_a_wrapper_said_is_shown_at_once_though_the_queue_still_shows_the_job(
    watched: Monitor, running: Scheduler, project: ProjectDir, status: int
) -> None:
    from paraschut_core import in_job

    watched.poll()
    project.sql("UPDATE job SET state = 'run', ClusterID = submit_id WHERE JobIndex = 0")
    assert lost(watched.refresh()) == {}
    with in_job.database() as db:
        in_job.record_exit(db, KEY, 1, in_job.CommandEnd(status, None, None if status else 15))
    shown = watched.refresh().missing[KEY]
    assert (shown.exit_status, shown.confirmed) == (status, status != 0)


def test_a_job_that_is_back_in_the_queue_is_not_missing_whatever_was_said_of_its_last_run(
    watched: Monitor, running: Scheduler, project: ProjectDir
) -> None:
    doubtful(project)
    watched.poll()
    running.live["1001"] = running.live["1001"]._replace(state=QUEUED)
    snapshot = watched.poll()
    assert lost(snapshot) == {}
    assert snapshot.live[KEY].state == QUEUED


def test_accounts_that_give_no_answer_are_asked_again_for_as_long_as_it_takes() -> None:
    inquiries = AccountingBackoff()
    now = 1000.0
    asked = []
    for _ in range(100):
        if inquiries.due(["5"], now):
            asked.append(now)
            inquiries.note(["5"], answered=False)
        now += 60.0
    assert len(asked) > 8
    assert max(b - a for a, b in pairwise(asked)) <= 660.0


def test_a_spawn_job_whose_last_spawn_was_lost_gives_that_ones_reason_and_not_its_parents(
    project: ProjectDir,
) -> None:
    scheduler = Scheduler()
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add(project.job(0, state="spawn"))
    project.sql("UPDATE job SET submit_id = 'parent', ClusterID = 'parent'")
    for spawn_id, state in ((0, "complete"), (1, "run"), (2, "run")):
        project.sql(
            "INSERT INTO spawn (BatchID, JobIndex, SpawnID, spawn_state, submit_id) VALUES (?, ?, ?, ?, ?)",
            (BATCH, 0, spawn_id, state, f"s{spawn_id}"),
        )
    well = ExitInfo("exit status 0", 0, kind=exit_kinds.EXIT)
    scheduler.endings = {"parent": well, "s0": well, "s1": well, "s2": ExitInfo("killed", None, 9)}
    with project.workspace(scheduler) as ws:
        monitor = Monitor(ws)
        for _ in range(3):
            snapshot = monitor.poll()
    assert {key: (lost.reason, lost.signal) for key, lost in snapshot.missing.items()} == {KEY: ("killed", 9)}
