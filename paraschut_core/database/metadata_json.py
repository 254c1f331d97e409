"""Metadata as JSON text and back again, without losing a value or its type.

Text, finite numbers, true, false, None, lists and dicts with text keys are written as themselves, so that
`json_extract(metadata, '$.field')` finds them. Everything else is an object with the key `$` (values.py):

    {"$": "tuple", "v": [1, 2]}                 one value of the type named
    {"one": 1, "$": [[1, 5, "x"]]}              a dict {"one": 1, 5: "x"}: [position, key, value]

A user's own key `$` is written in the second form, so no data can be taken for a tag. numpy's scalars
become Python's numbers, the only change of type there is, and reported; its arrays are kept (arrays.py).
The text is pure ASCII: lone surrogates and NUL survive.

This is on the path of every job's start: it imports json (which imports re) and nothing else.
"""

from __future__ import annotations

import json

from ..errors import MetadataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

MAX_DEPTH = 100
"""Most containers inside one another: a level takes up to four of SQLite's 1000 levels of JSON."""

BIG = 1 << 1000
"""Integers from here on, and from -BIG down, are not written in decimal: Python may refuse to turn more
than 640 digits into a number (sys.set_int_max_str_digits)."""

_PLAIN = frozenset({str, float, bool, type(None)})
_TEXT = frozenset({str})

dump = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


class Conversion:
    """A value that was stored as another type: where it is, what it was, what it became."""

    __slots__ = ("after", "before", "path")

    def __init__(self, path: str, before: str, after: str) -> None:
        self.path = path
        self.before = before
        self.after = after

    def __str__(self) -> str:
        return f"{self.path}: {self.before} became {self.after}"

    def __repr__(self) -> str:
        return f"Conversion({self.path!r}, {self.before!r}, {self.after!r})"


def encode(info: Mapping[str, object], *, most: int | None = None) -> tuple[str, list[Conversion]]:
    """Metadata as JSON text, and the values in it that changed their type.

    Args:
        info: the metadata.
        most: the most that may be written, in characters of text, each value counting 8 more (for
            input that is not trusted: few bytes with many references to one value make a lot of text).

    Raises:
        MetadataError: a value that cannot be stored without loss; the message names where it is.
    """
    # Nearly all metadata is plain: a look at each value's type is then all that json.dumps lacks.
    if most is None and type(info) is dict and _is_plain(info, 1):
        try:
            text = dump(info)
        except ValueError:
            pass  # a nan or an infinity, which JSON has no word for
        else:
            if "\\ud" not in text:  # surrogates: a pair of lone ones would come back as one character
                return text, []
    from .metadata_values import Writer

    writer = Writer(most)
    try:
        return dump(writer.document(info)), writer.conversions
    except RecursionError as error:
        raise writer.error("is nested too deep to be stored from here") from error


def decode(text: str, *, numpy: bool = True) -> dict[str, Any]:
    """The metadata that `encode` wrote.

    Args:
        text: what `encode` returned.
        numpy: whether arrays come as numpy's (imported only if there are any; where it cannot be
            imported, and with False, they come as `StoredArray`, a list that `encode` writes as an
            array again).

    Raises:
        MetadataError: the text is damaged, or holds what only a newer version can read.
    """
    try:
        if '"$"' not in text:
            info = json.loads(text)
        else:
            from .metadata_values import reviver

            info = json.loads(text, object_hook=reviver(numpy))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise MetadataError(f"Damaged metadata ({error}): {text[:60]!r}") from error
    except RecursionError as error:
        raise MetadataError(f"Damaged metadata (nested too deep): {text[:60]!r}") from error
    if type(info) is not dict:
        raise MetadataError(f"Damaged metadata (not a JSON object): {text[:60]!r}")
    return info


def _is_plain(value: dict[Any, Any], depth: int) -> bool:
    """Whether JSON can express the dict exactly; types are compared, as a subclass would be lost."""
    return _TEXT.issuperset(map(type, value)) and "$" not in value and _are_plain(value.values(), depth)


def _are_plain(values: Iterable[Any], depth: int) -> bool:
    """The same of what a dict or a list holds."""
    for item in values:
        kind = type(item)
        if kind in _PLAIN:
            continue
        if kind is int:
            if not -BIG < item < BIG:
                return False
        elif depth == MAX_DEPTH:
            return False
        elif kind is dict:
            if not _is_plain(item, depth + 1):
                return False
        elif kind is not list or not _are_plain(item, depth + 1):
            return False
    return True
