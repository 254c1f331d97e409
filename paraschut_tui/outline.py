"""The rows of the batch tree: which batches, states, jobs and spawns are listed, in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from paraschut_core.model import DONE_STATES, Batch, JobKey, Snapshot
from paraschut_core.text import clean_line

from .look import KNOWN, L_MISSING, Looks

BATCH, NOTE, STATE, JOB, SPAWN_ROW, MORE, HEADING = range(7)
"""Kinds of rows. NOTE says why a batch does not move, MORE that a list goes on, HEADING names a group of
batches: the cursor passes over all three."""

MOST_JOBS = 2000
"""Jobs listed under one state; who wants more of them looks at the grid."""


class NodeKey(NamedTuple):
    """What identifies a row through all refreshes. -1 stands for "no such part"."""

    kind: int
    batch_id: int
    look: int = -1
    job: int = -1
    spawn: int = -1


class Row(NamedTuple):
    """One row; `number` is its count of jobs, `text` what else it says."""

    key: NodeKey
    number: int = 0
    text: str = ""

    @property
    def selectable(self) -> bool:
        return self.key.kind in (BATCH, STATE, JOB, SPAWN_ROW)


class StateCount(NamedTuple):
    """Jobs of a batch in one state, or missing (`look` L_MISSING)."""

    look: int
    number: int


class Outline:
    """Which branches of the tree are open, and the rows that follow from it and a snapshot."""

    def __init__(self, looks: Looks) -> None:
        self.looks = looks
        self.open: set[NodeKey] = set()
        self.jobs: dict[NodeKey, list[int]] = {}
        """JobIndexes under each open state, as far as they were loaded."""
        self.spawns: dict[NodeKey, list[tuple[int, str]]] = {}
        """(SpawnID, what to say of it) under each open spawn job."""
        self.grouping = "time"
        self.rows: list[Row] = []
        self._at: dict[NodeKey, int] = {}

    def row_of(self, key: NodeKey) -> int | None:
        return self._at.get(key)

    def toggle(self, key: NodeKey) -> bool:
        """Opens or closes a branch; returns whether it is open now."""
        if key in self.open:
            self.open.discard(key)
            return False
        self.open.add(key)
        return True

    def build(self, snapshot: Snapshot, missing_states: Mapping[int, Mapping[int, int]]) -> None:
        """Works the rows out anew.

        Args:
            missing_states: per batch, how many of each state's jobs (by state code) are missing: they
                are listed as missing and not under their state.
        """
        rows: list[Row] = []
        heading = None
        for batch in ordered(snapshot.batches.values(), self.grouping):
            if self.grouping != "time":
                group = _group_name(batch, self.grouping)
                if group != heading:
                    heading = group
                    rows.append(Row(NodeKey(HEADING, batch.batch_id), text=clean_line(group)))
            self._add_batch(rows, batch, snapshot, missing_states.get(batch.batch_id, {}))
        self.rows = rows
        self._at = {row.key: at for at, row in enumerate(rows)}

    def _add_batch(self, rows: list[Row], batch: Batch, snapshot: Snapshot, lost: Mapping[int, int]) -> None:
        key = NodeKey(BATCH, batch.batch_id)
        rows.append(Row(key, batch.total))
        why = snapshot.held_back.get(batch.batch_id)
        if why:
            rows.append(Row(NodeKey(NOTE, batch.batch_id), text=clean_line(why)))
        if key not in self.open:
            return
        for state in state_counts(batch, lost, self.looks):
            node = NodeKey(STATE, batch.batch_id, state.look)
            rows.append(Row(node, state.number))
            if node in self.open:
                self._add_jobs(rows, node, state.number, snapshot)

    def _add_jobs(self, rows: list[Row], state: NodeKey, number: int, snapshot: Snapshot) -> None:
        indexes = self.jobs.get(state)
        if indexes is None:
            rows.append(Row(NodeKey(MORE, state.batch_id, state.look), text="loading"))
            return
        for index in indexes[:MOST_JOBS]:
            node = NodeKey(JOB, state.batch_id, state.look, index)
            rows.append(Row(node, text=_about(JobKey(state.batch_id, index), snapshot)))
            if node in self.open:
                for spawn_id, text in self.spawns.get(node, ()):
                    rows.append(
                        Row(NodeKey(SPAWN_ROW, state.batch_id, state.look, index, spawn_id), text=text)
                    )
        if number > MOST_JOBS:
            text = f"{number - MOST_JOBS:,} more in the grid"
            rows.append(Row(NodeKey(MORE, state.batch_id, state.look), text=text))


def state_counts(batch: Batch, lost: Mapping[int, int], looks: Looks) -> list[StateCount]:
    """A batch's jobs by state in legend order, the missing apart from the states they are lost from."""
    numbers: dict[int, int] = {}
    for state, n in batch.states.items():
        code = looks.code(state)
        left = n - lost.get(code, 0)
        if left > 0:
            numbers[code] = numbers.get(code, 0) + left
    missing = sum(lost.values())
    if missing:
        numbers[L_MISSING] = missing
    return [StateCount(look, numbers[look]) for look in looks.legend_order() if look in numbers]


def state_label(look: int, looks: Looks) -> str:
    """The word for a state's row: here `run` is all that runs, confirmed or not."""
    return looks.states[look] or "missing" if look < len(KNOWN) else looks.looks[look].label


def ordered(batches: Iterable[Batch], grouping: str) -> list[Batch]:
    """Newest first; or grouped by name or batch_type, and newest first in each."""
    newest = sorted(batches, key=lambda batch: -batch.batch_id)
    if grouping == "time":
        return newest
    return sorted(newest, key=lambda batch: _group_name(batch, grouping))


def _group_name(batch: Batch, grouping: str) -> str:
    return batch.batch_type if grouping == "type" else batch.name.partition("/")[0]


def priority_of(batch: Batch) -> str:
    """The batch's priority: the highest of a job that is not done; "" if all are."""
    waiting = [priority for (priority, state), n in batch.counts.items() if n and state not in DONE_STATES]
    return f"{max(waiting):g}" if waiting else ""


def _about(key: JobKey, snapshot: Snapshot) -> str:
    missing = snapshot.missing.get(key)
    if missing is not None:
        return clean_line(missing.reason)
    live = snapshot.live.get(key)
    if live is None:
        return ""
    return clean_line(live.host or live.reason)
