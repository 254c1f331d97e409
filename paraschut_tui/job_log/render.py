"""Rows of a log made into strips: colours, matches, gutter, wrapped or cut to the width."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from paraschut_core.logs import Pattern, RegexTimeoutError, Row

from ..terminal.ansi import AnsiSpan, StyledText, parse

CONTINUED = "…"
"""Stands for a number where a row goes on with a line that began before."""


class LogStyles(NamedTuple):
    """The styles of a log's parts, from the theme."""

    text: Style
    number: Style
    match: Style
    current: Style
    marked: Style
    note: Style


class RenderOptions(NamedTuple):
    """How rows are shown: all that a row's strips depend upon besides the row."""

    width: int
    wrap: bool
    gutter: int
    pattern: Pattern | None
    inks: LogStyles


class Renderer:
    """Makes rows into strips, and remembers the last few hundred."""

    _MOST = 512

    def __init__(self) -> None:
        self._look: RenderOptions | None = None
        self._slow: Pattern | None = None  # took too long to be looked for while somebody waits
        self._lines: dict[tuple[int, int, str], list[Strip]] = {}

    def use(self, look: RenderOptions) -> None:
        """Take another look; what was remembered is forgotten if it differs."""
        if look.pattern is not None and look.pattern == self._slow:
            look = look._replace(pattern=None)
        if look != self._look:
            self._look = look
            self._lines.clear()

    def lines(self, row: Row) -> list[Strip]:
        """The row's lines, at least one, without gutter; uncut unless they are wrapped."""
        look = self._look
        if look is None:
            return [Strip.blank(0)]
        key = (row.start, row.end, row.text)
        found = self._lines.get(key)
        if found is None:
            if len(self._lines) >= self._MOST:
                self._lines.clear()
            try:
                found = list(_lines(row, look))
            except RegexTimeoutError:
                # Its matches are not painted any more; the search itself goes on in its thread.
                self._slow = look.pattern
                self._look = look = look._replace(pattern=None)
                found = list(_lines(row, look))
            self._lines[key] = found
        return found


def gutter(row: Row, sub: int, width: int, current: bool, marked: bool, inks: LogStyles) -> list[Segment]:
    """What stands before a line: whether it is the current one, whether it is marked, its number."""
    sign = "▸" if current and sub == 0 else "▌" if marked else " "
    style = inks.current if current and sub == 0 else inks.marked if marked else inks.number
    segments = [Segment(sign, style)]
    if width > 1:
        number = ""
        if sub == 0:
            number = CONTINUED if not row.first else f"{row.number}" if row.number else ""
        segments.append(Segment(f"{number:>{width - 3}}  ", inks.number))
    elif sub == 0 and not row.first:
        segments = [Segment(CONTINUED, inks.number)]
    return segments


def _lines(row: Row, look: RenderOptions) -> Iterator[Strip]:
    styled = parse(row.text)
    if row.cut:
        end = len(styled.text)
        styled = StyledText(
            styled.text + CONTINUED, (*styled.spans, AnsiSpan(end, end + 1, look.inks.number))
        )
    runs = _runs(styled, look)
    room = max(look.width - look.gutter, 1)
    points = wrap_points(styled.text, room) if look.wrap else [0]
    place = 0
    for start, end in itertools.pairwise([*points, len(styled.text)]):
        segments = []
        while place < len(runs) and runs[place].start < end:
            run = runs[place]
            segments.append(Segment(styled.text[max(run.start, start) : min(run.end, end)], run.style))
            if run.end > end:
                break  # the rest of it is for the next line
            place += 1
        yield Strip(segments)


def wrap_points(text: str, width: int) -> list[int]:
    """Return where each line of a wrapped text begins: never between a character and its combining marks."""
    if text.isascii():
        return list(range(0, len(text), width)) or [0]
    points = [0]
    column = 0
    at = 0
    while at < len(text):
        end = at + 1
        while end < len(text) and cell_len(text[end]) == 0:
            end += 1
        cells = cell_len(text[at:end])
        if column + cells > width and at > points[-1]:
            points.append(at)
            column = 0
        column += cells
        at = end
    return points


def _runs(styled: StyledText, look: RenderOptions) -> list[AnsiSpan]:
    """The whole text in stretches of one style, matches laid over the colours of the log."""
    plain, length = look.inks.text, len(styled.text)
    runs = _covering(
        [AnsiSpan(span.start, span.end, plain + span.style) for span in styled.spans], plain, length
    )
    if look.pattern is None:
        return runs
    matches = [AnsiSpan(start, end, look.inks.match) for start, end in look.pattern.spans(styled.text)]
    laid: list[AnsiSpan] = []
    place = 0
    for start, end, style in _covering(matches, Style.null(), length):
        while place < len(runs) and runs[place].start < end:
            run = runs[place]
            laid.append(AnsiSpan(max(run.start, start), min(run.end, end), run.style + style))
            if run.end > end:
                break  # the rest of it lies under the next match, or the gap after this one
            place += 1
    return laid


def _covering(spans: Sequence[AnsiSpan], gap: Style, length: int) -> list[AnsiSpan]:
    """Ordered spans with the stretches between them filled, so that they cover all `length` characters."""
    covered: list[AnsiSpan] = []
    at = 0
    for span in spans:
        if span.start > at:
            covered.append(AnsiSpan(at, span.start, gap))
        covered.append(span)
        at = span.end
    if at < length:
        covered.append(AnsiSpan(at, length, gap))
    return covered
