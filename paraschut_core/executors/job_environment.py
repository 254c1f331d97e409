"""Which job of a scheduler this process runs in, by the environment alone: every running job imports this."""

from __future__ import annotations

import os


def slurm_job_id() -> str | None:
    """As squeue -r shows it: 12, or 12_3 for a task of an array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID") or None


def slurm_restarts() -> int:
    return _number(os.environ.get("SLURM_RESTART_COUNT"))


def sge_job_id() -> str | None:
    """12, or 12.3 for a task of an array."""
    job, task = os.environ.get("JOB_ID"), os.environ.get("SGE_TASK_ID", "")
    return f"{job}.{task}" if job and task.isdigit() else job or None


def sge_restarts() -> int:
    """Grid Engine tells only whether a job was started before: 1 or 0."""
    return _number(os.environ.get("RESTARTED"))


def pbs_job_id() -> str | None:
    """12, or 12[3] for a task of an array: without the server's name, as in our polls.

    The commands in PBS's manner that come with Slurm leave jobs with Slurm's own variables.
    """
    return os.environ.get("SLURM_JOB_ID") or os.environ.get("PBS_JOBID", "").partition(".")[0] or None


def pbs_restarts() -> int:
    """PBS does not tell a job that it was started before; Slurm does, whatever the commands."""
    return slurm_restarts()


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


JOB_IDS = {"slurm": slurm_job_id, "sge": sge_job_id, "pbs": pbs_job_id}
RESTARTS = {"slurm": slurm_restarts, "sge": sge_restarts, "pbs": pbs_restarts}
