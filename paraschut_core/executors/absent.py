"""AbsentExecutor: inside a job, stands for the executor that submitted it and cannot be made again there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import SchedulerError
from ..model import DeleteResult, JobInfo, JobSpec, SubmitResult
from .base import JobExecutor


class AbsentExecutor(JobExecutor):
    """Submits nothing: what is next waits for the process that has the executor.

    Args:
        identity: of the executor that it stands for.
    """

    name = "absent"

    def __init__(self, identity: str) -> None:
        self._why = (
            f"this job was submitted by the executor object {identity}, which a job cannot make again. Jobs "
            "wait for the process that has it: its next submit_jobs(Executor=...) submits them"
        )

    def isconnected(self) -> bool:
        raise SchedulerError(f"{self._why}.")

    def check(self, JobInfo: JobInfo) -> str:
        return self._why

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        from ..sanitize import complain

        complain(f"{len(jobs)} spawns were not submitted: {self._why}.")
        return [SubmitResult(None, self._why)] * len(jobs)

    def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
        return dict.fromkeys(jobs, DeleteResult(False, self._why))
