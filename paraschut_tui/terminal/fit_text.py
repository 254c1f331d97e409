"""Fits text to the columns that layout gave it, whatever it is: the last gate before the terminal.

Text from outside is made fit where it is shown (`clean_line`). What is typed, and what a library puts on the
screen, comes past that; here it is made safe once more, in exactly as many columns as were counted for it.
"""

from __future__ import annotations

from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from paraschut_core.sanitize import clean_line

from .charset import Charset

UNICODE = Charset()


def fitted(strip: Strip, alphabet: Charset = UNICODE) -> Strip:
    """The same columns, of characters only of which every terminal knows the width and that act on none."""
    if all(text.isascii() and text.isprintable() for text, _, _ in strip):
        return strip
    return Strip(
        [Segment(alphabet.shown(fitted_text(text)), style, control) for text, style, control in strip],
        strip.cell_length,
    )


@lru_cache(maxsize=4096)
def fitted_text(text: str) -> str:
    """A text as it may be sent, as wide as `cell_len` says of `text`."""
    width = cell_len(text)
    fit = clean_line(text)
    if cell_len(fit) == width:
        return fit
    parts: list[str] = []
    before = 0
    for at, character in enumerate(text, 1):
        upto = cell_len(text[:at])
        if upto > before:
            part = clean_line(character)
            parts.append(set_cell_size(part, upto - before))
            before = upto
    return set_cell_size("".join(parts), width)
