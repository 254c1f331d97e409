"""Makes the example's project: its directory, configuration, database and batches."""

from __future__ import annotations

import json
import os
import shlex
import sys
import sysconfig
from typing import Any

from .. import config
from ..config import Settings
from ..database.changes import read_batches
from ..errors import ParaschutError, UsageError
from ..jobs.builder import add_jobs, template, write_whole
from ..jobs.command_template import Template, make_jobs
from ..model import JobInfo
from ..paths import absolute
from ..project import Project

MARK = "# Made by `paraschut demo`."
TOML = f"""{MARK}
executor = "local"

[poll]
interval = 2.0
"""
RESULT = "result.json"

MAP_PRIORITY, REDUCE_PRIORITY = 2, 1
WATCHED_SECONDS = 16.0
"""How long the job takes that is there to be watched."""

_SKIPPED = frozenset(
    (
        *("__pycache__", "ctypes", "dist-packages", "distutils", "encodings", "ensurepip", "idlelib"),
        *("lib-dynload", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "tkinter", "turtledemo"),
    )
)
_LARGEST = 400_000  # bytes: none of the library's own sources is larger


def make_project(folder: str, jobs: int) -> Settings:
    """The example's settings; its directory, database and batches are made if they are not there yet.

    Args:
        folder: an empty or new directory, or one that holds the example already.
        jobs: how many map jobs.

    Raises:
        UsageError: the directory holds something else.
    """
    folder = absolute(os.path.expanduser(folder))
    path = os.path.join(folder, config.FILE_NAME)
    _check_folder(folder, path)
    if not os.path.exists(path):
        write_whole(path, TOML.encode())
    # Read by itself: another project in the environment has no say here.
    settings = config.read(path)
    with Project(settings, create=True) as ws:
        ws.db.rows("SELECT rev FROM revision")
        if not read_batches(ws.db):
            infos = [*_identifiers(ws, jobs), *_imports(ws), *_lines(ws)]
            add_jobs(ws, infos)
    return settings


def _check_folder(folder: str, path: str) -> None:
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise UsageError(f"{folder} is not a directory; name another: paraschut demo DIR")
    try:
        used = os.path.isdir(folder) and bool(os.listdir(folder))
        if not used:
            return
        with open(path, encoding="utf-8") as file:
            ours = file.readline().startswith(MARK)
    except FileNotFoundError:
        ours = False
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder} cannot be used: {error}") from error
    if not ours:
        raise UsageError(f"{folder} is not empty and holds no example; name another: paraschut demo DIR")


# ------------------------------------------------------------------------------------ input


def source_folder() -> str:
    """Where the Python standard library's sources are."""
    return sysconfig.get_path("stdlib")


def source_files() -> list[str]:
    """The files that the pipeline reads, relative to source_folder, in order.

    Raises:
        UsageError: this Python has no sources.
    """
    source = source_folder()
    found = []
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(
            name for name in folders if name not in _SKIPPED and not name.startswith("config-")
        )
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(".py") and os.path.getsize(path) < _LARGEST:
                found.append(os.path.relpath(path, source))
    if not found:
        raise UsageError(f"There are no Python sources in {source}, which the example is to read.")
    return found


# ------------------------------------------------------------------------------------ batches


def _batch(ws: Project, name: list[str], batch_type: str) -> dict[str, Any]:
    """What the jobs of a new batch have in common; its folder is made."""
    info = template(ws, set_id=True)
    folder = ws.batch_dir(info["BatchID"])
    os.makedirs(folder, exist_ok=True)
    return {**info, "name": name, "batch_type": batch_type, "resources": {}, "cwd": folder, "folder": folder}


def _identifiers(ws: Project, jobs: int) -> list[JobInfo]:
    """The map-reduce: map jobs of a higher priority, and a reduce job that waits for all of them."""
    files = source_files()
    common = _batch(ws, ["python", "identifiers"], "map-reduce")
    map_script, reduce_script = (_installed(ws, name) for name in ("map.py", "reduce.py"))
    jobs = min(jobs, len(files))
    # The largest files are spread evenly, so that no job is much longer than another by chance.
    source = source_folder()
    by_size = sorted(files, key=lambda name: -os.path.getsize(os.path.join(source, name)))
    infos = []
    for index in range(jobs):
        infos.append(
            {
                **common,
                "JobIndex": index,
                "priority": MAP_PRIORITY,
                "script": _python(map_script),
                "source": source,
                "files": sorted(by_size[index::jobs]),
                "pause": 0,
            }
        )
    watched, failing = infos[jobs // 2], infos[jobs // 3]
    watched["pause"] = WATCHED_SECONDS / len(watched["files"])
    failing["archived"] = os.path.join(common["folder"], "archive", f"share_{failing['JobIndex']}.json")
    reduce: JobInfo = {
        **common,
        "JobIndex": jobs,
        "priority": REDUCE_PRIORITY,
        "script": _python(reduce_script),
        "maps": list(range(jobs)),
        "result": os.path.join(ws.job_dir, RESULT),
    }
    return [*infos, reduce]


def _installed(ws: Project, name: str) -> str:
    """A copy of a job's script in the project, where its user can read and change it."""
    path = os.path.join(ws.job_dir, "scripts", name)
    with open(os.path.join(os.path.dirname(__file__), "scripts", name), "rb") as file:
        write_whole(path, file.read())
    return path


def _python(script: str) -> str:
    return shlex.join([sys.executable, script])


def _imports(ws: Project) -> list[JobInfo]:
    """Plain commands, one for each package: what does it import most?"""
    source = source_folder()
    wanted = ("asyncio", "concurrent", "email", "http", "importlib", "json", "logging", "unittest", "xml")
    packages = [name for name in wanted if os.path.isdir(os.path.join(source, name))]
    return make_jobs(
        {**_batch(ws, ["python", "imports"], "commands"), "priority": 1},
        [
            {"JobIndex": index, "item": name, "package": os.path.join(source, name)}
            for index, name in enumerate(packages)
        ],
        Template(
            ["grep -rhE '^(import|from) ' --include='*.py' {package} | sort | uniq -c | sort -rn | head -5"]
        ),
    )


def _lines(ws: Project) -> list[JobInfo]:
    """Plain commands in two priorities: lines of files by first letter, then their sum."""
    source = source_folder()
    letters = sorted({name[0] for name in source_files() if os.sep not in name and name[0].isalpha()})[:8]
    common = _batch(ws, ["python", "lines"], "commands")
    counts = make_jobs(
        {**common, "priority": MAP_PRIORITY},
        [{"JobIndex": index, "item": letter, "source": source} for index, letter in enumerate(letters)],
        Template(["cat {source}/{item}*.py | wc -l | tee lines_{item}.txt"]),
        chain=True,
    )
    total = make_jobs(
        {**common, "priority": REDUCE_PRIORITY},
        [{"JobIndex": len(letters)}],
        Template(["cat lines_?.txt | awk '{{ n += $1 }} END {{ print n, \"lines\" }}' | tee total.txt"]),
        chain=True,
    )
    return [*counts, *total]


def read_result(settings: Settings) -> dict[str, Any]:
    """What the reduce job wrote. Raises ParaschutError."""
    path = os.path.join(settings.job_dir, RESULT)
    try:
        with open(path, encoding="utf-8") as file:
            result: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise ParaschutError(f"The pipeline's result {path} cannot be read: {error}") from error
    return result
