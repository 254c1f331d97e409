"""TerminalApp: an app that reads through the tokenizer and leaves the terminal as it was, however it ends."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from textual.app import App
from textual.driver import Driver

from .shutdown import heed_signals, tolerate_lost_terminal, watch_terminal
from .style_encoding import CONTRAST, StyleEncoder
from .textual_compat import driver_class

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class TerminalApp(App[Result], Generic[Result]):
    """Textual's app; a signal or an error of its own ends it like `q`, with another exit status."""

    def __init__(self) -> None:
        with _without("NO_COLOR"):  # Textual would send shades of grey
            super().__init__()
        self.ink = StyleEncoder(colours=not os.environ.get("NO_COLOR"), contrast=CONTRAST)

    fault: BaseException | None = None
    """The error that ended it."""

    def get_driver_class(self) -> type[Driver]:
        return driver_class(super().get_driver_class())

    def on_load(self) -> None:
        heed_signals(self)

    def on_mount(self) -> None:
        watch_terminal(self)

    def _fatal_error(self) -> None:
        """Called by Textual where an error was handled by nothing: within its `except`."""
        if self.fault is None:
            self.fault = sys.exc_info()[1]
            log.critical("the dashboard ends by an error", exc_info=True)
        self.panic()

    def exit_status(self) -> int:
        """Return the exit status.

        Raises:
            BaseException: the error that ended the app; the command line tells it in one line.
        """
        if self.fault is not None:
            raise self.fault
        return self.return_code or 0


def run_app(app: TerminalApp[Result], *, mouse: bool) -> Result | None:
    """Run an app on the terminal to its end. If an error ended it, this is in its `fault`."""
    with tolerate_lost_terminal():
        return app.run(mouse=mouse)


@contextmanager
def _without(name: str) -> Iterator[None]:
    """For a moment, the environment has no such variable."""
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value


def use_own_size() -> None:
    """Have the terminal say its size, where it knows it, and not the environment, which never changes.

    To be called before an app is made.
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
