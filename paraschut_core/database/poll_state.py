"""The scheduler's last answer, kept for all processes, and the lease of whoever asks next."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..model import ExitInfo, LiveJob
from .connection import Database, process_is_alive

AbsentIds = Mapping[str, tuple[float, int]]
"""The ids that should be in the queue at the last poll: (epoch s when it was last seen there, or first
looked for; polls in a row without it, 0 for those that it showed)."""

LEASE = 240.0
"""Seconds after which a poll that was begun and never ended is taken over by another process. Longer than
any scheduler command may take."""


class PollState(NamedTuple):
    """What is known of a scheduler: its last valid answer, and the trouble since.

    `rev` is the database's revision when the scheduler was asked for that answer: what rows tell of later
    ones it says nothing about, whatever the clocks of their hosts say.
    """

    polled_at: float = 0.0
    answer: Mapping[str, LiveJob] = MappingProxyType({})
    absent: AbsentIds = MappingProxyType({})
    failing_since: float | None = None
    failures: int = 0
    empties: int = 0
    error: str = ""
    tried_at: float = 0.0
    rev: int = 0


def _pack(value: object) -> bytes:
    # A user's own executor may put anything where text belongs.
    return zlib.compress(json.dumps(value, separators=(",", ":"), default=str).encode(), 1)


def _kept_ending(ending: ExitInfo | None) -> list[object] | None:
    """What is kept of an end that the queue shows: no more fields than processes of earlier versions read.

    One that is not confirmed needs its code, and is left to the accounts.
    """
    return None if ending is None or not ending.confirmed else list(ending[:4])


def _unpack_jobs(blob: bytes | None) -> dict[str, LiveJob]:
    if not blob:
        return {}
    jobs = {}
    for fields in json.loads(zlib.decompress(blob)):
        ending = fields.pop()
        job = LiveJob._make([*fields, None if ending is None else ExitInfo(*ending)])
        jobs[job.id] = job
    return jobs


def read_poll(db: Database, scheduler: str) -> PollState:
    """What the database keeps of this scheduler."""
    rows = db.rows(
        "SELECT polled_at, answer, absent, failing_since, failures, empties, error, lease_at, rev FROM poll"
        " WHERE scheduler = ?",
        (scheduler,),
    )
    if not rows:
        return PollState()
    polled_at, answer, absent, failing_since, failures, empties, error, lease_at, rev = rows[0]
    try:
        jobs = _unpack_jobs(answer)
        found = json.loads(zlib.decompress(absent)) if absent else {}
        known = {id_: (at, n) for id_, (at, n) in found.items()}
    except (ValueError, TypeError, AttributeError, zlib.error):
        return PollState()  # damaged, or of another version: the next poll replaces it
    return PollState(
        polled_at,
        jobs,
        known,
        failing_since,
        failures,
        empties,
        error,
        lease_at,
        rev,
    )


def take_lease(db: Database, scheduler: str, interval: float) -> bool:
    """Return whether this process shall ask the scheduler now: nobody did within `interval` seconds.

    A time far in the future (another host's clock is ahead) counts as long ago, a little is no matter.
    """

    def taken(at: float, holder: str | None, now: float) -> bool:
        return abs(now - at) < interval or _held(at, holder, now)

    rows = db.rows("SELECT lease_at, lease_who FROM poll WHERE scheduler = ?", (scheduler,))
    if rows and taken(rows[0][0], rows[0][1], time.time()):
        return False  # looked at without a lock first: most processes find that it is not their turn
    with db.transaction() as tx:
        row = tx.connection.execute(
            "SELECT lease_at, lease_who FROM poll WHERE scheduler = ?", (scheduler,)
        ).fetchone()
        # Asked again: while this one waited for the lock, another may have been.
        if row and taken(row[0], row[1], tx.at):
            return False
        tx.connection.execute(
            "INSERT INTO poll (scheduler, lease_at, lease_who) VALUES (?, ?, ?)"
            " ON CONFLICT (scheduler) DO UPDATE SET"
            " lease_at = excluded.lease_at, lease_who = excluded.lease_who",
            (scheduler, tx.at, tx.who),
        )
    return True


def is_leased(db: Database, scheduler: str) -> bool:
    """Return whether a process is asking the scheduler right now."""
    rows = db.rows("SELECT lease_at, lease_who FROM poll WHERE scheduler = ?", (scheduler,))
    return bool(rows) and _held(rows[0][0], rows[0][1], time.time())


def _held(at: float, holder: str | None, now: float) -> bool:
    """Return whether a lease is in force: its holder may be at work, for no longer than any command takes."""
    return bool(holder) and abs(now - at) < LEASE and process_is_alive(holder or "") is not False


def store_poll(db: Database, scheduler: str, record: PollState, *, answered: bool) -> None:
    """Keep the result of a poll and give the lease back; without an answer the last one stays."""
    with db.transaction() as tx:
        tx.connection.execute(
            "INSERT INTO poll (scheduler) VALUES (?) ON CONFLICT (scheduler) DO NOTHING", (scheduler,)
        )
        tx.connection.execute(
            "UPDATE poll SET lease_who = NULL, lease_at = ?, failing_since = ?, failures = ?, empties = ?,"
            " error = ? WHERE scheduler = ?",
            (tx.at, record.failing_since, record.failures, record.empties, record.error, scheduler),
        )
        if answered:
            jobs = [[*job[:-1], _kept_ending(job.ending)] for job in record.answer.values()]
            tx.connection.execute(
                "UPDATE poll SET polled_at = ?, rev = ?, answer = ?, absent = ? WHERE scheduler = ?",
                (record.polled_at, record.rev, _pack(jobs), _pack(dict(record.absent)), scheduler),
            )
