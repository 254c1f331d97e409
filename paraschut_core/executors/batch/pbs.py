"""PBSJobExecutor: PBS's commands (OpenPBS and PBS Pro)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import ParaschutError, SchedulerError, UsageError
from ...identity import QueueName, user_name
from ...model import ENDED, HELD, DeleteResult, ExitInfo, LiveJob
from ..job_environment import pbs_job_id, pbs_restarts
from ..resources import ResourceRequest, clock, pbs_size
from .base import TASK, BatchExecutor, SubmitRequest
from .options import OptionGrammar
from .pbs_parser import (
    array_of,
    bare,
    may_be_held,
    parse_deleted,
    parse_endings,
    parse_full,
    parse_queues,
    parse_records,
    parse_submitted,
    parse_table,
    ranges,
)
from .slurm_clusters import configured_cluster

if TYPE_CHECKING:
    from ...model import JobInfo
    from .options import SubmitOption
    from .run_command import CommandResult
    from .script import JobIdVariables

_NO_SUCH_OPTION = re.compile(r"usage:|unknown option|invalid option", re.IGNORECASE)
_VALUE = re.compile(r"[^\s,]+")

# Ways to list jobs, best first: the table is short and knows the user; other servers have only the rest.
_LISTINGS = (("-t", "-n", "-1", "-s", "-w", "-u"), ("-f", "-t"), ("-f",))

_NONE_FOUND = 153  # with it, and without a word, Slurm's qstat says that there are no jobs
_NO_SERVER = re.compile(r"cannot connect|Problem loading")

_VERSION = re.compile(r"^(?:pbs_)?version\s*[=:]\s*[0-9]", re.MULTILINE | re.IGNORECASE)

_LIMITS = ("pbs_version", "server_state", "max_array_size", "max_queued", "max_run", "job_history_enable")

_TORQUE = ("/var/spool/torque/server_name", "/etc/torque/server_name")

_EXPLAIN_AT_ONCE = 500  # ids in one command: far below any limit on a command's length

_CHUNK = frozenset({"l:mem", "l:ncpus", "l:ngpus", "l:nodes", "l:procs", "l:vmem"})

_GRAMMAR = OptionGrammar(
    lists=("l",),
    pairs=(
        (frozenset({"l:select"}), _CHUNK),  # PBS takes a job's parts in one manner only
        (frozenset({"l:nodes"}), frozenset({"l:ncpus", "l:procs"})),
        (frozenset({"l:place"}), frozenset({"l:nodes"})),
    ),
    repeated=frozenset({"v", "W"}),
)
_REFUSED = {
    "J": "make each task a job of its own (paraschut add --range)",
    "t": "make each task a job of its own (paraschut add --range)",
    "d": "give the directory as the job's cwd (paraschut add --cwd)",
    "w": "give the directory as the job's cwd (paraschut add --cwd)",
    "I": "a job here has no terminal",
}
_LEFT = frozenset({"C", "N", "S", "e", "f", "j", "k", "o", "z"})

current_job_id = pbs_job_id
restart_count = pbs_restarts


def _configured_server() -> str:
    """The server that PBS's commands (or Torque's) talk to, by their configuration; '' if it does not say."""
    path = os.environ.get("PBS_CONF_FILE", "/etc/pbs.conf")
    for file, pattern in ((path, r"^\s*PBS_SERVER\s*=\s*(\S+)"), *((p, r"^(\S+)") for p in _TORQUE)):
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                if match := re.search(pattern, lines.read(), re.MULTILINE):
                    return match[1].strip("\"'")
        except OSError:
            continue
    return ""


class PBSJobExecutor(BatchExecutor):
    """Submits to PBS with qsub.

    Resources go to -l as they are: v0.6's cput, mem, pmem, pvmem and vmem are PBS's own. cpus becomes
    ncpus, gpus ngpus, priority -p; a number of nodes becomes nodes=N:ppn=cpus; any other name is PBS's or the
    site's own ({'select': '2:ncpus=4', 'place': 'scatter'}).

    Torque, and the commands in its manner that come with Slurm, write arrays and list their tasks
    differently: there every job is submitted by itself.
    """

    name = "pbs"
    commands = ("qsub", "qstat", "qdel", "qselect")
    id_pattern = re.compile(r"[0-9]+(?:\[[0-9]+\])?")
    name_limit = 15
    forbidden_in_paths = ":,"
    default_size_unit = 1
    directive = "#PBS"
    grammar = _GRAMMAR
    refused_in_scripts = _REFUSED
    left_in_scripts = _LEFT
    ambiguous_error = re.compile(
        r"reset by peer|timed? ?out|broken pipe|end of file|premature|15031|zero bytes", re.IGNORECASE
    )
    limit_error = re.compile(r"would exceed|size limit|Maximum number of jobs", re.IGNORECASE)
    delete_at_once = 1_000_000  # they go one by one anyway

    _listing = 0

    def get_job_id(self) -> str | None:
        return current_job_id()

    def place(self) -> str:
        server = os.environ.get("PBS_SERVER") or os.environ.get("PBS_DEFAULT") or _configured_server()
        # Hosts name one server in several ways: alone, with its domain, with its port.
        return re.split(r"[.:]", server.strip().lower())[0] or configured_cluster().lower()

    def queue_of(self, JobInfo: JobInfo) -> str:
        try:
            asked = self._asked(JobInfo)
        except ParaschutError:
            return self.backend_id  # it will be refused, with that reason
        queue = str(asked.queue or asked.default_queue or "")
        server = queue.partition("@")[2].partition(".")[0].partition(":")[0].lower()
        if not server or server == self.home:
            return self.backend_id
        return str(QueueName(self.name, server, os.getuid()))  # a queue of another server: `-q name@server`

    @property
    def job_id_variables(self) -> JobIdVariables:
        from .script import JobIdVariables

        id_ = "${SLURM_JOB_ID:-${PBS_JOBID%%.*}}"  # the former by Slurm's commands in PBS's manner
        return JobIdVariables(self.record_word, id_, id_, "$PBS_ARRAY_INDEX", bare=True)

    # ------------------------------------------------------------------ submit, delete

    def options(self, request: ResourceRequest, queue: str | None) -> list[str]:
        nodes = request.nodes
        if isinstance(nodes, int):
            nodes = f"{nodes}:ppn={request.cpus or 1}" if nodes > 1 else None
        asked: dict[str, object] = {
            "nodes": nodes,
            "ncpus": request.cpus if nodes is None else None,
            "ngpus": request.gpus,
            "walltime": None if request.walltime is None else clock(request.walltime),
            "cput": None if request.cput is None else clock(request.cput),
        }
        for name in ("mem", "pmem", "pvmem", "vmem"):
            size: int | None = getattr(request, name)
            asked[name] = None if size is None else pbs_size(size)
        asked |= request.other
        for name, value in asked.items():
            if value is not None and not _VALUE.fullmatch(str(value)):
                raise UsageError(f"resource {name}={value!r}: PBS takes no empty value, blank or ',' there.")
        given = ",".join(f"{name}={value}" for name, value in asked.items() if value is not None)
        return [
            *(("-q", queue) if queue else ()),
            *(("-l", given) if given else ()),
            *(() if request.priority is None else ("-p", str(request.priority))),
        ]

    def leaves_out(self, option: SubmitOption) -> bool:
        # With block=true qsub would wait for the job's end.
        return super().leaves_out(option) or (option.names == ("W",) and "block" in option.value)

    def submit_command(self, submission: SubmitRequest) -> list[str]:
        from ..shell import shell

        return [
            "qsub",
            *submission.options,
            *("-N", submission.name),
            *("-S", shell()),
            *("-j", "oe"),
            *("-o", submission.log.replace(TASK, "^array_index^")),
            *(("-J", f"1-{submission.tasks}") if submission.is_array else ()),
            submission.script,
        ]

    def submitted_id(self, answer: CommandResult) -> str | None:
        return parse_submitted(answer.stdout)

    def task_id(self, id_: str, task: int) -> str:
        return f"{id_}[{task}]"

    def _delete(self, ids: Sequence[str]) -> dict[str, DeleteResult]:
        """Delete job by job, and tasks in a row together.

        Never several in one command: servers since 22.05 die of some such lists (of an unknown job behind
        a known one, of tasks of two arrays), see openpbs issues 2581 and 2659.
        """
        from .run_command import run

        outcome: dict[str, DeleteResult] = {}
        silent: list[str] = []
        for word, meant in ranges(ids):
            try:
                answer = run(["qdel", word], timeout=self.settings.submit.timeout)
            except SchedulerError as error:
                # Who does not answer now does not answer the next one either.
                return dict.fromkeys(ids, DeleteResult(False, str(error))) | outcome
            outcome |= parse_deleted(answer.status, f"{answer.stdout}\n{answer.stderr}", meant)
            if answer.status > 0 and not answer.message:
                silent += meant
        return outcome | self._gone_by_now(silent)

    def _gone_by_now(self, ids: Sequence[str]) -> dict[str, DeleteResult]:
        """Those of `ids` that the queue does not hold: Slurm's qdel fails on them without a word."""
        if not ids:
            return {}
        try:
            queue = self.read_queue()
        except SchedulerError:
            return {}
        return {id_: DeleteResult(True) for id_ in ids if id_ not in queue or queue[id_].state == ENDED}

    # ------------------------------------------------------------------ look

    def read_queue(self) -> dict[str, LiveJob]:
        from .run_command import run

        user = user_name()
        while True:
            options = _LISTINGS[self._listing]
            argv = ["qstat", *options, *((user,) if options[-1] == "-u" else ())]
            answer = run(argv, timeout=self.settings.poll.timeout)
            if answer.status == 0 or (answer.status == _NONE_FOUND and not answer.message):
                break
            if self._listing + 1 < len(_LISTINGS) and _NO_SUCH_OPTION.search(answer.stderr):
                self._listing += 1
                continue
            raise answer.failure()
        text = answer.whole
        try:
            return parse_records(text, user) if self._listing else self._with_holds(parse_table(text), user)
        except SchedulerError:
            # Where there are no jobs PBS says nothing, and what stands there may be a site's banner alone.
            if self._is_banner(text):
                return {}
            raise

    def _is_banner(self, text: str) -> bool:
        """Return whether text is nothing but what a site has its commands say beside every answer.

        qstat says the same when it tells its version, for which it asks no server. An answer without a
        version is not qstat's.
        """
        try:
            said = self.run_query("qstat", "--version").stdout
        except SchedulerError:
            return False
        usual = set(map(_but_for_numbers, said.splitlines()))
        return bool(_VERSION.search(said)) and all(
            _but_for_numbers(line) in usual for line in text.splitlines()
        )

    def _with_holds(self, jobs: dict[str, LiveJob], user: str) -> dict[str, LiveJob]:
        """The jobs of the table, in which the tasks of an array on hold look like those that wait.

        The scheduler has not considered them, so they have no comment: without such tasks, nothing is asked.
        """
        from .run_command import run

        if not any(map(may_be_held, jobs.values())):
            return jobs
        try:
            answer = run(["qselect", "-J", "-s", "H", "-u", user], timeout=self.settings.poll.timeout)
        except SchedulerError:
            return jobs  # an older client: they are in the queue at any rate
        arrays = {bare(line) for line in answer.stdout.split()}
        held = [job for job in jobs.values() if may_be_held(job) and array_of(job.id) in arrays]
        return jobs | {job.id: job._replace(state=HELD) for job in held}

    def accounts(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        from .run_command import run

        found: dict[str, ExitInfo] = {}
        for start in range(0, len(ids), _EXPLAIN_AT_ONCE):
            some = ids[start : start + _EXPLAIN_AT_ONCE]
            answer = run(["qstat", "-x", "-f", *some], timeout=self.settings.poll.timeout)
            if _NO_SERVER.search(answer.stderr):
                raise answer.failure()
            # Any other failure is about some of the ids, or a server that keeps no history.
            found |= parse_endings(answer.whole, set(some), since)
        return found

    def array_limit(self) -> int | None:
        from .run_command import run

        answer = run(["qstat", "-B", "-f"], timeout=self.settings.poll.timeout)
        if _NO_SERVER.search(answer.stderr):
            raise answer.failure()
        # Torque and its like do not have this attribute, and other arrays.
        match = re.search(r"max_array_size = ([0-9]+)", answer.stdout)
        return int(match[1]) if match else 1

    def summary(self, id_: str) -> dict[str, Any]:
        return dict(parse_full(self.run_query("qstat", "-f", id_).stdout).get(id_, {}))

    def health(self) -> str:
        queues = self.run_query("qstat", "-Q", "-f").stdout
        try:
            server = self.run_query("qstat", "-B", "-f").stdout
        except SchedulerError:
            server = ""  # Slurm's qstat knows of no server
        known = re.findall(rf"^\s+({'|'.join(_LIMITS)}) = (.*)$", server, re.MULTILINE)
        return "\n".join(
            [
                f"PBS {dict(known).get('pbs_version', '(version unknown)')}",
                *(f"{name} = {value}" for name, value in known if name != "pbs_version"),
                *parse_queues(queues),
            ]
        )


def _but_for_numbers(line: str) -> str:
    """The line with one digit for each number: a banner may count hours."""
    return re.sub(r"[0-9]+", "0", line.strip())
