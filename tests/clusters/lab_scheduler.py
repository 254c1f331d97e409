"""A scheduler of somebody else's, written by the guide in executors/base.py: Slurm, by its plainest words."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch.base import TASK, BatchExecutor, SubmitRequest
from paraschut_core.executors.batch.run_command import CommandResult
from paraschut_core.executors.batch.script import JobIdVariables
from paraschut_core.executors.exit_info import task_of, token_of
from paraschut_core.executors.resources import ResourceRequest, clock, mebibytes
from paraschut_core.model import ENDING, HELD, QUEUED, RUNNING, DeleteResult, LiveJob

STATES = {"PD": QUEUED, "CF": QUEUED, "R": RUNNING, "CG": ENDING, "S": HELD}


class LabJobExecutor(BatchExecutor):
    """What a new scheduler takes; all else is the base class's work."""

    name = "lab"
    commands = ("sbatch", "squeue", "scancel")
    id_pattern = re.compile(r"[0-9]+(?:_[0-9]+)?")
    forbidden_in_paths = "\\%"

    def get_job_id(self) -> str | None:
        array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID")

    @property
    def job_id_variables(self) -> JobIdVariables:
        task = "$SLURM_ARRAY_TASK_ID"
        return JobIdVariables(self.name, "$SLURM_JOB_ID", f"${{SLURM_ARRAY_JOB_ID}}_{task}", task, bare=False)

    def options(self, request: ResourceRequest, queue: str | None) -> list[str]:
        asked = {
            "partition": queue,
            "cpus-per-task": request.cpus,
            "mem": None if request.mem is None else f"{mebibytes(request.mem)}M",
            "time": None if request.walltime is None else clock(request.walltime),
            **dict(request.other),
        }
        return [f"--{name}={value}" for name, value in asked.items() if value is not None]

    def submit_command(self, submission: SubmitRequest) -> list[str]:
        tasks = [f"--array=1-{submission.tasks}"] if submission.is_array else []
        log = submission.log.replace(TASK, "%a")
        return ["sbatch", *submission.options, *tasks, "-J", submission.name, "-o", log, submission.script]

    def submitted_id(self, answer: CommandResult) -> str | None:
        found = re.fullmatch(r"Submitted batch job ([0-9]+)\n", answer.stdout)
        return found[1] if found else None

    def task_id(self, id_: str, task: int) -> str:
        return f"{id_}_{task}"

    def delete_command(self, ids: Sequence[str]) -> list[str]:
        return ["scancel", *ids]

    def read_deleted(self, answer: CommandResult, ids: Sequence[str]) -> dict[str, DeleteResult]:
        return dict.fromkeys(ids, DeleteResult(answer.status == 0, answer.message if answer.status else ""))

    def read_queue(self) -> dict[str, LiveJob]:
        jobs: dict[str, LiveJob] = {}
        for line in self.run_query("squeue", "-h", "-r", "--me", "-o", "%i %t %j %N|%r").stdout.splitlines():
            fields, _, reason = line.partition("|")
            try:
                id_, letters, name, *host = fields.split()
            except ValueError:
                raise SchedulerError(f"squeue answered what cannot be understood: {line[:100]!r}") from None
            state = HELD if "Held" in reason else STATES.get(letters, letters)
            jobs[id_] = LiveJob(id_, state, token_of(name, task_of(id_)), name, reason, "".join(host))
        return jobs
