"""Directories whose jobs wait: what the machine may mend (a mount that is away, a full disk) costs no job."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .daemon_store import QueuedJob

FIRST_DELAY = 2.0
"""Seconds until the first job of a held directory is tried; each failure doubles them ..."""
LONGEST_DELAY = 60.0
"""... up to this."""
IN_A_ROW = 5
"""Jobs that cannot be started one after another, each by its own fault as it seems, before the rest waits."""


class UnavailableDir:
    """One directory whose jobs wait.

    Attributes:
        folder: the directory.
        why: for people.
        since: epoch seconds.
        first: the lowest job number that it keeps back.
        at: when the next job is tried (monotonic).
        tried: jobs that were tried meanwhile and failed: others come first.
    """

    def __init__(self, folder: bytes, why: str, since: float, first: int) -> None:
        self.folder = folder
        self.why = why
        self.since = since
        self.first = first
        self.at = 0.0
        self.delay = FIRST_DELAY / 2
        self.tried: set[int] = set()


class UnavailableDirs:
    """All that are in force."""

    def __init__(self) -> None:
        self._holds: dict[bytes, UnavailableDir] = {}
        self._streak: dict[bytes, int] = {}
        self.changed = False
        """Whether others have to be told; for the caller to set back."""

    def __bool__(self) -> bool:
        return bool(self._holds)

    def __iter__(self) -> Iterator[UnavailableDir]:
        return iter(list(self._holds.values()))

    @property
    def next_at(self) -> float | None:
        """When the next job is to be tried (monotonic)."""
        return min((hold.at for hold in self._holds.values()), default=None)

    def keeps(self, entry: QueuedJob) -> bool:
        """Return whether a job has to wait; notes that it does."""
        found = False
        for folder in folders_of(entry):
            hold = self._holds.get(folder)
            if hold is not None:
                hold.first = min(hold.first, entry.number)
                found = True
        return found

    def hold(self, folder: bytes, why: str, entry: QueuedJob, now: float, wall: float) -> None:
        """Keep the jobs of a directory back, after `entry` could not be started for `why`."""
        hold = self._holds.get(folder)
        if hold is None:
            hold = self._holds[folder] = UnavailableDir(folder, why, wall, entry.number)
        hold.why = why
        hold.first = min(hold.first, entry.number)
        hold.tried.add(entry.number)
        hold.delay = min(hold.delay * 2, LONGEST_DELAY)
        hold.at = now + hold.delay
        self.changed = True

    def is_own_fault(self, entry: QueuedJob) -> bool:
        """Return whether a job that cannot be started is itself to blame, as far as its neighbours tell."""
        if entry.cwd in self._holds:
            return False
        self._streak[entry.cwd] = self._streak.get(entry.cwd, 0) + 1
        return self._streak[entry.cwd] < IN_A_ROW

    def started(self, entry: QueuedJob) -> int | None:
        """Record that a job was started: its directories are there. The lowest job number that may go on."""
        self._streak.pop(entry.cwd, None)
        freed = [self._holds.pop(folder) for folder in folders_of(entry) if folder in self._holds]
        self.changed |= bool(freed)
        return min((hold.first for hold in freed), default=None)

    def drop(self, hold: UnavailableDir) -> None:
        """End a hold that keeps no job back any more."""
        if self._holds.pop(hold.folder, None) is not None:
            self.changed = True

    def due(self, now: float) -> list[UnavailableDir]:
        """Those of which a job is to be tried now."""
        return [hold for hold in self._holds.values() if hold.at <= now]

    def candidate(self, hold: UnavailableDir, entries: Iterable[QueuedJob]) -> QueuedJob | None:
        """The job to try: one of the directory's that was not tried yet."""
        for entry in entries:
            if hold.folder in folders_of(entry) and entry.number not in hold.tried:
                return entry
        return None


def folders_of(entry: QueuedJob) -> set[bytes]:
    """The directories that a job cannot do without: its own, and its logs'."""
    return {entry.cwd, os.path.dirname(entry.stdout), os.path.dirname(entry.stderr)}
