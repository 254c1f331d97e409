"""A small application around a LogView, and what tests ask of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.pilot import Pilot

from paraschut_tui.job_log.pane import LogPane
from paraschut_tui.job_log.view import LogSources, LogView
from tests.tui.textual_internals import screen_lines


class LogApp(App[None]):
    """Only a LogView."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "note_escape", "back")]

    def __init__(self) -> None:
        super().__init__()
        self.view = LogView(id="log")
        self.full_screens: list[LogView.FullScreen] = []
        self.escapes = 0

    def compose(self) -> ComposeResult:
        yield self.view

    def on_mount(self) -> None:
        self.view.focus()

    def on_log_view_full_screen(self, message: LogView.FullScreen) -> None:
        self.full_screens.append(message)

    def action_note_escape(self) -> None:
        self.escapes += 1


class Viewer:
    """A running LogApp and its screen."""

    def __init__(self, app: LogApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot
        self.view = app.view

    @property
    def pane(self) -> LogPane:
        return self.view.pane

    @property
    def lines(self) -> list[str]:
        """The screen's lines as they are painted, the status line first."""
        return [line.rstrip() for line in screen_lines(self.app)]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def status(self) -> str:
        return self.lines[0]

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Waits until `condition` holds; fails with the screen if it never does."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"after {seconds} s still not: {what}\n{self.text}")
            await self.pilot.pause(0.02)

    async def shows(self, text: str) -> None:
        await self.until(lambda: text in self.text, f"{text!r} on the screen")

    async def shows_not(self, text: str) -> None:
        await self.until(lambda: text not in self.text, f"no {text!r} on the screen")

    async def says(self, text: str) -> None:
        await self.until(lambda: text in self.status, f"{text!r} in the status line")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def answer(self, key: str, text: str) -> None:
        """Presses `key`, which asks for something, and types `text`."""
        await self.press(key)
        prompt = self.view.query_one("Input")
        await self.until(lambda: prompt.has_focus, "the prompt")
        prompt.value = text  # type: ignore[attr-defined]  # an Input's text
        await self.press("enter")


@asynccontextmanager
async def viewing(
    sources: LogSources | None = None, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Viewer]:
    """A LogApp that shows `sources`."""
    app = LogApp()
    async with app.run_test(size=size) as pilot:
        viewer = Viewer(app, pilot)
        if sources is not None:
            viewer.view.show(sources)
        yield viewer


def one(path: Path, title: str = "JOB 24  run") -> LogSources:
    """The sources of a job that has nothing but one stderr."""
    return LogSources(title, {"stderr": [str(path)]})


def numbered(path: Path, count: int, start: int = 1) -> Path:
    """A file with lines "line 1", "line 2", ..."""
    path.write_text("".join(f"line {n}\n" for n in range(start, start + count)))
    return path


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)
