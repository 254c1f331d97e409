"""What all actions share: which jobs, who looks on, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..db.filters import matching_keys
from ..db.history import add_action
from ..db.jobs import checked_id, read_keys, require_batch
from ..identity import queue_name
from ..model import BatchJobs, JobKey
from ..submission import Progress
from ..workspace import Workspace


class Selection(NamedTuple):
    """The jobs that an action is for: given ones, whole batches, or all that match a Filter."""

    keys: tuple[JobKey, ...] = ()
    batches: tuple[int, ...] = ()
    condition: str = ""

    def resolve(self, ws: Workspace) -> list[JobKey]:
        """The keys, each once, in order. Raises UnknownJobError, FilterError."""
        keys = list(self.keys)
        for batch_id in self.batches:
            require_batch(ws.reader, batch_id)
            keys.extend(read_keys(ws.reader, batch_id))
        if self.condition:
            keys.extend(matching_keys(ws.reader, self.condition))
        return sorted(set(keys))


class Outcome(NamedTuple):
    """What became of one job.

    `left`: it was left alone because the action is not for such a job (it is complete, say), which is not
    a failure. `processes` are those submitted for it: several for a job that multiplied itself.
    """

    key: JobKey
    ok: bool
    message: str = ""
    left: bool = False
    processes: int = 1


class Report(NamedTuple):
    """What an action did. `action` is the number under which it can be undone."""

    verb: str
    outcomes: list[Outcome]
    action: int | None = None
    stopped: bool = False

    @property
    def done(self) -> int:
        return sum(1 for outcome in self.outcomes if outcome.ok)

    @property
    def failed(self) -> list[Outcome]:
        """What did not work."""
        return [outcome for outcome in self.outcomes if not outcome.ok and not outcome.left]

    @property
    def left(self) -> list[Outcome]:
        """What was left alone."""
        return [outcome for outcome in self.outcomes if outcome.left]


class Watcher(NamedTuple):
    """Somebody who looks on: told of progress, asked whether to stop."""

    progress: Progress | None = None
    cancelled: Callable[[], bool] = lambda: False

    def tell(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)


NOBODY = Watcher()


def note(ws: Workspace, verb: str, jobs: int, command: str) -> None:
    """Puts an act that cannot be undone into the action history; one that changed nothing is not worth it."""
    if jobs:
        with ws.db.transaction() as tx:
            add_action(tx, verb, jobs, command or verb, can_undo=False)


def out_of_sight(ws: Workspace, where: str) -> str:
    """Why nothing can be said or done here about a job that is in another's queue."""
    return f"it was submitted to {where}, and what is asked here is {queue_name(ws.executor.identity).shown}"


def batch_ids(value: int | str | Iterable[int | str] | BatchJobs) -> list[int]:
    """BatchIDs from what v0.6's functions take as `B`: one, many, or what get_queue returned.

    Raises:
        UsageError: anything that is not an integer (v0.6 pasted it into SQL).
    """
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [checked_id(item) for item in value]
    return [checked_id(value)]
