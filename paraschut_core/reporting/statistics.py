"""How the work went: throughput over time, forecasts, why jobs failed and where, which took longest.

A `Survey` reads the history from now into the past, slice by slice, so that the latest is there at once and
nobody who writes waits for long; afterwards it reads on from where it was. How many jobs ran at a past moment
follows from how many run now and from what happened since.
"""

from __future__ import annotations

import heapq
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple, TypeVar

from .. import exit_kinds
from ..database import statistics
from ..database.changes import read_batches
from ..database.connection import Database
from ..database.statistics import FailedAttempt, FinishedRun, TransitionCounts
from ..model import RUN, SPAWN, SUBMIT, Batch, JobKey

MINUTE = 60.0

WINDOWS: Mapping[str, tuple[float, float]] = {
    "1h": (3600.0, 60.0),
    "6h": (6 * 3600.0, 300.0),
    "1d": (86400.0, 900.0),
    "all": (0.0, 0.0),
}
"""The windows of time by name: how long, and how long each point of it is (s); 0: as the history is."""

SLICE = 20_000
"""Events read at a time."""

ENDINGS = 5_000
"""Endings read at a time: each has a place of its own in the file."""

SLOWEST = 100
"""Jobs that took longest, kept."""

POINTS = 120
"""Most points over all the history."""

_WIDTHS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000)
_PACES = (600.0, 3600.0, 6 * 3600.0, 86400.0)
_ENOUGH = 5
"""Completions from which a pace is taken."""

_RECENT = 10_000
"""Failures kept one by one, so that one whose reason becomes better known later counts once."""

_T = TypeVar("_T")

_AFTER = re.compile(r" after \d+(-\d+)?:\d\d(:\d\d)?")


class TimeBucket(NamedTuple):
    """One stretch of time that begins `at` (epoch s): jobs completed in it, each minute on average; jobs that
    ran and waited in the queue at its end."""

    at: float
    completed: int
    per_minute: float
    running: int
    queued: int


class Forecast(NamedTuple):
    """When a batch will be done, but for jobs that are `lost`. `seconds` from now, None where nothing tells;
    `per_minute` jobs complete."""

    batch_id: int
    name: str
    done: int
    total: int
    per_minute: float
    seconds: float | None
    lost: int = 0


class FailureReason(NamedTuple):
    """Attempts that ended for one reason."""

    reason: str
    failed: int


class HostFailures(NamedTuple):
    """Attempts that failed, and jobs that completed, on one host."""

    host: str
    failed: int
    completed: int


class SlowJob(NamedTuple):
    """A job that took long: `seconds` of running until `at`, or until now if it still is."""

    key: JobKey
    seconds: float
    at: float
    host: str
    running: bool


class StatisticsSummary(NamedTuple):
    """All about one window of time. `width` is the length of each point (s); `whole` is False while only the
    latest part of the window was read. `lost` are the jobs among those that run or wait now, by their own
    word, that nobody sees any more."""

    window: str
    batch_id: int | None
    since: float
    until: float
    width: float
    points: tuple[TimeBucket, ...]
    completed: int
    failed: int
    forecasts: tuple[Forecast, ...]
    reasons: tuple[FailureReason, ...]
    hosts: tuple[HostFailures, ...]
    slowest: tuple[SlowJob, ...]
    whole: bool
    lost: int = 0


class HistoryAggregator:
    """Reads the history of all jobs, or of one batch's.

    Args:
        db: the database; read only.
        window: one of WINDOWS.
        batch_id: the batch; None: all.
        clock: epoch seconds.
    """

    def __init__(
        self,
        db: Database,
        window: str = "1h",
        batch_id: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.window = window
        self.batch_id = batch_id
        self._db = db
        self._clock = clock
        self._length, self._width = WINDOWS[window]
        self._begin()

    def _begin(self) -> None:
        self._completed: Counter[int] = Counter()
        self._moved: dict[int, tuple[int, int]] = {}
        self._paces: dict[int, Counter[int]] = {}
        self._failed: Counter[tuple[int, _Cause, str]] = Counter()
        self._words: dict[_Cause, str] = {}
        self._finished: Counter[tuple[int, str]] = Counter()
        self._slowest: list[FinishedRun] = []
        self._recent: dict[tuple[JobKey, int], tuple[int, _Cause, str]] = {}
        self._batches: dict[int, Batch] = {}
        self._running: list[FinishedRun] = []
        self._ended: set[JobKey] = set()
        self._bounds = self._now(lambda: statistics.read_bounds(self._db, self.batch_id))
        self._low, self._low_rev = self._bounds.last, self._bounds.rev
        self._now_at = self._clock()
        if not self._length:
            span = self._now_at - (self._bounds.began or self._now_at)
            self._width = float(next((w for w in _WIDTHS if span / w < POINTS), _WIDTHS[-1]))

    def _now(self, end: Callable[[], _T]) -> _T:
        """Counters, running jobs and the history's end, as of one moment."""
        self._db.rows("BEGIN")
        try:
            wanted = None if self.batch_id is None else (self.batch_id,)
            self._batches = read_batches(self._db, wanted)
            self._running = statistics.read_running(self._db, self.batch_id)
            self._ended = statistics.read_ended(self._db, self.batch_id)
            return end()
        finally:
            self._db.rows("COMMIT")

    # ------------------------------------------------------------------ reading

    @property
    def whole(self) -> bool:
        """Whether all of the window was read."""
        return self._low < self._bounds.first and self._low_rev <= 0

    def step(self) -> bool:
        """Read one slice more of the past. Return whether there is more to read."""
        if self._low >= self._bounds.first:
            above = max(self._low - SLICE, self._bounds.first - 1)
            latest = self._take_events(above, self._low)
            self._low = self._bounds.first - 1 if latest < self._since() else above
        if self._low_rev > 0:
            above = statistics.ending_slice(self._db, self._low_rev, ENDINGS)
            latest = self._take_failures(above, self._low_rev)
            self._low_rev = 0 if latest < self._since() else above
        return not self.whole

    def read(self) -> StatisticsSummary:
        """Read all of the window."""
        while self.step():
            pass
        return self.summary()

    def catch_up(self) -> None:
        """Read what is new; all anew where the file is another, or batches were removed from it."""
        before, batches = self._bounds, self._batches.keys()
        last, rev = self._now(lambda: statistics.read_end(self._db))
        self._now_at = self._clock()
        if last < before.last or rev < before.rev or batches - self._batches.keys():
            self._begin()
            return
        for above in range(before.last, last, SLICE):
            self._take_events(above, min(above + SLICE, last))
        self._take_failures(before.rev, rev)
        self._bounds = before._replace(last=last, rev=rev)

    def _take_events(self, above: int, last: int) -> float:
        """Add the events of a slice; return when the latest of them was (epoch s)."""
        moves = statistics.read_moves(self._db, above, last, self.batch_id)
        self._add_moves(moves)
        finishes = statistics.read_finishes(self._db, above, last, self.batch_id)
        for finish in finishes:
            self._finished[self._slot(finish.at), finish.host] += 1
        self._slowest = heapq.nlargest(
            SLOWEST, (*self._slowest, *finishes), key=lambda one: (one.seconds, one.key)
        )
        if moves:
            return (max(move.minute for move in moves) + 1) * MINUTE
        # No job changed: a slice of other batches' events, or of additions. How late it is tells any of them.
        rows = self._db.rows("SELECT max(at) FROM event WHERE id > ? AND id <= ?", (above, last))
        return float(rows[0][0] or 0.0)

    def _add_moves(self, moves: Iterable[TransitionCounts]) -> None:
        for move in moves:
            slot = self._slot(move.minute * MINUTE)
            running, queued = self._moved.get(slot, (0, 0))
            self._moved[slot] = (running + move.running, queued + move.queued)
            if move.completed:
                self._completed[slot] += move.completed
                if move.minute * MINUTE >= self._now_at - _PACES[-1]:
                    self._paces.setdefault(move.batch_id, Counter())[move.minute] += move.completed

    def _take_failures(self, above: int, last: int) -> float:
        """Add the endings of a slice; return when the latest of them was (epoch s)."""
        if last <= above:
            return 0.0
        # Of all batches: a slice of others' endings must not look like the end of this one's.
        rows = self._db.rows("SELECT max(at) FROM ending WHERE rev > ? AND rev <= ?", (above, last))
        latest = float(rows[0][0] or 0.0)
        for failed in statistics.read_failures(self._db, above, last, self.batch_id):
            words = _common_words(failed)
            cause = _cause_of(failed, words)
            # The shortest that was said of it: others name details of single jobs.
            self._words[cause] = min(self._words.get(cause, words), words, key=lambda one: (len(one), one))
            where = (self._slot(failed.at), cause, failed.host)
            known = self._recent.get((failed.key, failed.attempt))
            if known is not None:
                self._failed[known] -= 1
            self._failed[where] += 1
            if len(self._recent) >= _RECENT:
                del self._recent[next(iter(self._recent))]
            self._recent[failed.key, failed.attempt] = where
        return latest

    # ------------------------------------------------------------------ what follows from it

    def _slot(self, at: float) -> int:
        return int(at // self._width)

    def _since(self) -> float:
        """When the window begins: where a point does."""
        if not self._length:
            return 0.0
        return (self._slot(self._clock() - self._length) + 1) * self._width

    def summary(self, lost: Mapping[JobKey, str] | None = None) -> StatisticsSummary:
        """What is known so far.

        Args:
            lost: jobs that are missing now of which nobody knows how they ended, with what is said of them;
                they count as failed now.
        """
        now = self._clock()
        since = self._since()
        first = self._slot(since)
        reasons: Counter[str] = Counter()
        hosts: Counter[str] = Counter()
        for (slot, cause, host), n in self._failed.items():
            if slot >= first:
                reasons[self._words[cause]] += n
                hosts[host] += n
        ours = {key: why for key, why in (lost or {}).items() if self.batch_id in (None, key.batch_id)}
        gone = self._ended | ours.keys()
        where = {one.key: one.host for one in self._running}
        for key, reason in ours.items():
            reasons[reason] += 1
            hosts[where.get(key, "")] += 1
        completed: Counter[str] = Counter()
        for (slot, host), n in self._finished.items():
            if slot >= first:
                completed[host] += n
        points = self._points(now, first)
        return StatisticsSummary(
            self.window,
            self.batch_id,
            points[0].at if points else since,
            now,
            self._width,
            points,
            sum(n for slot, n in self._completed.items() if slot >= first),
            sum(reasons.values()),
            self._forecasts(now, Counter(key.batch_id for key in gone)),
            tuple(FailureReason(reason, n) for reason, n in _ranked(reasons) if n > 0),
            tuple(HostFailures(host, n, completed[host]) for host, n in _ranked(hosts) if n > 0 and host),
            self._slow_jobs(now, since, gone),
            self.whole,
            len(gone),
        )

    def _points(self, now: float, first: int) -> tuple[TimeBucket, ...]:
        """The stretches of time from `first` on, as far as they were read, up to now."""
        last = self._slot(now)
        ahead = [slot for slot in self._moved if slot > last]  # of a host whose clock is fast
        counts = [batch.states for batch in self._batches.values()]
        running = sum(states.get(RUN, 0) + states.get(SPAWN, 0) for states in counts)
        queued = sum(states.get(SUBMIT, 0) for states in counts)
        slots = [slot for slot in self._moved if slot >= first]
        if not self.whole:
            first = max(
                first, min(min(slots, default=last) + 1, last)
            )  # of the earliest, only a part is known
        elif not self._length:
            first = min(slots, default=last)
        points = []
        for slot in range(last, first - 1, -1):
            done = self._completed[slot]
            if slot == last:
                done += sum(self._completed[late] for late in ahead)
            end = min((slot + 1) * self._width, now) if slot == last else (slot + 1) * self._width
            minutes = max(end - slot * self._width, MINUTE) / MINUTE
            points.append(
                TimeBucket(slot * self._width, done, done / minutes, max(running, 0), max(queued, 0))
            )
            for moved in (slot, *ahead) if slot == last else (slot,):
                more, waiting = self._moved.get(moved, (0, 0))
                running, queued = running - more, queued - waiting
        return tuple(reversed(points))

    def _forecasts(self, now: float, lost: Mapping[int, int]) -> tuple[Forecast, ...]:
        """For each batch that is not done: those that will be soonest first.

        Args:
            lost: jobs, by batch, that will not become complete unless somebody sees to them.
        """
        found = []
        for batch in self._batches.values():
            if batch.complete < batch.total:
                pace = _pace(self._paces.get(batch.batch_id, Counter()), now)
                gone = lost.get(batch.batch_id, 0)
                left = batch.total - batch.complete - gone
                online = sum(batch.states.get(state, 0) for state in (SUBMIT, RUN, SPAWN)) - gone
                stuck = gone and online <= 0  # what is lost keeps the rest from being submitted, maybe
                seconds = left / pace * MINUTE if pace and left > 0 and not stuck else None
                found.append(
                    Forecast(batch.batch_id, batch.name, batch.complete, batch.total, pace, seconds, gone)
                )
        found.sort(key=lambda one: (one.seconds is None, one.seconds or 0.0, -one.batch_id))
        return tuple(found)

    def _slow_jobs(self, now: float, since: float, lost: Collection[JobKey]) -> tuple[SlowJob, ...]:
        done = [SlowJob(*one, running=False) for one in self._slowest if one.at >= since]
        still = [
            SlowJob(one.key, now - one.at, now, one.host, True)
            for one in self._running
            if one.key not in lost
        ]
        return tuple(heapq.nlargest(SLOWEST, (*done, *still), key=lambda one: (one.seconds, one.key)))


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most first; among equals by name, so that no line jumps."""
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _pace(completed: Counter[int], now: float) -> float:
    """Jobs a minute: over the shortest of some spans up to now in which enough completed."""
    for span in _PACES:
        n = sum(found for minute, found in completed.items() if minute * MINUTE >= now - span)
        if n >= _ENOUGH or (n and span == _PACES[-1]):
            begun = max(now - span, min(completed) * MINUTE)
            return n / (max(now - begun, MINUTE) / MINUTE)
    return 0.0


class _Cause(NamedTuple):
    """What failed attempts have in common: their codes, and the words where the codes do not tell enough."""

    kind: str
    exit_status: int | None
    signal: int | None
    words: str


_NUMBERED = frozenset((exit_kinds.EXIT, exit_kinds.SIGNAL))
"""Kinds that tell the cause with the exit status or the signal, where those are known."""

_TELLING = _NUMBERED | {
    exit_kinds.TIME_LIMIT,
    exit_kinds.CPU_LIMIT,
    exit_kinds.MEMORY,
    exit_kinds.PREEMPTED,
    exit_kinds.DEADLINE,
}
"""Kinds that tell the cause. Of others (a cancelled job, say) the words tell more."""


def _cause_of(failed: FailedAttempt, words: str) -> _Cause:
    codes = failed.kind, failed.exit_status, failed.signal
    numbered = failed.kind not in _NUMBERED or codes[1:] != (None, None)
    return _Cause(*codes, "" if failed.kind in _TELLING and numbered else words)


def _common_words(failed: FailedAttempt) -> str:
    """The reason without what only this job has: its host, how long it took."""
    reason = failed.reason.replace(f" on {failed.host}", "") if failed.host else failed.reason
    return _AFTER.sub("", reason).strip() or "unknown"
