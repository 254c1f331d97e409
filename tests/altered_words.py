"""Alters every message, reason and label where it is made: code that decides by a sentence goes wrong.

A pytest plugin: `pytest -p tests.altered_words`. It hooks classes as they are made: load it first.
"""

from __future__ import annotations

import codecs
import collections
import dataclasses
import sys
from collections.abc import Callable, Iterable
from typing import Any

FIELDS = frozenset(
    (
        *("button", "error", "help", "hint", "label", "meaning", "message", "note", "notice", "past"),
        *("reason", "title", "trouble", "why", "words"),
    )
)
"""Fields that hold words for people, in every named tuple and data class of the two packages."""

OTHERS = frozenset(
    {("BlockReason", "text"), ("EndReason", "text"), ("CheckResult", "what"), ("CheckResult", "detail")}
)
"""More of them (class, field): elsewhere a field of that name holds no words."""

MARK = "\N{ALMOST EQUAL TO}"


def altered(text: object) -> Any:
    """The text with other letters, so that no word of it can be recognised; anything but text as it is."""
    if not isinstance(text, str) or not text or text.startswith(MARK):
        return text
    return MARK + codecs.encode(text, "rot13")


def _holds_words(class_name: str, field: str) -> bool:
    return field in FIELDS or (class_name, field) in OTHERS


def _is_ours(module: object) -> bool:
    return str(module).partition(".")[0] in ("paraschut_core", "paraschut_tui")


def _hook_named_tuples() -> None:
    make = collections.namedtuple

    def namedtuple(typename: str, field_names: Any, **options: Any) -> Any:
        made: Any = make(typename, field_names, **options)
        places = [place for place, field in enumerate(made._fields) if _holds_words(typename, field)]
        if not (places and _is_ours(options.get("module"))):
            return made
        new = made.__new__

        def altering(cls: type, /, *args: Any, **named: Any) -> Any:
            values = list(new(cls, *args, **named))
            for place in places:
                values[place] = altered(values[place])
            return tuple.__new__(cls, values)

        def of_values(cls: Any, values: Iterable[Any]) -> Any:
            return cls(*values)

        altering.__defaults__ = None
        made.__new__ = altering
        made._make = classmethod(of_values)
        return made

    collections.namedtuple = namedtuple  # type: ignore[assignment]  # what typing.NamedTuple is made with


def _hook_data_classes() -> None:
    decorate: Any = dataclasses.dataclass

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        if cls is None:
            return lambda one: dataclass(one, **options)
        made = decorate(cls, **options)
        names = [one.name for one in dataclasses.fields(made) if _holds_words(cls.__name__, one.name)]
        if names and _is_ours(cls.__module__):
            init = made.__init__

            def altering(self: Any, *args: Any, **named: Any) -> None:
                init(self, *args, **named)
                for name in names:
                    object.__setattr__(self, name, altered(getattr(self, name)))

            made.__init__ = altering
        return made

    dataclasses.dataclass = dataclass


def _hook_errors() -> None:
    from paraschut_core import errors

    def altering(self: Exception, *args: object) -> None:
        Exception.__init__(self, *map(altered, args))

    errors.ParaschutError.__init__ = altering  # type: ignore[method-assign]  # of all the house's errors


def _hook_history() -> None:
    from paraschut_core.database import events

    add: Callable[..., None] = events.add_events

    def altering(tx: Any, entries: Any, why: str, action: int | None = None) -> None:
        add(tx, entries, altered(why), action)

    events.add_events = altering


assert not any(_is_ours(name) for name in sys.modules), "a package is loaded already"
_hook_named_tuples()
_hook_data_classes()
_hook_errors()
_hook_history()
