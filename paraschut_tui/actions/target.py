"""TargetSelector: what an action applies to: marks, else the cursor; with a filter, what matches it."""

from __future__ import annotations

from collections.abc import Iterable

from paraschut_core.model import JobKey

from ..batch_tree.model import BATCH, JOB, STATE, state_label
from ..dashboard.base import DashboardBase
from ..dashboard.titles import batch_name
from ..formatting import plural
from ..job_grid.model import BatchSection
from ..state_styles import L_MISSING
from .types import ActionTarget

WHOLE = 1000
"""A batch of which more jobs than this, and all, are marked is named whole instead of job by job."""

NOTHING = ActionTarget("nothing")


class TargetSelector(DashboardBase):
    """The part of the main screen that knows what an action is for."""

    def _target(self) -> ActionTarget:
        """The marked jobs, those of a range that is open among them; without marks, what the cursor is on: a
        job, a state's jobs, a batch."""
        self.grid.take_range()
        if len(self.marks):
            return self._marked()
        if self.pane == "tree" and self.batch_tree.marked:
            return self._whole(sorted(self.batch_tree.marked))
        if self.pane == "tree" and self.batch_tree.cursor is not None:
            return self._under_tree_cursor()
        key = self.grid.cursor
        return NOTHING if key is None else ActionTarget(self._job_words(key), (key,))

    def _marked(self) -> ActionTarget:
        batches = self.marks.batches()
        whole: list[int] = []
        keys: list[JobKey] = []
        for batch_id in batches:
            indexes = self.marks.of_batch(batch_id)
            batch = self.snapshot.batches.get(batch_id) if self.snapshot else None
            if batch is not None and batch.total == len(indexes) and len(indexes) > WHOLE:
                whole.append(batch_id)
            else:
                keys.extend(JobKey(batch_id, index) for index in sorted(indexes))
        title = f"{plural(len(self.marks), 'marked job')} of {self._where(batches)}"
        return ActionTarget(title, tuple(keys), tuple(whole))

    def _whole(self, batches: list[int]) -> ActionTarget:
        """All jobs of these batches; with a filter, those that match it."""
        if self.scope.query is not None:
            return self._matching(batches)
        return self._every_job(batches)

    def _every_job(self, batches: list[int]) -> ActionTarget:
        names = ", ".join(self._batch_words(batch_id) for batch_id in batches[:3])
        more = f" and {len(batches) - 3} more" if len(batches) > 3 else ""
        known = self.snapshot.batches if self.snapshot is not None else {}
        jobs = sum(known[batch_id].total for batch_id in batches if batch_id in known)
        return ActionTarget(f"{names}{more} ({plural(jobs, 'job')})", batches=tuple(batches))

    def _matching(self, batches: list[int]) -> ActionTarget:
        keys = [
            JobKey(batch_id, index)
            for batch_id in batches
            if (group := self._group(batch_id)) is not None
            for index in group.indexes
        ]
        return ActionTarget(f"{plural(len(keys), 'matching job')} of {self._where(batches)}", tuple(keys))

    def _under_tree_cursor(self) -> ActionTarget:
        node = self.batch_tree.cursor
        assert node is not None and self.snapshot is not None  # a tree with a cursor has a snapshot
        if node.kind == BATCH:
            return self._whole([node.batch_id])
        if node.kind == STATE:
            return self._in_state(node.batch_id, node.look)
        key = JobKey(node.batch_id, node.job)
        return ActionTarget(self._job_words(key), (key,)) if node.kind >= JOB else NOTHING

    def _in_state(self, batch_id: int, look: int) -> ActionTarget:
        """A batch's jobs in one state, the missing not among them; or its missing jobs. With a filter, those
        that match it."""
        lost = self._missing_of(batch_id)
        group = self._group(batch_id)
        if group is None:
            return NOTHING
        if look == L_MISSING:
            indexes = lost if self.scope.query is None else sorted(set(lost).intersection(group.indexes))
        else:
            found = (group.indexes[at] for at, code in enumerate(group.states) if code == look)
            indexes = sorted(set(found).difference(lost))
        keys = tuple(JobKey(batch_id, index) for index in indexes)
        words = plural(len(keys), f"{state_label(look, self.looks)} job")
        return ActionTarget(f"{words} of {self._batch_words(batch_id)}", keys)

    def _all_missing(self) -> ActionTarget:
        """The missing jobs of all batches."""
        lost = sorted(self.snapshot.missing) if self.snapshot is not None else []
        batches = sorted({key.batch_id for key in lost})
        every = "all " if len(lost) > 1 else ""
        return ActionTarget(
            f"{every}{plural(len(lost), 'missing job')} of {self._where(batches)}", tuple(lost)
        )

    def _batch_target(self) -> ActionTarget:
        """The batches of the target, whole: for what is done to batches only."""
        target = self._target()
        batches = sorted({*target.batches, *(key.batch_id for key in target.keys)})
        return self._every_job(batches) if batches else NOTHING

    def _group(self, batch_id: int) -> BatchSection | None:
        at = self.grid.board.group_of(batch_id)
        return None if at is None else self.grid.board.groups[at]

    def _missing_of(self, batch_id: int) -> list[int]:
        missing = self.snapshot.missing if self.snapshot is not None else {}
        return sorted(key.job_index for key in missing if key.batch_id == batch_id)

    def _where(self, batches: Iterable[int]) -> str:
        """These batches in a few words."""
        some = list(batches)
        return self._batch_words(some[0]) if len(some) == 1 else plural(len(some), "batch", "batches")

    def _batch_words(self, batch_id: int) -> str:
        batch = self.snapshot.batches.get(batch_id) if self.snapshot is not None else None
        return batch_name(batch) if batch is not None else str(batch_id)

    def _job_words(self, key: JobKey) -> str:
        return f"job {key.job_index} of {self._batch_words(key.batch_id)}"
