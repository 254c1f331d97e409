"""The text of a job's script, with its words coloured. For a thread: it reads files and loads Pygments."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from paraschut_core.logs import FILE, LogError, open_log, stat_log
from paraschut_core.sanitize import clean, clean_line

from ..widgets.styled_line import Part

MOST_BYTES = 256 << 10
MOST_COLOURED = 64 << 10
"""Bytes above which a script stays without colours: lexers hold the interpreter's lock."""

_LONGEST = 500  # characters of a line that are shown; of a script with longer ones nothing is coloured
_WORDS = 8  # of a command line that are looked at for the script's name
_LEXERS = {
    ".py": "python", ".sh": "bash", ".bash": "bash", ".r": "r", ".pl": "perl", ".jl": "julia",
    ".rb": "ruby", ".lua": "lua", ".m": "matlab", ".awk": "awk",
}  # fmt: skip
_SHEBANGS = {
    "python": "python",
    "bash": "bash",
    "Rscript": "r",
    "perl": "perl",
    "julia": "julia",
    "sh": "bash",
}
_ROLES = (
    ("Comment", "muted"),
    ("Literal.String", "success"),
    ("Literal.Number", "secondary"),
    ("Keyword", "accent"),
    ("Operator.Word", "accent"),
    ("Name.Builtin", "primary"),
    ("Name.Function", "primary"),
    ("Name.Class", "primary"),
    ("Name.Decorator", "primary"),
    ("Name.Variable", "primary"),
)


class ScriptText(NamedTuple):
    """A script's lines as coloured parts. `path` is "" where the script is only a command line; `note` says
    why there are no lines, or not all."""

    path: str = ""
    lines: tuple[tuple[Part, ...], ...] = ()
    note: str = ""


def read_script(info: Mapping[str, Any]) -> ScriptText:
    """The text of the file that a job runs, as far as its command line tells."""
    folder = str(info.get("cwd") or "")
    # `paraschut add` wraps the user's own command line, and keeps it.
    path = _file_of(str(info.get("command") or ""), folder) or _file_of(str(info.get("script") or ""), folder)
    if not path:
        return ScriptText()
    try:
        with open_log(path) as file:
            data = file.read(0, min(file.size, MOST_BYTES))
            cut = file.size > MOST_BYTES
    except LogError as error:
        return ScriptText(path, note=str(error))
    text = clean(data.decode("utf-8", "replace")).expandtabs(4)
    note = f"only the first {MOST_BYTES >> 10} KiB are shown" if cut else ""
    return ScriptText(path, coloured(text, _lexer_of(path, text)), note)


def _file_of(command: str, folder: str) -> str:
    """The text file that a command line runs, perhaps by an interpreter; "" if there is none."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quote that is never closed: the shell will say so
        words = command.split()
    for word in words[:_WORDS]:
        path = os.path.join(folder, os.path.expanduser(word))
        if not word.startswith("-") and stat_log(path).kind == FILE and not _is_program(path):
            return path
    return ""


def _is_program(path: str) -> bool:
    try:
        with open_log(path) as file:
            return b"\0" in file.read(0, 4096)
    except LogError:
        return False


def _lexer_of(path: str, text: str) -> str:
    lexer = _LEXERS.get(os.path.splitext(path)[1].lower())
    if lexer is None and text.startswith("#!"):
        first = text.partition("\n")[0]
        lexer = next((name for word, name in _SHEBANGS.items() if word in first), None)
    return lexer or ""


def coloured(text: str, lexer: str) -> tuple[tuple[Part, ...], ...]:
    """The lines of clean text, coloured by a lexer ("": not at all)."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    plain = tuple(((clean_line(line, _LONGEST), "text"),) for line in lines)
    if not lexer or len(text) > MOST_COLOURED or any(len(line) > _LONGEST for line in lines):
        return plain
    from pygments import lex
    from pygments.lexers import get_lexer_by_name

    done: list[tuple[Part, ...]] = []
    parts: list[Part] = []
    for token, value in lex(text, get_lexer_by_name(lexer, ensurenl=False, stripnl=False)):
        role = _role_of(str(token))
        first, *rest = value.split("\n")
        parts.append((first, role))
        for piece in rest:
            done.append(tuple(part for part in parts if part[0]))
            parts = [(piece, role)]
    if any(part[0] for part in parts):
        done.append(tuple(part for part in parts if part[0]))
    # The lexer must not lose a line, whatever it makes of the text.
    return tuple(done) if len(done) == len(lines) else plain


def _role_of(token: str) -> str:
    kind = token.removeprefix("Token.")
    return next((role for prefix, role in _ROLES if kind.startswith(prefix)), "text")
