"""A running job: its process, and how it is ended with all its processes (TERM, then KILL)."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from ... import exit_kinds
from .daemon_store import EndRecord, StartRecord
from .launcher import clock
from .process import members, send, start_of, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from .daemon_store import QueuedJob
    from .journal import ProcessExit, ProcessStart
    from .process import Process

_INTERVAL = 0.05
_GIVE_UP = 10.0
"""Seconds after KILL when a process that hangs in the kernel is left to itself."""


class EndReason(NamedTuple):
    """Why a job ended: a code of exit_kinds, and words for people."""

    kind: str
    text: str


DELETED = EndReason(exit_kinds.CANCELLED, "deleted")
REBOOTED = EndReason(exit_kinds.NODE, "machine rebooted while it ran")
UNSEEN = EndReason(exit_kinds.UNKNOWN, "ended while no runner watched; its exit status is not known")
UNCERTAIN = EndReason(exit_kinds.UNKNOWN, "runner was killed while starting it; not known whether it ran")


class RunningJob:
    """One job that was started and has not been written down as ended."""

    def __init__(self, entry: QueuedJob, start: ProcessStart, started_at: float) -> None:
        self.number = entry.number
        self.id = entry.id
        self.pid = start.pid
        self.start = start.start
        """Its start time; 0: not asked for yet (`read_start_time`)."""
        self.boot = start.boot
        self.started_at = started_at
        self.walltime = entry.walltime
        self.cpu_limit = entry.cpu_limit
        self.watch: int | None = None
        """For another runner's child: a descriptor that becomes readable when the process ends."""
        self.first_process_ended = False
        """Whether the first process has ended (others of the job may be left)."""
        self.exit: ProcessExit | None = None
        self.end_reason: EndReason | None = None
        """Why the job is being ended; None as long as it is not."""
        self.kill_at = 0.0
        self.signalled: set[tuple[int, int]] = set()
        """Processes (number, start time) that were asked to end."""

    @property
    def deadline(self) -> float | None:
        """When its time is over, on the monotonic clock."""
        if self.walltime is None:
            return None
        return time.monotonic() + self.started_at + self.walltime - time.time()

    def read_start_time(self) -> None:
        """Ask for the start time of a child that was not waited for: its number is still its own."""
        if not self.start:
            self.start = start_of(self.pid)

    def as_started(self) -> StartRecord:
        return StartRecord(self.pid, self.start, self.boot, self.started_at, self.number)

    def as_ended(self, reason: EndReason | None = None) -> EndRecord:
        """How it ended. `reason` replaces what follows from why and how its process ended."""
        status, number = _status(self.exit)
        reason = reason or self.end_reason or self._reason(status, number)
        return EndRecord(
            reason.text,
            status,
            number,
            self.exit.cpu if self.exit else None,
            self.exit.rss if self.exit else None,
            self.exit.at if self.exit else time.time(),
            *self.as_started(),
            reason.kind,
        )

    def _reason(self, status: int | None, number: int | None) -> EndReason:
        # A shell, or `paraschut run`, tells of a command that a signal ended by 128 and its number.
        if self.cpu_limit is not None and signal.SIGXCPU in (number, (status or 0) - 128):
            return EndReason(exit_kinds.CPU_LIMIT, f"CPU time limit {clock(self.cpu_limit)} (cput)")
        if number is not None:
            text = f"killed by signal {number} ({exit_kinds.signal_name(number)})"
            return EndReason(exit_kinds.SIGNAL, text)
        return UNSEEN if status is None else EndReason(exit_kinds.EXIT, f"exit status {status}")


def never_started(number: int, reason: EndReason) -> EndRecord:
    """The end of a job that has no process to show for it."""
    return EndRecord(
        reason.text, None, None, None, None, time.time(), None, None, None, None, number, reason.kind
    )


def _status(exit_: ProcessExit | None) -> tuple[int | None, int | None]:
    """(exit status, signal) of what wait4 told."""
    if exit_ is None:
        return None, None
    if os.WIFSIGNALED(exit_.status):
        return None, os.WTERMSIG(exit_.status)
    return os.WEXITSTATUS(exit_.status), None


class Terminator:
    """Ends jobs with all their processes. `log` takes what could not be done."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._jobs: dict[int, RunningJob] = {}
        self.next_at: float | None = None
        """When the next step is due, on the monotonic clock; None: nothing to do."""

    def add(self, job: RunningJob, reason: EndReason, grace: float) -> None:
        """Begin to end a job for this reason; `grace` is seconds from TERM to KILL."""
        if job.end_reason is None:
            job.read_start_time()
            job.end_reason = reason
            job.kill_at = time.monotonic() + grace
            self._jobs[job.number] = job
            self.wake()

    def wake(self) -> None:
        """Take the next step at once: a process has ended."""
        self.next_at = time.monotonic()

    def step(self) -> list[RunningJob]:
        """Signal what is left of these jobs; return those of which nothing is left."""
        now = time.monotonic()
        if self.next_at is None or now < self.next_at:
            return []
        processes = table()  # one look for all of them
        finished = []
        for job in list(self._jobs.values()):
            family = members(processes, job.pid, job.start, job.id)
            if not family:
                gone = job.first_process_ended  # else it was not waited for yet: that comes next
            else:
                self._signal(job, family, signal.SIGKILL if now >= job.kill_at else signal.SIGTERM)
                gone = now > job.kill_at + _GIVE_UP
                if gone:
                    left = ", ".join(str(process.pid) for process in family)
                    self._log(f"job {job.id}: processes {left} do not end")
                    reason = job.end_reason or DELETED
                    job.end_reason = reason._replace(text=f"{reason.text} (but processes {left} do not end)")
            if gone:
                finished.append(job)
                del self._jobs[job.number]
        # A machine with many processes is not kept busy by being looked at.
        cost = time.monotonic() - now
        self.next_at = now + max(_INTERVAL, 5 * cost) if self._jobs else None
        return finished

    def _signal(self, job: RunningJob, family: list[Process], number: int) -> None:
        for process in family:
            identity = (process.pid, process.start)
            if number != signal.SIGKILL and identity in job.signalled:
                continue
            try:
                send(*identity, number)
                if number != signal.SIGKILL:
                    send(*identity, signal.SIGCONT)  # a stopped process gets no TERM
            except PermissionError:
                if identity not in job.signalled:
                    self._log(f"job {job.id}: process {process.pid} is another user's")
            job.signalled.add(identity)
