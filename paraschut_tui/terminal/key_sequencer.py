"""KeySequencer: one key after the other, each to where the keys before it lead.

Over a slow line several keys arrive in one packet. Textual gives each to the widget that has the focus when
it arrives, and moves the focus later: what was typed behind `/` would be taken for commands. Here a key waits
until the effects of the keys before it are there. Keys pressed before a dialog was visible do not answer it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from .textual_compat import UNREADABLE

log = logging.getLogger(__name__)

ROUNDS = 4
"""Rounds through the queues of the focused widget and all around it until a key's last effect is there: the
key, a message of that widget, the message that the widget around makes of it, the focus."""

PATIENCE = 2.0
"""Seconds that keys wait for the effects of the key before them, and a dialog for the terminal's confirmation
that it is drawn."""

LOW: list[tuple[int, str]] = [(0, "-low"), (20, "-high")]
SLIM: list[tuple[int, str]] = [(0, "-slim"), (44, "-wide")]
"""Rows and columns from which on a dialog has such a class: a small one is laid out in another way."""

T = TypeVar("T")
Result = TypeVar("Result")


class GuardedDialog(ModalScreen[Result], Generic[Result]):
    """A dialog that is not answered by keys pressed before it was visible."""

    VERTICAL_BREAKPOINTS = LOW
    HORIZONTAL_BREAKPOINTS = SLIM

    painted_at: float | None = None
    """When it was painted first, by the clock that keys are stamped with."""
    drawn_at: float | None = None
    """When the terminal confirmed that it has drawn the dialog."""

    def mark_drawn(self, at: float) -> None:
        """Record that the terminal had drawn the dialog at `at`."""
        self.drawn_at = at

    def is_harmless_unseen(self, key: str) -> bool:
        """Return whether a key does no harm if it was pressed before the dialog was visible."""
        return key == "escape"

    def understands(self, key: str) -> bool:
        """Return whether a key means something here. Any other key cancels."""
        return True

    def cancel(self) -> None:
        """Close without an answer."""

    def accepts(self, event: events.Key) -> bool:
        """Return whether a key is for the dialog."""
        return self.was_seen(event.time) or self.is_harmless_unseen(event.key)

    def was_seen(self, at: float) -> bool:
        """Return whether the dialog was visible when a key was pressed that arrived at `at`."""
        if self.painted_at is None:
            return False
        return at >= (self.painted_at + PATIENCE if self.drawn_at is None else self.drawn_at)


class KeySequencer:
    """Delivers the keys and pasted texts of an app in turn.

    Args:
        app: the app.
        deliver: gives an event to the screen and its focused widget, as Textual does.
    """

    def __init__(self, app: App[Any], deliver: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app = app
        self._deliver = deliver
        self._typed: deque[events.Event] = deque()
        self._is_delivering = False
        self._pending = 0
        self._one_done = asyncio.Event()

    def put(self, event: events.Event) -> None:
        """Queue a key or a pasted text."""
        self._typed.append(event)
        if not self._is_delivering:
            self._is_delivering = True
            self._app.run_worker(self._deliver_all(), group="keys")

    def discard_typeahead(self) -> None:
        """Discard buffered keystrokes: they were meant for a prompt that does not open."""
        self._typed.clear()

    async def hold_keys_during(self, reading: Awaitable[T]) -> T:
        """Await what decides where the next keys go, and hold them back meanwhile."""
        self._pending += 1
        try:
            return await reading
        finally:
            self._pending -= 1
            self._one_done.set()

    async def _deliver_all(self) -> None:
        try:
            while self._typed:
                await self._deliver_one(self._typed.popleft())
        finally:
            self._is_delivering = False

    async def _deliver_one(self, event: events.Event) -> None:
        if not self._app.screen.is_mounted:
            await self._wait_opened(self._app.screen)
        if self._pending:  # what is being read (the first jobs, say) decides about this key, too
            await self._wait_idle()
        screen = self._app.screen
        if isinstance(screen, GuardedDialog):
            if _cancels(screen, event):
                self.discard_typeahead()  # what came together with it may be the rest of the same
                screen.cancel()
                await self._wait_idle()
                return
            if isinstance(event, events.Key) and not screen.accepts(event):
                return
        await self._deliver(event)
        letter = isinstance(event, events.Key) and event.is_printable and isinstance(self._app.focused, Input)
        if letter and not isinstance(screen, GuardedDialog):
            return  # it changes no focus; a dialog however decides by its text whether it understands a key
        if not await self._wait_idle():
            if self._typed:
                log.warning("%d keys are dropped: the key before them takes long", len(self._typed))
            self.discard_typeahead()

    async def _wait_idle(self) -> bool:
        """Wait until the effects of a key are there, but not for ever. Return whether they are."""
        try:
            await asyncio.wait_for(self._settle(), PATIENCE)
        except asyncio.TimeoutError:
            return False
        return True

    async def _wait_opened(self, screen: Screen[object]) -> None:
        """Wait until a screen has opened and begun to read: keys may come before the first one."""
        opened = asyncio.Event()
        screen.call_later(opened.set)
        try:
            await asyncio.wait_for(opened.wait(), PATIENCE)
        except asyncio.TimeoutError:
            log.warning("the screen does not open within %g s", PATIENCE)
        await asyncio.sleep(0)  # what it begins has its first step behind it

    async def _settle(self) -> None:
        """Return when the effects of a key are there, and the focus is where it leads."""
        await self._drain_message_queues()
        while self._pending:
            self._one_done.clear()
            await self._one_done.wait()
            await self._drain_message_queues()

    async def _drain_message_queues(self) -> None:
        for _ in range(ROUNDS):
            for pump in (self._app.focused or self._app.screen).ancestors_with_self:
                await _wait_processed(pump)


def _cancels(dialog: GuardedDialog[object], event: events.Event) -> bool:
    """Return whether an event is nothing that the dialog understands."""
    if not isinstance(event, events.Key):
        return not dialog.understands("paste")
    if event.key == UNREADABLE:
        return not dialog.understands(UNREADABLE)
    return dialog.was_seen(event.time) and not dialog.understands(event.key)


async def _wait_processed(pump: MessagePump) -> None:
    """Return when everything that was posted to it before is processed, and others had their turn."""
    done = asyncio.Event()
    if pump.message_queue_size and pump.call_later(done.set):
        await done.wait()
    else:
        await asyncio.sleep(0)
