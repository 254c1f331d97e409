"""DashboardState: what the dashboard knows of the project, and what the user filters it by."""

from __future__ import annotations

from collections.abc import Mapping

from paraschut_core.filtering.language import Query
from paraschut_core.model import Batch, JobKey, MissingJob, Snapshot
from paraschut_core.sanitize import clean_line

from .backend.snapshot_worker import SnapshotUpdate


class DashboardState:
    """The one copy that all parts of the dashboard share.

    Args:
        read_only: no key changes anything.
        saved_filters: filters by the names that they were saved under.
    """

    def __init__(self, *, read_only: bool = False, saved_filters: Mapping[str, str] | None = None) -> None:
        self.read_only = read_only
        self.snapshot: Snapshot | None = None
        self.missing_by_state: Mapping[int, Mapping[int, int]] = {}
        """Per batch, how many of each state's jobs (by state code) are missing."""
        self.query: Query | None = None
        """The filter in force."""
        self.saved_filters: dict[str, str] = dict(saved_filters or {})
        self.notices: tuple[str, ...] = ()
        """Words about the terminal that the status bar shows."""

    def apply(self, update: SnapshotUpdate) -> None:
        """Replace the snapshot by a newer one."""
        self.snapshot = update.snapshot
        self.missing_by_state = update.lost

    @property
    def batches(self) -> Mapping[int, Batch]:
        """The batches by BatchID."""
        return self.snapshot.batches if self.snapshot is not None else {}

    @property
    def missing(self) -> Mapping[JobKey, MissingJob]:
        """The missing jobs of all batches."""
        return self.snapshot.missing if self.snapshot is not None else {}

    def missing_in(self, batch_id: int) -> list[int]:
        """Return the JobIndexes of a batch's missing jobs in order."""
        return sorted(key.job_index for key in self.missing if key.batch_id == batch_id)

    def batch_words(self, batch_id: int) -> str:
        """Return the name of a batch for a sentence."""
        batch = self.batches.get(batch_id)
        return (clean_line(batch.name) if batch is not None else "") or str(batch_id)

    def job_words(self, key: JobKey) -> str:
        """Return the name of a job for a sentence."""
        return f"job {key.job_index} of {self.batch_words(key.batch_id)}"
