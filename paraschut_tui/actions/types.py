"""Data about jobs and actions that the backend and the screen exchange. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import NamedTuple

from paraschut_core.model import Event, ExitInfo, JobInfo, JobKey, JobRow, Spawn, Stamp

from .resource_increase import ResourceIncrease


@dataclass(frozen=True)
class JobRecord:
    """All that the database has of one job. `error` says why it could not be read."""

    key: JobKey
    info: JobInfo
    _: KW_ONLY
    events: Sequence[Event] = ()
    spawns: Sequence[Spawn] = ()
    row: JobRow | None = None
    error: str = ""
    ending: ExitInfo | None = None


@dataclass(frozen=True)
class ActionTarget:
    """The jobs that an action applies to.

    Attributes:
        title: the target in words.
        keys: single jobs.
        batches: whole batches, beside the single jobs.
        raises: resources to raise first.
        stamps: where the jobs stood when the user was asked. What changed since is left alone.
        signatures: the same of whole batches.
    """

    title: str
    keys: tuple[JobKey, ...] = ()
    batches: tuple[int, ...] = ()
    _: KW_ONLY
    raises: ResourceIncrease = field(default_factory=ResourceIncrease)
    stamps: Mapping[JobKey, Stamp] = field(default_factory=dict)
    signatures: Mapping[int, frozenset[tuple[str, int, int]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.keys or self.batches)


@dataclass(frozen=True)
class PreviewText:
    """What an action would meet. All numbers count jobs unless stated otherwise.

    Attributes:
        total: all jobs (files, where files are removed).
        counts: jobs by state.
        live: known to the scheduler.
        live_batches: batches of the live jobs.
        running: live jobs that run.
        missing: expected in the queue, but not there.
        elsewhere: in the queue of another scheduler or user.
        queued: jobs that a deletion applies to.
        held: jobs that may be in a queue.
        done: finished jobs.
        halves: live jobs that lost spawns.
        lost_spawns: spawns that those lost.
        attempt: the highest attempt so far.
        hints: further lines to show.
        lines: lines to show in place of the counts.
        raises: resources that the jobs may need more of.
        stamps: where the jobs stood.
        signatures: the same of whole batches.
    """

    total: int
    counts: Mapping[str, int]
    _: KW_ONLY
    live: int = 0
    live_batches: int = 0
    running: int = 0
    missing: int = 0
    elsewhere: int = 0
    queued: int = 0
    held: int = 0
    done: int = 0
    halves: int = 0
    lost_spawns: int = 0
    attempt: int = 0
    hints: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    raises: ResourceIncrease = field(default_factory=ResourceIncrease)
    stamps: Mapping[JobKey, Stamp] = field(default_factory=dict)
    signatures: Mapping[int, frozenset[tuple[str, int, int]]] = field(default_factory=dict)


class JobMessage(NamedTuple):
    """What an action did to a job, or why it did nothing."""

    key: JobKey
    message: str


@dataclass(frozen=True)
class ActionResult:
    """The result of an action.

    Attributes:
        done: how many jobs the action changed; `made` says how.
        failures: jobs for which it failed.
        left: jobs that it left alone.
        can_undo: whether it can be undone.
        command: the command line that does the same, without the program's name.
        note: a remark for the user.
        error: why nothing was done at all.
    """

    done: int
    _: KW_ONLY
    failures: tuple[JobMessage, ...] = ()
    left: tuple[JobMessage, ...] = ()
    made: tuple[JobMessage, ...] = ()
    can_undo: bool = False
    command: str = ""
    note: str = ""
    error: str = ""
