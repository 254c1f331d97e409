"""Builds jobs: templates, scripts, data files, and their entry into the index."""

from __future__ import annotations

import os
import string
import time
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from typing import Any

from ..database.connection import Database, Transaction
from ..database.jobs import checked_id, insert_jobs, next_batch_id, next_index, require_new
from ..errors import DatabaseError, ParaschutError, ScriptError, UsageError
from ..executors.resources import TEMPLATE
from ..model import INIT, JobInfo, JobKey
from ..moved_projects import note_place
from ..project import Project

_last: dict[str, float] = {}


def new_batch_id(db: Database) -> int:
    """A BatchID that nobody has: the local time as YYYYMMDDHHMMSS, or the next free second.

    The database remembers what was given out, so that no other process gets it too. Where it cannot be
    written to, that holds for this process alone (and adding the batch twice is refused).
    """
    try:
        with db.transaction() as tx:
            chosen, at = next_batch_id(tx, _last.get(db.path, 0.0))
    except DatabaseError:
        chosen, at = _second_after(_last.get(db.path, 0.0))
    _last[db.path] = at
    return chosen


def _second_after(last: float) -> tuple[int, float]:
    seconds = max(time.time(), last + 1)
    return int(time.strftime("%Y%m%d%H%M%S", time.localtime(seconds))), seconds


def template(ws: Project, *, set_id: bool = False) -> JobInfo:
    """A job's smallest metadata, as the settings make it; with `set_id` under a new BatchID."""
    settings = ws.settings
    info: JobInfo = {
        "BatchID": None,
        "JobIndex": None,
        "priority": 1,
        "name": ["human", "genome_map"],
        "batch_type": "foo",
        "data": None,
        "script": "",
        "queue": settings.queue,
        "resources": dict(TEMPLATE if settings.resources is None else settings.resources),
        "state": INIT,
    }
    info.update(settings.job_template)
    if set_id:
        info["BatchID"] = new_batch_id(ws.db)
    return info


class _Fields(string.Formatter):
    """`{field}` from a job's metadata; parts of it by [key], nothing by attribute."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if "." in field_name.partition("[")[0]:
            raise KeyError(field_name)
        return super().get_field(field_name, args, kwargs)


def fill_in(text: str, info: Mapping[str, Any], where: str) -> str:
    """`text` with every {field} replaced from `info`; {{ and }} are literal braces.

    Raises:
        ScriptError: an unknown field or a stray brace; names `where` it is.
    """
    try:
        return _Fields().vformat(text, (), info)
    except (KeyError, IndexError) as error:
        name = error.args[0] if error.args else error
        raise ScriptError(
            f"{where}: there is no field {{{name}}} in the job's metadata. "
            "Add the field, or write {{ and }} for literal braces."
        ) from error
    except (ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ScriptError(
            f"{where}: {error or 'too long'}. Write {{{{ and }}}} for literal braces."
        ) from error


def generate_script(ws: Project, info: JobInfo, template_path: str | None = None) -> JobInfo:
    """Fill a script or command-line template; see api.generate_script."""
    source = info.get("script") if template_path is None else template_path
    if not isinstance(source, str) or not source.strip():
        raise ScriptError("There is no script: set JobInfo['script'] or pass Template.")
    if not os.path.isfile(source):
        info["script"] = fill_in(source, info, f"the command line {source!r}")
        return info
    batch_id = checked_id(info.get("BatchID"))
    index = checked_id(info.get("JobIndex"), "JobIndex")
    stem, extension = os.path.splitext(os.path.basename(source))
    own = f"_{batch_id}_{index}"
    target = os.path.join(ws.batch_dir(batch_id), f"{stem}{own}{extension}")
    if stem.endswith(own) and os.path.realpath(source) == os.path.realpath(
        os.path.join(ws.batch_dir(batch_id), os.path.basename(source))
    ):
        raise ScriptError(
            f"{source} is the script that generate_script itself made for job {batch_id}/{index}; "
            "pass the template that it was made from."
        )
    try:
        with open(source, encoding="utf-8") as file:
            lines = file.readlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"Cannot read the script template {source}: {error}") from error
    text = "".join(fill_in(line, info, f"{source}, line {n}") for n, line in enumerate(lines, 1))
    try:
        content = text.encode(
            "utf-8", "surrogateescape"
        )  # bytes of file names that are no UTF-8 come back so
    except UnicodeEncodeError as error:
        raise ScriptError(f"The script made from {source} cannot be encoded: {error}") from error
    write_whole(target, content, mode=0o755)
    info["script"] = target
    return info


def generate_data(ws: Project, info: JobInfo, data: object) -> JobInfo:
    """Save `data` as the job's data file; see api.generate_data."""
    import pickle

    batch_id = checked_id(info.get("BatchID"))
    index = checked_id(info.get("JobIndex"), "JobIndex")
    target = os.path.join(ws.batch_dir(batch_id), f"data_{index}.pkl")
    try:
        blob = pickle.dumps(data, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(f"The data of job {batch_id}/{index} cannot be pickled: {error}") from error
    write_whole(target, blob)
    info["data"] = target
    return info


def write_whole(path: str, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that nobody ever sees half of it; make its folder; the umask applies."""
    temporary = f"{path}.{os.urandom(6).hex()}.tmp"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise ParaschutError(f"Cannot write {path}: {error.strerror or error}") from error


def add_jobs(
    ws: Project,
    infos: MutableSequence[JobInfo],
    *,
    set_index: bool = False,
    build_script: bool = False,
    new_batch: int | None = None,
) -> None:
    """Put jobs into the index, all or none; their `rev` (and `JobIndex`) is set in the given dicts.

    Args:
        infos: the jobs' metadata.
        set_index: number the jobs of each batch on from its highest JobIndex.
        build_script: run generate_script on each.
        new_batch: all jobs must be of this batch, and it must be new.
    """
    if new_batch is not None:
        for info in infos:
            if info.get("BatchID") != new_batch:
                raise UsageError(
                    f"Some jobs do not match BatchID={new_batch}: "
                    f"job {info.get('JobIndex')} has BatchID {info.get('BatchID')}. Nothing was added."
                )
    if not infos:
        raise UsageError("There are no jobs to add.")
    # All in one transaction: nobody else takes the numbers meanwhile, and no script of a job that is there
    # already is written over before that comes out.
    with ws.db.transaction() as tx:
        if set_index:
            _set_indices(tx, infos)
        if build_script:
            require_new(tx, [job_key(info) for info in infos], new_batch)
            for info in infos:
                generate_script(ws, info)
        insert_jobs(tx, infos, new_batch=new_batch)
        note_place(tx, ws.job_dir)
        rev = tx.rev
    for info in infos:
        info["rev"] = rev
        info["attempt"] = 0


def _set_indices(tx: Transaction, infos: Iterable[JobInfo]) -> None:
    following: dict[int, int] = {}
    for info in infos:
        batch_id = checked_id(info.get("BatchID"))
        if batch_id not in following:
            following[batch_id] = next_index(tx, batch_id)
        info["JobIndex"] = following[batch_id]
        following[batch_id] += 1


def job_key(info: Mapping[str, Any]) -> JobKey:
    """The key of a job's metadata. Raises UsageError."""
    return JobKey(checked_id(info.get("BatchID")), checked_id(info.get("JobIndex"), "JobIndex"))
