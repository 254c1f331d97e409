"""ResizeGuardScreen: a screen that is laid out for the size that the terminal has, and for no other."""

from __future__ import annotations

from typing import Generic, TypeVar

from textual import events
from textual.screen import Screen

Result = TypeVar("Result")


class ResizeGuardScreen(Screen[Result], Generic[Result]):
    """Textual's screen tells itself each size that it was laid out for, and is laid out for each that it is
    told: two sizes under way at once, as from a terminal that does not know its own, chase each other for
    ever."""

    def on_resize(self, event: events.Resize) -> None:
        if event.size != self.app.size:
            event.prevent_default()
