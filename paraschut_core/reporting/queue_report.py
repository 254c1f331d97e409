"""The printed report of all jobs, in v0.6's layout, and the printed logs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..database.connection import Database
from ..database.jobs import read_all_infos, read_info, read_online_rows
from ..database.orphans import orphan_words, read_orphans
from ..database.spawns import read_spawns, spawn_fields
from ..errors import DatabaseError, UsageError
from ..filtering.find_jobs import find_jobs
from ..logs import ABSENT, LogError, colours_only, print_lines, stat_log, strip_escapes
from ..model import (
    DONE_STATES,
    ENDED,
    SPAWN,
    BatchJobs,
    JobInfo,
    JobKey,
    MissingJob,
    Stamp,
    logs_of_spawns,
    name_text,
)
from ..monitoring import polling
from ..monitoring.liveness import ONLINE, Liveness, find_missing_jobs
from ..project import Project
from ..sanitize import clean, clean_line
from ..scheduling.refusals import RefusalMessage, refused_batches
from ..scheduling.submission import resolve_claims

log = logging.getLogger(__name__)


class QueueReport(NamedTuple):
    """All jobs that were asked for, with what the scheduler says of them."""

    jobs: BatchJobs
    observed: Liveness
    online: dict[JobKey, int]
    executor: str
    connected: bool
    error: str
    in_queue: int
    failing_since: float | None = None
    notice: str = ""
    stood: Mapping[JobKey, Stamp] = {}
    refused: Mapping[int, str] = {}
    orphans: str = ""

    def missing(self) -> dict[int, list[JobInfo]]:
        """The missing jobs by batch."""
        lost: dict[int, list[JobInfo]] = {}
        for batch_id, infos in self.jobs.items():
            for info in infos:
                if JobKey(batch_id, info["JobIndex"]) in self.observed.missing:
                    lost.setdefault(batch_id, []).append(info)
        return lost

    def elsewhere(self) -> dict[JobKey, str]:
        """Jobs among those asked for of which this scheduler cannot tell, and in whose queue they are."""
        return {
            key: self.observed.elsewhere[key]
            for batch_id, infos in self.jobs.items()
            for key in (JobKey(batch_id, info["JobIndex"]) for info in infos)
            if key in self.observed.elsewhere
        }

    def stamps(self) -> dict[JobKey, Stamp]:
        """Where the missing jobs stood when they were found missing."""
        return {key: self.stood[key] for key in self.reasons() if key in self.stood}

    def reasons(self) -> dict[JobKey, MissingJob]:
        """Why the missing jobs among those asked for are missing."""
        return {
            key: self.observed.missing[key]
            for batch_id, infos in self.missing().items()
            for key in (JobKey(batch_id, info["JobIndex"]) for info in infos)
        }

    @property
    def running(self) -> int:
        return sum(self.online.values())

    @property
    def complete(self) -> int:
        return sum(info["state"] in DONE_STATES for infos in self.jobs.values() for info in infos)

    @property
    def total(self) -> int:
        return sum(len(infos) for infos in self.jobs.values())


def read_queue(ws: Project, condition: str = "", *, force_poll: bool = False) -> QueueReport:
    """Read the index and ask the scheduler, if that is due.

    Raises:
        FilterError: `condition` cannot be evaluated.
    """
    record = polling.poll_scheduler(ws, force=force_poll)
    try:
        resolve_claims(ws, record)
    except DatabaseError as error:
        log.info("cannot settle what was submitted: %s", error)  # who may only read can do without
    stood = {
        row.key: row.stamp for row in read_online_rows(ws.reader)
    }  # before the look: never newer than it
    observed = find_missing_jobs(ws, record)
    keys = find_jobs(ws.reader, condition, lambda: observed.missing.keys()) if condition.strip() else None
    jobs = read_all_infos(ws.reader, keys)
    live = {id_: job for id_, job in record.answer.items() if job.state != ENDED}
    online: dict[JobKey, int] = {}
    for batch_id, infos in jobs.items():
        for info in infos:
            key = JobKey(batch_id, info["JobIndex"])
            if info["state"] == SPAWN:
                info.update(spawn_fields(read_spawns(ws.reader, key)))
                n = observed.live_spawns.get(key, (0, 0))[0]
            else:
                n = key in observed.live and observed.live[key].state in ONLINE
            if n:
                online[key] = int(n)
    return QueueReport(
        jobs,
        observed,
        online,
        ws.executor.name,
        record.failing_since is None and bool(record.polled_at),
        record.error,
        len(live),
        record.failing_since,
        polling.notice(ws),
        stood,
        _held_up(refused_batches(ws.reader), jobs),
        orphan_words(read_orphans(ws.reader)),
    )


def _held_up(refused: Mapping[int, RefusalMessage], jobs: BatchJobs) -> dict[int, str]:
    """Those of the batches asked for that wait because the scheduler refused their jobs, and what it said."""
    return {
        batch_id: told.words
        for batch_id, told in refused.items()
        if batch_id in jobs and told.holds_up({info["state"] for info in jobs[batch_id]})
    }


def states_of(queue: QueueReport, infos: Iterable[JobInfo]) -> dict[str, list[Any]]:
    """{state: [JobIndex, ...]} in order of first appearance; online ones as '3*', a star a process."""
    states: dict[str, list[Any]] = {}
    for info in infos:
        key = JobKey(info["BatchID"], info["JobIndex"])
        stars = "*" * queue.online.get(key, 0)
        states.setdefault(info["state"], []).append(f"{key.job_index}{stars}" if stars else key.job_index)
    return states


def indices_of(infos: Iterable[JobInfo], display: Collection[str] | None) -> dict[str, list[int]]:
    """{state: [JobIndex, ...]} in order of first appearance, of the states in `display` (None: all)."""
    states: dict[str, list[int]] = {}
    for info in infos:
        if display is None or info["state"] in display:
            states.setdefault(info["state"], []).append(info["JobIndex"])
    return states


def lines_of(queue: QueueReport, display: Collection[str] | None = None) -> Iterator[str]:
    """The report: v0.6's lines, and after them why jobs are missing."""
    for batch_id, infos in queue.jobs.items():
        states = states_of(queue, infos)
        if display is not None:
            states = {state: jobs for state, jobs in states.items() if state in display}
        if states:
            yield f"\n{batch_id}: {clean_line(name_text(infos[0].get('name', '?')))}"
            yield str(states)
            if batch_id in queue.refused:
                yield queue.refused[batch_id]
    lost = {batch: [info["JobIndex"] for info in infos] for batch, infos in queue.missing().items()}
    yield f"\nmissing jobs: {lost}"
    yield f"\ntotal jobs on server queue: {queue.in_queue}"
    yield f"running/complete/total: {queue.running}/{queue.complete}/{queue.total}"
    reasons = queue.reasons()
    if reasons:
        yield "\nwhy they are missing:"
        for key, missing in reasons.items():
            yield f"  {key}: {clean_line(missing.reason)}"
    yield from elsewhere_lines(queue)
    if queue.orphans:
        yield f"\n{clean_line(queue.orphans, 400)}"
    if queue.notice:
        yield f"\n{clean_line(queue.notice, 400)}"
    if not queue.connected:
        yield f"\n{polling.outage_message(queue.executor, queue.failing_since, queue.error)}"
    for infos in queue.jobs.values():
        for info in infos:
            if "unreadable" in info:
                yield clean_line(info["unreadable"])


def elsewhere_lines(queue: QueueReport) -> Iterator[str]:
    """A line for each other queue that has jobs of which nothing can be said here."""
    counts = Counter(queue.elsewhere().values())
    for where, n in counts.items():
        yield f"\n{n} submitted to {clean_line(where)}, of which {queue.executor} cannot tell"


# ------------------------------------------------------------------------------------ logs


def read_logged(db: Database, key: JobKey) -> JobInfo:
    """A job's metadata; `stdout` and `stderr` of one that multiplied itself are its spawns', by SpawnID.

    Raises:
        UnknownJobError: there is no such job.
    """
    info = read_info(db, key)
    info.update(spawn_logs(db, info))
    return info


def spawn_logs(db: Database, info: JobInfo) -> dict[str, list[object]]:
    """SpawnID, stdout and stderr of a job's spawns, as lists, while they run and afterwards; {} of others."""
    if info["state"] == SPAWN:
        fields = spawn_fields(read_spawns(db, JobKey(info["BatchID"], info["JobIndex"])))
        return {name: fields[name] for name in ("SpawnID", "stdout", "stderr")}
    return logs_of_spawns(info)


def log_lines(
    info: JobInfo,
    stream: str,
    index: int,
    lines: Iterable[int] | None,
    pattern: str | None,
    *,
    colours: bool = False,
) -> Iterator[str]:
    """The header and the wanted lines of one log of a job, or one line that says why there is none.

    Args:
        stream: "stdout" or "stderr".
        index: which log of the history; -1 is the last.
        lines: line numbers to show, from 0; None: all.
        pattern: a regular expression; only lines in which it is found.
        colours: whether the lines keep their colours (for a terminal); other escape sequences never stay.
    """
    if stream not in ("stdout", "stderr"):
        raise UsageError(f"LogKey must be 'stdout' or 'stderr', not {stream!r}.")
    title = f"{info['BatchID']}/{name_text(info.get('name', '?'))}/job_{info['JobIndex']}"
    yield f"\n[[[{stream} log for {clean_line(title)}:]]]\n"
    history = info.get(stream)
    if isinstance(history, str):
        history = [history]
    if not history or not isinstance(history, (list, tuple)):
        yield "log unknown"
    elif index >= len(history):
        yield "log index too large"
    elif index < -len(history):
        yield "log index too small"
    else:
        path = str(history[index])
        if stat_log(path).kind == ABSENT:
            yield f"log is missing.\n{clean_line(path)}"
            return
        try:
            for line in print_lines(path, lines, pattern):
                yield colours_only(line) if colours else clean(strip_escapes(line))
        except LogError as error:
            yield f"log cannot be read: {clean_line(error)}"


def as_list(value: Any) -> list[Any]:
    """`value` itself if it is an iterable of numbers (or a dict's keys), else a list with it alone."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return [value]
    return list(value)
