"""The jobs that the grid shows: a byte for the state and a byte for the look of each, by batch.

A million jobs are three flat buffers here, not a million objects. Pure: knows neither Textual nor files.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from paraschut_core.model import JobKey, JobRow, LiveJob, Missing, Snapshot

from .look import Looks

Indexes = Sequence[int]


class Cells(NamedTuple):
    """The jobs of one batch, as read: JobIndexes ascending, and the code of each one's state."""

    batch_id: int
    indexes: Indexes
    states: bytearray


def packed(indexes: array[int]) -> Indexes:
    """`indexes` (ascending) as a range where they have no gaps, which takes no memory."""
    if indexes and indexes[-1] - indexes[0] + 1 == len(indexes):
        return range(indexes[0], indexes[-1] + 1)
    return indexes


class Group:
    """The jobs of one batch on the board, and how each looks."""

    def __init__(self, cells: Cells, looks: Looks) -> None:
        self.batch_id = cells.batch_id
        self.indexes = cells.indexes
        self.states = cells.states
        self.looks = bytearray(cells.states)
        self._book = looks

    def __len__(self) -> int:
        return len(self.states)

    def position(self, index: int) -> int | None:
        """Where the job of that JobIndex is, if it is here."""
        at = bisect_left(self.indexes, index)
        return at if at < len(self.indexes) and self.indexes[at] == index else None

    def nearest(self, index: int) -> int:
        """Where that JobIndex is or would be; the last place if it is beyond them all."""
        return min(bisect_left(self.indexes, index), len(self.indexes) - 1)

    def span(self, low: int, high: int) -> tuple[int, int]:
        """Places of the JobIndexes from `low` up to, without, `high`."""
        return bisect_left(self.indexes, low), bisect_left(self.indexes, high)

    def look(
        self, index: int, live: Mapping[JobKey, LiveJob], missing: Mapping[JobKey, Missing]
    ) -> int | None:
        """Works the look of one job out again. Returns its place if the look changed."""
        at = self.position(index)
        if at is None:
            return None
        key = JobKey(self.batch_id, index)
        look = self._book.of(self.states[at], live.get(key), key in missing)
        if look == self.looks[at]:
            return None
        self.looks[at] = look
        return at

    def find(self, look: int, start: int) -> int:
        """The first place from `start` on with that look, or -1."""
        return self.looks.find(look, start)

    def all_of(self, look: int) -> list[int]:
        """JobIndexes of all jobs with that look."""
        found, at = [], self.looks.find(look)
        while at >= 0:
            found.append(self.indexes[at])
            at = self.looks.find(look, at + 1)
        return found


class Change(NamedTuple):
    """What an update did to the board: places whose look changed, and whether it must be read anew."""

    places: list[tuple[int, int]]
    stale: bool


class Board:
    """All jobs in the grid's scope, group by group.

    Args:
        cells: one entry a batch, in the order to show them.
        looks: the states and their looks.
        matching: whether it holds what matches a filter (not whole batches).
    """

    def __init__(self, cells: Iterable[Cells], looks: Looks, *, matching: bool = False) -> None:
        self.matching = matching
        self.book = looks
        self.groups = [Group(part, looks) for part in cells if len(part.states)]
        self.starts = [0, *accumulate(len(group) for group in self.groups)]
        self._by_batch = {group.batch_id: at for at, group in enumerate(self.groups)}

    @property
    def total(self) -> int:
        return self.starts[-1]

    def group_of(self, batch_id: int) -> int | None:
        return self._by_batch.get(batch_id)

    def key(self, group: int, place: int) -> JobKey:
        part = self.groups[group]
        return JobKey(part.batch_id, part.indexes[place])

    def locate(self, key: JobKey) -> tuple[int, int] | None:
        """Group and place of a job, if it is on the board."""
        group = self._by_batch.get(key.batch_id)
        if group is None:
            return None
        place = self.groups[group].position(key.job_index)
        return None if place is None else (group, place)

    def locate_nearest(self, key: JobKey) -> tuple[int, int] | None:
        """Group and place of a job, or of the one that took its place; None on an empty board."""
        if not self.groups:
            return None
        group = self._by_batch.get(key.batch_id)
        if group is None:
            return 0, 0
        return group, self.groups[group].nearest(key.job_index)

    def at(self, n: int) -> tuple[int, int]:
        """Group and place of the n-th job of all."""
        group = bisect_right(self.starts, n) - 1
        return group, n - self.starts[group]

    def number(self, group: int, place: int) -> int:
        """Which of all jobs the one at that place is."""
        return self.starts[group] + place

    def counts(self) -> dict[int, int]:
        """Jobs by look."""
        return {
            look: n
            for look in range(len(self.book.looks))
            if (n := sum(group.looks.count(look) for group in self.groups))
        }

    def dress(self, snapshot: Snapshot) -> None:
        """Works out all looks anew from what the scheduler says."""
        for group in self.groups:
            group.looks[:] = group.states
        for key in (*snapshot.live, *snapshot.missing):
            at = self._by_batch.get(key.batch_id)
            if at is not None:
                self.groups[at].look(key.job_index, snapshot.live, snapshot.missing)

    def update(
        self, old: Snapshot | None, new: Snapshot, rows: Iterable[JobRow], removed: Iterable[int]
    ) -> Change:
        """Takes a newer snapshot in.

        Args:
            old: the snapshot before, None if there was none.
            rows: jobs that changed since then.
            removed: batches that are gone since then.
        """
        stale = any(batch_id in self._by_batch for batch_id in removed)
        touched: set[JobKey] = set()
        for row in rows:
            at = self._by_batch.get(row.key.batch_id)
            if at is None:
                stale = stale or self.matching
                continue
            group = self.groups[at]
            place = group.position(row.key.job_index)
            if place is None:
                stale = True  # a new job, or one that may match the filter now
                continue
            code = self.book.code(row.state)
            if code != group.states[place]:
                group.states[place] = code
                stale = stale or self.matching
            touched.add(row.key)
        touched |= _differing(old.live if old else {}, new.live)
        touched |= _differing(old.missing if old else {}, new.missing)
        places = []
        for key in touched:
            at = self._by_batch.get(key.batch_id)
            if at is not None:
                place = self.groups[at].look(key.job_index, new.live, new.missing)
                if place is not None:
                    places.append((at, place))
        return Change(places, stale)


def _differing(old: Mapping[JobKey, object], new: Mapping[JobKey, object]) -> set[JobKey]:
    if old is new:
        return set()
    changed = {key for key, value in new.items() if old.get(key) != value}
    changed.update(key for key in old if key not in new)
    return changed
