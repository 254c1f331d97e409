"""JobLoader: reads the jobs of the grid in a thread: whole batches, or the jobs that match a filter."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from textual.message import Message

from paraschut_core.database.connection import Database, Row
from paraschut_core.database.jobs import read_cells, read_infos
from paraschut_core.database.spawns import read_spawns
from paraschut_core.errors import FilterError
from paraschut_core.filtering.language import LogTerm, Query
from paraschut_core.filtering.log_terms import latest_logs
from paraschut_core.filtering.scan import search, search_among
from paraschut_core.model import SPAWN, JobKey

from ..job_grid.model import BatchStates, packed
from ..messages import JobsLoaded, JobsRechecked
from ..state_styles import StateStyles
from .log_matcher import JobLogs, LogMatcher
from .worker_thread import LatestOnly, Request, WorkerThread

_CELL = "job.BatchID, job.JobIndex, job.state"
_FIRST_PART = 10_000  # jobs of a large batch that are shown before the rest is read
_PAUSE = 0.3  # seconds between two reports of a search
_JOBS_AT_ONCE = 64  # jobs whose log paths are read together


class JobQuery(NamedTuple):
    """The jobs to show: these batches or, with a query, all jobs that match it."""

    batches: tuple[int, ...] = ()
    query: Query | None = None


class JobLoader:
    """One request at a time: a new one ends the one before.

    Args:
        open_database: opens the database for reading.
        styles: the states met.
        post: takes the messages, from the thread.
    """

    def __init__(
        self, open_database: Callable[[], Database], styles: StateStyles, post: Callable[[Message], object]
    ) -> None:
        self._open = open_database
        self._styles = styles
        self._post = post
        self._thread = WorkerThread("paraschut-load")
        self._db: Database | None = None
        self._log_matcher = LogMatcher()
        self.matching_log: dict[JobKey, str] = {}
        """Which of a job's logs matches the filter, by the log viewer's name for it."""
        self._log_terms: tuple[LogTerm, ...] = ()
        self._requests = LatestOnly()

    def stop(self) -> None:
        """Tell the thread to end."""
        self._requests.cancel()
        self._thread.stop()
        self._log_matcher.stop()

    def load(self, wanted: JobQuery, missing: Collection[JobKey]) -> Request:
        """Begin to read. The jobs come as JobsLoaded messages that carry the request returned.

        Args:
            missing: the missing jobs, for a query that asks for them.
        """
        request = self._requests.begin()

        def failed(why: str) -> None:
            self._db = None
            self._post(JobsLoaded(request, [], True, why))

        self._thread.guard(lambda: self._load(request, wanted, missing), failed)
        return request

    def match(
        self, request: Request, query: Query, keys: Collection[JobKey], missing: Collection[JobKey]
    ) -> None:
        """Check jobs that changed against the filter. The answer is a JobsRechecked message. The cost depends
        on these jobs alone."""

        def failed(_: str) -> None:
            self._db = None  # snapshots report what is wrong with the file

        self._thread.guard(lambda: self._match(request, query, keys, missing), failed)

    def _load(self, request: Request, wanted: JobQuery, missing: Collection[JobKey]) -> None:
        if not request.wanted:
            return
        if self._db is None:
            self._db = self._open()
        if wanted.query is not None:
            try:
                self._search(self._db, request, wanted.query, missing)
            except FilterError as error:
                self._post(JobsLoaded(request, [], True, error.message))
        else:
            self._read_batches(self._db, request, wanted.batches)

    def _read_batches(self, db: Database, request: Request, batches: Sequence[int]) -> None:
        """Send the first part at once, so that something can be shown, and all jobs at the end."""
        whole: list[BatchStates] = []
        sent = False
        for batch_id in batches:
            indexes, states = array("q"), bytearray()
            for chunk in read_cells(db, batch_id, _FIRST_PART):
                if not request.wanted:
                    return
                indexes.extend(map(itemgetter(0), chunk))
                states.extend(map(self._styles.code, map(itemgetter(1), chunk)))
                if not sent and len(chunk) >= _FIRST_PART:
                    sent = True
                    first = BatchStates(batch_id, packed(indexes[:]), bytearray(states))
                    self._post(JobsLoaded(request, [*whole, first], False))
            whole.append(BatchStates(batch_id, packed(indexes), states))
        self._post(JobsLoaded(request, whole, True))

    def _search(self, db: Database, request: Request, query: Query, missing: Collection[JobKey]) -> None:
        """Send the jobs found so far from time to time, less often the more there are."""
        found = _Matches(self._styles)
        sent, pause = time.monotonic(), _PAUSE / 2
        for rows, searched in self._matching(db, request, query, missing):
            if not request.wanted:
                return
            found.add(rows)
            now = time.monotonic()
            if searched < 1.0 and now - sent >= pause:
                self._post(JobsLoaded(request, found.cells(), False, searched=searched))
                sent = time.monotonic()
                pause = max(_PAUSE, 5 * (sent - now))
        if request.wanted:
            self._post(JobsLoaded(request, found.cells(), True))

    def _match(
        self, request: Request, query: Query, keys: Collection[JobKey], missing: Collection[JobKey]
    ) -> None:
        if not request.wanted:
            return
        if self._db is None:
            self._db = self._open()
        rows = search_among(self._db, _CELL, query.condition, keys, missing)
        if query.log:
            rows = [row for rest in self._with_logs(self._db, request, query, rows) for row in rest]
        found: dict[JobKey, int | None] = dict.fromkeys(keys)
        found.update((JobKey(row[0], row[1]), self._styles.code(row[2])) for row in rows)
        self._post(JobsRechecked(request, found))

    # ------------------------------------------------------------------ filters for logs

    def _matching(
        self, db: Database, request: Request, query: Query, missing: Collection[JobKey]
    ) -> Iterator[tuple[Sequence[Row], float]]:
        """Yield jobs that match (BatchID, JobIndex, state), and the share of the database searched so far."""
        if query.log and query.log != self._log_terms:
            # When the same terms are searched again, a match stays until it is disproved: a log may open.
            self.matching_log, self._log_terms = {}, query.log
        before = 0.0
        for part in search(db, _CELL, query.condition, missing):
            if not query.log:
                yield part
            else:
                for done, rows in enumerate(self._with_logs(db, request, query, part.rows), 1):
                    share = min(done / max(len(part.rows), 1), 1.0)
                    yield rows, before + share * (part.searched - before)
            before = part.searched

    def _with_logs(
        self, db: Database, request: Request, query: Query, rows: Sequence[Row]
    ) -> Iterator[Sequence[Row]]:
        """Yield the row of each job whose logs match the query, and nothing for each other job."""
        jobs = {JobKey(row[0], row[1]): row for row in rows}
        logs = _logs_of(db, list(jobs))
        for key, name in self._log_matcher.search(logs, query.log, lambda: not request.wanted):
            if name is None:
                self.matching_log.pop(key, None)
                yield ()
            else:
                self.matching_log[key] = name
                yield (jobs[key],)


def _logs_of(db: Database, keys: Sequence[JobKey]) -> Iterator[JobLogs]:
    """The logs of jobs, read from the database for a few jobs at a time."""
    for start in range(0, len(keys), _JOBS_AT_ONCE):
        for info in read_infos(db, keys[start : start + _JOBS_AT_ONCE]):
            key = JobKey(info["BatchID"], info["JobIndex"])
            # Only a job with spawns has more logs than its own.
            spawns = read_spawns(db, key) if info["state"] == SPAWN else ()
            yield JobLogs(key, latest_logs(info, spawns))


class _Matches:
    """The jobs found so far, by batch. Mostly they are found in their order."""

    def __init__(self, styles: StateStyles) -> None:
        self._styles = styles
        self._parts: dict[int, tuple[array[int], bytearray]] = {}

    def add(self, rows: Sequence[Row]) -> None:
        for batch_id, group in groupby(rows, itemgetter(0)):
            some = list(group)
            indexes, states = self._parts.setdefault(batch_id, (array("q"), bytearray()))
            ordered = not indexes or indexes[-1] < some[0][1]
            indexes.extend(map(itemgetter(1), some))
            states.extend(map(self._styles.code, map(itemgetter(2), some)))
            if not ordered:
                pairs = sorted(dict(zip(indexes, states, strict=True)).items())
                self._parts[batch_id] = (
                    array("q", map(itemgetter(0), pairs)),
                    bytearray(map(itemgetter(1), pairs)),
                )

    def cells(self) -> list[BatchStates]:
        """Copies of all jobs, the newest batch first."""
        return [
            BatchStates(batch_id, packed(indexes[:]), states[:])
            for batch_id, (indexes, states) in sorted(self._parts.items(), reverse=True)
        ]
