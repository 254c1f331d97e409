"""A log's rows, forwards and backwards from any byte: a line each, or a bounded part of a long line.

Where a long line is cut depends only on the bytes just before the cut, so that every reader, whatever
the direction and wherever it begins, finds the same rows without looking at the whole line. An offset
that is a multiple of SMALL is a cut if the SMALL bytes before it hold neither newline nor carriage
return; a multiple of BIG is one if the BIG bytes before it hold no newline. So an ordinary long line
comes in parts of 4-8 KiB, and a progress bar that overwrites itself ten thousand times stays one row for
as long as that is bearable. Zeros, as which a hole reads, are cut at multiples of HOLE only.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from ..sanitize import clean
from .log_file import OpenLog

SMALL = 4096
HOLE = 16384
BIG = 65536
LONGEST = 2 * BIG
"""No row is longer than this, in bytes."""

_NEWLINE = 10
_WINDOW = 65536
_BUDGET = 4 << 20
"""Bytes read at most for one request: rows full of overwritten progress are long."""

ESCAPE = re.compile(
    "(?:\x1b\\[|\x9b)(?P<csi>[0-?]*[ -/]*[@-~])"  # CSI: colours (final byte m), cursor, erase
    "|(?:\x1b\\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)"  # OSC: titles, clipboard, links
    "|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\\\|\x9c)"  # DCS, SOS, PM, APC
    "|(?:\x1b\\[|\x9b)[0-?]*[ -/]*$"  # a CSI that the end of the row cut
    "|\x1b[ -/]*[0-~]"  # two-byte escapes, character sets
)
"""What a terminal would act upon and not show. Anything else of ESC and C1 is left to the sanitiser."""


class Row(NamedTuple):
    """One row: bytes `start` to `end` of the file, newline included in `end`.

    `text` is what a terminal would be left with (`visible_text`), without its newline; it is *not* sanitised.
    `first` tells that it begins a line, `cut` that the line goes on in the next row, `latin` that it was read
    as Latin-1.
    """

    start: int
    end: int
    text: str
    first: bool = True
    cut: bool = False
    number: int = 0
    """Its line number from 1; 0 where not known."""
    latin: bool = False


# --------------------------------------------------------------------------- a row's text

_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_NOT_LATIN = re.compile(rb"[\x00-\x06\x0e-\x1a\x7f-\x9f\xff]")
_ZEROS = re.compile("\0{8,}")


def decoded(data: bytes) -> tuple[str, bool]:
    """A row's bytes as text without its newline, and whether they were read as Latin-1.

    What is not UTF-8 is Latin-1 if it looks like it: no character of it is UTF-8's, none a control. Anything
    else becomes U+FFFD.
    """
    latin = False
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        unfinished = error.end == len(data) and error.reason == "unexpected end of data"
        latin = not unfinished and not _NOT_LATIN.search(data) and not _MULTIBYTE.search(data)
        text = data.decode("latin-1" if latin else "utf-8", "replace")
    return text.removesuffix("\n").removeprefix("\ufeff"), latin


def row_text(data: bytes) -> str:
    """The text of a row's bytes as a terminal would be left with."""
    return visible_text(decoded(data)[0])


def visible_text(text: str) -> str:
    """What a terminal would be left with of one row; colours stay.

    The cursor moves within the row by CR, BS and CSI C, D, G and `; CSI K and P erase and delete. A long run
    of zeros is replaced by one and their number.
    """
    return _left_over(text)[0]


def written_texts(data: bytes) -> list[str]:
    """All that a row's bytes have written: what is shown first, then what was overwritten; no escapes."""
    text, pieces = _left_over(decoded(data)[0])
    return [strip_escapes(text), *pieces]


_MOVE = re.compile("[\r\b]|(?:\x1b\\[|\x9b)[0-9;]*[CDGKP`]")
_WIDEST = LONGEST


def _left_over(text: str) -> tuple[str, list[str]]:
    """What is shown of a row, and, where the cursor moved in it, the pieces that were written between."""
    text = text.rstrip("\r")
    if _MOVE.search(text) is None:
        return (_ZEROS.sub(_count_zeros, text) if "\0" in text else text), []
    line = _Line()
    pieces: list[str] = []
    piece = ""
    at = 0
    for match in _CONTROL.finditer(text):
        written = text[at : match.start()]
        if written:
            line.write(written)
            piece += written
        at = match.end()
        found = match.group()
        csi = match["csi"] or ""
        if csi.endswith("m"):
            line.colour(found, csi[:-1])
        elif line.move(found, csi) and piece:
            pieces.append(piece)
            piece = ""
    line.write(text[at:])
    pieces.append(piece + text[at:])
    shown_text = line.text()
    return (_ZEROS.sub(_count_zeros, shown_text) if "\0" in shown_text else shown_text), pieces


def _count_zeros(match: re.Match[str]) -> str:
    return f"\0×{len(match.group()):,}"


_CONTROL = re.compile(f"[\r\b]|{ESCAPE.pattern}")


class _Line:
    """One line of a terminal: its cells, what colours each, and the cursor."""

    def __init__(self) -> None:
        self._cells: list[str] = []  # a wide character's second cell is ''
        self._pens: list[str] = []  # the colour sequences in force
        self._pen = ""
        self._at = 0

    def write(self, text: str) -> None:
        if not text:
            return
        cells: list[str] | str = text
        if not text.isascii() or "\t" in text:
            cells = self._cells_of(text)
        self._pad(self._at)
        end = min(self._at + len(cells), _WIDEST)
        if self._at < len(self._cells) and self._cells[self._at] == "":
            self._cells[self._at - 1] = " "  # the first half of a wide character loses its second
        self._cells[self._at : end] = cells[: end - self._at]
        self._pens[self._at : end] = [self._pen] * (end - self._at)
        if end < len(self._cells) and self._cells[end] == "":
            self._cells[end] = " "
        self._at = end

    def _cells_of(self, text: str) -> list[str]:
        cells: list[str] = []
        for letter in text:
            if letter == "\t":
                cells += " " * (8 - (self._at + len(cells)) % 8)
            elif unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
                if cells:
                    cells[-1 if cells[-1] else -2] += letter
            else:
                cells.append(letter)
                if unicodedata.east_asian_width(letter) in "WF":
                    cells.append("")
        return cells

    def colour(self, sequence: str, parameters: str) -> None:
        if parameters in ("", "0"):
            self._pen = ""
        elif parameters.startswith("0;") or len(self._pen) > _LONGEST_PEN:
            self._pen = sequence
        else:
            self._pen += sequence

    def move(self, found: str, csi: str) -> bool:
        """Does what a control asks for; False for one that means nothing within a row."""
        if found == "\r":
            self._at = 0
            return True
        if found == "\b":
            self._at = max(self._at - 1, 0)
            return True
        what, first = csi[-1:], csi[:-1].partition(";")[0]
        if what not in ("C", "D", "G", "`", "K", "P") or not (first == "" or first.isdecimal()):
            return False
        number = min(int(first[:6] or 0), _WIDEST)
        if what == "K":
            self._erase(number)
        elif what == "P":
            del self._cells[self._at : self._at + max(number, 1)]
            del self._pens[self._at : self._at + max(number, 1)]
        else:
            at = {"C": self._at + max(number, 1), "D": self._at - max(number, 1)}.get(
                what, max(number, 1) - 1
            )
            self._at = min(max(at, 0), _WIDEST)
        return True

    def _erase(self, which: int) -> None:
        if which == 0:
            del self._cells[self._at :], self._pens[self._at :]
        elif which == 1:
            self._pad(self._at + 1)
            self._cells[: self._at + 1] = [" "] * (self._at + 1)
            self._pens[: self._at + 1] = [""] * (self._at + 1)
        elif which == 2:
            self._cells.clear()
            self._pens.clear()

    def _pad(self, to: int) -> None:
        missing = min(to, _WIDEST) - len(self._cells)
        if missing > 0:
            self._cells += " " * missing
            self._pens += [""] * missing

    def text(self) -> str:
        if not any(self._pens):
            return "".join(self._cells)
        parts = []
        before = ""
        for pen, run in itertools.groupby(
            zip(self._pens, self._cells, strict=True), key=lambda cell: cell[0]
        ):
            if pen != before:
                parts.append(f"\x1b[0m{pen}")
                before = pen
            parts.append("".join(cell for _, cell in run))
        return "".join(parts)


_LONGEST_PEN = 256


def strip_escapes(text: str) -> str:
    """A row's text without colours and other escape sequences; what a search looks at."""
    return ESCAPE.sub("", text) if "\x1b" in text or not text.isascii() else text


_COLOUR = re.compile(r"[0-9;:]{0,64}m")


def colours_only(text: str) -> str:
    """A row's text that is safe for a terminal: its colours, and no other control.

    Other escape sequences go, what is left of controls becomes visible. Colours end with the row.
    """
    parts: list[str] = []
    at = 0
    for match in ESCAPE.finditer(text):
        parts.append(clean(text[at : match.start()]))
        at = match.end()
        if match["csi"] and _COLOUR.fullmatch(match["csi"]):
            parts.append(f"\x1b[{match['csi']}")
    if not parts:
        return clean(text)
    return f"{''.join(parts)}{clean(text[at:])}\x1b[0m"


# --------------------------------------------------------------------------- where rows begin


def split_points(data: bytes, base: int, start: int, end: int, line: int | None = None) -> list[int]:
    """Where the line from offset `start` to `end` (its newline, or as far as known) is cut.

    `data` holds the file's bytes from offset `base`; all from `start` on must be in it. If `start` is
    itself a cut, `line` is where the line begins, or any offset in it that is BIG or more before `start`.
    """
    if line is None:
        line = start
    found = []
    first = -(-(start + SMALL) // SMALL) * SMALL
    for at in range(first, end, SMALL):
        here = at - base
        overwritten = data.rfind(b"\r", here - SMALL, here) >= 0
        hole = at % HOLE != 0 and not data[here - SMALL : here].strip(b"\0")
        if not (overwritten or hole) or (at % BIG == 0 and at - BIG >= line):
            found.append(base + _character(data, here))
    return found


def _character(data: bytes, at: int) -> int:
    """Where the character begins whose bytes include the one at `at`."""
    for back in range(min(4, at + 1)):
        byte = data[at - back]
        if byte & 0xC0 != 0x80:
            return at - back if byte >= 0xC0 else at
    return at


def _starts(log: OpenLog, low: int, high: int) -> tuple[list[int], bytes, int]:
    """Row starts from `low` up to (without) `high`, in order, with the bytes read and their offset."""
    base = max(low - LONGEST, 0) if low else 0
    if low and log.read(low - 1, low) == b"\n":
        base = low
    data = log.read(base, high)
    found: list[int] = []
    line = base
    end = base + len(data)
    while line < end:
        newline = data.find(b"\n", line - base)
        stop = base + newline if newline >= 0 else end
        if line >= low and (line > base or base in (0, low)):
            found.append(line)
        if stop - line > SMALL:
            found.extend(cut for cut in split_points(data, base, line, stop) if cut >= low)
        line = stop + 1
    return found, data, base


def line_start(log: OpenLog, offset: int) -> int:
    """Where the line begins of which `offset` is a part; if that is farther back than BIG, BIG back."""
    if not offset or log.read(offset - 1, offset) == b"\n":
        return offset
    low = max(offset - BIG, 0)
    return low + log.read(low, offset).rfind(b"\n") + 1


def row_start(log: OpenLog, offset: int) -> int:
    """Where the row begins that holds the byte at `offset` (of the last row, if that is the end)."""
    offset = min(max(offset, 0), max(log.size - 1, 0))
    # A line this short has no cut, nor one that a character across it could have moved back.
    near = max(offset - SMALL + 4, 0)
    newline = log.read(near, offset).rfind(b"\n")
    if newline >= 0 or near == 0:
        return near + newline + 1
    found, _, _ = _starts(log, max(offset - LONGEST, 0), offset + 4)
    return max((start for start in found if start <= offset), default=offset)


# --------------------------------------------------------------------------- rows


def rows_after(log: OpenLog, offset: int, count: int) -> list[Row]:
    """Up to `count` rows from `offset` on, which must be where a row begins."""
    span = _WINDOW
    while True:
        stop = min(offset + span, log.size)
        found, data, base = _starts(log, offset, stop)
        complete = base + len(data) >= log.size or base + len(data) < stop
        if len(found) > count or complete or (span >= _BUDGET and len(found) > 1):
            break
        span *= 4
    wanted = found[: count + 1]
    if complete and len(found) <= count:
        wanted = [*found, base + len(data)]
    return _build(log, data, base, wanted)


def rows_before(log: OpenLog, offset: int, count: int) -> list[Row]:
    """Up to `count` rows that end at `offset`, which must be where a row begins or the file ends."""
    offset = min(offset, log.size)
    if offset <= 0 or count <= 0:
        return []
    span = _WINDOW
    while True:
        low = max(offset - span, 0)
        found, data, base = _starts(log, low, offset)
        if len(found) >= count or low == 0 or (span >= _BUDGET and found):
            break
        span *= 4
    return _build(log, data, base, [*found[-count:], min(offset, base + len(data))])


def rows_at(log: OpenLog, starts: Iterable[int]) -> list[Row]:
    """The rows that begin at the given offsets."""
    rows: list[Row] = []
    for start in starts:
        before = min(start, 1)
        data = log.read(start - before, start + SMALL)
        newline = data.find(b"\n", before)
        if newline >= 0:
            rows.append(
                _row(
                    data[before : newline + 1],
                    start,
                    start - before + newline + 1,
                    first=data[:before] in (b"", b"\n"),
                )
            )
        elif start < log.size:
            rows.extend(rows_after(log, start, 1))
    return rows


def tail(log: OpenLog, count: int) -> list[Row]:
    """The last `count` rows."""
    return rows_before(log, log.size, count)


def _build(log: OpenLog, data: bytes, base: int, bounds: list[int]) -> list[Row]:
    rows = []
    for start, end in itertools.pairwise(bounds):
        raw = data[start - base : end - base]
        # Where the bytes read begin with a row, that is the first of the file or follows a newline.
        first = start == base or data[start - base - 1] == _NEWLINE
        if raw:
            rows.append(_row(raw, start, end, first=first, cut=not raw.endswith(b"\n") and end < log.size))
    return rows


def _row(data: bytes, start: int, end: int, *, first: bool, cut: bool = False) -> Row:
    text, latin = decoded(data)
    return Row(start, end, visible_text(text), first, cut, latin=latin)
