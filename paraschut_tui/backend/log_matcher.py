"""LogMatcher: which jobs wrote something, for the filter's `log:` terms: many logs, each read but once.

What a log was found to hold, or not to hold up to which byte, is remembered: a filter that stays in force
reads only what was written since. Several threads read at once, because most of the time over a network file
system is waiting; the thread that asks never waits for a file that nobody wants any more.
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
from paraschut_core.model import JobInfo, JobKey, Spawn

from .worker_thread import WorkerThread

READERS = 4
"""Threads that read logs at once."""

AHEAD = 64
"""Jobs handed to them in advance."""

_LOOK_UP = 0.1  # seconds between two looks at whether somebody still waits
_MOST = 200_000  # logs remembered

Cancelled = Callable[[], bool]


class JobLogs(NamedTuple):
    """A job whose logs are to be searched: its latest ones, by the name that the log viewer has for each."""

    key: JobKey
    logs: Mapping[str, str]


class _SearchedLog(NamedTuple):
    """What is known of one log: which file it was, searched up to which byte, and whether it is in it."""

    look: FileStatus
    found: bool
    proof: ContentProof


class LogMatcher:
    """Searches the logs of many jobs; keeps what it learnt for the next time."""

    def __init__(self) -> None:
        self._lane = WorkerThread("paraschut-logs", READERS)
        self._lock = threading.Lock()
        self._known: dict[tuple[Pattern, str], _SearchedLog] = {}

    def stop(self) -> None:
        self._lane.stop()

    def search(
        self, quarries: Iterator[JobLogs], terms: Sequence[LogTerm], cancelled: Cancelled
    ) -> Iterator[tuple[JobKey, str | None]]:
        """Goes through jobs in their order: each with the name of the log that holds the first wanted term,
        "" where none is wanted, or None if the job does not match. Ends early once `cancelled`.

        Raises:
            SearchAbortedError: an expression takes too long.
        """
        patterns = [(term.pattern, term.wanted) for term in terms]
        self._forget_others([pattern for pattern, _ in patterns])
        waiting: list[tuple[JobKey, Future[str | None]]] = []
        more = True
        while (more or waiting) and not cancelled():
            while more and len(waiting) < AHEAD:
                quarry = next(quarries, None)
                more = quarry is not None
                if quarry is not None:
                    waiting.append((quarry.key, self._lane.submit(self._task(quarry, patterns, cancelled))))
            if not waiting:
                return
            key, future = waiting[0]
            try:
                found = future.result(_LOOK_UP)
            except NotYet:
                continue
            del waiting[0]
            yield key, found

    def _task(
        self, quarry: JobLogs, patterns: Sequence[tuple[Pattern, bool]], cancelled: Cancelled
    ) -> Callable[[], str | None]:
        def run() -> str | None:
            first = ""
            for pattern, wanted in patterns:
                where = self._where(quarry.logs, pattern, cancelled)
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
            return False  # no log (any more): then the text is not in it
        known = self._known.get((pattern, path))
        if known is not None and known.look == now:
            return known.found
        try:
            with open_log(path) as log:
                start = 0
                if known is not None and known.look.identity == now.identity and log.continues(known.proof):
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
        """While a filter is typed each letter makes another pattern, and nobody asks for the former."""
        with self._lock:
            self._known = {place: known for place, known in self._known.items() if place[0] in patterns}


def _unfinished(log: OpenLog, size: int) -> int:
    """Where the row begins from which on to search once more what grew beyond `size` bytes.

    The last line may have been unfinished; of a long one, a match may begin in the part before its last.
    """
    start = row_start(log, max(size - 1, 0))
    if start and log.read(start - 1, start) != b"\n":
        start = row_start(log, start - 1)
    return start


def latest_logs(info: JobInfo, spawns: Sequence[Spawn] = ()) -> dict[str, str]:
    """The log files of a job's latest attempt and of its spawns, by the viewer's names for them."""
    logs: dict[str, str] = {}
    for name in ("stderr", "stdout"):
        value = info.get(name)
        if isinstance(value, (list, tuple)):
            value = value[-1] if value else None
        if isinstance(value, str) and value:
            logs[name] = value
    own = set(logs.values())
    for spawn in spawns:
        for name, path in (("stderr", spawn.stderr), ("stdout", spawn.stdout)):
            if path and path not in own:
                logs[f"spawn {spawn.spawn_id} {name}"] = path
    return logs
