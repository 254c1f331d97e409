"""Submits jobs, each exactly once: claim in the database, submit, record the id; adopt after a crash."""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from .. import moved_projects
from ..database.changes import count_unfinished, read_batches
from ..database.connection import process_is_alive
from ..database.jobs import Submission, read_infos, read_keys_of_priority, read_submissions, still_in_init
from ..database.lifecycle import (
    UnresolvedClaim,
    claim,
    claimable,
    claimed_without_id,
    note_claims,
    record_id,
    release,
    release_refused,
)
from ..database.poll_state import PollState
from ..database.refused_jobs import RefusedJob
from ..database.spawns import read_live_spawns, record_spawn_id, release_spawn
from ..errors import ConfigError, ParaschutError, SchedulerError, SubmitError, UntrustedError, UsageError
from ..executors import current_job_id
from ..executors.base import JobExecutor
from ..executors.batch.directives import resources_of
from ..executors.standalone import directives_of
from ..filtering.find_jobs import find_jobs
from ..model import (
    ENDED,
    INIT,
    SPAWN,
    SUBMIT,
    TOO_MANY,
    JobInfo,
    JobKey,
    JobSpec,
    Spawn,
    SubmitResult,
    name_text,
)
from ..monitoring import polling
from ..paths import absolute, here
from ..project import Project
from ..security.ownership import open_data
from .priority import submittable
from .refusals import Refusals, asked_by, asked_by_one

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (jobs done, jobs in all)."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_UNSAFE_IN_FILE_NAME = re.compile(r"[^\w.+=@,-]|^\.", re.ASCII)


class SubmitOutcome(NamedTuple):
    """What became of one job: `id` where it was submitted, else `error`; `certain` is as in Submitted."""

    key: JobKey
    id: str | None
    error: str = ""
    certain: bool = True


class SubmitReport(NamedTuple):
    """What submit_next did. `in_queue` counts the user's jobs before it."""

    max_jobs: int
    in_queue: int
    outcomes: list[SubmitOutcome]

    @property
    def submitted(self) -> int:
        return sum(1 for outcome in self.outcomes if outcome.id is not None)


# ------------------------------------------------------------------------------------ which jobs


def submit_next(
    ws: Project,
    *,
    max_jobs: int | None = None,
    min_priority: float = 0,
    condition: str = "",
    by_itself: bool = False,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> SubmitReport:
    """Submit what the priority rules allow next.

    Args:
        max_jobs: the most jobs that may be in the queue together; None: JobDir/maxjobs, else the setting.
        min_priority: leaves out batches below it (0: none).
        condition: only jobs that match this Filter, and only their batches count for the rules.
        by_itself: nobody asked for it but the program: what the scheduler refused not long ago is not tried
            again unless something changed.

    Raises:
        SchedulerError: the scheduler does not answer, so nobody knows how many jobs it holds.
    """
    limit = max_jobs if max_jobs is not None else read_max_jobs(ws)
    executor = ws.executor
    if not executor.isconnected():
        raise SchedulerError(f"Not connected to {executor.name}: jobs cannot be submitted from this host.")
    ws.db.import_kept()
    record = polling.poll_scheduler(ws)
    if polling.is_unreachable(record):
        record = polling.poll_scheduler(ws, force=True)  # it may be back, long before its next poll is due
    if polling.is_unreachable(record):
        trouble = polling.outage_message(executor.name, record.failing_since, record.error)
        raise SchedulerError(f"{trouble}; nothing was submitted.")
    resolve_claims(ws, record)
    in_queue = count_in_queue(ws, record)
    # No job in init is missing, so that this needs no list of missing jobs.
    matching = set(find_jobs(ws.reader, condition)) if condition.strip() else None
    batches = read_batches(ws.reader, {key.batch_id for key in matching} if matching is not None else None)
    room = max(limit - in_queue, 0)
    most = -1 if matching is not None else room * _LOOKS
    turn = (
        key
        for batch_id, priority in submittable(batches.values(), min_priority)
        for key in read_keys_of_priority(ws.reader, batch_id, priority, INIT, most)
        if matching is None or key in matching
    )
    refusals = Refusals(ws, by_itself=by_itself, in_queue=in_queue)
    outcomes: list[SubmitOutcome] = []
    for _ in range(_LOOKS):
        # Jobs that the scheduler refuses keep no room from others.
        left = room - sum(1 for outcome in outcomes if outcome.id is not None or not outcome.certain)
        keys = list(islice(turn, max(left, 0)))
        if not keys or cancelled():
            break
        outcomes += submit_keys(
            ws,
            keys,
            room=lambda wanted: _room(ws, record, limit, wanted),
            refusals=refusals,
            progress=progress,
            cancelled=cancelled,
        )
    refusals.keep(count_in_queue(ws, record) if refusals.some else None)
    return SubmitReport(limit, in_queue, outcomes)


_LOOKS = 4
"""How often jobs are looked for that fill the room which refused ones leave."""


def _room(ws: Project, record: PollState, limit: int, wanted: int) -> int:
    """How many jobs may still be submitted: exactly, if those are fewer than `wanted`."""
    at_least = limit - count_unfinished(ws.reader) - len(record.answer)
    return at_least if at_least >= wanted else limit - count_in_queue(ws, record)


def read_max_jobs(ws: Project) -> int:
    """The first line of JobDir/maxjobs, else the setting (1000)."""
    path = os.path.join(ws.job_dir, "maxjobs")
    try:
        with open(open_data(path), encoding="utf-8-sig", errors="replace") as file:
            line = file.readline(1000).strip()
    except FileNotFoundError:
        return ws.settings.submit.max_jobs
    except UntrustedError as error:
        raise ConfigError(f"{error} Have it removed, or set submit.max_jobs and another job_dir.") from error
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from error
    try:
        return int(line)
    except ValueError:
        raise ConfigError(f"{path}: its first line must be a number, not {line!r}.") from None


def count_in_queue(ws: Project, record: PollState) -> int:
    """How many of the user's jobs the scheduler holds.

    Ours are counted by the database, which knows of every one that was claimed, and of those that are
    complete, since the last poll; other people's projects, and what is not ours, by that poll. The job
    that asks is complete and does not count: else the last of a few would find no room for the next.
    """
    own: set[str] = set()
    held = 0
    spawns = read_live_spawns(ws.reader)
    for row in read_submissions(ws.reader):
        ours: list[Submission | Spawn] = [row]
        if row.state == SPAWN:
            ours = [s for s in spawns.get(row.key, ()) if s.state != INIT]
        for each in ours:
            if not polling.is_here(ws, each):
                continue
            named = polling.keys_of(ws, each)
            own |= named
            # Without an id: it is being submitted; or somebody runs it by hand, and no queue holds it.
            if named:
                held += any(record.absent.get(i, (0.0, 0))[1] == 0 for i in named)
            else:
                held += row.state == SUBMIT
    live = {id_ for id_, job in record.answer.items() if job.state != ENDED}
    return held + len(live - record.absent.keys() - own - {current_job_id()})


# ------------------------------------------------------------------------------------ submit


def submit_keys(
    ws: Project,
    keys: Iterable[JobKey],
    *,
    room: Callable[[int], int] | None = None,
    refusals: Refusals | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[SubmitOutcome]:
    """Submit those of `keys` that are in `init`, whatever their priority.

    Args:
        room: asked inside each claim, with how many jobs it is for, how many may still be taken, so that
            several submitters together keep to the limit.
        refusals: what the scheduler refused; the caller keeps it. Default: these jobs are tried in any case,
            and what is refused is kept.

    Returns:
        an outcome for each job that was tried, or that would be refused as others were.
    """
    own = Refusals(ws) if refusals is None else refusals
    try:
        return _submit_keys(ws, keys, own, room, progress, cancelled)
    finally:
        if refusals is None:
            own.keep(count_in_queue(ws, polling.poll_scheduler(ws)) if own.some else None)


def _submit_keys(
    ws: Project,
    keys: Iterable[JobKey],
    refusals: Refusals,
    room: Callable[[int], int] | None,
    progress: Progress | None,
    cancelled: Callable[[], bool],
) -> list[SubmitOutcome]:
    outcomes: list[SubmitOutcome] = []
    candidates = [info for info in read_infos(ws.reader, keys) if info["state"] == INIT]
    moved_projects.bring(ws.reader, candidates, ws.job_dir)
    ready: list[JobInfo] = []
    for info in candidates:
        why = _why_not_submittable(ws, info)
        if why:
            outcomes.append(SubmitOutcome(JobKey(info["BatchID"], info["JobIndex"]), None, why))
        else:
            ready.append(info)
    size = max(ws.executor.max_batch_size(), 1) if ready else 1
    for asked, group in _alike(ws.executor, ready).items():
        part = _ArrayPart(refusals, asked, group, size)
        while chunk := part.next():
            if cancelled():
                return outcomes
            # Looked at without a lock first: what other submitters have taken need not be fought over.
            known = {JobKey(info["BatchID"], info["JobIndex"]): info for info in chunk}
            left = {key: known[key] for key in still_in_init(ws.reader, known)}
            specs = _claim_chunk(ws, left, room) if left else []
            if specs:
                made, results = submit_claimed(ws, specs)
                again = part.tell(specs, results)
                outcomes.extend(outcome for outcome in made if outcome.key not in again)
            if progress is not None:
                progress(len(outcomes), len(candidates))
            if room is not None and len(specs) < len(left) and room(1) <= 0:
                return [*outcomes, *part.refused()]
        outcomes.extend(part.refused())
        if progress is not None:
            progress(len(outcomes), len(candidates))
    return outcomes


def _alike(executor: JobExecutor, infos: Sequence[JobInfo]) -> dict[object, list[JobInfo]]:
    """Jobs by what they ask for, in the order of their first jobs."""
    groups: dict[object, list[JobInfo]] = {}
    for info in infos:
        groups.setdefault(executor.batch_key(info), []).append(info)
    return groups


class _ArrayPart:
    """Jobs that ask for the same, handed out in chunks as long as they are taken.

    Args:
        most: jobs that the executor takes at once.
    """

    def __init__(self, refusals: Refusals, group: object, infos: Sequence[JobInfo], most: int) -> None:
        self._refusals = refusals
        self._asked = asked_by(group)
        self._most = most
        self._size = refusals.first(self._asked, most)
        self._may_grow = True
        self._limit = refusals.at_most(self._asked)
        self._all = {JobKey(info["BatchID"], info["JobIndex"]): info for info in infos}
        self._todo: list[JobKey] = []
        self._refused: dict[JobKey, RefusedJob] = {}
        for key in self._all:
            alone = refusals.standing(asked_by_one(key))
            if alone is None:
                self._todo.append(key)
            else:
                self._refused[key] = alone

    def next(self) -> list[JobInfo]:
        """The jobs to try next; none if there are no more, or such jobs are refused."""
        if self._limit == 0 or self._refusals.standing(self._asked) is not None:
            return []
        n = self._size if self._limit is None else min(self._size, self._limit)
        keys, self._todo = self._todo[:n], self._todo[n:]
        return [self._all[key] for key in keys]

    def tell(self, specs: Sequence[JobSpec], results: Sequence[SubmitResult]) -> set[JobKey]:
        """Learns what became of a chunk. Returns those of its jobs that come again, or were refused with
        the rest."""
        taken = [spec.key for spec, result in zip(specs, results, strict=True) if result.id is not None]
        if taken:
            self._refusals.took(self._asked, taken)
            for key in taken:
                self._refusals.took(asked_by_one(key), [])
        if self._limit is not None:
            self._limit -= sum(result.id is not None or not result.certain for result in results)
        back: list[JobKey] = []
        last: SubmitResult | None = None
        for spec, result in zip(specs, results, strict=True):
            if result.id is None and result.certain and result.refusal:
                back.append(spec.key)
                last = result
            elif result.id is None and result.certain:
                self._refusals.note(asked_by_one(spec.key), "", result.error, [spec.key.batch_id])
        if last is None:
            if self._may_grow:
                self._size = min(self._size * _GROWTH, self._most)
            return set()
        self._todo = [*back, *self._todo]
        self._may_grow = False
        if last.refusal == TOO_MANY and taken:
            self._size = len(taken)  # as many may fit again: it is found out in smaller and smaller parts
        else:
            self._refusals.note(self._asked, last.refusal, last.error, {key.batch_id for key in self._todo})
        return set(back)

    def refused(self) -> list[SubmitOutcome]:
        """What to say of the jobs that were not tried, or not again."""
        why = self._refusals.standing(self._asked)
        if why is None and self._limit == 0:
            why = self._refusals.known(self._asked)
        if why is not None:
            self._refused.update(dict.fromkeys(self._todo, why))
            self._refusals.hold(self._asked, {key.batch_id for key in self._todo})
        return [SubmitOutcome(key, None, one.words) for key, one in self._refused.items()]


_GROWTH = 4
"""By how much more jobs are tried after few were taken."""


def _why_not_submittable(ws: Project, info: JobInfo) -> str:
    """Why this job cannot be submitted at all; '' if it can."""
    if "unreadable" in info:
        return str(info["unreadable"])
    script = info.get("script")
    if not isinstance(script, str) or not script.strip():
        return "it has no script: set JobInfo['script'] to an executable file or a command line"
    if "/" in script and not re.search(r"\s", script):
        if not os.path.exists(script):
            return f"its script does not exist: {script}"
        if os.path.isdir(script):
            return f"its script is a directory: {script}"
        if not os.access(script, os.X_OK):
            return f"its script is not executable: chmod +x {script}"
    try:
        checked_vars(info)
        directives_of(info)
    except UsageError as error:
        return str(error)
    resources = info.get("resources")
    if resources is not None and not isinstance(resources, Mapping):
        return f"resources must be a dict such as {{'mem': '4gb'}}, not {type(resources).__name__}"
    return ws.executor.check(info)


def checked_vars(info: Mapping[str, Any]) -> dict[str, str]:
    """The job's own environment variables. Raises UsageError for what cannot be one."""
    variables = info.get("vars") or {}
    if not isinstance(variables, Mapping):
        raise UsageError(f"vars must be a dict of environment variables, not {type(variables).__name__}")
    checked: dict[str, str] = {}
    for name, value in variables.items():
        if not isinstance(name, str) or not _VARIABLE.match(name):
            raise UsageError(f"vars: {name!r} cannot be the name of an environment variable")
        text = value if isinstance(value, str) else str(value)
        if "\0" in text:
            raise UsageError(f"vars: the value of {name} has a NUL character, which no environment can hold")
        try:
            os.fsencode(text)
        except UnicodeEncodeError as error:
            raise UsageError(f"vars: the value of {name} cannot be encoded: {error}") from error
        checked[name] = text
    return checked


def _claim_chunk(
    ws: Project, chunk: Mapping[JobKey, JobInfo], room: Callable[[int], int] | None
) -> list[JobSpec]:
    """One transaction: those of `chunk` that are still in `init` become this process's to submit."""
    group = new_token()
    specs: list[JobSpec] = []
    with ws.db.transaction() as tx:
        left = len(chunk) if room is None else room(len(chunk))
        subtime = int(time.strftime("%Y%m%d%H%M%S", time.localtime(tx.at)))
        for key, known in chunk.items():
            if len(specs) >= left:
                break
            info = claimable(tx, ws.db, key, known)
            if info is None:
                continue  # another submitter was faster
            token = f"{group}-{len(specs) + 1}"
            _prepare(ws, info, subtime)
            claim(tx, key, info, token, ws.executor.queue_of(info))
            # As the row is now: a user's own `submit` may write it back.
            info.update(state=SUBMIT, rev=tx.rev)
            specs.append(make_spec(ws, info, token))
        note_claims(tx, {spec.key: spec.attempt for spec in specs})
    return specs


def new_token() -> str:
    """Ten random letters and digits: what a submission is called in the scheduler's queue."""
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(secrets.choice(alphabet) for _ in range(10))


def _prepare(ws: Project, info: JobInfo, subtime: int) -> None:
    """Bring the metadata to its next attempt: number, time, log paths."""
    info["attempt"] += 1
    info["subtime"] = subtime
    info.pop("qstat", None)
    info.pop("spawn_logs", None)
    out, err = log_paths(ws, info, info["attempt"] - 1)
    for stream, path in (("stdout", out), ("stderr", err)):
        history = info.get(stream)
        info[stream] = [*(history if isinstance(history, list) else []), path]


def log_paths(ws: Project, info: Mapping[str, Any], number: object) -> tuple[str, str]:
    """The documented paths of stdout and stderr: the pattern, with .<number> before its extension."""
    fields = _NameParts(info, ws.job_dir)
    paths = []
    for pattern in (ws.settings.log_out, ws.settings.log_err):
        try:
            stem, extension = os.path.splitext(pattern.format_map(fields))
        except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
            raise ConfigError(f"The log file pattern {pattern!r} cannot be filled in: {error!r}") from error
        paths.append(absolute(os.path.join(ws.job_dir, f"{stem}.{number}{extension}")))
    return paths[0], paths[1]


class _NameParts(dict[str, Any]):
    """A job's fields as parts of a file name: only those are made that a pattern asks for."""

    def __init__(self, info: Mapping[str, Any], job_dir: str) -> None:
        super().__init__(JobDir=job_dir)
        self._info = info

    def __missing__(self, name: str) -> Any:
        if name == "name":
            value: Any = name_text(self._info.get(name, "job")).replace("/", "_")
        elif name in ("submit_id", "ClusterID"):
            # The scheduler's id is given out after the log's path: this is as much this submission's alone.
            value = "{BatchID}-{JobIndex}-{attempt}".format(**self._info)
        else:
            value = self._info[name]
        self[name] = _file_name(value) if isinstance(value, str) else value
        return self[name]


def _file_name(text: str) -> str:
    """`text` as a part of a file name: no separators, no leading dot, not too long."""
    return _UNSAFE_IN_FILE_NAME.sub("_", text)[:100] or "_"


def make_spec(ws: Project, info: JobInfo, token: str, spawn_id: int | None = None) -> JobSpec:
    """What the executor is told of a job whose log paths are set."""
    settings = ws.settings
    key = JobKey(info["BatchID"], info["JobIndex"])
    environment = {
        **checked_vars(info),
        "PARASCHUT_DB": ws.db.path,
        "PARASCHUT_JOB_DIR": ws.job_dir,
        **ws.told_to_jobs,
        "PARASCHUT_BATCH_ID": str(key.batch_id),
        "PARASCHUT_JOB_INDEX": str(key.job_index),
        "PARASCHUT_TOKEN": token,
    }
    if settings.config_file:
        environment["PARASCHUT_CONFIG"] = settings.config_file
    if spawn_id is not None:
        environment["PARASCHUT_SPAWN_ID"] = str(spawn_id)
    defaults, own = resources_of(info, settings.resources)
    queue = info.get("queue")
    return JobSpec(
        key=key,
        attempt=info["attempt"],
        token=token,
        name=name_text(info.get("name", "job")),
        script=str(info["script"]),
        queue=settings.queue if queue is None else str(queue) or None,
        resources={**defaults, **own},
        directives=[*settings.submit.directives, *directives_of(info)],
        environment=environment,
        stdout=info["stdout"][-1],
        stderr=info["stderr"][-1],
        cwd=str(info.get("cwd") or here()),
        priority=info["priority"],
        # Executors that users wrote pass on `vars`: what the job must know comes with it.
        job_info={**info, "vars": environment},
        spawn_id=spawn_id,
    )


def submit_claimed(ws: Project, specs: Sequence[JobSpec]) -> tuple[list[SubmitOutcome], list[SubmitResult]]:
    """Hand claimed jobs to the executor and record what it says. Return what became of each, and that."""
    results = _submit(ws.executor, specs)
    unwanted = record_submitted(ws, specs, results)
    if unwanted:
        _cancel_unwanted(ws.executor, unwanted)
    return [_outcome(spec, result, unwanted) for spec, result in zip(specs, results, strict=True)], results


def _outcome(spec: JobSpec, result: SubmitResult, unwanted: Mapping[str, JobInfo]) -> SubmitOutcome:
    if result.id in unwanted:
        return SubmitOutcome(spec.key, None, "it was reset while it was being submitted, and taken back")
    doubt = "" if result.certain else " (it will be looked for in the queue)"
    return SubmitOutcome(spec.key, result.id, f"{result.error}{doubt}", result.certain)


def _submit(executor: JobExecutor, specs: Sequence[JobSpec]) -> list[SubmitResult]:
    """What the executor says, whatever it does: an error without certainty leaves all in doubt."""
    try:
        results = list(executor.submit_many(specs))
    except (SubmitError, UsageError) as error:
        return [SubmitResult(None, str(error)) for _ in specs]
    except ParaschutError as error:
        return [SubmitResult(None, str(error), certain=False) for _ in specs]
    except Exception as error:  # a user's own executor may raise anything
        log.exception("submit_many of %s", executor.name)
        return [SubmitResult(None, f"{type(error).__name__}: {error}", certain=False) for _ in specs]
    silent = SubmitResult(None, f"{executor.name} did not say what became of it", certain=False)
    return [*results, *[silent] * len(specs)][: len(specs)]


def _cancel_unwanted(executor: JobExecutor, unwanted: Mapping[str, JobInfo]) -> None:
    """Delete what was reset while it was being submitted; what cannot be deleted stops when it starts."""
    try:
        executor.delete_many(unwanted)
    except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
        log.warning("cannot delete %s, which nobody waits for any more: %s", ", ".join(unwanted), error)


def record_submitted(
    ws: Project, specs: Sequence[JobSpec], results: Sequence[SubmitResult]
) -> dict[str, JobInfo]:
    """Write the ids down; jobs that were certainly refused go back.

    Returns:
        the ids that nobody waits for: their jobs were reset or removed meanwhile.
    """
    unwanted: dict[str, JobInfo] = {}
    refused: dict[object, list[tuple[JobKey, str]]] = {}
    words: dict[object, str] = {}
    with ws.db.transaction() as tx:
        for spec, result in zip(specs, results, strict=True):
            if result.id is not None:
                record = record_id if spec.spawn_id is None else record_spawn_id
                if not record(tx, spec.key, spec.token, *ws.executor.noted(result.id)):
                    unwanted[result.id] = spec.job_info
            elif result.certain:
                if spec.spawn_id is None:
                    alike: object = result if result.refusal else spec.key
                    refused.setdefault(alike, []).append((spec.key, spec.token))
                    words[alike] = result.error
                else:
                    release_spawn(tx, spec.key, spec.token)
        for alike, claims in refused.items():
            release_refused(tx, claims, words[alike])
    return unwanted


# ------------------------------------------------------------------------------------ after a crash


def resolve_claims(ws: Project, record: PollState) -> int:
    """Adopt submissions whose id was never recorded, and release those that never took place.

    What the scheduler shows under a claim's token is adopted, even if its submitter lives: it would
    write the same. The rest is given back only when nothing can take effect any more. A submit command
    outlives the process that ran it, so that is not sooner than its time-out, unless the executor's own
    word is proof and the submitter is dead. Returns how many were settled.
    """
    if record.failing_since is not None or not ws.executor.reports_tokens:
        return 0
    # The queue that is asked is one user's, in one place: of what is elsewhere, it says nothing.
    claims = [c for c in claimed_without_id(ws.reader) if polling.is_here(ws, c)]
    if not claims:
        return 0
    found = {job.token: id_ for id_, job in record.answer.items() if job.token}
    late = [c for c in claims if c.token not in found and _is_over(ws, c)]
    if late:
        # The answer that all share may be older than they are: the scheduler is asked once more.
        try:
            found |= ws.executor.find_by_token([c.token for c in late])
            alive = ws.executor.alive({c.token: "" for c in late if c.token not in found})
        except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
            # Files that others may write to keep claims open until the user acts, and must be heard of.
            level = logging.WARNING if isinstance(error, UntrustedError) else logging.INFO
            log.log(level, "cannot look for %d submissions: %s", len(late), error)
            return 0
        # Its queue was deleted, and it runs: it says its id itself, or is waited for.
        found |= {token: job.id for token, job in alive.items() if job.id}
        late = [c for c in late if c.token not in found and c.token not in alive]
    if not late and not any(c.token in found for c in claims):
        return 0
    settled = 0
    with ws.db.transaction() as tx:
        for c in claims:
            if c.token in found:
                adopt = record_id if c.spawn_id is None else record_spawn_id
                settled += adopt(tx, c.key, c.token, *ws.executor.noted(found[c.token]))
        for c in late:
            if c.spawn_id is None:
                settled += release(tx, c.key, c.token, "never reached the queue", surely=False)
            else:
                settled += release_spawn(tx, c.key, c.token)
    return settled


def _is_over(ws: Project, c: UnresolvedClaim) -> bool:
    """Return whether a submission that the scheduler does not know cannot take effect any more."""
    if ws.executor.absent_means_ended and process_is_alive(c.claimed_by) is False:
        return True
    return not 0 <= time.time() - c.submitted_at < ws.settings.submit.timeout + ws.settings.poll.grace
