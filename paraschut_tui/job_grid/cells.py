"""Draws one row of the grid's cells: label, glyphs in blocks of ten, marks and cursor. Pure."""

from __future__ import annotations

from itertools import groupby

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from ..state_styles import HOLE, Palette, StateStyles
from .layout import BLOCK

PLAIN, MARKED, RANGE, CURSOR, CURSOR_AWAY = range(5)
"""What lies over a cell."""

_OVERLAY = {MARKED: "mark", RANGE: "range", CURSOR: "cursor", CURSOR_AWAY: "cursor-away"}


def paint(
    label: str,
    label_role: str,
    looks: bytearray,
    overlay: bytearray,
    book: StateStyles,
    palette: Palette,
    width: int,
) -> Strip:
    """The line of one row.

    Args:
        looks: the code of each cell's look, HOLE for none.
        overlay: one of the constants above for each cell.
    """
    text = looks.decode("latin-1").translate(book.table())
    segments = [Segment(label, palette[label_role])]
    base = palette["base"]
    at = 0
    for (look, upper), run in groupby(zip(looks, overlay, strict=True)):
        n = len(list(run))
        role = "base" if look == HOLE else book.looks[look].role
        style = palette.over(role, _OVERLAY[upper]) if upper else palette[role]
        _add(segments, text, at, n, style, base if upper else style)
        at += n
    used = len(label) + at + max(at - 1, 0) // BLOCK
    if used < width:
        segments.append(Segment(" " * (width - used), base))
    return Strip(segments, max(width, used)).crop(0, width)


def _add(segments: list[Segment], text: str, at: int, n: int, style: Style, gap: Style) -> None:
    """Adds cells `at` to `at + n`, with a space before every tenth but the first."""
    blocks = []
    start = at
    while start < at + n:
        stop = min(start - start % BLOCK + BLOCK, at + n)
        blocks.append(text[start:stop])
        start = stop
    if at and at % BLOCK == 0:
        segments.append(Segment(" ", gap))
    if gap is style:
        segments.append(Segment(" ".join(blocks), style))
        return
    for i, block in enumerate(blocks):
        if i:
            segments.append(Segment(" ", gap))
        segments.append(Segment(block, style))
