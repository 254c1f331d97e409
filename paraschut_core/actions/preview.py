"""Looks at what an action would meet, before anybody is asked whether to do it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from ..model import SPAWN, JobKey, Stamp
from ..monitoring import polling
from ..monitoring.liveness import find_missing_jobs
from ..project import Project
from ..scheduling.spawns import count_lost
from .protection import protect
from .report import IN_QUEUE, Hold, Selection


class ActionPreview(NamedTuple):
    """What an action would touch: jobs by state, how many are live or missing, and why those are.

    `queued` are the jobs that a deletion is for, `held` how many there are by each reason not to touch them.
    `stamps` tells where each job stood, so that what changes meanwhile can be left alone. `lost_spawns`
    are, per live job that multiplied itself, the spawns of it that are lost. `live_batches` have live
    jobs; `elsewhere` are the jobs of which only another executor or user could tell.
    """

    keys: list[JobKey]
    states: dict[str, int]
    live: int
    missing: int
    reasons: dict[str, int]
    highest_attempt: int
    queued: int
    held: Mapping[Hold, int]
    stamps: Mapping[JobKey, Stamp]
    lost_spawns: Mapping[JobKey, int]
    live_batches: frozenset[int]
    elsewhere: int


def preview(ws: Project, selection: Selection) -> ActionPreview:
    """Count the jobs that are selected, as the confirm dialog shows them."""
    keys = selection.resolve(ws)
    protection = protect(ws, keys)
    record = polling.poll_scheduler(ws)
    observed = find_missing_jobs(ws, record)
    states: dict[str, int] = {}
    highest = 0
    lost_spawns: dict[JobKey, int] = {}
    for row in protection.rows.values():
        states[row.state] = states.get(row.state, 0) + 1
        highest = max(highest, row.attempt)
        if row.state == SPAWN and row.key in observed.live:
            lost = count_lost(ws, row.key, record)
            if lost:
                lost_spawns[row.key] = lost
    chosen = set(keys)
    reasons: dict[str, int] = {}
    for key in chosen & observed.missing.keys():
        reason = observed.missing[key].reason
        reasons[reason] = reasons.get(reason, 0) + 1
    live = {key for key, held in protection.held.items() if held.code in IN_QUEUE}
    codes = Counter(held.code for held in protection.held.values())
    return ActionPreview(
        keys=keys,
        states=states,
        live=len(live),
        missing=sum(reasons.values()),
        reasons=reasons,
        highest_attempt=highest,
        queued=sum(codes[code] for code in (*IN_QUEUE, Hold.UNSEEN, Hold.SILENT)),
        held=dict(codes),
        stamps=protection.stamps,
        lost_spawns=lost_spawns,
        live_batches=frozenset(key.batch_id for key in live),
        elsewhere=codes[Hold.ELSEWHERE],
    )
