"""What a new runner finds: jobs that go on, jobs that ended unseen, jobs that never started."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from .journal import JournalContents, ProcessStart
from .process import alive, look, table
from .running_job import REBOOTED, UNCERTAIN, RunningJob, never_started

if TYPE_CHECKING:
    from .daemon_store import DaemonStore, EndRecord, QueuedJob
    from .journal import Journal

_DELAY = 500
"""Clock ticks that may pass between the journal's time and the true start of a process (5 s: the machine
may have been asleep in between). Its number cannot be given to another session that soon."""


def recover_jobs(store: DaemonStore, journal: Journal) -> list[RunningJob]:
    """Bring the queue file up to date with the journal and the machine; return the jobs that run.

    To be called with the queue's lock held: then no process can be on its way to a job's program, and
    a queued job without a trace in the journal has surely not started. It stays queued.

    Raises:
        sqlite3.Error, OSError: nothing was changed; the next runner can do all of it again.
    """
    noted = journal.read()
    traces = set(noted.starts) | set(noted.exits) | noted.markers
    entries = [*store.running(), *store.by_number(traces)]
    lost = {entry.number for entry in entries if _start(entry, noted) is None}
    found = _search(lost, store.queue_id, journal.boot) if lost else {}
    jobs: list[RunningJob] = []
    ended: list[EndRecord] = []
    for entry in entries:
        start = _start(entry, noted) or found.get(entry.number)
        if start is None:
            ended.append(never_started(entry.number, UNCERTAIN))
            continue
        job = RunningJob(entry, start, entry.started_at or time.time())
        job.exit = noted.exits.get(entry.number)
        if start.boot != journal.boot:
            ended.append(job.as_ended(REBOOTED if job.exit is None else None))
        elif job.exit is None and _watch(job):
            jobs.append(job)
        elif entry.cancel_at is not None:
            job.first_process_ended = True  # others of its processes may be left: they are looked for
            jobs.append(job)
        else:
            ended.append(job.as_ended())
    store.record([job.as_started() for job in jobs], ended)
    for number in noted.markers:
        journal.unmark(number)
    journal.empty()
    return jobs


def _start(entry: QueuedJob, noted: JournalContents) -> ProcessStart | None:
    """The process that the job got, as far as it was written down."""
    if entry.pid is not None:
        return ProcessStart(entry.pid, entry.start or 0, entry.boot or "")
    start = noted.starts.get(entry.number)
    if start is not None:
        found = look(start.pid)
        if found is not None and found.session == found.pid and 0 <= found.start - start.start <= _DELAY:
            return start._replace(start=found.start)
    return start  # it has ended: no process will be found


def _search(numbers: set[int], queue_id: str, boot: str) -> dict[int, ProcessStart]:
    """Processes that carry the id of one of these jobs and lead a session: the job's first process."""
    wanted = {f"{queue_id}.{number}": number for number in numbers}
    return {
        wanted[process.job]: ProcessStart(process.pid, process.start, boot)
        for process in table().values()
        if process.job in wanted and process.pid == process.session
    }


def _watch(job: RunningJob) -> bool:
    """Make the job tell when its process ends, which is no child of this one; False if it has."""
    if hasattr(os, "pidfd_open"):
        try:
            job.watch = os.pidfd_open(job.pid)
        except OSError:
            job.watch = None  # gone, or a kernel without process handles: then it is looked at
    if alive(job.pid, job.start):
        return True
    if job.watch is not None:
        os.close(job.watch)
        job.watch = None
    return False
