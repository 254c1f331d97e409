"""The modules of v0.6 and the names in them that scripts use; each use gives a DeprecationWarning.

`config`, `dal`, `executor`, `job_factory`, `manage` and `utils` can be imported as in v0.6, and are
attributes of the package. They hold

- the documented functions, executors and settings, where v0.6 had them;
- what is defined below: v0.6's helpers in today's terms;
- nothing else of v0.6: what was private there, or packed and unpacked its database, has no successor.

Nothing of Paraschut itself uses them, and no job loads them unless its script does.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from . import api
from .model import JobInfo
from .v06_arguments import warn

# ------------------------------------------------------------------------------------ dal


def open_db(db_connection: sqlite3.Connection | None = None) -> sqlite3.Connection:
    """A connection of one's own to the database, or the one that is given."""
    if db_connection is not None:
        return db_connection
    from .in_job import settings

    return sqlite3.connect(settings().database, timeout=60.0)


def close_db(conn: sqlite3.Connection, db_connection: sqlite3.Connection | None = None) -> None:
    """Commit and close a connection, unless it is the one that was given to open_db."""
    if db_connection is None:
        conn.commit()
        conn.close()


def get_batch_info(BatchID: int | str, db_connection: object = None) -> list[JobInfo]:
    """The metadata of all jobs of a batch, by JobIndex. Raises UnknownJobError."""
    from .database.jobs import checked_id, read_batch_infos
    from .in_job import database

    with database() as db:
        return read_batch_infos(db, checked_id(BatchID))


def get_job_indices(BatchID: int | str, db_connection: object = None) -> list[int]:
    """The JobIndex of each job of a batch. Raises UnknownJobError."""
    return [info["JobIndex"] for info in get_batch_info(BatchID)]


def update_batch(batch: Iterable[JobInfo], db_connection: object = None) -> None:
    """update_job for each of these jobs."""
    for info in batch:
        api.update_job(info)


def get_internal_ids(JobInfo: JobInfo, fields: Sequence[str] = ("submit_id", "ClusterID")) -> list[str]:
    """The ids of a job in its scheduler's queue, each once."""
    return list(
        dict.fromkeys(id_ for field in fields if field in JobInfo for id_ in make_iter(JobInfo[field]))
    )


def remove_internal_id(
    JobInfo: JobInfo, jid: str | Iterable[str], fields: Sequence[str] = ("submit_id", "ClusterID")
) -> None:
    """Drop ids from a job's metadata (update_job writes that)."""
    gone = set(make_iter(jid))
    for field in [field for field in fields if field in JobInfo]:
        left = [id_ for id_ in make_iter(JobInfo[field]) if id_ not in gone]
        if not left:
            del JobInfo[field]
        elif isinstance(JobInfo[field], list):
            JobInfo[field] = left


# ------------------------------------------------------------------------------------ utils


def get_time() -> int:
    """The local time as YYYYMMDDHHMMSS."""
    return int(time.strftime("%Y%m%d%H%M%S"))


def get_id() -> int:
    """A new BatchID."""
    return int(api.get_job_template(SetID=True)["BatchID"])


def make_iter(var: Any) -> Any:
    """An iterable as it is; a text, a dict or anything else alone in a list."""
    return var if isiterable(var) and not isinstance(var, (str, dict)) else [var]


def isiterable(p_object: object) -> bool:
    """Return whether it can be iterated over."""
    try:
        iter(p_object)  # type: ignore[call-overload]  # that is the question
    except TypeError:
        return False
    return True


def dict_append(dictionary: dict[Any, list[Any]], key: object, value: object) -> None:
    """Append to the list under a key, which is made if it is not there."""
    dictionary.setdefault(key, []).append(value)


def get_log_paths(
    JobInfo: JobInfo, replace: Mapping[str, str] | None = None, prev_stdout: object = None
) -> tuple[str, str]:
    """Paths for stdout and stderr of a job's submission, their folder made.

    Inside an executor's `submit` they are those that the job's metadata name already.
    """
    from .project import Project
    from .scheduling.submission import log_paths

    if "PARASCHUT_TOKEN" in (JobInfo.get("vars") or {}):
        out, err = JobInfo["stdout"][-1], JobInfo["stderr"][-1]
    else:
        from .in_job import settings

        info = {"subtime": get_time(), **JobInfo}
        with Project(settings()) as ws:
            out, err = log_paths(ws, info, len(JobInfo.get("stdout") or []))
    for path in (out, err):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    return out, err


# ------------------------------------------------------------------------------------ executor


def update_fields(
    JobInfo: JobInfo, submit_id: str, Spawn: bool, OutFile: str | None, ErrFile: str | None
) -> None:
    """What an executor's own `submit` calls at its end: puts the id into the metadata, and stores them."""
    JobInfo["submit_id"] = submit_id
    if Spawn:
        JobInfo["state"] = "spawn"
    else:
        JobInfo["state"] = "submit"
        for stream, path in (("stdout", OutFile), ("stderr", ErrFile)):
            if path is not None and JobInfo.get(stream, [])[-1:] != [path]:
                dict_append(JobInfo, stream, path)
        JobInfo.pop("ClusterID", None)
        JobInfo.pop("qstat", None)
    api.update_job(JobInfo)


# ------------------------------------------------------------------------------------ manage


def get_sql_queue(Filter: str = "", db_connection: object = None) -> dict[int, list[JobInfo]]:
    """All jobs' metadata by batch, or of those that match the Filter."""
    return api.get_queue(Verbose=False, Filter=Filter) or {}


# ------------------------------------------------------------------------------------ names

_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "config": (),
    "dal": ("get_job_info", "print_log", "spawn_get_info", "update_job"),
    "executor": (),
    "job_factory": (
        "add_batch_to_queue",
        "add_job_to_queue",
        "clean_temp_files",
        "clean_temp_folders",
        "generate_data",
        "generate_script",
        "get_job_template",
        "remove_batch",
        "remove_batch_by_state",
    ),
    "manage": (
        "boost_batch_priority",
        "get_qstat",
        "get_queue",
        "periodic_submitter",
        "qdel_batch",
        "qdel_job",
        "set_batch_field",
        "set_complete",
        "set_job_field",
        "spawn_complete",
        "spawn_resubmit",
        "spawn_submit",
        "submit_jobs",
        "submit_one_batch",
        "submit_one_job",
    ),
    "utils": (),
}
"""The documented functions, by v0.6's modules."""

_SETTINGS = (
    "QFile",
    "JobDir",
    "DefQueue",
    "DefResource",
    "ServerHost",
    "LogOut",
    "LogErr",
    "TempFiles",
    "LocalRun",
)

_EXECUTORS = (
    "JobExecutor",
    "PBSJobExecutor",
    "SGEJobExecutor",
    "SlurmJobExecutor",
    "LocalJobExecutor",
    "FileJobExecutor",
)

_HELPERS: dict[str, tuple[Callable[..., Any], ...]] = {
    "dal": (
        open_db,
        close_db,
        get_batch_info,
        get_job_indices,
        update_batch,
        get_internal_ids,
        remove_internal_id,
    ),
    "executor": (update_fields,),
    "manage": (get_sql_queue,),
    "utils": (get_time, get_id, make_iter, isiterable, dict_append, get_log_paths),
}
"""v0.6's own helpers, defined above."""


def _default_executor() -> object:
    from .executors import make
    from .in_job import settings

    return make(settings())


def _write_tries() -> int:
    from .in_job import settings

    return max(int(settings().write_timeout / 3), 1)


def _cluster_executor() -> object:
    from .executors.batch.base import BatchExecutor

    return BatchExecutor


def _of_package(name: str) -> Callable[[], object]:
    return lambda: getattr(import_module(__package__), name)


_MADE: dict[str, dict[str, Callable[[], object]]] = {
    "config": {
        **{name: _of_package(name) for name in _SETTINGS},
        "WriteTries": _write_tries,
        "JobTemplate": api.get_job_template,
        "Hostname": lambda: os.uname().nodename,
        "hostname": lambda: os.uname().nodename,
    },
    "dal": {"QFile": _of_package("QFile")},
    "executor": {
        **{name: _of_package(name) for name in _EXECUTORS},
        "ClusterJobExecutor": _cluster_executor,
    },
    "manage": {"DefaultJobExecutor": _default_executor, "ClusterID": _of_package("ClusterID")},
}
"""What is found out or loaded when it is asked for."""


def names(module: str) -> list[str]:
    """The names of v0.6's module that there are."""
    helpers = (function.__name__ for function in _HELPERS.get(module, ()))
    return sorted({*_FUNCTIONS[module], *helpers, *_MADE.get(module, ())})


def former(module: str, name: str, depth: int = 2) -> Any:
    """What a name of v0.6's module means today, with a warning at the line that asks.

    Args:
        depth: how many calls above this one that line is.

    Raises:
        AttributeError: the module had no such name, or none that has a meaning today.
    """
    if name not in names(module):
        raise AttributeError(f"module {__package__ + '.' + module!r} has no attribute {name!r}")
    today = f"paraschut_core.{name}"
    value: Any
    if name in _FUNCTIONS[module]:
        value = getattr(api, name)
    elif name in _MADE.get(module, {}):
        value = _MADE[module][name]()
    else:
        value = next(function for function in _HELPERS[module] if function.__name__ == name)
        today = f"paraschut_core.compat.{name}, or better the documented functions"
    warn(f"paraschut_core.{module}.{name} is of version 0.6; use {today}", depth + 1)
    return value


def names_of_package(name: str) -> Any:
    """A name of v0.6 that scripts took from the package itself. Raises AttributeError."""
    for module, functions in _HELPERS.items():
        if any(function.__name__ == name for function in functions):
            return former(module, name, depth=3)
    for module in ("manage", "config"):
        if name in _MADE[module]:
            return former(module, name, depth=3)
    raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
