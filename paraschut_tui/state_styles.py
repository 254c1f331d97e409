"""How a job's state looks: glyph, letter and colour role; and the roles as styles of a theme."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import Color as RichColor
from rich.style import Style
from textual.color import Color
from textual.theme import Theme

from paraschut_core.model import (
    COLLECTED,
    COMPLETE,
    ENDING,
    HELD,
    INIT,
    RUN,
    RUNNING,
    SPAWN,
    STUCK,
    SUBMIT,
    LiveJob,
)
from paraschut_core.sanitize import clean_line


class StateStyle(NamedTuple):
    """One way to show a job. `role` names a style of the Palette; `label` is its word in legends."""

    label: str
    glyph: str
    letter: str
    role: str


# Codes of looks: one byte a job. The known ones are fixed, those of users' states follow.
(L_INIT, L_QUEUED, L_HELD, L_RUN, L_UNCONFIRMED, L_SPAWN, L_COMPLETE, L_COLLECTED, L_MISSING) = range(9)
HOLE = 255
"""No job there: a gap between JobIndexes."""

KNOWN: tuple[StateStyle, ...] = (
    StateStyle("init", "·", "i", "muted"),
    StateStyle("submit", "○", "q", "queued"),
    StateStyle("held", "◌", "h", "warning"),
    StateStyle("run", "▶", "R", "accent"),
    StateStyle("run?", "▷", "r", "accent-dim"),
    StateStyle("spawn", "⁂", "S", "secondary"),
    StateStyle("complete", "✓", "c", "success"),
    StateStyle("collected", "■", "C", "success-dim"),
    StateStyle("missing", "✗", "!", "error"),
)

_OF_STATE = {
    INIT: L_INIT,
    SUBMIT: L_QUEUED,
    RUN: L_UNCONFIRMED,
    SPAWN: L_SPAWN,
    COMPLETE: L_COMPLETE,
    COLLECTED: L_COLLECTED,
}

_LEGEND = (L_MISSING, L_SPAWN, L_RUN, L_UNCONFIRMED, L_HELD, L_QUEUED, L_INIT)
_LEGEND_END = (L_COMPLETE, L_COLLECTED)
_CUSTOM_ROLES = ("custom-a", "custom-b", "custom-c", "custom-d")
_MOST = 200


class StateStyles:
    """All states met so far with their looks. Codes are only ever added, so any thread may ask.

    A state's code is also the code of the look that it has when the scheduler says nothing about it.
    """

    def __init__(self, letters: bool = False) -> None:
        self.letters = letters
        self.looks: list[StateStyle] = list(KNOWN)
        self.states: list[str] = [
            "init",
            "submit",
            "submit",
            "run",
            "run",
            "spawn",
            "complete",
            "collected",
            "",
        ]
        self._codes: dict[str, int] = dict(_OF_STATE)
        self._table: dict[int, str] = {}

    def code(self, state: str) -> int:
        """The code of a state; a new one gets its first letter and a colour that its name decides."""
        code = self._codes.get(state)
        if code is None:
            if len(self.looks) >= _MOST:
                return len(self.looks) - 1  # past any sane number of states: they share the last look
            label = clean_line(state) or "(empty)"
            letter = label[0] if cell_len(label[0]) == 1 else "?"
            role = _CUSTOM_ROLES[zlib.crc32(state.encode("utf-8", "replace")) % len(_CUSTOM_ROLES)]
            self.looks.append(StateStyle(label, letter, letter, role))
            self.states.append(state)
            code = self._codes[state] = len(self.looks) - 1
        return code

    def of(self, code: int, live: LiveJob | None, missing: bool) -> int:
        """The look of a job in the state `code`, given what the scheduler says about it."""
        if missing:
            return L_MISSING
        if live is not None:
            if code == L_UNCONFIRMED and live.state in (RUNNING, ENDING):
                return L_RUN
            if code == L_QUEUED and live.state in (HELD, STUCK):
                return L_HELD
        return code

    def glyph(self, code: int) -> str:
        look = self.looks[code]
        return look.letter if self.letters else look.glyph

    def table(self) -> Mapping[int, str]:
        """For str.translate: code point of a look's code -> its glyph."""
        if len(self._table) != len(self.looks) + 1:
            self._table = {code: self.glyph(code) for code in range(len(self.looks))}
            self._table[HOLE] = " "
        return self._table

    def legend_order(self) -> list[int]:
        """Codes in the order of a legend: what needs a person first, what is done with last."""
        return [*_LEGEND, *range(len(KNOWN), len(self.looks)), *_LEGEND_END]


def _bars(background: str, bar: str) -> dict[str, str]:
    """Scroll bars that keep to the background."""
    names = ("scrollbar-background", "scrollbar-background-hover", "scrollbar-background-active")
    colours = dict.fromkeys((*names, "scrollbar-corner-color"), background)
    return {**colours, **dict.fromkeys(("scrollbar", "scrollbar-hover", "scrollbar-active"), bar)}


DEFAULT_THEME = "paraschut"
LOW_BANDWIDTH_THEME = "paraschut-16"


def default_theme(low_bandwidth: bool) -> str:
    """Return the theme where nobody chose one."""
    return LOW_BANDWIDTH_THEME if low_bandwidth else DEFAULT_THEME


def themes() -> list[Theme]:
    """Our themes: dark (the default), light, both of high contrast, the terminal's own sixteen colours.

    Every text is told from its background by a contrast of 4.5 at least, of high contrast by 7 (WCAG's AA and
    AAA); what is dim by 3.
    """
    return [
        Theme(
            name="paraschut",
            primary="#7aa2c8",
            secondary="#c49be0",
            accent="#5cc8f2",
            warning="#e0b05c",
            error="#ff6464",
            success="#6aa678",
            foreground="#d3d7db",
            background="#12161b",
            surface="#12161b",
            panel="#1d242c",
            variables={
                "muted": "#7f8a95",
                "mark": "#3a3f63",
                "cursor": "#e6e9ec",
                "line": "#37424d",
                **_bars("#12161b", "#37424d"),
            },
        ),
        Theme(
            name="paraschut-light",
            primary="#2b5f8f",
            secondary="#7b3fa0",
            accent="#0b6fa8",
            warning="#8f5f00",
            error="#c01818",
            success="#3a7a48",
            foreground="#24292e",
            background="#fbfaf7",
            surface="#fbfaf7",
            panel="#ece9e2",
            dark=False,
            variables={
                "muted": "#666b71",
                "mark": "#cfd4f2",
                "cursor": "#24292e",
                "line": "#c9c4b8",
                **_bars("#fbfaf7", "#c9c4b8"),
            },
        ),
        Theme(
            name="paraschut-contrast",
            primary="#9ecbff",
            secondary="#e3b8ff",
            accent="#66e0ff",
            warning="#ffd75f",
            error="#ff8f8f",
            success="#7ee787",
            foreground="#ffffff",
            background="#000000",
            surface="#000000",
            panel="#1a1a1a",
            variables={
                "muted": "#c0c0c0",
                "mark": "#303080",
                "cursor": "#ffffff",
                "line": "#909090",
                "contrast": "high",
                **_bars("#000000", "#909090"),
            },
        ),
        Theme(
            name="paraschut-contrast-light",
            primary="#003a75",
            secondary="#5b0a85",
            accent="#00476b",
            warning="#5c3d00",
            error="#8f0000",
            success="#0b4d1c",
            foreground="#000000",
            background="#ffffff",
            surface="#ffffff",
            panel="#eeeeee",
            dark=False,
            variables={
                "muted": "#454545",
                "mark": "#c8d0ff",
                "cursor": "#000000",
                "line": "#6a6a6a",
                "contrast": "high",
                **_bars("#ffffff", "#6a6a6a"),
            },
        ),
        Theme(
            name="paraschut-16",
            primary="ansi_blue",
            secondary="ansi_magenta",
            accent="ansi_cyan",
            warning="ansi_yellow",
            error="ansi_red",
            success="ansi_green",
            foreground="ansi_default",
            background="ansi_default",
            surface="ansi_default",
            panel="ansi_default",
            boost="ansi_default",
            ansi=True,
            variables={
                "muted": "ansi_bright_black",
                "mark": "ansi_blue",
                "cursor": "ansi_white",
                "line": "ansi_bright_black",
                "ansi-background": "ansi_black",
                "ansi-foreground": "ansi_white",
                "border-blurred": "ansi_black",
                "block-cursor-foreground": "ansi_black",
                "block-cursor-background": "ansi_white",
                "input-cursor-background": "ansi_white",
                "input-cursor-foreground": "ansi_black",
                "input-selection-background": "ansi_bright_blue",
                "input-selection-foreground": "ansi_black",
                "screen-selection-background": "ansi_bright_blue",
                "screen-selection-foreground": "ansi_black",
            },
        ),
    ]


class Palette:
    """The styles of one theme, by role."""

    def __init__(self, theme: Theme) -> None:
        muted = theme.variables.get("muted", theme.foreground or "#808080")
        colours = {
            "text": theme.foreground or "#d0d0d0",
            "muted": muted,
            "accent": theme.accent or theme.primary,
            "secondary": theme.secondary or theme.primary,
            "warning": theme.warning or theme.primary,
            "error": theme.error or theme.primary,
            "success": theme.success or theme.primary,
            "primary": theme.primary,
            "line": theme.variables.get("line", muted),
        }
        base = _rich(theme.background or "#000000")
        plain = {role: Style(color=_rich(colour), bgcolor=base) for role, colour in colours.items()}
        bold = Style(bold=True)
        # On a light ground, dim is too pale to be read.
        plainly = theme.ansi or not theme.dark or theme.variables.get("contrast") == "high"
        dim = Style() if plainly else Style(dim=True)
        cursor = _rich(theme.variables.get("cursor", theme.foreground or "#ffffff"))
        on_cursor = base if not theme.ansi else _rich("ansi_black")
        mark = _rich(theme.variables.get("mark", muted))
        self.styles: dict[str, Style] = {
            **plain,
            "bold": plain["text"] + bold,
            "error": plain["error"] + bold,
            "queued": plain["warning"] + dim,
            "accent-dim": plain["accent"] + dim,
            "accent-bold": plain["accent"] + bold,
            "success-dim": plain["success"] + dim,
            "custom-a": plain["secondary"],
            "custom-b": plain["primary"],
            "custom-c": plain["text"],
            "custom-d": plain["warning"],
            "cursor": Style(color=on_cursor, bgcolor=cursor, bold=True),
            "cursor-away": plain["text"] + Style(reverse=False, underline=True, bold=True),
            "mark": Style(bgcolor=mark, underline=True, bold=True),
            "range": Style(bgcolor=mark),
            "base": Style(bgcolor=base),
        }
        self._combined: dict[tuple[str, str], Style] = {}

    def __getitem__(self, role: str) -> Style:
        return self.styles[role]

    def over(self, role: str, upper: str) -> Style:
        """The style `role` with `upper` laid over it."""
        style = self._combined.get((role, upper))
        if style is None:
            style = self._combined[role, upper] = self.styles[role] + self.styles[upper]
        return style


def _rich(colour: str) -> RichColor:
    return Color.parse(colour).rich_color
