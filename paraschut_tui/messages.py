"""The messages that cross panes. A message of one widget to its pane is declared in that widget."""

from __future__ import annotations

from collections.abc import Mapping

from textual.message import Message

from paraschut_core.model import JobKey
from paraschut_core.reporting.statistics import StatisticsSummary

from .backend.worker_thread import Request
from .job_grid.model import BatchStates


class SnapshotReady(Message):
    """There is a newer snapshot: the receiver gets it with `Backend.take_update`.

    The message carries nothing, so that many of them fold into one. A slow terminal, which keeps the screen
    from handling them, gets all changes at once afterwards.
    """

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, SnapshotReady)


class JobsLoaded(Message):
    """Jobs for the grid were read, for `request`. `done` tells whether all are here, `searched` which share
    of the file was searched for them, 0 to 1."""

    def __init__(
        self,
        request: Request,
        cells: list[BatchStates],
        done: bool,
        error: str = "",
        searched: float = 1.0,
    ) -> None:
        super().__init__()
        self.request = request
        self.cells = cells
        self.done = done
        self.error = error
        self.searched = searched


class JobsRechecked(Message):
    """Jobs that changed were checked against the filter of `request`: the code of each job's state, None for
    a job that does not match."""

    def __init__(self, request: Request, found: Mapping[JobKey, int | None]) -> None:
        super().__init__()
        self.request = request
        self.found = found


class JobSelected(Message):
    """The cursor of the grid is on another job (None: on no job)."""

    def __init__(self, key: JobKey | None) -> None:
        super().__init__()
        self.key = key


class BatchSelected(Message):
    """The cursor of the tree is on a batch, or on one of its states (`look`), jobs or spawns."""

    def __init__(
        self, batch_id: int, look: int | None = None, index: int | None = None, spawn: int | None = None
    ) -> None:
        super().__init__()
        self.batch_id = batch_id
        self.look = look
        self.index = index
        self.spawn = spawn


class FilterEdited(Message):
    """The filter's text changed; `final` once it is accepted."""

    def __init__(self, text: str, final: bool) -> None:
        super().__init__()
        self.text = text
        self.final = final


class FilterClosed(Message):
    """The filter bar was left; `text` is the filter that stays in force."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class StatisticsReady(Message):
    """The overview's numbers were read for `request`, as far as `summary.whole` says."""

    def __init__(self, request: Request, summary: StatisticsSummary | None, error: str = "") -> None:
        super().__init__()
        self.request = request
        self.summary = summary
        self.error = error

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, StatisticsReady)


class ActionProgress(Message):
    """A long action has done `done` of `total` jobs."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__()
        self.done = done
        self.total = total

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, ActionProgress)
