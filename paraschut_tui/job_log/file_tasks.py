"""What the threads of a log viewer do: read pages, look for growth, search, copy, save. No Textual."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from paraschut_core.errors import ParaschutError
from paraschut_core.logs import (
    FILE,
    ContentProof,
    FileChange,
    FileStatus,
    LineIndex,
    LogError,
    MatchChunk,
    OpenLog,
    Pattern,
    Row,
    compare_status,
    find_time,
    open_log,
    row_start,
    rows_after,
    rows_at,
    rows_before,
    scan,
    scan_back,
    stat_log,
    strip_escapes,
)
from paraschut_core.sanitize import clean

from ..formatting import CLIPBOARD_BYTES
from .search_matches import MOST

Cancelled = Callable[[], bool]

TAIL, AT, LINE, TIME = "tail", "at", "line", "time"

_REPORT_EVERY = 0.1  # seconds between two reports of a search
_COPY = 1 << 20

PLAIN_BYTES = 1 << 20
"""As many as anybody would select by hand."""


class PageRequest(NamedTuple):
    """Which rows are wanted: the last ones, or `span` on either side of a place.

    The place is the row that holds the byte `value` (AT), the line of number `value` (LINE), or the first
    of the time `text` (TIME). With `starts`, exactly the rows that begin there (a filter's), of which
    `edges` tells whether they include the first and the last. `above` lines are to be above the place,
    which is to be made the current one with `mark`; `sub` is the line of its row.
    """

    kind: str
    value: int = 0
    text: str = ""
    span: int = 200
    starts: tuple[int, ...] | None = None
    edges: tuple[bool, bool] = (True, True)
    above: int = 0
    sub: int = 0
    mark: bool = False


class LogPage(NamedTuple):
    """The rows that were wanted. `anchor` is the byte where the wanted place is; `trouble` says why it
    could not be found, or why there are no rows; `stopped` that nobody wants them any more."""

    look: FileStatus
    rows: list[Row]
    at_start: bool
    at_end: bool
    anchor: int
    trouble: str = ""
    stopped: bool = False
    proof: ContentProof | None = None


def read_page(
    path: str,
    wanted: PageRequest,
    index: LineIndex,
    cancelled: Cancelled,
    progress: Callable[[int], object] = lambda covered: None,
) -> LogPage:
    """Read rows; never raises for what is wrong with the file."""
    look = stat_log(path)
    if look.kind != FILE:
        return LogPage(look, [], True, True, 0, look.why)
    try:
        with open_log(path) as log:
            page = _read(log, wanted, index, cancelled, progress)
            return page if page.stopped else page._replace(proof=log.proof())
    except LogError as error:
        return LogPage(stat_log(path), [], True, True, 0, str(error))


def _read(
    log: OpenLog,
    wanted: PageRequest,
    index: LineIndex,
    cancelled: Cancelled,
    progress: Callable[[int], object],
) -> LogPage:
    if wanted.starts is not None:
        rows = _numbered(log, rows_at(log, wanted.starts), index, apart=True)
        at_end = wanted.edges[1]
        anchor = log.size if wanted.kind == TAIL else wanted.value
        return LogPage(log.look, rows, wanted.edges[0], at_end, anchor)
    anchor, trouble = log.size, ""
    if wanted.kind == AT:
        anchor = row_start(log, wanted.value)
    elif wanted.kind == LINE:
        if not index.extend(log, cancelled, progress):
            return LogPage(log.look, [], True, True, 0, stopped=True)
        found = index.start_of(log, wanted.value)
        if found is None:
            trouble = f"there is no line {wanted.value:,}: the last is {index.lines(log):,}"
        anchor = row_start(log, log.size) if found is None else found
    elif wanted.kind == TIME:
        try:
            anchor = find_time(log, wanted.text)
        except ParaschutError as error:
            trouble = str(error)
    above = rows_before(log, anchor, wanted.span * (2 if anchor >= log.size else 1))
    below = rows_after(log, anchor, wanted.span) if anchor < log.size else []
    rows = [*above, *below]
    at_start = not rows or rows[0].start == 0
    at_end = not rows or rows[-1].end >= log.size
    return LogPage(log.look, _numbered(log, rows, index), at_start, at_end, anchor, trouble)


def _numbered(log: OpenLog, rows: list[Row], index: LineIndex, *, apart: bool = False) -> list[Row]:
    """The rows with their line numbers, as far as lines are counted; `apart`: they do not adjoin."""
    done = []
    number = index.line_at(log, rows[0].start) if rows else 0
    for at, row in enumerate(rows):
        if apart:
            number = index.line_at(log, row.start)
        elif at and number and row.first:
            number += 1
        done.append(row._replace(number=number))
    return done


class FileUpdate(NamedTuple):
    """What happened to a file since the last look.

    If it grew, `rows` are those from the last known one on, and `at_end` tells whether they are all. `proven`
    tells of a file that was rewritten that other text stands in it now, not only another time.
    """

    look: FileStatus
    what: FileChange
    rows: list[Row]
    at_end: bool
    proven: bool = False
    proof: ContentProof | None = None


def read_change(
    path: str, before: FileStatus, proof: ContentProof | None, last: Row | None, limit: int, index: LineIndex
) -> FileUpdate | None:
    """Return how a file changed; None if it did not, which costs a few system calls.

    `proof` is what the file was at the last look; `last` the last row known, from which on rows are read if
    the file grew, None if none are wanted.
    """
    look = stat_log(path)
    what = compare_status(before, look)
    if what is FileChange.NONE:
        return None
    if what not in (FileChange.GREW, FileChange.REWRITTEN):
        return FileUpdate(look, what, [], False)
    try:
        with open_log(path) as log:
            now = log.proof()
            if proof is not None and not log.continues(proof):
                return FileUpdate(log.look, FileChange.REWRITTEN, [], False, True, now)
            if what is FileChange.REWRITTEN or last is None:
                return FileUpdate(log.look, what, [], False, False, now)
            if index.ready(before.size):
                index.extend(log)
            rows = rows_after(log, last.start, limit)
            at_end = bool(rows) and rows[-1].end >= log.size
            return FileUpdate(log.look, what, _numbered(log, rows, index), at_end, False, now)
    except LogError:
        # It went away between look and reading: the next look says how.
        return None


class SearchChunk(NamedTuple):
    """What a search has found in bytes `start` to `stop`; `ahead` of where it began, or behind. `given_up`
    rows took the expression too long."""

    offsets: list[int]
    start: int
    stop: int
    ahead: bool
    given_up: int = 0


def search_parts(
    path: str, pattern: Pattern, origin: int, cancelled: Cancelled, *, only_ahead: bool = False
) -> Iterator[SearchChunk]:
    """Search from `origin` to the end, then back to the begin, and report now and then.

    The first hit in either direction is reported at once.

    Raises:
        LogError: the file cannot be read (any more).
        SearchAbortedError: the expression takes too long.
    """
    with open_log(path) as log:
        origin = row_start(log, origin)
        total = 0
        for ahead in (True, False):
            if not ahead and only_ahead:
                return
            if ahead:
                found = scan(log, pattern, origin, None, cancelled)
            else:
                found = scan_back(log, pattern, origin, cancelled)
            held: list[MatchChunk] = []
            reported = 0.0
            for part in found:
                if cancelled():
                    return
                held.append(part)
                total += len(part.offsets)
                now = time.monotonic()
                if now - reported >= _REPORT_EVERY:
                    yield _joined(held, ahead)
                    reported = now
                    held.clear()
                if total >= MOST:
                    break
            if held:
                yield _joined(held, ahead)


def _joined(held: Sequence[MatchChunk], ahead: bool) -> SearchChunk:
    parts = held if ahead else held[::-1]
    offsets = [offset for part in parts for offset in part.offsets]
    return SearchChunk(offsets, parts[0].start, parts[-1].stop, ahead, sum(part.given_up for part in parts))


# --------------------------------------------------------------------------- copying and saving


def read_text(path: str, ranges: Sequence[tuple[int, int]], limit: int = CLIPBOARD_BYTES) -> tuple[str, bool]:
    """The sanitised text of some byte ranges of a log, and whether it had to be cut to `limit` bytes.

    Raises:
        LogError: the file cannot be read.
    """
    lines: list[str] = []
    length = 0
    with open_log(path) as log:
        for start, end in ranges:
            at = start
            while at < end and (rows := rows_after(log, at, 200)):
                for row in rows:
                    if row.start >= end:
                        break
                    text = clean(strip_escapes(row.text)).replace("\n", " ") + ("" if row.cut else "\n")
                    length += len(text.encode("utf-8"))
                    lines.append(text)
                    if length > limit:
                        whole = "".join(lines).encode("utf-8")[:limit]
                        return whole.decode("utf-8", "ignore"), True
                at = rows[-1].end
    return "".join(lines), False


def save(path: str, target: str, starts: Iterable[int] | None, cancelled: Cancelled) -> tuple[str, int]:
    """Copy a log, or only its rows that begin at `starts`, byte for byte, into a new file.

    Returns:
        The path of the new file, and its size in bytes.

    Raises:
        LogError: the log cannot be read, the target is there already or cannot be written; or it was
            cancelled. No part of a file stays behind then.
    """
    target = os.path.abspath(os.path.expanduser(target))
    if os.path.isdir(target):
        target = os.path.join(target, os.path.basename(path))
    with open_log(path) as log:
        try:
            with open(target, "xb") as out:
                return target, _write(out, _chunks(log) if starts is None else _rows(log, starts), cancelled)
        except FileExistsError as error:
            raise LogError(f"{target} is there already: choose another name") from error
        except (OSError, ValueError) as error:
            raise LogError(f"{target} cannot be written: {error}") from error


def _write(out: BinaryIO, pieces: Iterable[bytes], cancelled: Cancelled) -> int:
    """Write a new file, or take it away again; return its size."""
    try:
        for data in pieces:
            if cancelled():
                raise LogError("saving was stopped; nothing was saved")
            out.write(data)
        out.flush()
        return out.tell()
    except BaseException:
        os.unlink(out.name)
        raise


def _chunks(log: OpenLog) -> Iterator[bytes]:
    at = 0
    while data := log.read(at, min(at + _COPY, log.size)):
        yield data
        at += len(data)


def _rows(log: OpenLog, starts: Iterable[int]) -> Iterator[bytes]:
    for row in rows_at(log, starts):
        yield log.read(row.start, row.end)
