"""Paraschut: parallel job scheduling utilities.

The documented functions by name, each loaded when it is first used: every job on the cluster imports
this, and most need two of them.
"""

# No `from __future__` here: with `python -m` that would be looked for in the working directory.
import sys

if sys.argv[:1] == ["-m"] and not getattr(sys.flags, "safe_path", False):
    from .security.child_python import forget_working_directory

    forget_working_directory()

TYPE_CHECKING = False  # typing itself costs several milliseconds, at every job's start

__version__ = "0.7.0"

_API = (
    "add_batch_to_queue",
    "add_job_to_queue",
    "boost_batch_priority",
    "clean_temp_files",
    "clean_temp_folders",
    "generate_data",
    "generate_script",
    "get_job_info",
    "get_job_template",
    "get_qstat",
    "get_queue",
    "load_stored",
    "periodic_submitter",
    "print_log",
    "qdel_batch",
    "qdel_job",
    "remove_batch",
    "remove_batch_by_state",
    "set_batch_field",
    "set_complete",
    "set_job_field",
    "spawn_complete",
    "spawn_get_info",
    "spawn_resubmit",
    "spawn_submit",
    "submit_jobs",
    "submit_one_batch",
    "submit_one_job",
    "update_job",
    "wait_for_jobs",
)
_EXECUTORS = {
    "JobExecutor": "base",
    "LocalJobExecutor": "local",
    "SlurmJobExecutor": "batch.slurm",
    "SGEJobExecutor": "batch.sge",
    "PBSJobExecutor": "batch.pbs",
    "FileJobExecutor": "file",
}
_SETTINGS = {
    "QFile": "database",
    "JobDir": "job_dir",
    "DefQueue": "queue",
    "DefResource": "resources",
    "ServerHost": "submit_host",
    "LogOut": "log_out",
    "LogErr": "log_err",
    "TempFiles": "temp_files",
}
_FORMER_MODULES = ("config", "dal", "executor", "job_factory", "manage", "utils")
"""v0.6's modules, for scripts that name them: see compat."""

__all__ = [
    *_API,
    *_EXECUTORS,
    *_SETTINGS,
    "ClusterID",
    "LocalRun",
    "ParaschutError",
    "__version__",
]

if TYPE_CHECKING:
    from typing import Any

    from .api import (
        add_batch_to_queue as add_batch_to_queue,
        add_job_to_queue as add_job_to_queue,
        boost_batch_priority as boost_batch_priority,
        clean_temp_files as clean_temp_files,
        clean_temp_folders as clean_temp_folders,
        generate_data as generate_data,
        generate_script as generate_script,
        get_job_info as get_job_info,
        get_job_template as get_job_template,
        get_qstat as get_qstat,
        get_queue as get_queue,
        load_stored as load_stored,
        periodic_submitter as periodic_submitter,
        print_log as print_log,
        qdel_batch as qdel_batch,
        qdel_job as qdel_job,
        remove_batch as remove_batch,
        remove_batch_by_state as remove_batch_by_state,
        set_batch_field as set_batch_field,
        set_complete as set_complete,
        set_job_field as set_job_field,
        spawn_complete as spawn_complete,
        spawn_get_info as spawn_get_info,
        spawn_resubmit as spawn_resubmit,
        spawn_submit as spawn_submit,
        submit_jobs as submit_jobs,
        submit_one_batch as submit_one_batch,
        submit_one_job as submit_one_job,
        update_job as update_job,
        wait_for_jobs as wait_for_jobs,
    )
    from .errors import ParaschutError as ParaschutError
    from .executors.base import JobExecutor as JobExecutor
    from .executors.file import FileJobExecutor as FileJobExecutor
    from .executors.local import LocalJobExecutor as LocalJobExecutor
    from .executors.batch.pbs import PBSJobExecutor as PBSJobExecutor
    from .executors.batch.sge import SGEJobExecutor as SGEJobExecutor
    from .executors.batch.slurm import SlurmJobExecutor as SlurmJobExecutor

    ClusterID: str | None
    LocalRun: bool


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name in _API:
        value = getattr(import_module(".api", __name__), name)
    elif name in _EXECUTORS:
        value = getattr(import_module(f".executors.{_EXECUTORS[name]}", __name__), name)
    elif name == "ParaschutError":
        value = import_module(".errors", __name__).ParaschutError
    elif name == "ClusterID":
        return import_module(".in_job", __name__).cluster_id()
    elif name in _SETTINGS:
        setting = getattr(import_module(".in_job", __name__).settings(), _SETTINGS[name])
        if name == "DefResource" and setting is None:
            return dict(import_module(".executors.resources", __name__).TEMPLATE)
        return f"{setting.rstrip('/')}/" if name == "JobDir" else setting  # JobDir + "123/results" is a path
    elif name == "LocalRun":
        return import_module(".in_job", __name__).settings().executor == "local"
    elif name in _FORMER_MODULES:
        return import_module(f".{name}", __name__)
    elif name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    else:
        return import_module(".compat", __name__).names_of_package(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
