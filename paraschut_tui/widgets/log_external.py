"""Opening a log in the user's own pager or editor, with the dashboard out of the way meanwhile."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from textual.app import App, SuspendNotSupported

from paraschut_core.text import clean_line


def pager(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The user's pager as the beginning of an argument list: $PAGER, else less that shows colours."""
    return _command(environment, ("PAGER",), ["less", "-R"])


def editor(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The user's editor: $VISUAL, $EDITOR, else vi."""
    return _command(environment, ("VISUAL", "EDITOR"), ["vi"])


def _command(environment: Mapping[str, str], names: tuple[str, ...], default: list[str]) -> list[str]:
    for name in names:
        try:
            # Never a shell: a log's path may hold anything.
            words = shlex.split(environment.get(name, ""))
        except ValueError:  # unbalanced quotes: as good as not set
            continue
        if words:
            return words
    return default


def open_with(app: App[object], command: list[str], path: str) -> str:
    """Runs `command` on a log until it ends; returns what went wrong, "" if nothing did."""
    try:
        with app.suspend(), _interrupts_are_for_the_program():
            status = subprocess.run([*command, os.path.abspath(path)], check=False).returncode
    except SuspendNotSupported:
        return "other programs cannot be opened from this terminal"
    except OSError as error:
        return clean_line(f"{command[0]} cannot be started: {error.strerror or error}")
    return "" if status == 0 else clean_line(f"{command[0]} ended with status {status}")


@contextmanager
def _interrupts_are_for_the_program() -> Iterator[None]:
    """Ctrl+C in a pager reaches us too, being of the same terminal: it must not end the dashboard.

    A handler that does nothing, rather than SIG_IGN, because the program would inherit the latter.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT)}
    for number in before:
        signal.signal(number, lambda number, frame: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: a handler that was not set from Python, and that Python cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
