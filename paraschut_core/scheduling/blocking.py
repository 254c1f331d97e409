"""Why batches are blocked: a code and a few words each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import isinf

from .. import model
from ..model import DONE_STATES, INIT, ONLINE_STATES, Batch, JobKey, LiveJob
from .priority import (
    ELSEWHERE,
    MISSING,
    PRIORITY,
    QUEUED,
    READY,
    REFUSED,
    SILENT,
    STATE,
    BlockReason,
    priority_blocks,
    submittable,
)

_WAITING = (model.QUEUED, model.HELD, model.STUCK)
_NONE: Mapping[int, str] = {}


def blocked_reasons(
    batches: Mapping[int, Batch],
    live: Mapping[JobKey, LiveJob],
    missing: Iterable[JobKey],
    elsewhere: Mapping[JobKey, str],
    *,
    silent: str = "",
    full: str = "",
    refused: Mapping[int, str] = _NONE,
) -> dict[int, BlockReason]:
    """Return why each batch is blocked that does not move, or has jobs that wait for others.

    The cost grows with the jobs in the queue and the batches, not with the jobs in the file.

    Args:
        live, missing, elsewhere: what is known of the jobs that should be online.
        silent: words for a scheduler that does not answer: its earlier answers explain nothing then.
        full: words for a queue that takes no more jobs.
        refused: for batches whose jobs were refused, by whom and why: this comes before all else.
    """
    found = _by_rules(batches, full)
    queued: dict[int, Counter[str]] = {}
    moving: set[int] = set()
    for key, job in live.items():
        if job.state in _WAITING:
            queued.setdefault(key.batch_id, Counter())[job.reason or job.state] += 1
        else:
            moving.add(key.batch_id)
    for batch_id in moving:
        if batch_id in found and found[batch_id].kind != PRIORITY:
            del found[batch_id]  # it moves: that there is more to be submitted is no standstill
    for batch_id, n in Counter(key.batch_id for key in missing).items():
        if batch_id not in moving and batch_id not in queued:
            waits = batch_id in found and found[batch_id].kind == PRIORITY
            found[batch_id] = BlockReason(MISSING, f"{n:,} missing{_holding(n) if waits else ''}")
    for batch_id, (n, where) in _by_queue(elsewhere).items():
        if batch_id not in moving and batch_id not in queued:
            found[batch_id] = BlockReason(ELSEWHERE, f"{n:,} in {where}, which this executor does not manage")
    for batch_id, words_of in queued.items():
        if batch_id not in moving:
            words, n = words_of.most_common(1)[0]
            text = f"{n:,} {words}" if words in _WAITING else f"{n:,} queued: {words}"
            found[batch_id] = BlockReason(QUEUED, text)
    found.update((batch_id, BlockReason(REFUSED, text)) for batch_id, text in refused.items())
    if silent:
        online = (i for i, batch in batches.items() if ONLINE_STATES & batch.states.keys())
        found.update(dict.fromkeys(online, BlockReason(SILENT, silent)))
    return found


def _by_rules(batches: Mapping[int, Batch], full: str) -> dict[int, BlockReason]:
    """What the priorities and the states alone tell."""
    found = priority_blocks(batches)
    for batch_id, priority in submittable(batches.values()):
        batch = batches[batch_id]
        unfinished = {
            s: n for (p, s), n in batch.counts.items() if p == priority and n and s not in DONE_STATES
        }
        if INIT in unfinished:
            ready = unfinished[INIT]
            odd = f"{ready:,} without a valid priority: paraschut doctor names them"
            text = odd if isinf(priority) else full or f"{ready:,} ready to be submitted"
            found[batch_id] = BlockReason(READY, text)
        elif not unfinished.keys() & ONLINE_STATES:
            # A state of the user's own: nothing goes on before somebody looks at it.
            state, n = max(unfinished.items(), key=lambda item: item[1])
            group = _holding(n) if batch_id in found else ""
            found[batch_id] = BlockReason(STATE, f"{n:,} {state or '(empty)'}{group}")
    return found


def _holding(n: int) -> str:
    return f" hold{'s' if n == 1 else ''} back the next group"


def _by_queue(elsewhere: Mapping[JobKey, str]) -> dict[int, tuple[int, str]]:
    """For each batch with jobs in other queues: how many, and in which (the first of several)."""
    found: dict[int, tuple[int, str]] = {}
    for key, where in elsewhere.items():
        n, first = found.get(key.batch_id, (0, where))
        found[key.batch_id] = n + 1, first
    return found
