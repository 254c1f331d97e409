"""A process that shows one project to others: whatever they make it do, it has no right to do more.

Who sits at the other end may choose any key, and whoever writes the database may name any file as a log. So
this is decided in one place, below everything else: an audit hook, which Python asks before it opens a file,
a database or a connection, starts a program or changes a file system. It stays as long as the process does.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import sys
from typing import TYPE_CHECKING, Any

from ..errors import ParaschutError

if TYPE_CHECKING:
    from ..config import Settings

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SINKS = frozenset({"/dev/null", "/dev/tty"})
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev", "/opt", "/System", "/Library")

_CHANGES = frozenset(
    (
        *("os.chflags", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.removexattr"),
        *("os.rename", "os.rmdir", "os.setxattr", "os.symlink", "os.truncate", "os.utime"),
        *("tempfile.mkdtemp", "tempfile.mkstemp", "sqlite3.enable_load_extension", "sqlite3.load_extension"),
        *("os.exec", "os.fork", "os.forkpty", "os.spawn", "os.startfile", "os.system", "pty.spawn"),
        *("socket.bind", "socket.connect", "socket.sendmsg", "socket.sendto"),
    )
)
"""Events of what is never done here: changes of files, programs by other ways, connections."""

_COMMANDS = {
    "squeue": (),
    "sacct": (),
    "sinfo": (),
    "scontrol": ("show", "--version"),
    "qstat": (),
    "qacct": (),
    "qhost": (),
    "qselect": (),
    "pbsnodes": ("-a", "-av", "-v"),
    "qconf": ("-sconf", "-sq", "-spl", "-sql", "-ssconf"),
}
"""The schedulers' commands that only look, each with the first words that it may have (none: any)."""


class ConfinedError(ParaschutError):
    """This dashboard is shown to others, and does nothing but show its own project."""


class _Confinement:
    """What one process may do.

    Args:
        database: the database that is shown.
        job_dir: the directory with the batches' folders.
        logs: other folders below it in which logs lie.
    """

    def __init__(self, database: str, job_dir: str, logs: tuple[str, ...]) -> None:
        import threading  # here: every running job loads this module

        self.job_dir = job_dir
        self._logs = tuple(tuple(os.path.relpath(folder, job_dir).split(os.sep)) for folder in logs)
        self._database = database
        self._queues = os.path.join(job_dir, ".paraschut", "local") + os.sep
        self._own = threading.local()
        self._limit = os.path.join(job_dir, "maxjobs")
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        roots = [
            package,
            sys.prefix,
            sys.base_prefix,
            sys.exec_prefix,
            *_SYSTEM,
            *filter(os.path.isabs, sys.path),
        ]
        self._readable = tuple(f"{os.path.realpath(root).rstrip(os.sep)}{os.sep}" for root in roots)

    # ------------------------------------------------------------------ what is asked before it is done

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise for what must not be done. Python calls it; its cost is that of each file opened."""
        if event == "open":
            self._check_open(arguments[0], arguments[2])
        elif event == "sqlite3.connect":
            self._check_database(str(arguments[0]))
        elif event == "subprocess.Popen" or event == "os.posix_spawn":
            self._check_program(arguments[1])
        elif event == "os.kill":
            if arguments[1] != 0:
                raise _refused("a signal")
        elif event in _CHANGES or event.startswith("shutil."):
            raise _refused(event)

    def _check_open(self, path: object, flags: int) -> None:
        if isinstance(path, int) or flags & os.O_DIRECTORY or getattr(self._own, "passes", False):
            return
        name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if flags & _WRITING:
            if name not in _SINKS:
                raise _refused(name)
        elif name != self._limit and not os.path.realpath(name).startswith(self._readable):
            raise _refused(name)

    def _check_database(self, name: str) -> None:
        from ..database.connection import uri_of

        path, _, mode = name.removeprefix("file:").rpartition("?mode=")
        queue = name.startswith(f"file:{uri_of(self._queues)}") and ".." not in name
        if mode != "ro" or not (path == uri_of(self._database) or queue):
            raise sqlite3.OperationalError("this dashboard is shown to others: it opens no other database")

    def _check_program(self, words: object) -> None:
        given = [os.fsdecode(word) for word in words] if isinstance(words, (list, tuple)) else []
        first = _COMMANDS.get(os.path.basename(given[0])) if given else None
        if first is None or (first and given[1:2] and given[1] not in first):
            raise _refused(given[0] if given else "a program")

    # ------------------------------------------------------------------ logs

    def open_log(self, path: str, flags: int) -> int:
        """Open a log for reading, if it lies in the project's own folders and no link leads to it.

        Raises:
            ConfinedError: it does not.
            OSError: it cannot be opened.
        """
        parts = self._below(path)
        self._own.passes = True
        try:
            handle = os.open(self.job_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for number, name in enumerate(parts, 1):
                    kind = flags if number == len(parts) else os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                    below = os.open(name, kind | os.O_NOFOLLOW, dir_fd=handle)
                    os.close(handle)
                    handle = below
                status = os.fstat(handle)
                if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                    raise ConfinedError("is a file of several names")
            except BaseException:
                os.close(handle)
                raise
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK):
                raise ConfinedError("is reached through a link") from None
            raise
        finally:
            self._own.passes = False
        return handle

    def _below(self, path: str) -> list[str]:
        parts = path.split("/")
        base = self.job_dir.rstrip("/").split("/")
        rest = parts[len(base) :]
        inside = parts[: len(base)] == base and not {"", ".", ".."}.intersection(rest)
        own = any(len(rest) > len(folder) and tuple(rest[: len(folder)]) == folder for folder in self._logs)
        batch = len(rest) > 1 and rest[0].isascii() and rest[0].isdigit()
        if not inside or not (own or batch):
            raise ConfinedError("lies outside of the project's own folders")
        return rest


_confinement: _Confinement | None = None


def confine(settings: Settings) -> None:
    """Confine this process, for good, to showing the project of these settings."""
    global _confinement
    if _confinement is None:
        sys.dont_write_bytecode = True
        logs = filter(None, (_fixed_folder(settings, one) for one in (settings.log_out, settings.log_err)))
        _confinement = _Confinement(
            os.path.abspath(settings.database), os.path.abspath(settings.job_dir), tuple(logs)
        )
        sys.addaudithook(_confinement.hook)


def is_confined() -> bool:
    """Return whether this process is confined."""
    return _confinement is not None


def open_log(path: str, flags: int) -> int:
    """Open a log for reading: any in an ordinary process, in a confined one only those of the project.

    Raises:
        ConfinedError: this log is not for those to whom this process shows its project.
        OSError: it cannot be opened.
    """
    return os.open(path, flags) if _confinement is None else _confinement.open_log(path, flags)


def _fixed_folder(settings: Settings, pattern: str) -> str:
    """The folder below the job directory in which the settings put all logs; "" where it is one a batch."""
    fixed = pattern.replace("{JobDir}", settings.job_dir).partition("{")[0]
    folder = os.path.dirname(os.path.join(settings.job_dir, fixed))
    return folder if folder.startswith(settings.job_dir.rstrip("/") + "/") else ""


def _refused(what: str) -> PermissionError:
    return PermissionError(errno.EPERM, "this dashboard is shown to others, and only shows", what)
