"""SlurmJobExecutor: Slurm's commands, formats and states."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import ParaschutError, SchedulerError, UsageError
from ...identity import QueueName, queue_name, user_name
from ...model import DeleteResult, ExitInfo, LiveJob
from ..job_environment import slurm_job_id, slurm_restarts
from ..resources import ResourceRequest, mebibytes, slurm_time
from .base import TASK, BatchExecutor, SubmitRequest
from .options import OptionGrammar
from .run_command import environment
from .slurm_clusters import cluster_in, configured_cluster
from .slurm_parser import (
    ACCOUNT_FIELDS,
    QUEUE_FORMAT,
    REMEMBERED_FIELDS,
    collapse,
    parse_config,
    parse_deleted,
    parse_endings,
    parse_record,
    parse_squeue,
    parse_submitted,
    parse_where,
)

if TYPE_CHECKING:
    from ...model import JobInfo
    from .run_command import CommandResult
    from .script import JobIdVariables

_EXPLAIN_AT_ONCE = 8000  # ids in one command: as one argument they must stay below 128 KiB

_MEMORY = frozenset({"mem", "mem-per-cpu", "mem-per-gpu"})
_GPUS = frozenset({"gres", "gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task"})

_GRAMMAR = OptionGrammar(
    short={
        "A": "account",
        "a": "array",
        "b": "begin",
        "B": "extra-node-info",
        "c": "cpus-per-task",
        "C": "constraint",
        "d": "dependency",
        "D": "chdir",
        "e": "error",
        "F": "nodefile",
        "G": "gpus",
        "H": "hold",
        "h": "help",
        "i": "input",
        "J": "job-name",
        "k": "no-kill",
        "L": "licenses",
        "m": "distribution",
        "M": "clusters",
        "n": "ntasks",
        "N": "nodes",
        "o": "output",
        "O": "overcommit",
        "p": "partition",
        "q": "qos",
        "Q": "quiet",
        "s": "oversubscribe",
        "S": "core-spec",
        "t": "time",
        "v": "verbose",
        "V": "version",
        "w": "nodelist",
        "W": "wait",
        "x": "exclude",
    },
    alike=(_MEMORY, _GPUS, frozenset({"cpus-per-task", "cpus-per-gpu"})),
)
_REFUSED = {
    "array": "make each task a job of its own (paraschut add --range)",
    "chdir": "give the directory as the job's cwd (paraschut add --cwd)",
    "test-only": "nothing would be submitted",
    "wrap": "the script is what runs",
}
_LEFT = frozenset(
    (
        *("error", "help", "input", "job-name", "open-mode", "output", "parsable", "quiet", "usage"),
        *("verbose", "version", "wait"),
    )
)

current_job_id = slurm_job_id
restart_count = slurm_restarts


class SlurmJobExecutor(BatchExecutor):
    """Submits to Slurm with sbatch.

    Of the shared resources, mem (else pmem) becomes --mem, walltime --time, cpus --cpus-per-task, nodes
    --nodes, gpus --gres=gpu and priority (with its sign turned) --nice. cput, pvmem and vmem have no
    counterpart in Slurm and are left out. Any other name is taken for a long option of sbatch:
    {'constraint': 'avx2'} is --constraint=avx2.
    """

    name = "slurm"
    commands = ("sbatch", "squeue", "scancel", "scontrol", "sacct")
    id_pattern = re.compile(r"[0-9]+(?:_[0-9]+)?(?:;[\w.,-]+)?")
    array_default = 1000
    forbidden_in_paths = "\\"  # it would switch off the replacement of %a
    directive = "#SBATCH"
    grammar = _GRAMMAR
    refused_in_scripts = _REFUSED
    left_in_scripts = _LEFT
    ambiguous_error = re.compile(
        r"timed out|Zero Bytes|Connection reset|Broken pipe|Unable to send|Unexpected message"
    )
    # The last line names each limit that there is: the one that it is stands before it, on some versions.
    limit_error = re.compile(
        r"(?:Max|Grp)Submit|Invalid job array specification|\A(?!.*(?:Assoc|QOS)\w+Limit).*job submit limit",
        re.DOTALL,
    )

    _has_accounts = True

    _cluster = ""
    """The cluster that the commands name ('': none; they talk to the one at home)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._others: dict[str, SlurmJobExecutor] = {}
        """Other clusters, to which jobs went by a directive of theirs."""
        self._last_asked: tuple[object, str] = (None, "")
        """What the last job asked for, and the clusters among it."""

    # ------------------------------------------------------------------ which cluster
    #
    # A job of another cluster is called `ID;CLUSTER`, as sbatch itself calls it.

    def place(self) -> str:
        found = configured_cluster()
        if not found:
            try:
                found = parse_config(self.run_query("scontrol", "show", "config").stdout).get(
                    "ClusterName", ""
                )
            except SchedulerError:
                found = ""
        return found.lower()

    @property
    def record_word(self) -> str:
        return f"{self.name}${{SLURM_CLUSTER_NAME:+@$SLURM_CLUSTER_NAME}}"

    def record_key(self, word: str, id_: str) -> str | None:
        name, _, cluster = word.partition("@")
        return self._key(id_, cluster.lower()) if name == self.name else None

    def _key(self, id_: str, cluster: str) -> str:
        return id_ if not cluster or cluster == self.home or not self.home else f"{id_};{cluster}"

    def queue_of(self, JobInfo: JobInfo) -> str:
        try:
            asked = self._asked(JobInfo)
            if self._last_asked[0] != asked.words:  # most jobs of a batch ask for the same
                self._last_asked = (asked.words, cluster_in(self._options(asked)))
        except ParaschutError:
            return self.backend_id  # it will be refused, with that reason
        cluster = self._last_asked[1]
        return self.backend_id if cluster in ("", self.home) else self._name_of(cluster)

    def _name_of(self, cluster: str) -> str:
        """The name of another cluster's queue, which is reached from here."""
        return str(QueueName(queue_name(self.backend_id).kind, cluster, os.getuid(), self.home))

    def owns(self, executor: str | None) -> bool:
        if super().owns(executor):
            return True
        noted = queue_name(executor or "")
        kind = queue_name(self.backend_id).kind
        return noted.kind == kind and noted.is_mine and bool(noted.via) and noted.via == self.home

    def key_of(self, id_: str, executor: str | None) -> str:
        return self._key(id_, queue_name(executor or "").place)

    def noted(self, key: str) -> tuple[str, str | None]:
        id_, _, cluster = key.partition(";")
        return id_, self._name_of(cluster) if cluster else self.backend_id

    def _at(self, cluster: str) -> SlurmJobExecutor:
        """This executor, its commands directed at that cluster ('': the one at home)."""
        if not cluster:
            return self
        if cluster not in self._others:
            other = copy.copy(self)
            other._cluster = cluster
            self._others[cluster] = other
        return self._others[cluster]

    def _argv(self, command: str, *arguments: str) -> list[str]:
        return [command, *(("-M", self._cluster) if self._cluster else ()), *arguments]

    def run_query(self, *argv: str) -> CommandResult:
        return super().run_query(*self._argv(*argv))

    def _by_cluster(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """The ids in these keys by cluster."""
        found: dict[str, list[str]] = {}
        for key in keys:
            id_, _, cluster = key.partition(";")
            found.setdefault(cluster, []).append(id_)
        return found

    def get_job_id(self) -> str | None:
        return current_job_id()

    @property
    def job_id_variables(self) -> JobIdVariables:
        from .script import JobIdVariables

        task = "$SLURM_ARRAY_TASK_ID"
        return JobIdVariables(
            self.record_word, "$SLURM_JOB_ID", f"${{SLURM_ARRAY_JOB_ID}}_{task}", task, bare=False
        )

    # ------------------------------------------------------------------ submit, delete

    def options(self, request: ResourceRequest, queue: str | None) -> list[str]:
        options: list[str] = []
        if queue:
            options.append(f"--partition={queue}")
        memory = request.mem if request.mem is not None else request.pmem
        if memory is not None:
            options.append(f"--mem={mebibytes(memory)}M" if memory else "--mem=0")
        if request.walltime is not None:
            options.append(f"--time={slurm_time(request.walltime)}")
        if request.cpus is not None:
            options.append(f"--cpus-per-task={request.cpus}")
        if request.nodes is not None:
            options.append(f"--nodes={_nodes(request.nodes)}")
        if request.gpus is not None:
            options.append(f"--gres=gpu:{request.gpus}")
        if request.priority is not None:
            options.append(f"--nice={-request.priority}")
        given = {name.replace("_", "-"): value for name, value in request.other}
        options = [option for option in options if option[2:].partition("=")[0] not in given]
        for option, value in given.items():
            options.append(f"--{option}={value}" if value else f"--{option}")
        return options

    def head_of(self, path: str) -> tuple[str, ...]:
        # Those for PBS and LSF, too: sbatch reads them by itself, unless it is told not to.
        from .directives import directives_in
        from .slurm_pbs import from_pbs, without

        own = super().head_of(path)
        pbs, lsf = directives_in(path, "#PBS"), directives_in(path, "#BSUB")
        if not (pbs or lsf) or "--ignore-pbs" in (*own, *self.settings.submit.directives):
            return own
        words, left = from_pbs(pbs)
        if left or lsf:
            self._tell((*left, *(("#BSUB " + " ".join(lsf),) if lsf else ())))
        return (*without(words, own, self.grammar), *own)

    def submit_command(self, submission: SubmitRequest) -> list[str]:
        # In a file's name Slurm replaces %x by something of the job.
        log = submission.log.replace("%", "%%").replace(TASK, "%a")
        return [
            "sbatch",
            "--parsable",
            *submission.options,
            f"--job-name={submission.name}",
            f"--chdir={submission.cwd}",
            f"--output={log}",
            "--open-mode=append",  # after a requeue, what was said of the first run stays
            *([f"--array=1-{submission.tasks}"] if submission.is_array else []),
            submission.script,
        ]

    def submitted_id(self, answer: CommandResult) -> str | None:
        id_ = parse_submitted(answer.stdout)
        if id_ is None:
            return None
        asked = cluster_in(answer.argv)
        told = parse_where(answer.stdout)
        if told and not asked and not self.home:
            self._place = told  # the first answer tells what nothing else does
        return self._key(id_, told or asked)

    def task_id(self, id_: str, task: int) -> str:
        number, found, cluster = id_.partition(";")
        return f"{number}_{task}{found}{cluster}"

    def delete_command(self, ids: Sequence[str]) -> list[str]:
        return self._argv("scancel", *collapse(ids))

    def _delete(self, ids: Sequence[str]) -> dict[str, DeleteResult]:
        outcome: dict[str, DeleteResult] = {}
        for cluster, own in self._by_cluster(ids).items():
            deleted = super(SlurmJobExecutor, self._at(cluster))._delete(own)
            outcome |= {self._key(id_, cluster): told for id_, told in deleted.items()}
        return outcome

    def read_deleted(self, answer: CommandResult, ids: Sequence[str]) -> dict[str, DeleteResult]:
        return parse_deleted(answer.status, answer.stderr, ids)

    # ------------------------------------------------------------------ look

    def read_queue(self) -> dict[str, LiveJob]:
        # With its header: where a site's banner is all else that it says, this tells that there are no jobs.
        answer = self.run_query("squeue", "-r", "-t", "all", "-u", user_name(), "-o", QUEUE_FORMAT)
        jobs = parse_squeue(answer.whole)
        if not jobs and (answer.complaints or ("error" in answer.stderr and not answer.stdout.strip())):
            raise answer.failure()  # a header that was printed before is no answer
        return jobs

    def look_at(self, queues: Collection[str]) -> tuple[dict[str, LiveJob], dict[str, str]]:
        answer = self.poll()
        silent: dict[str, str] = {}
        for queue in queues:
            where = queue_name(queue).place
            for cluster in filter(None, where.split(",")):
                if cluster == self.home or not self.owns(queue):
                    continue
                try:
                    jobs = self._at(cluster).read_queue()
                except SchedulerError as error:
                    silent[queue] = str(error)
                    continue
                answer |= {(key := self._key(id_, where)): job._replace(id=key) for id_, job in jobs.items()}
        return answer, silent

    def find_by_token(self, tokens: Sequence[str]) -> dict[str, str]:
        found = super().find_by_token(tokens)
        for cluster, other in self._others.items():
            left = [token for token in tokens if token not in found]
            if left:
                jobs = {job.token: id_ for id_, job in other.read_queue().items()}
                found |= {token: self._key(jobs[token], cluster) for token in left if token in jobs}
        return found

    def accounts(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        found: dict[str, ExitInfo] = {}
        groups = self._by_cluster(ids)
        for cluster, own in groups.items():
            asked = self._at(cluster)
            try:
                told = asked._accounts(own, since)
            except SchedulerError as error:
                if len(groups) == 1:
                    raise
                told, asked.accounts_failure = {}, str(error)  # the others tell all the same
            found |= {self._key(id_, cluster): ending for id_, ending in told.items()}
            self.accounts_failure = self.accounts_failure or asked.accounts_failure
        return found

    def _accounts(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        found: dict[str, ExitInfo] = {}
        for start in range(0, len(ids), _EXPLAIN_AT_ONCE):
            wanted = set(ids[start : start + _EXPLAIN_AT_ONCE])
            if self._has_accounts:
                try:
                    found |= self._sacct(wanted, since)
                except SchedulerError as error:  # the controller may still remember
                    self.accounts_failure = str(error)
            rest = wanted - set(found)
            if rest:
                found |= self._remembered(rest, since)
        return found

    def _sacct(self, ids: set[str], since: float) -> dict[str, ExitInfo]:
        from .run_command import run

        start = _local_time(since - 3600)  # ids are used again some day: older jobs are other jobs
        jobs = ",".join(sorted({id_.partition("_")[0] for id_ in ids}))
        argv = self._argv("sacct", "-n", "-P", "-X", "-S", start, "-o", ",".join(ACCOUNT_FIELDS), "-j", jobs)
        answer = run(argv, timeout=self.settings.poll.timeout)
        if answer.status != 0:
            if "accounting storage is disabled" not in answer.stderr:
                raise answer.failure()
            self._has_accounts = False
            return {}
        return parse_endings(answer.whole.splitlines(), ids)

    def _remembered(self, ids: set[str], since: float) -> dict[str, ExitInfo]:
        """What the controller still knows of ended jobs (MinJobAge): one command for all of them."""
        jobs = sorted({id_.partition("_")[0] for id_ in ids})
        # A single unknown id is an error, one among several is not: the first is asked for twice.
        layout = ":|,".join(REMEMBERED_FIELDS) + ":"
        answer = self.run_query(
            "squeue", "-h", "-r", "-t", "all", "-j", ",".join([*jobs, jobs[0]]), "-O", layout
        )
        start = _local_time(since - 3600)
        rows = [
            row for row in answer.whole.splitlines() if row.count("|") >= 6 and row.split("|")[5] >= start
        ]
        return parse_endings(rows, ids)

    def array_limit(self) -> int | None:
        config = parse_config(self.run_query("scontrol", "show", "config").stdout)
        size = config.get("MaxArraySize", "")
        # The largest task number is one below it; 0 means that the cluster has no arrays.
        limits = [max(int(size) - 1, 1)] if size.isdigit() else []
        if tasks := re.search(r"\bmax_array_tasks=([0-9]+)", config.get("SchedulerParameters", "")):
            limits.append(int(tasks[1]))
        return min(limits, default=None)

    def summary(self, id_: str) -> dict[str, Any]:
        number, _, cluster = id_.partition(";")
        lines = self._at(cluster).run_query("scontrol", "show", "job", "-o", number).stdout.splitlines()
        return next((parse_record(line) for line in lines if line.startswith("JobId=")), {})

    def health(self) -> str:
        config = parse_config(self.run_query("scontrol", "show", "config").stdout)
        partitions = self.run_query(
            "sinfo", "-h", "-o", "%P %a, time limit %l, %D nodes %t"
        ).stdout.splitlines()
        known = ("ClusterName", "MaxArraySize", "MaxJobCount", "MinJobAge", "AccountingStorageType")
        defaults = {name: value for name, value in environment().items() if name.startswith("SBATCH_")}
        return "\n".join(
            [
                f"Slurm {config.get('SLURM_VERSION', '(version unknown)')}",
                *(f"{name} = {config[name]}" for name in known if name in config),
                *(f"partition {line}" for line in partitions if ", time limit " in line),
                *(f"default of your environment: {name}={value}" for name, value in sorted(defaults.items())),
            ]
        )


def _nodes(nodes: int | str) -> str:
    match = re.fullmatch(r"([0-9]+)(?::ppn=[0-9]+)?", str(nodes))
    if match is None:
        raise UsageError(f"resource nodes={nodes!r} is not a number of nodes, as Slurm wants it.")
    return match[1]


def _local_time(at: float) -> str:
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at))
