"""What the runner did since its last commit, so that kill -9 can neither lose a job nor run it twice.

Plain writes: the page cache outlives the process. Three facts about each job are kept:

- its *marker*, an empty file that the new process itself opens on its way to the job's program: no
  marker, no start;
- "P number pid earliest": the process is known, the marker is not needed any more;
- "X number status ...": it ended.

The runner's lock is inherited by a process on its way to the job's program and let go when it gets
there. Whoever holds the lock therefore knows that no marker can still appear.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ...security.ownership import enter, open_own

_FILE = "journal"
_MARKERS = "starting"
_ROOM = 256 * 1024
"""Bytes after which a journal is emptied at the next commit."""


class ProcessStart(NamedTuple):
    """The process that a job got. `start` is in clock ticks since the boot `boot`.

    In the journal it is the moment just before the process was made: to ask for its true start time
    would take longer than to make it.
    """

    pid: int
    start: int
    boot: str


class ProcessExit(NamedTuple):
    """How a job's first process ended: as wait4 tells it. `cpu` in seconds, `rss` in bytes."""

    status: int
    at: float
    cpu: float
    rss: int


class JournalContents(NamedTuple):
    """What a journal tells, by job number."""

    starts: dict[int, ProcessStart]
    exits: dict[int, ProcessExit]
    markers: set[int]


class Journal:
    """The journal in one queue's folder; only the runner opens it.

    Raises (every method):
        OSError: the disk is full, the folder is gone, ...
    """

    def __init__(self, folder: str, boot: str) -> None:
        self.boot = boot
        self._markers = os.path.join(folder, _MARKERS)
        os.makedirs(self._markers, mode=0o700, exist_ok=True)
        place = enter(folder)
        try:
            path = os.path.join(folder, _FILE)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            self._handle = open_own(_FILE, flags, folder=place, path=path)
        finally:
            os.close(place)

    def marker(self, number: int) -> str:
        """The path that a job's process must open before it becomes the job."""
        return f"{self._markers}/{number}"

    def unmark(self, number: int) -> None:
        try:
            os.unlink(self.marker(number))
        except FileNotFoundError:
            # It was never made: for want of its folder, perhaps, if somebody tidied up.
            # Nothing above it is made: what the queue lies on may be away.
            try:
                os.mkdir(self._markers, 0o700)
            except FileExistsError:
                pass

    def started(self, number: int, pid: int, earliest: int) -> None:
        """Record a job's process, made at `earliest` or just after it; the marker has done its work then."""
        self._write(b"P %d %d %d" % (number, pid, earliest))
        self.unmark(number)

    def ended(self, number: int, exit_: ProcessExit) -> None:
        self._write(b"X %d %d %.6f %.6f %d" % (number, *exit_))

    def read(self) -> JournalContents:
        """What was noted since the journal was last emptied; lines that are not whole are left out."""
        lines = os.pread(self._handle, os.fstat(self._handle).st_size, 0).split(b"\n")
        starts: dict[int, ProcessStart] = {}
        exits: dict[int, ProcessExit] = {}
        boot = ""
        for line in lines:
            try:
                match line.split():
                    case [b"B", name, b"."]:
                        boot = os.fsdecode(name)
                    case [b"P", number, pid, earliest, b"."]:
                        starts[int(number)] = ProcessStart(int(pid), int(earliest), boot)
                    case [b"X", number, status, at, cpu, rss, b"."]:
                        exits[int(number)] = ProcessExit(int(status), float(at), float(cpu), int(rss))
            except ValueError:
                continue  # what a power failure leaves in a file
        markers = {int(name) for name in os.listdir(self._markers) if name.isdigit()}
        return JournalContents(starts, exits, markers)

    def empty(self) -> None:
        """Forget everything but the markers; to be called when all of it is in the queue file."""
        os.ftruncate(self._handle, 0)
        self._write(b"B " + os.fsencode(self.boot))

    def empty_if_large(self) -> None:
        if os.fstat(self._handle).st_size > _ROOM:
            self.empty()

    def _write(self, line: bytes) -> None:
        # Begun by a newline and ended by a dot: a line that a full disk cut short spoils no other.
        os.write(self._handle, b"\n" + line + b" .")
