"""FilterBar: where the filter is typed, with its match count or what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.suggester import Suggester
from textual.widgets import Input

from paraschut_core.text import clean_line

from ..look import Palette
from ..messages import FilterClosed, FilterEdited
from ..query import FIELDS
from ..strips import Part
from .line import Line

HINT = 'name  state:missing,run  batch:  host:  exit:137  age:>2h  attempt:>1  log:"CUDA error"  sql: ...'


KEPT = 50
"""Filters that the history keeps."""


class Completion(Suggester):
    """Suggests a filter used before that begins as the text does, else how its last word may go on."""

    def __init__(self, filters: Sequence[str], states: Sequence[str], names: Sequence[str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._filters = list(reversed(filters))
        self._words = [f"{field}:" for field in FIELDS if not field.startswith("meta.")]
        self._states = ["missing", *states]
        self._names = sorted({clean_line(part) for name in names for part in (name, *name.split("/"))})

    async def get_suggestion(self, value: str) -> str | None:
        """The whole text as it may be meant, None if nothing fits."""
        before = next((text for text in self._filters if text.startswith(value) and text != value), None)
        if before is not None and " " in value:
            return before
        return self._word(value) or before

    def _word(self, value: str) -> str | None:
        """The text with its last word completed."""
        head, word = _last_word(value)
        field, colon, rest = word.rpartition(":")
        if colon and field.lstrip("!-") == "state":
            before, comma, begun = rest.rpartition(",")
            return _continued(f"{head}{field}:{before}{comma}", begun, self._states)
        if colon:
            wanted = self._names if field.lstrip("!-") in ("batch", "name") else []
            return _continued(f"{head}{field}:", rest, wanted)
        return _continued(head, word, [*self._words, *self._names])


def _last_word(text: str) -> tuple[str, str]:
    at = text.rfind(" ") + 1
    return text[:at], text[at:]


def _continued(head: str, begun: str, words: Sequence[str]) -> str | None:
    if not begun:
        return None
    return next((head + word for word in words if word.startswith(begun) and word != begun), None)


class FilterBar(Horizontal):
    """Takes the key line's place while it is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "back to the filter before", show=False),
        Binding("up", "older", "an older filter", show=False),
        Binding("down", "newer", "a newer filter", show=False),
        Binding("tab", "complete", "complete", show=False, priority=True),
        Binding("ctrl+s", "save", "save the filter, or forget it", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    FilterBar { height: 1; display: none; }
    FilterBar.-open { display: block; }
    FilterBar Input { width: 1fr; height: 1; border: none; padding: 0; background: $background; }
    FilterBar Input:focus { border: none; background: $background; background-tint: transparent; }
    FilterBar #filter-mark { width: 3; }
    FilterBar #filter-count { width: 44; }
    MainScreen.-narrow FilterBar #filter-count { width: 26; }
    """

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self._palette = palette
        self._before = ""
        self.history: list[str] = []
        """Filters used before, the latest last; saved ones stand in `saved` too."""
        self.saved: list[str] = []
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

    def open(self, text: str, states: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        """Opens the bar upon the filter in force; the states and batch names complete what is typed."""
        self._before = text
        self._at = len(self.history)
        self.query_one(Input).suggester = Completion((*self.saved, *self.history), states, names)
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
            others = [entry for entry in self.history if entry != text]
            self.history = [*others[-KEPT:], text]
        self._close(text)

    def action_cancel(self) -> None:
        self._close(self._before)

    def action_older(self) -> None:
        self._recall(-1)

    def action_newer(self) -> None:
        self._recall(1)

    def action_complete(self) -> None:
        self.query_one(Input).action_cursor_right()  # at the end of the text it takes the suggestion

    def action_save(self) -> None:
        """Keeps the filter among the saved ones, or takes it from there."""
        text = self.query_one(Input).value.strip()
        if text in self.saved:
            self.saved.remove(text)
            self.say([("forgotten", "muted")])
        elif text:
            self.saved.append(text)
            self.say([("saved", "accent")])

    def _recall(self, by: int) -> None:
        at = self._at + by
        if 0 <= at < len(self.history):
            self._at = at
            box = self.query_one(Input)
            box.value = self.history[at]
            box.cursor_position = len(box.value)

    def _close(self, text: str) -> None:
        self.remove_class("-open")
        self.post_message(FilterClosed(text))
