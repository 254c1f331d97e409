"""The words of a user's SQL condition, and what to say of one that SQLite does not take. Pure."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from ..sanitize import clean_line

_WORD = r"""
      (?P<space>    [\ \t\n\f\r]+ )
    | (?P<comment>  -- | /\* )
    | (?P<text>     '(?:[^']|'')*' )
    | (?P<quoted>   "(?:[^"]|"")*" )
    | (?P<name>     `(?:[^`]|``)*` | \[[^\]]*\] | [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]* )
    | (?P<number>   (?:[0-9]|\.[0-9]) (?:[eE][+-][0-9] | [A-Za-z0-9_.])* )
    | (?P<sign>     ->>? | \|\| | << | >> | <[=>]? | >=? | ==? | != | [-+*/%&|~,.()] )
    """

# SQLite's messages in clear words; {named} is what it names.
WORDING = (
    (
        "no such column: (.+)",
        "there is no column {named}. Text needs quotes: '{named}'. A field of the metadata is "
        "json_extract(metadata, '$.{named}'). The columns are {columns}",
    ),
    ("no such table: (?:main\\.)?(.+)", "there is no table {named}"),
    ("no such function: (.+)", "there is no function {named}"),
    ("wrong number of arguments to function (.+)\\(\\)", "{named} takes another number of values"),
    (
        "misuse of (?:aggregate function|aggregate:|window function) (.+)\\(\\)",
        "{named} works on many rows: it belongs into a (SELECT ...)",
    ),
    (
        "parser stack overflow|Expression tree is too large.*",
        "it is nested too deep, or has too many parts. Many values of one column: JobIndex IN (1, 2, ...)",
    ),
    ("malformed JSON", "it takes text for JSON that is none; only metadata is JSON"),
    ("user-defined function raised exception", "one of its regular expressions is none that Python knows"),
    ("incomplete input", "something is missing at its end"),
    ("string or blob too big|out of memory", "it makes a value that is too large"),
)


class SqlToken(NamedTuple):
    """One word of a condition: its kind (a group of _WORD), and where it begins."""

    kind: str
    text: str
    start: int


@cache
def _word() -> re.Pattern[str]:
    """Compiled when the first condition comes: that takes 10 ms, which most commands need not spend."""
    return re.compile(_WORD, re.VERBOSE)


def word_at(condition: str, place: int) -> re.Match[str] | None:
    """The word of a condition that begins there; its kind is the group that matched."""
    return _word().match(condition, place)


def strange(condition: str, place: int) -> str:
    """What is wrong with a character that begins no word."""
    character = condition[place]
    if character in "'\"`[":
        return f"this {character} is never closed"
    if character in "?:@$#":
        return f"{character} stands for a value that is not given; text needs quotes"
    if condition[place : place + 2] in ("--", "/*"):
        return "comments may not be in a Filter"
    if character == ";":
        return "a Filter is one condition, and ; would end it"
    return f"SQL does not know the character {character!a}"


def shown(condition: str, place: int | None) -> str:
    """The condition on one line, cut to what matters, with a mark under `place`."""
    begin, mark = 0, ""
    if place is not None:
        begin = max(place - 50, 0)
        mark = "\n  " + " " * (place - begin + (1 if begin else 0)) + "^"
    end = begin + 100
    line = ("…" if begin else "") + clean_line(condition[begin:end]) + ("…" if end < len(condition) else "")
    return "  " + line + mark
