"""Remembers what the scheduler refused, so that the same is not tried again and again."""

from __future__ import annotations

import time
import zlib
from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from ..config import Settings
from ..database.connection import Database
from ..database.refused_jobs import (
    RefusedJob,
    forget_refused,
    keep_refused,
    read_refused,
    read_refused_batches,
)
from ..identity import queue_name
from ..model import INIT, ONLINE_STATES, TOO_MANY, JobKey
from ..project import Project
from ..sanitize import clean_line

AGAIN_SECONDS = 60.0
"""After so long, what was refused is tried again by itself, whether or not something changed."""

_TITLES = {"slurm": "Slurm", "sge": "Grid Engine", "pbs": "PBS"}


class Refusals:
    """What one queue refused before and, in one act of submitting, refuses now.

    Args:
        by_itself: nobody asked for this act but the program (a job that completed, a timer): what was
            refused is tried again only when something changed or AGAIN_SECONDS passed.
        in_queue: the user's jobs in the queue; None: they are not counted.
    """

    def __init__(self, ws: Project, *, by_itself: bool = False, in_queue: int | None = None) -> None:
        self._ws = ws
        self._by_itself = by_itself
        self._in_queue = in_queue
        self._queue = ws.executor.backend_id
        self._settings = _digest(_that_matter(ws.settings))
        self._known = read_refused(ws.reader, self._queue)
        self._now: dict[str, RefusedJob] = {}
        self._batches: dict[str, set[int]] = {}
        self._taken: set[str] = set()
        self._taken_of: set[int] = set()

    def standing(self, asked: str) -> RefusedJob | None:
        """The refusal because of which such jobs are not to be tried in this act; None: try them."""
        if asked in self._now:
            return self._now[asked]
        known = self._known.get(asked)
        if known is None or not self._by_itself:
            return None
        if self._is_old(known) or self.fallen(asked):
            return None
        return known

    def known(self, asked: str) -> RefusedJob | None:
        """What was refused of such jobs, now or before."""
        return self._now.get(asked) or self._known.get(asked)

    def _is_old(self, known: RefusedJob) -> bool:
        return known.settings != self._settings or not 0 <= time.time() - known.at < AGAIN_SECONDS

    def fallen(self, asked: str) -> int:
        """By how many the jobs in the queue have become fewer since it took no more of these."""
        known = self._known.get(asked)
        if known is None or known.kind != TOO_MANY or self._in_queue is None:
            return 0
        return max(known.in_queue - self._in_queue, 0)

    def first(self, asked: str, most: int) -> int:
        """How many such jobs to try at first: few, where some were refused."""
        known = self._known.get(asked)
        crowded = any(one.kind == TOO_MANY for one in self._now.values())
        if known is None and not crowded:
            return most
        return min(max(self.fallen(asked), 1), most)

    def at_most(self, asked: str) -> int | None:
        """How many such jobs this act may submit; None: as many as are taken."""
        known = self._known.get(asked)
        if known is None or not self._by_itself or self._is_old(known):
            return None
        return self.fallen(asked)

    def note(self, asked: str, kind: str, words: str, batches: Iterable[int]) -> None:
        """Record that such jobs, of these batches, were refused in this act."""
        at, in_queue = time.time(), self._in_queue or 0
        self._now[asked] = RefusedJob(asked, kind, words, at, in_queue, self._settings)
        self._batches.setdefault(asked, set()).update(batches)

    def hold(self, asked: str, batches: Iterable[int]) -> None:
        """Record that a refusal which stands holds up these batches as well."""
        self._batches.setdefault(asked, set()).update(batches)

    def took(self, asked: str, keys: Iterable[JobKey]) -> None:
        """Record that such jobs were taken."""
        self._taken.add(asked)
        self._taken_of.update(key.batch_id for key in keys)

    def keep(self, in_queue: int | None = None) -> None:
        """Write down what is new, if anything is.

        Args:
            in_queue: the user's jobs in the queue after this act.
        """
        over = [asked for asked in self._taken & self._known.keys() if asked not in self._now]
        of_batches = self._taken_of if self._known else set()
        if not (self._now or over or of_batches):
            return
        with self._ws.db.transaction() as tx:
            forget_refused(tx, self._queue, over, of_batches)
            for asked, refused in self._now.items():
                if in_queue is not None:
                    refused = refused._replace(in_queue=in_queue)
                keep_refused(tx, self._queue, refused, self._batches[asked])
            self._known.update(self._now)

    @property
    def some(self) -> bool:
        """Whether anything was refused in this act."""
        return bool(self._now)


def asked_by(group: object) -> str:
    """What is noted of jobs that ask for the same (an executor's batch_key)."""
    return _digest(group)


def asked_by_one(key: JobKey) -> str:
    """What is noted of one job that was refused, and no other with it."""
    return f"job {key.batch_id} {key.job_index}"


class RefusalMessage(NamedTuple):
    """That jobs of a batch were refused: by whom and why, for people; `kind` is as in Submitted."""

    words: str
    kind: str

    def holds_up(self, states: Container[str]) -> bool:
        """Whether a batch with jobs in these states is held up: jobs of it wait. One that runs at the limit
        of what is taken goes on as it should."""
        return INIT in states and not (
            self.kind == TOO_MANY and any(state in states for state in ONLINE_STATES)
        )


def refused_batches(db: Database) -> Mapping[int, RefusalMessage]:
    """The latest refusal for each batch of which jobs were refused."""
    return {
        batch_id: RefusalMessage(
            f"refused by {title(queue_name(queue).kind)}: {clean_line(words, 400)}", kind
        )
        for batch_id, (queue, kind, words) in read_refused_batches(db).items()
    }


def title(executor: str) -> str:
    """An executor's name in a sentence."""
    return _TITLES.get(executor, executor)


def _that_matter(settings: Settings) -> object:
    resources = sorted((settings.resources or {}).items(), key=str)
    return settings.executor, settings.queue, resources, settings.submit


def _digest(what: object) -> str:
    text = repr(what).encode(errors="surrogateescape")
    return f"{zlib.crc32(text):08x}{zlib.adler32(text):08x}"
