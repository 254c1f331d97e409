"""LogMatcher: finds the jobs whose logs match the filter's `log:` terms.

It remembers for each log whether it matches, and up to which byte it was searched: a filter that stays reads
only what was written since. Several threads read at once, because a network file system mostly makes them
wait. The thread that asks never waits for a file whose answer is not wanted any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import NamedTuple

from paraschut_core.filtering.language import LogTerm
from paraschut_core.logs import (
    FILE,
    ContentProof,
    FileStatus,
    LogError,
    OpenLog,
    Pattern,
    find_next,
    open_log,
    row_start,
    stat_log,
)
from paraschut_core.model import JobKey

from .worker_thread import WorkerThread

READERS = 4
"""Threads that read logs at once."""

AHEAD = 64
"""Jobs queued for them in advance."""

_CANCEL_CHECK = 0.1  # seconds between two checks whether the search was cancelled
_MOST = 200_000  # logs remembered

Cancelled = Callable[[], bool]


class JobLogs(NamedTuple):
    """The latest logs of a job: their paths by the log viewer's names for them."""

    key: JobKey
    logs: Mapping[str, str]


class _SearchedLog(NamedTuple):
    """One log at its last search: the file, whether it matched, and the proof of what was searched."""

    status: FileStatus
    found: bool
    proof: ContentProof


class LogMatcher:
    """Searches the logs of many jobs, and remembers the results."""

    def __init__(self) -> None:
        self._threads = WorkerThread("paraschut-logs", READERS)
        self._lock = threading.Lock()
        self._known: dict[tuple[Pattern, str], _SearchedLog] = {}

    def stop(self) -> None:
        self._threads.stop()

    def search(
        self, jobs: Iterator[JobLogs], terms: Sequence[LogTerm], cancelled: Cancelled
    ) -> Iterator[tuple[JobKey, str | None]]:
        """Search the logs of jobs, in their order. Yield for each job the name of the log with the first
        wanted term, "" where no term is wanted, or None if the job does not match. End early once
        `cancelled`.

        Raises:
            SearchAbortedError: an expression takes too long.
        """
        patterns = [(term.pattern, term.wanted) for term in terms]
        self._forget_others([pattern for pattern, _ in patterns])
        waiting: list[tuple[JobKey, Future[str | None]]] = []
        more = True
        while (more or waiting) and not cancelled():
            while more and len(waiting) < AHEAD:
                job = next(jobs, None)
                more = job is not None
                if job is not None:
                    waiting.append((job.key, self._threads.submit(self._task(job, patterns, cancelled))))
            if not waiting:
                return
            key, future = waiting[0]
            try:
                found = future.result(_CANCEL_CHECK)
            except NotYet:
                continue
            del waiting[0]
            yield key, found

    def _task(
        self, job: JobLogs, patterns: Sequence[tuple[Pattern, bool]], cancelled: Cancelled
    ) -> Callable[[], str | None]:
        def run() -> str | None:
            first = ""
            for pattern, wanted in patterns:
                where = self._where(job.logs, pattern, cancelled)
                if (where is not None) is not wanted:
                    return None
                first = first or where or ""
            return first

        return run

    def _where(self, logs: Mapping[str, str], pattern: Pattern, cancelled: Cancelled) -> str | None:
        """The name of the first log that holds the pattern."""
        return next((name for name, path in logs.items() if self._holds(path, pattern, cancelled)), None)

    def _holds(self, path: str, pattern: Pattern, cancelled: Cancelled) -> bool:
        now = stat_log(path)
        if now.kind != FILE or cancelled():
            return False  # without a log there is no match
        known = self._known.get((pattern, path))
        if known is not None and known.status == now:
            return known.found
        try:
            with open_log(path) as log:
                start = 0
                if known is not None and known.status.identity == now.identity and log.continues(known.proof):
                    if known.found:
                        return True
                    start = _unfinished(log, known.proof.size)
                found = find_next(log, pattern, start, cancelled) is not None
                if not cancelled():
                    self._learn(pattern, path, _SearchedLog(log.look, found, log.proof()))
                return found
        except LogError:
            return False

    def _learn(self, pattern: Pattern, path: str, known: _SearchedLog) -> None:
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[pattern, path] = known

    def _forget_others(self, patterns: Sequence[Pattern]) -> None:
        """Forget patterns of former filters: each letter that is typed makes another pattern."""
        with self._lock:
            self._known = {place: known for place, known in self._known.items() if place[0] in patterns}


def _unfinished(log: OpenLog, size: int) -> int:
    """The start of the row from which to search a log again that was `size` bytes long.

    Its last line may have been unfinished. In a long line, a match may begin in the row before the last.
    """
    start = row_start(log, max(size - 1, 0))
    if start and log.read(start - 1, start) != b"\n":
        start = row_start(log, start - 1)
    return start
