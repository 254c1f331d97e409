"""Completion: how a filter that is being typed may go on. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from paraschut_core.filtering.language import HELP
from paraschut_core.model import Snapshot, state_order
from paraschut_core.sanitize import clean_line

from ..formatting import count

MOST = 40
"""Candidates listed at most."""

_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"?|'[^']*'?)*$""")
_SIGNS = "!-("
_PLAIN = re.compile(r"[^\s\"'(),|]+$")


class Candidate(NamedTuple):
    """One way to go on: the whole text then, the word that is new in it, and what to say of it."""

    text: str
    word: str
    help: str = ""


class CompletionData(NamedTuple):
    """What there is to name: jobs by state, batches' names and types, hosts, fields of the metadata."""

    states: Mapping[str, int] = {}
    names: Sequence[str] = ()
    types: Sequence[str] = ()
    hosts: Sequence[str] = ()
    fields: Sequence[str] = ()


def known_of(snapshot: Snapshot, fields: Sequence[str]) -> CompletionData:
    """What a project has to name.

    Args:
        fields: of its jobs' metadata.
    """
    batches = sorted(snapshot.batches.values(), key=lambda batch: -batch.batch_id)
    states: dict[str, int] = {"missing": len(snapshot.missing)}
    for batch in batches:
        for (_, state), n in batch.counts.items():
            states[state] = states.get(state, 0) + n
    order = sorted(states, key=lambda state: (state != "missing", state_order(state)))
    hosts = {job.host for job in snapshot.live.values() if job.host}
    return CompletionData(
        {state: states[state] for state in order},
        tuple(dict.fromkeys(batch.name for batch in batches)),
        tuple(sorted({batch.batch_type for batch in batches if batch.batch_type})),
        tuple(sorted(hosts)),
        tuple(fields),
    )


class Completion:
    """Completes the last word of a filter.

    Args:
        known: what there is.
        saved: filters by the names that they were saved under.
        history: filters used before, the latest last.
    """

    def __init__(self, known: CompletionData, saved: Mapping[str, str], history: Sequence[str]) -> None:
        self._known = known
        self._saved = saved
        self._history = history

    def candidates(self, text: str) -> list[Candidate]:
        """How the text may go on, the likeliest first."""
        found: dict[str, Candidate] = {}
        for candidate in self._all(text):
            if candidate.text != text:
                found.setdefault(candidate.text, candidate)
            if len(found) == MOST:
                break
        return list(found.values())

    def suggestion(self, text: str) -> str | None:
        """The one text that is most likely meant, if what was typed is its beginning."""
        if not text.strip():
            return None
        earlier = (one for one in reversed(self._history) if one.startswith(text) and one != text)
        before = next(earlier, None)
        if before is not None and " " in text:
            return before
        mine = (one.text for one in self.candidates(text) if one.text.startswith(text))
        return (next(mine, None) if last_word(text)[1] else None) or before

    def _all(self, text: str) -> Iterator[Candidate]:
        head, word = last_word(text)
        if word.startswith("@"):
            yield from self._called(head, word[1:])
            return
        field, colon, rest = word.partition(":")
        if colon:
            before, comma, begun = rest.rpartition(",")
            yield from _begun(f"{head}{field}:{before}{comma}", begun, self._values(field.lower()))
            return
        if not word:
            yield from self._called(head, "")
        yield from _begun(head, word, ((f"{name}:", help_) for name, help_ in HELP.items()))
        yield from _begun(head, word, ((f"{name}:", "") for name in self._known.fields))
        if word:
            states = ((state, count(n)) for state, n in self._known.states.items())
            yield from _begun(f"{head}state:", word, states)
            yield from _begun(head, word, ((name, "") for name in _parts(self._known.names)))

    def _called(self, head: str, begun: str) -> Iterator[Candidate]:
        """Saved filters."""
        for name, text in self._saved.items():
            if name.startswith(begun):
                yield Candidate(f"{head}@{name}", f"@{name}", clean_line(text, 40))

    def _values(self, field: str) -> Iterable[tuple[str, str]]:
        known = self._known
        if field == "state":
            return ((state, count(n)) for state, n in known.states.items())
        if field in ("batch", "name"):
            return ((name, "") for name in _parts(known.names))
        if field in ("type", "host", "has"):
            some = {"type": known.types, "host": known.hosts, "has": known.fields}[field]
            return ((word, "") for word in some)
        return ()


def last_word(text: str) -> tuple[str, str]:
    """The text cut before its last word; the signs that turn a term round, and a parenthesis, stay left."""
    match = _WORD.search(text)
    at = match.start() if match is not None else len(text)
    while at < len(text) and text[at] in _SIGNS:
        at += 1
    return text[:at], text[at:]


def _begun(head: str, begun: str, words: Iterable[tuple[str, str]]) -> Iterator[Candidate]:
    """Those of the words that go on from what was begun."""
    wanted = begun.strip("\"'").lower()
    for word, help_ in words:
        if word and word.lower().startswith(wanted):
            plain = word if _PLAIN.match(word) else '"' + word.replace('"', "*") + '"'
            yield Candidate(head + plain, clean_line(word, 40), help_)


def _parts(names: Sequence[str]) -> Iterator[str]:
    """Names, each followed by its parts."""
    for name in dict.fromkeys(names):
        shown = clean_line(name)
        yield shown
        if "/" in shown:
            yield from shown.split("/")
