"""Submitting one job straight through an executor, outside of any database, as v0.6's users could."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from ..errors import ConfigError, SchedulerError, UsageError
from ..model import DeleteResult, JobInfo, JobKey, JobSpec, name_text
from ..paths import here
from .base import TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..config import Settings


def directives_of(info: JobInfo) -> list[str]:
    """The job's own directives: a list of words, or one text to be split as a shell would.

    Raises:
        UsageError: they are neither.
    """
    directives = info.get("directives") or []
    if isinstance(directives, str):
        try:
            return shlex.split(directives)
        except ValueError as error:
            raise UsageError(f"directives {directives!r} cannot be split into words: {error}") from error
    if not isinstance(directives, (list, tuple)):
        raise UsageError(f"directives must be a list of words or a text, not {type(directives).__name__}")
    return [str(word) for word in directives]


def lone_spec(info: JobInfo, folder: str, cwd: str) -> JobSpec:
    """What an executor is told of a job that nobody has claimed: only what its metadata say.

    Args:
        folder: where its output goes if the metadata name no files.
    """
    variables = {str(name): str(value) for name, value in (info.get("vars") or {}).items()}
    # Inside a user's own `submit`, the job that was claimed: it is found by its token, as others are.
    token = variables.get(TOKEN_VARIABLE) or f"{os.urandom(5).hex()}-1"
    resources = info.get("resources")
    return JobSpec(
        key=JobKey(int(info.get("BatchID") or 0), int(info.get("JobIndex") or 0)),
        attempt=int(info.get("attempt") or 1),
        token=token,
        name=name_text(info.get("name") or ""),
        script=str(info.get("script") or ""),
        queue=info.get("queue"),
        resources=resources if isinstance(resources, dict) else {},
        directives=directives_of(info),
        environment=variables,
        stdout=latest_log(info.get("stdout")) or os.path.join(folder, f"{token}.out"),
        stderr=latest_log(info.get("stderr")) or os.path.join(folder, f"{token}.err"),
        cwd=str(info.get("cwd") or cwd),
        priority=info.get("priority") or 1,
        job_info=info,
    )


def delete_one(
    delete_many: Callable[[Mapping[str, JobInfo]], dict[str, DeleteResult]], info: JobInfo
) -> bool:
    """Delete one job by its ClusterID, else its submit_id. Raises SchedulerError: it could not be deleted."""
    id_ = str(info.get("ClusterID") or info.get("submit_id") or "")
    outcome = delete_many({id_: info})[id_]
    if not outcome.gone:
        raise SchedulerError(outcome.error)
    return True


def settings_in_force() -> Settings:
    """The settings where this process runs; the built-in ones outside of any project."""
    from .. import config

    try:
        return config.load()
    except ConfigError:
        return config.Settings(job_dir=here())


def latest_log(path: object) -> str:
    """A log's path as metadata keep it: one, or the list of all attempts."""
    if isinstance(path, (list, tuple)):
        path = path[-1] if path else ""
    return str(path or "")
