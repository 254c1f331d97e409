"""BatchExecutor: what Slurm, Grid Engine and PBS have in common; each adds its words and parsers."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import exit_kinds
from ...errors import ParaschutError, SchedulerError, UntrustedError, UsageError
from ...identity import QueueName
from ...model import AS_ASKED, TOO_MANY, DeleteResult, ExitInfo, JobInfo, JobSpec, LiveJob, SubmitResult
from ...paths import here
from ...sanitize import clean_line
from ..base import FAILED, JobExecutor
from ..exit_info import by_messages, holds_number, job_name, recorded, task_of, token_of, with_messages
from ..standalone import delete_one, lone_spec, settings_in_force
from .options import OptionGrammar
from .throttling import array_limit, throttle

if TYPE_CHECKING:
    from ...config import Settings
    from ..resources import ResourceRequest
    from .directives import JobRequest
    from .options import SubmitOption
    from .run_command import CommandResult
    from .script import JobIdVariables

LOG = logging.getLogger(__name__)

_QUEUE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@,:+*-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# Of jobs that are too many at once, so small a part is tried next: few commands find what the cluster takes.
_PART = 4

TASK = "\0"
"""Stands for the task's number in the path of a log: no path can hold it."""


class SubmitRequest(NamedTuple):
    """One submit command to be: what it is called, what it runs, and where its own messages go.

    `log` is a path in which TASK stands for the task's number, where there are several `tasks`.
    `options` are the job's resources and directives, in the scheduler's words.
    """

    name: str
    script: str
    log: str
    tasks: int
    cwd: str
    options: list[str]

    @property
    def is_array(self) -> bool:
        return self.tasks > 1


class BatchExecutor(JobExecutor):
    """A scheduler whose jobs are submitted, listed and deleted by commands."""

    expensive_poll = True
    reports_tokens = True

    commands: tuple[str, ...] = ()
    """The commands that are used; jobs can be submitted from hosts that have the first."""

    id_pattern = re.compile(r"[0-9]+")
    """What an id looks like, as `poll` shows it."""

    name_limit = 63
    """Characters that a job's name may have."""

    array_default = 1000
    """Most tasks in an array where the cluster does not say."""

    delete_at_once = 1000
    """Ids in one delete command: far below any limit on a command's length."""

    forbidden_in_paths = ""
    """Characters that the scheduler does not take in the path of a log file."""

    default_size_unit: int | None = None
    """Bytes that a size without a unit counts; None: it must have one."""

    directive = ""
    """How a line of a script begins that holds options of the submit command."""

    grammar = OptionGrammar()
    """How its options are written, and which of them exclude each other."""

    refused_in_scripts: Mapping[str, str] = MappingProxyType({})
    """Options that a job's own script must not hold, and what to do instead."""

    left_in_scripts: frozenset[str] = frozenset()
    """Options of a job's own script that are left out: Paraschut gives them itself."""

    ambiguous_error = re.compile(r"timed? ?out|reset|broken pipe", re.IGNORECASE)
    """What a failed submit command says when its request may take effect all the same."""

    limit_error = re.compile(r"(?!)")
    """What it says when the cluster would take fewer jobs."""

    def __init__(
        self,
        queue: str | None = None,
        resources: Mapping[str, Any] | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        """
        Args:
            queue: queue or partition of jobs that name none.
            resources: resources of jobs that do not name the same.
            settings: default: those in force where this process runs, else the built-in ones.
        """
        self.queue = queue
        self.resources = dict(resources or {})
        self._settings = settings
        self._told: set[tuple[str, ...]] = set()
        self._found_good = ""
        """What the last job asked for that nothing was wrong with."""
        self._place: str | None = None
        """Which cluster is asked here; None: not looked up yet."""

    def made_with(self) -> dict[str, Any]:
        given = {"queue": self.queue, "resources": self.resources}
        return {name: value for name, value in given.items() if value}

    # ------------------------------------------------------------------ what a scheduler adds

    @property
    def job_id_variables(self) -> JobIdVariables:
        """How a job knows itself."""
        raise NotImplementedError

    def options(self, request: ResourceRequest, queue: str | None) -> list[str]:
        """Options that ask for these resources. Raises UsageError for what this scheduler cannot do."""
        raise NotImplementedError

    def head_of(self, path: str) -> tuple[str, ...]:
        """The words of the directives in a job's own script. Raises UsageError."""
        from .directives import directives_in

        return directives_in(path, self.directive)

    def leaves_out(self, option: SubmitOption) -> bool:
        """Return whether an option of a job's own script is Paraschut's to give."""
        return bool(option.names) and option.names[0] in self.left_in_scripts

    def slots(self, directives: Sequence[SubmitOption]) -> int | None:
        """The CPUs that directives ask for, where other resources are counted by them."""
        return None

    def submit_command(self, submission: SubmitRequest) -> list[str]:
        raise NotImplementedError

    def submitted_id(self, answer: CommandResult) -> str | None:
        """The id in a submit command's answer; None if there is none."""
        raise NotImplementedError

    def task_id(self, id_: str, task: int) -> str:
        """The id of one task of an array."""
        raise NotImplementedError

    def is_rejected(self, answer: CommandResult) -> bool:
        """Return whether a failed submit command certainly left nothing in the queue."""
        return not self.ambiguous_error.search(answer.text)

    def delete_command(self, ids: Sequence[str]) -> list[str]:
        raise NotImplementedError

    def read_deleted(self, answer: CommandResult, ids: Sequence[str]) -> dict[str, DeleteResult]:
        raise NotImplementedError

    def read_queue(self) -> dict[str, LiveJob]:
        """Ask for this user's jobs. Raises SchedulerError."""
        raise NotImplementedError

    def accounts(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        """What the scheduler's accounts say of ended jobs; `record["name"]` is the job's name there.

        Without any, the records that the jobs' own scripts leave tell their ends.
        """
        return {}

    def place(self) -> str:
        """Which cluster (cell, server) is asked here; '' if it does not say. Asked once, and cheap."""
        return ""

    def array_limit(self) -> int | None:
        """Most tasks in an array that the cluster allows; None if it does not say. Raises SchedulerError."""
        return None

    def summary(self, id_: str) -> dict[str, Any]:
        """The scheduler's whole record of a job. Raises SchedulerError."""
        job = self.read_queue().get(id_)
        return {} if job is None else job._asdict()

    def health(self) -> str:
        """Version, queues and limits, for people, on several lines. Raises SchedulerError."""
        return "\n".join(f"{name} is {shutil.which(name) or 'not here'}" for name in self.commands)

    # ------------------------------------------------------------------ which queue

    @property
    def home(self) -> str:
        """Which cluster is asked here, as it was first seen."""
        if self._place is None:
            self._place = self.place()
        return self._place

    @property
    def backend_id(self) -> str:
        return str(QueueName(super().backend_id, self.home, os.getuid())) if self.home else super().backend_id

    def record_key(self, word: str, id_: str) -> str | None:
        """What `poll` calls the job whose record bears this word and id; None: it is of another queue."""
        return id_ if word in (self.name, self.record_word) else None

    @property
    def record_word(self) -> str:
        """What the records of this queue's jobs bear, as shell text: part of a file's name."""
        return self._word

    @property
    def _word(self) -> str:
        """This scheduler and cluster as a part of a file's name."""
        import zlib

        return f"{self.name}@{zlib.crc32(self.home.encode()):08x}" if self.home else self.name

    def _records(self) -> dict[str, tuple[str, str]]:
        """The records of ended jobs: what `poll` would call each -> (token, path)."""
        from .script import records

        # Those of earlier versions bear no place: what does is nearer to the truth, and comes last.
        found = sorted(records(self._folder()).items(), key=lambda item: "@" in item[0][0])
        return {key: rest for (word, id_), rest in found if (key := self.record_key(word, id_)) is not None}

    # ------------------------------------------------------------------ submitting

    def check(self, JobInfo: JobInfo) -> str:
        from .script import check_variables, command

        try:
            asked = self._asked(JobInfo)
            words = asked.words
            if words != self._found_good:  # most jobs of a batch ask for the same
                self._options(asked)
                self._folder()
                self._found_good = words
            check_variables({name: str(value) for name, value in (JobInfo.get("vars") or {}).items()})
            command(str(JobInfo.get("script") or ""), self._job_dir())
        except ParaschutError as error:
            return str(error)
        return ""

    def batch_key(self, JobInfo: JobInfo) -> object:
        return self._asked(JobInfo).words

    def max_batch_size(self) -> int:
        submit = self.settings.submit
        if not submit.arrays or submit.array_size == 1:
            return 1
        # One job directory may be used from several clusters.
        path = os.path.join(self._folder(), f"{self._word}.limit")
        return max(1, min(submit.array_size, array_limit(path, self.array_limit, self.array_default)))

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        if len(jobs) > 1 and not _is_array(jobs):
            return [outcome for job in jobs for outcome in self.submit_many([job])]
        end = time.monotonic() + self.settings.submit.timeout
        some, left = list(jobs), SubmitResult(None)
        while some:
            outcomes = self._submit(some, end)
            if outcomes[0].refusal != TOO_MANY or len(some) == 1 or time.monotonic() > end:
                # What did not fit goes back, and out again once there is room.
                return outcomes + [left] * (len(jobs) - len(some))
            left = outcomes[0]
            some = some[: max(len(some) // _PART, 1)]
        return []

    def _submit(self, jobs: Sequence[JobSpec], end: float) -> list[SubmitResult]:
        """Submit jobs with one command.

        Args:
            end: when it is given up (monotonic s): later, others may take the jobs for lost.
        """
        from .run_command import CommandTimeoutError, run, user_locale
        from .script import remove_submission, split_token

        def all_alike(error: object, certain: bool = True, refusal: str = "") -> list[SubmitResult]:
            return [SubmitResult(None, str(error), certain, refusal)] * len(jobs)

        try:
            folder = self._folder()
            group = split_token(jobs[0].token)[0]
            argv = self.submit_command(self._prepare(jobs, folder))
        except ParaschutError as error:
            return all_alike(error)
        if self.settings.submit.rate > 0:
            longest = max(end - time.monotonic(), 0.0) / 2
            throttle(os.path.join(folder, f"{self.name}.turn"), self.settings.submit.rate, longest)
        try:
            answer = run(argv, timeout=max(end - time.monotonic(), 1.0), env_extra=user_locale())
        except CommandTimeoutError as error:
            return all_alike(error, certain=False)
        except SchedulerError as error:
            remove_submission(folder, group)
            return all_alike(error, refusal=AS_ASKED)
        # An answer that is cut short may end in the middle of the id.
        id_ = self.submitted_id(answer) if answer.stdout.endswith("\n") else None
        if id_ is not None and answer.status == 0:
            if len(jobs) == 1:
                return [SubmitResult(id_)]
            return [SubmitResult(self.task_id(id_, task)) for task in range(1, len(jobs) + 1)]
        failure = answer.failure()
        certain = answer.status > 0 and self.is_rejected(answer)
        if answer.status <= 0 or (certain and holds_number(answer.stdout)):
            # It may have been taken, whatever was answered: its token tells.
            try:
                found = self.find_by_token([job.token for job in jobs])
            except SchedulerError as error:
                return all_alike(f"{failure}; {error}", certain=False)
            if found:
                doubt = SubmitResult(None, str(failure), certain=False)
                return [SubmitResult(found[job.token]) if job.token in found else doubt for job in jobs]
        if not certain:
            return all_alike(failure, certain=False)
        remove_submission(folder, group)
        return all_alike(failure, refusal=TOO_MANY if self.limit_error.search(answer.text) else AS_ASKED)

    def _prepare(self, jobs: Sequence[JobSpec], folder: str) -> SubmitRequest:
        """Write the script; return what the submit command needs."""
        from .script import split_token, write

        first = jobs[0]
        group, number = split_token(first.token)
        options = self._options(self._asked(self._as_info(first)))
        path = write(jobs, self.job_id_variables, folder, self.settings.submit.modules)
        return SubmitRequest(
            job_name(group, None if len(jobs) > 1 else number, first.name, self.name_limit),
            path,
            os.path.join(folder, f"{group}-{TASK}.log" if len(jobs) > 1 else f"{first.token}.log"),
            len(jobs),
            first.cwd,
            options,
        )

    def _as_info(self, job: JobSpec) -> JobInfo:
        """The metadata of a job that is submitted: what they do not tell, the specification does."""
        info = job.job_info
        return {
            "resources": job.resources,
            **info,
            "queue": info.get("queue") or (job.queue if self.queue is None else None),
            "script": job.script,
            "cwd": job.cwd,
            "directives": list(job.directives),
        }

    def _asked(self, info: JobInfo) -> JobRequest:
        """What a job asks for, the directives in its own script among it. Raises UsageError."""
        from .directives import asked_of, own_script

        head: tuple[str, ...] = ()
        if self.directive:
            path = own_script(str(info.get("script") or ""), str(info.get("cwd") or self._job_dir()))
            head = self.head_of(path) if path else ()
        return asked_of(info, self.settings, self.queue, self.resources, head)

    def _options(self, asked: JobRequest) -> list[str]:
        """Resources and directives in the scheduler's words, a default only where nothing else is asked for
        in its place. Raises UsageError."""
        from ..resources import ResourceRequest, read
        from .options import merge, parse

        queue = asked.default_queue if asked.queue is None else asked.queue
        if queue and not _QUEUE.fullmatch(queue):
            raise UsageError(f"queue={queue!r} is no name of a queue.")
        for word in (*asked.general, *asked.head, *asked.directives):
            if not word or _CONTROL.search(word):
                raise UsageError(f"directive {word!r} is empty or holds a control character.")
        general, directives = parse(asked.general, self.grammar), parse(asked.directives, self.grammar)
        head = self._own_directives(asked.head)
        request = read(asked.resources, bare=self.default_size_unit)
        own = read(asked.own, bare=self.default_size_unit)
        if own.cpus is None:
            request = request._replace(slots=self.slots([*general, *head, *directives]))
        else:
            request = request._replace(slots=self.slots(directives))

        def names(part: ResourceRequest, queue: str | None = None) -> set[str]:
            options = parse(self.options(part, queue), self.grammar)
            return {name for option in options for name in option.names}

        strongest = {
            **dict.fromkeys(names(ResourceRequest(other=request.other)), 1),
            **dict.fromkeys(names(own, asked.queue), 4),
            **dict.fromkeys(names(ResourceRequest(other=own.other)), 5),
        }
        options = parse(self.options(request, queue or None), self.grammar)
        return merge(
            [
                (options, lambda name: strongest.get(name, 0)),
                (general, lambda _: 2),
                (head, lambda _: 3),
                (directives, lambda _: 6),
            ],
            self.grammar,
        )

    def _own_directives(self, head: Sequence[str]) -> list[SubmitOption]:
        """The options of a job's own script but for those that Paraschut gives. Raises UsageError."""
        from .options import parse

        kept: list[SubmitOption] = []
        left: list[SubmitOption] = []
        for option in parse(head, self.grammar):
            if not option.words[0].startswith("-"):
                raise UsageError(f"its script has the directive {option.words[0]!r}, which is no option.")
            why = self.refused_in_scripts.get(option.names[0] if option.names else "")
            if why:
                raise UsageError(f"its script has the directive {' '.join(option.words)!r}: {why}")
            (left if self.leaves_out(option) else kept).append(option)
        if left:
            self._tell(tuple(" ".join(option.words) for option in left))
        return kept

    def _tell(self, left: tuple[str, ...]) -> None:
        """Report once what was left out of scripts' directives."""
        if left in self._told or self.get_job_id() is not None:
            return  # in a job's log it is of no use
        self._told.add(left)
        LOG.warning(
            "Directives in the jobs' own scripts that are not used: %s. Paraschut names jobs and keeps their "
            "logs by itself (settings log_out and log_err).",
            clean_line(", ".join(left), 300),
        )

    def _folder(self) -> str:
        from .script import script_dir

        folder = script_dir(self._job_dir())
        bad = sorted(set(self.forbidden_in_paths).intersection(folder))
        if bad:
            raise UsageError(
                f"{self.name} cannot write logs under {folder}: its commands do not take {' '.join(bad)} in"
                " paths. Choose another job_dir."
            )
        return folder

    # ------------------------------------------------------------------ deleting

    def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
        outcome = {
            id_: DeleteResult(False, f"{id_!r} is no job id of {self.name}")
            for id_ in jobs
            if not self.id_pattern.fullmatch(id_)
        }
        good = [id_ for id_ in jobs if id_ not in outcome]
        for start in range(0, len(good), self.delete_at_once):
            try:
                outcome |= self._delete(good[start : start + self.delete_at_once])
            except SchedulerError as error:
                # Who does not answer now does not answer the next one either.
                outcome |= dict.fromkeys(good[start:], DeleteResult(False, str(error)))
                break
        return outcome

    def _delete(self, ids: Sequence[str]) -> dict[str, DeleteResult]:
        """What becomes of jobs that one command deletes. Raises SchedulerError if it cannot be told."""
        from .run_command import run

        return self.read_deleted(run(self.delete_command(ids), timeout=self.settings.submit.timeout), ids)

    # ------------------------------------------------------------------ looking

    def poll(self) -> dict[str, LiveJob]:
        from .script import remove_old_files, split_token

        jobs = self.read_queue()
        in_queue = {split_token(job.token)[0] for job in jobs.values() if job.token}
        try:
            remove_old_files(self._folder(), in_queue)
        except (OSError, UsageError):
            pass  # old files that stay a day longer harm nobody; the poll is what was asked for
        return jobs

    def find_by_token(self, tokens: Sequence[str]) -> dict[str, str]:
        found = super().find_by_token(tokens)
        if len(found) < len(tokens):
            # Ended before anybody looked, and forgotten by the scheduler: its script left a record.
            wanted = set(tokens) - set(found)
            found |= {token: id_ for id_, (token, _) in self._records().items() if token in wanted}
        return found

    def get_exit_info(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        """As the base class says. Raises SchedulerError if nothing can be told because of no answer."""
        from .script import read_record, scheduler_log

        self.accounts_failure = ""
        failure: SchedulerError | None = None
        try:
            endings = self.accounts([id_ for id_ in ids if self.id_pattern.fullmatch(id_)], since)
        except SchedulerError as error:
            endings, failure = {}, error
            self.accounts_failure = str(error)
        folder = self._folder()
        try:
            known = self._records()
        except UntrustedError as error:
            known, failure = {}, failure or error
        for id_ in ids:
            record = read_record(known[id_][1], since) if id_ in known else None
            ending = endings.get(id_)
            # A job with a record ran: an ending without a host is of the part of its array that did not.
            if record is not None and (ending is None or not ending.host or record.note):
                ending = recorded(record)
            elif record is not None and ending is not None and ending.kind == exit_kinds.EXIT:
                # An account that knows exit statuses alone does not know of a signal before one of 0.
                told = recorded(record)
                ending = ending if told.confirmed else told._replace(source=exit_kinds.ACCOUNT)
            if ending is not None:
                token = record.token if record else token_of(str(ending.record.get("name", "")), task_of(id_))
                endings[id_] = with_messages(ending, scheduler_log(folder, token) if token else "")
        if failure is not None and not endings:
            raise failure
        return endings

    def exit_info_from_logs(self, tokens: Sequence[str]) -> dict[str, ExitInfo]:
        from .script import scheduler_log

        folder = self._folder()
        told = {token: by_messages(scheduler_log(folder, token)) for token in tokens}
        return {token: ending for token, ending in told.items() if ending is not None}

    def get_job_summary(self, ClusterID: str | None = None) -> dict[str, Any]:
        """The scheduler's record of a job (default: the current one); {} if it has or gives none."""
        id_ = ClusterID or self.get_job_id()
        if not id_ or not self.id_pattern.fullmatch(id_):
            return {}
        try:
            return self.summary(id_)
        except SchedulerError:
            return {}  # a job that is done must not fail for want of statistics

    def isconnected(self) -> bool:
        """Return whether this host has the scheduler's commands and is one that `submit_host` allows."""
        if self.settings.submit_host not in os.uname().nodename and self.get_job_id() is None:
            return False  # a job of this scheduler's is connected to it, whatever its node is called
        folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
        return any(os.access(os.path.join(folder, self.commands[0]), os.X_OK) for folder in folders)

    def run_query(self, *argv: str) -> CommandResult:
        """Run one of the scheduler's commands that only look. Raises SchedulerError if it fails."""
        from .run_command import run

        answer = run(argv, timeout=self.settings.poll.timeout)
        if answer.status != 0:
            raise answer.failure()
        return answer

    # ------------------------------------------------------------------ one job, as v0.6's users call it

    def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
        """Submit one job outside of any database; return its id, or 'failed'."""
        outcome = self.built_in("submit_many")([lone_spec(JobInfo, self._folder(), self._job_dir())])[0]
        if outcome.id is None and not outcome.certain:
            raise SchedulerError(outcome.error)
        return outcome.id or FAILED

    def delete(self, JobInfo: JobInfo) -> object:
        return delete_one(self.built_in("delete_many"), JobInfo)

    def _job_dir(self) -> str:
        return self.settings.job_dir or here()

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = settings_in_force()
        return self._settings


def _is_array(jobs: Sequence[JobSpec]) -> bool:
    """Return whether the jobs' tokens are one group's, numbered 1, 2, 3, ..."""
    from .script import split_token

    group = split_token(jobs[0].token)[0]
    return [split_token(job.token) for job in jobs] == [(group, n) for n in range(1, len(jobs) + 1)]
