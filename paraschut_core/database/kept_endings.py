"""What jobs say at their end while the database cannot take it: kept beside it, taken in by the next writer.

The files lie in a folder of their user's alone, FILE.results-UID. One file is one job's end, as JSON.
"""

from __future__ import annotations

import json
import os

from ..errors import DatabaseError, ParaschutError, UnknownJobError
from ..model import DONE_STATES, ExitInfo, JobInfo, JobKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .connection import Database

_LARGEST = 256 << 20
REFUSED = ".refused"
"""What the names of ends that are not valid any more end with."""


def folder_of(path: str) -> str:
    """Where the ends of this user's jobs are kept that the database at `path` could not take."""
    return f"{path}.results-{os.getuid()}"


def keep(
    path: str,
    key: JobKey,
    token: str,
    who: str,
    info: JobInfo | None = None,
    *,
    attempt: int = 0,
    ending: ExitInfo | None = None,
    chain: bool = False,
) -> str:
    """Keep a job's end beside the database, else where temporary files lie or at home; return the file.

    Args:
        path: the database.
        info: the job's metadata, which is complete; None: what is stored is.
        ending: how its command ended, where it is not complete.
        chain: what is next shall be submitted if it turns out to be complete.

    Raises:
        OSError, ParaschutError: it cannot be written anywhere.
    """
    from .jobs import COLUMN_FIELDS, pack_metadata

    content = {
        "paraschut": 1,
        "database": path,
        "BatchID": key.batch_id,
        "JobIndex": key.job_index,
        "token": token,
        "who": who,
        "attempt": attempt,
        "ending": None if ending is None else ending._asdict(),
        "chain": chain,
        "metadata": None if info is None else pack_metadata(info),
        "columns": {name: info[name] for name in (*COLUMN_FIELDS, "rev") if name in info} if info else {},
        "spawn": info is not None and "SpawnID" in info,
    }
    data = json.dumps(content, default=str).encode()
    name = f"{key.batch_id}_{key.job_index}_{os.urandom(4).hex()}.json"
    trouble: list[OSError | ParaschutError] = []
    for folder in (folder_of(path), os.environ.get("TMPDIR", "/tmp"), os.path.expanduser("~")):
        try:
            return write_private(folder, name, data)
        except (OSError, ParaschutError) as error:
            trouble.append(error)
    raise trouble[0]


def write_private(folder: str, name: str, data: bytes) -> str:
    """Write a file so that nobody sees half of it, for this user alone; return its path.

    Raises:
        OSError, ParaschutError: it cannot be written, or the folder of kept ends is not this user's.
    """
    if folder.endswith(f".results-{os.getuid()}"):
        from ..security.ownership import open_folder

        handle = open_folder(os.path.dirname(folder), os.path.basename(folder), make=True)
    else:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    half = f".{name}.{os.getpid()}"
    try:
        file = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=handle)
        try:
            with open(file, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(half, name, src_dir_fd=handle, dst_dir_fd=handle)
        except BaseException:
            os.unlink(half, dir_fd=handle)
            raise
    finally:
        os.close(handle)
    return os.path.join(folder, name)


def import_kept(db: Database) -> None:
    """Write the kept ends of this user's jobs into the database. Nothing that is wrong with them is raised.

    What is not valid any more (the job was reset, submitted again or removed) is set aside as FILE.refused.
    """
    from ..security.ownership import open_folder

    folder = folder_of(db.path)
    try:
        handle = open_folder(os.path.dirname(folder), os.path.basename(folder))
    except (OSError, ParaschutError):
        return  # none there, or not to be relied on
    try:
        for name in sorted(os.listdir(handle)):
            if name.endswith(".json") and not name.startswith("."):
                try:
                    _take(db, handle, name)
                    os.unlink(name, dir_fd=handle)
                except DatabaseError:
                    return  # the next one tries again
                except (ParaschutError, ValueError, TypeError, LookupError):
                    os.replace(name, name + REFUSED, src_dir_fd=handle, dst_dir_fd=handle)
    except OSError:
        return
    finally:
        os.close(handle)


def _take(db: Database, handle: int, name: str) -> None:
    from ..security.ownership import open_own
    from .events import read_ending_in, record_ending
    from .lifecycle import complete, require_current_attempt

    with open(open_own(name, os.O_RDONLY, folder=handle), "rb") as file:
        kept: Mapping[str, Any] = json.loads(file.read(_LARGEST))
    key = JobKey(int(kept["BatchID"]), int(kept["JobIndex"]))
    with db.transaction(str(kept["who"])) as tx:
        row = tx.connection.execute(
            "SELECT state, attempt FROM job WHERE BatchID = ? AND JobIndex = ?", key
        ).fetchone()
        if row is None:
            raise UnknownJobError(f"There is no job {key}.")
        require_current_attempt(tx, key, str(kept["token"]))
        if row[0] in DONE_STATES:
            return  # it was said already
        if kept["ending"] is not None:
            attempt = int(kept["attempt"])
            if read_ending_in(tx, key, attempt)[0] is None:
                record_ending(tx, key, attempt, ExitInfo(**kept["ending"]), chain=bool(kept["chain"]))
            return
        info = _info(tx, db, key, kept)
        complete(tx, db, key, info, by_job=True)


def _info(tx: Any, db: Database, key: JobKey, kept: Mapping[str, Any]) -> JobInfo:
    """The metadata that is kept, else what is stored."""
    from .lifecycle import current_info
    from .metadata_json import decode

    now = current_info(tx, db, key)
    if kept["metadata"] is None:
        return now
    info = {**decode(kept["metadata"], numpy=False), **kept["columns"]}
    if kept.get("spawn"):  # its own logs are not the job's
        info.update({field: now[field] for field in ("stdout", "stderr") if field in now})
    for field, kinds in (("priority", (int, float)), ("subtime", (int,))):
        if not isinstance(info.get(field), kinds):  # what cannot be one leaves what is stored as it is
            info[field] = now.get(field)
    return {**info, "BatchID": key.batch_id, "JobIndex": key.job_index, "attempt": now["attempt"]}
