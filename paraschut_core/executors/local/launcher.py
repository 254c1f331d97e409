"""Turns a job's script, environment and limits into a command, and starts its process."""

from __future__ import annotations

import errno
import os
import re
import resource
import shlex
import signal
from collections.abc import Mapping
from typing import NamedTuple

from ...errors import ScriptError, UntrustedError, UsageError
from ...security.ownership import open_log
from ..resources import parse_time
from ..shell import executable, only_in_shell, shell

_OPEN_LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
"""Without waiting: a pipe that nobody reads must not keep the runner from its other jobs."""
_RESET = tuple(number for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP))
"""Signals that a job starts with as usual, whatever the runner, Python or a `nohup` made of them."""

_MACHINE = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Errors that are the machine's at this moment, not the job's."""

_MENDABLE = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EROFS", "ESTALE", "EIO", "ENOTCONN", "ETIMEDOUT", "ENODEV", "ENXIO"),
        *("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "EREMOTEIO", "EKEYEXPIRED", "ENOKEY"),
    )
    if hasattr(errno, name)
)
"""Errors of a file system that may work again without anything done to the job."""

_UMASK = 0o077
"""The runner's own: what it writes is its user's business alone."""


# What shlex and a shell read alike: escaped characters, and quotes that the shell would not look into.
_PLAIN_QUOTES = re.compile(r"""\\[^$`\n]|'[^']*'|"(?:\\[^$`\n]|[^"\\$`])*\"""")
_SHELL_SYNTAX = re.compile(r"[|&;<>()$`*?\[\]{}~#!\n]|^\s*[A-Za-z_][A-Za-z0-9_]*=")
"""What means something to a shell outside of such quotes."""

# ------------------------------------------------------------------------------------ the command


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
    if path := executable(script, cwd):
        return [path]
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


# ------------------------------------------------------------------------------------ the process


class LaunchError(Exception):
    """This job cannot be started, now or later; the message says why."""


class TemporaryLaunchError(Exception):
    """No job can be started at this moment; nothing was started."""


class DirectoryAwayError(Exception):
    """No job of the directory `folder` can be started at this moment; nothing was started."""

    def __init__(self, folder: bytes, why: str) -> None:
        super().__init__(why)
        self.folder = folder


class LaunchSpec(NamedTuple):
    """What one job needs to start. Paths and words are bytes, as the system takes them.

    `base` is the job directory; `was_there` says that `cwd` was there when the job was submitted.
    """

    arguments: list[bytes]
    environment: dict[bytes, bytes]
    cwd: bytes
    stdout: bytes
    stderr: bytes
    umask: int
    cpu_limit: int | None
    marker: str
    base: bytes
    was_there: bool


def start(launch: LaunchSpec, home: int) -> int:
    """Start a job as the leader of a session of its own; return its process number.

    The working directory and the file mode mask are the runner's while it does so: it has one thread.
    `home` is the descriptor of the directory that it goes back to.

    Raises:
        LaunchError: the job itself is why not.
        DirectoryAwayError: a directory of its is why not.
        TemporaryLaunchError: the machine is why not.
    """
    try:
        os.chdir(launch.cwd)
    except OSError as error:
        why = f"cannot enter its working directory {_shown(launch.cwd)}: {_why(error)}"
        if error.errno in _MENDABLE or launch.was_there:
            raise DirectoryAwayError(launch.cwd, why) from None
        raise LaunchError(why) from None
    os.umask(launch.umask)
    logs: list[int] = []
    try:
        for path in (launch.stdout, launch.stderr):
            logs.append(_open_log(path, launch.base))
        pid = _spawn(launch, _program(launch), logs)
    finally:
        for log in logs:
            os.close(log)
        os.umask(_UMASK)
        os.fchdir(home)
    if launch.cpu_limit is not None:
        _limit_cpu(pid, launch.cpu_limit)
    return pid


def _open_log(path: bytes, base: bytes) -> int:
    folder = os.path.dirname(path)
    try:
        try:
            log = open_log(path, base, _OPEN_LOG)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.isdir(folder):
                raise
            _make_folder(folder, base)
            log = open_log(path, base, _OPEN_LOG)
    except UntrustedError as error:
        raise DirectoryAwayError(folder, f"its log is led elsewhere: {error}") from None
    except OSError as error:
        if error.errno in _MACHINE:
            raise TemporaryLaunchError(_why(error)) from None
        why = f"cannot open the log {_shown(path)}: {_why(error)}"
        if error.errno == errno.ENXIO:
            why = f"nobody reads the pipe {_shown(path)}, which is its log"
        if error.errno in _MENDABLE:
            raise DirectoryAwayError(folder, why) from None
        raise LaunchError(why) from None
    os.set_blocking(log, True)
    return log


def _make_folder(folder: bytes, base: bytes) -> None:
    if not os.path.isdir(base):  # not to be made: what it lies on is away
        raise DirectoryAwayError(folder, f"there is no directory {_shown(base)}")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        why = f"cannot make the log directory {_shown(folder)}: {_why(error)}"
        if error.errno in _MENDABLE:
            raise DirectoryAwayError(folder, why) from None
        raise LaunchError(why) from None


def _spawn(launch: LaunchSpec, program: bytes, logs: list[int]) -> int:
    arguments = launch.arguments
    while True:
        try:
            return os.posix_spawn(
                program,
                arguments,
                launch.environment,
                setsid=True,
                setsigdef=_RESET,
                setsigmask=(),
                file_actions=(
                    # First: once this file is there, the job counts as started. The descriptor is
                    # taken over by what follows.
                    (os.POSIX_SPAWN_OPEN, 0, launch.marker, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600),
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, logs[0], 1),
                    (os.POSIX_SPAWN_DUP2, logs[1], 2),
                ),
            )
        except OSError as error:
            if error.errno == errno.ENOEXEC and program != os.fsencode(shell()):
                # A script without `#!`: shells run it, and so do we.
                arguments = [os.fsencode(shell()), program, *launch.arguments[1:]]
                program = arguments[0]
            else:
                raise _explained(error, launch, program) from None


def _program(launch: LaunchSpec) -> bytes:
    """The file to execute: found in the job's own PATH, not the runner's."""
    name = launch.arguments[0]
    if b"/" in name:
        return name
    for folder in launch.environment.get(b"PATH", os.fsencode(os.defpath)).split(b":"):
        path = (folder or b".") + b"/" + name
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise LaunchError(f"command not found: {_shown(name)}")


def _explained(error: OSError, launch: LaunchSpec, program: bytes) -> Exception:
    """Return the error for a failed posix_spawn, which does not tell which of its steps failed."""
    if error.errno in _MACHINE:
        return TemporaryLaunchError(_why(error))
    if not os.path.exists(launch.marker):
        return TemporaryLaunchError(f"cannot write {launch.marker}: {_why(error)}")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if os.path.exists(program):
            return LaunchError(f"the interpreter that {_shown(program)} names in its first line is not there")
        return LaunchError(f"command not found: {_shown(program)}")
    why = f"cannot run {_shown(program)}: {_why(error)}"
    return DirectoryAwayError(launch.cwd, why) if error.errno in _MENDABLE else LaunchError(why)


def _limit_cpu(pid: int, limit: int) -> None:
    """TERM-able at `limit` seconds of CPU in one process, killed 5 s later."""
    if not hasattr(resource, "prlimit"):
        return  # not Linux: only walltime is enforced there
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_CPU)
        top = limit + 5 if hard == resource.RLIM_INFINITY else min(hard, limit + 5)
        resource.prlimit(pid, resource.RLIMIT_CPU, (min(limit, top), top))
    except (ProcessLookupError, PermissionError):
        pass  # it has ended already, or became another user's (sudo): then limits are not ours to set


def _shown(path: bytes) -> str:
    return os.fsdecode(path)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
