"""KeySequencerApp: takes one key after the other, each where the keys before it lead.

Over a slow line several keys arrive in one packet. Textual gives each to the widget that has the focus when
it arrives, and moves the focus later: what was typed behind `/` would be taken for commands. Here a key waits
until what the keys before it did is done. A question is answered by nobody who cannot have seen it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable
from typing import Generic, TypeVar

from rich.console import RenderableType
from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from .paced_app import FlowControlApp
from .textual_compat import UNREADABLE

log = logging.getLogger(__name__)

ROUNDS = 4
"""Rounds through the focused widget and all around it until a key's last effect is there: the key, a message
of that widget, one of the widget around that it makes one of, the focus."""

PATIENCE = 2.0
"""Seconds that keys wait for what the key before them does, and a question for the terminal's word that it
shows it."""

LOW: list[tuple[int, str]] = [(0, "-low"), (20, "-high")]
SLIM: list[tuple[int, str]] = [(0, "-slim"), (44, "-wide")]
"""Rows and columns from which on a dialog has such a class: what is small is laid out in another way."""

T = TypeVar("T")
Result = TypeVar("Result")


class GuardedDialog(ModalScreen[Result], Generic[Result]):
    """A dialog that no key answers that was sent before the dialog could be seen."""

    VERTICAL_BREAKPOINTS = LOW
    HORIZONTAL_BREAKPOINTS = SLIM

    painted_at: float | None = None
    """When it was painted first, by the clock that keys are stamped with."""
    seen_at: float | None = None
    """When the terminal said that it shows it."""

    def now_seen(self, at: float) -> None:
        """Takes down that it was shown at `at`."""
        self.seen_at = at

    def is_harmless_unseen(self, key: str) -> bool:
        """Whether a key does no harm that was pressed without seeing the dialog."""
        return key == "escape"

    def understands(self, key: str) -> bool:
        """Whether a key means something here. Any other cancels."""
        return True

    def cancel(self) -> None:
        """Close without an answer."""

    def takes(self, event: events.Key) -> bool:
        """Whether a key is for the dialog."""
        return self.was_seen(event.time) or self.is_harmless_unseen(event.key)

    def was_seen(self, at: float) -> bool:
        """Whether who pressed a key that arrived at `at` can have seen the dialog."""
        if self.painted_at is None:
            return False
        return at >= (self.painted_at + PATIENCE if self.seen_at is None else self.seen_at)


class KeySequencerApp(FlowControlApp):
    """Keys and pasted text take their turns."""

    def __init__(self) -> None:
        super().__init__()
        self._typed: deque[events.Key | events.Paste] = deque()
        self._taking = False
        self._readings = 0
        self._read = asyncio.Event()

    # ------------------------------------------------------------------ turns

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, (events.Key, events.Paste)) or event.is_forwarded:
            await super().on_event(event)
            return
        self._typed.append(event)
        if not self._taking:
            self._taking = True
            self.run_worker(self._take_turns(), group="keys")

    async def _take_turns(self) -> None:
        try:
            while self._typed:
                await self._take(self._typed.popleft())
        finally:
            self._taking = False

    async def _take(self, event: events.Key | events.Paste) -> None:
        if not self.screen.is_mounted:
            await self._opened(self.screen)
        if self._readings:  # what is being read is for this key, too: the first jobs, say
            await self._wait_idle()
        screen = self.screen
        if isinstance(screen, GuardedDialog):
            if _cancels(screen, event):
                self.discard_typeahead()  # what came together with it may be the rest of the same
                screen.cancel()
                await self._wait_idle()
                return
            if isinstance(event, events.Key) and not screen.takes(event):
                return
        await super().on_event(event)
        letter = isinstance(event, events.Key) and event.is_printable and isinstance(self.focused, Input)
        if letter and not isinstance(screen, GuardedDialog):
            return  # it leads nowhere; a question however is asked what was typed into it so far
        if not await self._wait_idle():
            if self._typed:
                log.warning("%d keys are dropped: what came before them takes long", len(self._typed))
            self.discard_typeahead()

    async def _wait_idle(self) -> bool:
        """Waits until what was done is done, but not for ever. Returns whether it is."""
        try:
            await asyncio.wait_for(self._settle(), PATIENCE)
        except asyncio.TimeoutError:
            return False
        return True

    async def _opened(self, screen: Screen[object]) -> None:
        """Waits until a screen is there, with what it begins to read: keys may come before the first one."""
        opened = asyncio.Event()
        screen.call_later(opened.set)
        try:
            await asyncio.wait_for(opened.wait(), PATIENCE)
        except asyncio.TimeoutError:
            log.warning("the screen does not open within %g s", PATIENCE)
        await asyncio.sleep(0)  # what it begins has its first step behind it

    async def _settle(self) -> None:
        """Returns when what a key did is done, and the focus is where it leads."""
        await self._drain_message_queues()
        while self._readings:
            self._read.clear()
            await self._read.wait()
            await self._drain_message_queues()

    async def _drain_message_queues(self) -> None:
        for _ in range(ROUNDS):
            for pump in (self.focused or self.screen).ancestors_with_self:
                await _reached(pump)

    def discard_typeahead(self) -> None:
        """Forgets what was typed ahead: it was meant for something that does not open."""
        self._typed.clear()

    async def hold_keys_during(self, reading: Awaitable[T]) -> T:
        """Waits for what decides where the next keys go; these wait, too."""
        self._readings += 1
        try:
            return await reading
        finally:
            self._readings -= 1
            self._read.set()

    # ------------------------------------------------------------------ questions

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if isinstance(screen, GuardedDialog) and screen.painted_at is None and renderable and self.paints:
            screen.painted_at = time.monotonic()
            self.notify_when_drawn(screen.now_seen)
        super()._display(screen, renderable)


def _cancels(question: GuardedDialog[object], event: events.Key | events.Paste) -> bool:
    """Whether what came is nothing that the question understands."""
    if isinstance(event, events.Paste):
        return not question.understands("paste")
    if event.key == UNREADABLE:
        return not question.understands(UNREADABLE)
    return question.was_seen(event.time) and not question.understands(event.key)


async def _reached(pump: MessagePump) -> None:
    """Returns when all that was posted to it before is done, and others had their turn."""
    done = asyncio.Event()
    if pump.message_queue_size and pump.call_later(done.set):
        await done.wait()
    else:
        await asyncio.sleep(0)


def forget_typed(app: App[object]) -> None:
    """Has an app forget what was typed ahead for a prompt that does not open."""
    if isinstance(app, KeySequencerApp):
        app.discard_typeahead()
