"""Text with ANSI colours, as text and styles: colours are kept, everything else of escapes goes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from paraschut_core.logs.rows import ESCAPE
from paraschut_core.text import clean_line
from rich.cells import cell_len
from rich.color import Color
from rich.style import Style

TAB = 8
_MOST_PARAMETERS = 64  # of one colour sequence; what follows is ignored


class Span(NamedTuple):
    """Characters `start` up to (without) `end` have `style`."""

    start: int
    end: int
    style: Style


class Styled(NamedTuple):
    """One line of printable text and its styles, in order and without overlap."""

    text: str
    spans: tuple[Span, ...] = ()


class _Pen(NamedTuple):
    """What the colour sequences so far ask for. Blinking and concealing are left out on purpose."""

    front: Color | None = None
    back: Color | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False
    strike: bool = False


_PLAIN = _Pen()

_SWITCHES: dict[int, dict[str, bool]] = {
    1: {"bold": True},
    2: {"dim": True},
    3: {"italic": True},
    4: {"underline": True},
    7: {"reverse": True},
    9: {"strike": True},
    21: {"underline": True},
    22: {"bold": False, "dim": False},
    23: {"italic": False},
    24: {"underline": False},
    27: {"reverse": False},
    29: {"strike": False},
}


def parse(text: str) -> Styled:
    """One line of untrusted text as printable characters and styles.

    Colour sequences (SGR) become styles. Other escape sequences are dropped; an ESC or C1 that is part of
    none, and any other control, becomes a visible picture (`paraschut_core.text`). Tabs become spaces up
    to the next column that is a multiple of 8. Colours do not run on into the next line.
    """
    if "\x1b" not in text and (text.isascii() or "\x9b" not in text):
        return Styled(_expand(clean_line(ESCAPE.sub("", text), tabs=True) if False else _clean(text), 0))
    parts: list[str] = []
    spans: list[Span] = []
    pen = _PLAIN
    at = length = 0
    column = 0
    for match in ESCAPE.finditer(text):
        piece = _expand(_clean(text[at : match.start()]), column)
        at = match.end()
        if piece:
            parts.append(piece)
            if pen != _PLAIN:
                spans.append(Span(length, length + len(piece), _style(pen)))
            length += len(piece)
            column += cell_len(piece)
        sequence = match["csi"]
        if sequence is not None and sequence.endswith("m"):
            pen = _apply(pen, sequence[:-1])
    piece = _expand(_clean(text[at:]), column)
    if piece and pen != _PLAIN:
        spans.append(Span(length, length + len(piece), _style(pen)))
    parts.append(piece)
    return Styled("".join(parts), tuple(spans))
