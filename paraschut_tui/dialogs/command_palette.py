"""CommandPaletteScreen: everything that can be done or gone to, found by typing some letters of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.fuzzy import FuzzySearch
from textual.screen import ModalScreen
from textual.widgets import Input

from ..state_styles import Palette
from ..widgets.select_list import SelectList
from ..widgets.styled_line import Part
from ..widgets.text_line import TextLine

MOST = 200
"""Entries listed, and entries weighed against what was typed."""


class PaletteCommand(NamedTuple):
    """Something to do. `text` and `hint` are clean; `key` is what does the same."""

    text: str
    run: Callable[[], object]
    hint: str = ""
    key: str = ""


class CommandPaletteScreen(ModalScreen[Callable[[], object] | None]):
    """Returns what to run, None if it was left.

    Args:
        entries: in the order in which they are listed while nothing is typed.
        title: what is chosen from.
    """

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+p", "dismiss(None)", "close", show=False),
        Binding("down,ctrl+n,ctrl+j", "step(1)", "down", show=False),
        Binding("up,ctrl+k", "step(-1)", "up", show=False),
        Binding("pagedown", "step(10)", "a page down", show=False),
        Binding("pageup", "step(-10)", "a page up", show=False),
    ]

    def __init__(self, palette: Palette, entries: Iterable[PaletteCommand], title: str = "COMMANDS") -> None:
        super().__init__()
        self._palette = palette
        self._title = title
        self._all = list(entries)
        self.found: Sequence[PaletteCommand] = self._all[:MOST]
        self._list = SelectList(palette, "no matching command", always=True)
        self._list.can_focus = False
        self._search = FuzzySearch()

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet", classes="palette"):
            title = TextLine(self._palette)
            title.show(
                [(f" {self._title}", "accent-bold"), ("   type some letters · Enter · Esc closes", "muted")]
            )
            yield title
            box = Input(compact=True)
            box.cursor_blink = False  # a blinking cursor sends 2.6 KB/s
            yield box
            yield self._list

    def on_mount(self) -> None:
        self._list.show([_parts(entry) for entry in self.found])

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.found = self._matching(event.value.strip())
        self._list.show([_parts(entry) for entry in self.found], row=0)

    def _matching(self, typed: str) -> Sequence[PaletteCommand]:
        """What holds the letters in their order, the best first."""
        if not typed:
            return self._all[:MOST]
        letters = typed.casefold().replace(" ", "")
        holding = [entry for entry in self._all if _holds(f"{entry.text} {entry.hint}".casefold(), letters)]
        scored = [(self._score(typed, entry), entry) for entry in holding[:MOST]]
        scored.sort(key=lambda pair: -pair[0])
        return [entry for _, entry in scored]

    def _score(self, typed: str, entry: PaletteCommand) -> float:
        score, _ = self._search.match(typed, entry.text)
        if typed.casefold() in entry.text.casefold():
            score += 100.0
        return score

    def action_step(self, by: int) -> None:
        self._list.step(by)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.found:
            self.dismiss(self.found[self._list.row].run)

    def on_select_list_chosen(self, message: SelectList.Chosen) -> None:
        message.stop()
        self.dismiss(self.found[message.row].run)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._list.step(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._list.step(-3)


def _holds(text: str, letters: str) -> bool:
    """Whether the letters are in the text, in their order."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


def _parts(entry: PaletteCommand) -> list[Part]:
    return [
        (f" {entry.key:>9}  ", "accent-bold"),
        (entry.text, "text"),
        (f"  {entry.hint}" if entry.hint else "", "muted"),
    ]
