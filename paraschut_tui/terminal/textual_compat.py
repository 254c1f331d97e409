"""All that the dashboard uses of Textual without its being documented, each with a reason and a guard.

Where a later Textual has one of these no longer, the dashboard works on with what Textual does by itself: it
sends more bytes, or loses what the reason beside the hook says. `HOOKS` names each one for a test.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import termios
import time
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message
from textual.screen import Screen

from .tokenizer import Token, Tokenizer, TokenKind

try:  # to send only the columns that changed (`tight`)
    from textual._compositor import ChopsUpdate as ChopsUpdate
    from textual._compositor import LayoutUpdate as LayoutUpdate
except ImportError:
    ChopsUpdate = LayoutUpdate = None  # type: ignore[assignment,misc]  # the names stand for "unknown" then

try:  # to read keys and reports out of sequences that the tokenizer found to be complete
    from textual._xterm_parser import XTermParser
except ImportError:
    XTermParser = None  # type: ignore[assignment,misc]  # as above

log = logging.getLogger(__name__)

HOOKS: tuple[tuple[type, str], ...] = (
    (App, "_display"),  # overridden: paints are made tight, held back, and seen by questions
    (App, "_fatal_error"),  # overridden: a crash is one line, its traceback in the log
    (Screen, "_push_result_callback"),  # called: a database is opened in place of the first screen
    (LinuxDriver, "run_input_thread"),  # overridden: keys come through the tokenizer
    (LinuxDriver, "_get_terminal_size"),  # overridden: the terminal knows its size, not the environment
    (LinuxDriver, "_sigcont_application"),  # overridden: no second reader after a stop that nobody announced
    (LinuxDriver, "_sigtstp_application"),  # overridden: nothing to leave before the terminal is taken
)
"""Methods that Textual does not document."""

FIELDS: tuple[tuple[type, str], ...] = (
    (App, "_driver"),  # read: whether there is a terminal; it is asked for the cursor behind a paint
    (App, "_batch_count"),  # read: whether what changes is painted now
    (LinuxDriver, "fileno"),
    (LinuxDriver, "exit_event"),
    (LinuxDriver, "_key_thread"),
    (LinuxDriver, "_auto_restart"),
)
"""Fields that Textual does not document, set when an object is made."""

UNREADABLE = "unreadable"
"""The name of the key that stands for bytes that are none. Nothing is bound to it."""

LOOK = 0.1
"""Seconds between two looks at whether reading is to end."""


def driver_of(app: App[Any]) -> Driver | None:
    """The driver that an app draws with; None: it does not run, or that cannot be told."""
    driver = getattr(app, "_driver", None)
    return driver if isinstance(driver, Driver) else None


def is_on_terminal(app: App[Any]) -> bool:
    """Whether an app has a terminal of its own, not a browser and not a test."""
    return isinstance(driver_of(app), LinuxDriver)


def is_batching(app: App[Any]) -> bool:
    """Whether an app gathers changes instead of painting them."""
    return bool(getattr(app, "_batch_count", 0))


def take_first_place(screen: Screen[object]) -> None:
    """Let the first screen be switched for another. Nothing waits for its result, and Textual expects that to
    be said."""
    push = getattr(screen, "_push_result_callback", None)
    if push is not None:
        push(screen, None)


class TerminalReader:
    """Makes Textual's messages of a terminal's bytes."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer()
        self._parser = XTermParser()

    @property
    def deadline(self) -> float | None:
        """When `idle` is to be called next (`time.monotonic`)."""
        return self._tokenizer.deadline

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes in; return what they are."""
        return [
            message
            for token in self._tokenizer.feed(data, time.monotonic())
            for message in self._messages(token)
        ]

    def idle(self) -> list[Message]:
        """Return what is complete because nothing more came."""
        return [
            message for token in self._tokenizer.idle(time.monotonic()) for message in self._messages(token)
        ]

    def _messages(self, token: Token) -> list[Message]:
        if token.kind is TokenKind.ESCAPE:
            return [events.Key("escape", "\x1b")]
        if token.kind is TokenKind.PASTE:
            return [events.Paste(token.text)]
        if token.kind is TokenKind.UNREADABLE:
            return [events.Key(UNREADABLE, None)]
        found = list(self._parsed(token.text))
        if token.kind is TokenKind.CHARACTER:
            return found or [events.Key(UNREADABLE, None)]
        if not found:
            # It knows no such sequence and may wait for more of it: here there is no more.
            self._renew_parser()
            mouse = token.text[-1] in "mM" and not token.text.startswith("\x1bO")
            return [] if mouse else [events.Key(UNREADABLE, None)]
        return found

    def _parsed(self, text: str) -> Iterator[Message]:
        try:
            yield from list(self._parser.feed(text))
        except Exception as error:  # noqa: BLE001 - whatever a parser makes of foreign bytes, the next key counts
            log.debug("a terminal sent %r: %r", text, error)
            self._renew_parser()

    def _renew_parser(self) -> None:
        old, self._parser = self._parser, XTermParser()
        for name in ("last_x", "last_y", "mouse_pixels", "terminal_size", "terminal_pixel_size"):
            if hasattr(old, name):
                setattr(self._parser, name, getattr(old, name))


class BrowserParser:
    """Stands in for Textual's parser where a browser is the terminal."""

    def __init__(self, debug: bool = False) -> None:
        self._reader = TerminalReader()

    def feed(self, data: str) -> Iterable[Message]:
        """Take text in; return what it is."""
        return self._reader.feed(data.encode("utf-8", "replace"))

    def tick(self) -> Iterable[Message]:
        """Return what is complete because nothing more came."""
        return self._reader.idle()


def read_by_tokens(drivers: ModuleType) -> None:
    """Have a module of drivers read through the tokenizer, if it names the parser as Textual 8 does."""
    if XTermParser is not None and hasattr(drivers, "XTermParser"):
        setattr(drivers, "XTermParser", BrowserParser)  # noqa: B010 - no name that typing knows


class TerminalDriver(LinuxDriver):
    """Textual's driver, which however reads through the tokenizer and has one reader at any time."""

    _opening: list[str] | None = None
    """What is written to take the terminal; None unless that is under way."""
    _modes: tuple[str, ...] = ()
    """What sets the terminal's modes as Textual wants them."""
    _raw: list[object] | None = None
    """The terminal's attributes while Textual has it."""

    def write(self, data: str) -> None:
        if self._opening is not None:
            self._opening.append(data)
        super().write(data)

    def start_application_mode(self) -> None:
        self._opening = []
        try:
            super().start_application_mode()  # type: ignore[no-untyped-call]  # Textual has no types there
        finally:
            # Questions, and what pushes upon a stack, are not to be said twice.
            self._modes = tuple(text for text in self._opening if text[-1:] in ("h", "l"))
            self._opening = None
        self._raw = self._attributes()

    def _attributes(self) -> list[object] | None:
        try:
            return list(termios.tcgetattr(self.fileno))
        except (OSError, termios.error):
            return None

    def _get_terminal_size(self) -> tuple[int, int]:
        for descriptor in (self.fileno, 1, 2):
            try:
                columns, rows = os.get_terminal_size(descriptor)
            except OSError:
                continue
            if columns > 0 and rows > 0:
                return columns, rows
        return super()._get_terminal_size()

    # ------------------------------------------------------------------ stopped and continued

    @property
    def _has_terminal(self) -> bool:
        thread = getattr(self, "_key_thread", None)
        return thread is not None and thread.is_alive()

    def _sigtstp_application(self, *arguments: object) -> None:
        if self._has_terminal:
            super()._sigtstp_application(*arguments)
        else:
            os.kill(os.getpid(), signal.SIGSTOP)

    def _sigcont_application(self, *arguments: object) -> None:
        """Stopped by Textual: it starts again. Else (SIGSTOP, or not stopped at all) what it started still
        runs; only the terminal may have been somebody else's meanwhile."""
        if self._opening is not None or not getattr(self, "_auto_restart", True):
            return  # it is being started, or whoever stopped it starts it
        if _in_background(self.fileno):
            os.kill(os.getpid(), signal.SIGSTOP)  # the shell has the terminal; `fg` continues it once more
        elif self._has_terminal:
            self._take_again()
        else:
            super()._sigcont_application(*arguments)

    def _take_again(self) -> None:
        if self._raw is not None:
            try:
                termios.tcsetattr(self.fileno, termios.TCSANOW, self._raw)  # type: ignore[arg-type]  # as read
            except (OSError, termios.error):
                pass  # the terminal is gone: that is noticed elsewhere
        for text in self._modes:
            self.write(text)
        self.send_message(self.SignalResume())

    # ------------------------------------------------------------------ reading

    def run_input_thread(self) -> None:
        if XTermParser is None or not all(hasattr(self, name) for name in ("fileno", "exit_event")):
            super().run_input_thread()
            return
        reader = TerminalReader()
        poll = select.poll()
        poll.register(self.fileno, select.POLLIN)
        while not self.exit_event.is_set():
            deadline = reader.deadline
            wait = LOOK if deadline is None else min(max(deadline - time.monotonic(), 0.0), LOOK)
            if not poll.poll(wait * 1000):
                found = reader.idle()
            else:
                try:
                    data = os.read(self.fileno, 4096)
                except OSError:
                    data = b""
                if not data:  # the terminal is gone, or not ours now
                    self.exit_event.wait(LOOK)
                found = reader.feed(data)
            for message in found:
                self.process_message(message)


def driver_class(chosen: type[Driver]) -> type[Driver]:
    """Our driver in place of Textual's for terminals, if all that it leans on is there."""
    complete = all(hasattr(LinuxDriver, name) for owner, name in HOOKS if owner is LinuxDriver)
    return TerminalDriver if chosen is LinuxDriver and complete else chosen


def _in_background(descriptor: int) -> bool:
    try:
        return os.tcgetpgrp(descriptor) not in (os.getpgrp(), 0)
    except OSError:
        return False
