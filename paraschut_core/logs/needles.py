"""Strings that a regular expression cannot match without, so that most of a file need not be matched."""

from __future__ import annotations

_ENDS_RUN = ".^$"


def needles_of(source: str) -> tuple[list[str], bool]:
    """Strings of which every match holds at least one, and whether any of them is already a match.

    Understands alternatives of literal text with `.`, `^`, `$`, escapes and quantifiers; for anything
    with groups or sets it gives ([], False), which means that nothing is known. Wrong answers would lose
    matches, so whatever is not surely literal is not taken for it.
    """
    needles: list[str] = []
    exact = True
    for part in _alternatives(source):
        runs, literal = _runs(part)
        longest = max(runs, key=len, default="")
        if not longest:
            return [], False
        needles.append(longest)
        exact = exact and literal
    return needles, exact


def _alternatives(source: str) -> list[str]:
    """The text between top-level bars; groups and sets are left to `_runs` to refuse."""
    parts, current, escaped = [], "", False
    for letter in source:
        if letter == "|" and not escaped:
            parts.append(current)
            current = ""
            continue
        current += letter
        escaped = letter == "\\" and not escaped
    return [*parts, current]


def _runs(part: str) -> tuple[list[str], bool]:
    """The runs of literal text in one alternative, and whether the whole is one such run."""
    runs = [""]
    literal = True
    at = 0
    while at < len(part):
        letter = part[at]
        at += 1
        if letter in "()[]{}":
            return [], False
        if letter == "\\":
            following = part[at : at + 1]
            at += 1
            if following and not following.isalnum() and following.isascii():
                runs[-1] += following
                continue
            if following.isdigit() or following in ("x", "u", "U", "N", ""):
                return [], False
            runs.append("")  # a class such as \d, or an anchor
            literal = False
        elif letter in _ENDS_RUN:
            runs.append("")
            literal = False
        elif letter in "*?":
            runs[-1] = runs[-1][:-1]  # the letter before may be absent
            runs.append("")
            literal = False
        elif letter == "+":
            runs.append("")
            literal = False
        else:
            runs[-1] += letter
    return runs, literal
