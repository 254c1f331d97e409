"""What is at a log's path just now, and its bytes: never blocks on a FIFO, never maps the file."""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType
from typing import NamedTuple

from ..confinement import ConfinedError, is_confined
from ..confinement import open_log as opened
from ..errors import ParaschutError
from ..moved import candidates
from ..text import clean_line

FILE = "file"
ABSENT = "absent"
DIRECTORY = "directory"
SPECIAL = "special"
FAILED = "failed"

_WHY = {
    errno.EACCES: "may not be read (permission denied)",
    errno.EPERM: "may not be read (operation not permitted)",
    errno.ELOOP: "is a symbolic link that leads back to itself",
    errno.ENAMETOOLONG: "has a name too long for its file system",
    errno.ESTALE: "is on a server that forgot it (stale file handle)",
    errno.EMFILE: "cannot be opened (this process has too many open files)",
}

# A regular file is never affected by O_NONBLOCK; a FIFO that took its place must not stop us.
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class LogError(ParaschutError):
    """A log cannot be read; the message says which and why."""


class Look(NamedTuple):
    """What was at a path at one moment.

    `kind` is FILE, ABSENT, DIRECTORY, SPECIAL (FIFO, socket, device) or FAILED. For all but FILE, `why`
    continues a sentence that begins with the log's name: "is not there yet". `size` is in bytes.
    """

    kind: str
    why: str = ""
    size: int = 0
    device: int = 0
    inode: int = 0
    mtime_ns: int = 0

    @property
    def identity(self) -> tuple[int, int]:
        """What stays the same while the file is the same file."""
        return self.device, self.inode


class OpenLog:
    """An open regular file, read by offset. Use as a context manager; may be shared by threads."""

    def __init__(self, fd: int, path: str, look: Look) -> None:
        self.path = path
        self.look = look
        self._fd = fd

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened: what was written since is left for the next look."""
        return self.look.size

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to (without) `stop`; fewer where the file has become shorter.

        Raises:
            LogError: the file system does not give them.
        """
        start = max(start, 0)
        wanted = stop - start
        if wanted <= 0:
            return b""
        try:
            data = os.pread(self._fd, wanted, start)
            while data and len(data) < wanted:
                more = os.pread(self._fd, wanted - len(data), start + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise LogError(f"{clean_line(self.path)} {_reason(error)}") from error
        return data

    def __enter__(self) -> OpenLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


def look_at(path: str | os.PathLike[str]) -> Look:
    """What is at `path` now.

    The file is opened and closed: over NFS, only opening brings its size up to date. It costs four
    system calls and reads nothing.
    """
    found = _open(os.fspath(path))
    if isinstance(found, Look):
        return found
    fd, look = found
    os.close(fd)
    return look


def open_log(path: str | os.PathLike[str]) -> OpenLog:
    """Opens a log for reading.

    Raises:
        LogError: there is no regular file that may be read; the message says what there is instead.
    """
    name = os.fspath(path)
    found = _open(name)
    if isinstance(found, Look):
        raise LogError(f"{clean_line(name)} {found.why}")
    fd, look = found
    return OpenLog(fd, name, look)


def describe(name: str, look: Look, path: str) -> str:
    """One line for people: "stderr is not there yet: /path"."""
    why = look.why or ("is empty" if look.size == 0 else f"has {look.size:,} bytes")
    return f"{clean_line(name)} {why}: {clean_line(path)}"


def news(before: Look, now: Look) -> str:
    """What happened to a log between two looks, as the end of a sentence that begins with its name.

    "" (nothing), "grew", "was truncated", "was replaced", "was rewritten" (same size, other time),
    "was deleted", "appeared", "became a directory", or why it cannot be read any more.
    """
    if before.kind != FILE:
        if now.kind == FILE:
            return "appeared"
        return "" if (before.kind, before.why) == (now.kind, now.why) else now.why
    if now.kind == ABSENT:
        return "was deleted"
    if now.kind in (DIRECTORY, SPECIAL):
        return now.why.replace("is a", "became a", 1)
    if now.kind != FILE:
        return now.why
    if before.identity != now.identity:
        return "was replaced"
    if now.size != before.size:
        return "grew" if now.size > before.size else "was truncated"
    return "" if now.mtime_ns == before.mtime_ns else "was rewritten"


def _open(path: str) -> tuple[int, Look] | Look:
    found = _open_at(path)
    if isinstance(found, Look) and found.kind == ABSENT:
        for other in candidates(path):
            now = _open_at(other)
            if not isinstance(now, Look):
                return now
    return found


def _open_at(path: str) -> tuple[int, Look] | Look:
    try:
        # Looked at before it is opened: opening a FIFO would let its writer go on, and then kill it.
        before = None if is_confined() else os.stat(path)
        if before is not None and not stat.S_ISREG(before.st_mode):
            return _not_a_file(before.st_mode)
        fd = opened(path, _OPEN_FLAGS)
    except ConfinedError as error:
        return Look(FAILED, f"is not shown: it {error}")
    except FileNotFoundError:
        return Look(ABSENT, "is not there yet")
    except OSError as error:
        return Look(FAILED, _reason(error))
    except ValueError:  # a NUL or a lone surrogate in the path
        return Look(FAILED, "has a name that no file can have")
    try:
        now = os.fstat(fd)
    except OSError as error:
        os.close(fd)
        return Look(FAILED, _reason(error))
    if not stat.S_ISREG(now.st_mode):
        os.close(fd)
        return _not_a_file(now.st_mode)
    return fd, Look(FILE, "", now.st_size, now.st_dev, now.st_ino, now.st_mtime_ns)


def _not_a_file(mode: int) -> Look:
    if stat.S_ISDIR(mode):
        return Look(DIRECTORY, "is a directory")
    if stat.S_ISFIFO(mode):
        return Look(SPECIAL, "is a FIFO, not a file")
    if stat.S_ISSOCK(mode):
        return Look(SPECIAL, "is a socket, not a file")
    return Look(SPECIAL, "is a device, not a file")


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOTDIR:
        return "is not there (a part of its path is not a directory)"
    text = _WHY.get(error.errno or 0)
    return text or f"cannot be read ({error.strerror or type(error).__name__})"
