"""Everything that the tests use of Textual without its being documented; one test asserts the list."""

from __future__ import annotations

from typing import Any

from textual._compositor import Compositor
from textual.app import App
from textual.events import MouseEvent
from textual.pilot import Pilot
from textual.screen import Screen

HOOKS = (
    (Compositor, "render_strips"),  # called: the lines of a screen
    (Compositor, "render_full_update"),  # called: the update that paints a whole screen
    (Pilot, "_post_mouse_events"),  # called: the mouse moves with a button held down
    (Pilot, "_wait_for_screen"),  # called: waits for the effects of a key alone, where time is measured
)
FIELDS = ((App, "_notifications"), (Screen, "_compositor"))


def screen_lines(app: App[Any]) -> list[str]:
    """The lines of an app's screen as they are painted."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


def screen_text(app: App[Any]) -> str:
    """An app's screen as it is painted."""
    return "\n".join(screen_lines(app))


def full_update(app: App[Any]) -> object:
    """The update that paints an app's whole screen."""
    return app.screen._compositor.render_full_update()


def toasts(app: App[Any]) -> list[str]:
    """The messages of the toasts that an app shows."""
    return [notification.message for notification in app._notifications]


async def drag(pilot: Pilot[Any], event: type[MouseEvent], offset: tuple[int, int]) -> None:
    """Post an event of the mouse with its button held down."""
    await pilot._post_mouse_events([event], offset=offset, button=1)


async def wait_for_screen(pilot: Pilot[Any]) -> None:
    """Wait until the screen has processed its messages, and for nothing else."""
    await pilot._wait_for_screen()
