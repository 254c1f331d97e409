"""What a user does at the dashboard: answer dialogs, and read what is on the screen."""

from __future__ import annotations

import time

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button, Static

from paraschut_tui.dashboard.screen import MainScreen
from paraschut_tui.dialogs.confirm import ConfirmScreen
from paraschut_tui.widgets.text_line import TextLine
from tests.helpers import Scheduler

from .project import until
from .textual_internals import screen_lines, toasts


def asks(screen: Screen[object]) -> bool:
    """Whether it is a question that is painted, with its counts, and so can be answered."""
    return (
        isinstance(screen, ConfirmScreen)
        and not screen.query_one("#yes", Button).disabled
        and screen.was_seen(time.monotonic())
    )


async def confirm(pilot: Pilot[None], key: str = "y") -> str:
    """Waits for the dialog and its counts, answers with `key`; returns what it said."""
    app = pilot.app
    await until(pilot, lambda: asks(app.screen), "a dialog")
    said = " ".join(str(part.content) for part in app.screen.query(Static))
    await pilot.press(key)
    await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen), "the dialog closes")
    return said


def shown(pilot: Pilot[None]) -> str:
    """All text on the screen."""
    return "\n".join(line.rstrip() for line in screen_lines(pilot.app))


async def told(pilot: Pilot[None], words: str) -> None:
    """Waits for a line about what came of it."""
    await until(pilot, lambda: any(words in text for text in toasts(pilot.app)), f"told {words!r}")


async def missing(pilot: Pilot[None], screen: MainScreen, scheduler: Scheduler, n: int) -> None:
    """Submits what is next, and has `n` jobs vanish from the queue."""
    await pilot.press("S")
    await confirm(pilot)
    await until(pilot, lambda: len(scheduler.live) >= n, "submitted")
    scheduler.lose_sight(*list(scheduler.live)[:n])
    await until(
        pilot,
        lambda: screen.state.snapshot is not None and len(screen.state.snapshot.missing) == n,
        "missing",
    )


def line(screen: MainScreen, name: str) -> str:
    """The text of a title line."""
    return screen.query_one(f"#{name}", TextLine).text


def key_name(character: str) -> str:
    """Textual's name of the key that types a character."""
    from textual.keys import _character_to_key

    return _character_to_key(character)
