"""The documented functions, in the documented spelling. Thin: each is a call of what does the work.

`B`, `BatchID` and `JobIndex` take one number or several, and digits as text for a number; where a function
takes `B`, what get_queue returned will do as well. `Executor=None` means the one that the configuration
names. `takes` names the arguments of v0.6, in its order: those that a function here does not have are
ignored.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .v06_arguments import takes

if TYPE_CHECKING:
    from .actions import ActionReport, CleanReport
    from .executors.base import JobExecutor
    from .model import BatchJobs, JobInfo, JobKey
    from .project import Project

    Id = int | str
    One = Id | None
    Many = Id | Iterable[Id]
    Batches = Id | Iterable[Id] | BatchJobs

RESET: Mapping[str, Any] = {"state": "init"}
UNLESS_DONE: Mapping[str, Any] = {"state": ["complete", "collected"]}


def _key(BatchID: object, JobIndex: object) -> JobKey:
    """The job of these numbers. Raises UsageError."""
    from .database.jobs import checked_id
    from .model import JobKey

    return JobKey(checked_id(BatchID), checked_id(JobIndex, "JobIndex"))


def _numbered(JobInfo: JobInfo) -> JobInfo:
    """The same metadata, its BatchID and JobIndex made numbers if they are digits."""
    from .database.jobs import numbered

    return numbered(JobInfo)


def _as_jobs(jobs: JobInfo | Iterable[JobInfo]) -> list[JobInfo]:
    """One job's metadata or any iterable of several jobs', as a list."""
    return [_numbered(info) for info in ([jobs] if isinstance(jobs, dict) else jobs)]


def _workspace(Executor: JobExecutor | None = None, *, create: bool = False) -> Project:
    from . import config
    from .in_job import author
    from .project import Project

    return Project(config.load(), Executor, create=create, who=author())


# ------------------------------------------------------------------------------------ monitoring


def get_queue(
    Verbose: bool = True,
    ResetMissing: bool = False,
    ReportMissing: bool = False,
    Display: Iterable[str] | None = None,
    Filter: str = "",
    Executor: JobExecutor | None = None,
) -> BatchJobs | None:
    """Report the state of all jobs.

    Args:
        Verbose: True (default) prints the report, or shows it as a table in a Jupyter notebook; False prints
            nothing and returns the jobs.
        ResetMissing: set the missing jobs back to `init` and remove their temporary folders; default False.
        ReportMissing: also print the stderr of the missing jobs; default False.
        Display: the states to show, as text or several texts; default None: all. It hides the others and
            changes no totals.
        Filter: a condition on the jobs, in SQLite's syntax, or words as in the dashboard
            (`state:missing exit:137`); default '': all jobs.
        Executor: the executor whose queue is asked; default None: the one that the configuration names.

    Returns:
        With Verbose=False {BatchID: [JobInfo, ...]}, else None.

    Raises:
        FilterError: the condition cannot be evaluated.

    Example:
        >>> psu.get_queue(Filter='name LIKE "%map%" AND priority > 1')
        >>> failed = psu.get_queue(Verbose=False, Filter='state = "run"')
    """
    from .actions import reset_missing
    from .reporting import notebook
    from .reporting.queue_report import lines_of, read_queue

    with _workspace(Executor) as ws:
        queue = read_queue(ws, Filter)
        lost = queue.missing()
        if Verbose:
            display = None if Display is None else {Display} if isinstance(Display, str) else set(Display)
            if not notebook.show(queue, display):
                for line in lines_of(queue, display):
                    print(line)
            if ReportMissing and lost:
                print("\nerror logs for missing jobs:\n")
                for infos in lost.values():
                    _print_logs(infos, "stderr", [-1], None, None)
        if ResetMissing:
            reset_missing(ws, queue.stamps())
    return None if Verbose else queue.jobs


def print_log(
    BatchID: Many,
    JobIndex: Many,
    LogKey: str = "stdout",
    LogIndex: int | Iterable[int] = -1,
    Lines: Iterable[int] | None = None,
    RegEx: str | None = None,
) -> None:
    """Print logs of jobs.

    Args:
        BatchID: one BatchID or several.
        JobIndex: one JobIndex or several, of each of these batches.
        LogKey: "stdout" (default) or "stderr".
        LogIndex: which submission's log, one number or several: 0 is the first, -1 (default) the last. Of a
            job that multiplied itself: which spawn's, while the spawns run and afterwards.
        Lines: the line numbers to print, from 0, e.g. range(10); default None: all.
        RegEx: print only lines in which this regular expression is found; default None: all.

    Raises:
        UnknownJobError: there is no such job.
        SearchAbortedError: the regular expression takes too long on a line.

    Example:
        >>> psu.print_log(20250101120000, range(3), LogKey="stderr", RegEx="Error")
    """
    from .reporting.queue_report import as_list, read_logged

    with _workspace() as ws:
        for batch in as_list(BatchID):
            for index in as_list(JobIndex):
                info = read_logged(ws.reader, _key(batch, index))
                _print_logs([info], LogKey, as_list(LogIndex), Lines, RegEx)


def _print_logs(
    infos: Iterable[JobInfo],
    stream: str,
    indices: Iterable[int],
    lines: Iterable[int] | None,
    pattern: str | None,
) -> None:
    from .reporting.queue_report import log_lines

    wanted = None if lines is None else list(lines)
    for info in infos:
        for index in indices:
            for line in log_lines(info, stream, index, wanted, pattern):
                print(line)


@takes(
    "BatchID JobIndex SetID ClusterID db_connection enforce_unique_job ignore_spawn HoldFile",
)
def get_job_info(
    BatchID: One = None,
    JobIndex: One = None,
    SetID: bool = False,
    ClusterID: str | None = None,
    ignore_spawn: bool = False,
) -> JobInfo:
    """Return all metadata of a job.

    Args:
        BatchID: the job's batch; default None: inside a job, that job's own.
        JobIndex: the job's number in its batch; default None: inside a job, its own.
        SetID: True means that this process is the job: record its ClusterID and hostname, and set state
            `run`; default False.
        ClusterID: the scheduler id that it runs under; default None: what its environment says.
        ignore_spawn: leave the spawns' fields out; default False.

    Returns:
        The metadata, a dict. Give it to update_job or set_complete to store changes.

    Raises:
        UnknownJobError: there is no such job.
        StaleJobError: with SetID: another process than this one is the job's current submission.

    Example:
        >>> job = psu.get_job_info(SetID=True)  # in a job's script
        >>> job["data"]
    """
    from . import in_job

    with in_job.database() as db:
        key = in_job.resolve_job_key(BatchID, JobIndex)
        if SetID:
            return in_job.retry_on_start(lambda: in_job.start_job(db, key, ClusterID))
        return in_job.job_info(db, key, ClusterID, with_spawns=not ignore_spawn)


def get_qstat(ClusterID: str | None = None, Executor: JobExecutor | None = None) -> dict[str, Any]:
    """Return the scheduler's record of one job.

    Args:
        ClusterID: the job's id in the scheduler; default None: the job in which this process runs.
        Executor: the executor that is asked; default None: the one that the configuration names.

    Returns:
        The record, a dict of the scheduler's own fields; {} where there is none.

    Example:
        >>> psu.get_qstat().get("queue")
    """
    if ClusterID is None and Executor is None:
        from .executors import current_job_summary

        return current_job_summary()
    with _workspace(Executor) as ws:
        return ws.executor.get_job_summary(ClusterID)


# ------------------------------------------------------------------------------------ submitting


@takes("Executor MaxJobs MinPrior ForceSubmit Filter", ignored="ForceSubmit")
def submit_jobs(
    Executor: JobExecutor | None = None,
    MaxJobs: int | None = None,
    MinPrior: float = 0,
    ForceSubmit: bool = False,
    Filter: str = "",
) -> None:
    """Submit the jobs that the priority rules allow next, and print how many.

    Args:
        Executor: the executor to submit with; default None: the one that the configuration names.
        MaxJobs: the most jobs in the queue, those there already included; default None: the first line of
            JobDir/maxjobs, else the setting submit.max_jobs (1000).
        MinPrior: leave out batches of lower priority; default 0: leave out none.
        ForceSubmit: of version 0.6, without effect: there is no lock file to ignore.
        Filter: submit only jobs that match this condition or these words; default '': all.

    Raises:
        SchedulerError: the scheduler does not answer; nothing was submitted.
        FilterError: the condition cannot be evaluated.

    Example:
        >>> psu.submit_jobs(MaxJobs=200)
    """
    _submit_next(MaxJobs, MinPrior, Executor, Filter)


def _submit_next(
    max_jobs: int | None,
    min_priority: float,
    executor: JobExecutor | None,
    condition: str,
    by_itself: bool = False,
) -> None:
    from .actions import failure_lines
    from .scheduling.submission import submit_next

    with _workspace(executor) as ws:
        report = submit_next(
            ws, max_jobs=max_jobs, min_priority=min_priority, condition=condition, by_itself=by_itself
        )
    for text in failure_lines(outcome for outcome in report.outcomes if outcome.id is None):
        print(text)
    print(f"max jobs: {report.max_jobs}\nin queue: {report.in_queue}\nsubmitted: {report.submitted}")


def submit_one_batch(
    BatchID: Batches, Executor: JobExecutor | None = None, SubCount: int = 0, MaxJobs: float = math.inf
) -> int:
    """Submit the group with the highest priority of a batch, or of several, and the batch's lost spawns.

    Args:
        BatchID: one BatchID, several, or what get_queue returned.
        Executor: the executor to submit with; default None: the one that the configuration names.
        SubCount: how many jobs were submitted before; default 0.
        MaxJobs: the most jobs to submit, SubCount included; default: no limit.

    Returns:
        SubCount plus the number of jobs submitted here.

    Raises:
        UnknownJobError: there is no such batch.
        SchedulerError: the scheduler does not answer; nothing was submitted.

    Example:
        >>> psu.submit_one_batch(20250101120000)
    """
    from .actions import batch_ids, submit_batches

    with _workspace(Executor) as ws:
        report = submit_batches(ws, batch_ids(BatchID), MaxJobs - SubCount)
    _say_not_submitted(report)
    return SubCount + sum(outcome.processes for outcome in report.outcomes if outcome.ok)


def submit_one_job(
    BatchID: Id,
    JobIndex: Many,
    Executor: JobExecutor | None = None,
    Spawn: bool = False,
    SpawnCount: int | None = None,
) -> None:
    """Submit one job, or several of a batch, whatever their priority.

    A job that is not in `init` is skipped, with a message.

    Args:
        BatchID: the jobs' batch.
        JobIndex: one JobIndex or several.
        Executor: the executor to submit with; default None: the one that the configuration names.
        Spawn: submit one more spawn of the job instead; default False. A running job calls spawn_submit.
        SpawnCount: with Spawn: the most spawns that the job may have; default None: no limit.

    Raises:
        UnknownJobError: there is no such job; none was submitted.

    Example:
        >>> psu.submit_one_job(20250101120000, [3, 7])
    """
    from .actions import Selection, submit_now
    from .scheduling.spawns import add_one

    with _workspace(Executor) as ws:
        keys = _existing(ws, _keys(BatchID, JobIndex))
        if Spawn:
            for key in keys:
                add_one(ws, key, SpawnCount)
            return
        report = submit_now(ws, Selection(keys=keys))
    _say_not_submitted(report)


def _say_not_submitted(report: ActionReport) -> None:
    for outcome in report.outcomes:
        if not outcome.ok:
            print(f"not submitted: {outcome.key}: {outcome.message}")


def periodic_submitter(
    period: float = 10, n: float = math.inf, Executor: JobExecutor | None = None, **kwargs: Any
) -> None:
    """Call submit_jobs again and again.

    A scheduler that does not answer, or a database that cannot be used, is reported; the next call tries
    again.

    Args:
        period: minutes between two calls; default 10.
        n: the number of calls; default: without end.
        Executor: the executor to submit with; default None: the one that the configuration names.
        **kwargs: MaxJobs, MinPrior and Filter of submit_jobs.

    Example:
        >>> psu.periodic_submitter(period=5, n=12, MaxJobs=500)  # for an hour
    """
    from .errors import DatabaseError, SchedulerError

    done = 0
    while done < n:
        try:
            if not done:
                submit_jobs(Executor=Executor, **kwargs)
            else:
                most, least, which = (kwargs.get(name) for name in ("MaxJobs", "MinPrior", "Filter"))
                _submit_next(most, least or 0, Executor, which or "", by_itself=True)
        except (SchedulerError, DatabaseError) as error:
            print(f"not submitted: {error}")
        done += 1
        if done < n:
            time.sleep(60 * period)


def set_batch_field(
    BatchID: Batches,
    Fields: Mapping[str, Any] = RESET,
    Unless: Mapping[str, Any] = UNLESS_DONE,
    Executor: JobExecutor | None = None,
) -> None:
    """Set fields of all jobs of batches; by default reset those that are not complete.

    Jobs that are in a queue, or may be, keep their state whatever `Unless` says: they are skipped, and named
    on stderr. Call qdel_batch first to end them.

    Args:
        BatchID: one BatchID, several, or what get_queue returned.
        Fields: the new values by field; default {'state': 'init'}. Setting the state to `init` is a reset.
        Unless: skip jobs where a field has (one of) these values; default
            {'state': ['complete', 'collected']}. {} skips none.
        Executor: the executor whose queue is asked; default None: the one that the configuration names.

    Raises:
        UnknownJobError: there is no such batch; nothing was set.

    Example:
        >>> psu.set_batch_field(20250101120000, {"priority": 10}, Unless={})
    """
    from .actions import Selection, batch_ids

    _set_fields(Selection(batches=tuple(batch_ids(BatchID))), Fields, Unless, Executor)


@takes("BatchID JobIndex Fields Unless db_connection")
def set_job_field(
    BatchID: Id,
    JobIndex: Many,
    Fields: Mapping[str, Any] = RESET,
    Unless: Mapping[str, Any] = UNLESS_DONE,
    Executor: JobExecutor | None = None,
) -> None:
    """Set fields of one job, or of several of a batch; see set_batch_field.

    Args:
        BatchID: the jobs' batch.
        JobIndex: one JobIndex or several.
        Fields: the new values by field; default {'state': 'init'}, a reset.
        Unless: skip jobs where a field has (one of) these values; default
            {'state': ['complete', 'collected']}. {} skips none.
        Executor: the executor whose queue is asked; default None: the one that the configuration names.

    Raises:
        UnknownJobError: there is no such job; nothing was set.

    Example:
        >>> psu.set_job_field(20250101120000, range(3), {"resources": {"mem": "8gb"}})
    """
    from .actions import Selection

    _set_fields(Selection(keys=_keys(BatchID, JobIndex)), Fields, Unless, Executor)


def _set_fields(
    selection: Any, Fields: Mapping[str, Any], Unless: Mapping[str, Any], Executor: JobExecutor | None
) -> None:
    from .actions import change
    from .in_job import current_job_key
    from .reporting.queue_report import as_list

    with _workspace(Executor) as ws:
        _existing(ws, selection.keys)
        report = change(
            ws,
            selection.resolve(ws),
            Fields,
            {field: as_list(values) for field, values in Unless.items()},
            own=current_job_key(),
        )
    _say_held(report)


def _say_held(report: ActionReport) -> None:
    """Warns of jobs that were left alone because they run, or may run."""
    from .actions import by_message

    for text in by_message(o for o in report.outcomes if o.hold):
        print(f"left alone: {text}", file=sys.stderr)


def _keys(BatchID: Id, JobIndex: Many) -> tuple[JobKey, ...]:
    from .reporting.queue_report import as_list

    return tuple(_key(BatchID, index) for index in as_list(JobIndex))


def _existing(ws: Project, keys: tuple[JobKey, ...]) -> tuple[JobKey, ...]:
    """These keys, if all are jobs of the index. Raises UnknownJobError."""
    from .database.jobs import require_jobs

    require_jobs(ws.reader, keys)
    return keys


def boost_batch_priority(BatchID: Batches, Booster: float = 100) -> None:
    """Add to the priority of all jobs of batches.

    Args:
        BatchID: one BatchID, several, or what get_queue returned.
        Booster: what is added; default 100, which puts the batches before all with lower priorities.

    Raises:
        UnknownJobError: there is no such batch.

    Example:
        >>> psu.boost_batch_priority(20250101120000)
    """
    from .actions import Selection, batch_ids, boost

    with _workspace() as ws:
        boost(ws, Selection(batches=tuple(batch_ids(BatchID))), Booster)


def qdel_batch(BatchID: Batches, Executor: JobExecutor | None = None) -> None:
    """Delete all jobs of batches from the scheduler's queue and set them back to `init`.

    Args:
        BatchID: one BatchID, several, or what get_queue returned.
        Executor: the executor whose queue the jobs are in; default None: the one that the configuration
            names.

    Raises:
        UnknownJobError: there is no such batch.
        SchedulerError: the scheduler does not answer; nothing was deleted.

    Example:
        >>> psu.qdel_batch(20250101120000)
    """
    from .actions import Selection, batch_ids

    _qdel(Selection(batches=tuple(batch_ids(BatchID))), Executor, every=False)


def qdel_job(
    BatchID: One = None,
    JobIndex: Many | None = None,
    JobInfo: JobInfo | None = None,
    Executor: JobExecutor | None = None,
) -> None:
    """Delete one job, or several of a batch, from the scheduler's queue and set them back to `init`.

    Args:
        BatchID: the jobs' batch; default None: inside a job, its own.
        JobIndex: one JobIndex or several; default None: inside a job, its own.
        JobInfo: the job's metadata, in place of the two numbers; default None.
        Executor: the executor whose queue the jobs are in; default None: the one that the configuration
            names.

    Raises:
        UnknownJobError: there is no such job; nothing was deleted.
        SchedulerError: the scheduler does not answer; nothing was deleted.

    Example:
        >>> psu.qdel_job(20250101120000, [3, 7])
    """
    from .actions import Selection
    from .in_job import resolve_job_key
    from .jobs.builder import job_key

    if JobInfo is not None:
        keys: tuple[JobKey, ...] = (job_key(JobInfo),)
    elif isinstance(JobIndex, Iterable) and BatchID is not None:
        keys = _keys(BatchID, JobIndex)
    else:
        keys = (resolve_job_key(BatchID, JobIndex),)
    _qdel(Selection(keys=keys), Executor, every=True)


def _qdel(selection: Any, Executor: JobExecutor | None, *, every: bool) -> None:
    from .actions import qdel

    with _workspace(Executor) as ws:
        _existing(ws, selection.keys)
        report = qdel(ws, selection)
    for outcome in report.outcomes:
        if not outcome.ok and (every or not outcome.left):
            print(f"not deleted: {outcome.key}: {outcome.message}")


def remove_batch(BatchID: Batches) -> None:
    """Remove batches from the index, with their folders. This cannot be undone.

    Batches with jobs that are in a queue, or may be, are skipped: call qdel_batch first.

    Args:
        BatchID: one BatchID, several, or what get_queue returned.

    Raises:
        UnknownJobError: there is no such batch; none was removed.

    Example:
        >>> psu.remove_batch(20250101120000)
    """
    from .actions import batch_ids, remove_batches

    with _workspace() as ws:
        report = remove_batches(ws, batch_ids(BatchID))
    _say_not_removed(report)


def remove_batch_by_state(state: str | Iterable[str]) -> None:
    """Remove the batches all of whose jobs are in one of some states. This cannot be undone.

    Args:
        state: one state, or several.

    Example:
        >>> psu.remove_batch_by_state(["complete", "collected"])
    """
    from .actions import remove_batches_by_state

    with _workspace() as ws:
        report = remove_batches_by_state(ws, [state] if isinstance(state, str) else state)
    _say_not_removed(report)


def _say_not_removed(report: ActionReport) -> None:
    for outcome in report.outcomes:
        if outcome.message:
            what = "batch" if outcome.ok else "not removed: batch"
            print(f"{what} {outcome.key.batch_id}: {outcome.message}")


def clean_temp_files(dir_str: str | Iterable[str] | None = None, batch_list: Batches | None = None) -> None:
    """Remove temporary files from the batches' folders, and print how many.

    Args:
        dir_str: one pattern or several, such as '*.genes.*', below a batch's folder; default None: the
            setting temp_files.
        batch_list: one BatchID, several, or what get_queue returned; default None: all batches.

    Raises:
        UnknownJobError: there is no such batch; nothing was removed.
        UsageError: a pattern leads out of the folder.

    Example:
        >>> psu.clean_temp_files("*.tmp", [20250101120000])
    """
    from .actions import clean_files

    with _workspace() as ws:
        patterns = ws.settings.temp_files if dir_str is None else dir_str
        wanted = [patterns] if isinstance(patterns, str) else patterns
        cleaned = clean_files(ws, wanted, _all_or(ws, batch_list))
    print(f"files removed:\n{cleaned.files}")
    _say_left(cleaned)


def clean_temp_folders(batch_list: Batches | None = None) -> list[str]:
    """Remove the jobs' temporary folders, JobDir/BatchID/JobIndex.

    Folders of jobs that are in a queue, or may be, are kept, and named on stderr.

    Args:
        batch_list: one BatchID, several, or what get_queue returned; default None: all batches.

    Returns:
        The paths of the removed folders.

    Raises:
        UnknownJobError: there is no such batch; nothing was removed.

    Example:
        >>> psu.clean_temp_folders(20250101120000)
    """
    from .actions import clean_folders

    with _workspace() as ws:
        cleaned = clean_folders(ws, _all_or(ws, batch_list))
    print(f"removed {len(cleaned.folders)} temp dirs")
    _say_left(cleaned)
    return cleaned.folders


def _say_left(cleaned: CleanReport) -> None:
    for text in cleaned.left_alone():
        print(f"left alone: {text}", file=sys.stderr)


def _all_or(ws: Project, batches: Batches | None) -> list[int]:
    from .actions import batch_ids
    from .database.changes import read_batches
    from .database.jobs import require_batch

    if batches is None:
        return list(read_batches(ws.reader))
    wanted = batch_ids(batches)
    for batch_id in wanted:
        require_batch(ws.reader, batch_id)
    return wanted


def wait_for_jobs(
    BatchID: Batches | None = None,
    JobIndex: Many | None = None,
    Executor: JobExecutor | None = None,
    Submit: bool = False,
    Timeout: float | None = None,
    Verbose: bool = True,
) -> bool:
    """Wait until jobs are over: each is complete or missing, and none is in the queue any more.

    Jobs that were not submitted are not waited for. Ctrl+C ends the waiting, not the jobs.

    Args:
        BatchID: one BatchID, several, or what get_queue returned; default None: all batches; inside a job
            all jobs but that one.
        JobIndex: one JobIndex or several of that one batch; default None: all.
        Executor: the executor whose queue is asked; default None: the one that the configuration names.
        Submit: submit what the priority rules allow next whenever jobs complete; default False.
        Timeout: seconds after which to stop waiting; default None: never.
        Verbose: print the progress, at most every ten seconds, and the missing jobs at the end; default True.

    Returns:
        True if all of them are complete.

    Raises:
        UnknownJobError: there is no such job or batch.
        UsageError: JobIndex is given for more than one batch.

    Example:
        >>> psu.wait_for_jobs(20250101120000, Timeout=3600)
    """
    from .in_job import current_job_key
    from .monitoring import waiting
    from .scheduling.submission import submit_next

    end = math.inf if Timeout is None else time.monotonic() + Timeout
    with _workspace(Executor) as ws:
        jobs = _to_wait_for(ws, BatchID, JobIndex)._replace(without=current_job_key())
        submit = (lambda: submit_next(ws, by_itself=True).submitted) if Submit else None
        printed, printed_at = "", -math.inf
        for now in waiting.progress(ws, jobs, submit=submit):
            if Verbose and now.line != printed and time.monotonic() - printed_at >= _TELL_SECONDS:
                print(now.line, flush=True)
                printed, printed_at = now.line, time.monotonic()
            if time.monotonic() >= end:
                break
    if Verbose:
        for line in now.last_lines():
            if line != printed:
                print(line, flush=True)
    return now.is_success


_TELL_SECONDS = 10.0


def _to_wait_for(ws: Project, BatchID: Batches | None, JobIndex: Many | None) -> Any:
    from .errors import UsageError
    from .monitoring.waiting import WaitedJobs

    if JobIndex is not None:
        if BatchID is None or (isinstance(BatchID, Iterable) and not isinstance(BatchID, str)):
            raise UsageError("JobIndex names jobs of one batch: give that as BatchID.")
        return WaitedJobs(keys=_existing(ws, _keys(BatchID, JobIndex)))
    return WaitedJobs() if BatchID is None else WaitedJobs(batches=tuple(_all_or(ws, BatchID)))


# ------------------------------------------------------------------------------------ building jobs


def get_job_template(SetID: bool = False) -> JobInfo:
    """Return a new job's metadata with the configuration's defaults.

    Args:
        SetID: give it a new BatchID: local time as the integer YYYYMMDDHHMMSS, unique; default False.

    Returns:
        The metadata, a dict: BatchID, JobIndex, name, script, resources, ...

    Example:
        >>> job = psu.get_job_template(SetID=True)
        >>> job |= {"name": ["human", "map"], "script": "map.py"}
    """
    from .jobs.builder import template

    with _workspace(create=SetID) as ws:  # the database remembers which numbers were given out
        return template(ws, set_id=SetID)


def generate_script(JobInfo: JobInfo, Template: str | None = None) -> JobInfo:
    """Make the job's own script from a template.

    A template that is a file is copied to JobDir/BatchID/<stem>_<BatchID>_<JobIndex>.<ext>, executable, with
    every {field} replaced from JobInfo ({{ and }} are literal braces). Any other template is a command line:
    its fields are replaced in place.

    Args:
        JobInfo: the job's metadata.
        Template: a file or a command line; default None: JobInfo['script'].

    Returns:
        JobInfo, with `script` set.

    Raises:
        ScriptError: an unknown {field}, a single brace, an unreadable file, or the job's own script.

    Example:
        >>> job = psu.generate_script(job, "templates/map.sh")
    """
    from .jobs.builder import generate_script as generate

    with _workspace() as ws:
        return generate(ws, _numbered(JobInfo), Template)


def load_stored(value: Any) -> Any:
    """Load a value that set_complete stored in a file because the metadata cannot hold it, e.g. a DataFrame.

    Args:
        value: what the metadata holds in its place, {"stored": path, ...}, or the path.

    Returns:
        The value.

    Raises:
        UntrustedError: others may write to the file: loading a pickle runs the code in it.
        ParaschutError: it cannot be read here.

    Example:
        >>> frame = psu.load_stored(psu.get_job_info(20250101120000, 0)["table"])
    """
    from .database.pickled_values import load

    return load(value)


def generate_data(JobInfo: JobInfo, Data: object) -> JobInfo:
    """Save data for a job as JobDir/BatchID/data_<JobIndex>.pkl.

    Args:
        JobInfo: the job's metadata.
        Data: any object that pickle can store.

    Returns:
        JobInfo, with the file's path as `data`.

    Example:
        >>> job = psu.generate_data(job, {"genes": ["abc", "xyz"]})
    """
    from .jobs.builder import generate_data as generate

    with _workspace() as ws:
        return generate(ws, _numbered(JobInfo), Data)


@takes("BatchID Jobs set_index build_script", Jobs="JobInfoList")
def add_batch_to_queue(
    BatchID: Id,
    JobInfoList: JobInfo | Iterable[JobInfo],
    set_index: bool = False,
    build_script: bool = False,
) -> None:
    """Add a new batch to the index, whole or not at all.

    Args:
        BatchID: the new batch's number, from get_job_template(SetID=True).
        JobInfoList: the metadata of one job, or of several.
        set_index: number the jobs from 0; default False: each has its JobIndex.
        build_script: call generate_script for each job; default False.

    Raises:
        UsageError: jobs of another BatchID.
        DuplicateJobError: the BatchID exists already, or a JobIndex is twice in the list.

    Example:
        >>> psu.add_batch_to_queue(job["BatchID"], [job | {"data": n} for n in range(10)], set_index=True)
    """
    from .database.jobs import checked_id
    from .jobs.builder import add_jobs

    jobs = _as_jobs(JobInfoList)
    with _workspace(create=True) as ws:
        batch = checked_id(BatchID)
        add_jobs(ws, jobs, set_index=set_index, build_script=build_script, new_batch=batch)
        print(f"\nbatch {batch} (size {len(jobs):,d}) added to queue ({ws.db.path})")


def add_job_to_queue(
    job_list: JobInfo | Iterable[JobInfo], set_index: bool = False, build_script: bool = False
) -> None:
    """Add one job or several to the index, all or none; their batches may exist already.

    Args:
        job_list: the metadata of one job, or of several.
        set_index: number the jobs from 0; default False: each has its JobIndex.
        build_script: call generate_script for each job; default False.

    Raises:
        DuplicateJobError: a job with that BatchID and JobIndex exists already.

    Example:
        >>> psu.add_job_to_queue(job | {"JobIndex": 10})
    """
    from .jobs.builder import add_jobs

    jobs = _as_jobs(job_list)
    with _workspace(create=True) as ws:
        add_jobs(ws, jobs, set_index=set_index, build_script=build_script)


@takes("JobInfo Release db_connection tries enforce_unique_job")
def update_job(JobInfo: JobInfo) -> None:
    """Write a job's metadata back.

    Args:
        JobInfo: the metadata, as get_job_info returned it, with changes; its `rev` becomes the new one.

    Raises:
        ConflictError: the job was changed since `JobInfo` was read; nothing is written.

    Example:
        >>> job["progress"] = 0.5
        >>> psu.update_job(job)
    """
    from . import in_job

    with in_job.database() as db:
        own = in_job.current_job_key()
        info = _numbered(JobInfo)
        if own is not None and own.batch_id == info.get("BatchID") and own.job_index == info.get("JobIndex"):
            info = in_job.settled(db, own, info)
        in_job.retry_on_end(lambda: in_job.update_job(db, info))
        if "rev" in info:
            JobInfo["rev"] = info["rev"]


def set_complete(
    BatchID: One = None,
    JobIndex: One = None,
    JobInfo: JobInfo | None = None,
    Submit: bool = False,
) -> None:
    """Record that a job is done: state `complete`, its metadata stored with the scheduler's record.

    Args:
        BatchID: the job's batch; default None: that of JobInfo; inside a job, its own.
        JobIndex: the job's number; default None: that of JobInfo; inside a job, its own.
        JobInfo: the job's metadata with what it adds; default None: what is stored.
        Submit: submit what the priority rules allow next; default False.

    Raises:
        StaleJobError: the job was reset or submitted again while this attempt ran.

    Example:
        >>> job["result"] = 42
        >>> psu.set_complete(JobInfo=job, Submit=True)
    """
    from . import in_job

    if JobInfo is not None:
        JobInfo = _numbered(JobInfo)
        BatchID = JobInfo["BatchID"] if BatchID is None else BatchID
        JobIndex = JobInfo["JobIndex"] if JobIndex is None else JobIndex
    with in_job.database() as db:
        key = in_job.resolve_job_key(BatchID, JobIndex)
        info = None if JobInfo is None else in_job.settled(db, key, JobInfo)
        in_job.retry_on_end(
            lambda: in_job.complete_job(db, key, info), lambda: in_job.keep_result(db, key, info)
        )
        if info is not None and JobInfo is not None and info is not JobInfo:
            JobInfo.update({**info, **JobInfo, "state": info["state"], "rev": info["rev"]})
    if Submit:
        in_job.submit_what_is_next()


# ------------------------------------------------------------------------------------ spawn jobs


def spawn_submit(JobInfo: JobInfo, N: int, Executor: JobExecutor | None = None) -> JobInfo:
    """Multiply the running job: it becomes SpawnID 0, and N more processes are submitted.

    Each of these runs the job's script from its beginning and finds the job in state `spawn`. Check for that
    first, as in the example; otherwise every spawn multiplies again.

    Args:
        JobInfo: the running job's metadata.
        N: how many more processes to submit.
        Executor: the executor to submit with; default None: the one that the configuration names.

    Returns:
        JobInfo in state `spawn`, with this process's SpawnID, ClusterID, stdout, stderr, spawn_state.

    Raises:
        StaleJobError: another process than this one is the job's current submission.

    Example:
        >>> if job["state"] != "spawn":
        ...     job = psu.spawn_submit(job, 3)
    """
    from . import in_job
    from .scheduling.spawns import submit_spawns

    key = _key(JobInfo["BatchID"], JobInfo["JobIndex"])
    _numbered(JobInfo)
    with _workspace(Executor) as ws:
        return submit_spawns(ws, JobInfo, N, in_job.cluster_id(), in_job.own_token(key))


@takes("JobInfo db_connection tries")
def spawn_complete(JobInfo: JobInfo) -> JobInfo:
    """Record that this spawn is done.

    Args:
        JobInfo: the job's metadata; its unsaved fields are kept.

    Returns:
        JobInfo: state `complete` for the last spawn, which goes on to finish the job (set_complete); `spawn`
        for the others.

    Raises:
        StaleJobError: this process is no current spawn of the job.

    Example:
        >>> job = psu.spawn_complete(job)
        >>> if job["state"] == "complete":
        ...     psu.set_complete(JobInfo=job)
    """
    from . import in_job
    from .scheduling.spawns import complete

    with _workspace() as ws:
        key = _key(JobInfo["BatchID"], JobInfo["JobIndex"])
        _numbered(JobInfo)
        token = in_job.own_token(key)
        return in_job.retry_on_end(lambda: complete(ws, JobInfo, in_job.cluster_id(), token))


@takes("BatchID JobIndex Executor SpawnCount spawn_state")
def spawn_resubmit(
    BatchID: Id, JobIndex: Id, Executor: JobExecutor | None = None, SpawnCount: int | None = None
) -> int:
    """Submit the missing spawns of a job again.

    Args:
        BatchID: the job's batch.
        JobIndex: the job's number in its batch.
        Executor: the executor to submit with; default None: the one that the configuration names.
        SpawnCount: how many spawns the job shall have; default None: as many as there were.

    Returns:
        The number of spawns submitted.

    Raises:
        UnknownJobError: there is no such job.

    Example:
        >>> psu.spawn_resubmit(20250101120000, 0)
    """
    from .scheduling.spawns import resubmit

    with _workspace(Executor) as ws:
        return resubmit(ws, _key(BatchID, JobIndex), SpawnCount)


@takes("BatchID JobIndex ClusterID db_connection tries")
def spawn_get_info(BatchID: One, JobIndex: One, ClusterID: str | None = None) -> dict[str, list[Any]]:
    """Return the spawns of a job.

    Args:
        BatchID: the job's batch; None: inside a job, its own.
        JobIndex: the job's number in its batch; None: inside a job, its own.
        ClusterID: only the spawn with this scheduler id; default None: all.

    Returns:
        A dict of lists, an item for each spawn: SpawnID, ClusterID, spawn_state, stdout, stderr.

    Raises:
        UnknownJobError: there is no such job.

    Example:
        >>> psu.spawn_get_info(20250101120000, 0)["spawn_state"]
    """
    from . import in_job
    from .database.jobs import require_jobs
    from .database.spawns import read_spawns, spawn_fields

    with in_job.database() as db:
        key = in_job.resolve_job_key(BatchID, JobIndex)
        require_jobs(db, (key,))
        spawns = read_spawns(db, key)
    if ClusterID is not None:
        spawns = [s for s in spawns if str(ClusterID) in (s.cluster_id, s.submit_id)]
    return spawn_fields(spawns)
