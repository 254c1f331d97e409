"""A real project for the screen's tests: a database, a job directory and the local executor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from paraschut_core.config import LocalSettings, PollSettings, Settings
from paraschut_core.executors.base import JobExecutor
from paraschut_core.jobs.builder import add_jobs, template
from paraschut_core.model import JobInfo, JobKey
from paraschut_core.project import Project
from paraschut_tui.app import ParaschutApp
from paraschut_tui.dashboard.screen import MainScreen

PATIENCE = 60.0
"""Seconds after which something that should happen counts as not happening."""


def make_project(folder: Path) -> Settings:
    """Settings of an empty project in `folder`, with its database made."""
    settings = Settings(
        database=str(folder / "jobs.db"),
        job_dir=str(folder),
        executor="local",
        local=LocalSettings(slots=2, idle_timeout=1.0),
        poll=PollSettings(interval=0.3, grace=0.0),
    )
    with Project(settings, create=True) as ws:
        ws.db.connection
    return settings


def add_batch(settings: Settings, name: str, commands: list[str], **fields: object) -> int:
    """Adds a batch with one job for each command line; returns its BatchID."""
    with Project(settings) as ws:
        info = template(ws, set_id=True)
        infos: list[JobInfo] = [
            {**info, "JobIndex": index, "name": name.split("/"), "script": command, **fields}
            for index, command in enumerate(commands)
        ]
        add_jobs(ws, infos, new_batch=info["BatchID"])
    return int(info["BatchID"])


def state_of(settings: Settings, batch_id: int, index: int) -> str:
    """A job's state in the database."""
    from paraschut_core.database.jobs import read_info

    with Project(settings) as ws:
        return str(read_info(ws.reader, JobKey(batch_id, index))["state"])


async def until(pilot: Pilot[None], holds: Callable[[], bool], what: str = "") -> None:
    """Waits until `holds` does."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"never happened: {what or holds}"
        await asyncio.sleep(0.02)
        await pilot.pause()


def main_screen(app: ParaschutApp) -> MainScreen:
    """The app's main screen."""
    screen = app.screen_stack[0]
    assert isinstance(screen, MainScreen)
    return screen


@asynccontextmanager
async def dashboard(
    settings: Settings, executor: JobExecutor | None = None, size: tuple[int, int] = (160, 50), **options: Any
) -> AsyncIterator[tuple[Pilot[None], MainScreen]]:
    """The dashboard on a project, with its jobs there; its threads end with it."""
    app = ParaschutApp(settings, executor=executor, **options)
    try:
        async with app.run_test(size=size) as pilot:
            screen = main_screen(app)
            await until(
                pilot,
                lambda: screen.state.snapshot is not None and bool(screen.state.snapshot.scheduler.polled_at),
            )
            await until(pilot, lambda: not screen.jobs.contents.loading and screen.jobs.grid.board.total > 0)
            yield pilot, screen
    finally:
        app.gateway.close(patience=10.0)


def info_of(settings: Settings, batch_id: int, index: int) -> JobInfo:
    """A job's metadata in the database."""
    from paraschut_core.database.jobs import read_info

    with Project(settings) as ws:
        return read_info(ws.reader, JobKey(batch_id, index))


def states(settings: Settings, batch_id: int) -> list[str]:
    """The states of a batch's jobs in the database."""
    from paraschut_core.database.jobs import read_batch_infos

    with Project(settings) as ws:
        return [info["state"] for info in read_batch_infos(ws.reader, batch_id)]
