"""LocalJobExecutor: this machine as a small cluster.

A running job imports this module to ask for its id: what needs more than the standard library's
small modules is imported where it is used.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ...errors import ParaschutError, SchedulerError, SubmitError, UntrustedError
from ...identity import QueueName, queue_name, user_folder
from ...model import DeleteResult, JobKey, JobSpec, SubmitResult, name_text
from ...paths import current_umask, here
from ...v06_arguments import takes
from ..base import FAILED, JOB_ID_VARIABLE, TOKEN_VARIABLE, JobExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ...config import Settings
    from ...model import ExitInfo, JobInfo, LiveJob
    from .foreign_queue import ForeignQueue
    from .queue_store import DaemonInfo, DaemonSettings, LocalQueue, NewJob

_CHUNK = 500
_DELETE_WAIT = 20.0
"""Seconds, beyond the time from TERM to KILL, that a deletion waits for its outcome."""


class LocalJobExecutor(JobExecutor):
    """Runs jobs on this machine, a few at once, by a detached process that outlives this one.

    Every process of the same user on the same host with the same job directory shares one queue.

    Args:
        max_workers: jobs that run at once; None: as the settings say (`local.slots`).
        submitter: of v0.6, whether jobs may submit others: they always may.
        settings: None: those in force, read when first needed.
    """

    name = "local"
    expensive_poll = False
    reports_tokens = True
    absent_means_ended = True

    @takes("self max_workers submitter verbose")
    def __init__(
        self,
        max_workers: int | None = None,
        submitter: bool = False,
        *,
        settings: Settings | None = None,
    ) -> None:
        if max_workers is not None and max_workers < 0:
            raise SubmitError(
                f"max_workers={max_workers}: give the number of jobs at once, or 0 for one a CPU."
            )
        self._max_workers = max_workers
        self._given = settings
        self._submitted: list[str] = []
        """The jobs that were queued by this object, for `shutdown`."""
        self._around: str | None = None
        """The machine whose queue is meant; None: not looked up yet."""

    def made_with(self) -> dict[str, Any]:
        return {} if self._max_workers is None else {"max_workers": self._max_workers}

    # ------------------------------------------------------------------ which queue

    @property
    def backend_id(self) -> str:
        own = super().backend_id
        if own != self.name:
            return own  # of a class that a user wrote
        return str(QueueName(own, f"{self._machine()}:{self._queue().folder}", os.getuid()))

    def owns(self, executor: str | None) -> bool:
        return super().owns(executor) or self.was_deleted(executor) or self.went_with_container(executor)

    def went_with_container(self, executor: str | None) -> bool:
        """Return whether that is a local queue of this user in a container that is certainly gone."""
        from .machine import is_gone

        noted = self._noted_place(executor)
        return noted is not None and is_gone(noted[0])

    def _noted_place(self, executor: str | None) -> tuple[str, str] | None:
        """(machine, folder) of a local queue of this user; None: it is another's."""
        noted, own = queue_name(executor or ""), queue_name(self.backend_id)
        machine, _, folder = noted.place.partition(":")
        return (machine, folder) if folder and noted.kind == own.kind and noted.is_mine else None

    def was_deleted(self, executor: str | None) -> bool:
        """Return whether that is a local queue of this user and machine whose file is not there any more."""
        from .machine import machine_name

        noted = self._noted_place(executor)
        if noted is None or noted[0] != machine_name():
            return False
        folder = noted[1]
        # A queue of this machine whose file was deleted: nothing but its processes can tell (`alive`). Where
        # its job directory is not there either, that may be a file system that is away.
        job_dir = folder
        for _ in (".paraschut", "local", "user@host"):
            job_dir = os.path.dirname(job_dir)
        return os.path.isdir(job_dir) and not os.path.exists(os.path.join(folder, "queue.db"))

    def alive(self, submissions: Mapping[str, str]) -> Mapping[str, LiveJob]:
        from .process import living

        queue = self._queue()
        prefix = f"{queue.queue_id()}." if queue else ""
        # The queue itself tells of its own.
        lost = {token: id_ for token, id_ in submissions.items() if not prefix or not id_.startswith(prefix)}
        return living(lost, "its queue was deleted")

    # ------------------------------------------------------------------ many jobs

    def max_batch_size(self) -> int:
        return _CHUNK

    def check(self, JobInfo: JobInfo) -> str:
        from .launcher import arguments

        try:
            arguments(str(JobInfo.get("script") or ""), here())
            _times(self._resources(JobInfo))
        except ParaschutError as error:
            return str(error)
        return ""

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        """Queue the jobs in one transaction, and has them served.

        Raises:
            SchedulerError: none of them was queued.
        """
        from .launcher import packed

        outcome: list[SubmitResult | None] = []
        tasks: list[NewJob] = []
        umask = current_umask()
        modules = self._settings().submit.modules
        for job in jobs:
            try:
                tasks.append(_task(job, umask, modules))
                outcome.append(None)
            except ParaschutError as error:
                outcome.append(SubmitResult(None, str(error)))
        if tasks:
            queue = self._queue()
            ids, serving = queue.add(tasks, packed(_surroundings()), self._limits())
            self._submitted += ids
            try:
                self._have_served(queue, serving)
            except SchedulerError as error:
                if _taken_back(queue, ids):
                    raise SubmitError(f"{error} None of the jobs was submitted.") from error
                # Else they are queued, and the next poll that finds no runner tells of it.
            numbered = iter(ids)
            return [done if done is not None else SubmitResult(next(numbered)) for done in outcome]
        return [done for done in outcome if done is not None]

    def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
        """End jobs with all their processes and wait until they are gone, within bounds.

        Raises:
            SchedulerError: the queue cannot be written to, or no runner can be started.
        """
        served = self._served()
        others = list(self._others())
        prefixes = tuple(f"{each.queue_id()}." for each in (*served, *(other.queue for other in others)))
        # What was never in a queue that can be seen here is not known to be gone.
        unknown = DeleteResult(
            False, f"it is not in the local queue {self._queue().folder}, which is asked here"
        )
        outcome = {id_: DeleteResult(True) if id_.startswith(prefixes) else unknown for id_ in jobs}
        for queue in served:
            left, serving = queue.cancel(jobs)
            end = time.monotonic() + self._limits().kill_grace + _DELETE_WAIT
            look_again = 0.0
            pause = 0.01
            while left and time.monotonic() < end:
                if time.monotonic() >= look_again:  # the runner may be killed meanwhile
                    self._have_served(queue, serving)
                    look_again = time.monotonic() + 2
                time.sleep(pause)
                pause = min(pause * 1.5, 0.2)
                left = queue.live(left)
                if left and time.monotonic() >= look_again:
                    serving = queue.serving()
            why = "; ".join(queue.obstacles()) if left else ""
            for id_ in left:
                outcome[id_] = DeleteResult(
                    False, f"it is being ended, but has not ended yet; {why or 'try again'}"
                )
        for other in others:
            for id_ in () if other.is_gone else other.queue.live(jobs):
                outcome[id_] = DeleteResult(
                    False,
                    f"it belongs to the local queue of {other.machine}: delete it there, or remove "
                    f"{other.queue.folder} if that machine is gone",
                )
        return outcome

    def poll(self) -> dict[str, LiveJob]:
        """Queued and running jobs, and those that ended in the last minutes.

        Jobs of the same user and job directory on other hosts are shown as their queue files tell; but
        those of a container that is gone have ended with it.

        Raises:
            SchedulerError: the queue cannot be read, or there are jobs and no runner can be started.
        """
        from ...model import ENDED

        jobs: dict[str, LiveJob] = {}
        for other in self._others():
            jobs.update(other.jobs())
        for queue in self._served():
            own, serving = queue.jobs()
            if any(job.state != ENDED for job in own.values()) and not serving.lives:
                self._have_served(queue, serving)
                own, _ = queue.jobs()  # it has found out what became of the jobs of the one before
            jobs.update(own)
        return jobs

    def notice(self) -> str:
        """Which directories are away, that the runner is stopped, ... Raises SchedulerError."""
        return "; ".join(what for queue in self._served() for what in queue.obstacles())

    def find_by_token(self, tokens: Sequence[str]) -> dict[str, str]:
        """The ids of submissions by their tokens, those that ended in the last week included."""
        found: dict[str, str] = {}
        for queue in [*self._served(), *(other.queue for other in self._others())]:
            found.update(queue.find(tokens))
        return found

    def get_exit_info(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        """How jobs ended (kept for a week). Ids are never given out twice, so `since` does not matter."""
        found: dict[str, ExitInfo] = {}
        for queue in self._served():
            found.update(queue.endings(ids))
        for other in self._others():
            found.update(other.endings(ids))
        return found

    # ------------------------------------------------------------------ one job

    def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
        """Submit one job; return its id, or 'failed' (a SchedulerError where the queue is to blame)."""
        (outcome,) = self.built_in("submit_many")([self._spec(JobInfo)])
        return outcome.id or FAILED

    def delete(self, JobInfo: JobInfo) -> bool:
        """Delete one job by its submit_id, else its ClusterID; False if it could not be ended."""
        id_ = str(JobInfo.get("submit_id") or JobInfo.get("ClusterID") or "")
        return bool(self.built_in("delete_many")({id_: JobInfo})[id_].gone) if id_ else True

    def get_job_summary(self, ClusterID: str | None = None) -> dict[str, Any]:
        """What a job has used so far (its own process asks), or used until its end.

        Returns:
            job_id, host, pid; started_at (epoch s), cpu_time (s) and max_rss (bytes) where known; for
            another job also its state and how it ended. {} outside of any job and for unknown ids.
        """
        current = self.get_job_id()
        if current is not None and ClusterID in (None, current):
            from ..usage import own_summary

            return own_summary(current)
        if ClusterID is None:
            return {}
        job = self.built_in("poll")().get(ClusterID)
        ending = self.get_exit_info([ClusterID], 0.0).get(ClusterID)
        if job is None and ending is None:
            return {}
        summary: dict[str, Any] = {"job_id": ClusterID, "state": job.state if job else "ended"}
        if ending is not None:
            summary |= {"host": ending.host, "reason": ending.reason, **ending.record}
            summary |= {"exit_status": ending.exit_status, "signal": ending.signal}
        elif job is not None and job.host:
            summary["host"] = job.host
        return summary

    def isconnected(self) -> bool:
        """Return whether the job directory can be written to (all that it takes)."""
        folder = self._settings().job_dir
        while folder and not os.path.exists(folder):
            folder = os.path.dirname(folder)  # the rest is made when the first job is submitted
        return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)

    def shutdown(self, wait: bool = True) -> None:
        """Wait until the jobs that this object submitted have ended, as v0.6 did.

        Args:
            wait: False: do not wait; the jobs go on.
        """
        from ...model import ENDED

        pause = 0.05
        while wait and self._submitted:
            jobs = self.built_in("poll")()  # which also sees to it that somebody runs them
            self._submitted = [i for i in self._submitted if i in jobs and jobs[i].state != ENDED]
            if self._submitted:
                time.sleep(pause)
                pause = min(2 * pause, 1.0)

    # ------------------------------------------------------------------ where things are

    def _settings(self) -> Settings:
        if self._given is None:
            from ...config import load

            self._given = load()
        return self._given

    def _limits(self) -> DaemonSettings:
        from .queue_store import DaemonSettings

        local = self._settings().local
        slots = local.slots if self._max_workers is None else self._max_workers
        return DaemonSettings(slots, local.idle_timeout, local.kill_grace)

    def _queue(self) -> LocalQueue:
        return self._queue_of(self._machine())

    def _machine(self) -> str:
        """The machine, or container, whose queue is meant: that of the job that this process may be part of,
        also where the job has put it into a container."""
        if self._around is None:
            from .machine import container_of, machine_name

            own = machine_name()
            job = os.environ.get(JOB_ID_VARIABLE, "") if container_of(own) else ""
            queue_id = job.partition(".")[0]
            around = (name for name in self._machines() if queue_id and self._has_queue_id(name, queue_id))
            self._around = own if not queue_id or self._has_queue_id(own, queue_id) else next(around, own)
        return self._around

    def _has_queue_id(self, machine: str, queue_id: str) -> bool:
        try:
            queue = self._queue_of(machine)
            return bool(queue) and queue.queue_id() == queue_id
        except (SchedulerError, UntrustedError):
            return False

    def _machines(self) -> list[str]:
        """Those that have a queue of this user here."""
        try:
            names = os.listdir(self._home())
        except OSError:
            return []  # nothing was submitted yet
        users = (name.rpartition("@") for name in sorted(names))
        return [machine for user, _, machine in users if user == user_folder()]

    def _have_served(self, queue: LocalQueue, serving: DaemonInfo) -> None:
        """Has a runner serve the queue. Raises SchedulerError."""
        from .daemon_control import ensure_daemon
        from .machine import machine_name

        # In a container of a job's own the runner, which has started the job, is not to be seen.
        if self._machine() == machine_name():
            ensure_daemon(queue, serving)

    def _queue_of(self, machine: str) -> LocalQueue:
        from .queue_store import LocalQueue

        return LocalQueue(os.path.join(self._home(), f"{user_folder()}@{machine}"))

    def _served(self) -> list[LocalQueue]:
        """The queue of this machine, if it is there; in a container also one by a machine's name, which an
        earlier version made, as long as it lives."""
        found = [queue] if (queue := self._queue()) else []
        host = os.uname().nodename
        if host != self._machine() and (former := self._queue_of(host)) and former.is_served_here():
            found.append(former)
        return found

    def _home(self) -> str:
        return os.path.join(self._settings().job_dir, ".paraschut", "local")

    def _others(self) -> Iterator[ForeignQueue]:
        """The same user's queues of other machines, and of containers."""
        from .foreign_queue import ForeignQueue

        served = {queue.folder for queue in self._served()}
        for machine in self._machines():
            queue = self._queue_of(machine)
            if queue.folder not in served:
                try:
                    there = bool(queue)
                except UntrustedError as error:
                    if error.owner is None:
                        raise  # mine, but others could write to it: what is in it is not to be overlooked
                    continue  # another user's has none of this user's jobs
                if there:
                    yield ForeignQueue(machine, queue)

    def _resources(self, info: JobInfo) -> dict[str, Any]:
        from ..batch.directives import resources_of

        defaults, own = resources_of(info, self._settings().resources)
        return {**defaults, **own}

    def _spec(self, info: JobInfo) -> JobSpec:
        """A job's metadata as what v0.6's `submit` takes from it."""
        from ..standalone import latest_log

        key = JobKey(int(info.get("BatchID") or 0), int(info.get("JobIndex") or 0))
        logs = os.path.join(self._settings().job_dir, str(key.batch_id), "logs", str(key.job_index))
        variables = {str(name): str(value) for name, value in (info.get("vars") or {}).items()}
        return JobSpec(
            key,
            1,
            variables.get(TOKEN_VARIABLE) or f"{key.batch_id}-{key.job_index}-{os.urandom(6).hex()}",
            name_text(info.get("name") or key),
            str(info.get("script") or ""),
            None,
            self._resources(info),
            (),
            variables,
            latest_log(info.get("stdout")) or f"{logs}.out",
            latest_log(info.get("stderr")) or f"{logs}.err",
            here(),
            info.get("priority") or 1,
            info,
        )


def _surroundings() -> dict[bytes, bytes]:
    """The environment that jobs inherit: this process's, but for what is of the job that it may be in."""
    from ..batch.run_command import inherited

    variables = {os.fsencode(name): os.fsencode(value) for name, value in inherited().items()}
    variables.pop(os.fsencode(JOB_ID_VARIABLE), None)
    return variables


def _taken_back(queue: LocalQueue, ids: Sequence[str]) -> bool:
    """Take jobs out of the queue again if it is certain that no runner can have started one."""
    from .daemon_control import lock_queue

    try:
        lock = lock_queue(queue.folder)  # whoever holds it keeps runners out
        if lock is None:
            return False
        try:
            queue.withdraw(ids)
        finally:
            os.close(lock)
    except (OSError, SchedulerError):
        return False
    return True


def _task(job: JobSpec, umask: int, modules: Sequence[str]) -> NewJob:
    """A job as it is queued, `modules` before it. Raises ParaschutError: it can never be started."""
    from ..batch.run_command import JOB_VARIABLES
    from .launcher import arguments, encoded, packed
    from .queue_store import NewJob

    words = arguments(job.script, job.cwd)
    if modules:
        from ..batch.script import behind

        words = behind(modules, words)
    walltime, cpu_limit = _times(job.resources)
    return NewJob(
        job.token,
        job.name.encode(errors="replace").decode(),
        b"\0".join(os.fsencode(word) for word in words),
        packed(encoded({"PWD": job.cwd, **job.environment, JOB_VARIABLES: " ".join(job.environment)})),
        os.fsencode(job.cwd),
        os.fsencode(job.stdout),
        os.fsencode(job.stderr),
        umask,
        walltime,
        cpu_limit,
    )


def _times(resources: Mapping[str, Any]) -> tuple[float | None, int | None]:
    """(walltime, CPU time in one process), in seconds. Memory is for clusters: it is not enforced here."""
    from .launcher import seconds

    cpu = seconds(resources.get("cput"), "cput")
    return seconds(resources.get("walltime"), "walltime"), None if cpu is None else max(int(cpu), 1)
