"""Executors: each turns "submit these, delete those, what is live?" into its scheduler's words."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .base import JobExecutor

if TYPE_CHECKING:
    from ..config import Settings

ENTRY_POINTS = "paraschut.executors"
"""Group of entry points under which other packages offer executors: name = module:Class. The class is
called with the keyword `settings`, or without arguments if it takes none."""

BUILT_IN = {
    "local": ("paraschut_core.executors.local", "LocalJobExecutor"),
    "slurm": ("paraschut_core.executors.batch.slurm", "SlurmJobExecutor"),
    "sge": ("paraschut_core.executors.batch.sge", "SGEJobExecutor"),
    "pbs": ("paraschut_core.executors.batch.pbs", "PBSJobExecutor"),
    "file": ("paraschut_core.executors.file", "FileJobExecutor"),
}

ARGUMENTS_VARIABLE = "PARASCHUT_EXECUTOR_ARGUMENTS"
"""Where a job is told, in JSON, what its executor was made with: an object of arguments; or, of an executor
that a job cannot make again, the identity as a string. Empty: with nothing but the settings."""

SCHEDULERS = ("slurm", "sge", "pbs")
"""Those that tell a job its id in an environment of their own (job_environment.py)."""


def make(settings: Settings) -> JobExecutor:
    """The executor that `settings.executor` names: a built-in one or a plug-in.

    Raises:
        UsageError: nobody provides that name, or the plug-in that does is broken (which is logged).
    """
    name = settings.executor
    made_with = _made_with() if name == os.environ.get("PARASCHUT_EXECUTOR") else {}
    if isinstance(made_with, str):
        from .absent import AbsentExecutor

        return AbsentExecutor(made_with)
    return _built_in(name, settings, **made_with) if name in BUILT_IN else _plug_in(name, settings)


def _built_in(name: str, settings: Settings, **arguments: Any) -> JobExecutor:
    executor: JobExecutor = _built_in_class(name)(settings=settings, **arguments)
    return executor


def _built_in_class(name: str) -> Any:
    module, attribute = BUILT_IN[name]
    return getattr(importlib.import_module(module), attribute)


def _made_with() -> dict[str, Any] | str:
    """What the executor was made with that submitted the job in which this process runs."""
    text = os.environ.get(ARGUMENTS_VARIABLE)
    if not text:
        return {}
    import json

    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, (dict, str)):
        raise UsageError(f"{ARGUMENTS_VARIABLE} is {text!r:.100}, which Paraschut did not write: unset it.")
    return found


def variables_for(executor: JobExecutor, settings: Settings, *, given: bool) -> dict[str, str]:
    """What a job must find in its environment to submit others by the same executor.

    Args:
        given: the executor is an object of the user's, not the one that the settings name.
    """
    import json

    built_in = executor.name in BUILT_IN
    made_with: dict[str, Any] | str | None = {}
    if built_in and type(executor) is _built_in_class(executor.name):
        made_with = executor.made_with()
    elif given and not (executor.of_settings or _is_the_plug_in(executor, settings.executor)):
        made_with = None
    return {
        "PARASCHUT_EXECUTOR": executor.name if built_in else settings.executor,
        ARGUMENTS_VARIABLE: ""
        if made_with == {}
        else json.dumps(executor.backend_id if made_with is None else made_with, default=str),
    }


def _is_the_plug_in(executor: JobExecutor, name: str) -> bool:
    from importlib.metadata import entry_points

    kind = f"{type(executor).__module__}:{type(executor).__qualname__}"
    return any(point.value == kind for point in entry_points(group=ENTRY_POINTS, name=name))


def current_job_id() -> str | None:
    """The id of the job that this process runs in, whatever runs it, as its executor's poll shows it.

    Looks at the environment only; a plug-in alone is asked itself.
    """
    name = os.environ.get("PARASCHUT_EXECUTOR", "")
    if name in SCHEDULERS:
        from .job_environment import JOB_IDS  # not the executor's own module: every job asks this

        return JOB_IDS[name]()
    if name and name not in BUILT_IN:
        plug_in = _own_plug_in(name)
        return None if plug_in is None else plug_in.get_job_id()
    from .base import JOB_ID_VARIABLE

    return os.environ.get(JOB_ID_VARIABLE)


_plug_ins: dict[str, JobExecutor | None] = {}


def _own_plug_in(name: str) -> JobExecutor | None:
    """The plug-in that runs this process; None if it cannot be had: that must not keep a job from running."""
    if name not in _plug_ins:
        from ..config import load
        from ..errors import ParaschutError

        try:
            _plug_ins[name] = make(load())
        except ParaschutError:
            _plug_ins[name] = None
    return _plug_ins[name]


def current_job_summary() -> dict[str, object]:
    """The scheduler's record of the job that this process runs in; {} outside of any, or without one.

    A job at its end asks this: a scheduler in trouble must not fail it.
    """
    try:
        return _current_job_summary(os.environ.get("PARASCHUT_EXECUTOR", ""))
    except Exception as error:  # noqa: BLE001 - whatever is wrong, the job is done
        return {"error": str(error) or type(error).__name__}


def _current_job_summary(name: str) -> dict[str, object]:
    if not name or (name in BUILT_IN and name not in SCHEDULERS):
        job_id = current_job_id()
        if job_id is None:
            return {}
        from .usage import own_summary

        return own_summary(job_id)
    from ..config import load

    settings = load()
    # Of a scheduler's job, the scheduler tells, whatever object submitted it.
    executor = _built_in(name, settings) if name in SCHEDULERS else make(settings)
    return executor.get_job_summary()


def restart_count() -> int:
    """How often the scheduler itself started this submission anew (a requeue after a node's failure)."""
    name = os.environ.get("PARASCHUT_EXECUTOR", "")
    if name not in SCHEDULERS:
        return 0
    from .job_environment import RESTARTS

    return RESTARTS[name]()


def _takes_settings(plug_in: Callable[..., object]) -> bool:
    import inspect

    try:
        inspect.signature(plug_in).bind(settings=None)
    except TypeError:
        return False
    return True


def _plug_in(name: str, settings: Settings) -> JobExecutor:
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        known = ", ".join([*BUILT_IN, *sorted(found)])
        raise UsageError(f"There is no executor {name!r}. Known: {known}.")
    try:
        plug_in = found[name].load()
        executor = plug_in(settings=settings) if _takes_settings(plug_in) else plug_in()
    except Exception as error:  # whatever a plug-in does, it must not crash its user
        import logging

        logging.getLogger(__name__).exception("The executor plug-in %s is broken", name)
        raise UsageError(
            f"The executor plug-in {name} ({found[name].value}) is broken: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(executor, JobExecutor):
        raise UsageError(f"The executor plug-in {name} is no JobExecutor but {type(executor).__name__}.")
    executor.of_settings = True
    return executor
