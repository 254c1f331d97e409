"""Lines of text parts, each with a colour role, made into Textual's strips of an exact width."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from ..state_styles import Palette

Part = tuple[str, str]
"""Text (one line, clean) and the role of its style."""


def width_of(parts: Iterable[Part]) -> int:
    """Columns that the parts take."""
    return sum(cell_len(text) for text, _ in parts)


def fit(text: str, width: int, *, tail: bool = False) -> str:
    """`text` cut or padded to `width` columns; a cut shows as `…`, at the front if the tail matters."""
    length = cell_len(text)
    if length <= width:
        return text + " " * (width - length)
    if width <= 1:
        return "…"[:width]
    if not tail:
        return set_cell_size(text, width - 1) + "…"
    cut = text
    while cell_len(cut) > width - 1:
        cut = cut[1:]
    return "…" + cut + " " * (width - 1 - cell_len(cut))


def line(parts: Iterable[Part], width: int, palette: Palette, right: Iterable[Part] = ()) -> Strip:
    """One line: `parts` from the left, `right` at its right end, which gives way last."""
    end = list(right)
    room = width - width_of(end)
    if room < 0:
        end, room = [], width
    segments: list[Segment] = []
    used = 0
    for text, role in parts:
        length = cell_len(text)
        if used + length > room:
            keep = room - used
            if keep > 0:
                segments.append(Segment(fit(text, keep), palette[role]))
            used = room
            break
        if text:
            segments.append(Segment(text, palette[role]))
            used += length
    if used < room:
        segments.append(Segment(" " * (room - used), palette["base"]))
    segments.extend(Segment(text, palette[role]) for text, role in end if text)
    return Strip(segments, width)
