"""SafeRegex: a regular expression that cannot hold up the program, whatever it is and is matched with.

The standard library's `re` keeps the interpreter's lock while it matches: `(a+)+$` on a line of a hundred
letters stops every thread for longer than anybody waits, and no thread can end it. Such expressions are
matched by the `regex` package instead, which has the same language, lets go of the lock, and gives up after
a time limit. (RE2 would need no limit, but knows neither lookarounds nor back references; a process of its
own that can be killed costs a copy of every byte searched.) It is slower on short lines, mostly because it
looks at the clock for each, so what is easily seen to be harmless is left to `re`.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..errors import ParaschutError, UsageError
from ..sanitize import clean_line

if TYPE_CHECKING:
    import regex

ROW_SECONDS = 0.25
"""How long one row is tried before it is given up."""

PAINT_SECONDS = 0.02
"""The same where a person waits: for the matches within a row on the screen."""

SHORT = 1024
"""Characters of a row up to which one repetition, tried from every place, takes a few milliseconds."""

_MANY = 2  # repetitions: anything may happen
_MOST_GROUPS = 6
_MOST_OPTIONAL = 3


class RegexTimeoutError(Exception):
    """A row was given up: the expression takes too long on it."""


class SearchAbortedError(ParaschutError):
    """A search was given up: the expression took too long on too many rows."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"/{clean_line(source, 40)}/ takes too long on this log: the search was stopped."
            " Make it simpler, or search for plain text"
        )


class SafeRegex:
    """One expression, matched by whichever engine is safe for it.

    Args:
        source: a regular expression, in the language of `re`.
        flags: as for `re.compile`.

    Raises:
        UsageError: `source` is no regular expression.
    """

    def __init__(self, source: str, flags: int = 0) -> None:
        given, source = source, _unambiguous(source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of what a later Python may take otherwise
                self._re = re.compile(source, flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(f"{given!r} is not a regular expression: {error}") from error
        self.ignore_case = bool(self._re.flags & re.IGNORECASE)
        self.source, self._source, self._flags = given, source, flags
        repetitions = _repetitions(source)
        self._safe_length = (sys.maxsize, SHORT, -1)[repetitions]
        """Up to how many characters `re` is let near a text."""
        self._guarded = _compile_guarded(source, flags) if repetitions else None
        self.quick: Callable[[str], object] | None = self._re.search if repetitions < _MANY else None
        """For texts of up to SHORT characters, the quickest way to know; None: only `found_in` is safe."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SafeRegex) and (self._source, self._flags) == (other._source, other._flags)

    def __hash__(self) -> int:
        return hash((self._source, self._flags))

    def found_in(self, text: str) -> bool:
        """Return whether there is a match in `text`. Raises RegexTimeoutError."""
        if self._guarded is None or len(text) <= self._safe_length:
            return self._re.search(text) is not None
        try:
            return self._guarded.search(text, timeout=ROW_SECONDS) is not None
        except TimeoutError as error:
            raise RegexTimeoutError from error

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the matches are, empty ones left out. Raises RegexTimeoutError."""
        return [span for span in self._all_spans(text) if span[1] > span[0]]

    def _all_spans(self, text: str) -> Iterator[tuple[int, int]]:
        if self._guarded is None or len(text) <= self._safe_length:
            yield from (match.span() for match in self._re.finditer(text))
            return
        try:
            yield from (match.span() for match in self._guarded.finditer(text, timeout=PAINT_SECONDS))
        except TimeoutError as error:
            raise RegexTimeoutError from error


def _compile_guarded(source: str, flags: int) -> regex.Pattern[str]:
    import regex  # loaded by the first search that needs it: it takes a tenth of a second

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return regex.compile(source, flags & ~re.UNICODE)
    except (regex.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{source!r} is not a regular expression: {error}") from error


_QUANTIFIER = re.compile(r"\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]+)\}")
_POSIX_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
_POSIX = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9A-Fa-f",
}


def _unambiguous(source: str) -> str:
    """The expression with nothing in it that the two engines read in two ways.

    A brace that is no repetition is a brace (`regex` takes `(a){e<=1}` for a fuzzy match). POSIX's classes
    within a set, which `re` does not know, are spelt out.

    Raises:
        UsageError: a class that there is not, or a negated one.
    """
    if "{" not in source and "[:" not in source:
        return source
    parts: list[str] = []
    at = 0
    while at < len(source):
        letter = source[at]
        if letter == "\\":
            parts.append(source[at : at + 2])
            at += 2
        elif letter == "[":
            end = _end_of_set(source, at + 1)
            parts.append(_POSIX_CLASS.sub(_spelt_out, source[at:end]))
            at = end
        elif letter == "{":
            found = _QUANTIFIER.match(source, at)
            parts.append(found[0] if found else "\\{")
            at = found.end() if found else at + 1
        else:
            parts.append(letter)
            at += 1
    return "".join(parts)


def _spelt_out(match: re.Match[str]) -> str:
    if match[1] or match[2] not in _POSIX:
        raise UsageError(
            f"{match[0]} is no class of letters that is known here: write one of {', '.join(_POSIX)}, such as"
            " [[:digit:]], or [^...] for all others."
        )
    return _POSIX[match[2]]


def _repetitions(source: str) -> int:
    """How many repetitions an expression has; _MANY: it may take exponential time.

    Taken from the text alone, and on the safe side: a brace that is meant as such counts too. Repeated
    groups, back references and long rows of choices are what makes an expression exponential.
    """
    repetitions = optional = groups = 0
    before = ""
    at = 0
    while at < len(source):
        letter = source[at]
        at += 1
        if letter == "\\":
            following = source[at : at + 1]
            at += 1
            if following.isdigit():
                return _MANY
            before = "\\"
            continue
        if letter == "[":
            at = _end_of_set(source, at)
            before = "]"
            continue
        if letter == "(":
            groups += 1
            if source[at : at + 1] == "?":
                if source[at + 1 : at + 3] == "P=" or source[at + 1 : at + 2] == "(":
                    return _MANY
                at += 1  # not a quantifier
        elif letter in "*+{":
            if before == ")":
                return _MANY
            # A second quantifier behind the first one makes that lazy or possessive.
            repetitions += before not in ("*", "+", "{", "}")
        elif letter == "?" and before not in ("*", "+", "}"):
            optional += 1
        before = letter
    if groups > _MOST_GROUPS or optional > _MOST_OPTIONAL:
        return _MANY
    return min(repetitions, _MANY)


def _end_of_set(source: str, at: int) -> int:
    """Behind the bracket that closes the set whose inside begins at `at`."""
    if source[at : at + 1] == "^":
        at += 1
    if source[at : at + 1] == "]":
        at += 1
    while at < len(source):
        if source[at] == "]":
            return at + 1
        if posix := _POSIX_CLASS.match(source, at):
            at = posix.end()
        else:
            at += 2 if source[at] == "\\" else 1
    return at
