"""The one sanitiser of text from outside (names, hosts, paths, logs, errors); numbers in short."""

from __future__ import annotations

import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Everything a terminal may act upon: C0 except tab and newline, DEL, C1, all of Unicode's format characters
# (bidirectional, invisible, of writing systems), line/paragraph separators, and lone surrogates (they cannot
# be encoded).
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001345f"
    "\U0001bca0-\U0001bcaf\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BREAKS = re.compile("[\t\n]")

REPLACEMENT = "\ufffd"


_MOST_MARKS = 8  # on one character

_DISPUTED = re.compile(
    "[\U0001f1e6-\U0001f1ff]"  # flags are spelt with these
    "|[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]"  # how a character is to look
    f"|[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{{{_MOST_MARKS + 1},}}"
    "|[\u0378-\u2fff\ua000-\uabff\ufb00-\ufdff\U00010000-\U0001f1e5\U0001f200-\U0010ffff]"
)
_JOINER = re.compile("(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d")  # of two emoji to one


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)  # the control picture of the same character: ␛ for ESC
    return "␡" if code == 0x7F else REPLACEMENT


def clean(text: object) -> str:
    """Text for several lines: controls become visible pictures, tabs and newlines stay."""
    return _UNSAFE.sub(_picture, str(text))


def steady(text: str) -> str:
    """Clean text without what terminals draw in different numbers of columns, so that all lines keep theirs.

    The letters that flags are made of become letters, what only tells how an emoji is to look goes, marks
    piled up on one character are cut to a few, and characters newer than this Python are replaced.
    """
    return text if text.isascii() else _DISPUTED.sub(_settled, text)


def _settled(match: re.Match[str]) -> str:
    found = match.group()
    if len(found) > 1:
        return found[:_MOST_MARKS]
    code = ord(found)
    if 0x1F1E6 <= code <= 0x1F1FF:
        return chr(ord("A") + code - 0x1F1E6)
    if 0xFE00 <= code <= 0xFE0F or 0x1F3FB <= code <= 0x1F3FF:
        return ""
    import unicodedata  # only such characters are worth loading it

    return REPLACEMENT if unicodedata.category(found) == "Cn" else found


def clean_line(text: object, limit: int | None = None) -> str:
    """Text for one line: as `clean` and `steady`, tabs and newlines as spaces, cut to `limit` characters."""
    line = str(text)
    if not line.isascii():
        line = _JOINER.sub("", line)
    line = steady(_BREAKS.sub(" ", clean(line)))
    if limit is not None and len(line) > limit:
        return line[: max(limit - 1, 0)] + "…"
    return line


def complain(message: object) -> None:
    """`paraschut: message` on stderr."""
    try:
        sys.stderr.write(f"paraschut: {clean(message)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody reads stderr any more: there is no other place to say it


def plural(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun: "1 job", "1,200 jobs".

    Args:
        many: the noun's plural, if it is not `one` with an s.
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def spans(numbers: Iterable[int]) -> str:
    """Numbers as `0-9 12 14-15`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
