"""The jobs that the user marked, by key, so that they stay marked when the list changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from paraschut_core.model import JobKey


class MarkedJobs:
    """A set of jobs that costs little for whole batches."""

    def __init__(self) -> None:
        self._of: dict[int, set[int]] = {}

    def __len__(self) -> int:
        return sum(len(indexes) for indexes in self._of.values())

    def __contains__(self, key: JobKey) -> bool:
        return key.job_index in self._of.get(key.batch_id, ())

    def __iter__(self) -> Iterator[JobKey]:
        for batch_id in sorted(self._of):
            for index in sorted(self._of[batch_id]):
                yield JobKey(batch_id, index)

    def of_batch(self, batch_id: int) -> set[int]:
        """The marked JobIndexes of a batch; not to be changed by the caller."""
        return self._of.get(batch_id, set())

    def batches(self) -> list[int]:
        """The batches that have marked jobs."""
        return sorted(batch_id for batch_id, indexes in self._of.items() if indexes)

    def add(self, batch_id: int, indexes: Iterable[int]) -> None:
        self._of.setdefault(batch_id, set()).update(indexes)

    def discard(self, batch_id: int, indexes: Iterable[int]) -> None:
        if batch_id in self._of:
            self._of[batch_id].difference_update(indexes)
            if not self._of[batch_id]:
                del self._of[batch_id]

    def toggle(self, key: JobKey) -> bool:
        """Marks or unmarks one job; returns whether it is marked now."""
        if key in self:
            self.discard(key.batch_id, (key.job_index,))
            return False
        self.add(key.batch_id, (key.job_index,))
        return True

    def invert(self, batch_id: int, indexes: Iterable[int]) -> None:
        """Within `indexes` of a batch, unmarks what is marked and marks the rest."""
        flipped = self._of.get(batch_id, set()) ^ set(indexes)
        if flipped:
            self._of[batch_id] = flipped
        else:
            self._of.pop(batch_id, None)

    def keep_batches(self, known: Iterable[int]) -> None:
        """Forgets the marks of batches that are no more."""
        alive = set(known)
        for batch_id in [batch_id for batch_id in self._of if batch_id not in alive]:
            del self._of[batch_id]

    def clear(self) -> None:
        self._of.clear()
