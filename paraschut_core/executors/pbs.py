"""PBSJobExecutor: PBS's commands (OpenPBS and PBS Pro)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import SchedulerError, UsageError
from ..model import Deleted, Ending, LiveJob
from .cluster import ClusterExecutor, Submission
from .current import pbs_job_id, pbs_restarts
from .endings import user_name
from .pbs_answers import (
    parse_deleted,
    parse_endings,
    parse_full,
    parse_records,
    parse_submitted,
    parse_table,
    ranges,
)
from .resources import Request, clock, pbs_size

if TYPE_CHECKING:
    from .command import Answer
    from .script import Dialect

_UNCERTAIN = re.compile(r"reset by peer|timed? ?out|broken pipe|end of file|premature|15031", re.IGNORECASE)
_NO_SUCH_OPTION = re.compile(r"usage:|unknown option|invalid option", re.IGNORECASE)
_VALUE = re.compile(r"[^\s,]+")

# Ways to list jobs, best first: the table is short and knows the user; other servers have only the rest.
_LISTINGS = (("-t", "-n", "-1", "-s", "-w", "-u"), ("-f", "-t"), ("-f",))

_EXPLAIN_AT_ONCE = 500  # ids in one command: far below any limit on a command's length

current_job_id = pbs_job_id
restart_count = pbs_restarts


class PBSJobExecutor(ClusterExecutor):
    """Submits to PBS with qsub.

    Resources go to -l as they are: v0.6's cput, mem, pmem, pvmem and vmem are PBS's own. cpus becomes
    ncpus and gpus ngpus; a number of nodes becomes nodes=N:ppn=cpus; any other name is PBS's or the
    site's own ({'select': '2:ncpus=4', 'place': 'scatter'}).

    Torque's array jobs are written differently: set `submit.arrays = false` there.
    """

    name = "pbs"
    commands = ("qsub", "qstat", "qdel")
    ids = re.compile(r"[0-9]+(?:\[[0-9]+\])?")
    name_limit = 15
    forbidden_in_paths = ":,"
    bare_size = 1
    delete_at_once = 1_000_000  # they go one by one anyway

    _listing = 0

    def get_job_id(self) -> str | None:
        return current_job_id()

    @property
    def dialect(self) -> Dialect:
        from .script import Dialect

        id_ = "${PBS_JOBID%%.*}"
        return Dialect(self.name, id_, id_, "$PBS_ARRAY_INDEX", bare=True)

    # ------------------------------------------------------------------ submit, delete

    def options(self, request: Request, queue: str | None) -> list[str]:
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
        return [*(("-q", queue) if queue else ()), *(("-l", given) if given else ())]

    def submit_command(self, submission: Submission) -> list[str]:
        from .script import shell

        return [
            "qsub",
            *submission.options,
            *("-N", submission.name),
            *("-S", shell()),
            *("-j", "oe"),
            *("-o", submission.log.replace("{task}", "^array_index^")),
            *(("-J", f"1-{submission.tasks}") if submission.is_array else ()),
            submission.script,
        ]

    def submitted_id(self, answer: Answer) -> str | None:
        return parse_submitted(answer.stdout)

    def task_id(self, id_: str, task: int) -> str:
        return f"{id_}[{task}]"

    def surely_refused(self, answer: Answer) -> bool:
        return not _UNCERTAIN.search(answer.stderr)

    def _delete(self, ids: Sequence[str]) -> dict[str, Deleted]:
        """Deletes job by job, and tasks in a row together.

        Never several in one command: servers since 22.05 die of some such lists (of an unknown job behind
        a known one, of tasks of two arrays), see openpbs issues 2581 and 2659.
        """
        from .command import run

        outcome: dict[str, Deleted] = {}
        for word, meant in ranges(ids):
            try:
                answer = run(["qdel", word], timeout=self.settings.submit.timeout)
            except SchedulerError as error:
                # Who does not answer now does not answer the next one either.
                return dict.fromkeys(ids, Deleted(False, str(error))) | outcome
            outcome |= parse_deleted(answer.status, f"{answer.stdout}\n{answer.stderr}", meant)
        return outcome

    # ------------------------------------------------------------------ look

    def read_queue(self) -> dict[str, LiveJob]:
        from .command import run

        user = user_name()
        while True:
            options = _LISTINGS[self._listing]
            argv = ["qstat", *options, *((user,) if options[-1] == "-u" else ())]
            answer = run(argv, timeout=self.settings.poll.timeout)
            if answer.status == 0:
                break
            if self._listing + 1 < len(_LISTINGS) and _NO_SUCH_OPTION.search(answer.stderr):
                self._listing += 1
                continue
            raise answer.failure()
        return parse_table(answer.stdout) if self._listing == 0 else parse_records(answer.stdout, user)

    def accounts(self, ids: Sequence[str], since: float) -> dict[str, Ending]:
        from .command import run

        found: dict[str, Ending] = {}
        for start in range(0, len(ids), _EXPLAIN_AT_ONCE):
            some = ids[start : start + _EXPLAIN_AT_ONCE]
            answer = run(["qstat", "-x", "-f", *some], timeout=self.settings.poll.timeout)
            if "cannot connect" in answer.stderr:
                raise answer.failure()
            # Any other failure is about some of the ids, or a server that keeps no history.
            found |= parse_endings(answer.stdout, set(some), since)
        return found

    def array_limit(self) -> int | None:
        match = re.search(r"max_array_size = ([0-9]+)", self.ask("qstat", "-B", "-f").stdout)
        return int(match[1]) if match else None

    def summary(self, id_: str) -> dict[str, Any]:
        return dict(parse_full(self.ask("qstat", "-f", id_).stdout).get(id_, {}))

    def health(self) -> str:
        server = self.ask("qstat", "-B", "-f").stdout
        known = re.findall(
            r"^ +(pbs_version|server_state|max_array_size|job_history_enable) = (.*)$", server, re.MULTILINE
        )
        queues = self.ask("qstat", "-Q").stdout.splitlines()[2:]
        return "\n".join(
            [
                "PBS",
                *(f"{name} = {value}" for name, value in known),
                *(f"queue {line.split()[0]}" for line in queues if line.strip()),
            ]
        )
