"""Linux's own word that an SQLite file was committed to (inotify), asked by ctypes.

Libraries for it bring an event loop of their own, whose import takes as long as much of the dashboard's, or a
thread that wakes up fifty times a second; a commit takes one event here, and nothing else wakes anybody.
"""

from __future__ import annotations

import ctypes
import os
import struct

_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_ROOM = 1 << 16

_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _OVERFLOW = 0x2, 0x40, 0x80, 0x100, 0x200, 0x4000


class CommitNotifier:
    """Tells of commits to one database file by processes of this host.

    The end of a transaction is when the rollback journal is deleted, or the write-ahead log written to.

    Raises:
        OSError: this system has no inotify, no watch is left, or the folder is not there.
    """

    def __init__(self, path: str) -> None:
        self._folder, self._name = os.path.split(os.path.abspath(path))
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._descriptor = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        except AttributeError as error:
            raise OSError("there is no inotify on this system") from error
        try:
            self._watch(self._folder, _CREATE | _DELETE | _MOVED_FROM | _MOVED_TO)
            self._watch_log()
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """The descriptor that becomes readable when something happened."""
        return self._descriptor

    def take(self) -> bool:
        """Takes in what happened; whether there may have been a commit, or another file came in its place."""
        try:
            data = os.read(self._descriptor, _ROOM)
        except BlockingIOError:
            return False
        told = False
        at = 0
        while at < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            name = os.fsdecode(data[at - length : at].rstrip(b"\0"))
            told = self._tells(name, mask) or told
        return told

    def _tells(self, name: str, mask: int) -> bool:
        if name == f"{self._name}-wal" and mask & _CREATE:
            self._watch_log()
            return True  # it may have been written to before it was watched
        if not name:  # of the write-ahead log, which is watched by itself; or too much happened to tell
            return bool(mask & (_MODIFY | _OVERFLOW))
        return name == self._name or (name == f"{self._name}-journal" and bool(mask & _DELETE))

    def _watch_log(self) -> None:
        try:
            self._watch(os.path.join(self._folder, f"{self._name}-wal"), _MODIFY)
        except FileNotFoundError:
            pass  # the usual: this file has a rollback journal

    def _watch(self, path: str, mask: int) -> None:
        self._checked(self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask), path)

    @staticmethod
    def _checked(result: int, path: str = "") -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return result

    def close(self) -> None:
        os.close(self._descriptor)
