"""Every key of the dashboard, in one place: bindings, the key line and the help screen come from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.binding import Binding, BindingType

from .actions.action_registry import ACTIONS


class Key(NamedTuple):
    """One key or several of equal effect.

    `label` is the word in the key line ("": not shown there), `help` the line of the help screen ("":
    not listed), `shown` what the help screen calls the keys where their names would not do.
    """

    keys: str
    action: str
    label: str = ""
    help: str = ""
    shown: str = ""
    changes: bool = False
    """Whether it changes jobs: not offered in read-only mode."""
    synonyms: str = ""
    """Other words by which the palette finds it."""
    destroys: bool = False
    """Whether it ends or removes something: never the palette's first answer to a near miss."""


MOVE: Sequence[Key] = (
    Key("up,k", "up", help="up", shown="↑ k"),
    Key("down,j", "down", help="down", shown="↓ j"),
    Key("pageup,ctrl+b,ctrl+u", "page_up", help="a page up", shown="PgUp ctrl+u"),
    Key("pagedown,ctrl+f,ctrl+d", "page_down", help="a page down", shown="PgDn ctrl+d"),
    Key("home,g", "first", help="to the first", shown="Home g"),
    Key("end,G", "last", help="to the last", shown="End G"),
)

TREE: Sequence[Key] = (
    *MOVE,
    Key("right,l", "open", help="open, go in", shown="→ l"),
    Key("left,h", "close", help="close, go out", shown="← h"),
    Key("enter", "unfold", help="open or close; on a job: its log", shown="Enter"),
    Key("space", "mark", "mark", "mark the batch: marked ones are shown together", shown="Space"),
    Key("u", "clear", help="unmark all batches"),
    Key("t", "group", help="by time, by name, by type"),
)

GRID: Sequence[Key] = (
    *MOVE,
    Key("left,h", "left", help="previous job; in rows: previous column", shown="← h"),
    Key("right,l", "right", help="next job; in rows: next column", shown="→ l"),
    Key("enter", "drill", help="to the job's log", shown="Enter"),
    Key("space", "mark", "mark", "mark or unmark, and on", shown="Space"),
    Key("v", "range", help="start or end a range of marks"),
    Key("a", "mark_state", help="mark all in the state of this job"),
    Key("m", "mark_missing", help="mark all missing"),
    Key("A", "mark_all", help="mark all shown"),
    Key("I", "invert", help="invert the marks"),
    Key("u", "clear", help="clear the marks"),
    Key("c", "density", "cells/rows", "cells or rows"),
    Key(
        "O",
        "order",
        "",
        "(row view) sort by this column: ascending, descending, off; earlier sort columns break ties",
    ),
    Key("greater_than_sign", "wider", "", "in rows: this column wider", shown=">"),
    Key("less_than_sign", "narrower", "", "in rows: this column narrower", shown="<"),
    Key("w", "columns", "", "the rows' columns: which, how wide, sorted by which"),
)

ACTION_KEYS = tuple(
    Key(
        action.key,
        f"do('{action.name}')",
        action.label,
        action.help,
        changes=True,
        synonyms=action.synonyms,
        destroys=action.harsh,
    )
    for action in ACTIONS.values()
    if action.key
)

MAIN: Sequence[Key] = (
    *ACTION_KEYS,
    Key("@", "history", "", "what was done, and how to do it on the command line", shown="@"),
    Key("P", "auto_submit", "", "submit what is next again and again, or no more", changes=True),
    Key("slash", "filter", "filter", "filter", shown="/"),
    Key(
        "M",
        "next_missing",
        "next missing",
        "to the next missing job, through all batches",
        synonyms="failed dead error",
    ),
    Key(
        "L",
        "all_missing",
        "",
        "all missing (lost) jobs, of all batches; again: the batch",
        synonyms="failed dead",
    ),
    Key("f", "newest_running", "", "to the job that started last, its log followed", synonyms="follow tail"),
    Key("left_square_bracket", "previous_batch", "", "previous batch", shown="["),
    Key("right_square_bracket", "next_batch", "", "next batch", shown="]"),
    Key("b", "batches", "batches", "the batches (over the grid on a narrow screen)"),
    Key("i", "details", "info", "all about the job, in place of its log", synonyms="details metadata"),
    Key("o", "stream", "out/err", "stdout or stderr"),
    Key(
        "V",
        "overview",
        "overview",
        "the overview: throughput, time left, why jobs fail, the slowest (not in the log)",
    ),
    Key("plus", "zoom", "zoom", "this pane alone, and back", shown="+"),
    Key("left_parenthesis", "lines(-2)", "", "fewer lines for this pane", shown="("),
    Key("right_parenthesis", "lines(2)", "", "more lines for this pane", shown=")"),
    Key("less_than_sign", "columns(-4)", "", "a narrower tree of batches", shown="<"),
    Key("greater_than_sign", "columns(4)", "", "a wider tree of batches", shown=">"),
    Key("tab", "app.focus_next", "", "next pane", shown="Tab"),
    Key("shift+tab", "app.focus_previous", "", "previous pane", shown="shift+Tab"),
    Key("escape", "back", "", "back: ends a range, zoom or filter; stops an action", shown="Esc"),
    Key(
        "exclamation_mark",
        "trouble",
        "",
        "how database and scheduler are, and what went wrong",
        shown="!",
        synonyms="health status trouble log",
    ),
    Key("ctrl+r", "refresh", "", "read and poll now"),
    Key("ctrl+l", "app.repaint", "", "paint the screen again", shown="ctrl+l"),
    Key("ctrl+o", "databases", "", "another database"),
    Key("colon,ctrl+p", "palette", "", "all commands, batches, filters, themes, databases", shown=": ctrl+p"),
    Key("question_mark", "help", "help", "this help", shown="?"),
    Key("ctrl+z", "app.suspend_process", "", "to the shell; fg comes back", shown="ctrl+z"),
    Key("q", "app.quit", "quit", "leave; jobs go on", synonyms="quit exit close"),
)

OVERVIEW: Sequence[Key] = (
    *MOVE,
    Key(
        "enter",
        "choose",
        "to the jobs",
        "to the jobs that the line is about",
        shown="Enter",
    ),
    Key("1", "window('1h')", "", "the last hour"),
    Key("2", "window('6h')", "", "the last 6 hours"),
    Key("3", "window('1d')", "", "the last day"),
    Key("4", "window('all')", "", "all the time"),
    Key("w", "next_window", "window", "the next span of time"),
    Key("a", "scope", "all/batch", "all batches, or one by itself"),
    Key("left_square_bracket", "batch(-1)", "", "previous batch, by itself", shown="["),
    Key("right_square_bracket", "batch(1)", "", "next batch, by itself", shown="]"),
    Key("tab,right,l", "aside(1)", "next list", "the next list", shown="Tab → l"),
    Key("shift+tab,left,h", "aside(-1)", "", "the list before", shown="shift+Tab ← h"),
    Key("ctrl+r", "refresh", "", "read and poll now"),
    Key("question_mark", "help", "help", "this help", shown="?"),
    Key("escape,q,V", "leave", "back", "back to the jobs", shown="Esc q V"),
)

LOG: Sequence[Key] = (
    Key("up,k", "move(-1)", "", "up", shown="↑ k"),
    Key("down,j", "move(1)", "", "down", shown="↓ j"),
    Key("pageup,ctrl+b", "page(-1)", "", "a page up", shown="PgUp ctrl+b"),
    Key("pagedown,ctrl+f,space", "page(1)", "", "a page down", shown="PgDn Space"),
    Key("ctrl+u", "page(-0.5)", "", "half a page up"),
    Key("ctrl+d", "page(0.5)", "", "half a page down"),
    Key("home,g", "start", "", "to the begin", shown="Home g"),
    Key("end,G", "end", "", "to the end, and follow", shown="End G"),
    Key("left,h", "sideways(-1)", "", "left", shown="← h"),
    Key("right,l", "sideways(1)", "", "right", shown="→ l"),
    Key("0", "margin", "", "to the first column"),
    Key("o", "stream", "out/err", "stdout or stderr"),
    Key("O,vertical_line", "split", "both", "stdout and stderr side by side", shown="O |"),
    Key("left_square_bracket", "attempt(-1)", "", "the attempt before"),
    Key("right_square_bracket", "attempt(1)", "", "the attempt after"),
    Key("left_curly_bracket", "spawn(-1)", "", "the spawn before", shown="{"),
    Key("right_curly_bracket", "spawn(1)", "", "the spawn after", shown="}"),
    Key("F", "follow", "follow", "follow, or stay"),
    Key("number_sign", "numbers", "", "line numbers", shown="#"),
    Key("w", "wrap", "wrap", "wrap long lines"),
    Key("slash", "search", "search", "search"),
    Key("n", "next(True)", "next", "next match"),
    Key("N", "next(False)", "", "previous match"),
    Key("ampersand", "filter", "", "show only matching lines; again: all", shown="&"),
    Key("e", "error(True)", "error", "next error or warning"),
    Key("E", "error(False)", "", "previous error or warning"),
    Key("colon", "go_to", "", "to a line, 50% or 12:05"),
    Key("m", "mark", "", "mark the line"),
    Key("M", "mark_range", "", "mark from the last mark to here"),
    Key("y", "copy", "", "copy the marked lines, or the screen"),
    Key("Y", "plain", "", "show them as plain text, for the terminal's own selection"),
    Key("equals_sign", "facts", "", "the file's name, size and age", shown="="),
    Key("ctrl+s", "save", "", "save to a file"),
    Key("v", "pager", "", "open in $PAGER"),
    Key("V", "editor", "", "open in $EDITOR"),
    Key("plus,enter", "full_screen", "full screen", "the whole screen", shown="+ Enter"),
    Key("escape", "back", "back", "ends prompt, marks, filter, search"),
)

DETAILS: Sequence[Key] = (
    *MOVE,
    Key("right,l", "open", help="open, go in", shown="→ l"),
    Key("left,h", "close", help="close, go out", shown="← h"),
    Key("enter,space", "unfold", help="open or close; a cut line too", shown="Enter Space"),
    Key("e", "edit", "set", "set this field of this job", changes=True),
    Key("y", "copy", "copy", "copy the value"),
    Key("escape", "screen.back", "back"),
    Key("i", "screen.details", "log"),
)

KEY_LINE = {
    "tree": ("r", "s", "d", "S", "space", "slash", "M", "i", "o", "plus", "z", "question_mark", "q"),
    "grid": ("r", "s", "d", "space", "slash", "M", "c", "i", "o", "S", "plus", "z", "question_mark", "q"),
    "log": ("o", "O", "slash", "n", "e", "F", "plus", "w", "escape", "i", "question_mark", "q"),
    "overview": ("enter", "w", "a", "escape", "tab", "question_mark"),
    "details": ("escape", "i", "e", "y", "r", "s", "d", "question_mark", "q"),
}
"""The keys that the key line shows for each pane, the most useful first: it shows as many as fit."""

_JOB_PANES = ("tree", "grid")

_NAMES = {
    "slash": "/",
    "question_mark": "?",
    "plus": "+",
    "space": "Space",
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "colon": ":",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}


def name_of(key: Key) -> str:
    """How a key is called on the screen."""
    first = key.keys.partition(",")[0]
    return key.shown or _NAMES.get(first, first)


def short_name(key: Key) -> str:
    """The shortest name of a key, for the key line."""
    first = key.keys.partition(",")[0]
    return _NAMES.get(first, first)


def bindings(table: Sequence[Key]) -> list[BindingType]:
    """Textual's bindings of a table."""
    return [Binding(key.keys, key.action, key.help or key.label, show=False) for key in table]


def by_name(name: str, pane: str) -> Key | None:
    """The key of that name, as the pane has it or else as the screen has it."""
    table = {"grid": GRID, "tree": TREE, "log": LOG, "details": DETAILS, "overview": OVERVIEW}.get(pane, ())
    for key in (*table, *MAIN):
        if key.keys.partition(",")[0] == name:
            return key
    return None


def key_line(pane: str) -> list[Key]:
    """The keys that the key line shows for a pane, the most useful first. An action with a label that
    KEY_LINE does not place comes last."""
    placed = KEY_LINE.get(pane, ())
    more = [key.keys for key in ACTION_KEYS if key.label and key.keys not in placed and pane in _JOB_PANES]
    return [key for name in (*placed, *more) if (key := by_name(name, pane)) is not None]
