"""Parting: an app that ends by a signal, or without its terminal, leaves as if by `q`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from textual.app import App

LOOK = 2.0
"""Seconds between two looks at whether the terminal is still there."""


def part_well(app: App[Any]) -> None:
    """Has `app` exit on SIGTERM and SIGHUP, so that the terminal is restored, and when its terminal is gone;
    the exit status tells the signal. To be called once it runs."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        try:
            loop.add_signal_handler(number, _leave, app, number)
        except (RuntimeError, ValueError):
            return  # not in the main thread (a test): signals are somebody else's business
    if type(app._driver).__name__ == "LinuxDriver" and sys.__stdin__ is not None:
        # Who is not the terminal's own session gets no SIGHUP, and Textual would read its end over and over.
        descriptor = sys.__stdin__.fileno()
        app.set_interval(LOOK, lambda: None if os.isatty(descriptor) else _leave(app, signal.SIGHUP))


def _leave(app: App[Any], number: int) -> None:
    app.exit(return_code=128 + number)


class _Patient:
    """A terminal that may go away: what is written to it then is lost, and nobody fails for it."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError:
            pass  # as above


@contextmanager
def patient_terminal() -> Iterator[None]:
    """While an app runs: Textual's thread that writes would die of a terminal that is gone, its queue fill
    up, and the app wait for ever to put in what restores the terminal."""
    file = sys.__stderr__
    # By name, for typeshed calls it final: it is where Textual's driver takes the terminal from.
    setattr(sys, "__stderr__", cast(Any, _Patient(file)) if file is not None else None)  # noqa: B010
    try:
        yield
    finally:
        setattr(sys, "__stderr__", file)  # noqa: B010
