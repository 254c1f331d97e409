"""What all actions share: which jobs, who looks on, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from ..database.events import add_action
from ..database.jobs import checked_id, read_keys, require_batch
from ..database.lifecycle import Refusal, Refused
from ..filtering.find_jobs import find_jobs
from ..identity import queue_name
from ..model import BatchJobs, JobKey
from ..monitoring import polling
from ..monitoring.liveness import find_missing_jobs
from ..project import Project
from ..sanitize import spans
from ..scheduling.submission import Progress


class Selection(NamedTuple):
    """The jobs that an action is for: given ones, whole batches, or all that match a Filter."""

    keys: tuple[JobKey, ...] = ()
    batches: tuple[int, ...] = ()
    condition: str = ""

    def resolve(self, ws: Project) -> list[JobKey]:
        """The keys, each once, in order. Raises UnknownJobError, FilterError."""
        keys = list(self.keys)
        for batch_id in self.batches:
            require_batch(ws.reader, batch_id)
            keys.extend(read_keys(ws.reader, batch_id))
        if self.condition:
            keys.extend(
                find_jobs(
                    ws.reader,
                    self.condition,
                    lambda: find_missing_jobs(ws, polling.poll_scheduler(ws)).missing.keys(),
                )
            )
        return sorted(set(keys))


class ResultKind(Enum):
    """What became of one job in an action."""

    DONE = "done"
    SKIPPED = "left alone"
    FAILED = "failed"


class Effect(Enum):
    """What a deletion from the queue did to a job."""

    KILLED = "killed"
    UNQUEUED = "unqueued"


class Hold(Enum):
    """Why a job is not to be touched."""

    RUNNING = "it runs"
    QUEUED = "it waits in the queue"
    SUBMITTING = "it is being submitted and has no id yet"
    UNSEEN = "the queue does not show it, and not for long enough to prove anything"
    BY_HAND = "it was started by hand, and no queue knows of it"
    ELSEWHERE = "it is in a queue of which nothing can be said here"
    SILENT = "the scheduler does not answer"
    CHANGED = "it changed after it was looked at"


IN_QUEUE = frozenset({Hold.RUNNING, Hold.QUEUED})
"""What the scheduler shows."""


class JobResult(NamedTuple):
    """What became of one job; `message` is for people.

    It is skipped where the action is not for such a job (it is complete, say), which is no failure.
    `processes` are those submitted for it: several for a job that multiplied itself. `effect` is what a
    deletion did to it; `hold` says that it may run, and was left alone for that.
    """

    key: JobKey
    kind: ResultKind
    message: str = ""
    processes: int = 1
    effect: Effect | None = None
    hold: Hold | None = None

    @property
    def ok(self) -> bool:
        return self.kind is ResultKind.DONE

    @property
    def left(self) -> bool:
        return self.kind is ResultKind.SKIPPED


def outcome_of(key: JobKey, refusal: Refusal | None) -> JobResult:
    """What a change of fields came to."""
    if refusal is None:
        return JobResult(key, ResultKind.DONE)
    skipped = refusal.code in (Refused.SPARED, Refused.CHANGED)
    return JobResult(key, ResultKind.SKIPPED if skipped else ResultKind.FAILED, refusal.words)


class ActionReport(NamedTuple):
    """What an action did. `action` is the number under which it can be undone."""

    verb: str
    outcomes: list[JobResult]
    action: int | None = None
    stopped: bool = False

    @property
    def done(self) -> int:
        return sum(1 for outcome in self.outcomes if outcome.ok)

    @property
    def failed(self) -> list[JobResult]:
        """What did not work."""
        return [outcome for outcome in self.outcomes if outcome.kind is ResultKind.FAILED]

    @property
    def left(self) -> list[JobResult]:
        """What was left alone."""
        return [outcome for outcome in self.outcomes if outcome.left]

    def effects(self) -> dict[Effect, int]:
        """How many jobs a deletion killed, and how many it took out of the queue before they ran."""
        counted = Counter(outcome.effect for outcome in self.outcomes if outcome.ok)
        return {effect: counted[effect] for effect in Effect if counted[effect]}


class ProgressReporter(NamedTuple):
    """Progress callback and cancellation check of a long action."""

    progress: Progress | None = None
    cancelled: Callable[[], bool] = lambda: False

    def tell(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)


NO_PROGRESS = ProgressReporter()


def record_action(ws: Project, verb: str, jobs: int, command: str) -> None:
    """Record an action that cannot be undone, unless it changed no job."""
    if jobs:
        with ws.db.transaction() as tx:
            add_action(tx, verb, jobs, command or verb, can_undo=False)


def foreign_queue_message(ws: Project, where: str) -> str:
    """Why nothing can be said or done here about a job that is in another's queue."""
    return (
        f"it was submitted to {where}, and what is asked here is {queue_name(ws.executor.backend_id).shown}"
    )


def batch_ids(value: int | str | Iterable[int | str] | BatchJobs) -> list[int]:
    """BatchIDs from what v0.6's functions take as `B`: one, many, or what get_queue returned.

    Raises:
        UsageError: anything that is not an integer (v0.6 pasted it into SQL).
    """
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [checked_id(item) for item in value]
    return [checked_id(value)]


def by_message(outcomes: Iterable[JobResult]) -> list[str]:
    """Outcomes as lines `BATCH: JOBS: message`, jobs of one message together."""
    groups: dict[tuple[int, str], list[int]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.key.batch_id, outcome.message), []).append(outcome.key.job_index)
    return [f"{batch} {spans(jobs)}: {message}" for (batch, message), jobs in groups.items()]
