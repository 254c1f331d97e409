"""JobExecutor: what a scheduler must be able to do, and what all of them share.

An executor takes one of three forms.

*Simple*: subclass `JobExecutor` and write `submit(JobInfo)`, `delete(JobInfo)`, `qstat()` and
`get_job_id()`, one job at a time, as users of version 0.6 did; everything else follows from them. `submit`
alone is enough: then no job can be deleted, and none counts as missing. In a subclass of a built-in
executor, such a method replaces the built-in one and may call it by `super()`. This is a whole executor:

    class Remote(JobExecutor):
        name = "remote"

        def submit(self, JobInfo, Spawn=False):
            started = subprocess.run(["remote", "run", JobInfo["script"]], capture_output=True, text=True)
            if started.returncode:
                raise SubmitError(f"remote run: {started.stderr.strip()}")
            return started.stdout.strip()

        def delete(self, JobInfo):
            return subprocess.run(["remote", "end", JobInfo["submit_id"]]).returncode == 0

        def qstat(self):
            listed = subprocess.run(["remote", "list"], capture_output=True, text=True)
            if listed.returncode:
                raise SchedulerError(f"remote list: {listed.stderr.strip()}")
            return {id_: ["", "R"] for id_ in listed.stdout.split()}

        def get_job_id(self):
            return os.environ.get("REMOTE_ID")

*Batched*: override `submit_many`, `delete_many`, `poll` and, where the scheduler keeps accounts,
`get_exit_info`; the methods for one job follow from those.

*A batch scheduler with commands*: subclass `batch.base.BatchExecutor`; about a hundred lines. It writes
scripts, variables, log files, names with tokens and arrays, limits the submit rate, sets time-outs and a
clean environment, and records how jobs ended. A scheduler adds its commands and their meaning:

    `name`, `commands`, `id_pattern`    its name, its commands (submit, list, delete), its ids
    `get_job_id`, `job_id_variables`    how a job knows its id, in Python and in the shell
    `options`                           queue and resources (bytes and seconds) as options
    `submit_command`, `submitted_id`    the command, and the id in its answer
    `task_id`                           the id of a task of an array
    `delete_command`, `read_deleted`    the command, and the outcome for each job
    `read_queue`                        all jobs of the user: one cheap command, an entry for each task

and, where it has them: `accounts` (how jobs ended), `array_limit`, `summary`, `health` (for `doctor`),
`ambiguous_error` and `limit_error` (the messages of a failed submission), `name_limit`,
`forbidden_in_paths`, `default_size_unit`. batch/slurm.py, batch/sge.py and batch/pbs.py are examples;
tests/clusters/lab_scheduler.py is the shortest, and the suite beside it runs on any of them.

An executor is given as `Executor=`, or named in the configuration by an entry point of the group
`paraschut.executors`.

No executor touches the database: other rooms decide what is submitted, adopted or missing.
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
    """Why the last `get_exit_info` could not ask the accounts about all that it was asked; '' if it could."""

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
        """Return the arguments with which a job can make this executor again.

        Returns:
            The arguments by name; None: a job cannot make it again.
        """
        return None

    def queue_of(self, JobInfo: JobInfo) -> str:
        """Return the backend id of the queue that a job is submitted to.

        Args:
            JobInfo: the job's metadata; its directives may name another cluster.
        """
        return self.backend_id

    def owns(self, executor: str | None) -> bool:
        """Tell whether this executor judges a submission that was recorded with a backend id.

        A submission without one is judged here. One of another place is judged here only if this executor's
        commands reach that place; one of another user never is.

        Args:
            executor: the recorded backend id; None: none was recorded.
        """
        if executor is None or executor == self.backend_id:
            return True
        noted, own = queue_name(executor), queue_name(self.backend_id)
        if noted.kind != own.kind or not noted.is_mine:
            return False
        return not noted.place or noted.place == own.place

    def key_of(self, id_: str, executor: str | None) -> str:
        """Return the key under which `poll` lists a job.

        Args:
            id_: the job's id in its queue.
            executor: the backend id of that queue, as recorded; None: none was recorded.
        """
        return id_

    def noted(self, key: str) -> tuple[str, str | None]:
        """Split a key of `poll` or `submit_many` into what is recorded.

        Args:
            key: the key.

        Returns:
            The job's id, and the backend id of its queue if the key tells that, else None.
        """
        return key, None

    def look_at(self, queues: Collection[str]) -> tuple[dict[str, LiveJob], dict[str, str]]:
        """Poll on behalf of jobs that were submitted to these queues.

        Args:
            queues: backend ids.

        Returns:
            The jobs by key, as `poll` does; and by backend id, why a queue gave no answer.

        Raises:
            SchedulerError: as `poll`.
        """
        return self.poll(), {}

    def alive(self, submissions: Mapping[str, str]) -> Mapping[str, LiveJob]:
        """Find processes of submissions that the queue does not list.

        Args:
            submissions: by token, the id; '' where it is not known.

        Returns:
            The live ones by token; {} where processes cannot be seen.
        """
        return {}

    # ------------------------------------------------------------------ one job (v0.6's spelling)

    def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
        """Submit one job (version 0.6's spelling).

        Args:
            JobInfo: the job's metadata: script, resources, queue, vars, ...
            Spawn: the job is a spawn of a running one; default False.

        Returns:
            The job's id, or 'failed'.

        Raises:
            SubmitError, UsageError: the job was surely not accepted. After any other exception the job is
                looked up in the queue before anything else happens to it.
        """
        return FAILED

    def delete(self, JobInfo: JobInfo) -> object:
        """Delete one job from the queue (version 0.6's spelling).

        Args:
            JobInfo: the job's metadata, with submit_id and ClusterID.

        Returns:
            False if the job was not deleted. An exception means the same.
        """
        return False

    def qstat(self) -> Mapping[str, Sequence[Any]]:
        """List the jobs that the scheduler holds (version 0.6's spelling).

        Returns:
            {id: [name, 'R' or 'Q', ...]}.

        Raises:
            SchedulerError: there was no answer, or one that cannot be trusted.
        """
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
        """Return the id of the job that this process runs in; None outside of a job."""
        return os.environ.get(JOB_ID_VARIABLE)

    def get_job_summary(self, ClusterID: str | None = None) -> dict[str, Any]:
        """Return the scheduler's record of one job.

        Args:
            ClusterID: the job's id; default None: the job that this process runs in.

        Returns:
            The record, a dict of the scheduler's own fields; {} where there is none.
        """
        return {}

    def isconnected(self) -> bool:
        """Tell whether jobs can be submitted from here."""
        return True

    def shutdown(self, wait: bool = True) -> None:
        """Release what this process holds; jobs go on.

        Args:
            wait: of version 0.6, for the local executor: wait until its jobs have ended; default True. See
                wait_for_jobs for others.
        """

    # ------------------------------------------------------------------ many jobs

    def max_batch_size(self) -> int:
        """Return the most jobs in one call of `submit_many`.

        A crash can leave that many jobs claimed without an id.
        """
        return 1

    def batch_key(self, JobInfo: JobInfo) -> object:
        """Return what must be equal (and hashable) for jobs of one call of `submit_many`.

        Args:
            JobInfo: a job's metadata.
        """
        return None

    def check(self, JobInfo: JobInfo) -> str:
        """Tell why a job cannot be submitted here. It is called before the job is claimed.

        Args:
            JobInfo: the job's metadata.

        Returns:
            The reason; '' if the job can be submitted.
        """
        return ""

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        """Submit jobs of one group, in order.

        Args:
            jobs: what to run. Their tokens share the part before the last `-`; the rest counts 1, 2, 3: an
                array may carry the common part in its name and the number as its task id.

        Returns:
            A result for each job, in the same order.
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
        """Delete jobs from the queue.

        Args:
            jobs: by id, the job's metadata.

        Returns:
            A result for each id.
        """
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
        """List every job that the scheduler holds for this user, and the ended ones that it remembers.

        Returns:
            The jobs by key.

        Raises:
            SchedulerError: there was no answer, or one that cannot be trusted.
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
        """Tell what keeps waiting jobs from starting, apart from the queue being full; '' if nothing."""
        return ""

    def find_by_token(self, tokens: Sequence[str]) -> dict[str, str]:
        """Look up submissions by their tokens.

        Args:
            tokens: the tokens.

        Returns:
            The ids by token of those that the scheduler knows (ended ones too, if it can).

        Raises:
            SchedulerError: there was no answer: nothing is known of any of them.
        """
        wanted = set(tokens)
        return {job.token: id_ for id_, job in self.poll().items() if job.token in wanted}

    def get_exit_info(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        """Ask the scheduler's accounts how jobs ended.

        Args:
            ids: the jobs' ids.
            since: they were submitted after this time (epoch s).

        Returns:
            How they ended, by id; without those that the accounts do not know.
        """
        return {}

    def exit_info_from_logs(self, tokens: Sequence[str]) -> dict[str, ExitInfo]:
        """Read how submissions ended from their logs, where `get_exit_info` does not know them.

        Args:
            tokens: the submissions' tokens.

        Returns:
            How they ended, by token; without those whose logs do not tell.
        """
        return {}


def _place(cls: type, name: str) -> int:
    """How far up its bases a class has its `name` from: 0 is its own."""
    return next(i for i, kind in enumerate(cls.__mro__) if name in kind.__dict__)
