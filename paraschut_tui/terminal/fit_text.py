"""Fit text to the columns that the layout gave it: the last check before the terminal.

Text from outside is sanitised where it is shown (`clean_line`). Typed text, and what a library puts on the
screen, does not pass there. Here it is made safe once more, in exactly the columns that were counted for it.
"""

from __future__ import annotations

from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from paraschut_core.sanitize import clean_line

from .charset import Charset

UNICODE = Charset()


def fitted(strip: Strip, charset: Charset = UNICODE) -> Strip:
    """Return a strip of the same columns, without characters that act on a terminal or whose width differs
    between terminals."""
    if all(text.isascii() and text.isprintable() for text, _, _ in strip):
        return strip
    return Strip(
        [Segment(charset.substitute(fitted_text(text)), style, control) for text, style, control in strip],
        strip.cell_length,
    )


@lru_cache(maxsize=4096)
def fitted_text(text: str) -> str:
    """Return a text that may be sent, as wide as `cell_len` counts `text`."""
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
