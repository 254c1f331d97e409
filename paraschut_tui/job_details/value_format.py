"""Metadata values as people see them: typed, in one line, with what is inside; and read back. Pure."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from paraschut_core.errors import UsageError
from paraschut_core.sanitize import clean_line

PAGE = 100
"""Entries of a long list, or lines of a long text, that are opened at a time."""

LINE = 200
"""Characters of a value that are shown in its line."""

Path = tuple[object, ...]
"""The way to a value: the field's name, then keys and places within it."""


class FormattedValue(NamedTuple):
    """A value in one line. `kind` names its type where the text does not tell it; `role` is its colour."""

    text: str
    kind: str
    role: str


def shown(value: object) -> FormattedValue:
    """A value of any type in one line of clean text, in bounded time whatever its size."""
    if value is None:
        return FormattedValue("none", "", "muted")
    if isinstance(value, bool):
        return FormattedValue("true" if value else "false", "", "secondary")
    if isinstance(value, int):
        return FormattedValue(_short_int(value), "", "secondary")
    if isinstance(value, float):
        return FormattedValue(repr(value), "", "secondary")
    if isinstance(value, str):
        return FormattedValue(_first_line(value), _text_kind(value), "text")
    if isinstance(value, (bytes, bytearray)):
        return FormattedValue(_cut(repr(bytes(value[:LINE]))), f"{len(value):,} bytes", "text")
    if isinstance(value, Mapping):
        return FormattedValue("", f"{len(value):,} {'entry' if len(value) == 1 else 'entries'}", "muted")
    if isinstance(value, (list, tuple, AbstractSet)):
        return _sequence(value)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return _array(value, shape)
    return FormattedValue(_cut(str(value)), clean_line(type(value).__name__, 30), "text")


def _short_int(value: int) -> str:
    # str() of an integer of a million digits takes a second, and Python refuses it above 4300.
    return str(value) if value.bit_length() < 700 else f"an integer of {value.bit_length():,} bits"


def _sequence(value: list[object] | tuple[object, ...] | AbstractSet[object]) -> FormattedValue:
    kind = {list: "list", tuple: "tuple"}.get(type(value), "set")
    if not value:
        return FormattedValue("empty", kind, "muted")
    first = list(itertools.islice(value, 12))
    if any(isinstance(item, (Mapping, list, tuple, AbstractSet)) for item in first):
        text = ""
    else:
        text = _cut(", ".join(shown(item).text for item in first), 60)
        if len(first) < len(value) and not text.endswith("…"):
            text += ", …"
    return FormattedValue(text, f"{kind} of {len(value):,}", "secondary" if _all_numbers(first) else "text")


def _all_numbers(items: Sequence[object]) -> bool:
    return all(isinstance(item, (int, float)) for item in items)


def _array(value: object, shape: tuple[object, ...]) -> FormattedValue:
    size = " x ".join(str(n) for n in shape)
    flat = getattr(value, "flat", None)
    text = "" if flat is None else _cut(", ".join(str(item) for item in itertools.islice(flat, 12)), 60)
    kind = f"array of {size}, " if shape else ""
    return FormattedValue(text, f"{kind}{clean_line(getattr(value, 'dtype', '?'), 30)}", "secondary")


def _text_kind(text: str) -> str:
    if not text:
        return "empty text"
    lines = text.count("\n") + 1
    if lines > 1:
        return f"text of {lines:,} lines"
    if len(text) > LINE:
        return f"text of {len(text):,} characters"
    # What looks like another type is told apart.
    return "text" if _looks_typed(text) else ""


def _looks_typed(text: str) -> bool:
    if text != text.strip():
        return True
    try:
        json.loads(text)
    except ValueError:
        return text == "none"
    return True


def _first_line(text: str) -> str:
    return _cut(text[: 4 * LINE].partition("\n")[0])


def _cut(text: str, most: int = LINE) -> str:
    return clean_line(text[: most + 1], most)


# --------------------------------------------------------------------------- what is inside


class ChildValue(NamedTuple):
    """One part of a value: an entry, a line of a text, or a page of `PAGE` of them (`path` None)."""

    name: str
    value: object
    path: Path | None
    start: int = 0


def has_inside(value: object) -> bool:
    """Whether there is more to a value than its line shows."""
    if isinstance(value, str):
        return len(value) > LINE or "\n" in value
    return isinstance(value, (Mapping, list, tuple, AbstractSet)) and bool(value)


def inside(value: object, path: Path, page: int | None = None) -> list[ChildValue]:
    """The parts of a value; of one with more than PAGE parts, pages, or the parts of one page."""
    if isinstance(value, str):
        parts: Sequence[tuple[str, object]] = [("", line) for line in _lines(value)]
        addresses: Sequence[Path | None] = [None] * len(parts)
    elif isinstance(value, Mapping):
        parts = [(clean_line(key, 40), entry) for key, entry in value.items()]
        addresses = [(*path, key) for key in value]
    elif isinstance(value, (list, tuple)):
        parts = [(str(number), entry) for number, entry in enumerate(value)]
        addresses = [(*path, number) for number in range(len(value))]
    elif isinstance(value, AbstractSet):
        parts = [("", entry) for entry in value]
        addresses = [None] * len(parts)
    else:
        return []
    if page is None and len(parts) > PAGE:
        return list(_pages(len(parts), value))
    low = (page or 0) * PAGE
    chosen = zip(parts[low : low + PAGE], addresses[low : low + PAGE], strict=True)
    return [ChildValue(name, entry, address) for (name, entry), address in chosen]


def _pages(count: int, value: object) -> Iterator[ChildValue]:
    for page in range(math.ceil(count / PAGE)):
        last = min((page + 1) * PAGE, count) - 1
        yield ChildValue(f"{page * PAGE:,} to {last:,}", value, None, page)


def _lines(text: str) -> list[str]:
    """A long text in pieces that fit a line of the screen or so."""
    return [line[at : at + LINE] for line in text.split("\n") for at in range(0, max(len(line), 1), LINE)]


# --------------------------------------------------------------------------- reading back


def as_typed(value: object) -> str | None:
    """What to offer for editing; None: this is nothing to be edited in a line."""
    if isinstance(value, str):
        return value if len(value) <= 10_000 and value.isprintable() else None
    if value is None:
        return ""
    if isinstance(value, (bool, int, float, list, dict)):
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            return None
        return text if len(text) <= 10_000 and text.isprintable() else None
    return None


def kind_of(value: object) -> str:
    """The type of a value that `as_typed` offers, in words."""
    for kind, words in (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "text"),
        (list, "a list, as JSON"),
        (dict, "entries, as JSON"),
    ):
        if isinstance(value, kind):
            return words
    return "anything: JSON, or else text"


def read_typed(text: str, old: object) -> object:
    """What was typed, as a value of the type that the old one has.

    Raises:
        UsageError: it is none.
    """
    if isinstance(old, str):
        return text
    try:
        value: object = json.loads(text)
    except ValueError:
        value = text
        if old is None:
            return text
    if old is None or type(value) is type(old):
        return value
    if isinstance(old, float) and type(value) is int:
        return float(value)
    raise UsageError(f"{clean_line(text, 60)!r} is not {kind_of(old)}.")


def replaced(whole: object, path: Sequence[object], value: object) -> object:
    """A copy of `whole` in which what is at `path` is `value`. Raises UsageError: there is no such place."""
    if not path:
        return value
    step, *rest = path
    if isinstance(whole, dict) and step in whole:
        return {**whole, step: replaced(whole[step], rest, value)}
    if isinstance(whole, (list, tuple)) and isinstance(step, int) and step < len(whole):
        items = list(whole)
        items[step] = replaced(items[step], rest, value)
        return items if isinstance(whole, list) else tuple(items)
    raise UsageError("There is no such entry (any more).")
