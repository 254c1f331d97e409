"""CommandPaletteScreen: everything that can be done or gone to, found by typing some letters of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from ..state_styles import Palette
from ..widgets.select_list import SelectList
from ..widgets.styled_line import Part
from ..widgets.text_line import TextLine

MOST = 200
"""Entries listed, and entries weighed against what was typed."""


class PaletteCommand(NamedTuple):
    """Something to do. `text` and `hint` are clean; `key` does the same.

    `synonyms` are other words by which it is found. One that `destroys` is never the first near miss.
    """

    text: str
    run: Callable[[], object]
    hint: str = ""
    key: str = ""
    synonyms: str = ""
    destroys: bool = False


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
        """Return the entries that have each typed word, or nearly, the best first."""
        words = typed.casefold().split()
        if not words:
            return self._all[:MOST]
        ranked = [(rank, entry) for entry in self._all if (rank := _rank(words, entry)) is not None]
        ranked.sort(key=lambda pair: pair[0])
        return [entry for _, entry in ranked[:MOST]]

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


_BEGINS, _HOLDS, _NEAR = range(3)
"""How well a typed word is found: a word of the entry begins with it, holds it, or has its letters."""


def _rank(typed: Sequence[str], entry: PaletteCommand) -> tuple[int, bool, bool] | None:
    """Rank an entry for the typed words; None: it does not match.

    The worst of the words counts. What destroys comes behind the others of its rank, and a synonym behind
    the text.
    """
    own = f"{entry.text} {entry.hint}".casefold().split()
    synonyms = entry.synonyms.split()
    ranks = [min((_rank_word(word, name), name not in own) for name in (*own, *synonyms)) for word in typed]
    worst = max(rank for rank, _ in ranks)
    return None if worst > _NEAR else (worst, entry.destroys, any(other for _, other in ranks))


def _rank_word(typed: str, name: str) -> int:
    plain = name.strip("():;,.")
    if plain.startswith(typed):
        return _BEGINS
    if typed in plain:
        return _HOLDS
    rest = iter(plain)
    near = len(typed) > 2 and plain[:1] == typed[:1] and all(letter in rest for letter in typed)
    return _NEAR if near else _NEAR + 1


def _parts(entry: PaletteCommand) -> list[Part]:
    return [
        (f" {entry.key:>9}  ", "accent-bold"),
        (entry.text, "text"),
        (f"  {entry.hint}" if entry.hint else "", "muted"),
    ]
