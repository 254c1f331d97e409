"""The numbers of the overview against histories that are known, counted one event after the other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from paraschut_core.database.connection import Database
from paraschut_core.model import JobKey
from paraschut_core.reporting import statistics
from paraschut_core.reporting.statistics import (
    WINDOWS,
    FailureReason,
    HistoryAggregator,
    StatisticsSummary,
    TimeBucket,
)
from tests.helpers import wait_until

from .cli import CommandLine

NOW = 1_795_000_020.0
A, B = 20260101000000, 20260101000001


class Job(NamedTuple):
    """A job's life: seconds before NOW at which it was submitted, started, and ended in one of its ways."""

    batch: int
    submitted: int
    waits: int | None
    runs: int | None
    fails: bool
    host: str


class History:
    """A database with a history that is known."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.db = Database(path, create=True)
        self.events: list[tuple[float, int, int, str, str]] = []
        self._indexes: Counter[int] = Counter()
        for batch in (A, B):
            self._sql("INSERT INTO batch VALUES (?, ?, 'x', ?, 'me', 1)", batch, f"batch {batch}", NOW - 9e5)
            self._sql(
                "INSERT INTO event (at, BatchID, who, why, rev) VALUES (?, ?, 'me', 'added', 1)",
                NOW - 9e5,
                batch,
            )

    def _sql(self, statement: str, *values: object) -> None:
        self.db.connection.execute(statement, values)

    def add(self, jobs: Sequence[Job]) -> None:
        """Adds jobs with their events, in the order in which they happened."""
        self._sql("BEGIN")
        happened, failed = [], []
        for job in jobs:
            index = self._indexes[job.batch]
            self._indexes[job.batch] += 1
            at = NOW - job.submitted
            moves, state = [(at, "init", "submit")], "submit"
            started = None
            if job.waits is not None:
                at = started = min(at + job.waits, NOW)
                moves.append((at, "submit", "run"))
                state = "run"
            if job.waits is not None and job.runs is not None:
                at = min(at + job.runs, NOW)
                if job.fails:
                    moves.append((at, "run", "init"))
                    state = "init"
                    failed.append((at, job.batch, index, job.host))
                else:
                    moves.append((at, "run", "complete"))
                    state = "complete"
            self._sql(
                "INSERT INTO job (BatchID, JobIndex, state, priority, attempt, hostname, started_at,"
                " changed_at, metadata) VALUES (?, ?, ?, 1, 1, ?, ?, ?, '{}')",
                job.batch, index, state, job.host, started, at,
            )  # fmt: skip
            happened += [(when, job.batch, index, before, after) for when, before, after in moves]
        for at, batch, index, host in sorted(failed):
            self.fail(batch, index, at, "exit status 3", host)
        for event in sorted(happened):
            why = {"complete": "completed", "run": "started"}.get(event[4], "submitted")
            self._sql(
                'INSERT INTO event (at, BatchID, JobIndex, attempt, who, "from", "to", why, rev)'
                " VALUES (?, ?, ?, 1, 'me', ?, ?, ?, 1)",
                *event, why,
            )  # fmt: skip
        self._sql("COMMIT")
        self.events += happened

    def fail(
        self,
        batch: int,
        index: int,
        at: float,
        reason: str,
        host: str | None,
        attempt: int = 1,
        status: int | None = None,
    ) -> None:
        (rev,) = self.db.rows("SELECT coalesce(max(rev), 0) + 1 FROM ending")[0]
        self._sql(
            "INSERT OR REPLACE INTO ending (BatchID, JobIndex, attempt, at, reason, exit_status, hostname,"
            " rev) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            batch, index, attempt, at, reason, status, host, rev,
        )  # fmt: skip

    def counted(
        self, points: Sequence[TimeBucket], width: float, batch: int | None
    ) -> list[tuple[int, int, int]]:
        """Completed, running and queued at each point, by going through all events."""
        found = []
        for point in points:
            end = point.at + width
            mine = [e for e in self.events if batch in (None, e[1])]
            before = [e for e in mine if e[0] < end]
            completed = sum(e[4] == "complete" and e[0] >= point.at for e in before)
            running = sum((e[4] == "run") - (e[3] == "run") for e in before)
            queued = sum((e[4] == "submit") - (e[3] == "submit") for e in before)
            found.append((completed, running, queued))
        return found


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "jobs.db")
    yield made
    made.db.close()


def survey(history: History, window: str = "1h", batch: int | None = None) -> HistoryAggregator:
    return HistoryAggregator(history.db, window, batch, clock=lambda: NOW)


JOBS = st.lists(
    st.builds(
        Job,
        st.sampled_from([A, B]),
        st.integers(1, 9000),
        st.none() | st.integers(0, 2000),
        st.none() | st.integers(1, 4000),
        st.booleans(),
        st.sampled_from(["n1", "n2", "n12"]),
    ),
    max_size=40,
)


@settings(
    max_examples=30,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(before=JOBS, later=JOBS, window=st.sampled_from(list(WINDOWS)), batch=st.sampled_from([None, A]))
def test_every_point_is_what_the_events_say(
    tmp_path: Path, before: list[Job], later: list[Job], window: str, batch: int | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "SLICE", 7)
        patch.setattr(statistics, "ENDINGS", 3)
        history = History(tmp_path / "jobs.db")
        history.add(before)
        reading = survey(history, window, batch)
        while reading.step():
            part = reading.summary()
            if len(part.points) > 1:  # of the present, alone, only a part is known
                assert_right(history, part, batch, whole=False)
        assert_right(history, reading.summary(), batch)
        history.add(later)
        reading.catch_up()
        after = reading.summary()
        assert_right(history, after, batch)
        # What came later is in part of an earlier time: read anew in slices, it would look like the end.
        patch.setattr(statistics, "SLICE", 10_000)
        patch.setattr(statistics, "ENDINGS", 10_000)
        if WINDOWS[window][0]:  # the points over all of the history are as wide as it was long at first
            assert after == survey(history, window, batch).read()
        history.db.close()


def assert_right(
    history: History, found: StatisticsSummary, batch: int | None, *, whole: bool = True
) -> None:
    shown = [(point.completed, point.running, point.queued) for point in found.points]
    assert shown == history.counted(found.points, found.width, batch)
    assert found.whole is whole
    if whole:
        assert sum(point.completed for point in found.points) == found.completed
        failed = [e for e in history.events if e[4] == "init" and batch in (None, e[1])]
        assert found.failed == sum(e[0] >= found.points[0].at for e in failed) or found.window == "all"


def test_a_known_hour_minute_by_minute(history: History) -> None:
    history.add(
        [
            Job(A, 3000, 60, 120, False, "n1"),
            Job(A, 3000, 60, 1200, False, "n2"),
            Job(B, 50, None, None, False, ""),
        ]
    )
    found = survey(history).read()
    assert (len(found.points), found.completed, found.width) == (60, 2, 60.0)
    assert [point.at for point in found.points if point.completed] == [NOW - 2820, NOW - 1740]
    assert [point.running for point in found.points][9:14] == [0, 2, 2, 1, 1]
    assert found.points[-1].queued == 1


def test_reasons_are_ranked_without_host_and_duration_and_hosts_by_failures(history: History) -> None:
    history.add([Job(A, 3000, 1, 10 * n, False, f"n{n}") for n in range(1, 4)])
    history.fail(A, 0, NOW - 100, "time limit after 04:59:00 on n12", "n12")
    history.fail(A, 1, NOW - 90, "time limit after 1-00:00:00 on n12", "n12")
    history.fail(A, 2, NOW - 80, "exit status 3", None)
    history.fail(A, 2, NOW - 4000, "long ago", "n9", attempt=0)
    found = survey(history).read()
    assert found.reasons == (FailureReason("time limit", 2), FailureReason("exit status 3", 1))
    assert [(host.host, host.failed, host.completed) for host in found.hosts] == [("n12", 2, 0), ("n3", 1, 1)]


def test_failures_of_one_code_are_one_reason_however_they_are_worded(history: History) -> None:
    history.add([Job(A, 3000, 1, 10, False, "n1") for _ in range(5)])
    for index, words in enumerate(("exit status 3", "exit status 3 after SIGUSR1", "it ended with 3")):
        history.fail(A, index, NOW - 90 + index, words, "n1", status=3)
    history.fail(A, 3, NOW - 80, "exit status 4", "n1", status=4)
    history.db.connection.execute(
        "INSERT INTO ended SELECT BatchID, JobIndex, attempt, at, 'exit', 'wrapper', 1, 0 FROM ending"
    )
    found = survey(history).read()
    assert found.reasons == (FailureReason("exit status 3", 3), FailureReason("exit status 4", 1))


def test_many_failures_of_other_batches_hide_none_of_a_batchs_own(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "ENDINGS", 3)
    history.add([Job(A, 3000, 1, None, False, "n1"), *(Job(B, 3000, 1, None, False, "n2") for _ in range(9))])
    history.fail(A, 0, NOW - 300, "time limit", "n1")
    for index in range(9):
        history.fail(B, index, NOW - 200 + index, "exit status 3", "n2")
    assert survey(history, batch=A).read().reasons == (FailureReason("time limit", 1),)


def test_a_failure_whose_reason_becomes_better_known_counts_once(history: History) -> None:
    history.add([Job(A, 3000, 1, 10, False, "n1")])
    history.fail(A, 0, NOW - 50, "gone from the queue", "n1")
    reading = survey(history)
    reading.read()
    history.fail(A, 0, NOW - 40, "out of memory on n1", "n1")
    reading.catch_up()
    assert reading.summary().reasons == (FailureReason("out of memory", 1),)


def test_missing_jobs_of_which_nobody_knows_more_are_failures_now(history: History) -> None:
    history.add([Job(A, 3000, 1, None, False, "n1"), Job(B, 2000, 1, None, False, "n2")])
    lost = {JobKey(A, 0): "gone from the queue"}
    found = survey(history).read()
    assert found.reasons == ()
    now = survey(history)
    now.read()
    found = now.summary(lost)
    assert found.reasons == (FailureReason("gone from the queue", 1),)
    assert [(host.host, host.failed) for host in found.hosts] == [("n1", 1)]
    assert [slow.key for slow in found.slowest] == [JobKey(B, 0)]


def test_jobs_whose_attempt_has_ended_neither_run_nor_are_waited_for(history: History) -> None:
    steady = [Job(A, 600 - 30 * n, 0, 10, False, "n1") for n in range(1, 20)]
    history.add(
        [*steady, *(Job(A, 500, 0, None, False, "n2") for _ in range(3)), Job(B, 9, 1, None, False, "")]
    )
    history.fail(A, 19, NOW - 90, "exit status 3", "n2")
    history.fail(A, 20, NOW - 80, "an earlier attempt's", "n2", attempt=0)
    history.fail(A, 21, NOW - 70, "time limit", "n2")
    reading = survey(history)
    found = reading.read()
    assert found.lost == 2
    assert [slow.key for slow in found.slowest if slow.running] == [JobKey(A, 20), JobKey(B, 0)]
    first, second = found.forecasts
    assert (first.lost, first.seconds) == (2, pytest.approx(1 / first.per_minute * 60))
    assert (second.lost, second.seconds) == (0, None)
    found = reading.summary({JobKey(A, 20): "gone from the queue", JobKey(A, 21): "seen to be gone, too"})
    assert found.lost == 3
    stuck = next(one for one in found.forecasts if one.batch_id == A)
    assert (stuck.lost, stuck.seconds) == (3, None), "nothing moves there"
    history.add([Job(A, 5, None, None, False, "")])
    assert survey(history).read().forecasts[0].seconds is not None
    history._sql("UPDATE job SET state = 'init' WHERE BatchID = ? AND state = 'submit'", A)
    found = survey(history)
    found.read()
    gone = {JobKey(A, 20): "gone from the queue"}
    assert {one.batch_id: one.seconds for one in found.summary(gone).forecasts}[A] is None, (
        "one waits in init"
    )


def test_the_slowest_jobs_are_the_finished_and_the_running_by_how_long_they_ran(history: History) -> None:
    history.add(
        [
            Job(A, 3000, 0, 500, False, "n1"),
            Job(A, 1000, 0, None, False, "n2"),
            Job(A, 3000, 0, 20, False, "n3"),
        ]
    )
    found = survey(history).read()
    assert [(one.key.job_index, one.seconds, one.running) for one in found.slowest] == [
        (1, 1000.0, True),
        (0, 500.0, False),
        (2, 20.0, False),
    ]


def test_a_batch_is_done_when_what_is_left_has_completed_at_its_pace(history: History) -> None:
    steady = [Job(A, 600 - 30 * n, 0, 10, False, "n1") for n in range(1, 20)]
    history.add(
        [*steady, *(Job(A, 5, None, None, False, "") for _ in range(10)), Job(B, 50, None, None, False, "")]
    )
    first, second = survey(history).read().forecasts
    assert (first.batch_id, first.done, first.total) == (A, 19, 29)
    assert first.seconds == pytest.approx(10 / first.per_minute * 60)
    assert first.per_minute == pytest.approx(2.0, rel=0.1)
    assert (second.batch_id, second.seconds, second.per_minute) == (B, None, 0.0)


def test_a_users_act_and_its_undoing_are_no_throughput(history: History) -> None:
    history.add([Job(A, 3000, 1, 10, False, "n1")])
    for before, after, detail, action in (
        ("complete", "init", '{"rev": 1}', 1),
        ("init", "complete", '{"as_of": 1}', None),
        ("init", "complete", '{"as_of": null}', None),
    ):
        history._sql(
            'INSERT INTO event (at, BatchID, JobIndex, attempt, who, "from", "to", why, detail, action, rev)'
            " VALUES (?, ?, 0, 1, 'me', ?, ?, 'in any words', ?, ?, 2)",
            NOW - 5, A, before, after, detail, action,
        )  # fmt: skip
    assert survey(history).read().completed == 1


def test_a_clock_that_is_fast_adds_to_the_present(history: History) -> None:
    history.add([Job(A, 3000, 1, 10, False, "n1")])
    history._sql(
        'INSERT INTO event (at, BatchID, JobIndex, attempt, who, "from", "to", why, rev)'
        " VALUES (?, ?, 0, 1, 'me', 'run', 'complete', 'completed', 2)",
        NOW + 500, A,
    )  # fmt: skip
    found = survey(history).read()
    assert found.points[-1].completed == 1


def test_a_removed_batch_and_another_file_are_noticed(history: History) -> None:
    history.add([Job(A, 3000, 1, 10, False, "n1"), Job(B, 3000, 1, 10, False, "n1")])
    reading = survey(history)
    assert reading.read().completed == 2
    for table in ("job", "event", "ending", "batch"):
        history._sql(f"DELETE FROM {table} WHERE BatchID = ?", B)
    reading.catch_up()
    assert reading.read().completed == 1


def test_a_short_window_reads_little_of_a_long_history(history: History) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "SLICE", 50)
        patch.setattr(statistics, "ENDINGS", 50)
        history.add([Job(A, 800_000 - 800 * n, 1, 10, n % 2 == 0, "n1") for n in range(1000)])
        reading = survey(history)
        slices = 1
        while reading.step():
            slices += 1
        assert slices <= 3


@pytest.mark.parametrize("batch", [None, A])
def test_no_question_goes_through_a_whole_table(history: History, batch: int | None) -> None:
    history.add([Job(A, 3000, 1, 10, n % 2 == 0, "n1") for n in range(5)])
    asked: list[str] = []
    history.db.connection.set_trace_callback(asked.append)
    reading = survey(history, "all", batch)
    reading.read()
    reading.catch_up()
    history.db.connection.set_trace_callback(None)
    assert len(asked) > 10
    for statement in asked:
        if statement.startswith(("BEGIN", "COMMIT")):
            continue
        for *_, plan in history.db.rows(f"EXPLAIN QUERY PLAN {statement}"):
            assert not plan.startswith("SCAN") or any(
                small in plan for small in ("CONSTANT ROW", "batch", "counter", "job_online", "ending_rev")
            ), (plan, statement)


# ------------------------------------------------------------------------------------ the command


def test_the_command_tells_the_same_to_people_and_to_programs(tmp_path: Path) -> None:
    line = CommandLine(tmp_path / "project")
    line("init")
    batch = line.add("--name", "human/map", "--range", "0-3", "exit {JobIndex}")
    line("submit")
    line.wait_for(batch, "complete", "run")

    found = wait_until(
        lambda: (now := line("stats", "--json").json)["failed"] == 3 and now, "three jobs have failed"
    )
    assert found["completed"] == 1
    assert sum(point["completed"] for point in found["points"]) == 1
    assert sorted(reason["reason"] for reason in found["reasons"]) == [f"exit status {n}" for n in (1, 2, 3)]
    (forecast,) = found["forecasts"]
    assert (forecast["BatchID"], forecast["done"], forecast["total"]) == (batch, 1, 4)
    text = line("stats", batch, "--window", "1h").out
    assert "1 completed" in text
    assert "3 failed" in text
    assert "exit status 2" in text
    assert "human/map" in text


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("stats", "20990101000000"), 2, "There is no batch 20990101000000"),
        (("stats", "--window", "2h"), 2, "2h"),
        (("stats", "x"), 2, "x"),
    ],
)
def test_the_command_refuses_what_it_cannot_tell(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    line = CommandLine(tmp_path / "project")
    line("init")
    assert said in line(*arguments, status=status).err


def test_a_project_without_a_history_has_numbers_too(tmp_path: Path) -> None:
    line = CommandLine(tmp_path / "project")
    line("init")
    found = line("stats", "--window", "all", "--json").json
    assert (found["completed"], found["failed"], found["reasons"]) == (0, 0, [])
    assert "0 completed" in line("stats").out
    json.dumps(found)
