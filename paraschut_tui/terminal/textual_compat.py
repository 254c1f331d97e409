"""Everything that the dashboard uses of Textual without its being documented: a reason and a guard for each.

If a later Textual lacks one of these, the dashboard works on with what Textual does by itself. It then sends
more bytes, or loses what the reason beside the hook names. `HOOKS` and `FIELDS` list them for one test.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import termios
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from rich.console import Console
from textual import events
from textual.app import App
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Region, Size
from textual.message import Message
from textual.message_pump import MessagePump
from textual.reactive import Reactive
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from .tokenizer import Token, Tokenizer, TokenKind

try:  # to send only the columns that changed (`frame_buffer`)
    from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
except ImportError:
    if not TYPE_CHECKING:

        class CompositorUpdate:
            """Stands for a class that Textual no longer has: no update is one."""

        ChopsUpdate = LayoutUpdate = CompositorUpdate

try:  # to read keys and reports out of sequences that the tokenizer found to be complete
    from textual._xterm_parser import XTermParser
except ImportError:
    XTermParser = None  # type: ignore[assignment,misc]  # the name stands for "unknown" then

log = logging.getLogger(__name__)

HOOKS: tuple[tuple[object, str], ...] = (
    (App, "_display"),  # wrapped: updates are made smaller and held back; a dialog learns that it is painted
    (App, "_fatal_error"),  # wrapped: a crash is one line; its traceback goes to the log
    (App, "on_event"),  # overridden: keys take turns (public, but its part in delivery is not documented)
    (events.Event, "is_forwarded"),  # read: whether a key comes from the driver or back from a widget
    (events, "CursorPosition"),  # "internal": the terminal's answer, by which its speed is measured
    (MessagePump, "message_queue_size"),  # read: whether what a key did is done
    (MessagePump, "check_idle"),  # called: paints what changed while updates were held back
    (Screen, "_push_result_callback"),  # called: a database is opened in place of the first screen
    (Screen, "_on_resize"),  # prevented: two sizes under way would chase each other
    (Screen, "focused"),  # declared again: a moved focus repaints two lines, not the screen
    (Widget, "_on_focus"),  # prevented: it repaints the whole widget
    (Widget, "_on_blur"),  # as above
    (Widget, "virtual_size"),  # set without its watcher, which lays out the whole screen
    (LinuxDriver, "run_input_thread"),  # overridden: keys come through the tokenizer
    (LinuxDriver, "_get_terminal_size"),  # overridden: the terminal knows its size, not the environment
    (LinuxDriver, "_sigcont_application"),  # overridden: no second reader after an unannounced stop
    (LinuxDriver, "_sigtstp_application"),  # overridden: nothing to leave before the terminal is taken
)
"""Methods, properties and classes that Textual does not document."""

FIELDS: tuple[tuple[type, str], ...] = (
    (App, "_driver"),  # read: whether there is a terminal, which is asked for its cursor behind an update
    (App, "_batch_count"),  # read: whether changes are painted now
    (ChopsUpdate, "chops"),  # read: the pieces of the lines that changed, by column
    (ChopsUpdate, "spans"),  # read: the columns that changed
    (ChopsUpdate, "chop_ends"),  # read: where each piece ends
    (LayoutUpdate, "strips"),  # read: the lines of the whole screen
    (LayoutUpdate, "region"),  # read: where they are
    (LinuxDriver, "fileno"),  # read from
    (LinuxDriver, "exit_event"),  # read: whether reading is to end
    (LinuxDriver, "_file"),  # wrapped: a terminal that goes away stops nothing
    (LinuxDriver, "_key_thread"),  # read: whether this process has the terminal
    (LinuxDriver, "_auto_restart"),  # read: whether Textual takes the terminal again
)
"""Fields that Textual does not document, set when an object is made."""

UNREADABLE = "unreadable"
"""The name of the key that stands for bytes that are no key. Nothing is bound to it."""

CHECK_SECONDS = 0.1
"""Seconds between two checks of whether reading is to end."""

Result = TypeVar("Result")


# ------------------------------------------------------------------------------------ the app


def driver_of(app: App[Any]) -> Driver | None:
    """Return the driver that an app draws with, or None if it does not run or Textual has no such field."""
    driver = getattr(app, "_driver", None)
    return driver if isinstance(driver, Driver) else None


def is_on_terminal(app: App[Any]) -> bool:
    """Return whether an app has a terminal of its own, not a browser and not a test."""
    return isinstance(driver_of(app), LinuxDriver)


def answers_questions(app: App[Any]) -> bool:
    """Return whether an app's terminal can be asked for its cursor's position, and the answer arrives."""
    return is_on_terminal(app) and hasattr(events, "CursorPosition")


def is_batching(app: App[Any]) -> bool:
    """Return whether an app gathers changes instead of painting them."""
    return bool(getattr(app, "_batch_count", 0))


def is_typed(event: events.Event) -> bool:
    """Return whether an event is a key or a pasted text that comes from the driver."""
    return isinstance(event, (events.Key, events.Paste)) and not getattr(event, "is_forwarded", False)


def intercept_updates(
    app: App[Any], paint: Callable[[Screen[object], object, Callable[[object], object]], None]
) -> None:
    """Have `paint(screen, update, send)` called for each update of the screen, in place of sending it.

    Args:
        paint: gets the update as Textual made it (None: nothing changed), and what sends one.
    """
    original = getattr(app, "_display", None)
    if original is None:
        return

    def display(screen: Screen[object], update: object, *others: object) -> None:
        paint(screen, update, lambda smaller: original(screen, smaller, *others))

    setattr(app, "_display", display)  # noqa: B010 - typing does not know that a method may be replaced


def intercept_crash(app: App[Any], crash: Callable[[], None]) -> None:
    """Have `crash` called where an error was handled by nothing, within its `except`, in place of a traceback
    on the terminal."""
    if hasattr(app, "_fatal_error"):
        setattr(app, "_fatal_error", crash)  # noqa: B010 - as above


def allow_switching(screen: Screen[object]) -> None:
    """Let the first screen be switched for another. Textual expects a callback that takes its result."""
    push = getattr(screen, "_push_result_callback", None)
    if push is not None:
        push(screen, None)


# ------------------------------------------------------------------------------------ updates of the screen


class ScreenPiece(NamedTuple):
    """A text that an update puts on the screen, from column `x` of row `y` on."""

    x: int
    y: int
    strip: Strip


class SmallerUpdate(CompositorUpdate):
    """An update of the screen that sends other bytes for the same pieces.

    Args:
        update: as Textual made it.
        write: makes the bytes of the pieces; None: the update is sent as it is.
            The pieces are None if Textual keeps them in fields of other names.
    """

    def __init__(
        self,
        update: CompositorUpdate,
        write: Callable[[Sequence[ScreenPiece] | None, Console], str | None],
    ) -> None:
        self._update = update
        self._write = write

    def render_segments(self, console: Console) -> str:
        text = self._write(_pieces_of(self._update), console)
        return self._update.render_segments(console) if text is None else text


def smaller_update(
    update: object, write: Callable[[Sequence[ScreenPiece] | None, Console], str | None]
) -> object:
    """Return a `SmallerUpdate`, or `update` itself if it is of no known kind."""
    if isinstance(update, CompositorUpdate) and type(update) in (LayoutUpdate, ChopsUpdate):
        return SmallerUpdate(update, write)
    return update


def regions_of(update: object) -> list[Region] | None:
    """Return where an update changes the screen, or None: perhaps everywhere."""
    if type(update) is not ChopsUpdate:
        return None
    try:
        return [Region(left, y, right - left, 1) for y, left, right in update.spans]
    except (AttributeError, TypeError, ValueError):
        return None


def _pieces_of(update: CompositorUpdate) -> list[ScreenPiece] | None:
    try:
        return list(_pieces_of_screen(update) if type(update) is LayoutUpdate else _pieces_of_spans(update))
    except (AttributeError, TypeError, ValueError, LookupError):
        log.debug("the pieces of %r are not known", type(update), exc_info=True)
        return None


def _pieces_of_screen(update: Any) -> Iterator[ScreenPiece]:
    for y, strips in enumerate(update.strips, update.region.y):
        x = update.region.x
        for strip in strips:
            yield ScreenPiece(x, y, strip)
            x += strip.cell_length


def _pieces_of_spans(update: Any) -> Iterator[ScreenPiece]:
    for y, left, right in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is None or x >= right or end <= left:
                continue
            first, last = max(x, left), min(end, right)
            yield ScreenPiece(first, y, strip.crop(first - x, last - x))


# ------------------------------------------------------------------------------------ screens and widgets


class SteadyScreen(Screen[Result], Generic[Result]):
    """A screen that is laid out once for the terminal's size and repaints little when the focus moves.

    Textual's screen posts to itself each size that it was laid out for, and is laid out for each size that it
    gets. Two sizes under way, as from a terminal that does not know its own, would chase each other for ever.
    """

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """As Textual's own, which however repaints the whole screen when the focus moves."""

    def on_resize(self, event: events.Resize) -> None:
        if event.size != self.app.size:
            event.prevent_default()


def focus_quietly(widget: Widget, event: events.Focus | events.Blur) -> None:
    """Handle an event of the focus without repainting the widget, which Textual does.

    To be called by the widget's `on_focus` and `on_blur`.
    """
    event.prevent_default()
    has_focus = isinstance(event, events.Focus)
    widget.has_focus = has_focus
    if widget.parent is not None:
        widget.parent.post_message((events.DescendantFocus if has_focus else events.DescendantBlur)(widget))


def resize_quietly(view: ScrollView, size: Size) -> None:
    """Set the size of what scrolls without laying out the whole screen, unless a scroll bar is to change."""
    if size == view.virtual_size:
        return
    if view.styles.scrollbar_size_vertical:
        view.virtual_size = size
    else:
        view.set_reactive(ScrollView.virtual_size, size)


# ------------------------------------------------------------------------------------ keys


class TerminalReader:
    """Turn a terminal's bytes into Textual's messages."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer()
        self._parser = XTermParser()

    @property
    def deadline(self) -> float | None:
        """When to call `idle` next (`time.monotonic`), or None."""
        return self._tokenizer.deadline

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that are complete with these bytes."""
        return [
            message
            for token in self._tokenizer.feed(data, time.monotonic())
            for message in self._messages(token)
        ]

    def idle(self) -> list[Message]:
        """Return the messages that are complete because nothing more came."""
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
            # It does not know the sequence and may wait for more, but the sequence is complete.
            self._renew_parser()
            mouse = token.text[-1] in "mM" and not token.text.startswith("\x1bO")
            return [] if mouse else [events.Key(UNREADABLE, None)]
        return found

    def _parsed(self, text: str) -> Iterator[Message]:
        try:
            yield from list(self._parser.feed(text))
        except Exception as error:  # noqa: BLE001 - foreign bytes may break a parser; the next key still counts
            log.debug("a terminal sent %r: %r", text, error)
            self._renew_parser()

    def _renew_parser(self) -> None:
        old, self._parser = self._parser, XTermParser()
        for name in ("last_x", "last_y", "mouse_pixels", "terminal_size", "terminal_pixel_size"):
            if hasattr(old, name):
                setattr(self._parser, name, getattr(old, name))


class BrowserParser:
    """Replace Textual's parser where a browser is the terminal."""

    def __init__(self, debug: bool = False) -> None:
        self._reader = TerminalReader()

    def feed(self, data: str) -> Iterable[Message]:
        """Return the messages that are complete with this text."""
        return self._reader.feed(data.encode("utf-8", "replace"))

    def tick(self) -> Iterable[Message]:
        """Return the messages that are complete because nothing more came."""
        return self._reader.idle()


def read_by_tokens(drivers: ModuleType) -> None:
    """Have a module of drivers read through the tokenizer, if it imports the parser as Textual 8 does."""
    if XTermParser is not None and hasattr(drivers, "XTermParser"):
        setattr(drivers, "XTermParser", BrowserParser)  # noqa: B010 - typing does not know the name


# ------------------------------------------------------------------------------------ the driver


class LossTolerantStream:
    """A stream to a terminal that may go away: what is written then is lost, and nothing fails.

    Textual's thread that writes would die of the error, its queue would fill up, and the app would wait for
    ever to queue what restores the terminal.
    """

    def __init__(self, file: IO[str]) -> None:
        self._stream = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            pass  # as above


class TerminalDriver(LinuxDriver):
    """Textual's driver for terminals, with another reader of keys and only one reader at any time."""

    _start_sequences: list[str] | None = None
    """What is written to take the terminal; None unless that is under way."""
    _mode_sequences: tuple[str, ...] = ()
    """What sets the terminal's modes as Textual wants them."""
    _raw_attributes: list[object] | None = None
    """The terminal's attributes while Textual has it."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        file = getattr(self, "_file", None)
        if file is not None:
            self._file = cast(Any, LossTolerantStream(file))

    def write(self, data: str) -> None:
        if self._start_sequences is not None:
            self._start_sequences.append(data)
        super().write(data)

    def start_application_mode(self) -> None:
        self._start_sequences = []
        try:
            super().start_application_mode()  # type: ignore[no-untyped-call]  # Textual has no types there
        finally:
            # Only modes may be sent twice, not questions or what pushes upon a stack.
            self._mode_sequences = tuple(text for text in self._start_sequences if text[-1:] in ("h", "l"))
            self._start_sequences = None
        self._raw_attributes = self._attributes()

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
        """Start again if Textual stopped the app.

        Otherwise (SIGSTOP, or no stop at all) everything still runs; only the terminal may have been used by
        others meanwhile.
        """
        if self._start_sequences is not None or not getattr(self, "_auto_restart", True):
            return  # it is being started, or what stopped it starts it again
        if _in_background(self.fileno):
            os.kill(os.getpid(), signal.SIGSTOP)  # the shell has the terminal; `fg` continues it once more
        elif self._has_terminal:
            self._take_again()
        else:
            super()._sigcont_application(*arguments)

    def _take_again(self) -> None:
        if self._raw_attributes is not None:
            try:
                termios.tcsetattr(self.fileno, termios.TCSANOW, self._raw_attributes)  # type: ignore[arg-type]  # as read
            except (OSError, termios.error):
                pass  # the terminal is gone: `shutdown` notices
        for text in self._mode_sequences:
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
            wait = (
                CHECK_SECONDS
                if deadline is None
                else min(max(deadline - time.monotonic(), 0.0), CHECK_SECONDS)
            )
            if not poll.poll(wait * 1000):
                found = reader.idle()
            else:
                try:
                    data = os.read(self.fileno, 4096)
                except OSError:
                    data = b""
                if not data:  # the terminal is gone, or not ours now
                    self.exit_event.wait(CHECK_SECONDS)
                found = reader.feed(data)
            for message in found:
                self.process_message(message)


def driver_class(chosen: type[Driver]) -> type[Driver]:
    """Return our driver in place of Textual's for terminals, if Textual has everything that it relies on."""
    complete = all(hasattr(LinuxDriver, name) for owner, name in HOOKS if owner is LinuxDriver)
    return TerminalDriver if chosen is LinuxDriver and complete else chosen


def _in_background(descriptor: int) -> bool:
    try:
        return os.tcgetpgrp(descriptor) not in (os.getpgrp(), 0)
    except OSError:
        return False
