"""JobTotals: how many jobs there are, queued and done, in all batches and in each. Pure.

A refresh changes few of perhaps thousands of batches: only these are added up again.
"""

from __future__ import annotations

from typing import NamedTuple

from paraschut_core.model import SUBMIT, Batch, Snapshot


class BatchTotals(NamedTuple):
    """One batch, and what its counters add up to."""

    batch: Batch
    total: int
    complete: int
    queued: int


class JobTotals:
    """The sums over all batches of the snapshot taken last."""

    def __init__(self) -> None:
        self.total = 0
        self.complete = 0
        self.queued = 0
        self._of: dict[int, BatchTotals] = {}

    def take(self, snapshot: Snapshot) -> list[Batch]:
        """Brings the sums up to a newer snapshot. Returns the batches that are new or different."""
        known = self._of
        changed: list[Batch] = []
        for batch_id, batch in snapshot.batches.items():
            before = known.get(batch_id)
            if before is None or before.batch is not batch:
                changed.append(batch)
                self._add(batch_id, before, _sums(batch))
        if len(known) > len(snapshot.batches):
            for batch_id in [one for one in known if one not in snapshot.batches]:
                self._add(batch_id, known[batch_id], None)
        return changed

    def _add(self, batch_id: int, before: BatchTotals | None, now: BatchTotals | None) -> None:
        for sums, sign in ((before, -1), (now, 1)):
            if sums is not None:
                self.total += sign * sums.total
                self.complete += sign * sums.complete
                self.queued += sign * sums.queued
        if now is None:
            del self._of[batch_id]
        else:
            self._of[batch_id] = now


def _sums(batch: Batch) -> BatchTotals:
    queued = sum(n for (_, state), n in batch.counts.items() if state == SUBMIT)
    return BatchTotals(batch, batch.total, batch.complete, queued)
