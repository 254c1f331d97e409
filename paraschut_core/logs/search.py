"""Searching a log of any size: literals at the speed of memory, regular expressions line by line."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import UsageError
from .literal_prefilter import needles_of
from .log_file import OpenLog
from .rows import (
    LONGEST,
    SMALL,
    line_start,
    row_start,
    row_text,
    split_points,
    strip_escapes,
    written_texts,
)
from .safe_regex import SHORT, RegexTimeoutError, SafeRegex, SearchAbortedError

_CHUNK = 1 << 20
_SPARSE = 1024  # bytes for each of which one needle for nothing is bearable
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\r\n]*(?:\x07|\x1b\\))")
_CLOSER_LOOK = frozenset("\r\b\x1b\x90\x98\x9b\x9d\x9e\x9f\ufeff\ufffd")
_OVERLAP = 1024
"""Bytes of the next part of a long line that are searched with each part: a match may lie across the cut."""
_NEWLINE = re.compile(rb"\n")
_NEWLINE_BYTE = 10
_MOST_GIVEN_UP = 8
"""Rows on which an expression may take too long before the search is given up."""

Cancelled = Callable[[], bool]


class Pattern:
    """What is searched for.

    Smart case, as in many pagers: a pattern without capitals matches either case.

    Args:
        text: a regular expression, matched against each row as it is shown, colours removed.
        literal: take `text` as it stands.
        ignore_case: True or False to decide; None for smart case.
        needles: when `text` is too intricate to tell, strings one of which is in every match.

    Raises:
        UsageError: `text` is empty or no regular expression.
    """

    def __init__(
        self,
        text: str,
        *,
        literal: bool = False,
        ignore_case: bool | None = None,
        needles: tuple[str, ...] = (),
    ) -> None:
        if not text:
            raise UsageError("Nothing to search for: the pattern is empty")
        self.text = text
        self.literal = literal
        if ignore_case is None:
            ignore_case = not any(letter.isupper() for letter in re.sub(r"\\.", "", text))
        source = re.escape(text) if literal else text
        self.matcher = SafeRegex(source, re.IGNORECASE if ignore_case else 0)
        self.ignore_case = self.matcher.ignore_case
        found, exact = ([text], True) if literal else needles_of(source)
        if needles:
            found, exact = list(needles), False
        if self.ignore_case:
            # bytes.lower() knows ASCII only; other letters are left to the slower way.
            found = [needle.lower() for needle in found] if "".join(found).isascii() else []
        self.needles = tuple(needle.encode("utf-8", "surrogatepass") for needle in found)
        if any(not needle.isascii() for needle in found):
            # In a log that is Latin-1 they are other bytes, which may be a part of something else in UTF-8.
            self.needles += tuple(needle.encode("latin-1") for needle in found if _is_latin(needle))
            exact = False
        self.exact = exact
        """Whether a needle's presence is already a match."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.matcher == other.matcher

    def __hash__(self) -> int:
        return hash(self.matcher)

    def matches(self, text: str) -> bool:
        """Return whether a row's text, colours and all, matches. Raises RegexTimeoutError."""
        return self.matcher.found_in(strip_escapes(text))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the matches are in a text without escape sequences; empty matches left out.

        Raises:
            RegexTimeoutError: a row as this one would keep somebody waiting.
        """
        return self.matcher.spans(text)


def _is_latin(text: str) -> bool:
    return all(ord(letter) < 256 for letter in text)


ERRORS = Pattern(
    r"(?<!\b0 )(?<!\bno )(?:error|exception|traceback|warning|fatal|critical|panic|abort(?:ed|ing)|"
    r"fail(?:ed|ure)|segmentation fault|killed|oom-kill|cancelled|out of memory|permission denied|"
    r"no such file|command not found|quota exceeded|no space left)",
    ignore_case=True,
    needles=(
        *("error", "exception", "traceback", "warning", "fatal", "critical", "panic", "abort", "fail"),
        *("segmentation", "kill", "cancelled", "out of memory", "denied", "no such", "not found"),
        *("quota", "no space"),
    ),
)
"""Lines that tell of trouble, as schedulers, shells, compilers and interpreters write them."""


class MatchChunk(NamedTuple):
    """The matching rows' offsets in a part of the file, and the part: bytes `start` to `stop`. `given_up`
    rows took the expression too long: whether they match is not known."""

    offsets: list[int]
    start: int
    stop: int
    given_up: int = 0


class _Cancelled(Exception):  # noqa: N818 - not an error
    """Nobody wants the search any more."""


class _TimedMatch:
    """One search's pattern, tried on row after row; counts those that it takes too long on."""

    def __init__(self, pattern: Pattern, cancelled: Cancelled) -> None:
        self.pattern = pattern
        self.given_up = 0
        self._cancelled = cancelled

    def matches(self, data: bytes, following: bytes = b"") -> bool:
        """Whether a row's bytes match: what is shown of them, what was overwritten, or a text that begins in
        them and ends in what follows. Not, if that takes too long to tell.

        Raises:
            SearchAbortedError: it took too long too often.
        """
        texts = written_texts(data)
        if any(self._try(text) for text in texts):
            return True
        if not following:
            return False
        whole = strip_escapes(row_text(data + following))
        try:
            return any(start < len(texts[0]) < end for start, end in self.pattern.matcher.spans(whole))
        except RegexTimeoutError:
            return False

    def matches_short(self) -> Callable[[str], object]:
        """What tells whether a text without escapes, of up to SHORT characters, matches."""
        return self.pattern.matcher.quick or self._try

    def _try(self, text: str) -> bool:
        if self._cancelled():
            raise _Cancelled
        try:
            return self.pattern.matcher.found_in(text)
        except RegexTimeoutError:
            self.given_up += 1
            if self.given_up >= _MOST_GIVEN_UP:
                raise SearchAbortedError(self.pattern.text) from None
            return False


def _never() -> bool:
    return False


def scan(
    log: OpenLog, pattern: Pattern, start: int = 0, stop: int | None = None, cancelled: Cancelled = _never
) -> Iterator[MatchChunk]:
    """Search forwards the rows that begin from `start` up to (without) `stop`, about 1 MiB at a time.

    Both must be where rows begin (or the end). To cancel, stop iterating, which is asked for every few
    milliseconds; or let `cancelled` say so, which is asked before each row that may take long.

    Raises:
        LogError: the file cannot be read.
        SearchAbortedError: the expression takes too long on this log.
    """
    yield from _scan(log, _TimedMatch(pattern, cancelled), start, stop)


def _scan(log: OpenLog, trial: _TimedMatch, start: int, stop: int | None) -> Iterator[MatchChunk]:
    stop = log.size if stop is None else min(stop, log.size)
    while start < stop:
        data = log.read(start, min(start + _CHUNK, stop))
        if not data:
            return
        end = start + len(data)
        if len(data) < min(_CHUNK, stop - start):
            stop = end  # it has become shorter meanwhile
        if end < stop:
            end = _last_start(log, data, start)
            data = data[: end - start]
        before = trial.given_up
        following = b"" if data.endswith(b"\n") else log.read(end, end + _OVERLAP)
        try:
            offsets = _search(data, start, line_start(log, start), trial, following)
        except _Cancelled:
            return
        yield MatchChunk(offsets, start, end, trial.given_up - before)
        start = end


def scan_back(
    log: OpenLog, pattern: Pattern, stop: int, cancelled: Cancelled = _never
) -> Iterator[MatchChunk]:
    """Search the rows before `stop`, part by part from the last to the first; ascending within each."""
    trial = _TimedMatch(pattern, cancelled)
    while stop > 0 and not cancelled():
        start = row_start(log, max(stop - _CHUNK, 0))
        parts = list(_scan(log, trial, start, stop))
        offsets = [offset for part in parts for offset in part.offsets]
        yield MatchChunk(offsets, start, stop, sum(part.given_up for part in parts))
        stop = start


def find_next(log: OpenLog, pattern: Pattern, offset: int, cancelled: Cancelled = _never) -> int | None:
    """Where the first matching row from `offset` on begins (a row must begin there); None: nowhere."""
    for part in scan(log, pattern, offset, None, cancelled):
        if part.offsets or cancelled():
            return part.offsets[0] if part.offsets else None
    return None


def find_previous(log: OpenLog, pattern: Pattern, offset: int, cancelled: Cancelled = _never) -> int | None:
    """Where the last matching row before `offset` begins; None: nowhere."""
    for part in scan_back(log, pattern, offset, cancelled):
        if part.offsets or cancelled():
            return part.offsets[-1] if part.offsets else None
    return None


# --------------------------------------------------------------------------- one part


def _last_start(log: OpenLog, data: bytes, start: int) -> int:
    """The last place in `data` (read at `start`) where a row begins."""
    newline = data.rfind(b"\n")
    if newline >= len(data) - LONGEST:
        return start + newline + 1
    return row_start(log, start + len(data) - 4)


def _search(data: bytes, base: int, line: int, trial: _TimedMatch, following: bytes) -> list[int]:
    """The matching rows of `data`, which begins with a row at offset `base`, whose line began at `line`.

    Args:
        following: what comes after `data` in the file, where its last line goes on.
    """
    pattern = trial.pattern
    if b"\x1b" not in data and pattern.needles:
        found = _search_needles(data, base, line, trial, following)
        if found is not None:
            return found
    # Escapes may stand in the middle of what is looked for: a copy without them has the same lines.
    bare = _ESCAPES.sub(b"", data) if b"\x1b" in data else data
    if pattern.needles and bare is not data:
        numbers = sorted({*_needle_lines(data, pattern), *_needle_lines(bare, pattern)})
    else:
        numbers = _matching_lines(bare, trial)
    starts = [0, *(match.end() for match in _NEWLINE.finditer(data)), len(data)]
    last = len(starts) - 2
    if following and (not numbers or numbers[-1] != last):
        numbers = [*numbers, last]  # a match may begin in it and end in what follows
    found = []
    for number in numbers:
        low, high = starts[number], starts[number + 1]
        start = base + low
        rest = following if number == last else b""
        found.extend(_search_rows(data[low:high], start, start if number else line, trial, rest))
    return found


def _search_needles(
    data: bytes, base: int, line: int, trial: _TimedMatch, following: bytes
) -> list[int] | None:
    """Look only at the rows that hold one of the pattern's needles.

    None if so many do for nothing that looking at all lines in turn is quicker.
    """
    pattern = trial.pattern
    sure: bool | None = None if pattern.exact else False
    patience = len(data) // _SPARSE + 8
    rows = _Rows(data, base, line)
    found: set[int] = set()
    following = following.partition(b"\n")[0]
    for at in _needle_places(data + following, pattern, lambda place: rows.end_of(place)):
        start, end = rows.around(min(at, len(data) - 1))
        if sure is None:
            sure = b"\r" not in data and b"\b" not in data and b"\xc2" not in data  # and no C1 controls
        if at >= len(data) and sure:
            break  # it begins in the part after this one
        if start in found or sure or trial.matches(data[start:end], _rest(data, end, following)):
            found.add(start)
            continue
        if start and data[start - 1] != _NEWLINE_BYTE:
            # What is looked for may begin in the part of the line before this one.
            start, end = rows.around(start - 1)
            if start in found or trial.matches(data[start:end], _rest(data, end, following)):
                found.add(start)
                continue
        patience -= 1
        if patience < 0:
            return None
    return [base + start for start in sorted(found)]


def _rest(data: bytes, end: int, following: bytes) -> bytes:
    """What the line that is cut at `end` goes on with; b"" where it ends there."""
    if data[end - 1 : end] == b"\n":
        return b""
    return (data[end : end + _OVERLAP] + following)[:_OVERLAP].partition(b"\n")[0]


def _needle_places(data: bytes, pattern: Pattern, go_on: Callable[[int], int]) -> Iterator[int]:
    """Where needles are in `data`; `go_on` tells from where on to look after one."""
    hay = data.lower() if pattern.ignore_case else data
    for needle in pattern.needles:
        at = hay.find(needle)
        while at >= 0:
            yield at
            at = hay.find(needle, go_on(at))


def _needle_lines(data: bytes, pattern: Pattern) -> Iterator[int]:
    """The numbers, from 0, of the lines of `data` that hold a needle; some perhaps twice."""

    def next_line(place: int) -> int:
        end = data.find(b"\n", place)
        return len(data) if end < 0 else end

    number = counted = 0
    for at in _needle_places(data, pattern, next_line):
        if at < counted:
            number = counted = 0  # the next needle begins from the top
        number += data.count(b"\n", counted, at)
        counted = at
        yield number


def _matching_lines(data: bytes, trial: _TimedMatch) -> list[int]:
    """The numbers, from 0, of the lines of `data` that match, and of those not to be told without a closer
    look: long ones, and ones that overwrote themselves."""
    text = data.decode("utf-8", "replace")
    search = trial.matches_short()
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if any(control in text for control in _CLOSER_LOOK):
        return [
            number
            for number, line in enumerate(lines)
            if len(line) > SHORT or not _CLOSER_LOOK.isdisjoint(line) or search(line)
        ]
    return [number for number, line in enumerate(lines) if len(line) > SHORT or search(line)]


def _search_rows(data: bytes, base: int, line: int, trial: _TimedMatch, following: bytes) -> list[int]:
    rows = _Rows(data, base, line)
    found = []
    at = 0
    while at < len(data):
        start, end = rows.around(at)
        if trial.matches(data[start:end], _rest(data, end, following)):
            found.append(base + start)
        at = end
    return found


class _Rows:
    """The rows of a part of the file that begins where a row begins, asked for in any order."""

    def __init__(self, data: bytes, base: int, line: int) -> None:
        self._data = data
        self._base = base
        self._line = line
        self._bounds: list[int] = [0, 0]  # where the rows of the line asked for last begin, and its end

    def end_of(self, at: int) -> int:
        """Where the row ends that holds the byte `at`; of a byte behind the part: behind that."""
        return self.around(at)[1] if at < len(self._data) else at + 1

    def around(self, at: int) -> tuple[int, int]:
        """Start and end of the row that holds the byte `at`, both counted from the part's begin."""
        bounds = self._bounds
        if not bounds[0] <= at < bounds[-1]:
            start = self._data.rfind(b"\n", 0, at) + 1
            newline = self._data.find(b"\n", at)
            end = newline + 1 if newline >= 0 else len(self._data)
            bounds = [start, end]
            if end - start > SMALL:
                stop = newline if newline >= 0 else end
                line = self._base + start if start else self._line
                inner = split_points(self._data, self._base, self._base + start, self._base + stop, line)
                bounds = [start, *(cut - self._base for cut in inner), end]
            self._bounds = bounds
        place = bisect_right(bounds, at) - 1
        return bounds[place], bounds[place + 1]
