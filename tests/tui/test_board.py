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
    Missing,
    SchedulerHealth,
    Snapshot,
)
from paraschut_tui import look
from paraschut_tui.board import Board, Cells, packed
from paraschut_tui.layout import BLOCK, Layout, cells_that_fit
from paraschut_tui.look import Looks
from paraschut_tui.marks import Marks


def snapshot(
    live: dict[JobKey, LiveJob] | None = None, missing: dict[JobKey, Missing] | None = None
) -> Snapshot:
    return Snapshot(1, {}, live or {}, missing or {}, {}, {}, DatabaseHealth("x"), SchedulerHealth("y"))


def cells(batch_id: int, indexes: list[int], states: str | list[str], looks: Looks) -> Cells:
    names = states if isinstance(states, list) else [states] * len(indexes)
    return Cells(batch_id, packed(array("q", indexes)), bytearray(looks.code(name) for name in names))


def row(key: JobKey, state: str) -> JobRow:
    return JobRow(key, state, 1, 1, None, None, None, None, 0.0, None, 2)


indexes = st.lists(st.integers(-1000, 100_000), min_size=1, max_size=200, unique=True).map(sorted)


@given(
    st.lists(indexes, min_size=1, max_size=4), st.integers(12, 250), st.sampled_from([0, 1]), st.booleans()
)
def test_every_job_has_a_cell_of_its_own_and_is_found_there(
    batches: list[list[int]], width: int, per_row: int, matching: bool
) -> None:
    looks = Looks()
    board = Board((cells(n, part, "init", looks) for n, part in enumerate(batches)), looks, matching=matching)
    plan = Layout(board, width, per_row)
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
    looks = Looks()
    board = Board([cells(1, [3, 4, 25, 31], "init", looks)], looks)
    plan = Layout(board, 20, 10)
    assert [plan.slot(n).label for n in range(plan.rows)] == [0, 10, 20, 30]  # type: ignore[union-attr]
    assert plan.row_and_column(0, 2) == (2, 5)
    assert plan.place_at(1, 5) is None


def test_a_sparse_batch_takes_no_more_rows_than_its_jobs() -> None:
    looks = Looks()
    board = Board([cells(1, [0, 10**9, 2 * 10**9], "init", looks)], looks)
    assert Layout(board, 20, 10).rows == 1


def test_a_million_jobs_without_gaps_take_a_range_and_two_bytes_each() -> None:
    assert packed(array("q", range(5, 1_000_005))) == range(5, 1_000_005)


def test_an_update_changes_only_the_places_that_differ() -> None:
    looks = Looks()
    board = Board([cells(1, list(range(100)), "init", looks)], looks)
    old = snapshot()
    board.dress(old)
    keys = [JobKey(1, 7), JobKey(1, 8), JobKey(1, 9)]
    new = snapshot({keys[0]: LiveJob("a", RUNNING)}, {keys[1]: Missing("gone", 0.0)})
    rows = [row(keys[0], "run"), row(keys[1], "run"), row(keys[2], "init")]
    change = board.update(old, new, rows, ())
    assert sorted(change.places) == [(0, 7), (0, 8)]
    assert not change.stale
    group = board.groups[0]
    assert (group.looks[7], group.looks[8]) == (look.L_RUN, look.L_MISSING)
    back = board.update(new, snapshot(), [], ())
    assert sorted(back.places) == [(0, 7), (0, 8)]
    assert (group.looks[7], group.looks[8]) == (look.L_UNCONFIRMED, look.L_UNCONFIRMED)


def test_an_unknown_job_or_a_removed_batch_makes_the_board_stale() -> None:
    looks = Looks()
    board = Board([cells(1, [0, 1], "init", looks)], looks)
    assert board.update(None, snapshot(), [row(JobKey(1, 2), "init")], ()).stale
    assert board.update(None, snapshot(), [], (1,)).stale
    assert not board.update(None, snapshot(), [row(JobKey(2, 0), "init")], (3,)).stale


def test_matches_become_stale_when_any_job_changes() -> None:
    looks = Looks()
    board = Board([cells(1, [0], "init", looks)], looks, matching=True)
    assert board.update(None, snapshot(), [row(JobKey(2, 0), "run")], ()).stale
    assert board.update(None, snapshot(), [row(JobKey(1, 0), "run")], ()).stale


@given(indexes, st.integers(-2000, 200_000))
def test_a_cursor_whose_job_is_gone_goes_to_a_neighbour(present: list[int], wanted: int) -> None:
    looks = Looks()
    board = Board([cells(1, present, "init", looks)], looks)
    place = board.locate_nearest(JobKey(1, wanted))
    assert place is not None
    index = board.key(*place).job_index
    assert index == min([i for i in present if i >= wanted], default=present[-1])


def test_marks_are_kept_by_job_and_counted() -> None:
    marks = Marks()
    marks.add(1, range(5))
    assert marks.toggle(JobKey(1, 2)) is False
    assert marks.toggle(JobKey(2, 9)) is True
    assert list(marks) == [JobKey(1, 0), JobKey(1, 1), JobKey(1, 3), JobKey(1, 4), JobKey(2, 9)]
    marks.invert(1, range(6))
    assert sorted(marks.of_batch(1)) == [2, 5]
    marks.keep_batches([1])
    assert len(marks) == 2
    assert JobKey(2, 9) not in marks
