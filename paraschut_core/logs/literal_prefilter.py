"""Strings that a regular expression cannot match without, so that most of a file need not be matched."""

from __future__ import annotations

import re

_ENDS_RUN = ".^$"
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
"""An escaped letter, a set, or any other letter."""


def needles_of(source: str) -> tuple[list[str], bool]:
    """Strings of which every match holds at least one, and whether any of them is already a match.

    Understands alternatives of literal text with `.`, `^`, `$`, sets, escapes and quantifiers; for anything
    with groups it gives ([], False), which means that nothing is known. Wrong answers would lose
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


def _alternatives(source: str) -> list[list[str]]:
    """The tokens between top-level bars; groups are left to `_runs` to refuse."""
    parts: list[list[str]] = [[]]
    for token in _TOKEN.findall(source):
        if token == "|":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _runs(tokens: list[str]) -> tuple[list[str], bool]:
    """The runs of literal text in one alternative, and whether the whole is one such run."""
    runs = [""]
    literal = True
    for token in tokens:
        if token in "()[]{}" or token == "\\":
            return [], False
        if token[0] == "\\" and not token[1].isalnum() and token[1].isascii():
            runs[-1] += token[1]
        elif token[0] == "\\" and (token[1].isdigit() or token[1] in "xuUN"):
            return [], False
        elif len(token) > 1 or token in _ENDS_RUN or token == "+":
            runs.append("")  # a set, a class such as \d, an anchor
            literal = False
        elif token in "*?":
            runs[-1] = runs[-1][:-1]  # the letter before may be absent
            runs.append("")
            literal = False
        else:
            runs[-1] += token
    return runs, literal
