"""The keys of a log, in one place: bindings and help come from here."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding, BindingType


class LogKey(NamedTuple):
    """One key, or several of equal effect. `shown` is what people call them."""

    keys: str
    action: str
    shown: str
    help: str


LOG_KEYS: tuple[LogKey, ...] = (
    LogKey("up,k", "move(-1)", "↑ k", "up"),
    LogKey("down,j", "move(1)", "↓ j", "down"),
    LogKey("pageup,ctrl+b", "page(-1)", "PgUp ctrl+b", "a page up"),
    LogKey("pagedown,ctrl+f,space", "page(1)", "PgDn Space", "a page down"),
    LogKey("ctrl+u", "page(-0.5)", "ctrl+u", "half a page up"),
    LogKey("ctrl+d", "page(0.5)", "ctrl+d", "half a page down"),
    LogKey("home,g", "start", "Home g", "to the begin"),
    LogKey("end,G", "end", "End G", "to the end, and follow"),
    LogKey("left,h", "sideways(-1)", "← h", "left"),
    LogKey("right,l", "sideways(1)", "→ l", "right"),
    LogKey("0", "margin", "0", "to the first column"),
    LogKey("o", "stream", "o", "stdout or stderr"),
    LogKey("O,vertical_line", "split", "O |", "stdout and stderr side by side"),
    LogKey("left_square_bracket", "attempt(-1)", "[", "the attempt before"),
    LogKey("right_square_bracket", "attempt(1)", "]", "the attempt after"),
    LogKey("left_curly_bracket", "spawn(-1)", "{", "the spawn before"),
    LogKey("right_curly_bracket", "spawn(1)", "}", "the spawn after"),
    LogKey("F", "follow", "F", "follow, or stay"),
    LogKey("number_sign", "numbers", "#", "line numbers"),
    LogKey("w", "wrap", "w", "wrap long lines"),
    LogKey("slash", "search", "/", "search"),
    LogKey("n", "next(True)", "n", "next match"),
    LogKey("N", "next(False)", "N", "previous match"),
    LogKey("ampersand", "filter", "&", "show only matching lines; again: all"),
    LogKey("e", "error(True)", "e", "next error or warning"),
    LogKey("E", "error(False)", "E", "previous error or warning"),
    LogKey("colon", "go_to", ":", "to a line, 50% or 12:05"),
    LogKey("m", "mark", "m", "mark the line"),
    LogKey("M", "mark_range", "M", "mark from the last mark to here"),
    LogKey("y", "copy", "y", "copy the marked lines, or the screen"),
    LogKey("Y", "plain", "Y", "show them as plain text, for the terminal's own selection"),
    LogKey("equals_sign", "facts", "=", "the file's name, size and age"),
    LogKey("ctrl+s", "save", "ctrl+s", "save to a file"),
    LogKey("v", "pager", "v", "open in $PAGER"),
    LogKey("V", "editor", "V", "open in $EDITOR"),
    LogKey("plus,enter", "full_screen", "+ Enter", "the whole screen"),
    LogKey("escape", "back", "Esc", "ends prompt, marks, filter, search"),
)


def bindings() -> list[BindingType]:
    """Textual's bindings of all of them."""
    return [Binding(key.keys, key.action, key.help, show=False) for key in LOG_KEYS]
