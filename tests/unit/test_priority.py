"""Which jobs may be submitted next: the rules, against an account of them over lists of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from paraschut_core.model import Batch
from paraschut_core.scheduling.priority import (
    PRIORITY,
    BlockReason,
    batch_priority,
    priority_blocks,
    submittable,
)

Job = tuple[int, float, str]  # BatchID, priority, state

PRIORITIES = st.sampled_from(
    [-7, -0.5, 0, 1, 1.5, 2, 99, 99.5, 100, 100.5, 101, 250, float("inf"), float("-inf")]
)
JOBS = st.lists(
    st.tuples(
        st.integers(1, 4),
        PRIORITIES,
        st.sampled_from(["init", "submit", "run", "spawn", "complete", "collected", "held", ""]),
    ),
    max_size=14,
)


def batches_of(jobs: Sequence[Job]) -> list[Batch]:
    counts: dict[int, Counter[tuple[float, str]]] = {}
    for batch, priority, state in jobs:
        counts.setdefault(batch, Counter())[priority, state] += 1
    return [Batch(batch, f"b{batch}", "t", counted) for batch, counted in counts.items()]


def may_submit(job: Job, jobs: Sequence[Job], min_priority: float = 0) -> bool:
    """The documents' rules for one job, sentence by sentence, looking at every other job."""
    batch, priority, state = job
    if state != "init":
        return False
    unfinished = [other for other in jobs if other[2] not in ("complete", "collected")]
    if any(other[0] == batch and other[1] > priority for other in unfinished):
        return False  # a group above has jobs that are not done, whatever their state
    highest_anywhere = max(other[1] for other in unfinished)
    if highest_anywhere >= 100 and priority != highest_anywhere:
        return False  # a global priority: only the batches at the overall maximum submit
    return not (min_priority and priority < min_priority)  # which is the batch's priority here


@given(jobs=JOBS, min_priority=st.sampled_from([0, -1, 1, 2, 100]))
@example(jobs=[(1, 100, "run"), (2, 99.5, "init"), (3, 100, "init")], min_priority=0)
@example(jobs=[(1, 2, "held"), (1, 1, "init")], min_priority=0)
@example(jobs=[(1, -7, "init")], min_priority=0)
def test_exactly_the_jobs_that_the_documents_allow_may_be_submitted(
    jobs: list[Job], min_priority: float
) -> None:
    groups = set(submittable(batches_of(jobs), min_priority))
    allowed = {job for job in jobs if job[2] == "init" and job[:2] in groups}
    assert allowed == {job for job in jobs if may_submit(job, jobs, min_priority)}


@given(jobs=JOBS)
def test_all_is_submitted_in_the_end_if_every_job_completes(jobs: list[Job]) -> None:
    """No set of priorities ever waits for itself."""
    left = [(batch, priority, "init") for batch, priority, _ in jobs]
    rounds = 0
    while any(state == "init" for _, _, state in left):
        groups = set(submittable(batches_of(left)))
        done = [i for i, job in enumerate(left) if job[2] == "init" and job[:2] in groups]
        assert done, "nothing moves"
        for i in done:
            left[i] = (*left[i][:2], "complete")
        rounds += 1
    assert rounds <= len(jobs)


@given(jobs=JOBS)
def test_a_batchs_priority_is_the_highest_of_its_unfinished_jobs(jobs: list[Job]) -> None:
    for batch in batches_of(jobs):
        unfinished = [p for b, p, s in jobs if b == batch.batch_id and s not in ("complete", "collected")]
        assert batch_priority(batch) == (max(unfinished) if unfinished else None)


@given(jobs=JOBS)
def test_every_batch_that_waits_has_a_reason_and_no_other_has(jobs: list[Job]) -> None:
    batches = {batch.batch_id: batch for batch in batches_of(jobs)}
    groups = set(submittable(batches.values()))
    reasons = priority_blocks(batches)
    for batch_id in batches:
        waits = [job for job in jobs if job[0] == batch_id and job[2] == "init" and job[:2] not in groups]
        moves = [job for job in jobs if job[0] == batch_id and job[2] == "init" and job[:2] in groups]
        if waits and not moves:
            assert reasons[batch_id].kind == PRIORITY
        if not waits:
            assert batch_id not in reasons


def test_a_reason_names_who_holds_the_batch_back() -> None:
    jobs = [(1, 100, "run"), (2, 100, "init"), (3, 5, "init"), (4, 1, "complete")]
    reasons = priority_blocks({batch.batch_id: batch for batch in batches_of(jobs)})
    assert reasons == {3: BlockReason(PRIORITY, "waits for priority 100: b1 and 1 more")}
    below = priority_blocks({batch.batch_id: batch for batch in batches_of([(1, 2, "run"), (1, 1, "init")])})
    assert below == {1: BlockReason(PRIORITY, "waits for priority 2")}


def test_counters_of_zero_jobs_count_for_nothing() -> None:
    batch = Batch(1, "n", "t", {(5, "init"): 0, (2, "init"): 1})
    assert batch_priority(batch) == 2
    assert submittable([batch]) == [(1, 2)]


def test_an_empty_index_has_nothing_to_submit_and_nothing_waits() -> None:
    assert submittable([]) == []
    assert priority_blocks({}) == {}
