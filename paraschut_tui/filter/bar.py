"""FilterBar: takes a filter as it is typed, with completion, the number of matches and errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.suggester import Suggester
from textual.widgets import Input

from ..messages import FilterClosed, FilterEdited
from ..state_styles import Palette
from ..widgets.styled_line import Part, width_of
from ..widgets.text_line import TextLine
from .term_completion import Candidate, Completion, CompletionData

HINT = 'text  field:value  |  !not  (  )  -host:n1  age:>2h  log:"CUDA error"  resources.mem:4gb  sql: ...'

KEPT = 50
"""Filters that the history keeps."""

_NAME = re.compile(r"[\w.-]+$")


class FilterSuggester(Suggester):
    """Shows the first completion behind the typed text."""

    def __init__(self, completion: Completion) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._completion = completion

    async def get_suggestion(self, value: str) -> str | None:
        """Return the completed text, None if nothing fits."""
        return self._completion.suggestion(value)


class FilterBar(Vertical):
    """Takes the key line's place while it is open.

    Args:
        saved: filters by the names that they were saved under; new ones are added to it.
        history: filters used before, the latest last.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "back to the filter before", show=False),
        Binding("up", "older", "an older filter", show=False),
        Binding("down", "newer", "a newer filter", show=False),
        Binding("tab", "complete(1)", "complete", show=False, priority=True),
        Binding("shift+tab", "complete(-1)", "complete", show=False, priority=True),
        Binding("ctrl+s", "save", "save the filter, or forget it", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    FilterBar { height: 2; display: none; }
    FilterBar.-open { display: block; }
    FilterBar Horizontal { height: 1; }
    FilterBar Input { width: 1fr; height: 1; border: none; padding: 0; background: $background; }
    FilterBar Input:focus { border: none; background: $background; background-tint: transparent; }
    FilterBar #filter-mark { width: 3; }
    FilterBar.-naming #filter-mark { width: 12; }
    FilterBar #filter-count { width: 26; }
    """

    def __init__(
        self,
        palette: Palette,
        saved: dict[str, str],
        history: Iterable[str] = (),
        *,
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(id=id)
        self._palette = palette
        self._before = ""
        self.history = list(history)
        """Filters used before, the latest last."""
        self.saved = saved
        self._known = CompletionData()
        self._completion = Completion(self._known, self.saved, self.history)
        self._at = 0
        self._draft = ""
        self._cycle: list[Candidate] = []
        self._turn = 0
        self._own = ""
        self._to_name = ""
        self._error = ""

    def compose(self) -> ComposeResult:
        yield TextLine(self._palette, id="filter-hints")
        with Horizontal():
            yield TextLine(self._palette, id="filter-mark")
            box = Input(select_on_focus=False, compact=True)
            box.cursor_blink = False  # a blinking cursor sends 2.6 KB/s
            yield box
            yield TextLine(self._palette, id="filter-count")

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    @property
    def _box(self) -> Input:
        return self.query_one(Input)

    def open(self, text: str, known: CompletionData) -> None:
        """Open the bar with the filter in force; `known` completes what is typed."""
        self._before = self._draft = self._own = text
        self._at = len(self.history)
        self._error = ""
        self.learn(known)
        self.add_class("-open")
        self._show_mark([(" / ", "accent-bold")])
        with self._box.prevent(Input.Changed):
            self._box.value = text
        self._box.cursor_position = len(text)
        self._box.focus()
        self.call_after_refresh(self._write_hints)

    def learn(self, known: CompletionData) -> None:
        """Use other data for completion."""
        self._known = known
        self._completion = Completion(known, self.saved, self.history)
        self._box.suggester = FilterSuggester(self._completion)
        self._cycle = []
        if self.is_open:
            self._write_hints()

    @property
    def known(self) -> CompletionData:
        """The data for completion."""
        return self._known

    def say(self, parts: list[Part], error: str = "") -> None:
        """Show the match count beside the text, and above it what is wrong with it."""
        self.query_one("#filter-count", TextLine).show([], [*parts, (" ", "base")])
        if error != self._error:
            self._error = error
            self._write_hints()

    # ------------------------------------------------------------------ hints

    def _show_mark(self, parts: list[Part]) -> None:
        self.query_one("#filter-mark", TextLine).show(parts)

    def _write_hints(self) -> None:
        """Write what is wrong, else the completions, else a summary of the language."""
        hints = self.query_one("#filter-hints", TextLine)
        if self._to_name:
            hints.show([(" Enter saves it: @name calls it, and Ctrl+S upon @name forgets it", "muted")])
        elif self._error:
            hints.show([(f" {self._error}", "error")])
        else:
            parts = self._listed(hints.size.width)
            hints.show(parts or [(f" {HINT}", "muted")])

    def _listed(self, width: int) -> list[Part]:
        """Return the candidates from one before the chosen one on, as many as fit."""
        cycle = self._cycle or self._completion.candidates(self._box.value)
        first = max(self._turn - 1, 0) if self._cycle else 0
        parts: list[Part] = []
        for at, one in enumerate(cycle[first:], first):
            chosen = at == self._turn if self._cycle else at == 0
            more: list[Part] = [(f" {one.word}", "accent-bold" if chosen else "text")]
            more += [(f" {one.help}", "muted")] if one.help else []
            if width_of([*parts, *more]) > width - 8:
                parts.append((f"  +{len(cycle) - at}", "muted"))
                break
            parts += [*more, (" ", "base")]
        return parts if not cycle or self._cycle else [*parts, (" Tab", "muted")]

    # ------------------------------------------------------------------ typing

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self.is_open or self._to_name:
            return
        text = self._box.value  # the event may be older
        if text != self._own:  # typed, not put there by a key of ours
            self._cycle = []
            self._own = self._draft = text
            self._at = len(self.history)
        self._write_hints()
        self.post_message(FilterEdited(text, final=False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if self._to_name:
            self._name_it(text)
            return
        if text:
            others = [entry for entry in self.history if entry != text]
            self.history[:] = [*others[-KEPT:], text]
        self._close(text)

    def action_cancel(self) -> None:
        if self._to_name:
            self._end_naming()
        else:
            self._close(self._before)

    def action_older(self) -> None:
        self._recall(-1)

    def action_newer(self) -> None:
        self._recall(1)

    def action_complete(self, by: int) -> None:
        """Use the first candidate; called again: the next one, or the one before."""
        if self._to_name:
            return
        if self._cycle:
            self._turn = (self._turn + by) % len(self._cycle)
        else:
            self._cycle = self._completion.candidates(self._box.value)
            self._turn = 0 if by > 0 else len(self._cycle) - 1
        if len(self._cycle) == 1:
            (only,), self._cycle = self._cycle, []
            self._put(only.text)
        elif self._cycle:
            self._put(self._cycle[self._turn].text)

    def _recall(self, by: int) -> None:
        """Go to an older or newer filter that begins with the typed text; after the newest, to that text."""
        at = self._at + by
        while 0 <= at < len(self.history) and not self.history[at].startswith(self._draft):
            at += by
        if not self._to_name and 0 <= at <= len(self.history):
            self._at = at
            self._cycle = []
            self._put(self.history[at] if at < len(self.history) else self._draft)

    def _put(self, text: str) -> None:
        self._own = text
        self._box.value = text
        self._box.cursor_position = len(text)

    def _close(self, text: str) -> None:
        self._cycle = []
        self.remove_class("-open")
        self.post_message(FilterClosed(text))

    # ------------------------------------------------------------------ saving

    def action_save(self) -> None:
        """Ask for a name to save the filter under. A saved filter that is called by its name is deleted."""
        text = self._box.value.strip()
        if text.startswith("@") and text[1:] in self.saved:
            del self.saved[text[1:]]
            self.say([(f"{text} forgotten", "muted")])
        elif text and not self._to_name:
            self._to_name = text
            self.add_class("-naming")
            self._show_mark([(" save as ", "accent-bold"), ("@", "accent")])
            self.say([])
            self._put("")
            self._write_hints()

    def _name_it(self, name: str) -> None:
        name = name.removeprefix("@")
        if not _NAME.match(name):
            self.say([("letters, digits, - _ .", "error")])
            return
        self.saved[name] = self._to_name
        self._end_naming()
        self.say([(f"saved as @{name}", "accent")])

    def _end_naming(self) -> None:
        text, self._to_name = self._to_name, ""
        self.remove_class("-naming")
        self._show_mark([(" / ", "accent-bold")])
        self._put(text)
        self._write_hints()
