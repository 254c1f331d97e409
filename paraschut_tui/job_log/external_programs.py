"""The log outside of the dashboard: in the user's pager or editor, as plain text, in tmux's buffer."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from textual.app import App, SuspendNotSupported

from paraschut_core.moved_projects import found
from paraschut_core.sanitize import clean, clean_line

_TMUX_SECONDS = 5
_LINE_EDITORS = frozenset({"vi", "vim", "nvim", "view", "nano", "emacs", "emacsclient", "micro", "ne", "joe"})


class FilePosition(NamedTuple):
    """Where in the file to begin: the byte `offset`, line `line` (0: not known); or at its end."""

    offset: int = 0
    line: int = 0
    end: bool = False


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


def arguments(command: list[str], path: str, spot: FilePosition) -> list[str]:
    """The whole argument list: in programs that are known to do so, the log opens at the same place."""
    # An absolute path begins with a slash, and so is never taken for an option; not all programs know `--`.
    path = os.path.abspath(found(path))
    name = os.path.basename(command[0])
    if name == "less":
        return [*command, "+G" if spot.end else f"+{spot.offset}P", path]
    if name in _LINE_EDITORS and spot.line:
        return [*command, f"+{spot.line}", path]
    return [*command, path]


def open_with(app: App[object], command: list[str], path: str, spot: FilePosition = FilePosition()) -> str:  # noqa: B008 - immutable
    """Run `command` on a log until it ends; return what went wrong, "" if nothing did."""
    if shutil.which(command[0]) is None:
        return clean_line(f"{command[0]} is not installed, or not in PATH")
    try:
        with app.suspend(), _interrupts_are_for_the_program():
            status = subprocess.run(arguments(command, path, spot), check=False).returncode
    except SuspendNotSupported:
        return "other programs cannot be opened from this terminal"
    except OSError as error:
        return clean_line(f"{command[0]} cannot be started: {error.strerror or error}")
    return "" if status == 0 else clean_line(f"{command[0]} ended with status {status}")


def print_plainly(app: App[object], text: str) -> str:
    """Print text on the bare terminal, where its own mouse selects, until Enter; "" or what went wrong.

    For terminals that do not let programs write the clipboard.
    """
    try:
        with app.suspend(), _interrupts_are_for_the_program():
            sys.stdout.write(clean(text).rstrip("\n") + "\n\n[select and copy; Enter goes back] ")
            sys.stdout.flush()
            sys.stdin.readline()
    except SuspendNotSupported:
        return "this terminal cannot be written on directly"
    except OSError as error:
        return clean_line(f"the terminal cannot be written on: {error.strerror or error}")
    return ""


def to_tmux(text: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Put text into tmux's paste buffer, and by it into the terminal's clipboard; False: there is no tmux.

    By default tmux does not pass on what a program within it wants in the clipboard. May block: for a thread.
    """
    if not environment.get("TMUX") or shutil.which("tmux") is None:
        return False
    for options in (["-w"], []):  # older ones know no -w
        try:
            done = subprocess.run(
                ["tmux", "load-buffer", *options, "-"],
                input=text.encode("utf-8", "replace"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_TMUX_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        if done.returncode == 0:
            return True
    return False


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
