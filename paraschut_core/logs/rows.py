"""A log's rows, forwards and backwards from any byte: a line each, or a bounded part of a long line.

Where a long line is cut depends only on the bytes just before the cut, so that every reader, whatever
the direction and wherever it begins, finds the same rows without looking at the whole line. An offset
that is a multiple of SMALL is a cut if the SMALL bytes before it hold neither newline nor carriage
return; a multiple of BIG is one if the BIG bytes before it hold no newline. So an ordinary long line
comes in parts of 4-8 KiB, and a progress bar that overwrites itself ten thousand times stays one row for
as long as that is bearable.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import NamedTuple

from .file import OpenLog

SMALL = 4096
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

    `text` is decoded (bad UTF-8 as U+FFFD), without its newline, and of a line that overwrote itself
    with carriage returns only what stands there at last; it is *not* sanitised. `first` tells that it
    begins a line, `cut` that the line goes on in the next row.
    """

    start: int
    end: int
    text: str
    first: bool = True
    cut: bool = False
    number: int = 0
    """Its line number from 1; 0 where not known."""


def shown(data: bytes) -> str:
    """The text of a row's bytes as a terminal would be left with: what follows the last return."""
    text = data.decode("utf-8", "replace")
    if text.endswith("\n"):
        text = text[:-1]
    if "\r" in text:
        text = text.rstrip("\r")
        text = text[text.rfind("\r") + 1 :]
    return text


def plain(text: str) -> str:
    """A row's text without colours and other escape sequences; what a search looks at."""
    return ESCAPE.sub("", text) if "\x1b" in text or not text.isascii() else text


# --------------------------------------------------------------------------- where rows begin


def cuts(data: bytes, base: int, start: int, end: int, line: int | None = None) -> list[int]:
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
        if not overwritten or (at % BIG == 0 and at - BIG >= line):
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
            found.extend(cut for cut in cuts(data, base, line, stop) if cut >= low)
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
                Row(
                    start,
                    start - before + newline + 1,
                    shown(data[before : newline + 1]),
                    data[:before] in (b"", b"\n"),
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
            rows.append(Row(start, end, shown(raw), first, not raw.endswith(b"\n") and end < log.size))
    return rows
