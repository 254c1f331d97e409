"""The jobs that the grid shows: a byte for the state and a byte for the look of each, by batch.

A million jobs are three flat buffers here, not a million objects. Pure: knows neither Textual nor files.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from paraschut_core.model import JobKey, JobRow, LiveJob, MissingJob, Snapshot

from ..state_styles import StateStyles

Indexes = Sequence[int]


class BatchStates(NamedTuple):
    """The jobs of one batch, as read: JobIndexes ascending, and the code of each one's state."""

    batch_id: int
    indexes: Indexes
    states: bytearray


def packed(indexes: array[int]) -> Indexes:
    """`indexes` (ascending) as a range where they have no gaps, which takes no memory."""
    if indexes and indexes[-1] - indexes[0] + 1 == len(indexes):
        return range(indexes[0], indexes[-1] + 1)
    return indexes


class BatchSection:
    """The jobs of one batch on the board, and how each looks."""

    def __init__(self, cells: BatchStates, looks: StateStyles) -> None:
        self.batch_id = cells.batch_id
        self.indexes = cells.indexes
        self.states = cells.states
        self.looks = bytearray(cells.states)
        self._book = looks
        self._tally: dict[int, int] | None = None

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

    def restyle(
        self, index: int, live: Mapping[JobKey, LiveJob], missing: Mapping[JobKey, MissingJob]
    ) -> int | None:
        """Works the look of one job out again. Returns its place if the look changed."""
        at = self.position(index)
        if at is None:
            return None
        key = JobKey(self.batch_id, index)
        look, before = self._book.of(self.states[at], live.get(key), key in missing), self.looks[at]
        if look == before:
            return None
        self.looks[at] = look
        if self._tally is not None:
            self._tally[before] -= 1
            self._tally[look] = self._tally.get(look, 0) + 1
        return at

    def reset_styles(self) -> None:
        """Has each job look as its state alone does."""
        self.looks[:] = self.states
        self._tally = None

    @property
    def tally(self) -> dict[int, int]:
        """Jobs by look: counted once and kept up to date, for it is asked for at every refresh."""
        if self._tally is None:
            self._tally = {look: self.looks.count(look) for look in set(self.looks)}
        return self._tally

    def with_changes(self, found: Mapping[int, int | None]) -> BatchSection | None:
        """The group with some jobs added, in another state or, where the state is None, taken out; None if
        nothing is left. It costs little beyond copying what stays.

        Args:
            found: codes of states by JobIndex.
        """
        edges: list[tuple[int, int, int | None]] = []
        for index, code in sorted(found.items()):
            at = bisect_left(self.indexes, index)
            there = at < len(self.indexes) and self.indexes[at] == index
            if there and code is not None:
                self.states[at] = code
            elif there or code is not None:
                edges.append((at, index, code))
        if not edges:
            return self
        indexes = self._indexes_with(edges)
        if not indexes:
            return None
        group = BatchSection(BatchStates(self.batch_id, indexes, _woven(self.states, edges)), self._book)
        group.looks = _woven(self.looks, edges)
        return group

    def _indexes_with(self, edges: Sequence[tuple[int, int, int | None]]) -> Indexes:
        """The JobIndexes after the edges; a batch to which jobs are added at its end stays a range."""
        last = self.indexes[-1]
        added = [index for at, index, code in edges if at == len(self.indexes) and code is not None]
        if len(added) == len(edges) and isinstance(self.indexes, range) and added[-1] == last + len(added):
            return range(self.indexes.start, added[-1] + 1)
        indexes, start = array("q"), 0
        for at, index, code in edges:
            indexes.extend(self.indexes[start:at])
            start = at + (code is None)
            if code is not None:
                indexes.append(index)
        indexes.extend(self.indexes[start:])
        return packed(indexes)

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


def _woven(codes: bytearray, edges: Sequence[tuple[int, int, int | None]]) -> bytearray:
    woven, start = bytearray(), 0
    for at, _, code in edges:
        woven += codes[start:at]
        start = at + (code is None)
        if code is not None:
            woven.append(code)
    return woven + codes[start:]


class ModelChange(NamedTuple):
    """What an update did to the board: places whose look changed, jobs of shown batches that it does not
    have, jobs that may match or no longer match the filter, and whether it must be read anew."""

    places: list[tuple[int, int]]
    stale: bool
    strangers: list[JobRow]
    doubtful: set[JobKey]


class GridModel:
    """All jobs in the grid's scope, group by group.

    Args:
        cells: one entry a batch, in the order to show them.
        looks: the states and their looks.
        matching: whether it holds what matches a filter (not whole batches).
    """

    def __init__(self, cells: Iterable[BatchStates], looks: StateStyles, *, matching: bool = False) -> None:
        self.matching = matching
        self.book = looks
        self._take([BatchSection(part, looks) for part in cells if len(part.states)])

    def _take(self, groups: list[BatchSection]) -> None:
        self.groups = groups
        self.starts = [0, *accumulate(len(group) for group in groups)]
        self._by_batch = {group.batch_id: at for at, group in enumerate(groups)}

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
        sums: dict[int, int] = {}
        for group in self.groups:
            for look, n in group.tally.items():
                if n:
                    sums[look] = sums.get(look, 0) + n
        return sums

    def with_changes(self, found: Mapping[JobKey, int | None], snapshot: Snapshot) -> GridModel:
        """The board with some jobs added, changed or, where their state's code is None, taken out."""
        by_batch: dict[int, dict[int, int | None]] = {}
        for key, code in found.items():
            by_batch.setdefault(key.batch_id, {})[key.job_index] = code
        groups = []
        for group in self.groups:
            part = by_batch.pop(group.batch_id, None)
            changed = group if part is None else group.with_changes(part)
            if changed is not None:
                groups.append(changed)
        for batch_id, part in by_batch.items():
            new = {index: code for index, code in sorted(part.items()) if code is not None}
            if new:
                cells = BatchStates(batch_id, packed(array("q", new)), bytearray(new.values()))
                groups.append(BatchSection(cells, self.book))
        board = GridModel((), self.book, matching=self.matching)
        board._take(sorted(groups, key=lambda group: -group.batch_id))
        for key in found:
            at = board._by_batch.get(key.batch_id)
            if at is not None:
                board.groups[at].restyle(key.job_index, snapshot.live, snapshot.missing)
        return board

    def apply_scheduler_state(self, snapshot: Snapshot) -> None:
        """Works out all looks anew from what the scheduler says."""
        for group in self.groups:
            group.reset_styles()
        for key in (*snapshot.live, *snapshot.missing):
            at = self._by_batch.get(key.batch_id)
            if at is not None:
                self.groups[at].restyle(key.job_index, snapshot.live, snapshot.missing)

    def update(
        self, old: Snapshot | None, new: Snapshot, rows: Sequence[JobRow], removed: Iterable[int]
    ) -> ModelChange:
        """Takes a newer snapshot in.

        Args:
            old: the snapshot before, None if there was none.
            rows: jobs that changed since then.
            removed: batches that are gone since then.
        """
        stale = any(batch_id in self._by_batch for batch_id in removed)
        touched: set[JobKey] = set()
        strangers: list[JobRow] = []
        for row in rows:
            at = self._by_batch.get(row.key.batch_id)
            place = None if at is None else self.groups[at].position(row.key.job_index)
            if at is not None and place is not None:
                self.groups[at].states[place] = self.book.code(row.state)
                touched.add(row.key)
            elif at is not None and not self.matching:
                strangers.append(row)
        lost = _differing(old.missing if old else {}, new.missing)
        touched |= _differing(old.live if old else {}, new.live) | lost
        doubtful = {row.key for row in rows} | lost if self.matching else set()
        places = []
        for key in touched:
            at = self._by_batch.get(key.batch_id)
            if at is not None:
                place = self.groups[at].restyle(key.job_index, new.live, new.missing)
                if place is not None:
                    places.append((at, place))
        return ModelChange(places, stale, strangers, doubtful)


def _differing(old: Mapping[JobKey, object], new: Mapping[JobKey, object]) -> set[JobKey]:
    if old is new:
        return set()
    changed = {key for key, value in new.items() if old.get(key) != value}
    changed.update(key for key in old if key not in new)
    return changed
