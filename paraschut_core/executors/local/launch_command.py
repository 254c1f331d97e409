"""What a job's script, environment and limits come to: an argument list, bytes and seconds."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping

from ...errors import ScriptError, UsageError
from ..resources import parse_time
from ..shell import only_in_shell, shell

# What shlex and a shell read alike: escaped characters, and quotes that the shell would not look into.
_PLAIN_QUOTES = re.compile(r"""\\[^$`\n]|'[^']*'|"(?:\\[^$`\n]|[^"\\$`])*\"""")
_SHELL_SYNTAX = re.compile(r"[|&;<>()$`*?\[\]{}~#!\n]|^\s*[A-Za-z_][A-Za-z0-9_]*=")
"""What means something to a shell outside of such quotes."""


def arguments(script: str, cwd: str) -> list[str]:
    """The argument list that runs a job's script.

    An existing executable file is run as it is. Anything else is a command line: split as a shell
    would, and given to a shell only if it holds something that needs one.

    Args:
        script: an executable file or a command line.
        cwd: the directory from which a relative file name counts.

    Raises:
        ScriptError: it is empty, cannot be split, or is a file that may not be executed.
    """
    if not script.strip():
        raise ScriptError("The job has no script: give it a command line or an executable file.")
    if "\0" in script:
        raise ScriptError("The job's script holds a NUL character, which no command can.")
    path = os.path.join(cwd, script)
    if os.path.isfile(path):
        if os.access(path, os.X_OK):
            return [path]
        if os.sep in script:
            raise ScriptError(f"{path} is not executable; make it so: chmod +x {shlex.quote(path)}")
    if _SHELL_SYNTAX.search(_PLAIN_QUOTES.sub("", script)):
        return [shell(), "-c", script]
    try:
        words = shlex.split(script)
    except ValueError as error:
        raise ScriptError(
            f"The command line cannot be split ({error}): {script!r}. Look at its quotes and backslashes."
        ) from None
    if only_in_shell(words[0]):
        return [shell(), "-c", script]
    return words


def packed(variables: Mapping[bytes, bytes]) -> bytes:
    """Environment variables as one string of bytes, as the kernel keeps them."""
    return b"\0".join(name + b"=" + value for name, value in sorted(variables.items()))


def unpacked(data: bytes) -> dict[bytes, bytes]:
    """The variables that `packed` was given."""
    variables = {}
    for line in data.split(b"\0"):
        name, found, value = line.partition(b"=")
        if found:
            variables[name] = value
    return variables


def encoded(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """A job's own variables as bytes.

    Raises:
        ScriptError: a name or value that no environment can hold.
    """
    variables = {}
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise ScriptError(
                f"The variable {name!r} cannot be set: names must not be empty or hold '=', "
                "and neither name nor value may hold a NUL character."
            )
        variables[os.fsencode(name)] = os.fsencode(value)
    return variables


def seconds(limit: object, what: str) -> float | None:
    """A time limit in seconds: a number of them, or [[H:]M:]S, or D-H[:M[:S]].

    None, '' and what clusters call no limit ("unlimited", "infinite") are None.

    Raises:
        UsageError: it is none of these, or not above zero.
    """
    if limit is None or str(limit).strip().lower() in ("", "unlimited", "infinite"):
        return None
    if isinstance(limit, (int, float)) and not isinstance(limit, bool):
        total = float(limit)
    elif re.search(r"[A-Za-z]", str(limit)):
        return float(parse_time(limit, what))  # 90m, 2h, as on a cluster
    else:
        total = _clock(str(limit).strip())
    if not 0 < total < float("inf"):
        raise UsageError(f"{what}={limit!r} is no time limit: give seconds, H:M:S or D-H:M:S, above zero.")
    return total


def clock(total: float) -> str:
    """Seconds as HH:MM:SS."""
    whole = round(total)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _clock(text: str) -> float:
    """Seconds, or 0 where the text is no time."""
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if len(parts) > 3 or (dash and not days.isdigit()) or not re.fullmatch(r"[0-9:]+(\.[0-9]+)?", rest):
        return 0.0
    if not all(parts):
        return 0.0
    # After days come hours; without them the last part is seconds.
    scale = (3600.0, 60.0, 1.0) if dash else (3600.0, 60.0, 1.0)[-len(parts) :]
    return int(days or 0) * 86400 + sum(float(n) * unit for n, unit in zip(parts, scale, strict=False))
