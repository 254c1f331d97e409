"""Sends only the columns that changed: Textual sends each line from its widget's left edge, in full styles.

This leans on how Textual 8 hands its updates on. Where a later one does so in another way, `tightened` gives
the update back as it came, and all that is lost are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS, Console
from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip

from .charset import Charset
from .fit_text import UNICODE, fitted
from .frame_buffer import FrameBuffer
from .style_encoding import Look, StyleEncoder
from .textual_compat import ChopsUpdate, LayoutUpdate

Sent = Callable[[int], object]

_UNKNOWN: Look = ("?", "?", "?")


class AnsiWriter:
    """Writes styled text, telling the terminal of a style only what differs from the one before."""

    def __init__(self, system: ColorSystem, ink: StyleEncoder) -> None:
        self._system = system
        self._ink = ink
        self._out: list[str] = []
        self._at = (-1, -1)
        self._look = _UNKNOWN

    def move(self, x: int, y: int) -> None:
        """Goes to a column and a row, both counted from 0."""
        if self._at != (x, y):
            self._out.append(f"\x1b[{y + 1};{x + 1}H")
            self._at = (x, y)

    def write(self, segments: Iterable[Segment]) -> None:
        """Writes at the present place."""
        for text, style, _ in segments:
            look = self._ink.look(style, text, self._system)
            blank = (
                text.isspace() and "4" not in look[0] + self._look[0] and "7" not in look[0] + self._look[0]
            )
            if blank and look[2] == self._look[2]:
                look = self._look  # the foreground of spaces cannot be seen
            if look != self._look:
                self._out.append(self._change(look))
                self._look = look
            self._out.append(text)
            self._at = (self._at[0] + cell_len(text), self._at[1])

    def text(self) -> str:
        """All that was written; the terminal's style is plain afterwards."""
        return "".join(self._out) + "\x1b[0m" if self._out else ""

    def _change(self, look: Look) -> str:
        old = self._look
        if look[0] != old[0]:  # attributes cannot be taken back one by one everywhere
            return f"\x1b[{';'.join(code for code in ('0', *look) if code not in ('', '39', '49'))}m"
        codes = [new for new, before in zip(look[1:], old[1:], strict=True) if new != before]
        return f"\x1b[{';'.join(codes)}m"


def minimize(
    update: object,
    glass: FrameBuffer,
    sent: Sent = lambda n: None,
    ink: StyleEncoder | None = None,
    alphabet: Charset = UNICODE,
) -> object:
    """The same update of the screen in fewer bytes, if it is of the kind that we know.

    Args:
        glass: what the terminal shows; what it shows already is not sent.
        sent: told how many bytes it came to, once it is written.
        ink: makes codes of styles.
        alphabet: what the terminal can show.
    """
    tight: _TightPieces | _TightScreen
    if ChopsUpdate is not None and type(update) is ChopsUpdate:
        tight = _TightPieces(update.chops, update.spans, update.chop_ends)
    elif LayoutUpdate is not None and type(update) is LayoutUpdate:
        tight = _TightScreen(update.strips, update.region)
    else:
        if update is not None:
            glass.invalidate()
        return update
    tight.sent, tight.glass, tight.ink, tight.alphabet = sent, glass, ink or StyleEncoder(), alphabet
    return tight


def regions_of(update: object) -> list[Region] | None:
    """Where an update changes the screen; None: perhaps everywhere."""
    if ChopsUpdate is not None and type(update) is ChopsUpdate:
        return [Region(left, y, right - left, 1) for y, left, right in update.spans]
    return None


def _pen(console: Console, ink: StyleEncoder) -> AnsiWriter:
    return AnsiWriter(COLOR_SYSTEMS.get(console.color_system or "", ColorSystem.TRUECOLOR), ink)


def _put(pen: AnsiWriter, glass: FrameBuffer, alphabet: Charset, x: int, y: int, strip: Strip) -> None:
    """Writes what of a strip is not there yet."""
    strip = fitted(strip, alphabet)
    for first, last in glass.update(x, y, strip):
        pen.move(x + first, y)
        pen.write(strip.crop(first, last))


def _counted(text: str, sent: Sent) -> str:
    sent(len(text.encode()))
    return text


if ChopsUpdate is not None:

    class _TightScreen(LayoutUpdate):
        """All lines of the screen."""

        sent: Sent
        glass: FrameBuffer
        ink: StyleEncoder
        alphabet: Charset

        def render_segments(self, console: Console) -> str:
            pen = _pen(console, self.ink)
            for y, strips in enumerate(self.strips, self.region.y):
                x = self.region.x
                for strip in strips:
                    _put(pen, self.glass, self.alphabet, x, y, strip)
                    x += strip.cell_length
            return _counted(pen.text(), self.sent)

    class _TightPieces(ChopsUpdate):
        """Crops each piece of a line to the columns that changed."""

        sent: Sent
        glass: FrameBuffer
        ink: StyleEncoder
        alphabet: Charset

        def render_segments(self, console: Console) -> str:
            pen = _pen(console, self.ink)
            for y, left, right in self.spans:
                for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                    if strip is None or x >= right or end <= left:
                        continue
                    first, last = max(x, left), min(end, right)
                    _put(pen, self.glass, self.alphabet, first, y, strip.crop(first - x, last - x))
            return _counted(pen.text(), self.sent)
