"""TargetSelector: what an action applies to: marks, else the cursor; with a filter, what matches it."""

from __future__ import annotations

from collections.abc import Iterable

from paraschut_core.model import JobKey
from paraschut_core.sanitize import plural

from ..batch_tree.model import BATCH, JOB, STATE, state_label
from ..dashboard.panes import BatchesPane, JobsPane
from ..dashboard_state import DashboardState
from ..job_grid.model import BatchSection
from ..state_styles import L_MISSING
from .types import ActionTarget

WHOLE = 1000
"""A batch with more jobs than this, all of them marked, is named as a whole instead of job by job."""

NOTHING = ActionTarget("nothing")


class TargetSelector:
    """Reads marks and cursors of the panes."""

    def __init__(self, state: DashboardState, batches: BatchesPane, jobs: JobsPane) -> None:
        self._state = state
        self._batches = batches
        self._jobs = jobs

    def current(self) -> ActionTarget:
        """Return the marked jobs, those of an open range among them; without marks, what the cursor is on: a
        job, a state's jobs, a batch."""
        grid, tree = self._jobs.grid, self._batches.batch_tree
        grid.take_range()
        if len(self._jobs.marks):
            return self._marked()
        if self._batches.has_focus_within and tree.marked:
            return self._whole(sorted(tree.marked))
        if self._batches.has_focus_within and tree.cursor is not None:
            return self._under_tree_cursor()
        return NOTHING if grid.cursor is None else self._job(grid.cursor)

    def all_missing(self) -> ActionTarget:
        """Return the missing jobs of all batches."""
        missing = sorted(self._state.missing)
        batches = sorted({key.batch_id for key in missing})
        every = "all " if len(missing) > 1 else ""
        title = f"{every}{plural(len(missing), 'missing job')} of {self._where(batches)}"
        return ActionTarget(title, tuple(missing))

    def whole_batches(self) -> ActionTarget:
        """Return the batches of the current target, for what is done to whole batches only."""
        target = self.current()
        batches = sorted({*target.batches, *(key.batch_id for key in target.keys)})
        return self._every_job(batches) if batches else NOTHING

    @property
    def is_loading(self) -> bool:
        """Whether jobs are still being read."""
        return self._jobs.contents.loading

    def clear_marks(self) -> None:
        """Unmark all jobs."""
        self._jobs.grid.action_clear()

    def _job(self, key: JobKey) -> ActionTarget:
        return ActionTarget(self._state.job_words(key), (key,))

    def _marked(self) -> ActionTarget:
        marks = self._jobs.marks
        whole: list[int] = []
        keys: list[JobKey] = []
        for batch_id in marks.batches():
            indexes = marks.of_batch(batch_id)
            batch = self._state.batches.get(batch_id)
            if batch is not None and batch.total == len(indexes) and len(indexes) > WHOLE:
                whole.append(batch_id)
            else:
                keys.extend(JobKey(batch_id, index) for index in sorted(indexes))
        title = f"{plural(len(marks), 'marked job')} of {self._where(marks.batches())}"
        return ActionTarget(title, tuple(keys), tuple(whole))

    def _whole(self, batches: list[int]) -> ActionTarget:
        """Return all jobs of these batches; with a filter, those that match it."""
        return self._every_job(batches) if self._state.query is None else self._matching(batches)

    def _every_job(self, batches: list[int]) -> ActionTarget:
        names = ", ".join(self._state.batch_words(batch_id) for batch_id in batches[:3])
        more = f" and {len(batches) - 3} more" if len(batches) > 3 else ""
        known = self._state.batches
        jobs = sum(known[batch_id].total for batch_id in batches if batch_id in known)
        return ActionTarget(f"{names}{more} ({plural(jobs, 'job')})", batches=tuple(batches))

    def _matching(self, batches: list[int]) -> ActionTarget:
        keys = [
            JobKey(batch_id, index)
            for batch_id in batches
            if (section := self._section(batch_id)) is not None
            for index in section.indexes
        ]
        return ActionTarget(f"{plural(len(keys), 'matching job')} of {self._where(batches)}", tuple(keys))

    def _under_tree_cursor(self) -> ActionTarget:
        node = self._batches.batch_tree.cursor
        assert node is not None  # asked before
        if node.kind == BATCH:
            return self._whole([node.batch_id])
        if node.kind == STATE:
            return self._in_state(node.batch_id, node.look)
        return self._job(JobKey(node.batch_id, node.job)) if node.kind >= JOB else NOTHING

    def _in_state(self, batch_id: int, look: int) -> ActionTarget:
        """Return a batch's jobs in one state without the missing ones, or its missing jobs. With a filter,
        those that match it."""
        missing = self._state.missing_in(batch_id)
        section = self._section(batch_id)
        if section is None:
            return NOTHING
        if look == L_MISSING:
            every = self._state.query is None
            indexes = missing if every else sorted(set(missing).intersection(section.indexes))
        else:
            found = (section.indexes[at] for at, code in enumerate(section.states) if code == look)
            indexes = sorted(set(found).difference(missing))
        keys = tuple(JobKey(batch_id, index) for index in indexes)
        words = plural(len(keys), f"{state_label(look, self._jobs.state_styles)} job")
        return ActionTarget(f"{words} of {self._state.batch_words(batch_id)}", keys)

    def _section(self, batch_id: int) -> BatchSection | None:
        board = self._jobs.grid.board
        at = board.group_of(batch_id)
        return None if at is None else board.groups[at]

    def _where(self, batches: Iterable[int]) -> str:
        """Return these batches in a few words."""
        some = list(batches)
        return self._state.batch_words(some[0]) if len(some) == 1 else plural(len(some), "batch", "batches")
