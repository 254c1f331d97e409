"""The rows of the batch tree: which batches, states, jobs and spawns are listed, in which order. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from textwrap import wrap
from typing import NamedTuple

from paraschut_core.model import DONE_STATES, RUN, Batch, JobKey, Snapshot, Spawn
from paraschut_core.sanitize import clean_line

from ..state_styles import KNOWN, L_MISSING, L_RUN, StateStyles

BATCH, NOTE, STATE, JOB, SPAWN_ROW, MORE, HEADING = range(7)
"""Kinds of rows. NOTE says why a batch does not move, HEADING names a group of batches: the cursor passes
over both. MORE says that a list goes on; its job is the last one listed."""

MOST_JOBS = 1000
"""Jobs listed under one state; who wants more of them looks at the grid."""

MOST_LINES = 3
"""Lines that may say why a batch does not move."""


class NodeId(NamedTuple):
    """What identifies a row through all refreshes. -1 stands for "no such part"."""

    kind: int
    batch_id: int
    look: int = -1
    job: int = -1
    spawn: int = -1


class TreeRow(NamedTuple):
    """One row; `number` is its count of jobs, the look of a spawn, or of a NOTE 1 if somebody must mend
    something; `text` what else it says."""

    key: NodeId
    number: int = 0
    text: str = ""

    @property
    def selectable(self) -> bool:
        return self.key.kind in (BATCH, STATE, JOB, SPAWN_ROW) or (
            self.key.kind == MORE and self.key.job >= 0
        )


class NodePath(NamedTuple):
    """An open branch, or the cursor's row, by names that outlive the program: `state` None is the batch
    itself, "" its missing jobs."""

    batch_id: int
    state: str | None = None
    job: int = -1
    spawn: int = -1


class SpawnRow(NamedTuple):
    """What is listed of a spawn: its number, its look, and what else to say."""

    spawn_id: int
    look: int
    text: str


class StateCount(NamedTuple):
    """Jobs of a batch in one state, or missing (`look` L_MISSING)."""

    look: int
    number: int


class TreeModel:
    """Which branches of the tree are open, and the rows that follow from it and a snapshot."""

    def __init__(self, looks: StateStyles) -> None:
        self.looks = looks
        self.open: set[NodeId] = set()
        self.jobs: dict[NodeId, list[int]] = {}
        """JobIndexes under each open state, as far as they were loaded."""
        self.spawns: dict[NodeId, list[SpawnRow]] = {}
        """The spawns under each open spawn job."""
        self.grouping = "time"
        self.width = 40
        """Columns that a line has."""
        self.rows: list[TreeRow] = []
        self.batch_ids: list[int] = []
        """The batches in the order in which they are listed."""
        self._at: dict[NodeId, int] = {}
        self._heads: dict[int, tuple[tuple[str, int, bool], tuple[TreeRow, ...]]] = {}
        self._ordered: tuple[object, list[Batch]] = (None, [])

    def row_of(self, key: NodeId) -> int | None:
        return self._at.get(key)

    def branch(self, key: NodeId) -> NodePath:
        """The row by names that outlive the program."""
        state = self.looks.states[key.look] if key.look >= 0 else None
        return NodePath(key.batch_id, state, key.job, key.spawn)

    def node(self, branch: NodePath) -> NodeId:
        """The row that a branch was."""
        if branch.state is None:
            return NodeId(BATCH, branch.batch_id)
        look = self.looks.code(branch.state) if branch.state else L_MISSING
        kind = STATE if branch.job < 0 else JOB if branch.spawn < 0 else SPAWN_ROW
        return NodeId(kind, branch.batch_id, look, branch.job, branch.spawn)

    def branches(self) -> tuple[NodePath, ...]:
        """All open branches."""
        return tuple(sorted((self.branch(key) for key in self.open), key=repr))

    def toggle(self, key: NodeId) -> bool:
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
        rows: list[TreeRow] = []
        heading = None
        batches = self._in_order(snapshot)
        for batch in batches:
            if self.grouping != "time":
                group = _group_name(batch, self.grouping)
                if group != heading:
                    heading = group
                    rows.append(TreeRow(NodeId(HEADING, batch.batch_id), text=clean_line(group)))
            self._add_batch(rows, batch, snapshot, missing_states.get(batch.batch_id, {}))
        self.rows = rows
        self.batch_ids = [batch.batch_id for batch in batches]
        self._at = {row.key: at for at, row in enumerate(rows)}

    def _in_order(self, snapshot: Snapshot) -> list[Batch]:
        """The batches in order; sorted only where there are others than before, or others' names."""
        heads = (self.grouping, [(b.batch_id, b.name, b.batch_type) for b in snapshot.batches.values()])
        if heads != self._ordered[0]:
            self._ordered = heads, ordered(snapshot.batches.values(), self.grouping)
        return [snapshot.batches[batch.batch_id] for batch in self._ordered[1]]

    def _add_batch(
        self, rows: list[TreeRow], batch: Batch, snapshot: Snapshot, lost: Mapping[int, int]
    ) -> None:
        key = NodeId(BATCH, batch.batch_id)
        why = snapshot.blocked.get(batch.batch_id, "")
        rows.extend(self._head(key, why, batch.batch_id in snapshot.refused))
        if key not in self.open:
            return
        for state in state_counts(batch, lost, self.looks):
            node = NodeId(STATE, batch.batch_id, state.look)
            rows.append(TreeRow(node, state.number))
            if node in self.open:
                self._add_jobs(rows, node, state.number, snapshot)

    def _head(self, key: NodeId, why: str, refused: bool) -> Sequence[TreeRow]:
        """A batch's own row and why it does not move: of most batches the same as the time before."""
        known = self._heads.get(key.batch_id)
        look = (why, self.width, refused)
        if known is None or known[0] != look:
            lines = wrap(clean_line(why, 500), max(self.width - 5, 10), max_lines=MOST_LINES, placeholder="…")
            notes = [
                TreeRow(NodeId(NOTE, key.batch_id, -1 - n), int(refused), text=text)
                for n, text in enumerate(lines)
            ]
            known = self._heads[key.batch_id] = (look, (TreeRow(key), *notes))
        return known[1]

    def _add_jobs(self, rows: list[TreeRow], state: NodeId, number: int, snapshot: Snapshot) -> None:
        indexes = self.jobs.get(state)
        if indexes is None:
            rows.append(TreeRow(NodeId(MORE, state.batch_id, state.look), text="loading"))
            return
        for index in indexes[:MOST_JOBS]:
            node = NodeId(JOB, state.batch_id, state.look, index)
            rows.append(TreeRow(node, text=_about(JobKey(state.batch_id, index), snapshot)))
            if node in self.open:
                for spawn in self.spawns.get(node, ()):
                    key = NodeId(SPAWN_ROW, state.batch_id, state.look, index, spawn.spawn_id)
                    rows.append(TreeRow(key, spawn.look, spawn.text))
        if number > MOST_JOBS and indexes:
            text = f"{number - MOST_JOBS:,} more in the grid: Enter"
            rows.append(TreeRow(NodeId(MORE, state.batch_id, state.look, indexes[:MOST_JOBS][-1]), text=text))


def state_counts(batch: Batch, lost: Mapping[int, int], looks: StateStyles) -> list[StateCount]:
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


def state_label(look: int, looks: StateStyles) -> str:
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
    online = snapshot.live_spawns.get(key)
    if online is not None:
        return f"{online[0]} of {online[1]} online"
    live = snapshot.live.get(key)
    return clean_line(live.host or live.reason) if live is not None else ""


def spawn_row(spawn: Spawn, online: Collection[str], looks: StateStyles) -> SpawnRow:
    """A spawn with its own state.

    Args:
        online: ids of the job that the scheduler shows as running.
    """
    known = [id_ for id_ in (spawn.cluster_id, spawn.submit_id) if id_]
    runs = spawn.state == RUN and any(id_ in online for id_ in known)
    text = clean_line(f"{spawn.state or '(empty)'}{' online' if runs else ''}  {known[0] if known else ''}")
    return SpawnRow(spawn.spawn_id, L_RUN if runs else looks.code(spawn.state), text)
