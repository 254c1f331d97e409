"""TerminalApp: an app that sends few bytes, delivers keys in turn, and restores the terminal however it ends.

It is the one class that takes part in how Textual runs an app. The work is done by objects: `FrameBuffer`
sends only what changed, `FlowControl` no more than the line takes, `KeySequencer` delivers the keys.
Everything runs in the event loop of the main thread; only the driver's threads read and write the terminal.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.screen import Screen

from .flow_control import FlowControl
from .frame_buffer import FrameBuffer
from .key_sequencer import GuardedDialog, KeySequencer
from .shutdown import exit_on_signals, exit_without_terminal
from .style_encoding import CONTRAST, StyleEncoder
from .textual_compat import driver_class, intercept_crash, intercept_updates, is_typed

log = logging.getLogger(__name__)

Result = TypeVar("Result")
T = TypeVar("T")


class TerminalApp(App[Result], Generic[Result]):
    """Textual's app; a signal or an error of its own ends it like `q`, with another exit status.

    Args:
        flow_control: whether to measure the terminal's speed and hold back what a slow line does not take.
        speed_measured: called once with whether the line is slow.
    """

    def __init__(
        self, *, flow_control: bool = True, speed_measured: Callable[[bool], None] = lambda slow: None
    ) -> None:
        with _without("NO_COLOR"):  # Textual would send shades of grey
            super().__init__()
        self.frame = FrameBuffer(StyleEncoder(colours=not os.environ.get("NO_COLOR"), contrast=CONTRAST))
        self.flow = FlowControl(self, enabled=flow_control, speed_measured=speed_measured)
        self.keys = KeySequencer(self, super().on_event)
        self.error: BaseException | None = None
        """The error that ended it."""
        intercept_updates(self, self._paint)
        intercept_crash(self, self._crash)

    def get_driver_class(self) -> type[Driver]:
        return driver_class(super().get_driver_class())

    def on_load(self) -> None:
        exit_on_signals(self)

    def on_mount(self) -> None:
        exit_without_terminal(self)
        self.app_resume_signal.subscribe(self, self._resume)

    def _resume(self, _: object) -> None:
        """Paint the whole screen again: others had the terminal, and the answers to what was asked."""
        self.flow.restart()
        self.repaint_all()

    async def on_event(self, event: events.Event) -> None:
        """Deliver an event. No handler, but the method that calls them: Textual does not call the base's."""
        if is_typed(event):
            self.keys.put(event)
        else:
            await super().on_event(event)

    def on_cursor_position(self, event: events.Event) -> None:
        """The terminal has drawn what was sent before it was asked."""
        self.flow.on_reply(event.time)

    def on_resize(self) -> None:
        self.frame.invalidate()  # terminals differ in what they keep of the screen

    def repaint_all(self) -> None:
        """Send the whole screen, whatever the terminal is believed to show."""
        self.frame.invalidate()
        self.screen.refresh()

    def _paint(self, screen: Screen[object], update: object, send: Callable[[object], object]) -> None:
        is_first = isinstance(screen, GuardedDialog) and screen.painted_at is None
        if isinstance(screen, GuardedDialog) and is_first and update and self.flow.is_painting:
            screen.painted_at = time.monotonic()
            self.flow.notify_when_drawn(screen.mark_drawn)
        self.flow.before_update(update)
        self.frame.encoder.use(self.current_theme)
        send(self.frame.minimize(update, self.flow.on_sent))
        self.flow.after_update()

    def _crash(self) -> None:
        if self.error is None:
            self.error = sys.exc_info()[1]
            log.critical("the dashboard ends by an error", exc_info=True)
        self.panic()

    def exit_status(self) -> int:
        """Return the exit status.

        Raises:
            BaseException: the error that ended the app; the command line prints it as one line.
        """
        if self.error is not None:
            raise self.error
        return self.return_code or 0


def run_app(app: TerminalApp[Result], *, mouse: bool) -> Result | None:
    """Run an app on the terminal to its end. An error that ended it is in its `error`."""
    result = app.run(mouse=mouse)
    app.flow.drain_reply()
    return result


def discard_typeahead(app: App[Any]) -> None:
    """Discard buffered keystrokes that were meant for a prompt which did not open."""
    if isinstance(app, TerminalApp):
        app.keys.discard_typeahead()


async def hold_keys_during(app: App[Any], reading: Awaitable[T]) -> T:
    """Await what decides where the next keys go, and hold them back meanwhile."""
    return await (app.keys.hold_keys_during(reading) if isinstance(app, TerminalApp) else reading)


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Remove a variable from the environment for a moment."""
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value


def use_terminal_size() -> None:
    """Use the size that the terminal reports, where it does, and not the environment's, which never changes.

    Call it before an app is made.
    """
    for descriptor in (0, 1, 2):
        try:
            columns, rows = os.get_terminal_size(descriptor)
        except OSError:
            continue
        if columns > 0 and rows > 0:
            os.environ.pop("COLUMNS", None)
            os.environ.pop("LINES", None)
            return
