"""The local daemon: `python -P -m paraschut_core.executors.local.daemon DIR`.

It takes jobs from the queue file in order, starts them, and writes down their ends. One thread, woken by
signals: SIGCHLD when a job ended, SIGUSR1 when somebody wrote to the queue file.

There is one per user, host and job directory. It outlives the terminal and the dashboard, and ends
when there is nothing to do. It may be killed at any moment: its jobs go on, and the next daemon follows them.
"""

from __future__ import annotations

import gc
import heapq
import os
import selectors
import signal
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ... import exit_kinds
from ...errors import ParaschutError
from ...security.ownership import enter
from ..base import JOB_ID_VARIABLE, V06_ID_VARIABLE
from . import launcher
from .daemon_control import READY, lock_queue
from .daemon_store import DaemonStore
from .journal import Journal, ProcessExit, ProcessStart
from .launcher import clock, unpacked
from .process import alive, boot_id, start_of, ticks
from .queue_store import LocalQueue
from .recovery import recover_jobs
from .running_job import DELETED, EndReason, RunningJob, Terminator, never_started
from .unavailable_dirs import UnavailableDirs

if TYPE_CHECKING:
    from .daemon_store import EndRecord, QueuedJob

_BATCH = 0.05
"""Seconds between two commits while jobs come and go."""
_GLANCE = 1.0
"""Seconds between two looks at the queue file without a nudge."""
_FETCH = 256
_PAUSE = 2.0
"""Seconds without new jobs after the disk, the queue file or the machine refused something."""
_ABSENCE = 15.0
"""Seconds that the queue file may be away, as on a mount that comes back, before it counts as removed."""
_PRUNE = 3600.0
_AGREEMENT = 6000
"""Clock ticks: this process surely started less than a minute ago."""
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_LOCK_WAIT = 10.0
"""Seconds for a runner that is about to end to let go of the lock."""
_LOG_ROOM = 1 << 20


class LocalDaemon:
    """The jobs of one queue, from their start until their end is written down.

    Args:
        store: the queue file, in which this process is registered.
        journal: the queue's journal.
        base: the job directory.
        place: the queue's folder (its descriptor): the working directory between two starts.
        jobs: jobs that the runner before has left running.
        log: takes what goes wrong.
    """

    def __init__(
        self,
        store: DaemonStore,
        journal: Journal,
        base: str,
        place: int,
        jobs: list[RunningJob],
        log: Callable[[str], None],
    ) -> None:
        self._store = store
        self._journal = journal
        self._base = os.fsencode(base)
        self._place = place
        self._log = log
        self._limits = store.limits()
        self._jobs: dict[int, RunningJob] = {}  # by job number
        self._children: dict[int, RunningJob] = {}  # by process number
        self._terminator = Terminator(log)
        self._holds = UnavailableDirs()
        self._deadlines: list[tuple[float, int]] = []
        self._waiting: deque[QueuedJob] = deque()
        self._fetched = 0  # the highest job number that was ever in _waiting
        self._more = True  # whether the file may hold queued jobs above it
        self._begun: set[int] = set()  # jobs that the file does not know to run
        self._done: list[EndRecord] = []
        self._commit_at = self._look_at = self._resume_at = self._prune_at = 0.0
        self._idle_since = time.monotonic()
        self._away_since = 0.0
        self._base_status = os.stat(base)
        self._trouble = ""
        self._nudged = self._changed = self._stopping = False
        # Where processes tell their start times by another clock than ours, they are asked instead.
        self._clock_agrees = 0 <= ticks() - start_of(os.getpid()) < _AGREEMENT
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        for end in (self._wake, self._waker):
            os.set_blocking(end, False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        for job in jobs:
            self._follow(job)
            if job.watch is not None:
                self._selector.register(job.watch, selectors.EVENT_READ, job)

    def listen(self) -> None:
        """Take the signals; from then on a nudge is heard."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # that it wakes is all
        signal.signal(signal.SIGUSR1, lambda *_: self._nudge())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop("told to end; jobs that run are left alone"))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def serve(self) -> None:
        """Run jobs until there was nothing to do for the idle time, or until told to end."""
        while not self._stopping:
            try:
                self._look()
                self._commit()
                if self._is_idle():
                    if self._store.retire():
                        return
                    self._nudged, self._idle_since = True, time.monotonic() + _GLANCE
            except (sqlite3.Error, OSError) as error:
                # It goes on trying: ending without having retired would leave a job unserved whose
                # submitter sees this process alive.
                self._pause(f"{self._store.queue.path}: {error}")
            self._reap()
            self._end_overdue()
            for job in self._terminator.step():
                self._finish(job)
            self._start_jobs()
            self._wait()
        self._leave()

    def _nudge(self) -> None:
        self._nudged = True

    def _stop(self, why: str) -> None:
        self._log(why)
        self._stopping = True

    def _leave(self) -> None:
        try:
            self._resume_at = 0.0
            if self._store.is_ours(os.getpid()):
                self._commit(at_once=True)
                self._store.retire(always=True)
        except (sqlite3.Error, OSError) as error:
            self._log(f"{self._store.queue.path}: {error}; the journal keeps what happened")

    # ------------------------------------------------------------------ the queue file

    def _look(self) -> None:
        """Take in what others wrote to the queue file."""
        now = time.monotonic()
        if (now < self._look_at and not self._nudged) or now < self._resume_at:
            return
        self._nudged, self._look_at = False, now + _GLANCE
        if not self._is_ours():
            return
        if now >= self._prune_at:
            self._prune_at = now + _PRUNE
            self._store.prune()
        self._changed |= self._store.changed()
        if self._changed:
            self._limits = self._store.limits()
            self._more = True
            self._commit(at_once=True)  # then the file knows which jobs have started or ended
            self._cancel(self._store.cancelled())
            self._changed = False  # not before: whatever fails above is done again

    def _is_ours(self) -> bool:
        """Whether the queue file is there and this process serves it; if not, waits for it or stops."""
        try:
            ours = self._store.is_ours(os.getpid())
        except FileNotFoundError:
            now = time.monotonic()
            self._away_since = self._away_since or now
            if self._base_is_away() and now - self._away_since < _ABSENCE:
                self._pause(f"{self._store.queue.path} is not there")
                return False
            ours = False
        else:
            self._away_since = 0.0
        if not ours:
            self._stop("the queue file was removed or has another runner; jobs that run are left alone")
        return ours

    def _base_is_away(self) -> bool:
        """Return whether the job directory itself is not there: then the queue was not removed from it."""
        try:
            return not os.path.samestat(os.stat(self._base), self._base_status)
        except OSError:
            return True

    def _cancel(self, entries: list[QueuedJob]) -> None:
        queued = set()
        for entry in entries:
            job = self._jobs.get(entry.number)
            if job is None:
                queued.add(entry.number)
                self._done.append(never_started(entry.number, DELETED))
            else:
                self._terminator.add(job, DELETED, self._limits.kill_grace)
        if queued:
            self._waiting = deque(entry for entry in self._waiting if entry.number not in queued)
            self._commit(at_once=True)

    def _commit(self, at_once: bool = False) -> None:
        """Write down what began and ended, in batches: a commit costs as much as several jobs."""
        now = time.monotonic()
        if not (self._begun or self._done) or now < self._resume_at:
            return
        if now < self._commit_at and not at_once:
            return
        jobs = [self._jobs[number] for number in self._begun]
        for job in jobs:
            job.read_start_time()
        self._store.record([job.as_started() for job in jobs], self._done)
        self._begun.clear()
        self._done.clear()
        self._journal.empty_if_large()
        # On a slow disk commits are rarer, so that they never take more than a tenth of the time.
        after = time.monotonic()
        self._commit_at = after + max(_BATCH, 10 * (after - now))
        self._trouble = ""

    def _is_idle(self) -> bool:
        now = time.monotonic()
        if self._jobs or self._waiting or self._more or self._begun or self._done or self._holds:
            self._idle_since = now
            return False
        return now - self._idle_since >= self._limits.idle_timeout and now >= self._resume_at

    def _pause(self, trouble: str) -> None:
        """Start and write nothing for a while: what fails now would fail again at once."""
        if trouble != self._trouble:
            self._log(f"{trouble}; trying again every {_PAUSE:g} s")
        self._trouble = trouble
        self._resume_at = time.monotonic() + _PAUSE

    # ------------------------------------------------------------------ start

    def _start_jobs(self) -> None:
        slots = self._limits.slots or _cpus()
        try:
            self._try_held(slots)
            for _ in range(_FETCH):  # then it looks around again, however many there are
                if len(self._jobs) >= slots or time.monotonic() < self._resume_at:
                    break
                if not (self._waiting or self._fetch()):
                    break
                entry = self._waiting[0]
                if self._holds.keeps(entry) or self._try(entry):
                    self._waiting.popleft()
        except (launcher.TemporaryLaunchError, sqlite3.Error, OSError) as error:
            self._pause(f"no job can be started now: {error}")
        self._write_holds()

    def _try(self, entry: QueuedJob) -> bool:
        """Start a job, ends it if it is itself why it cannot be started, or has its directory wait.

        Returns:
            whether the jobs in `_waiting` are still those to start next.

        Raises:
            TemporaryLaunchError, sqlite3.Error, OSError: none can be started at this moment.
        """
        try:
            self._start(entry)
        except launcher.DirectoryAwayError as error:
            self._hold(error.folder, str(error), entry)
        except launcher.LaunchError as error:
            if self._holds.is_own_fault(entry):
                self._done.append(never_started(entry.number, EndReason(exit_kinds.NOT_STARTED, str(error))))
            else:
                self._hold(entry.cwd, str(error), entry)
        else:
            first = self._holds.started(entry)
            if first is not None:
                self._fetched, self._more = min(self._fetched, first - 1), True
                self._waiting.clear()
                return False
        return True

    def _hold(self, folder: bytes, why: str, entry: QueuedJob) -> None:
        self._holds.hold(folder, why, entry, time.monotonic(), time.time())
        self._log(f"the jobs of {os.fsdecode(folder)} wait: {why}")

    def _try_held(self, slots: int) -> None:
        """Try one job of each directory that is due. Raises as `_try` does."""
        for hold in self._holds.due(time.monotonic()):
            if len(self._jobs) >= slots or time.monotonic() < self._resume_at:
                return
            after = hold.first - 1
            while True:
                entries = self._store.waiting(after, _FETCH)
                entry = self._holds.candidate(hold, self._unstarted(entries))
                if entry is not None:
                    self._try(entry)
                    break
                if len(entries) < _FETCH:
                    if hold.tried:  # all of them were: from the first one again
                        hold.tried.clear()
                    else:
                        self._holds.drop(hold)
                    break
                after = entries[-1].number

    def _write_holds(self) -> None:
        """Write down which directories wait, for those who look."""
        if not self._holds.changed or time.monotonic() < self._resume_at:
            return
        try:
            self._store.write_holds([(hold.folder, hold.why, hold.since) for hold in self._holds])
            self._holds.changed = False
        except sqlite3.Error as error:
            self._pause(f"{self._store.queue.path}: {error}")

    def _fetch(self) -> bool:
        """Get the next queued jobs from the file that need not wait; whether there were any."""
        while self._more and not self._waiting:
            entries = self._store.waiting(self._fetched, _FETCH)
            self._more = len(entries) == _FETCH
            if entries:
                self._fetched = entries[-1].number
                found = self._unstarted(entries)
                self._waiting.extend(entry for entry in found if not self._holds.keeps(entry))
        return bool(self._waiting)

    def _unstarted(self, entries: list[QueuedJob]) -> list[QueuedJob]:
        """Those of queued jobs that are not started or ended already, which the file does not know yet."""
        ended = {done.number for done in self._done}
        return [e for e in entries if e.number not in self._jobs and e.number not in ended]

    def _start(self, entry: QueuedJob) -> None:
        environment = self._store.environment(entry.environment) | unpacked(entry.variables)
        own = [JOB_ID_VARIABLE] if b"PBS_ENVIRONMENT" in environment else [JOB_ID_VARIABLE, V06_ID_VARIABLE]
        for name in own:
            environment[os.fsencode(name)] = entry.id.encode()
        spec = launcher.LaunchSpec(
            entry.arguments.split(b"\0"),
            environment,
            entry.cwd,
            entry.stdout,
            entry.stderr,
            entry.umask,
            entry.cpu_limit,
            self._journal.marker(entry.number),
            self._base,
            self._store.was_there(entry.cwd),
        )
        earliest = ticks()
        try:
            pid = launcher.start(spec, self._place)
        except (launcher.LaunchError, launcher.DirectoryAwayError, launcher.TemporaryLaunchError):
            self._journal.unmark(entry.number)
            raise
        try:
            self._journal.started(entry.number, pid, earliest if self._clock_agrees else start_of(pid))
        except OSError as error:
            # The marker stays: should this runner be killed now, the next one searches for the process.
            self._pause(f"the journal cannot be written: {error}")
        job = RunningJob(entry, ProcessStart(pid, 0, self._journal.boot), time.time())
        self._children[pid] = job
        self._begun.add(job.number)
        self._follow(job)

    def _follow(self, job: RunningJob) -> None:
        self._jobs[job.number] = job
        deadline = job.deadline
        if deadline is not None:
            heapq.heappush(self._deadlines, (deadline, job.number))
            if len(self._deadlines) > 2 * len(self._jobs) + _FETCH:
                self._deadlines = [item for item in self._deadlines if item[1] in self._jobs]
                heapq.heapify(self._deadlines)

    # ------------------------------------------------------------------ end

    def _reap(self) -> None:
        """Take in the ends of processes: children, and those that are looked at."""
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                break
            job = self._children.pop(pid, None)
            if job is None:
                continue  # a child from before this program took the process over
            cpu = usage.ru_utime + usage.ru_stime
            job.exit = ProcessExit(status, time.time(), cpu, usage.ru_maxrss * _RSS_UNIT)
            try:
                self._journal.ended(job.number, job.exit)
            except OSError as error:
                self._pause(f"the journal cannot be written: {error}")
            self._first_process_ended(job)
        if len(self._jobs) > len(self._children):
            others = [job for job in self._jobs.values() if job.pid not in self._children]
            for job in others:
                if job.watch is None and not job.first_process_ended and not alive(job.pid, job.start):
                    self._first_process_ended(job)

    def _first_process_ended(self, job: RunningJob) -> None:
        """A job's first process has ended: so has the job, unless all of its processes shall end."""
        job.first_process_ended = True
        if job.end_reason is not None:
            self._terminator.wake()
        else:
            self._finish(job)

    def _finish(self, job: RunningJob) -> None:
        if self._jobs.pop(job.number, None) is not None:
            self._begun.discard(job.number)
            self._done.append(job.as_ended())

    def _end_overdue(self) -> None:
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            job = self._jobs.get(heapq.heappop(self._deadlines)[1])
            if job is not None and job.walltime is not None:
                self._terminator.add(job, _overdue(job.walltime), self._limits.kill_grace)

    # ------------------------------------------------------------------ wait

    def _wait(self) -> None:
        """Sleep until a signal comes, a watched process ends, or something is due."""
        now = time.monotonic()
        due = [now + _GLANCE]
        if self._terminator.next_at is not None:
            due.append(self._terminator.next_at)
        if self._deadlines:
            due.append(self._deadlines[0][0])
        if self._holds.next_at is not None and len(self._jobs) < (self._limits.slots or _cpus()):
            due.append(max(self._holds.next_at, now + _BATCH))
        if now < self._resume_at:
            due.append(self._resume_at)
        elif self._begun or self._done:
            due.append(self._commit_at)
        elif not self._jobs:
            due.append(self._idle_since + self._limits.idle_timeout)
        timeout = 0.0 if self._nudged or self._stopping else max(min(due) - now, 0.0)
        for key, _ in self._selector.select(timeout):
            if key.fd == self._wake:
                self._drain()
            else:
                self._selector.unregister(key.fd)
                os.close(key.fd)
                key.data.watch = None
                self._first_process_ended(key.data)

    def _drain(self) -> None:
        try:
            while len(os.read(self._wake, 4096)) == 4096:
                continue
        except BlockingIOError:
            pass  # another turn has emptied it


def _overdue(walltime: float) -> EndReason:
    return EndReason(exit_kinds.TIME_LIMIT, f"time limit {clock(walltime)}")


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ------------------------------------------------------------------------------------ the process


def main(arguments: list[str]) -> int:
    """Serve the queue in the folder `arguments[0]`; return the process's exit status.

    The first line on stdout says "ready", or why not.
    """
    if len(arguments) != 1:
        _say("usage: python -P -m paraschut_core.executors.local.daemon DIR")
        return 2
    if os.fork():
        # Whoever started this waits for it; the runner itself must be nobody's child.
        os._exit(0)
    folder = os.path.abspath(arguments[0])
    os.umask(0o077)
    try:
        place = enter(folder)
        os.fchdir(place)
        return _run(folder, place)
    except (ParaschutError, OSError, sqlite3.Error) as error:
        log(f"cannot serve {folder}: {error}")
        _say(f"{type(error).__name__}: {error}" if not isinstance(error, ParaschutError) else str(error))
        return 1


def log(message: str) -> None:
    """One line in the runner's log, which is its stderr (`logging` would double its memory)."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        os.write(2, f"{stamp} [{os.getpid()}] {message}\n".encode(errors="replace"))
    except OSError:
        pass  # a full disk is often what there is to tell: that must not end the runner


def _run(folder: str, place: int) -> int:
    lock = _locked(folder)
    if lock is None:
        _say(READY)  # another runner serves the queue
        return 0
    _shorten_log()
    boot, me = boot_id(), os.getpid()
    store = DaemonStore(folder)
    journal = Journal(folder, boot)
    if not store.is_free(me):
        raise ParaschutError("another runner is registered and lives, but does not hold the lock")
    base = os.path.dirname(os.path.dirname(os.path.dirname(folder)))
    daemon = LocalDaemon(store, journal, base, place, recover_jobs(store, journal), log)
    daemon.listen()
    store.register(me, start_of(me), boot)
    _say(READY)
    gc.freeze()
    daemon.serve()
    store.close()
    return 0  # the lock goes with the process


def _locked(folder: str) -> int | None:
    """The queue's lock; None once another runner is seen to live. Raises ParaschutError, OSError."""
    deadline = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            lock = lock_queue(folder)
        except OSError as error:
            raise ParaschutError(
                f"the file system of {folder} does not lock files ({error.strerror}): set job_dir to one "
                "that does"
            ) from error
        if lock is not None:
            return lock
        # The holder serves the queue, or has just said that it does not any more.
        if LocalQueue(folder).serving().lives:
            return None
        if time.monotonic() > deadline:
            raise ParaschutError(
                f"the lock in {folder} is held by a process that is no runner of this machine (another "
                f"container, perhaps?). Find it: fuser {folder}/lock"
            )
        time.sleep(0.02)


def _say(line: str) -> None:
    """Answer the process that started this one, and close the pipe to it."""
    try:
        os.write(1, line.replace("\n", " ").encode(errors="replace") + b"\n")
    except OSError:
        pass  # nobody listens any more: the log has it too
    os.dup2(2, 1)


def _shorten_log() -> None:
    try:
        if os.fstat(2).st_size > _LOG_ROOM:
            os.truncate(2, 0)
    except OSError:
        pass  # a long log harms nobody


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Exception:
        log("the runner fails; jobs that run go on")
        raise
