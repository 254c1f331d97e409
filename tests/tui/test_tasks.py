"""What people come for, from launch, with exactly the keys that the README counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from paraschut_core.config import Settings
from paraschut_core.model import ExitInfo, JobKey
from paraschut_core.project import Project
from paraschut_tui.dashboard.screen import MainScreen
from tests.helpers import ROOT, Scheduler

from .project import add_batch, dashboard, make_project, states, until
from .user import confirm, key_name, shown, told

KEYS = {
    "see the error of the first missing job": [],
    "reset and resubmit all missing jobs of a batch": ["m", "s", "y"],
    "reset and resubmit all missing jobs of all batches": ["X", "y"],
    'find the job that wrote "CUDA error"': ["/", 'log:"CUDA error"', "Enter"],
    "delete all queued jobs of a batch": ["b", "↓", "↓", "d", "y"],
    "follow the newest running job": ["f"],
    "see why a batch does not move": [],
    "undo the last action": ["z", "y"],
}
"""The tasks, each with its keys."""

_NAMES = {"/": "slash", "↓": "down", "Enter": "enter"}


class Place:
    """A project: batch `map` with two missing jobs (0, 1), one running (2) and one queued (3), batch `align`
    with a missing one, batch `reduce` that waits for a higher priority."""

    def __init__(self, folder: Path) -> None:
        self.settings: Settings = make_project(folder)
        self.scheduler = Scheduler()
        self.align = add_batch(self.settings, "mouse/align", ["true"], priority=100)
        self.reduce = add_batch(self.settings, "human/reduce", ["true"])
        self.map = add_batch(self.settings, "human/map", ["true"] * 4, priority=100)
        self._submit()

    def _submit(self) -> None:
        from paraschut_core.actions import submit_next
        from paraschut_core.monitoring import polling

        with Project(self.settings, self.scheduler) as ws:
            assert submit_next(ws).submitted == 5
            rows = ws.reader.rows("SELECT BatchID, JobIndex, submit_id FROM job WHERE submit_id IS NOT NULL")
            ids = {JobKey(batch, index): str(id_) for batch, index, id_ in rows}
            for _ in range(2):
                polling.poll_scheduler(ws, force=True)
            lost = [ids[JobKey(self.map, 0)], ids[JobKey(self.map, 1)], ids[JobKey(self.align, 0)]]
            self.scheduler.endings = {id_: ExitInfo("exit status 3", 3) for id_ in lost}
            self.scheduler.lose_sight(*lost)
            self.scheduler.run(ids[JobKey(self.map, 2)])
            for n in range(4):
                self._log(ws, n)

    def _log(self, ws: Project, index: int) -> None:
        from paraschut_core.database.jobs import read_info

        info = read_info(ws.reader, JobKey(self.map, index))
        for stream, text in (("stdout", f"I am {index}"), ("stderr", "CUDA error: no device" * (index == 1))):
            path = Path(info[stream][-1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n" if text else "")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@asynccontextmanager
async def launched(place: Place) -> AsyncIterator[tuple[Pilot[None], MainScreen]]:
    async with dashboard(place.settings, place.scheduler) as (pilot, screen):
        await until(
            pilot, lambda: screen.state.snapshot is not None and len(screen.state.snapshot.missing) == 3
        )
        yield pilot, screen


async def perform(pilot: Pilot[None], task: str) -> None:
    """Presses the keys of a task, the last of which answers the dialog if there is one."""
    for key in KEYS[task]:
        if key == "y":
            await confirm(pilot)
        elif len(key) > 1 and key not in _NAMES:
            await pilot.press(*(key_name(character) for character in key))
        else:
            await pilot.press(_NAMES.get(key, key))
            await pilot.pause()


async def test_the_error_of_the_first_missing_job_is_there_at_once(place: Place) -> None:
    (Path(place.settings.job_dir) / str(place.map) / "logs").mkdir(exist_ok=True)
    with Project(place.settings) as ws:
        from paraschut_core.database.jobs import read_info

        Path(read_info(ws.reader, JobKey(place.map, 0))["stderr"][-1]).write_text("FileNotFoundError: x.fa\n")
    async with launched(place) as (pilot, screen):
        await perform(pilot, "see the error of the first missing job")
        await until(pilot, lambda: screen.jobs.grid.cursor == JobKey(place.map, 0))
        await until(pilot, lambda: "FileNotFoundError: x.fa" in shown(pilot))
        assert "exit status 3" in shown(pilot)


async def test_all_missing_jobs_of_a_batch_are_resubmitted(place: Place) -> None:
    async with launched(place) as (pilot, _screen):
        await perform(pilot, "reset and resubmit all missing jobs of a batch")
        await told(pilot, "2 resubmitted")
    assert states(place.settings, place.map) == ["submit"] * 4
    assert len(place.scheduler.specs) == 7


async def test_all_missing_jobs_of_all_batches_are_resubmitted(place: Place) -> None:
    async with launched(place) as (pilot, _screen):
        await perform(pilot, "reset and resubmit all missing jobs of all batches")
        await told(pilot, "3 resubmitted")
    assert sorted(spec.key for spec in place.scheduler.specs[5:]) == [
        (place.align, 0), (place.map, 0), (place.map, 1),
    ]  # fmt: skip


async def test_the_job_that_wrote_something_is_found(place: Place) -> None:
    async with launched(place) as (pilot, screen):
        await perform(pilot, 'find the job that wrote "CUDA error"')
        await until(
            pilot,
            lambda: screen.jobs.grid.cursor == JobKey(place.map, 1) and screen.jobs.grid.board.total == 1,
        )


async def test_all_queued_jobs_of_a_batch_are_deleted(place: Place) -> None:
    with Project(place.settings, place.scheduler) as ws, ws.db.transaction() as tx:
        tx.connection.execute("UPDATE job SET state = 'complete' WHERE JobIndex = 2")
    async with launched(place) as (pilot, _screen):
        await perform(pilot, "delete all queued jobs of a batch")
        await told(pilot, "1 deleted from the queue")
    assert states(place.settings, place.map) == ["submit", "submit", "complete", "init"]


async def test_the_newest_running_job_is_followed(place: Place) -> None:
    async with launched(place) as (pilot, screen):
        await until(pilot, lambda: screen.state.snapshot is not None and screen.state.snapshot.running == 1)
        await perform(pilot, "follow the newest running job")
        await until(pilot, lambda: screen.jobs.grid.cursor == JobKey(place.map, 2))
        await until(pilot, lambda: "I am 2" in shown(pilot))
        assert "following" in shown(pilot)


async def test_why_a_batch_does_not_move_is_on_the_screen(place: Place) -> None:
    async with launched(place) as (pilot, _screen):
        await perform(pilot, "see why a batch does not move")
        await until(pilot, lambda: "waits for priority 100" in shown(pilot))
        await until(pilot, lambda: "1 missing" in shown(pilot))


async def test_an_action_is_undone(place: Place) -> None:
    async with launched(place) as (pilot, _screen):
        await pilot.press("R")
        await confirm(pilot)
        await told(pilot, "3 reset")
        await perform(pilot, "undo the last action")
        await told(pilot, "3 restored")
    assert states(place.settings, place.map) == ["submit"] * 4


def test_the_readme_counts_these_keys() -> None:
    text = Path(ROOT, "README.md").read_text(encoding="utf-8")
    for task, keys in KEYS.items():
        shown = " ".join(f"`{key}`" for key in keys) or "nothing"
        row = next((line for line in text.splitlines() if line.startswith(f"| {task} |")), "")
        assert row.startswith(f"| {task} | {shown}"), (task, row)
