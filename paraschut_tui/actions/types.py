"""What passes through the gateway about jobs and actions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from paraschut_core.model import Event, ExitInfo, JobInfo, JobKey, JobRow, Spawn, Stamp

from .resource_increase import ResourceIncrease


class JobRecord(NamedTuple):
    """All that the index has of one job. `error` says why it could not be read."""

    key: JobKey
    info: JobInfo
    events: Sequence[Event] = ()
    spawns: Sequence[Spawn] = ()
    row: JobRow | None = None
    error: str = ""
    ending: ExitInfo | None = None


class ActionTarget(NamedTuple):
    """What an action is done to: jobs by key, whole batches, or both. `title` says it in words; `raises`
    are resources to be raised first; `stamps` where the jobs stood when the user was asked, `signatures` the
    same of whole batches: what changed since is left alone."""

    title: str
    keys: tuple[JobKey, ...] = ()
    batches: tuple[int, ...] = ()
    raises: ResourceIncrease = ResourceIncrease()
    stamps: Mapping[JobKey, Stamp] = {}
    signatures: Mapping[int, frozenset[tuple[str, int, int]]] = {}

    def __bool__(self) -> bool:
        return bool(self.keys or self.batches)


class PreviewText(NamedTuple):
    """What an action would meet.

    `counts` are jobs by state, `done` of them finished, `live` known to the scheduler (in so many
    `live_batches`), `running` of these run; `elsewhere` in another scheduler's or user's queue, `queued` are
    those that a deletion is for, `held` all that may be in a queue. `stamps` and `signatures` tell where jobs
    and batches stood.
    `lost_spawns` are the spawns that live jobs lost, `halves` how many jobs those are. `attempt` is the
    highest attempt so far; `hints` are further lines to show; `lines` stand in place of the counts; `raises`
    is what the jobs may need more of this time.
    """

    total: int
    counts: Mapping[str, int]
    live: int = 0
    missing: int = 0
    done: int = 0
    attempt: int = 0
    hints: tuple[str, ...] = ()
    raises: ResourceIncrease = ResourceIncrease()
    queued: int = 0
    live_batches: int = 0
    halves: int = 0
    lost_spawns: int = 0
    stamps: Mapping[JobKey, Stamp] = {}
    lines: tuple[str, ...] = ()
    elsewhere: int = 0
    running: int = 0
    held: int = 0
    signatures: Mapping[int, frozenset[tuple[str, int, int]]] = {}


class JobMessage(NamedTuple):
    """A job for which an action did not work, or was not done, and why."""

    key: JobKey
    message: str


class ActionResult(NamedTuple):
    """What came of an action: how many jobs it was done to (`made` says what of each), which it failed for
    and which it left alone. `error` says why nothing was done at all."""

    done: int
    failures: tuple[JobMessage, ...] = ()
    can_undo: bool = False
    command: str = ""
    note: str = ""
    error: str = ""
    left: tuple[JobMessage, ...] = ()
    made: tuple[JobMessage, ...] = ()
