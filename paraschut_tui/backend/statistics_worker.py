"""StatisticsWorker: reads the overview's numbers in a thread, the latest first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from textual.message import Message

from paraschut_core.database.connection import Database
from paraschut_core.model import JobKey
from paraschut_core.reporting.statistics import HistoryAggregator

from ..messages import StatisticsReady
from ..overview import plots
from .worker_thread import LatestOnly, Request, WorkerThread

SLICES = 8
"""Slices of the history between two messages, while the past is being read."""


class StatisticsWorker:
    """One request at a time: a new one ends the one before.

    Args:
        open_database: opens the database for reading.
        post: takes the messages, from the thread.
    """

    def __init__(self, open_database: Callable[[], Database], post: Callable[[Message], object]) -> None:
        self._open = open_database
        self._post = post
        self._thread = WorkerThread("paraschut-statistics")
        self._db: Database | None = None
        self._history: HistoryAggregator | None = None
        self._requests = LatestOnly()

    def start(self, window: str, batch_id: int | None, lost: Mapping[JobKey, str]) -> Request:
        """Read a window of time, of all jobs or of a batch's. The numbers come as StatisticsReady messages
        that carry the request returned, more and more complete."""
        request = self._requests.begin()
        self._guard(request, lambda: self._begin(request, window, batch_id, lost))
        return request

    def refresh(self, lost: Mapping[JobKey, str]) -> None:
        """Read what is new of the same."""
        request = self._requests.latest
        self._guard(request, lambda: self._catch_up(request, lost))

    def cancel(self) -> None:
        """Stop reading."""
        self._requests.cancel()
        self._thread.submit(self._close)

    def stop(self) -> None:
        """End the thread."""
        self._requests.cancel()
        self._thread.stop()

    def _guard(self, request: Request, task: Callable[[], None]) -> None:
        """Run `task` in the thread, if its request is still wanted then."""

        def run() -> None:
            if request.wanted:
                task()

        def failed(why: str) -> None:
            self._close()
            self._post(StatisticsReady(request, None, why))

        self._thread.guard(run, failed)

    # ------------------------------------------------------------------ in the thread

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = self._history = None

    def _begin(self, request: Request, window: str, batch_id: int | None, lost: Mapping[JobKey, str]) -> None:
        if self._db is None:
            self._db = self._open()
        self._history = HistoryAggregator(self._db, window, batch_id)
        self._history.step()
        plots.load()
        self._post(StatisticsReady(request, self._history.summary(lost)))
        self._read_on(request, self._history, lost)

    def _read_on(self, request: Request, history: HistoryAggregator, lost: Mapping[JobKey, str]) -> None:
        for n in itertools.count(1):
            if history.whole or not request.wanted:
                return
            history.step()
            if history.whole or n % SLICES == 0:
                self._post(StatisticsReady(request, history.summary(lost)))

    def _catch_up(self, request: Request, lost: Mapping[JobKey, str]) -> None:
        if self._history is None:
            return
        self._history.catch_up()
        self._post(StatisticsReady(request, self._history.summary(lost)))
        self._read_on(request, self._history, lost)
