"""SGEJobExecutor: Grid Engine's commands (SGE 8.1 and its relatives)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...errors import SchedulerError, UsageError
from ...identity import user_name
from ...model import STUCK, DeleteResult, ExitInfo, LiveJob
from ..exit_info import token_of
from ..job_environment import sge_job_id, sge_restarts
from ..resources import ResourceRequest, mebibytes
from .base import TASK, BatchExecutor, SubmitRequest
from .options import OptionGrammar
from .sge_parser import (
    account_id,
    accounts,
    parse_deleted,
    parse_details,
    parse_endings,
    parse_qstat,
    parse_queues,
    parse_reasons,
    parse_submitted,
)

if TYPE_CHECKING:
    from .options import SubmitOption
    from .run_command import CommandResult
    from .script import JobIdVariables

_VALUE = re.compile(r"[^\s,=]+")

_USUAL_ROOTS = ("/var/lib/gridengine",)
"""Where the commands of distributions look for the cell, unless SGE_ROOT says."""

_REASONS_AT_ONCE = 1000  # jobs whose details one command tells; those of others come with the next polls

_GRAMMAR = OptionGrammar(
    letters=False,
    lists=("l",),
    alike=(
        frozenset({"l:mem_free", "l:m_mem_free", "l:virtual_free"}),
        frozenset({"l:gpu", "l:gpus", "l:ngpus"}),
    ),
    repeated=frozenset({"ac", "dc", "hard", "sc", "soft", "v"}),
)
_REFUSED = {
    "t": "make each task a job of its own (paraschut add --range)",
    "wd": "give the directory as the job's cwd (paraschut add --cwd)",
    "verify": "nothing would be submitted",
}
_LEFT = frozenset(
    ("C", "N", "S", "b", "cwd", "e", "help", "i", "inherit", "j", "now", "o", "sync", "tc", "terse")
)

_SLOTS = re.compile(r"\S+ ([0-9]+)")

current_job_id = sge_job_id
restart_count = sge_restarts


class SGEJobExecutor(BatchExecutor):
    """Submits to Grid Engine with qsub.

    Of the shared resources, walltime becomes h_rt, cput h_cpu, mem mem_free and vmem h_vmem (an
    address-space limit); cpus becomes `-pe smp N`, where the resource `pe` names another parallel
    environment; gpus becomes gpu and priority -p. pmem and pvmem have no counterpart and are left out. Any
    other name is a complex of the site: {'s_rt': '00:59:00'} is -l s_rt=00:59:00.
    """

    name = "sge"
    commands = ("qsub", "qstat", "qdel", "qacct", "qconf")
    id_pattern = re.compile(r"[0-9]+(?:\.[0-9]+)?")
    array_default = 1000
    forbidden_in_paths = ":,$"
    directive = "#$"
    grammar = _GRAMMAR
    refused_in_scripts = _REFUSED
    left_in_scripts = _LEFT
    ambiguous_error = re.compile(r"(?:send|read) (?:error|timeout)|commlib error|Error reading answer")
    limit_error = re.compile(r"with more than [0-9]+ tasks")

    _reasons: Mapping[str, str] = MappingProxyType({})
    """Why jobs are in error state, of those that were at the last poll: nobody is asked twice."""

    def get_job_id(self) -> str | None:
        return current_job_id()

    def place(self) -> str:
        root = os.environ.get("SGE_ROOT") or next(filter(os.path.isdir, _USUAL_ROOTS), "")
        return f"{os.path.normpath(root)}:{os.environ.get('SGE_CELL') or 'default'}" if root else ""

    @property
    def job_id_variables(self) -> JobIdVariables:
        from .script import JobIdVariables

        return JobIdVariables(self.record_word, "$JOB_ID", "$JOB_ID.$SGE_TASK_ID", "$SGE_TASK_ID", bare=True)

    # ------------------------------------------------------------------ submit, delete

    def options(self, request: ResourceRequest, queue: str | None) -> list[str]:
        own = dict(request.other)
        options = ["-q", queue] if queue else []
        environment = own.pop("pe", "smp")
        if request.nodes not in (None, 1, "1"):
            raise UsageError(
                "resource nodes: Grid Engine spreads jobs by a parallel environment; use pe and cpus."
            )
        slots = request.slots or 1
        if request.cpus is not None and (request.cpus > 1 or "pe" in dict(request.other)):
            options += ["-pe", environment, str(request.cpus)]
            slots = request.slots or request.cpus
        if request.priority is not None:
            options += ["-p", str(request.priority)]
        limits = {
            "h_rt": request.walltime,
            "h_cpu": self._share("h_cpu", request.cput, slots),
            "mem_free": _mebibytes(self._share("mem_free", request.mem, slots)),
            "h_vmem": _mebibytes(self._share("h_vmem", request.vmem, slots)),
            "gpu": self._gpus(request.gpus, slots),
            **own,
        }
        for name, value in limits.items():
            if value is None:
                continue
            if value != "" and not _VALUE.fullmatch(str(value)):
                raise UsageError(
                    f"resource {name}={value!r}: Grid Engine takes no blank, ',' or '=' in a value."
                )
            options += ["-l", f"{name}={value}" if value != "" else name]
        return options

    def _share(self, name: str, amount: int | None, slots: int) -> int | None:
        """What is for the whole job as Grid Engine wants it: mostly for each of its slots."""
        return amount if amount is None or not self._is_per_slot(name, slots) else -(-amount // slots)

    def _gpus(self, gpus: str | None, slots: int) -> str | None:
        if gpus is None or not self._is_per_slot("gpu", slots) or not gpus.isdigit():
            return gpus
        if int(gpus) % slots:
            raise UsageError(
                f"resource gpus={gpus}: this Grid Engine counts them by slots, so they must be a multiple of"
                f" the {slots} of the job. (Its administrator can make gpu a consumable of jobs: `JOB`.)"
            )
        return str(int(gpus) // slots)

    def _is_per_slot(self, name: str, slots: int) -> bool:
        """Return whether a request for a complex is multiplied by the job's slots.

        A consumable is (unless it is one of jobs), and so are the limits of a job's own processes. A value
        that hosts only report is compared as it is.
        """
        if slots == 1:
            return False
        consumable = self._consumables.get(name)
        return consumable == "YES" or (consumable != "JOB" and name.startswith(("h_", "s_")))

    @cached_property
    def _consumables(self) -> dict[str, str]:
        """The site's complexes, and whether each is a consumable: YES, NO or JOB."""
        try:
            rows = [line.split() for line in self.run_query("qconf", "-sc").stdout.splitlines()]
        except SchedulerError:
            return {}  # submitting will say so
        return {row[0]: row[5] for row in rows if len(row) >= 7 and not row[0].startswith("#")}

    def slots(self, directives: Sequence[SubmitOption]) -> int | None:
        found = [_SLOTS.match(option.value) for option in directives if option.names == ("pe",)]
        return next((int(match[1]) for match in reversed(found) if match and int(match[1])), None)

    def submit_command(self, submission: SubmitRequest) -> list[str]:
        from ..shell import shell

        return [
            "qsub",
            *submission.options,
            "-terse",
            *("-C", ""),  # a line of the script that looks like one of its directives is none
            *("-b", "n"),  # whatever the user's ~/.sge_request says
            *("-N", submission.name),
            *("-S", shell()),
            *("-wd", os.path.dirname(submission.script)),  # surely there; the script itself goes on from it
            *("-j", "y"),
            *("-o", submission.log.replace(TASK, "$TASK_ID")),
            *(("-t", f"1-{submission.tasks}") if submission.is_array else ()),
            submission.script,
        ]

    def submitted_id(self, answer: CommandResult) -> str | None:
        return parse_submitted(answer.stdout)

    def task_id(self, id_: str, task: int) -> str:
        return f"{id_}.{task}"

    def is_rejected(self, answer: CommandResult) -> bool:
        # A refused connection came before the request had left for qmaster.
        return "Connection refused" in answer.stderr or super().is_rejected(answer)

    def delete_command(self, ids: Sequence[str]) -> list[str]:
        return ["qdel", *ids]

    def read_deleted(self, answer: CommandResult, ids: Sequence[str]) -> dict[str, DeleteResult]:
        return parse_deleted(answer.status, f"{answer.stderr}\n{answer.stdout}", ids)

    # ------------------------------------------------------------------ look

    def read_queue(self) -> dict[str, LiveJob]:
        # All states are named, since the user's ~/.sge_qstat may ask for others.
        user = user_name()
        jobs = parse_qstat(self.run_query("qstat", "-xml", "-s", "psr", "-u", user).stdout, user)
        stuck = [id_ for id_, job in jobs.items() if job.state == STUCK]
        known = {id_: self._reasons[id_] for id_ in stuck if id_ in self._reasons}
        self._reasons = known | self._error_reasons([id_ for id_ in stuck if id_ not in known])
        for id_, reason in self._reasons.items():
            jobs[id_] = jobs[id_]._replace(reason=reason)
        return jobs

    def _error_reasons(self, ids: Sequence[str]) -> dict[str, str]:
        """Why jobs are in error state; one command, for those alone, and no more than it can take."""
        from .run_command import run

        numbers = sorted({id_.partition(".")[0] for id_ in ids})[:_REASONS_AT_ONCE]
        if not numbers:
            return {}
        # It fails if one of them is gone meanwhile, and tells of the others all the same.
        argv = ["qstat", "-j", ",".join(numbers)]
        told = parse_reasons(run(argv, timeout=self.settings.poll.timeout).stdout)
        reasons = {id_: told.get(id_) or told.get(id_.partition(".")[0]) for id_ in ids}
        return {id_: reason for id_, reason in reasons.items() if reason}

    def accounts(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        numbers = {id_.partition(".")[0] for id_ in ids}
        if not numbers:
            return {}
        # Each call reads the whole accounting file, so several jobs are found in one reading.
        begin = time.strftime("%Y%m%d%H%M", time.localtime(since - 3600))
        which = ["-j", *numbers] if len(numbers) == 1 else ["-o", user_name(), "-b", begin, "-j"]
        return parse_endings(self._qacct(*which), set(ids), since)

    def _qacct(self, *which: str) -> str:
        from .run_command import run

        answer = run(["qacct", *which], timeout=self.settings.poll.timeout)
        unknown = "not found" in answer.stderr or "No such file" in answer.stderr  # nothing ended as yet
        if answer.status != 0 and not unknown:
            raise answer.failure()
        return answer.whole

    def find_by_token(self, tokens: Sequence[str]) -> dict[str, str]:
        from .script import KEPT_DAYS

        found = super().find_by_token(tokens)
        wanted = set(tokens) - set(found)
        groups = {token.partition("-")[0] for token in wanted}
        if not groups:
            return found
        # Each call reads the whole accounting file, so several groups are found in one reading.
        one = len(groups) == 1
        which = ["-j", f"p{groups.pop()}*"] if one else ["-o", user_name(), "-d", f"{KEPT_DAYS}", "-j"]
        for record in accounts(self._qacct(*which)):
            task = record.get("taskid", "")
            token = token_of(record.get("jobname", ""), int(task) if task.isdigit() else None)
            if token in wanted:
                found[token] = account_id(record)
        return found

    def array_limit(self) -> int | None:
        match = re.search(r"^max_aj_tasks\s+([0-9]+)", self.run_query("qconf", "-sconf").stdout, re.MULTILINE)
        return int(match[1]) or None if match else None

    def summary(self, id_: str) -> dict[str, Any]:
        return parse_details(self.run_query("qstat", "-j", id_.partition(".")[0]).stdout)

    def health(self) -> str:
        version = self.run_query("qstat", "-help").stdout.partition("\n")[0]
        queues = parse_queues(self.run_query("qconf", "-sq", "*").stdout)
        environments = ", ".join(self.run_query("qconf", "-spl").stdout.split())
        limits = re.findall(
            r"^(max_aj_tasks|max_u_jobs|max_jobs)\s+(\S+)",
            self.run_query("qconf", "-sconf").stdout,
            re.MULTILINE,
        )
        return "\n".join(
            [
                f"Grid Engine {version}",
                *queues,
                f"parallel environments: {environments or 'none'}",
                *(f"{name} = {value}" for name, value in limits),
            ]
        )


def _mebibytes(size: int | None) -> str | None:
    return None if size is None else f"{mebibytes(size)}M"
