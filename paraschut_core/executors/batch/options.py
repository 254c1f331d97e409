"""Options of a scheduler's submit command: what each word asks for, and which one takes another's place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

_NEGATIVE = re.compile(r"-[0-9]")


class OptionGrammar(NamedTuple):
    """How a scheduler writes its options.

    `short` gives one-letter options their long names ('' for none). With `letters` an option of one dash is
    a letter, whose value may follow without a blank; else it is a whole word. The values of `lists` are lists
    of resources, each of which is an option of its own, named `l:NAME`. `alike` are groups of options of
    which a job can have one; `pairs` those that exclude each other. `repeated` may be given several times.
    """

    short: Mapping[str, str] = MappingProxyType({})
    letters: bool = True
    lists: tuple[str, ...] = ()
    alike: tuple[frozenset[str], ...] = ()
    pairs: tuple[tuple[frozenset[str], frozenset[str]], ...] = ()
    repeated: frozenset[str] = frozenset()


class SubmitOption(NamedTuple):
    """One option: its words, its value, and what it asks for: one name, or one for each part of its list."""

    words: tuple[str, ...]
    value: str
    names: tuple[str, ...]
    flag: str = ""
    parts: tuple[str, ...] = ()


def parse(words: Iterable[str], grammar: OptionGrammar) -> list[SubmitOption]:
    """The options in these words. A word that is none goes to the option before it."""
    groups: list[list[str]] = []
    for word in words:
        if not groups or (word.startswith("-") and not _NEGATIVE.match(word)):
            groups.append([word])
        else:
            groups[-1].append(word)
    return [_option(group, grammar) for group in groups]


def _option(words: list[str], grammar: OptionGrammar) -> SubmitOption:
    first, *following = words
    if first.startswith("--"):
        name, equals, value = first[2:].partition("=")
        return SubmitOption(tuple(words), " ".join([value, *following] if equals else following), (name,))
    name = first[1:]
    if grammar.letters and len(name) > 1:
        following = [name[1:].removeprefix("="), *following]
        name = name[0]
    if name in grammar.lists and len(following) == 1:
        parts = _split(following[0])
        names = tuple(f"l:{part.partition('=')[0].strip()}" for part in parts)
        return SubmitOption(tuple(words), following[0], names, f"-{name}", parts)
    return SubmitOption(tuple(words), " ".join(following), (grammar.short.get(name, name),))


def _split(text: str) -> tuple[str, ...]:
    """A list at its commas; those in quotes or brackets are the values'."""
    parts, depth, quote, start = [], 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return tuple(part for part in (*parts, text[start:]) if part)


def excludes(one: str, other: str, grammar: OptionGrammar) -> bool:
    """Return whether a job cannot have both options: they are the same, or ask for one thing in two ways."""
    if one == other:
        return one not in grammar.repeated
    if any(one in group and other in group for group in grammar.alike):
        return True
    return any((one in a and other in b) or (one in b and other in a) for a, b in grammar.pairs)


def merge(
    layers: Sequence[tuple[Sequence[SubmitOption], Callable[[str], int]]], grammar: OptionGrammar
) -> list[str]:
    """The words of all options but those whose place a stronger one takes.

    Args:
        layers: options, and how strong each of their names is.
    """
    strength: dict[str, int] = {}
    for options, level in layers:
        for option in options:
            for name in option.names:
                strength[name] = max(level(name), strength.get(name, 0))

    def stays(name: str, level: int) -> bool:
        return not any(at > level and excludes(name, other, grammar) for other, at in strength.items())

    words: list[str] = []
    for options, level in layers:
        for option in options:
            kept = [stays(name, level(name)) for name in option.names]
            if all(kept):
                words += option.words
            elif any(kept):
                left = [part for part, keep in zip(option.parts, kept, strict=True) if keep]
                words += [option.flag, ",".join(left)]
    return words
