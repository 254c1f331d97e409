"""HelpScreen: every key, by pane, made from the table of keys; and what the glyphs mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from .. import keys
from ..look import Looks, Palette
from ..query import FIELDS
from ..strips import Part
from ..widgets.text_pane import TextPane


class HelpScreen(ModalScreen[None]):
    """Any of the usual keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "close", show=False)
    ]

    def __init__(
        self, palette: Palette, looks: Looks, *, read_only: bool, log_keys: Sequence[tuple[str, str]]
    ) -> None:
        super().__init__()
        self._palette = palette
        self._lines = _lines(looks, read_only, log_keys)

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            yield TextPane(self._palette, self._lines)


_FILTER = (
    ("Tab", "complete; again: the next way to go on"),
    ("↑ ↓", "filters used before that begin with what was typed"),
    ("Ctrl+S", "save the filter under a name: @name calls it; upon @name: forget it"),
    ("text", "within the name; *: anything; =text: all of it; ~text: a regular expression"),
    ("field:a,b", "one of these: " + " ".join(f"{name}:" for name in FIELDS)),
    ("any.field:x", "a field of the metadata, or a part of one; :>3 compares numbers"),
    ("a b", "both;  a | b: one of them;  !a or -a: not;  ( ): together"),
    ("sql: ...", "a condition as SQLite has it, with the column missing"),
)
"""The language of the filter, in short."""


def _lines(looks: Looks, read_only: bool, log_keys: Sequence[tuple[str, str]]) -> list[list[Part]]:
    lines: list[list[Part]] = [[("KEYS", "accent-bold"), ("   Esc closes", "muted")], []]
    for title, table in (
        ("everywhere", keys.MAIN),
        ("jobs", keys.GRID),
        ("batches", keys.TREE),
        ("details", keys.DETAILS),
    ):
        entries = [
            (keys.name_of(key), key.help or key.label) for key in table if not (key.changes and read_only)
        ]
        lines += _section(title, entries)
    lines += _section("filter", _FILTER)
    lines += _section("log", log_keys)
    lines.append([("STATES", "accent-bold")])
    for code in looks.legend_order():
        look = looks.looks[code]
        lines.append([("  ", "base"), (f"{looks.glyph(code)}", look.role), (f"  {look.label}", "text")])
    return lines


def _section(title: str, entries: Sequence[tuple[str, str]]) -> list[list[Part]]:
    if not entries:
        return []
    lines: list[list[Part]] = [[(title, "bold")]]
    lines += [[("  ", "base"), (f"{name:<14}", "accent-bold"), (text, "text")] for name, text in entries]
    return [*lines, []]
