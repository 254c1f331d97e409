"""ColumnWidths: how wide the figures of the batches in the tree are, so that they stand in columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from paraschut_core.model import Snapshot

from ..formatting import short
from .model import priority_of
from .short_names import differences, repeated
from .totals import JobTotals

_NAME = 34  # columns for names beyond which the bars grow first


class CountColumns(NamedTuple):
    """What a line of a certain width has room for: columns of the bar; whether the percentage is told."""

    bar: int
    percent: bool


class ColumnWidths:
    """Widths in columns; 0: nothing of the kind is to be shown."""

    def __init__(self) -> None:
        self.counts = 3
        self.lost = 0
        self.priority = 0
        self.places: dict[str, int] = {}
        """Where each name differs from the others."""
        self.repeated: set[str] = set()
        """Names that several batches have."""
        self._tally = JobTotals()
        self._counts: dict[int, int] = {}
        self._priorities: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._longest = 0

    def take(self, snapshot: Snapshot, lost: Mapping[int, Mapping[int, int]]) -> None:
        """Measures what is new in a snapshot."""
        for batch in self._tally.take(snapshot):
            self._counts[batch.batch_id] = len(f"{short(batch.complete)}/{short(batch.total)}")
            self._priorities[batch.batch_id] = priority_of(batch)
        if len(self._counts) > len(snapshot.batches):
            for batch_id in [one for one in self._counts if one not in snapshot.batches]:
                del self._counts[batch_id], self._priorities[batch_id]
        self.counts = max(self._counts.values(), default=3)
        most = max((sum(states.values()) for states in lost.values()), default=0)
        self.lost = len(short(most)) + 1 if most else 0
        priorities = set(self._priorities.values()) - {""}
        self.priority = max(map(len, priorities)) + 1 if priorities - {"1"} else 0
        names = {batch_id: batch.name for batch_id, batch in snapshot.batches.items()}
        if names != self._names:
            self._names = names
            self.places = differences(names.values())
            self.repeated = repeated(names)
            self._longest = max(map(len, names.values()), default=0)

    def figures(self, width: int) -> CountColumns:
        """What fits a line: names come first, then a longer bar, then the percentage."""
        room = width - 4 - self.counts - 1
        room -= self.lost + 1 if self.lost else 0
        room -= self.priority + 1 if self.priority else 0
        room -= min(self._longest + (12 if self.repeated else 0), _NAME)
        bar = max(min(room, 10), 4)
        return CountColumns(bar, room - bar >= 5)
