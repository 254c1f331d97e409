"""The dashboard over real databases: sorting, searching, coming back; a refresh costs what changed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from paraschut_core.config import Settings
from paraschut_core.database.changes import read_changes, read_revision
from paraschut_core.database.jobs import insert_jobs
from paraschut_core.model import JobKey
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project
from paraschut_tui.app import ParaschutApp
from paraschut_tui.backend import job_loader
from paraschut_tui.backend.snapshot_worker import SnapshotUpdate
from paraschut_tui.batch_tree.model import STATE, NodeId
from paraschut_tui.dashboard.screen import MainScreen
from paraschut_tui.job_grid.columns import COLUMNS, SortKey
from paraschut_tui.job_grid.contents import GridContents
from paraschut_tui.messages import JobsLoaded
from paraschut_tui.session.session_state import SessionState

from .project import main_screen, make_project, until

FIRST = 20260101000000


def fill(settings: Settings, batches: int, jobs: int) -> None:
    """Adds batches of so many jobs, each third one complete."""
    with Project(settings) as ws, ws.db.transaction() as tx:
        for batch_id in range(FIRST, FIRST + batches):
            infos = [
                {
                    "BatchID": batch_id, "JobIndex": index, "name": f"map/{batch_id % 3}", "batch_type": "x",
                    "priority": 1, "state": "complete" if index % 3 == 0 else "init", "script": "true",
                    "weight": (index * 7919) % jobs,
                }
                for index in range(jobs)
            ]  # fmt: skip
            insert_jobs(tx, infos, new_batch=batch_id)


def change(settings: Settings, key: JobKey, state: str) -> None:
    with Project(settings) as ws, ws.db.transaction() as tx:
        tx.connection.execute(
            "UPDATE job SET state = ?, changed_at = ?, rev = ? WHERE BatchID = ? AND JobIndex = ?",
            (state, time.time(), tx.rev, *key),
        )


@asynccontextmanager
async def dashboard(
    settings: Settings, memory: SessionState | None = None
) -> AsyncIterator[tuple[Pilot[None], MainScreen]]:
    app = ParaschutApp(settings, session=memory)
    async with app.run_test(size=(160, 50)) as pilot:
        screen = main_screen(app)
        await until(pilot, lambda: screen.jobs.grid.board.total > 0 and not screen.jobs.contents.loading)
        yield pilot, screen
    app.gateway.close()


# ------------------------------------------------------------------------------------ what a refresh costs


def steps_of(workspace: Project, task: Callable[[], object]) -> int:
    """Hundreds of instructions of SQLite's machine that a task takes."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    workspace.reader.connection.set_progress_handler(count, 100)
    task()
    workspace.reader.connection.set_progress_handler(None, 0)
    return taken


def test_reading_what_changed_takes_as_many_steps_in_a_large_file_as_in_a_small_one(tmp_path: Path) -> None:
    steps = {}
    for jobs in (500, 40_000):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        settings = make_project(folder)
        fill(settings, 1, jobs)
        with Project(settings) as ws:
            monitor = Monitor(ws)
            monitor.refresh()
            for index in range(5):
                change(settings, JobKey(FIRST, index), "run")
            since = read_revision(ws.reader) - 5
            assert len(read_changes(ws.reader, since).jobs) == 5
            steps[jobs] = steps_of(ws, monitor.refresh)
    assert steps[40_000] <= steps[500] + 5
    assert steps[500] < 50


async def test_a_refresh_of_the_screen_costs_no_more_with_many_jobs_than_with_few(tmp_path: Path) -> None:
    costs = {}
    for jobs in (500, 40_000):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        settings = make_project(folder)
        fill(settings, 1, jobs)
        async with dashboard(settings) as (pilot, screen):
            show, times = screen.show_update, []

            def timed(update: SnapshotUpdate) -> None:
                begin = time.thread_time()
                show(update)  # noqa: B023 - called within this round of the loop only
                times.append(time.thread_time() - begin)  # noqa: B023

            screen.show_update = timed  # type: ignore[method-assign]
            for n in range(12):
                change(settings, JobKey(FIRST, 3 * n + 1), "done")
                while len(times) <= n:
                    await pilot.pause(0.02)
            costs[jobs] = min(times)
    assert costs[40_000] < 3 * costs[500] + 0.002


# ------------------------------------------------------------------------------------ sorting, searching


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_project(tmp_path_factory.mktemp("jobs"))
    fill(settings, 3, 400)
    return settings


@pytest.mark.parametrize("name", [*COLUMNS, "meta.weight", "meta.no'such.\"field"])
async def test_real_jobs_are_sorted_by_any_column(project: Settings, name: str) -> None:
    async with dashboard(project) as (_, screen):
        assert screen.state.snapshot is not None
        keys = (SortKey(name), SortKey("index", down=True))
        order = await screen.backend.sorted_order(screen.jobs.grid.board, keys, screen.state.snapshot)
        assert order is not None
        assert sorted(order) == list(range(400))
        if name == "meta.weight":
            assert [n * 7919 % 400 for n in order] == list(range(400))
        if name == "state":
            assert [n % 3 == 0 for n in order] == [False] * 266 + [True] * 134


async def test_a_search_of_real_jobs_takes_in_what_comes_to_match_and_lets_go_of_what_no_longer_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_project(tmp_path)
    fill(settings, 2, 300)
    async with dashboard(settings) as (pilot, screen):
        await pilot.press("slash", *"weight:>290 | state:odd", "enter")
        await until(pilot, lambda: screen.jobs.grid.board.total == 18 and not screen.jobs.contents.loading)
        monkeypatch.setattr(screen.backend, "load", lambda *_: pytest.fail("it searches all jobs again"))
        change(settings, JobKey(FIRST, 6), "odd")
        await until(pilot, lambda: screen.jobs.grid.board.locate(JobKey(FIRST, 6)) is not None)
        assert screen.jobs.grid.board.total == 19
        change(settings, JobKey(FIRST, 6), "init")
        await until(pilot, lambda: screen.jobs.grid.board.total == 18)


# ------------------------------------------------------------------------------------ what stays where it was


async def test_when_it_opens_the_first_jobs_are_shown_before_all_are_read(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[bool, int]] = []
    take = GridContents.take_cells

    def watched(contents: GridContents, message: JobsLoaded) -> None:
        take(contents, message)
        taken.append((message.done, sum(len(part.states) for part in message.cells)))

    monkeypatch.setattr(GridContents, "take_cells", watched)
    monkeypatch.setattr(job_loader, "_FIRST_PART", 7)
    async with dashboard(project) as (pilot, screen):
        await until(pilot, lambda: bool(taken) and taken[-1][0])
        whole = screen.jobs.grid.board.total
        assert whole > 7
        assert taken[0] == (False, 7)
        assert taken[-1] == (True, whole)


async def test_cursor_marks_and_scroll_stay_with_their_jobs_whatever_changes(tmp_path: Path) -> None:
    settings = make_project(tmp_path)
    fill(settings, 6, 2500)
    chance = random.Random(7)
    async with dashboard(settings) as (pilot, screen):
        await pilot.press("G", "space", "up", "up", "space", "up", "v", "left", "left", "v", "b")
        await pilot.press("down", "down", "right")
        outline = screen.batches.batch_tree.outline
        await until(pilot, lambda: any(row.key.job >= 0 for row in outline.rows))
        await pilot.press("down", "down", "escape")
        cursor, marks = screen.jobs.grid.cursor, set(screen.jobs.marks)
        below, row = screen.jobs.grid.cursor_offset, screen.batches.batch_tree.cursor
        opened = set(outline.open)
        assert cursor is not None
        assert row is not None
        assert len(marks) == 5
        for n in range(12):
            what = chance.choice(["state", "add", "remove", "new batch"])
            if what == "state":
                change(settings, JobKey(FIRST + chance.randrange(6), chance.randrange(5)), "run")
            elif what == "remove":
                with Project(settings) as ws, ws.db.transaction() as tx:
                    tx.connection.execute(
                        "DELETE FROM job WHERE BatchID = ? AND JobIndex = 10", (FIRST + n % 5,)
                    )
                    tx.connection.execute(
                        "UPDATE batch SET rev = ? WHERE BatchID = ?", (tx.rev, FIRST + n % 5)
                    )
            else:
                batch_id = FIRST + 5 if what == "add" else FIRST - 100 - n
                info = {"name": "new", "batch_type": "", "state": "init", "priority": 1, "script": "true"}
                with Project(settings) as ws, ws.db.transaction() as tx:
                    insert_jobs(tx, [{"BatchID": batch_id, "JobIndex": 5000 + n, **info}])
            with Project(settings) as ws:
                rev = read_revision(ws.reader)
            await until(
                pilot, lambda rev=rev: screen.state.snapshot is not None and screen.state.snapshot.rev >= rev
            )  # type: ignore[misc]
            await until(pilot, lambda: not screen.jobs.contents.loading)
            await asyncio.sleep(0)
            assert screen.jobs.grid.cursor == cursor, what
            assert set(screen.jobs.marks) == marks, what
            assert abs(screen.jobs.grid.cursor_offset - below) <= 1, what
            assert screen.batches.batch_tree.cursor == row, what
            assert opened <= outline.open


async def test_open_states_cursor_and_scroll_come_back_after_a_restart(tmp_path: Path) -> None:
    settings = make_project(tmp_path)
    fill(settings, 3, 3000)
    async with dashboard(settings) as (pilot, screen):
        await pilot.press("b", "down", "down", "right")
        outline = screen.batches.batch_tree.outline
        await until(pilot, lambda: any(row.key.job >= 0 for row in outline.rows))
        await pilot.press(*["down"] * 30)
        await until(pilot, lambda: not screen.jobs.contents.loading)
        row, memory = screen.batches.batch_tree.cursor, screen.session()
        place, cursor = screen.batches.batch_tree.place, screen.jobs.grid.cursor
        assert row is not None
        assert row.job >= 0
        assert cursor is not None
        assert cursor.job_index == row.job
    async with dashboard(settings, memory) as (pilot, screen):
        await until(pilot, lambda: screen.batches.batch_tree.cursor == row)
        assert NodeId(STATE, row.batch_id, row.look) in screen.batches.batch_tree.outline.open
        assert screen.batches.batch_tree.place == place
        assert screen.jobs.grid.cursor == cursor
        await until(pilot, lambda: screen.session().job_below == memory.job_below)


async def test_where_a_list_in_the_tree_ends_the_grid_goes_on(tmp_path: Path) -> None:
    settings = make_project(tmp_path)
    fill(settings, 1, 6000)
    async with dashboard(settings) as (pilot, screen):
        await pilot.press("b", "down", "right")
        outline = screen.batches.batch_tree.outline
        await until(pilot, lambda: any("more in the grid" in row.text for row in outline.rows))
        end = next(row for row in outline.rows if "more in the grid" in row.text)
        await pilot.press("G")
        while screen.batches.batch_tree.cursor != end.key:
            await pilot.press("up")
        await pilot.press("enter")
        await until(
            pilot,
            lambda: (
                screen.pane_layout.focused == "grid" and screen.jobs.grid.cursor == JobKey(FIRST, end.key.job)
            ),
        )
