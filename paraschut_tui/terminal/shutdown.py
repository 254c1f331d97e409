"""Shut down cleanly on SIGTERM, SIGHUP and their like, or when the terminal goes away."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from textual.app import App

from .textual_compat import is_on_terminal

CHECK_SECONDS = 2.0
"""Seconds between two checks of whether the terminal is still there."""


def _ending_signals() -> frozenset[int]:
    """Return the signals that end a process which does not handle them, except those that report its own
    errors (SIGSEGV and its like cannot be handled) and those that Python handles."""
    kept = {"KILL", "STOP", "CHLD", "CONT", "TSTP", "TTIN", "TTOU", "URG", "WINCH", "PIPE", "XFSZ"}
    kept |= {"SEGV", "BUS", "FPE", "ILL", "ABRT", "IOT", "TRAP", "SYS", "CLD", "INFO", "EMT"}
    named = {number for number in signal.Signals if number.name.removeprefix("SIG") not in kept}
    first, last = getattr(signal, "SIGRTMIN", 0), getattr(signal, "SIGRTMAX", 0)
    return frozenset({*map(int, named), *(range(first, last + 1) if first else ())})


ENDING_SIGNALS = _ending_signals()


def exit_on_signals(app: App[Any]) -> None:
    """Let `app` exit on each signal that would end it, so that the terminal is restored.

    The exit status is 128 plus the signal's number. Call it before the app takes the terminal.
    """
    loop = asyncio.get_running_loop()
    for number in ENDING_SIGNALS:
        try:
            loop.add_signal_handler(number, _exit, app, number)
        except OSError:
            continue  # the C library keeps this one for itself
        except (RuntimeError, ValueError):
            return  # not in the main thread (a test), where signals cannot be handled


def exit_without_terminal(app: App[Any]) -> None:
    """Let `app` exit when its terminal is gone. Call it once the app runs."""
    if is_on_terminal(app) and sys.__stdin__ is not None:
        # A process outside the terminal's session receives no SIGHUP; without this check Textual would read
        # the end of its input over and over.
        descriptor = sys.__stdin__.fileno()
        app.set_interval(CHECK_SECONDS, lambda: None if os.isatty(descriptor) else _exit(app, signal.SIGHUP))


def _exit(app: App[Any], number: int) -> None:
    app.exit(return_code=128 + number)
