"""FrameBuffer: what the terminal shows, so that nothing is sent twice.

Textual paints a whole screen when one opens over another, often several times until it has come to rest. Of
each paint only the columns are sent that look otherwise than what is there. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from rich.cells import get_character_cell_size
from rich.style import Style
from textual.strip import Strip

NEAR = 8
"""Columns between two changes below which they are sent as one: a new place costs about as much."""

Column = tuple[str, "Style | None"]
"""What one column shows. The second half of a wide character is NUL and that character."""

Stretch = tuple[int, int]
"""Columns: the first, and the one after the last."""


class FrameBuffer:
    """The rows of a terminal, column by column; None where it is not known what is there."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Column | None]] = {}

    def invalidate(self) -> None:
        """Knows nothing any more: the window has another size, or somebody else wrote to it."""
        self._rows.clear()

    def update(self, x: int, y: int, strip: Strip) -> list[Stretch]:
        """Takes down that the terminal is to show `strip` from column `x` of row `y` on.

        Returns:
            the stretches of the strip's columns that are to be sent for that.
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
            # A terminal that is to show something in one half of a wide character drops the other.
            if x + first > 0 and _is_second_half(row[x + first]):
                row[x + first - 1] = None
            if x + last < len(row) and _is_second_half(row[x + last]):
                row[x + last] = None
        for first, last in stretches:
            row[x + first : x + last] = new[first:last]
        return stretches


def differences(old: Strip, new: Strip) -> list[Stretch]:
    """The stretches of columns in which two lines differ."""
    before, after = columns(old), columns(new)
    if len(before) != len(after):
        return [(0, max(len(before), len(after)))]
    return _differences(before, after)


def columns(strip: Strip) -> list[Column]:
    """What is in each column."""
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
