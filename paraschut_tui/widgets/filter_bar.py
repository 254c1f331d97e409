"""FilterBar: where the filter is typed, with its match count or what is wrong with it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from ..look import Palette
from ..messages import FilterClosed, FilterEdited
from ..strips import Part
from .line import Line

HINT = "name, state:missing,run  batch:  host:  exit:  age:>2h  attempt:>1  sql: ..."


class FilterBar(Horizontal):
    """Takes the key line's place while it is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "back to the filter before", show=False),
        Binding("up", "older", "an older filter", show=False),
        Binding("down", "newer", "a newer filter", show=False),
    ]
    DEFAULT_CSS = """
    FilterBar { height: 1; display: none; }
    FilterBar.-open { display: block; }
    FilterBar Input { width: 1fr; height: 1; border: none; padding: 0; background: $background; }
    FilterBar Input:focus { border: none; background: $background; background-tint: transparent; }
    FilterBar #filter-mark { width: 3; }
    FilterBar #filter-count { width: 44; }
    FilterBar.-narrow #filter-count { width: 26; }
    """

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self._palette = palette
        self._before = ""
        self._history: list[str] = []
        self._at = 0

    def compose(self) -> ComposeResult:
        mark = Line(self._palette, id="filter-mark")
        mark.show([(" / ", "accent-bold")])
        yield mark
        box = Input(placeholder=HINT, select_on_focus=False, compact=True)
        box.cursor_blink = False  # a blinking cursor sends 2.6 KB/s
        yield box
        yield Line(self._palette, id="filter-count")

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    def open(self, text: str) -> None:
        """Opens the bar upon the filter in force."""
        self._before = text
        self._at = len(self._history)
        self.add_class("-open")
        box = self.query_one(Input)
        with box.prevent(Input.Changed):
            box.value = text
        box.cursor_position = len(text)
        box.focus()

    def say(self, parts: list[Part]) -> None:
        """Shows the match count or an error beside the text."""
        self.query_one("#filter-count", Line).show([], [*parts, (" ", "base")])

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.is_open:
            self.post_message(FilterEdited(event.value, final=False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if text:
            self._history = [entry for entry in self._history if entry != text] + [text]
        self._close(text)

    def action_cancel(self) -> None:
        self._close(self._before)

    def action_older(self) -> None:
        self._recall(-1)

    def action_newer(self) -> None:
        self._recall(1)

    def _recall(self, by: int) -> None:
        at = self._at + by
        if 0 <= at < len(self._history):
            self._at = at
            box = self.query_one(Input)
            box.value = self._history[at]
            box.cursor_position = len(box.value)

    def _close(self, text: str) -> None:
        self.remove_class("-open")
        self.post_message(FilterClosed(text))
