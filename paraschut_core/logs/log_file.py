"""What is at a log's path just now, and its bytes: never blocks on a FIFO, never maps the file."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import threading
import zlib
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ParaschutError
from ..moved_projects import candidates
from ..sanitize import clean_line
from ..security.confinement import ConfinedError, is_confined
from ..security.confinement import open_log as opened

if TYPE_CHECKING:
    from collections.abc import Callable

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

_PROOF_BYTES = 1024
"""Bytes at the begin, and before the known end, by which a file is recognised that has grown."""

MOST_CONVERTED = 256 << 20
"""Bytes of text that a log in UTF-16, or a compressed one, is converted into at most."""

_COMPRESSED = ".gz"
_PIECE = 1 << 20

# A regular file is never affected by O_NONBLOCK; a FIFO that took its place must not stop us.
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class LogError(ParaschutError):
    """A log cannot be read; the message says which and why."""


class FileStatus(NamedTuple):
    """What was at a path at one moment.

    `kind` is FILE, ABSENT, DIRECTORY, SPECIAL (FIFO, socket, device) or FAILED. For all but FILE, `why`
    continues a sentence that begins with the log's name: "is not there yet". `size` is in bytes.
    `compressed` tells that the log itself is gone and NAME.gz is there in its place.
    """

    kind: str
    why: str = ""
    size: int = 0
    device: int = 0
    inode: int = 0
    mtime_ns: int = 0
    compressed: bool = False

    @property
    def identity(self) -> tuple[int, int]:
        """What stays the same while the file is the same file."""
        return self.device, self.inode


class FileChange(Enum):
    """What happened to a log between two looks. The value ends a sentence that begins with its name."""

    NONE = ""
    GREW = "grew"
    TRUNCATED = "was truncated"
    REPLACED = "was replaced"
    REWRITTEN = "was rewritten"
    DELETED = "was deleted"
    APPEARED = "appeared"
    BLOCKED = "cannot be read any more"
    """Something else lies at the path now, or it may not be read: `Look.why` tells."""


class ContentProof(NamedTuple):
    """By what a file is recognised that has grown: checksums of its begin, and of what lies before `size`."""

    size: int
    begin: int
    end: int


class OpenLog:
    """An open regular file, read by offset. Use as a context manager; may be shared by threads.

    A log in UTF-16, or one that was compressed, is read as a copy of its text in UTF-8; `look` stays that of
    the file itself, `size` is the copy's.
    """

    def __init__(self, fd: int, path: str, look: FileStatus, size: int | None = None) -> None:
        self.path = path
        self.look = look
        self.size = look.size if size is None else size
        """Bytes of text when it was opened: what was written since is left for the next look."""
        self._fd = fd

    def proof(self, size: int | None = None) -> ContentProof:
        """What the file is recognised by once it has grown: of its first `size` bytes (default: all).

        Raises:
            LogError: the file system does not give them.
        """
        size = self.size if size is None else size
        begin = self.read(0, min(_PROOF_BYTES, size))
        return ContentProof(size, zlib.crc32(begin), zlib.crc32(self.read(size - _PROOF_BYTES, size)))

    def continues(self, proof: ContentProof) -> bool:
        """Return whether this file begins with what `proof` was taken of. Raises LogError."""
        return self.size >= proof.size and self.proof(proof.size) == proof

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


def stat_log(path: str | os.PathLike[str]) -> FileStatus:
    """What is at `path` now.

    The file is opened and closed: over NFS, only opening brings its size up to date. It costs four
    system calls and reads nothing.
    """
    found = _open_or_compressed(os.fspath(path))
    if isinstance(found, FileStatus):
        return found
    fd, look = found
    os.close(fd)
    return look


def open_log(path: str | os.PathLike[str]) -> OpenLog:
    """Open a log for reading.

    Raises:
        LogError: there is no regular file that may be read; the message says what there is instead.
    """
    name = os.fspath(path)
    found = _open_or_compressed(name)
    if isinstance(found, FileStatus):
        raise LogError(f"{clean_line(name)} {found.why}")
    fd, look = found
    try:
        copy = _converted(fd, look)
    except BaseException:
        os.close(fd)
        raise
    if copy is None:
        return OpenLog(fd, name, look)
    os.close(fd)
    return OpenLog(copy, name, look, os.fstat(copy).st_size)


def describe(name: str, look: FileStatus, path: str, *, over: bool = False) -> str:
    """One line for people: "stderr is not there yet: /path".

    Args:
        over: whether the job has ended, so that no log is to be expected any more.
    """
    why = look.why or ("is empty" if look.size == 0 else f"has {look.size:,} bytes")
    if look.kind == ABSENT and over:
        why = "is gone, or was never written"
    return f"{clean_line(name)} {why}: {clean_line(path)}"


def compare_status(before: FileStatus, now: FileStatus) -> FileChange:
    """What happened to a log between two looks, as far as its size and times tell.

    Whether a file that grew still begins as it did is for `OpenLog.continues` to say.
    """
    if before.kind != FILE:
        if now.kind == FILE:
            return FileChange.APPEARED
        return FileChange.NONE if (before.kind, before.why) == (now.kind, now.why) else FileChange.BLOCKED
    if now.kind == ABSENT:
        return FileChange.DELETED
    if now.kind != FILE:
        return FileChange.BLOCKED
    if before.identity != now.identity:
        return FileChange.REPLACED
    if now.size != before.size:
        return FileChange.GREW if now.size > before.size else FileChange.TRUNCATED
    return FileChange.NONE if now.mtime_ns == before.mtime_ns else FileChange.REWRITTEN


def change_words(change: FileChange, now: FileStatus) -> str:
    """What happened to a log, as the end of a sentence that begins with its name."""
    return now.why if change is FileChange.BLOCKED else change.value


# --------------------------------------------------------------------------- text of other forms

_copies = threading.Lock()
_last_copy: tuple[FileStatus, int] | None = None
"""The copy that was made last, and of what: pages of one log are asked for one after the other."""


def _converted(fd: int, look: FileStatus) -> int | None:
    """A file with the log's text in UTF-8, where the log itself is in UTF-16 or compressed; else None.

    Raises:
        LogError: it cannot be converted.
    """
    global _last_copy
    encoding = "" if look.compressed else _encoding_of(fd)
    if not look.compressed and not encoding:
        return None
    with _copies:
        if _last_copy is not None and _last_copy[0] == look:
            return os.dup(_last_copy[1])
        copy = _unpacked(fd) if look.compressed else _decoded(fd, encoding)
        if _last_copy is not None:
            os.close(_last_copy[1])
        _last_copy = look, os.dup(copy)
        return copy


def _encoding_of(fd: int) -> str:
    """The encoding that a mark at the begin of a file names, if it is not UTF-8; else ''."""
    try:
        begin = os.pread(fd, 2, 0)
    except OSError:
        return ""  # reading it will say why
    return {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(begin, "")


def _decoded(fd: int, encoding: str) -> int:
    decoder = codecs.getincrementaldecoder(encoding)("replace")

    def pieces(data: bytes) -> bytes:
        return decoder.decode(data).replace("\r\n", "\n").removeprefix("\ufeff").encode("utf-8", "replace")

    return _copied(fd, pieces)


def _unpacked(fd: int) -> int:
    unpacker = zlib.decompressobj(31)

    def pieces(data: bytes) -> bytes:
        nonlocal unpacker
        out = b""
        while data and len(out) <= MOST_CONVERTED:
            try:
                out += unpacker.decompress(data, MOST_CONVERTED)
            except zlib.error as error:
                raise LogError(f"the log was compressed, and cannot be read: {error}") from error
            data = unpacker.unconsumed_tail or unpacker.unused_data
            if unpacker.eof:
                unpacker = zlib.decompressobj(31)  # several parts, one after the other, are one file
        return out

    return _copied(fd, pieces)


def _copied(fd: int, convert: Callable[[bytes], bytes]) -> int:
    """A nameless file with all of another, converted piece by piece; cut where it would become too long."""
    target = _nameless()
    try:
        at = written = 0
        while written < MOST_CONVERTED and (data := os.pread(fd, _PIECE, at)):
            at += len(data)
            text = convert(data)[: MOST_CONVERTED - written]
            written += len(text)
            while text:
                text = text[os.write(target, text) :]
    except OSError as error:
        os.close(target)
        raise LogError(f"the log cannot be converted: {error.strerror}") from error
    except BaseException:
        os.close(target)
        raise
    return target


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("log", os.MFD_CLOEXEC)
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _open_or_compressed(path: str) -> tuple[int, FileStatus] | FileStatus:
    found = _open(path)
    if not isinstance(found, FileStatus) or found.kind != ABSENT:
        return found
    packed = _open(path + _COMPRESSED)
    if isinstance(packed, FileStatus):
        return found
    fd, look = packed
    return fd, look._replace(compressed=True)


def _open(path: str) -> tuple[int, FileStatus] | FileStatus:
    found = _open_at(path)
    if isinstance(found, FileStatus) and found.kind == ABSENT:
        for other in candidates(path):
            now = _open_at(other)
            if not isinstance(now, FileStatus):
                return now
    return found


def _open_at(path: str) -> tuple[int, FileStatus] | FileStatus:
    try:
        # Looked at before it is opened: opening a FIFO would let its writer go on, and then kill it.
        before = None if is_confined() else os.stat(path)
        if before is not None and not stat.S_ISREG(before.st_mode):
            return _not_a_file(before.st_mode)
        fd = opened(path, _OPEN_FLAGS)
    except ConfinedError as error:
        return FileStatus(FAILED, f"is not shown: it {error}")
    except FileNotFoundError:
        return FileStatus(ABSENT, "is not there yet")
    except OSError as error:
        return FileStatus(FAILED, _reason(error))
    except ValueError:  # a NUL or a lone surrogate in the path
        return FileStatus(FAILED, "has a name that no file can have")
    try:
        now = os.fstat(fd)
    except OSError as error:
        os.close(fd)
        return FileStatus(FAILED, _reason(error))
    if not stat.S_ISREG(now.st_mode):
        os.close(fd)
        return _not_a_file(now.st_mode)
    return fd, FileStatus(FILE, "", now.st_size, now.st_dev, now.st_ino, now.st_mtime_ns)


def _not_a_file(mode: int) -> FileStatus:
    if stat.S_ISDIR(mode):
        return FileStatus(DIRECTORY, "is a directory")
    if stat.S_ISFIFO(mode):
        return FileStatus(SPECIAL, "is a FIFO, not a file")
    if stat.S_ISSOCK(mode):
        return FileStatus(SPECIAL, "is a socket, not a file")
    return FileStatus(SPECIAL, "is a device, not a file")


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOTDIR:
        return "is not there (a part of its path is not a directory)"
    text = _WHY.get(error.errno or 0)
    return text or f"cannot be read ({error.strerror or type(error).__name__})"
