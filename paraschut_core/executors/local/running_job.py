"""A job in flight: its process, why it is being ended, and what its end is called."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from .daemon_store import EndRecord, StartRecord
from .launch_command import clock
from .process import signal_name, start_of

if TYPE_CHECKING:
    from .daemon_store import QueuedJob
    from .journal import ProcessExit, ProcessStart

DELETED = "deleted"
REBOOTED = "machine rebooted while it ran"
UNSEEN = "ended while no runner watched; its exit status is not known"
UNCERTAIN = "runner was killed while starting it; not known whether it ran"


class RunningJob:
    """One job that was started and has not been written down as ended."""

    def __init__(self, entry: QueuedJob, start: ProcessStart, started_at: float) -> None:
        self.number = entry.number
        self.id = entry.id
        self.pid = start.pid
        self.start = start.start
        """Its start time; 0: not asked for yet (`know_start`)."""
        self.boot = start.boot
        self.started_at = started_at
        self.walltime = entry.walltime
        self.cpu_limit = entry.cpu_limit
        self.watch: int | None = None
        """For another runner's child: a descriptor that becomes readable when the process ends."""
        self.over = False
        """Whether the first process has ended (others of the job may be left)."""
        self.exit: ProcessExit | None = None
        self.why = ""
        """Why the job is being ended; '' as long as it is not."""
        self.kill_at = 0.0
        self.told: set[tuple[int, int]] = set()
        """Processes (number, start time) that were asked to end."""

    @property
    def deadline(self) -> float | None:
        """When its time is over, on the monotonic clock."""
        if self.walltime is None:
            return None
        return time.monotonic() + self.started_at + self.walltime - time.time()

    def read_start_time(self) -> None:
        """Asks for the start time of a child that was not waited for: its number is still its own."""
        if not self.start:
            self.start = start_of(self.pid)

    def as_started(self) -> StartRecord:
        return StartRecord(self.pid, self.start, self.boot, self.started_at, self.number)

    def as_ended(self, reason: str = "") -> EndRecord:
        """How it ended. `reason` replaces what follows from why and how its process ended."""
        status, number = _status(self.exit)
        reason = reason or self.why or self._reason(status, number)
        return EndRecord(
            reason,
            status,
            number,
            self.exit.cpu if self.exit else None,
            self.exit.rss if self.exit else None,
            self.exit.at if self.exit else time.time(),
            *self.as_started(),
        )

    def _reason(self, status: int | None, number: int | None) -> str:
        # A shell, or `paraschut run`, tells of a command that a signal ended by 128 and its number.
        if self.cpu_limit is not None and signal.SIGXCPU in (number, (status or 0) - 128):
            return f"CPU time limit {clock(self.cpu_limit)} (cput)"
        if number is not None:
            return f"killed by signal {number} ({signal_name(number)})"
        return UNSEEN if status is None else f"exit status {status}"


def never_started(number: int, reason: str) -> EndRecord:
    """The end of a job that has no process to show for it."""
    return EndRecord(reason, None, None, None, None, time.time(), None, None, None, None, number)


def _status(exit_: ProcessExit | None) -> tuple[int | None, int | None]:
    """(exit status, signal) of what wait4 told."""
    if exit_ is None:
        return None, None
    if os.WIFSIGNALED(exit_.status):
        return None, os.WTERMSIG(exit_.status)
    return os.WEXITSTATUS(exit_.status), None
