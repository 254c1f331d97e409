"""Ends jobs with all their processes: TERM, and KILL after a grace, until none is left."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from .process import members, send, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from .process import Process
    from .running_job import RunningJob

_INTERVAL = 0.05
_GIVE_UP = 10.0
"""Seconds after KILL when a process that hangs in the kernel is left to itself."""


class Terminator:
    """The jobs that are being ended. `log` is told what could not be done."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._flights: dict[int, RunningJob] = {}
        self.next_at: float | None = None
        """When the next sweep is due, on the monotonic clock; None: nothing to do."""

    def add(self, flight: RunningJob, why: str, grace: float) -> None:
        """Begins to end a job; `why` becomes its reason, `grace` is seconds from TERM to KILL."""
        if not flight.why:
            flight.read_start_time()
            flight.why = why
            flight.kill_at = time.monotonic() + grace
            self._flights[flight.number] = flight
            self.wake()

    def wake(self) -> None:
        """Has the next sweep done at once: a process has ended."""
        self.next_at = time.monotonic()

    def step(self) -> list[RunningJob]:
        """Signals what is left of these jobs; returns those of which nothing is left."""
        now = time.monotonic()
        if self.next_at is None or now < self.next_at:
            return []
        processes = table()  # one look for all of them
        finished = []
        for flight in list(self._flights.values()):
            family = members(processes, flight.pid, flight.start, flight.id)
            if not family:
                gone = flight.over  # else its first process was not waited for yet: that comes next
            else:
                self._signal(flight, family, signal.SIGKILL if now >= flight.kill_at else signal.SIGTERM)
                gone = now > flight.kill_at + _GIVE_UP
                if gone:
                    left = ", ".join(str(process.pid) for process in family)
                    self._log(f"job {flight.id}: processes {left} do not end")
                    flight.why += f" (but processes {left} do not end)"
            if gone:
                finished.append(flight)
                del self._flights[flight.number]
        # A machine with many processes is not kept busy by being looked at.
        cost = time.monotonic() - now
        self.next_at = now + max(_INTERVAL, 5 * cost) if self._flights else None
        return finished

    def _signal(self, flight: RunningJob, family: list[Process], number: int) -> None:
        for process in family:
            identity = (process.pid, process.start)
            if number != signal.SIGKILL and identity in flight.told:
                continue
            try:
                send(*identity, number)
                if number != signal.SIGKILL:
                    send(*identity, signal.SIGCONT)  # a stopped process gets no TERM
            except PermissionError:
                if identity not in flight.told:
                    self._log(f"job {flight.id}: process {process.pid} is another user's")
            flight.told.add(identity)
