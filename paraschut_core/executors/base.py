"""JobExecutor: what a scheduler must be able to do, and what all of them share.

Writing an executor takes one of three forms.

*Simple*: subclass `JobExecutor` and write `submit(JobInfo)`, `delete(JobInfo)`, `qstat()` and
`get_job_id()`, one job at a time, as v0.6's users did; everything else follows from them. `submit` alone
will do: then no job can be deleted, and none is judged missing. In a subclass of a built-in executor, such a
method takes the place of the built-in one and may call it by `super()`; what is not overridden stays.

*Batched*: override `submit_many`, `delete_many`, `poll` and, where the scheduler keeps accounts,
`explain`; the one-job methods follow from those.

*A cluster with commands*: subclass `cluster.BatchExecutor`; a hundred lines or so. It takes care of
scripts, variables, log files, names with tokens, arrays and parts of them, the submit rate, time-outs, a
clean environment, and records of how jobs ended. A scheduler adds its words and their meaning:

    `name`, `commands`, `ids`         what it is called, its commands (submit, list, delete), its ids
    `get_job_id`, `dialect`           how a job knows itself, in Python and in the shell
    `options`                         queue and resources (bytes and seconds) as options
    `submit_command`, `submitted_id`  the command, and the id in its answer
    `task_id`                         the id of a task of an array
    `delete_command`, `read_deleted`  the command, and what became of each job
    `read_queue`                      lists the user's jobs: one cheap command, each task by itself

and where it has them: `accounts` (how jobs ended), `array_limit`, `summary`, `health` (for `doctor`),
`ambiguous_error` and `limit_error` (what a failed submission says), `name_limit`, `forbidden_in_paths`,
`default_size_unit`.
slurm.py, sge.py and pbs.py are examples; tests/clusters/lab_scheduler.py is the shortest, and the suite
beside it can be run on any.

An executor is given as `Executor=`, or offered by name through the entry points `paraschut.executors`.

None of them touches the database: what is submitted, adopted or missing is decided elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ..errors import ParaschutError, SchedulerError, ScriptError, SubmitError, UsageError
from ..identity import queue_name
from ..model import ENDED, QUEUED, RUNNING, DeleteResult, ExitInfo, JobInfo, JobSpec, LiveJob, SubmitResult

FAILED = "failed"
"""What v0.6's `submit` returns for a job that was not taken."""

JOB_ID_VARIABLE = "PARASCHUT_JOB_ID"
"""Where executors without a scheduler of their own (local, file) tell a job its id."""

TOKEN_VARIABLE = "PARASCHUT_TOKEN"
"""Where a job is told the token of its submission."""

V06_ID_VARIABLE = "PBS_JOBID"
"""Where v0.6's scripts read it, on PBS and off it; inside a job of a real PBS it stays what PBS made it."""


_ONE_BY_ONE = {"submit": "submit_many", "delete": "delete_many", "qstat": "poll"}
"""A method for one job, as in v0.6, and the one that is called for many."""

_FOLLOWING = {
    "submit": ("max_batch_size", "batch_key", "check", "reports_tokens"),
    "qstat": ("expensive_poll", "reports_tokens", "absent_means_ended"),
    "delete": (),
}
"""What is true of a built-in executor and not of one whose user wrote such a method."""


class JobExecutor:
    """Turns "submit these, delete those, what is live?" into one scheduler's words."""

    name = "custom"
    """The word that names the executor in the configuration and on the screen."""

    expensive_poll = False
    """Whether polling costs the scheduler something, so that one answer must serve all processes."""

    reports_tokens = False
    """Whether `poll` tells the JobSpec's token of each job, so that a lost id can be looked up."""

    absent_means_ended = False
    """Whether a job that `poll` does not show has surely ended (no second look is needed)."""

    accounts_failure = ""
    """Why the last `explain` could not ask the accounts about all that it was asked; '' if it could."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Have a subclass's own `submit`, `delete` and `qstat` called, where it has not written the method
        for many jobs as well. All others keep theirs, and with it arrays of jobs."""
        super().__init_subclass__(**kwargs)
        for one, many in _ONE_BY_ONE.items():
            place = _place(cls, one)
            if place < _place(cls, many):
                for name in (many, *(name for name in _FOLLOWING[one] if place < _place(cls, name))):
                    setattr(cls, name, JobExecutor.__dict__[name])

    def _batched(self, name: str) -> Callable[..., Any] | None:
        """The nearest method for many jobs that is not made of the method for one; None if there is none."""
        for kind in type(self).__mro__:
            method = kind.__dict__.get(name)
            if method is not None and method is not JobExecutor.__dict__[name]:
                found: Callable[..., Any] = method.__get__(self)
                return found
        return None

    def built_in(self, name: str) -> Callable[..., Any]:
        """A built-in executor's own method for many jobs, which its method for one job is made of: a user's
        subclass may override that and call it by `super()`."""
        return self._batched(name) or getattr(self, name)

    of_settings = False
    """Whether it is the plug-in that the settings name: a job makes it again by that name."""

    @property
    def sees_jobs(self) -> bool:
        """Whether it can tell which jobs are there. If it cannot, no job of it is ever judged missing."""
        return self._batched("poll") is not None or type(self).qstat is not JobExecutor.qstat

    @property
    def backend_id(self) -> str:
        """The queue that is asked here; the index notes it with each submission (see QueueName)."""
        if self.name == JobExecutor.name:
            return type(self).__qualname__
        # A list that a user's own qstat made says nothing of the jobs that the built-in executor submitted.
        own = type(self).poll is JobExecutor.poll and self._batched("poll") is not None
        return f"{self.name} {type(self).__qualname__}" if own else self.name

    def made_with(self) -> dict[str, Any] | None:
        """The arguments with which a job can make a built-in executor again; None: it cannot."""
        return None

    def queue_of(self, JobInfo: JobInfo) -> str:
        """The queue that a job goes to which is submitted here."""
        return self.backend_id

    def owns(self, executor: str | None) -> bool:
        """Whether a submission that was noted for the queue `executor` is for this one to judge.

        So it is where nothing is noted: nobody can say that it is not. A queue of another place is for
        this one only if its commands reach it; and so is none of another user.
        """
        if executor is None or executor == self.backend_id:
            return True
        noted, own = queue_name(executor), queue_name(self.backend_id)
        if noted.kind != own.kind or not noted.is_mine:
            return False
        return not noted.place or noted.place == own.place

    def key_of(self, id_: str, executor: str | None) -> str:
        """What `poll` calls the job with that id in the queue `executor`."""
        return id_

    def noted(self, key: str) -> tuple[str, str | None]:
        """The id and, where the key tells, the queue of what `poll` or `submit_many` calls `key`."""
        return key, None

    def look_at(self, queues: Collection[str]) -> tuple[dict[str, LiveJob], dict[str, str]]:
        """`poll`, for jobs that were submitted to these queues; also those that gave no answer, and why.

        Raises:
            SchedulerError: as `poll`.
        """
        return self.poll(), {}

    def alive(self, submissions: Mapping[str, str]) -> Mapping[str, LiveJob]:
        """Of submissions (token -> id, '' if that is not known) that the queue does not show, those with
        processes that live, where that can be seen."""
        return {}

    # ------------------------------------------------------------------ one job (v0.6's spelling)

    def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
        """Submits one job; returns its id, or 'failed'.

        Raises:
            SubmitError, UsageError: it was surely not taken. After any other exception (update_job's, say)
                it is looked for in the queue before anything else is done with it.
        """
        return FAILED

    def delete(self, JobInfo: JobInfo) -> object:
        """Deletes one job by its submit_id/ClusterID; False or an exception means that it failed."""
        return False

    def qstat(self) -> Mapping[str, Sequence[Any]]:
        """What the scheduler holds: {id: [name, 'R' or 'Q', ...]}."""
        poll = self._batched("poll")
        if poll is None:
            return {}
        letters = {RUNNING: "R", QUEUED: "Q"}
        return {
            id_: [job.name, letters.get(job.state, job.state)]
            for id_, job in poll().items()
            if job.state != ENDED
        }

    def get_job_id(self) -> str | None:
        """The id of the job that this process runs in, or None outside of any."""
        return os.environ.get(JOB_ID_VARIABLE)

    def get_job_summary(self, ClusterID: str | None = None) -> dict[str, Any]:
        """The scheduler's record of a job (default: the current one); {} where it has none."""
        return {}

    def isconnected(self) -> bool:
        """Whether jobs can be submitted from here."""
        return True

    def shutdown(self, wait: bool = True) -> None:
        """Give up what this process holds; jobs go on.

        Args:
            wait: of v0.6, for the local executor: until its jobs have ended. See wait_for_jobs for others.
        """

    # ------------------------------------------------------------------ many jobs

    def max_batch_size(self) -> int:
        """Most jobs in one call of `submit_many`: what a crash can leave claimed without an id."""
        return 1

    def batch_key(self, JobInfo: JobInfo) -> object:
        """Jobs go into one call of `submit_many` only if this is equal for them (and hashable)."""
        return None

    def check(self, JobInfo: JobInfo) -> str:
        """Why this job cannot be submitted here ('' if it can); asked before it is claimed."""
        return ""

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        """Submits jobs of one group, in order; returns what became of each.

        Their tokens share the part before the last `-`; what follows it counts 1, 2, 3, ...: an array
        may carry the common part in its name and the number as its task id.
        """
        return [self._submit_one(job) for job in jobs]

    def _submit_one(self, job: JobSpec) -> SubmitResult:
        try:
            id_ = self.submit(job.job_info, Spawn=job.spawn_id is not None)
        except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
            if type(error) in (SubmitError, UsageError, ScriptError):
                return SubmitResult(None, str(error))
            # Whether it raised before or after the scheduler took the job is anybody's guess.
            what = str(error) if isinstance(error, ParaschutError) else f"{type(error).__name__}: {error}"
            return SubmitResult(None, what, certain=False)
        if not id_ or id_ == FAILED:
            return SubmitResult(None, f"{type(self).__name__} did not take the job")
        return SubmitResult(str(id_))

    def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
        """Deletes by id; `jobs` maps each id to its job's metadata. Returns an outcome for each."""
        if type(self).delete is JobExecutor.delete:
            return dict.fromkeys(jobs, DeleteResult(False, f"{type(self).__name__} has no method delete"))
        outcome: dict[str, DeleteResult] = {}
        for id_, info in jobs.items():
            handed = {**info, "submit_id": id_, "ClusterID": id_}
            try:
                answer = self.delete(handed)
            except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
                outcome[id_] = DeleteResult(False, str(error) or type(error).__name__)
            else:
                outcome[id_] = DeleteResult(answer is not False, "" if answer is not False else "refused")
            if "rev" in handed:
                info["rev"] = handed["rev"]  # it may have updated the job, as v0.6's did, which has other ids
        return outcome

    def poll(self) -> dict[str, LiveJob]:
        """Every job that the scheduler holds for this user, and the ended ones that it remembers.

        Raises:
            SchedulerError: no answer, or one that cannot be trusted.
        """
        jobs: dict[str, LiveJob] = {}
        for id_, fields in self.qstat().items():
            try:
                name, letter = str(fields[0]), str(fields[1])
            except (IndexError, TypeError, KeyError) as error:
                raise SchedulerError(
                    f"{type(self).__name__}.qstat(): {id_!r} has {fields!r}, not [name, 'R' or 'Q']"
                ) from error
            state = {"R": RUNNING, "Q": QUEUED}.get(letter, letter)
            jobs[str(id_)] = LiveJob(str(id_), state, name=name)
        return jobs

    def notice(self) -> str:
        """What keeps jobs that wait from starting, beside the room in the queue; '' if nothing is known."""
        return ""

    def find_by_token(self, tokens: Sequence[str]) -> dict[str, str]:
        """The ids of submissions by their tokens, those that the scheduler knows (ended ones too, if it can).

        Raises:
            SchedulerError: no answer: then nothing is known of any of them.
        """
        wanted = set(tokens)
        return {job.token: id_ for id_, job in self.poll().items() if job.token in wanted}

    def get_exit_info(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        """How the jobs `ids`, submitted after `since` (epoch s), ended; those that can be told."""
        return {}

    def exit_info_from_logs(self, tokens: Sequence[str]) -> dict[str, ExitInfo]:
        """How submissions that `explain` does not know ended, by what was written into their logs."""
        return {}


def _place(cls: type, name: str) -> int:
    """How far up its bases a class has its `name` from: 0 is its own."""
    return next(i for i, kind in enumerate(cls.__mro__) if name in kind.__dict__)
