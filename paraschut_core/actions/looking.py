"""Looks at what an action would meet, before anybody is asked whether to do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .. import polling
from ..db.jobs import read_rows
from ..model import DONE_STATES, SPAWN, JobKey
from ..observation import look
from ..spawns import count_lost
from ..workspace import Workspace
from .common import Selection


class Preview(NamedTuple):
    """What an action would touch: jobs by state, how many are live or missing, and why those are.

    `queued` are the unfinished jobs with an id, which a deletion is for. `attempts` tells at which
    submission each job was seen, so that what somebody submits meanwhile can be left alone. `lost_spawns`
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
    attempts: Mapping[JobKey, int]
    lost_spawns: Mapping[JobKey, int]
    live_batches: frozenset[int]
    elsewhere: int


def preview(ws: Workspace, selection: Selection) -> Preview:
    """Counts the jobs that are selected, as the confirm dialog shows them."""
    keys = selection.resolve(ws)
    record = polling.ask(ws)
    observed = look(ws, record)
    states: dict[str, int] = {}
    highest = queued = 0
    attempts: dict[JobKey, int] = {}
    lost_spawns: dict[JobKey, int] = {}
    for row in read_rows(ws.reader, keys):
        states[row.state] = states.get(row.state, 0) + 1
        highest = max(highest, row.attempt)
        attempts[row.key] = row.attempt
        queued += row.state not in DONE_STATES and (bool(row.submit_id or row.cluster_id))
        if row.state == SPAWN and row.key in observed.live:
            lost = count_lost(ws, row.key, record)
            if lost:
                lost_spawns[row.key] = lost
    chosen = set(keys)
    reasons: dict[str, int] = {}
    for key in chosen & observed.missing.keys():
        reason = observed.missing[key].reason
        reasons[reason] = reasons.get(reason, 0) + 1
    live = chosen & observed.live.keys()
    return Preview(
        keys,
        states,
        len(live),
        sum(reasons.values()),
        reasons,
        highest,
        queued,
        attempts,
        lost_spawns,
        frozenset(key.batch_id for key in live),
        len(chosen & observed.elsewhere.keys()),
    )
