"""The filter language: words and field:value terms, made into an SQLite condition.

    genome state:missing,run -host:n12 age:>2h (exit:137 | reason:memory) resources.mem:4gb @mine

Terms that stand side by side must all hold; `|` or OR between them: one of them. `!`, `-` or NOT turns a
term or a group round. A text is searched for within the job's, `*` stands for anything; `=text` is the whole
of it, `~text` a regular expression; commas separate alternatives. A field that is none of ours is one of the
metadata. `@name` is a filter that was saved under that name. With `sql:`, or where it can be nothing else,
the text is a condition itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from paraschut_core.errors import FilterError, UsageError
from paraschut_core.logs import Pattern
from paraschut_core.model import DONE_STATES, STATES
from paraschut_core.near_misses import STATE_SYNONYMS, near

from .sql_terms import TermValue, meta_term, number_term, quote, span_term, text_term

_FIELD = re.compile(r"(?P<field>[^\W\d][\w.-]*):")
_SQL = re.compile(r"[=<>;]|^(LIKE|GLOB|IN|IS|BETWEEN|REGEXP)$")
"""A word that only makes sense in an SQLite condition: then all of the text is one."""

_QUOTED = re.compile(r"""(?<!\w)("[^"]*"?|'[^']*'?)""")
_MISSING = re.compile(r"\bmissing\b", re.IGNORECASE)
_TEXTS = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_DEEPEST = 20
"""Levels of parentheses, and of saved filters within saved filters."""


class LogTerm(NamedTuple):
    """Text (or, with `regex`, an expression) that is to be in a job's log, or not to be (`wanted` False)."""

    text: str
    regex: bool = False
    wanted: bool = True

    @property
    def pattern(self) -> Pattern:
        """What is searched for. Raises UsageError: it is no regular expression."""
        return Pattern(self.text, literal=not self.regex)


class Query(NamedTuple):
    """What a filter means.

    `condition` is for SQLite ("" matches all), with the column `missing`. `log` is what must be in a job's
    latest logs, or must not. `timed` says that what matches changes with the clock; `fields` are the
    metadata's that it names.
    `is_sql`: the text is a condition itself. `unknown`: a sentence for each state that no job has.
    """

    text: str
    condition: str = ""
    log: tuple[LogTerm, ...] = ()
    timed: bool = False
    fields: tuple[str, ...] = ()
    is_sql: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def uses_missing(self) -> bool:
        """Whether what matches depends on which jobs are missing."""
        return _MISSING.search(_TEXTS.sub("", self.condition)) is not None


def parse(
    text: str,
    now: float | None = None,
    saved: Mapping[str, str] | None = None,
    states: Collection[str] = (),
) -> Query:
    """The meaning of a filter's text.

    Args:
        now: the time that ages are counted from (epoch s).
        saved: filters by the names that they were saved under.
        states: the states that jobs have. One of these is never taken for a synonym of another.

    Raises:
        FilterError: a term that is none; the message says what is allowed.
    """
    text = text.strip()
    if text.startswith("sql:"):
        return Query(text, text[4:].strip(), is_sql=True)
    if _is_sql(text):
        return Query(text, text, is_sql=True)
    parser = _Parser(text, time.time() if now is None else now, saved or {}, states)
    condition = parser.whole()
    return Query(
        text,
        condition,
        tuple(parser.log),
        parser.timed,
        tuple(parser.fields),
        unknown=tuple(parser.unknown),
    )


def _is_sql(text: str) -> bool:
    words = _QUOTED.sub(" ", text).split()
    return any(_SQL.search(word) and not _FIELD.match(word.lstrip("!-(")) for word in words)


class _Parser:
    """Reads a filter from left to right; what it learns beside the condition is in its attributes."""

    def __init__(
        self, text: str, now: float, saved: Mapping[str, str], states: Collection[str], depth: int = 0
    ) -> None:
        self.text = text
        self.now = now
        self.saved = saved
        self.states = states
        self.unknown: list[str] = []
        self.log: list[LogTerm] = []
        self._log_wanted = True
        self.fields: list[str] = []
        self.timed = False
        self._at = 0
        self._depth = depth
        self._open = 0
        self._plain = True  # neither within a group, nor turned round, nor one of several alternatives

    # ------------------------------------------------------------------ terms and groups

    def whole(self) -> str:
        """The condition of all the text."""
        return self._alternatives()

    def _alternatives(self) -> str:
        found = [self._all_of()]
        while self._takes("|", "OR"):
            if self.log and self._plain:
                raise _log_apart()
            self._plain = False
            found.append(self._all_of())
        parts = [part for part in found if part]
        return parts[0] if len(parts) == 1 else " OR ".join(f"({part})" for part in parts)

    def _all_of(self) -> str:
        parts: list[str] = []
        while True:
            while self._takes("AND"):
                pass
            self._skip()
            if self._at >= len(self.text) or self._next_is(")", "|", "OR"):
                return " AND ".join(f"({part})" for part in parts) if len(parts) > 1 else "".join(parts)
            part = self._turned()
            if part:
                parts.append(part)

    def _turned(self) -> str:
        """A term or a group, perhaps with a sign before it that turns it round."""
        if self._takes("!", "-", "NOT"):
            self._skip()
            if self._at >= len(self.text) or self._next_is(")", "|", "OR"):
                return ""  # it is being typed
            if self._plain and self.text[self._at : self._at + 4].lower() == "log:":
                self._log_wanted = False
                self._term()
                self._log_wanted = True
                return ""
            self._deeper()
            plain, self._plain = self._plain, False
            part = self._turned()
            self._plain = plain
            self._depth -= 1
            return f"NOT coalesce({part}, 0)" if part else ""
        self._skip()
        if self._takes("("):
            return self._group()
        return self._term()

    def _group(self) -> str:
        self._deeper()
        self._open += 1
        plain, self._plain = self._plain, False
        condition = self._alternatives()
        self._plain = plain
        self._takes(")")  # one that is not closed yet is being typed
        self._open -= 1
        self._depth -= 1
        return condition

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise FilterError("The filter is nested too deep.")

    def _term(self) -> str:
        begin = self._at
        try:
            return self._read_term()
        except FilterError as error:
            if error.position is not None:
                raise
            raise FilterError(error.message, begin) from error

    def _read_term(self) -> str:
        if self.text[self._at] == "@":
            return self._saved_one()
        match = _FIELD.match(self.text, self._at)
        if match is None:
            value = self._value()
            return _anything(value) if value else ""
        self._at = match.end()
        field, value = match["field"], self._value()
        if not value:
            return ""  # it is being typed
        name = field.lower()
        if name == "log":
            if not self._plain:
                raise _log_apart()
            self.log.append(_log_term(value, self._log_wanted))
            return ""
        if name == "state":
            return _state(self._known_states(value))
        if name in _TIMES:
            self.timed = True
            return span_term(_TIMES[name].format(now=f"{self.now:.0f}"), value)
        if name in _FIELDS:
            return _FIELDS[name](value)
        path = (value.text if name == "has" else field).removeprefix("meta.")
        self.fields.append(path)
        return meta_term(path, None if name == "has" else value)

    def _known_states(self, value: TermValue) -> TermValue:
        """Replace synonyms of states; note the states that no job has."""
        known = {*STATES, "missing", *self.states}
        parts = []
        for part in value.parts:
            if part not in known and "*" not in part:
                part = _STATE_SYNONYMS.get(part.lower(), part)
                if part not in known:
                    meant = near(part, sorted(known), _STATE_SYNONYMS)
                    hint = f"did you mean {meant}?" if meant else f"states are {', '.join(sorted(known))}."
                    self.unknown.append(f"No job has the state {part}; {hint}")
            parts.append(part)
        return value._replace(parts=tuple(parts))

    def _saved_one(self) -> str:
        name = self._value().text[1:]
        if name not in self.saved:
            known = ", ".join(f"@{one}" for one in self.saved) or "none so far; Ctrl+S saves one"
            raise FilterError(f"There is no saved filter @{name}: {known}.")
        self._deeper()
        text = self.saved[name].strip()
        if text.startswith("sql:") or _is_sql(text):
            condition = text.removeprefix("sql:").strip()
        else:
            inner = _Parser(text, self.now, self.saved, self.states, self._depth)
            inner._plain = self._plain
            condition = inner.whole()
            self.log += inner.log
            self.fields += inner.fields
            self.unknown += inner.unknown
            self.timed = self.timed or inner.timed
        self._depth -= 1
        return f"({condition})" if condition else ""

    # ------------------------------------------------------------------ words

    def _skip(self) -> None:
        while self._at < len(self.text) and self.text[self._at].isspace():
            self._at += 1

    def _next_is(self, *words: str) -> bool:
        self._skip()
        return any(self._starts(word) for word in words)

    def _starts(self, word: str) -> bool:
        if not self.text.startswith(word, self._at):
            return False
        after = self.text[self._at + len(word) : self._at + len(word) + 1]
        if word == ")":
            return self._open > 0
        return not word.isalpha() or not after or after.isspace() or after == "("

    def _takes(self, *words: str) -> bool:
        """Passes one of the words, if it comes next."""
        self._skip()
        for word in words:
            if self._starts(word):
                self._at += len(word)
                return True
        return False

    def _value(self) -> TermValue:
        """What stands up to the next space outside quotes, cut at its commas."""
        parts: list[str] = []
        begin = self._at
        text, quoted = "", False
        while self._at < len(self.text):
            character = self.text[self._at]
            if character.isspace() or (character == ")" and self._open > 0):
                break
            if character in "\"'" and text in ("", "=", "~"):
                end = self.text.find(character, self._at + 1)
                end = len(self.text) if end < 0 else end
                text += self.text[self._at + 1 : end]
                quoted = True
                self._at = end + 1
                continue
            self._at += 1
            if character == "," and not text.startswith("~"):
                parts.append(text)
                text = ""
                continue
            text += character
        if text or quoted or not parts:
            parts.append(text)
        whole = parts[0] if len(parts) == 1 else self.text[begin : self._at]
        return TermValue(whole, tuple(part for part in parts if part or quoted), quoted)


def _log_apart() -> FilterError:
    return FilterError("log: reads files: it can stand beside other terms, but not with | or in parentheses.")


def _log_term(value: TermValue, wanted: bool) -> LogTerm:
    regex = value.text.startswith("~") and len(value.text) > 1
    term = LogTerm(value.text[1:] if regex else value.text, regex, wanted)
    try:
        _ = term.pattern
    except UsageError as error:
        raise FilterError(str(error)) from error
    return term


# --------------------------------------------------------------------------- the fields


def _anything(value: TermValue) -> str:
    terms = [text_term(("name",), value)]
    for part in value.parts:
        if part.isdecimal() and len(part) < 19:
            terms.append(f"JobIndex = {int(part)} OR BatchID = {int(part)}")
    return " OR ".join(terms)


def _batch(value: TermValue) -> str:
    parts = []
    for part in value.parts:
        if part.isdecimal() and 14 <= len(part) < 19:
            parts.append(f"BatchID = {int(part)}")
        elif part.isdecimal():
            parts.append(f"CAST(BatchID AS TEXT) LIKE {quote(part + '%')}")
        else:
            parts.append(text_term(("name",), TermValue(part, (part,))))
    return " OR ".join(parts)


def _state(value: TermValue) -> str:
    """The missing are apart from the states that they were lost from, as everywhere on the screen."""
    plain = [part for part in value.parts if part != "missing"]
    terms = ["missing"] if len(plain) < len(value.parts) else []
    exact = ", ".join(quote(part) for part in plain if "*" not in part)
    alike = [f"state GLOB {quote(part)}" for part in plain if "*" in part]
    if exact:
        alike.append(f"state IN ({exact})")
    if alike:
        terms.append(f"({' OR '.join(alike)}) AND NOT missing")
    return " OR ".join(terms)


_STATE_SYNONYMS = {**STATE_SYNONYMS, "failed": "missing", "lost": "missing", "error": "missing"}


def _texts(*columns: str) -> Callable[[TermValue], str]:
    return lambda value: text_term(columns, value)


def _numbers(column: str) -> Callable[[TermValue], str]:
    return lambda value: number_term(column, value)


_FIELDS: dict[str, Callable[[TermValue], str]] = {
    "name": _texts("name"),
    "batch": _batch,
    "type": _texts("batch_type"),
    "host": _texts("hostname"),
    "hostname": _texts("hostname"),
    "id": _texts("ClusterID", "submit_id"),
    "clusterid": _texts("ClusterID"),
    "submit_id": _texts("submit_id"),
    "subtime": _numbers("subtime"),
    "batch_type": _texts("batch_type"),
    "batchid": _batch,
    "reason": _texts("reason"),
    "exit": _numbers("exit_status"),
    "signal": _numbers("signal"),
    "attempt": _numbers("attempt"),
    "priority": _numbers("priority"),
    "index": _numbers("JobIndex"),
    "jobindex": _numbers("JobIndex"),
    "job": _numbers("JobIndex"),
}

_DONE = ", ".join(map(quote, sorted(DONE_STATES)))

_TIMES = {
    "age": "{now} - changed_at",
    "submitted": "{now} - submitted_at",
    "started": "{now} - started_at",
    "elapsed": f"CASE WHEN missing OR state IN ({_DONE}) THEN changed_at ELSE {{now}} END - started_at",
}
"""Fields that are spans of time (s), as SQL."""

HELP: Mapping[str, str] = {
    "state": "missing,run",
    "name": "text",
    "batch": "name or BatchID",
    "host": "n1*",
    "exit": "137",
    "age": ">2h since it changed",
    "attempt": ">1",
    "reason": "memory",
    "log": '"CUDA error"  ~CUDA.*[0-9]',
    "elapsed": ">1d of run time",
    "started": "<1h ago",
    "submitted": ">3h ago",
    "index": "0-99",
    "priority": ">=100",
    "id": "the scheduler's",
    "type": "batch_type",
    "signal": "9",
    "has": "a field of the metadata",
}
"""Fields with an example of what follows, in the order to offer them."""

FIELDS = tuple(HELP)

_FIELD_SYNONYMS = {
    "status": "state", "partition": "queue", "node": "host", "jobid": "id", "job_id": "id", "error": "reason",
    "time": "elapsed", "runtime": "elapsed", "code": "exit", "exit_code": "exit", "prio": "priority",
}  # fmt: skip


def unknown_words(query: Query, fields: Collection[str]) -> list[str]:
    """Say which words of a filter are unknown, and what was probably meant.

    Args:
        fields: the metadata's that jobs have.
    """
    texts = list(query.unknown)
    for name in query.fields:
        if name not in fields and name.partition(".")[0] not in fields:
            meant = near(name, [*FIELDS, *fields], _FIELD_SYNONYMS)
            texts.append(f"No job has a field {name}" + (f"; did you mean {meant}?" if meant else "."))
    return texts


def is_known(field: str) -> bool:
    """Whether a field is one of ours, not one of the metadata."""
    return field.lower() in HELP or field.lower() in _FIELDS
