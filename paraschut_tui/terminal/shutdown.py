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

from .textual_compat import is_on_terminal

LOOK = 2.0
"""Seconds between two looks at whether the terminal is still there."""


def _ending_signals() -> frozenset[int]:
    """The signals that end a process which does not handle them, but for those that tell of its own errors
    (SIGSEGV and its like cannot be handled) and those that Python handles."""
    kept = {"KILL", "STOP", "CHLD", "CONT", "TSTP", "TTIN", "TTOU", "URG", "WINCH", "PIPE", "XFSZ"}
    kept |= {"SEGV", "BUS", "FPE", "ILL", "ABRT", "IOT", "TRAP", "SYS", "CLD", "INFO", "EMT"}
    named = {number for number in signal.Signals if number.name.removeprefix("SIG") not in kept}
    first, last = getattr(signal, "SIGRTMIN", 0), getattr(signal, "SIGRTMAX", 0)
    return frozenset({*map(int, named), *(range(first, last + 1) if first else ())})


ENDING_SIGNALS = _ending_signals()


def heed_signals(app: App[Any]) -> None:
    """Have `app` exit on each signal that would end it, so that the terminal is restored; the exit status is
    128 and the signal. To be called before it takes the terminal."""
    loop = asyncio.get_running_loop()
    for number in ENDING_SIGNALS:
        try:
            loop.add_signal_handler(number, _leave, app, number)
        except OSError:
            continue  # the C library keeps this one for itself
        except (RuntimeError, ValueError):
            return  # not in the main thread (a test): signals are somebody else's business


def watch_terminal(app: App[Any]) -> None:
    """Have `app` exit when its terminal is gone. To be called once it runs."""
    if is_on_terminal(app) and sys.__stdin__ is not None:
        # Who is not the terminal's own session gets no SIGHUP, and Textual would read its end over and over.
        descriptor = sys.__stdin__.fileno()
        app.set_interval(LOOK, lambda: None if os.isatty(descriptor) else _leave(app, signal.SIGHUP))


def _leave(app: App[Any], number: int) -> None:
    app.exit(return_code=128 + number)


class _LossTolerantStream:
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
def tolerate_lost_terminal() -> Iterator[None]:
    """While an app runs: Textual's thread that writes would die of a terminal that is gone, its queue fill
    up, and the app wait for ever to put in what restores the terminal."""
    file = sys.__stderr__
    # By name, for typeshed calls it final: it is where Textual's driver takes the terminal from.
    setattr(sys, "__stderr__", cast(Any, _LossTolerantStream(file)) if file is not None else None)  # noqa: B010
    try:
        yield
    finally:
        setattr(sys, "__stderr__", file)  # noqa: B010
