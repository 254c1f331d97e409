"""Makes jobs from plain commands: a template filled in for each, so that no value can become a command.

A template with nothing in it that only a shell understands is split into words first and then filled in,
word by word: no shell ever sees a value. Any other is a line for the shell of all executors, and each value
is quoted for the place where its field stands.
"""

from __future__ import annotations

import json
import re
import shlex
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import UsageError
from ..executors.shell import only_in_shell, shell
from ..model import INIT, JobInfo, name_text
from ..security.child_python import python
from .builder import fill_in

_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./-]+")
"""A value of these characters alone means itself wherever a shell meets it."""

_UNQUOTED = frozenset("|&;<>()$`*?[]{}~#!\n")
_IN_DOUBLE_QUOTES = frozenset("$`")
_ASSIGNMENT = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*=")
_RESERVED = ("BatchID", "state", "attempt", "rev", "script", "stdout", "stderr", "submit_id", "ClusterID")
"""Fields that a list of jobs cannot give: the index, or this module, does."""


class _Scanner:
    """Follows a shell line's quotes, to know what a value at its end would be read as."""

    def __init__(self) -> None:
        self.quote = ""
        self.escaped = False
        self.needs_shell = False
        self.deep = ""
        self._last = " "

    def feed(self, text: str) -> None:
        for character in text:
            self._step(character)
            self._last = character

    def _step(self, character: str) -> None:
        if self.escaped:
            self.escaped = False
        elif self.quote == "'":
            if character == "'":
                self.quote = ""
        elif character == "\\":
            self.escaped = True
        elif self.quote == '"':
            if character == '"':
                self.quote = ""
            self._look(character, _IN_DOUBLE_QUOTES)
        else:
            self._look(character, _UNQUOTED)
            if character in "'\"":
                self.quote = character

    def _look(self, character: str, special: frozenset[str]) -> None:
        if character in special:
            self.needs_shell = True
        # Places within which other rules hold than those that this follows.
        if character == "`":
            self.deep = "`...`"
        elif self._last == "$" and character in "({'\"":
            self.deep = f"${character}"
        elif not self.quote and self._last == "<" and character == "<":
            self.deep = "<<"
        elif not self.quote and character == "#" and self._last.isspace():
            self.deep = "# (a comment)"


class _Piece(NamedTuple):
    """Literal text, then the field after it as it stands in the template ('' for none)."""

    literal: str
    field: str


class Template:
    """A command with {fields}.

    Args:
        words: one word is a command line; several are a command and its arguments, as they are.

    Raises:
        UsageError: it is empty, its braces or quotes do not match.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words: list[list[_Piece]] = []
        self._line: list[_Piece] = []
        if len(words) > 1:
            self._words = [_pieces(word) for word in words]
            return
        text = words[0] if words else ""
        if not text.strip():
            raise UsageError("There is no command: give one, for example 'python map.py {JobIndex}'.")
        pieces = _pieces(text)
        scanner = _Scanner()
        for piece in pieces:
            scanner.feed(piece.literal)
            scanner.feed("x" if piece.field else "")
        if scanner.quote or scanner.escaped:
            raise UsageError(f"The quotes in the command {text!r} do not match.")
        first = text.split(None, 1)[0]
        if scanner.needs_shell or _ASSIGNMENT.match(text) or only_in_shell(first):
            self._line = pieces
        else:
            self._words = _split(pieces)

    @property
    def uses_shell(self) -> bool:
        """Whether the command is run by a shell."""
        return bool(self._line)

    def fill(self, fields: Mapping[str, Any]) -> list[str]:
        """The command and its arguments for one job.

        Raises:
            ScriptError: a field that the job does not have.
            UsageError: a value that cannot be put there safely.
        """
        if self._line:
            line = self._fill_line(fields)
            # A leading blank keeps a line that begins with a dash from being taken for an option.
            return [shell(), "-c", f" {line}" if line[0] in "-+" else line]
        return [
            "".join([p.literal + _value(p.field, fields) if p.field else p.literal for p in word])
            for word in self._words
        ]

    def _fill_line(self, fields: Mapping[str, Any]) -> str:
        scanner = _Scanner()
        line = ""
        for literal, field in self._line:
            scanner.feed(literal)
            line += literal
            if field:
                line += _quoted(_value(field, fields), scanner, field)
                scanner.feed("x")
        return line


_OPEN_DOLLAR = re.compile(r"(?<![\\$])(?:\$\$)*\$\Z")
"""A dollar sign that is neither escaped nor the end of `$$`."""


def _pieces(text: str) -> list[_Piece]:
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise UsageError(f"The command {text!r}: {error}. Write {{{{ and }}}} for literal braces.") from error
    pieces = []
    for literal, name, spec, conversion in parsed:
        field = ""
        if name is not None:
            field = f"{{{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}"
            if _OPEN_DOLLAR.search(literal):
                variable = {"JobIndex": "$PARASCHUT_JOB_INDEX", "BatchID": "$PARASCHUT_BATCH_ID"}.get(name)
                raise UsageError(
                    f"The command: ${field} would become a $ and the value ($5, say). For the value write"
                    f" {field}{', or ' + variable if variable else ''}; for a variable of the shell"
                    f" ${{{field}}}."
                )
        pieces.append(_Piece(literal, field))
    return pieces


def _split(pieces: list[_Piece]) -> list[list[_Piece]]:
    """The words of a line, each as pieces; fields stay whole whatever is in them."""
    fields = [piece.field for piece in pieces if piece.field]
    # No command line can hold a NUL, so it can stand for the fields while shlex splits what is around them.
    if any("\0" in piece.literal for piece in pieces):
        raise UsageError("The command holds a NUL character, which no command can.")
    marked = "".join(piece.literal + ("\0" if piece.field else "") for piece in pieces)
    following = iter(fields)
    words = []
    for word in shlex.split(marked):
        literals = word.split("\0")
        words.append(
            [_Piece(literal, next(following)) for literal in literals[:-1]] + [_Piece(literals[-1], "")]
        )
    return words


def _value(field: str, fields: Mapping[str, Any]) -> str:
    value = fill_in(field, fields, "the command")
    if "\0" in value:
        raise UsageError(f"The value of {field} holds a NUL character, which no command can.")
    return value


def _quoted(value: str, scanner: _Scanner, field: str) -> str:
    """A value as a shell must be told it at this place, to read it as that value and nothing else."""
    if _PLAIN.fullmatch(value):
        return value
    if scanner.deep or scanner.escaped:
        raise UsageError(
            f"The command: the value {value!r} cannot be put safely where {field} stands, after "
            f"{scanner.deep or 'a backslash'}. Hand it over as a variable: --var ITEM={field}, "
            'and write "$ITEM" there.'
        )
    if scanner.quote == "'":
        return value.replace("'", "'\"'\"'")
    if scanner.quote == '"':
        return re.sub(r'([\\"$`])', r"\\\1", value)
    return shlex.quote(value)


# ------------------------------------------------------------------------------------ jobs


def runner() -> str:
    """The beginning of a command line that runs a command as a job, from any directory and host."""
    return shlex.join([*python("paraschut_core.cli"), "run"])


def read_jsonl(lines: Iterable[str], source: str) -> list[JobInfo]:
    """One job's fields a line.

    Raises:
        UsageError: a line is no JSON object, or gives a field that it cannot.
    """
    jobs = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise UsageError(f"{source}, line {number}: no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise UsageError(
                f"{source}, line {number}: a JSON object is needed, not {type(fields).__name__}."
            )
        for name in _RESERVED:
            if name in fields:
                raise UsageError(f"{source}, line {number}: the field {name} cannot be given here.")
        jobs.append(fields)
    return jobs


def make_jobs(
    common: Mapping[str, Any],
    jobs: Sequence[Mapping[str, Any]],
    template: Template,
    variables: Mapping[str, str] | None = None,
    *,
    chain: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[JobInfo]:
    """Jobs, each with its command filled in and wrapped for `paraschut run`.

    Args:
        common: what all have: BatchID, name, batch_type, priority, resources, ...
        jobs: what is each job's own, JobIndex among it.
        variables: environment variables; their values may have {fields} too.
        chain: each submits what is next once it is complete.
        progress: called with (jobs made, jobs in all) now and then.

    Raises:
        ScriptError, UsageError: a job that cannot be made, with what is wrong.
    """
    made = []
    begin, submit = runner(), " --submit" if chain else ""
    for own in jobs:
        info: JobInfo = {**common, **own, "state": INIT}
        fields = {**info, "name": name_text(info.get("name", ""))}
        given = info.get("vars") or {}
        if variables or given:
            filled = {
                name: fill_in(value, fields, f"--var {name}") for name, value in (variables or {}).items()
            }
            info["vars"] = {**given, **filled}
        command = template.fill(fields)
        line = shlex.join(command)
        info["command"] = command[-1] if template.uses_shell else line
        info["script"] = f"{begin} {info['BatchID']} {info['JobIndex']}{submit} -- {line}"
        made.append(info)
        if progress is not None and len(made) % 1000 == 0:
            progress(len(made), len(jobs))
    return made
