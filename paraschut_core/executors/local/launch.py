"""Starts one job's process, and says in plain words why one could not be started."""

from __future__ import annotations

import errno
import os
import resource
import signal
from typing import NamedTuple

from ..shell import shell

_OPEN_LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_RESET = tuple(number for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP))
"""Signals that a job starts with as usual, whatever the runner, Python or a `nohup` made of them."""

_MACHINE = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Errors that are the machine's at this moment, not the job's."""

_UMASK = 0o077
"""The runner's own: what it writes is its user's business alone."""


class CannotStartError(Exception):
    """This job cannot be started, now or later; the message says why."""


class NotNowError(Exception):
    """No job can be started at this moment; nothing was started."""


class Launch(NamedTuple):
    """All that is needed to start one job. Paths and words are bytes, as the system takes them."""

    arguments: list[bytes]
    environment: dict[bytes, bytes]
    cwd: bytes
    stdout: bytes
    stderr: bytes
    umask: int
    cpu_limit: int | None
    marker: str


def start(launch: Launch, home: str) -> int:
    """Starts a job as the leader of a session of its own; returns its process number.

    The working directory and the file mode mask are the runner's while it does so: it has one thread.
    `home` is where it goes back to.

    Raises:
        CannotStartError: the job itself is why not.
        NotNowError: the machine is why not.
    """
    try:
        os.chdir(launch.cwd)
    except OSError as error:
        raise CannotStartError(
            f"cannot enter its working directory {_shown(launch.cwd)}: {_why(error)}"
        ) from None
    os.umask(launch.umask)
    try:
        pid = _spawn(launch, _program(launch))
    finally:
        os.umask(_UMASK)
        try:
            os.chdir(home)
        except OSError:
            os.chdir("/")  # the queue's folder was removed; the runner notices that by itself
    if launch.cpu_limit is not None:
        _limit_cpu(pid, launch.cpu_limit)
    return pid


def _spawn(launch: Launch, program: bytes) -> int:
    arguments = launch.arguments
    made = False
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
                    (os.POSIX_SPAWN_OPEN, 0, launch.marker, os.O_WRONLY | os.O_CREAT, 0o600),
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, launch.stdout, _OPEN_LOG & ~os.O_CLOEXEC, 0o666),
                    (os.POSIX_SPAWN_OPEN, 2, launch.stderr, _OPEN_LOG & ~os.O_CLOEXEC, 0o666),
                ),
            )
        except OSError as error:
            if error.errno == errno.ENOEXEC and program != os.fsencode(shell()):
                # A script without `#!`: shells run it, and so do we.
                arguments = [os.fsencode(shell()), program, *launch.arguments[1:]]
                program = arguments[0]
            elif not made and _make_folders(launch):
                made = True
            else:
                raise _explained(error, launch, program) from None


def _program(launch: Launch) -> bytes:
    """The file to execute: found in the job's own PATH, not the runner's."""
    name = launch.arguments[0]
    if b"/" in name:
        return name
    for folder in launch.environment.get(b"PATH", os.fsencode(os.defpath)).split(b":"):
        path = (folder or b".") + b"/" + name
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise CannotStartError(f"command not found: {_shown(name)}")


def _make_folders(launch: Launch) -> bool:
    """Makes the log files' directories; False where all were there, so that they are not the trouble."""
    made = False
    for path in (launch.stdout, launch.stderr):
        folder = os.path.dirname(path)
        if folder and not os.path.isdir(folder):
            try:
                os.makedirs(folder, exist_ok=True)
            except OSError as error:
                raise CannotStartError(
                    f"cannot make the log directory {_shown(folder)}: {_why(error)}"
                ) from None
            made = True
    return made


def _explained(error: OSError, launch: Launch, program: bytes) -> CannotStartError | NotNowError:
    """posix_spawn tells an error number, not which of its steps failed: each is tried to find out."""
    if error.errno in _MACHINE:
        return NotNowError(_why(error))
    if not os.path.exists(launch.marker):
        return NotNowError(f"cannot write {launch.marker}: {_why(error)}")
    for path in (launch.stdout, launch.stderr):
        try:
            os.close(os.open(path, _OPEN_LOG | os.O_NONBLOCK, 0o666))
        except OSError as trouble:
            if trouble.errno != errno.ENXIO:  # a pipe that nobody reads opens for the job, which waits
                return CannotStartError(f"cannot open the log {_shown(path)}: {_why(trouble)}")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if os.path.exists(program):
            return CannotStartError(
                f"the interpreter that {_shown(program)} names in its first line is not there"
            )
        return CannotStartError(f"command not found: {_shown(program)}")
    return CannotStartError(f"cannot run {_shown(program)}: {_why(error)}")


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
