"""The shell that runs every command line: one for all executors, and what only it understands."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from functools import cache

from ..errors import ScriptError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FUNCTION = re.compile(r"BASH_FUNC_([A-Za-z_][A-Za-z0-9_.:-]*)(?:%%|\(\))")

_WORDS = frozenset(
    (
        *(".", ":", "[", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "declare"),
        *("dirs", "disown", "enable", "eval", "exec", "exit", "export", "fc", "fg", "for", "function"),
        *("getopts", "hash", "if", "jobs", "let", "local", "popd", "pushd", "read", "readonly", "return"),
        *("select", "set", "shift", "shopt", "source", "suspend", "time", "times", "trap", "type"),
        *("typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "while"),
    )
)
"""First words that a shell knows: its own commands and what begins its compound ones."""


@cache
def shell() -> str:
    """The shell for our scripts and for command lines: bash where it is, since others drop the functions
    (such as `module`) that an environment may hold; nothing of ours needs it."""
    return "/bin/bash" if os.access("/bin/bash", os.X_OK) else "/bin/sh"


def only_in_shell(word: str) -> bool:
    """Whether a command line that begins with this word needs a shell: one of its own words or functions."""
    return word in _WORDS or f"BASH_FUNC_{word}%%" in os.environ


def executable(script: str, cwd: str) -> str:
    """The path of the executable file that a job's script names; '' if it is a command line.

    Raises:
        ScriptError: it is empty, holds a NUL character, or names a file that may not be executed.
    """
    if not script.strip():
        raise ScriptError("The job has no script: give it a command line or an executable file.")
    if "\0" in script:
        raise ScriptError("The job's script holds a NUL character, which no command can.")
    path = os.path.join(cwd, script)
    if os.path.isfile(path):
        if os.access(path, os.X_OK):
            return path
        if os.sep in script:
            raise ScriptError(f"{path} is not executable; make it so: chmod +x {shlex.quote(path)}")
    return ""


def quote(text: str) -> str:
    """Text as one word of the shell, in which no line begins with `#`.

    Each scheduler searches scripts for lines with its directives (sbatch for #SBATCH, #PBS and #BSUB, qsub
    for #$ or #PBS), and takes those in the middle of a value for its own.
    """
    return shlex.quote(text).replace("\n#", "\n''#")


def exports(environment: Mapping[str, str]) -> list[str]:
    """Shell lines that set these variables, byte for byte, and the functions that bash keeps in variables."""
    lines = []
    for name, value in environment.items():
        function = _FUNCTION.fullmatch(name)
        if function and shell().endswith("/bash"):
            lines.append(f"eval {quote(f'{function[1]} {value}')} && export -f {quote(function[1])}")
        elif _VARIABLE.fullmatch(name):
            lines.append(f"export {name}={quote(value)}")
    return lines
