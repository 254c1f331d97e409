"""FrameBuffer: what the terminal shows, so that nothing is sent twice.

Textual paints a whole screen when one opens over another, often several times until it has come to rest, and
each line from its widget's left edge in full styles. Here only the columns are sent that look different from
what the terminal shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style
from textual.strip import Strip

from .fit_text import UNICODE, fitted
from .style_encoding import AnsiWriter, StyleEncoder
from .textual_compat import ScreenPiece, smaller_update

NEAR = 8
"""Columns between two changes below which they are sent as one: a new place costs about as many bytes."""

Column = tuple[str, "Style | None"]
"""What one column shows. The second half of a wide character is NUL and that character."""

Stretch = tuple[int, int]
"""Columns: the first, and the one after the last."""


class FrameBuffer:
    """The rows of a terminal, column by column; None where it is not known what is there.

    Args:
        encoder: makes codes of styles.
    """

    def __init__(self, encoder: StyleEncoder | None = None) -> None:
        self._rows: dict[int, list[Column | None]] = {}
        self.encoder = encoder or StyleEncoder()
        self.charset = UNICODE
        """What the terminal can show."""

    def minimize(self, update: object, on_sent: Callable[[int], object] = lambda n: None) -> object:
        """Return an update of the screen in fewer bytes, or `update` itself if it is of no known kind.

        Args:
            on_sent: called with how many bytes it came to, once it is written.
        """
        smaller = smaller_update(update, partial(self._render, on_sent))
        if smaller is update and update is not None:
            self.invalidate()
        return smaller

    def _render(
        self, on_sent: Callable[[int], object], pieces: Sequence[ScreenPiece] | None, console: Console
    ) -> str | None:
        if pieces is None:
            self.invalidate()
            return None
        system = COLOR_SYSTEMS.get(console.color_system or "", ColorSystem.TRUECOLOR)
        writer = AnsiWriter(system, self.encoder)
        for x, y, strip in pieces:
            fit = fitted(strip, self.charset)
            for first, last in self.update(x, y, fit):
                writer.move(x + first, y)
                writer.write(fit.crop(first, last))
        text = writer.text()
        on_sent(len(text.encode()))
        return text

    def invalidate(self) -> None:
        """Forget what is shown: the window has another size, or something else wrote to it."""
        self._rows.clear()

    def update(self, x: int, y: int, strip: Strip) -> list[Stretch]:
        """Record that `strip` is drawn at column `x` of row `y`; return the column ranges that changed.

        The ranges count from the strip's first column.
        """
        new = columns(strip)
        row = self._rows.setdefault(y, [])
        end = x + len(new)
        row.extend(repeat(None, end - len(row)))
        old = row[x:end]
        if old == new:
            return []
        stretches = _differences(old, new)
        for first, last in stretches:
            # A terminal that gets one half of a wide character drops the other.
            if x + first > 0 and _is_second_half(row[x + first]):
                row[x + first - 1] = None
            if x + last < len(row) and _is_second_half(row[x + last]):
                row[x + last] = None
        for first, last in stretches:
            row[x + first : x + last] = new[first:last]
        return stretches


def columns(strip: Strip) -> list[Column]:
    """Return what each column of a strip shows."""
    found: list[Column] = []
    for text, style, _ in strip:
        if text.isascii():
            found.extend(zip(text, repeat(style)))
            continue
        for character in text:
            width = get_character_cell_size(character)
            if width:
                found.append((character, style))
                found.extend(repeat((f"\0{character}", style), width - 1))
            elif found:  # a combining mark has no column of its own
                found[-1] = (found[-1][0] + character, found[-1][1])
    return found


def _differences(before: Sequence[Column | None], after: Sequence[Column]) -> list[Stretch]:
    stretches: list[Stretch] = []
    for at, (one, two) in enumerate(zip(before, after, strict=True)):
        if one == two:
            continue
        if stretches and at - stretches[-1][1] < NEAR:
            stretches[-1] = (stretches[-1][0], at + 1)
        else:
            stretches.append((at, at + 1))
    for at, (first, last) in enumerate(stretches):  # a wide character is sent as a whole
        while first > 0 and _is_second_half(after[first]):
            first -= 1
        while last < len(after) and _is_second_half(after[last]):
            last += 1
        stretches[at] = (first, last)
    return stretches


def _is_second_half(column: Column | None) -> bool:
    return column is not None and column[0][:1] == "\0" and len(column[0]) > 1
