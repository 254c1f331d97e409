"""print_lines: the whole lines of a log, lazily, chosen by number and by regular expression."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator

from ..errors import UsageError
from .log_file import OpenLog, open_log
from .rows import row_text, strip_escapes
from .safe_regex import RegexTimeoutError, SafeRegex, SearchAbortedError

_READ = 1 << 20


def print_lines(
    path: str | os.PathLike[str], lines: Iterable[int] | None = None, regex: str | None = None
) -> Iterator[str]:
    """Yield lines of a log as a terminal would show them, without their newlines; not sanitised.

    Args:
        lines: numbers of the lines wanted, counted from 0; negative ones count from the end. They come
            in the order of the file, each once.
        regex: only lines in which this is found (of their text, colours removed).

    Raises:
        LogError: there is no file that can be read (on the first line asked for).
        UsageError: `regex` is not a regular expression, or `lines` are not numbers.
        SearchAbortedError: `regex` takes too long on a line.
    """
    return _chosen(path, lines, None if regex is None else SafeRegex(regex))


def _chosen(
    path: str | os.PathLike[str], lines: Iterable[int] | None, pattern: SafeRegex | None
) -> Iterator[str]:
    with open_log(path) as log:
        wanted, last = _numbers(log, lines)
        for number, raw in enumerate(_whole_lines(log)):
            if last is not None and number > last:
                return
            if wanted is None or number in wanted:
                text = row_text(raw)
                try:
                    found = pattern is None or pattern.found_in(strip_escapes(text))
                except RegexTimeoutError:
                    assert pattern is not None
                    raise SearchAbortedError(pattern.source) from None
                if found:
                    yield text


def _numbers(log: OpenLog, lines: Iterable[int] | None) -> tuple[Container[int] | None, int | None]:
    """The numbers wanted, none negative, and the highest of them (None: no end)."""
    if lines is None:
        return None, None
    if isinstance(lines, range) and lines and min(lines[0], lines[-1]) >= 0:
        return lines, max(lines[0], lines[-1])  # a range may be too long to be listed
    if isinstance(lines, range) and lines and lines.step == 1 and lines[-1] < 0:
        total = sum(1 for _ in _whole_lines(log))
        return range(max(total + lines.start, 0), total + lines.stop), total + lines[-1]
    try:
        numbers = {int(number) for number in lines}
    except (TypeError, ValueError) as error:
        raise UsageError(f"Lines must be line numbers, such as range(10), not {lines!r}") from error
    if any(number < 0 for number in numbers):
        total = sum(1 for _ in _whole_lines(log))
        numbers = {number + total if number < 0 else number for number in numbers}
    return numbers, max(numbers, default=-1)


def _whole_lines(log: OpenLog) -> Iterator[bytes]:
    """Every line with its newline, however long, of the file as it was opened."""
    at = 0
    parts: list[bytes] = []
    while data := log.read(at, min(at + _READ, log.size)):
        at += len(data)
        pieces = data.split(b"\n")
        for piece in pieces[:-1]:
            yield b"".join((*parts, piece, b"\n"))
            parts.clear()
        parts.append(pieces[-1])
    if rest := b"".join(parts):
        yield rest
