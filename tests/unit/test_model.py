"""The model: states and their order, batches' sums, names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.model import (
    DONE_STATES,
    ENDED,
    ENDING,
    LIVE_STATES,
    ONLINE_STATES,
    QUEUED,
    RUNNING,
    STATES,
    Batch,
    DatabaseHealth,
    JobKey,
    LiveJob,
    SchedulerHealth,
    Snapshot,
    name_text,
    state_order,
)

COUNTS = st.dictionaries(
    st.tuples(st.integers(-3, 3), st.sampled_from([*STATES, "held", ""])), st.integers(0, 50), max_size=12
)


def test_the_states_stand_in_the_order_of_a_jobs_life() -> None:
    assert STATES == ("init", "submit", "run", "spawn", "complete", "collected")
    assert {"submit", "run", "spawn"} == ONLINE_STATES
    assert {"complete", "collected"} == DONE_STATES
    assert sorted(["zz", "collected", "aa", "init", "", "run"], key=state_order) == [
        "init",
        "run",
        "collected",
        "",
        "aa",
        "zz",
    ]


def test_a_key_says_itself_as_users_write_it() -> None:
    assert str(JobKey(20210101120000, 3)) == "20210101120000/3"
    assert JobKey(1, 2) == (1, 2)
    assert sorted([JobKey(2, 0), JobKey(1, 9)]) == [(1, 9), (2, 0)]


@given(counts=COUNTS)
def test_a_batchs_sums_agree_with_its_counters(counts: dict[tuple[int, str], int]) -> None:
    batch = Batch(1, "n", "t", counts)
    assert sum(batch.states.values()) == batch.total == sum(counts.values())
    assert batch.complete == sum(n for state, n in batch.states.items() if state in DONE_STATES)
    assert all(batch.states.values()), "a state without jobs is none"
    assert list(batch.states) == sorted(batch.states, key=state_order)


def test_a_name_is_its_parts_joined() -> None:
    assert name_text(["human", "genome_map"]) == "human/genome_map"
    assert name_text(("a", 1, None)) == "a/1/None"
    assert name_text("most_excellent_job") == "most_excellent_job"
    assert name_text(7) == "7"
    assert name_text([]) == ""


@given(st.lists(COUNTS, max_size=4), st.lists(st.sampled_from([*LIVE_STATES, ENDED]), max_size=8))
def test_a_snapshots_totals_are_its_batches(
    counted: list[dict[tuple[int, str], int]], live: list[str]
) -> None:
    batches = {i: Batch(i, "n", "t", counts) for i, counts in enumerate(counted)}
    jobs = {JobKey(1, i): LiveJob(str(i), state) for i, state in enumerate(live)}
    snapshot = Snapshot(1, batches, jobs, {}, {}, {}, DatabaseHealth("x"), SchedulerHealth("local"))
    assert snapshot.total == sum(batch.total for batch in batches.values())
    assert snapshot.complete == sum(batch.complete for batch in batches.values())
    assert snapshot.running == sum(state in (RUNNING, ENDING) for state in live)
    assert QUEUED in LIVE_STATES
