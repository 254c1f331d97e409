"""Parse text with ANSI colours into text and styles; all other escape sequences are dropped."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style

from paraschut_core.logs import ESCAPE
from paraschut_core.sanitize import clean, steady

TAB = 8
_MOST_PARAMETERS = 64  # of one colour sequence; what follows is ignored


class AnsiSpan(NamedTuple):
    """Characters `start` up to (without) `end` have `style`."""

    start: int
    end: int
    style: Style


class StyledText(NamedTuple):
    """One line of printable text and its styles, in order and without overlap."""

    text: str
    spans: tuple[AnsiSpan, ...] = ()


class _SgrState(NamedTuple):
    """The state that colour sequences set. Blinking and concealing are ignored on purpose."""

    front: Color | None = None
    back: Color | None = None
    switches: frozenset[str] = frozenset()
    """Which of bold, dim, italic, underline, reverse and strike are on."""


_PLAIN = _SgrState()

_SWITCHES: dict[int, tuple[str, bool]] = {
    1: ("bold", True),
    2: ("dim", True),
    3: ("italic", True),
    4: ("underline", True),
    7: ("reverse", True),
    9: ("strike", True),
    21: ("underline", True),
    23: ("italic", False),
    24: ("underline", False),
    27: ("reverse", False),
    29: ("strike", False),
}


def parse(text: str) -> StyledText:
    """Return one line of untrusted text as printable characters and styles.

    Colour sequences (SGR) become styles. Other escape sequences are dropped. An ESC or C1 that is part of no
    sequence, and any other control, becomes a visible picture (`paraschut_core.sanitize`). Tabs become spaces
    up to the next column that is a multiple of 8. Colours end with the line.
    """
    parts: list[str] = []
    spans: list[AnsiSpan] = []
    state = _PLAIN
    at = length = column = 0
    for match in ESCAPE.finditer(text):
        piece = _printable(text[at : match.start()], column)
        at = match.end()
        if piece:
            parts.append(piece)
            if state != _PLAIN:
                spans.append(AnsiSpan(length, length + len(piece), _style(state)))
            length += len(piece)
            column += cell_len(piece)
        sequence = match["csi"]
        if sequence is not None and sequence.endswith("m"):
            state = _apply(state, sequence[:-1])
    piece = _printable(text[at:], column)
    if piece and state != _PLAIN:
        spans.append(AnsiSpan(length, length + len(piece), _style(state)))
    parts.append(piece)
    return StyledText("".join(parts), tuple(spans))


def _printable(text: str, column: int) -> str:
    """Return sanitised text with its tabs expanded, if it begins in `column`."""
    text = steady(clean(text).replace("\n", " "))
    if "\t" not in text:
        return text
    pieces = text.split("\t")
    done = []
    for piece in pieces[:-1]:
        column += cell_len(piece)
        gap = TAB - column % TAB
        column += gap
        done.append(piece + " " * gap)
    return "".join((*done, pieces[-1]))


# --------------------------------------------------------------------------- colours


def _apply(state: _SgrState, parameters: str) -> _SgrState:
    """Return the state after one colour sequence; unknown parameters change nothing."""
    codes = parameters.split(";")[:_MOST_PARAMETERS]
    at = 0
    while at < len(codes):
        whole = codes[at]
        at += 1
        code, _, rest = whole.partition(":")
        number = _number(code)
        if number in (38, 48):
            if rest:
                colour = _colour([part for part in rest.split(":") if part])
            else:
                # The older spelling goes on with the next parameters: 38;5;n or 38;2;r;g;b.
                taken = {"5": 2, "2": 4}.get(codes[at] if at < len(codes) else "", 0)
                colour = _colour(codes[at : at + taken])
                at += taken
            if colour is not None:
                state = state._replace(front=colour) if number == 38 else state._replace(back=colour)
        elif number == 4 and rest == "0":
            state = state._replace(switches=state.switches - {"underline"})
        else:
            state = _switch(state, number)
    return state


def _switch(state: _SgrState, number: int) -> _SgrState:
    if number == 0:
        return _PLAIN
    if number == 22:
        return state._replace(switches=state.switches - {"bold", "dim"})
    if number in _SWITCHES:
        name, on = _SWITCHES[number]
        return state._replace(switches=state.switches | {name} if on else state.switches - {name})
    if 30 <= number <= 37 or 90 <= number <= 97:
        return state._replace(front=_ansi_colour(number - 30 if number < 90 else number - 82))
    if 40 <= number <= 47 or 100 <= number <= 107:
        return state._replace(back=_ansi_colour(number - 40 if number < 100 else number - 92))
    if number == 39:
        return state._replace(front=None)
    if number == 49:
        return state._replace(back=None)
    return state


def _colour(parts: list[str]) -> Color | None:
    """Read `5 n` or `2 r g b` (the newer spelling may have a colour space before r: `2 s r g b`)."""
    numbers = [_number(part) for part in parts]
    if len(numbers) >= 2 and numbers[0] == 5 and 0 <= numbers[1] <= 255:
        return _ansi_colour(numbers[1])
    if len(numbers) >= 4 and numbers[0] == 2 and all(0 <= number <= 255 for number in numbers[-3:]):
        return Color.from_rgb(*numbers[-3:])
    return None


def _number(text: str) -> int:
    """Return a parameter's number: 0 if it is empty, -1 if it is no number."""
    if not text:
        return 0
    return int(text) if len(text) <= 3 and text.isascii() and text.isdigit() else -1


@lru_cache(maxsize=256)
def _ansi_colour(number: int) -> Color:
    return Color.from_ansi(number)


@lru_cache(maxsize=1024)
def _style(state: _SgrState) -> Style:
    on = state.switches
    return Style(
        color=state.front,
        bgcolor=state.back,
        bold="bold" in on or None,
        dim="dim" in on or None,
        italic="italic" in on or None,
        underline="underline" in on or None,
        reverse="reverse" in on or None,
        strike="strike" in on or None,
    )
