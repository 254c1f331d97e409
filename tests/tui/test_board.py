"""The board of jobs, its layout and the marks: the parts of the grid that know nothing of the screen."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.model import (
    RUNNING,
    DatabaseHealth,
    JobKey,
    JobRow,
    LiveJob,
    MissingJob,
    SchedulerHealth,
    Snapshot,
)
from paraschut_tui import state_styles
from paraschut_tui.job_grid.layout import BLOCK, JobLayout, cells_that_fit
from paraschut_tui.job_grid.marked_jobs import MarkedJobs
from paraschut_tui.job_grid.model import BatchStates, GridModel, packed
from paraschut_tui.state_styles import StateStyles


def snapshot(
    live: dict[JobKey, LiveJob] | None = None, missing: dict[JobKey, MissingJob] | None = None
) -> Snapshot:
    return Snapshot(1, {}, live or {}, missing or {}, {}, {}, DatabaseHealth("x"), SchedulerHealth("y"))


def cells(batch_id: int, indexes: list[int], states: str | list[str], looks: StateStyles) -> BatchStates:
    names = states if isinstance(states, list) else [states] * len(indexes)
    return BatchStates(batch_id, packed(array("q", indexes)), bytearray(looks.code(name) for name in names))


def row(key: JobKey, state: str) -> JobRow:
    return JobRow(key, state, 1, 1, None, None, None, None, 0.0, None, 2)


indexes = st.lists(st.integers(-1000, 100_000), min_size=1, max_size=200, unique=True).map(sorted)


@given(
    st.lists(indexes, min_size=1, max_size=4), st.integers(12, 250), st.sampled_from([0, 1]), st.booleans()
)
def test_every_job_has_a_cell_of_its_own_and_is_found_there(
    batches: list[list[int]], width: int, per_row: int, matching: bool
) -> None:
    looks = StateStyles()
    board = GridModel(
        (cells(n, part, "init", looks) for n, part in enumerate(batches)), looks, matching=matching
    )
    plan = JobLayout(board, width, per_row)
    seen = set()
    for n in range(board.total):
        group, place = board.at(n)
        at = plan.row_and_column(group, place)
        assert at not in seen
        seen.add(at)
        assert plan.place_at(*at) == (group, place)
        slot = plan.slot(at[0])
        assert slot is not None
        assert slot.first <= place < slot.last
        assert plan.column_of(slot, place) == at[1]
        assert board.number(group, place) == n
    assert max(at[0] for at in seen) == plan.rows - 1


@given(st.integers(1, 400))
def test_the_cells_of_a_row_fit_the_width(width: int) -> None:
    n = cells_that_fit(width)
    assert n >= 1
    assert n + (n - 1) // BLOCK <= max(width, 1)


def test_a_dense_batch_is_laid_out_by_its_indexes_with_holes() -> None:
    looks = StateStyles()
    board = GridModel([cells(1, [3, 4, 25, 31], "init", looks)], looks)
    plan = JobLayout(board, 20, 10)
    assert [plan.slot(n).label for n in range(plan.rows)] == [0, 10, 20, 30]  # type: ignore[union-attr]
    assert plan.row_and_column(0, 2) == (2, 5)
    assert plan.place_at(1, 5) is None


def test_a_sparse_batch_takes_no_more_rows_than_its_jobs() -> None:
    looks = StateStyles()
    board = GridModel([cells(1, [0, 10**9, 2 * 10**9], "init", looks)], looks)
    assert JobLayout(board, 20, 10).rows == 1


def test_a_million_jobs_without_gaps_take_a_range_and_two_bytes_each() -> None:
    assert packed(array("q", range(5, 1_000_005))) == range(5, 1_000_005)


def test_an_update_changes_only_the_places_that_differ() -> None:
    looks = StateStyles()
    board = GridModel([cells(1, list(range(100)), "init", looks)], looks)
    old = snapshot()
    board.apply_scheduler_state(old)
    keys = [JobKey(1, 7), JobKey(1, 8), JobKey(1, 9)]
    new = snapshot({keys[0]: LiveJob("a", RUNNING)}, {keys[1]: MissingJob("gone", 0.0)})
    rows = [row(keys[0], "run"), row(keys[1], "run"), row(keys[2], "init")]
    change = board.update(old, new, rows, ())
    assert sorted(change.places) == [(0, 7), (0, 8)]
    assert not change.stale
    group = board.groups[0]
    assert (group.looks[7], group.looks[8]) == (state_styles.L_RUN, state_styles.L_MISSING)
    back = board.update(new, snapshot(), [], ())
    assert sorted(back.places) == [(0, 7), (0, 8)]
    assert (group.looks[7], group.looks[8]) == (state_styles.L_UNCONFIRMED, state_styles.L_UNCONFIRMED)


def test_an_unknown_job_is_a_stranger_and_a_removed_batch_makes_the_board_stale() -> None:
    looks = StateStyles()
    board = GridModel([cells(1, [0, 1], "init", looks)], looks)
    new = row(JobKey(1, 2), "init")
    assert board.update(None, snapshot(), [new], ()).strangers == [new]
    assert board.update(None, snapshot(), [], (1,)).stale
    change = board.update(None, snapshot(), [row(JobKey(2, 0), "init")], (3,))
    assert not change.stale
    assert not change.strangers


def test_any_job_that_changes_may_match_now_or_match_no_more() -> None:
    looks = StateStyles()
    board = GridModel([cells(1, [0], "init", looks)], looks, matching=True)
    one, two = JobKey(1, 0), JobKey(2, 0)
    lost = snapshot(missing={JobKey(3, 5): MissingJob("gone", 0.0)})
    change = board.update(snapshot(), lost, [row(two, "run"), row(one, "run")], ())
    assert change.doubtful == {one, two, JobKey(3, 5)}
    assert not change.strangers


@given(
    st.lists(indexes, min_size=1, max_size=3),
    st.dictionaries(
        st.builds(JobKey, st.integers(0, 4), st.integers(-1000, 2000)),
        st.sampled_from([None, state_styles.L_INIT, state_styles.L_COMPLETE]),
        max_size=60,
    ),
)
def test_merging_changes_gives_the_board_that_reading_anew_would(
    batches: list[list[int]], found: dict[JobKey, int | None]
) -> None:
    looks = StateStyles()
    board = GridModel([cells(n, part, "run", looks) for n, part in enumerate(batches)][::-1], looks)
    board.counts()
    expected = {board.key(*board.at(n)): state_styles.L_UNCONFIRMED for n in range(board.total)}
    for key, code in found.items():
        expected.pop(key, None)
        if code is not None:
            expected[key] = code
    alive = next(iter(expected), JobKey(9, 9))
    now = snapshot({alive: LiveJob("a", RUNNING)})
    merged = board.with_changes(found, now)
    shown = {}
    for n in range(merged.total):
        group, place = merged.at(n)
        shown[merged.key(group, place)] = merged.groups[group].looks[place]
        assert merged.locate(merged.key(group, place)) == (group, place)
    states = {key: looks.of(code, now.live.get(key), False) for key, code in expected.items()}
    assert {key: code for key, code in shown.items() if key in found} == {
        key: code for key, code in states.items() if key in found
    }
    assert shown.keys() == states.keys()
    keys = [(-key.batch_id, key.job_index) for key in shown]
    assert keys == sorted(keys)
    sums: dict[int, int] = {}
    for code in shown.values():
        sums[code] = sums.get(code, 0) + 1
    assert merged.counts() == sums


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["run", "init", "complete"])), max_size=40))
def test_the_counts_by_look_are_kept_true_without_counting_again(changes: list[tuple[int, str]]) -> None:
    looks = StateStyles()
    board = GridModel([cells(1, list(range(100)), "init", looks)], looks)
    board.counts()
    for index, state in changes:
        board.update(None, snapshot(), [row(JobKey(1, index), state)], ())
    group = board.groups[0]
    assert board.counts() == {code: group.looks.count(code) for code in set(group.looks)}


def test_jobs_added_at_a_batchs_end_cost_no_list_of_all_its_indexes() -> None:
    looks = StateStyles()
    board = GridModel([BatchStates(1, range(1000), bytearray(1000))], looks)
    assert board.with_changes({JobKey(1, 1000): 0, JobKey(1, 1001): 0}, snapshot()).groups[
        0
    ].indexes == range(1002)


@given(indexes, st.integers(-2000, 200_000))
def test_a_cursor_whose_job_is_gone_goes_to_a_neighbour(present: list[int], wanted: int) -> None:
    looks = StateStyles()
    board = GridModel([cells(1, present, "init", looks)], looks)
    place = board.locate_nearest(JobKey(1, wanted))
    assert place is not None
    index = board.key(*place).job_index
    assert index == min([i for i in present if i >= wanted], default=present[-1])


def test_marks_are_kept_by_job_and_counted() -> None:
    marks = MarkedJobs()
    marks.add(1, range(5))
    assert marks.toggle(JobKey(1, 2)) is False
    assert marks.toggle(JobKey(2, 9)) is True
    assert list(marks) == [JobKey(1, 0), JobKey(1, 1), JobKey(1, 3), JobKey(1, 4), JobKey(2, 9)]
    marks.invert(1, range(6))
    assert sorted(marks.of_batch(1)) == [2, 5]
    marks.keep_batches([1])
    assert len(marks) == 2
    assert JobKey(2, 9) not in marks
