"""Which jobs may be submitted next, and why others wait. Pure: decides on counters alone.

The rules are v0.6's. Within a batch the group of the highest priority goes first, and the next only once
all of it is complete or collected; any other state above (also `run`, `submit` or a user's own) holds the
groups below back. Across batches priorities mean nothing below 100; from there up, only the batches at
the overall maximum may submit while such jobs are unfinished.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..model import DONE_STATES, GLOBAL_PRIORITY, INIT, Batch, Priority

PRIORITY = "priority"
"""Jobs of a higher priority are not complete."""

READY = "ready"
STATE = "state"
"""Unfinished jobs are in a state from which only a user moves them."""

MISSING = "missing"
ELSEWHERE = "elsewhere"
QUEUED = "queued"
REFUSED = "refused"
SILENT = "silent"


class BlockReason(NamedTuple):
    """Why a batch does not move: a code (one of the constants above) and a few words for people."""

    kind: str
    text: str


def batch_priority(batch: Batch) -> Priority | None:
    """The highest priority among a batch's unfinished jobs: its priority; None when all are done."""
    unfinished = [p for (p, state), n in batch.counts.items() if n and state not in DONE_STATES]
    return max(unfinished, default=None)


def submittable(batches: Iterable[Batch], min_priority: Priority = 0) -> list[tuple[int, Priority]]:
    """The (BatchID, priority) groups that may submit their `init` jobs now, by BatchID.

    Args:
        min_priority: batches below it are left out; 0 (the default everywhere) leaves out none, so that
            negative priorities run too.
    """
    priorities = {b.batch_id: p for b in batches if (p := batch_priority(b)) is not None}
    if not priorities:
        return []
    top = max(priorities.values())
    return [
        (batch_id, priority)
        for batch_id, priority in sorted(priorities.items())
        if (top < GLOBAL_PRIORITY or priority == top) and (not min_priority or priority >= min_priority)
    ]


def priority_blocks(batches: Mapping[int, Batch]) -> dict[int, BlockReason]:
    """Why batches that have `init` jobs cannot submit (all of) them now, in a few words each."""
    priorities = {i: p for i, batch in batches.items() if (p := batch_priority(batch)) is not None}
    top = max(priorities.values(), default=0)
    leaders = [i for i, p in priorities.items() if p == top]
    reasons: dict[int, BlockReason] = {}
    for batch_id, priority in priorities.items():
        counts = batches[batch_id].counts
        if not any(n for (_, state), n in counts.items() if state == INIT):
            continue
        if priority < top and top >= GLOBAL_PRIORITY:
            name = batches[leaders[0]].name
            others = f" and {len(leaders) - 1} more" if len(leaders) > 1 else ""
            reasons[batch_id] = BlockReason(PRIORITY, f"waits for priority {top:g}: {name}{others}")
        elif not counts.get((priority, INIT)):
            reasons[batch_id] = BlockReason(PRIORITY, f"waits for priority {priority:g}")
    return reasons
