"""HelpScreen: every key, those of the pane that has the focus first; and what the glyphs mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from paraschut_core.filtering.language import FIELDS

from .. import keymap
from ..state_styles import Palette, StateStyles
from ..widgets.styled_line import Part
from ..widgets.text_view import TextView

_TITLES = {
    "grid": "jobs",
    "tree": "batches",
    "log": "log",
    "details": "all about a job",
    "overview": "overview",
    "main": "everywhere",
}
_AFTER = {
    "grid": ("main", "tree", "log"),
    "tree": ("main", "grid", "log"),
    "log": ("main", "grid", "tree"),
    "details": ("main", "grid", "tree", "log"),
    "overview": (),
    "log screen": (),
}
"""Which sections follow those of a pane."""


class HelpScreen(ModalScreen[None]):
    """Any of the usual keys closes it.

    Args:
        pane: "grid", "tree", "log" or "details" of the main screen; "overview"; "log screen".
        read_only: leave out what changes jobs.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "close", show=False)
    ]

    def __init__(self, palette: Palette, looks: StateStyles, pane: str, *, read_only: bool = False) -> None:
        super().__init__()
        self._palette = palette
        self._lines = _lines(looks, pane, read_only)

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            yield TextView(self._palette, self._lines)


_FILTER = (
    ("Tab", "complete; press again for the next suggestion"),
    ("↑ ↓", "filters used before that begin with what was typed"),
    ("Ctrl+S", "save the filter under a name: @name calls it; upon @name: forget it"),
    ("text", "within the name; *: anything; =text: all of it; ~text: a regular expression"),
    ("field:a,b", "one of these: " + " ".join(f"{name}:" for name in FIELDS)),
    ("any.field:x", "a field of the metadata, or a part of one; :>3 compares numbers"),
    ("a b", "both;  a | b: one of them;  !a or -a: not;  ( ): together"),
    ("sql: ...", "a condition as SQLite has it, with the column missing"),
)
"""The language of the filter, in short."""


def _lines(looks: StateStyles, pane: str, read_only: bool) -> list[list[Part]]:
    first = "log" if pane == "log screen" else pane
    lines: list[list[Part]] = [
        [
            ("KEYS", "accent-bold"),
            (f"  of the focused pane: {_TITLES[first]}", "text"),
            ("   Esc closes", "muted"),
        ],
        [],
    ]
    for name in (first, *_AFTER[pane]):
        lines += _section(_TITLES[name], _entries(name, read_only))
        if name == "main":
            lines += _section("filter", _FILTER)
    lines.append([("states", "bold")])
    for code in looks.legend_order():
        look = looks.looks[code]
        lines.append([("  ", "base"), (f"{looks.glyph(code)}", look.role), (f"  {look.label}", "text")])
    return lines


def _entries(name: str, read_only: bool) -> list[tuple[str, str]]:
    table = {
        "grid": keymap.GRID,
        "tree": keymap.TREE,
        "details": (*keymap.MOVE, *keymap.DETAILS),
        "log": keymap.LOG,
        "overview": keymap.OVERVIEW,
        "main": keymap.MAIN,
    }[name]
    return [(keymap.name_of(key), key.help or key.label) for key in table if not (key.changes and read_only)]


def _section(title: str, entries: Sequence[tuple[str, str]]) -> list[list[Part]]:
    lines: list[list[Part]] = [[(title, "bold")]]
    lines += [[("  ", "base"), (f"{name:<14}", "accent-bold"), (text, "text")] for name, text in entries]
    return [*lines, []]
