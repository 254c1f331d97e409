"""What a running job calls about itself. Every job imports this: it reads no configuration."""

from __future__ import annotations

import os
import sys
import time
from typing import NamedTuple

from . import exit_kinds
from .database import kept_endings
from .database.connection import Database, author_id
from .database.events import add_event, read_ending, record_ending
from .database.jobs import checked_id, read_info, write_info
from .database.lifecycle import JobProcess, complete, require_current_attempt, start
from .database.spawns import find_spawn, is_spawn_job, read_tokens, spawn_fields, start_spawn
from .errors import (
    ConflictError,
    DatabaseBusyError,
    DatabaseError,
    LibraryError,
    ParaschutError,
    StaleJobError,
    UsageError,
)
from .model import SPAWN, ExitInfo, JobInfo, JobKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .config import Settings

    _T = TypeVar("_T")

PAUSES = (1, 2, 5, 10, 30, 60, 120)
"""Seconds between a job's tries to write to a database in trouble; each waits for the lock for a minute."""


def database() -> Database:
    """The database that the job's environment names, else the one of the configuration."""
    path = os.environ.get("PARASCHUT_DB")
    who = author()
    if path:
        # The journal stays as whoever submits has chosen it, who has read the configuration.
        return Database(os.path.expanduser(path), who=who, journal=None)
    from .project import open_database

    return open_database(settings(), who=who)


def settings() -> Settings:
    """The settings in force; importing them costs more than most of a job's start."""
    from . import config

    return config.load()


def author() -> str:
    """This process, as events name it: user@host:pid, inside a job with its id."""
    job_id = cluster_id()
    return f"{author_id()} ({job_id})" if job_id else author_id()


def cluster_id() -> str | None:
    """The id of the job that this process runs in, as the scheduler's list shows it; None outside."""
    from .executors import current_job_id

    return current_job_id()


def current_job_key() -> JobKey | None:
    """The job that this process runs, where its environment tells."""
    batch_id, index = os.environ.get("PARASCHUT_BATCH_ID"), os.environ.get("PARASCHUT_JOB_INDEX")
    if not batch_id or not index:
        return None
    try:
        return JobKey(int(batch_id), int(index))
    except ValueError:
        return None


def resolve_job_key(batch_id: object, job_index: object) -> JobKey:
    """The job that is meant: the given one, with what is left out taken from the environment.

    Raises:
        UsageError: something is left out and this process runs no job.
    """
    own = current_job_key()
    if batch_id is not None:
        batch_id = checked_id(batch_id)
    elif own is not None:
        batch_id = own.batch_id
    if job_index is None and own is not None and batch_id == own.batch_id:
        job_index = own.job_index
    if batch_id is None or job_index is None:
        raise UsageError("Which job? Give BatchID and JobIndex (they may be left out only inside a job).")
    return JobKey(checked_id(batch_id), checked_id(job_index, "JobIndex"))


def own_token(key: JobKey) -> str | None:
    """The token of this process's submission, if it is one of job `key`."""
    return os.environ.get("PARASCHUT_TOKEN") if current_job_key() == key else None


def retry_database(
    call: Callable[[], _T],
    trouble: tuple[type[DatabaseError], ...],
    pause: Callable[[float], object] = time.sleep,
) -> _T:
    """Call again while the database is in such trouble: what hours have computed is not lost lightly.

    At a job's end that is any trouble: a file that is no database now may be one that is being restored.
    """
    for seconds in PAUSES:
        try:
            return call()
        except LibraryError:
            raise
        except trouble as error:
            from .sanitize import complain

            complain(f"{error} Trying again in {seconds} s.")
            pause(seconds)
    return call()


def retry_on_start(call: Callable[[], _T]) -> _T:
    """Call what a job says when it starts: inside a job, with patience for a locked database."""
    return retry_database(call, (DatabaseBusyError,)) if current_job_key() is not None else call()


def retry_on_end(call: Callable[[], _T], keep: Callable[[], str] | None = None) -> _T:
    """Call what a job says of its result: inside a job, with patience for a database in any trouble (locked,
    the disk full, a file server away); there is nobody who would repeat it.

    Args:
        keep: keeps the result in a file, whatever else fails (a package that was replaced while the job
            ran); returns its path.

    Raises:
        ParaschutError: it was not said; the message names the file that keeps the result.
    """
    if current_job_key() is None:
        return call()
    try:
        return retry_database(call, (DatabaseError,))
    except ConflictError:
        raise  # another attempt has taken its place
    except Exception as error:
        if keep is None:
            raise
        message = f"{error or type(error).__name__} {kept_in(keep)}"
        raise (type(error) if isinstance(error, ParaschutError) else ParaschutError)(message) from error


def kept_in(keep: Callable[[], str]) -> str:
    """Keep a result; report where."""
    try:
        path = keep()
    except Exception as error:  # noqa: BLE001 - the first error counts
        return f"The result of the job could not be kept in a file either: {error}"
    said = f"The result of the job is kept in {path}"
    if os.path.dirname(path).endswith(f".results-{os.getuid()}"):
        return f"{said}: the next command that writes to the database takes it."
    return (
        f"{said}. Move it into the folder DATABASE.results-{os.getuid()}, beside the database (yours alone: "
        "mode 700), and the next command that writes to the database takes it."
    )


def keep_result(db: Database, key: JobKey, info: JobInfo | None) -> str:
    """Keep in a file that this process's job is complete; return its path."""
    return kept_endings.keep(db.path, key, _token_of(key), db.who, info)


class CommandEnd(NamedTuple):
    """How a command ended: its exit status, or the signal that ended it.

    `told_to_end` is the signal that came from outside to end it before that (None: none came).
    """

    status: int
    signal: int | None = None
    told_to_end: int | None = None

    @property
    def went_well(self) -> bool:
        return self.status == 0 and self.signal is None and self.told_to_end is None


def keep_exit(db: Database, key: JobKey, attempt: int, end: CommandEnd, *, chain: bool = False) -> str:
    """Keep in a file how the command of this process's job ended; see keep_result and record_exit."""
    ending = None if end.went_well else _exit_info(end)
    return kept_endings.keep(
        db.path, key, _token_of(key), db.who, attempt=attempt, ending=ending, chain=chain
    )


def _token_of(key: JobKey) -> str:
    token = own_token(key)
    if token is None:
        raise UsageError(f"this process is no submission of job {key}")
    return token


def settled(db: Database, key: JobKey, info: JobInfo) -> JobInfo:
    """The metadata, with each value that it cannot hold in a file of its own: nothing computed is lost.

    Raises:
        ParaschutError: such a file cannot be written anywhere.
    """
    from .database import pickled_values

    new, places = pickled_values.settle(
        info, pickled_values.writer(lambda: _folders(db, key), f"result_{key.job_index}")
    )
    if not places:
        return info
    from .sanitize import complain

    complain(
        f"job {key}: the metadata cannot hold {', '.join(places)}. It names the files with these values; "
        "read them with paraschut_core.load_stored."
    )
    return new


def _folders(db: Database, key: JobKey) -> list[str]:
    """Where values of a job that its metadata cannot hold may be stored, best first."""
    folders = [kept_endings.folder_of(db.path), os.environ.get("TMPDIR", "/tmp")]
    try:
        folders.insert(0, os.path.join(settings().job_dir, str(key.batch_id)))
    except Exception:  # noqa: BLE001 - a job at its end needs no configuration
        pass
    return folders


def load_the_end() -> None:
    """Load what a job needs at its end: by then its package may be replaced, removed or out of reach."""
    from . import sanitize
    from .database import pickled_values
    from .executors import usage
    from .security import ownership

    assert all((pickled_values, sanitize, ownership, usage))


def start_job(db: Database, key: JobKey, given_id: str | None = None, *, again: bool = False) -> JobInfo:
    """The start gate: the job becomes `run`, its ClusterID and hostname are recorded.

    Args:
        again: started by hand, a finished job may run once more.

    Raises:
        StaleJobError: this process is not the job's current submission: it must stop.
        UsageError: it is no submission at all, and the job is finished or in a queue.
    """
    from .executors import restart_count

    if current_job_key() is not None:
        load_the_end()
    token = own_token(key)
    # What the scheduler says is a task's id: scripts often know a part of it, or its other number.
    own = cluster_id() if token is not None or not given_id else None
    me = JobProcess(own or given_id, os.uname().nodename, token, restart_count(), own is None, again)
    with db.transaction() as tx:
        (state,) = tx.connection.execute(
            "SELECT coalesce(max(state), '') FROM job WHERE BatchID = ? AND JobIndex = ?", key
        ).fetchone()
        if state != SPAWN:
            return start(tx, db, key, me)
        spawn = start_spawn(tx, key, me)
        if spawn is None:
            raise StaleJobError(
                f"Job {key} must not start: it multiplied itself, and {me.cluster_id} is none of its spawns."
            )
    return {**read_info(db, key), **spawn_fields([spawn])}


def job_info(db: Database, key: JobKey, given_id: str | None = None, *, with_spawns: bool = True) -> JobInfo:
    """A job's metadata; for a spawn job also its spawns' fields: its own alone inside a spawn.

    Of a job that did not complete, `qstat` is what the scheduler last recorded of its latest attempt.
    """
    info = read_info(db, key)
    if "qstat" not in info and (ending := read_ending(db, key, info["attempt"])) and ending.record:
        info["qstat"] = dict(ending.record)
    if info["state"] == SPAWN and with_spawns:
        known = read_tokens(db, key)
        mine = current_job_key() == key
        token = own_token(key) if mine else None
        own = find_spawn(known, token, given_id or (cluster_id() if mine else None))
        info.update(spawn_fields([own] if own else [spawn for spawn, _ in known]))
    return info


def update_job(db: Database, info: JobInfo) -> None:
    """Write metadata back if nobody else changed it since it was read. Raises ConflictError.

    A user's own executor may write back what it is handed, as v0.6's did: without the variables that the job
    is told; and of a spawn nothing, for its id and logs are not the job's.
    """
    variables = info.get("vars")
    if isinstance(variables, dict) and "PARASCHUT_TOKEN" in variables:
        if "PARASCHUT_SPAWN_ID" in variables:
            return
        own = {name: value for name, value in variables.items() if not name.startswith("PARASCHUT_")}
        stored = {**info, "vars": own}
        if not own:
            del stored["vars"]
        update_job(db, stored)
        info["rev"] = stored["rev"]
        return
    by_itself = current_job_key() == (info.get("BatchID"), info.get("JobIndex"))
    with db.transaction() as tx:
        write_info(tx, info, why="update_job", quiet=by_itself)


def complete_job(db: Database, key: JobKey, info: JobInfo | None) -> JobInfo:
    """Store a job's metadata (default: what is stored) with state `complete` and the scheduler's record.

    Raises:
        StaleJobError, ConflictError: another attempt is the current one by now.
    """
    from .executors import current_job_summary

    token = own_token(key)
    if info is None:
        info = read_info(db, key)
    info["qstat"] = current_job_summary()
    with db.transaction() as tx:
        if token is not None:
            require_current_attempt(tx, key, token)
        stored = complete(tx, db, key, info, by_job=token is not None)
    info.clear()
    info.update(stored)
    return info


def record_exit(db: Database, key: JobKey, attempt: int, end: CommandEnd, *, chain: bool = False) -> None:
    """Record how this attempt's command ended without completing the job.

    Args:
        chain: what is next shall be submitted if this turns out to be complete.
    """
    ending = _exit_info(end)
    token = own_token(key)
    with db.transaction() as tx:
        if token is not None:
            require_current_attempt(tx, key, token)
        if is_spawn_job(tx, key):  # it has not ended with one of its processes
            add_event(tx, key, attempt, None, None, f"a spawn ended: {ending.reason}")
        else:
            record_ending(tx, key, attempt, ending, chain=chain)


def _exit_info(end: CommandEnd) -> ExitInfo:
    import signal as signals

    status, signal, told_to_end = end
    number, kind, confirmed = signal, exit_kinds.EXIT, True
    limit = cpu_limit()
    if limit is not None and signals.SIGXCPU in (signal, told_to_end) and (signal or status == 0):
        reason = f"CPU time limit {limit // 3600:02}:{limit // 60 % 60:02}:{limit % 60:02} (cput)"
        number, kind = int(signals.SIGXCPU), exit_kinds.CPU_LIMIT
    elif signal is not None:
        reason = f"killed by signal {signal} ({exit_kinds.signal_name(signal)})"
        kind = exit_kinds.SIGNAL
    elif status == 0 and told_to_end is not None:
        name = exit_kinds.signal_name(told_to_end)
        reason = f"exit status 0 after {name}, which is no proof that it is complete"
        number, kind, confirmed = told_to_end, exit_kinds.SIGNAL, False
    else:
        reason = f"exit status {status}"
    return ExitInfo(
        reason,
        None if signal else status,
        number,
        os.uname().nodename,
        kind=kind,
        source=exit_kinds.WRAPPER,
        confirmed=confirmed,
    )


def cpu_limit() -> int | None:
    """The seconds of CPU time that each process here may use; None: as many as it likes."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_CPU)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def submit_what_is_next() -> None:
    """Submit what the priority rules allow now. The job that asks is complete: nothing may fail it."""
    try:
        from .project import Project
        from .scheduling.submission import submit_next

        with Project(settings(), who=author()) as ws:
            report = submit_next(ws, by_itself=True)
        print(f"max jobs: {report.max_jobs}\nin queue: {report.in_queue}\nsubmitted: {report.submitted}")
    except Exception as error:  # noqa: BLE001 - an executor that somebody wrote may raise anything
        if not isinstance(error, ParaschutError):
            import traceback

            traceback.print_exc()
        print(f"paraschut: the next jobs were not submitted: {error}", file=sys.stderr)
