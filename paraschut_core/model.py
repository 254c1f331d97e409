"""What a batch, a job, a spawn, an event and a live job are, and their states. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# `typing` is imported for real (not only for checking): NamedTuple needs it, and it is what keeps
# `dataclasses` (12 ms at every job's start) out of the running job.

JobInfo = dict[str, Any]
"""A job's metadata as users see it: the documented fields and whatever they add."""

BatchJobs = dict[int, list[JobInfo]]
"""What get_queue(Verbose=False) returns: BatchID -> its jobs."""

INIT = "init"
SUBMIT = "submit"
RUN = "run"
SPAWN = "spawn"
COMPLETE = "complete"
COLLECTED = "collected"

STATES = (INIT, SUBMIT, RUN, SPAWN, COMPLETE, COLLECTED)
"""The states with a meaning of their own, in the order of a job's life; users add others."""

ONLINE_STATES = frozenset({SUBMIT, RUN, SPAWN})
"""States in which the scheduler should know the job: only these can go missing."""

DONE_STATES = frozenset({COMPLETE, COLLECTED})
"""States that count as finished: they are protected from a reset and hold nothing back."""

GLOBAL_PRIORITY = 100
"""From here up, a priority counts across batches (v0.6 compares `>= 100`)."""

Priority = int | float


class JobKey(NamedTuple):
    """What identifies a job: its BatchID and JobIndex."""

    batch_id: int
    job_index: int

    def __str__(self) -> str:
        return f"{self.batch_id}/{self.job_index}"


# --------------------------------------------------------------------------- schedulers

# What a scheduler says of a job that it knows, whatever its own words are.
QUEUED = "queued"
RUNNING = "running"
HELD = "held"
STUCK = "stuck"
ENDING = "ending"
ENDED = "ended"

LIVE_STATES = (QUEUED, RUNNING, HELD, STUCK, ENDING)
"""States of a job that the scheduler still holds; ENDED is one that it still remembers."""


class ExitInfo(NamedTuple):
    """How a job came to its end, as far as anybody can tell.

    `reason` is one line for people ("exit status 3", "time limit", "out of memory on n12").
    `exit_status` and `signal` are None where unknown. `record` is the scheduler's own record. `kind` and
    `source` are codes of exit_kinds.py ('': not told). Not `confirmed`: its wrapper saw exit status 0 after a
    signal to end it, so that only the scheduler's account can say whether it is complete.
    """

    reason: str
    exit_status: int | None = None
    signal: int | None = None
    host: str = ""
    record: Mapping[str, Any] = {}
    kind: str = ""
    source: str = ""
    confirmed: bool = True


class LiveJob(NamedTuple):
    """One job in a scheduler's answer. `state` is one of the words above, or the scheduler's own;
    `token` is the JobSpec's, where the scheduler shows it."""

    id: str
    state: str
    token: str = ""
    name: str = ""
    reason: str = ""
    host: str = ""
    ending: ExitInfo | None = None


class JobSpec(NamedTuple):
    """All that an executor is told of one job that it shall submit.

    `name` is the batch's name with `/` between its parts; `script` an executable file or a command
    line; `environment` what the job must find in its environment, byte for byte; `stdout`, `stderr`
    and `cwd` are absolute paths; `token` is unique to this submission and must be findable in the
    scheduler's queue afterwards. `job_info` is the whole metadata, for executors that users write.
    """

    key: JobKey
    attempt: int
    token: str
    name: str
    script: str
    queue: str | None
    resources: Mapping[str, Any]
    directives: Sequence[str]
    environment: Mapping[str, str]
    stdout: str
    stderr: str
    cwd: str
    priority: Priority
    job_info: JobInfo
    spawn_id: int | None = None


TOO_MANY = "too_many"
AS_ASKED = "as_asked"
"""What a refusal of a submission holds for (Submitted.refusal): all jobs that ask for the same. TOO_MANY: as
long as the scheduler holds those that it has; AS_ASKED: whatever it holds."""


class SubmitResult(NamedTuple):
    """What became of one JobSpec.

    Either `id` is set; or `error` says why it was refused. With `certain` False nobody knows whether
    the scheduler took it (a time-out, a cut answer): it must be looked up by its token, never
    submitted again blindly. `refusal` says what a certain refusal holds for: TOO_MANY or AS_ASKED; '': for
    that job alone.
    """

    id: str | None
    error: str = ""
    certain: bool = True
    refusal: str = ""


class DeleteResult(NamedTuple):
    """What became of one request to delete: gone (also if it was gone before), or why not."""

    gone: bool
    error: str = ""


# --------------------------------------------------------------------------- what is read


class Batch(NamedTuple):
    """A batch and its counters: `counts[priority, state]` jobs."""

    batch_id: int
    name: str
    batch_type: str
    counts: Mapping[tuple[Priority, str], int]

    @property
    def states(self) -> dict[str, int]:
        """Jobs by state, in the order of a job's life, other states after them by name."""
        sums: dict[str, int] = {}
        for (_, state), n in self.counts.items():
            sums[state] = sums.get(state, 0) + n
        return {state: sums[state] for state in sorted(sums, key=state_order) if sums[state]}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def complete(self) -> int:
        """Jobs that are done: complete or collected."""
        return sum(n for (_, state), n in self.counts.items() if state in DONE_STATES)


class Stamp(NamedTuple):
    """Where a job stands: what is compared to know whether it is still as somebody saw it."""

    state: str
    attempt: int
    submitted_at: float | None = None
    started_at: float | None = None


class JobRow(NamedTuple):
    """The fields of a job that lists and grids show, without its metadata.

    `executor` is the name of the queue that it was submitted to; None where nobody knows. `token` is that
    submission's. `ending` and what follows from `exit_status` on are of its latest attempt's end; `kind` and
    `source` are codes of exit_kinds.py.
    """

    key: JobKey
    state: str
    priority: Priority
    attempt: int
    cluster_id: str | None
    submit_id: str | None
    hostname: str | None
    subtime: int | None
    changed_at: float
    ending: str | None
    rev: int
    submitted_at: float | None = None
    started_at: float | None = None
    claimed_by: str | None = None
    exit_status: int | None = None
    signal: int | None = None
    executor: str | None = None
    token: str | None = None
    kind: str = ""
    source: str = ""
    confirmed: bool = True
    ended_at: float | None = None

    @property
    def stamp(self) -> Stamp:
        """Where the job stands."""
        return Stamp(self.state, self.attempt, self.submitted_at, self.started_at)


class Spawn(NamedTuple):
    """One of the processes that a spawn job multiplied itself into."""

    spawn_id: int
    cluster_id: str | None
    state: str
    stdout: str
    stderr: str
    submit_id: str | None = None
    attempt: int = 0
    submitted_at: float | None = None
    executor: str | None = None
    token: str | None = None
    claimed_by: str | None = None


class Event(NamedTuple):
    """One entry of a job's history. `before` and `after` are states; `detail` what else changed."""

    at: float
    key: JobKey
    attempt: int
    who: str
    before: str | None
    after: str | None
    why: str
    detail: Mapping[str, Any] = {}


class Action(NamedTuple):
    """One act of a user upon many jobs, as the action history shows it."""

    id: int
    at: float
    who: str
    verb: str
    jobs: int
    command: str
    undone: bool
    can_undo: bool
    is_undo: bool = False


class MissingJob(NamedTuple):
    """Why a job that should be online is not; `since` is when it was heard of last (epoch s).

    `kind` is a code of exit_kinds.py; how jobs of the kinds in LOST ended is not known. `confirmed`: see
    ExitInfo.
    """

    reason: str
    since: float
    exit_status: int | None = None
    signal: int | None = None
    kind: str = ""
    confirmed: bool = True


class DatabaseHealth(NamedTuple):
    """Whether the database answers: `read_at` is when it last did (epoch s), `error` why not now."""

    path: str
    read_at: float = 0.0
    error: str = ""
    notice: str = ""


class SchedulerHealth(NamedTuple):
    """Whether the scheduler answers. `polled_at` is its last valid answer, `failing_since` when the
    trouble began (None: no trouble), both epoch seconds; `total` the jobs that it holds for the user;
    `notice` what else is to be said of it."""

    executor: str
    polled_at: float = 0.0
    failing_since: float | None = None
    error: str = ""
    total: int = 0
    notice: str = ""


class Snapshot(NamedTuple):
    """Everything that a screen or report shows, at one moment. Never changed once made.

    `rev` is the database's revision. `live` holds what the scheduler knows of our jobs, `missing`
    what it should and does not; `elsewhere` says of jobs that were submitted by another executor or
    user, and of which this scheduler can tell nothing, in whose queue they are. Spawn jobs may be live
    with several ids: `live_spawns` counts them. `changed` lists the jobs that are new or different since
    the snapshot before; `removed_batches` the batches that are gone; `reload` says that there were too
    many to list. `changed_batches` are batches whose counters may differ. `spawn_ids` are the ids of each
    spawn job's processes that the scheduler shows as running. `unreported` counts the jobs that run and have
    not said so: their state is submit still. `refused` are the batches of which `held_back` says that the
    scheduler refused their jobs.
    """

    rev: int
    batches: Mapping[int, Batch]
    live: Mapping[JobKey, LiveJob]
    missing: Mapping[JobKey, MissingJob]
    live_spawns: Mapping[JobKey, tuple[int, int]]
    blocked: Mapping[int, str]
    database: DatabaseHealth
    scheduler: SchedulerHealth
    changed: tuple[JobRow, ...] = ()
    removed_batches: tuple[int, ...] = ()
    changed_batches: frozenset[int] = frozenset()
    reload: bool = False
    elsewhere: Mapping[JobKey, str] = {}
    spawn_ids: Mapping[JobKey, frozenset[str]] = {}
    unreported: int = 0
    refused: frozenset[int] = frozenset()

    @property
    def total(self) -> int:
        return sum(batch.total for batch in self.batches.values())

    @property
    def complete(self) -> int:
        return sum(batch.complete for batch in self.batches.values())

    @property
    def running(self) -> int:
        """Jobs that the scheduler confirms as running."""
        return sum(1 for job in self.live.values() if job.state in (RUNNING, ENDING))


_ORDER = {state: i for i, state in enumerate(STATES)}


def state_order(state: str) -> tuple[int, str]:
    """Sort key that puts the known states in the order of a job's life and others after them."""
    return _ORDER.get(state, len(STATES)), state


def name_text(name: object) -> str:
    """A job's name as one string: the parts of a list joined by `/` (v0.6's title line)."""
    if isinstance(name, (list, tuple)):
        return "/".join(str(part) for part in name)
    return str(name)


def logs_of_spawns(info: JobInfo) -> dict[str, list[object]]:
    """SpawnID, stdout and stderr of the spawns that a job had, as lists; {} of a job that had none."""
    logs = info.get("spawn_logs")
    names = ("SpawnID", "stdout", "stderr")
    if not isinstance(logs, dict) or not all(isinstance(logs.get(name), list) for name in names):
        return {}  # or a user's own field of that name
    length = min(len(logs[name]) for name in names)
    return {name: logs[name][:length] for name in names}
