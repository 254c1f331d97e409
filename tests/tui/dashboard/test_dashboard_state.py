"""DashboardState: one copy of the snapshot, and the names that sentences use."""

from __future__ import annotations

from paraschut_core.model import JobKey
from paraschut_tui.backend.snapshot_worker import SnapshotUpdate
from paraschut_tui.dashboard_state import DashboardState

from ..fake import MAP, MOUSE, REDUCE, FakeBatch, FakeGateway, world


def updated(*batches: FakeBatch) -> DashboardState:
    """The state after one snapshot."""
    snapshot = FakeGateway(batches).snapshot()
    state = DashboardState()
    state.apply(
        SnapshotUpdate(
            snapshot, rows=(), removed=frozenset(), batches=frozenset(), reload=True, lost={MAP: {2: 1}}
        )
    )
    return state


def test_before_the_first_snapshot_there_are_no_batches_and_nothing_is_missing() -> None:
    state = DashboardState()
    assert state.batches == {} and state.missing == {} and state.missing_in(MAP) == []
    assert state.job_words(JobKey(MAP, 3)) == f"job 3 of {MAP}"


def test_a_snapshot_tells_batches_missing_jobs_and_names() -> None:
    state = updated(*world())
    assert set(state.batches) == {MAP, REDUCE, MOUSE}
    assert state.missing_in(MAP) == [24, 152]
    assert state.missing_by_state == {MAP: {2: 1}}
    assert state.job_words(JobKey(MAP, 24)) == "job 24 of human/genome_map"


def test_a_batch_without_a_name_is_called_by_its_id_and_names_are_clean() -> None:
    state = updated(FakeBatch(MAP, "", "i"), FakeBatch(MOUSE, "a\x1b[2Jb", "i"))
    assert state.batch_words(MAP) == str(MAP)
    assert "\x1b" not in state.batch_words(MOUSE)


def test_saved_filters_are_a_copy_of_what_was_given() -> None:
    given = {"mine": "state:run"}
    state = DashboardState(saved_filters=given)
    state.saved_filters["other"] = "x"
    assert given == {"mine": "state:run"}
