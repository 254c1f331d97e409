"""Removes batches, and temporary files: what goes here is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..db.changes import read_batches
from ..db.history import add_action
from ..db.jobs import delete_batch, require_batch
from ..folders import clean_temp_files, remove_batch_folder
from ..model import JobKey
from ..workspace import Workspace
from .common import Outcome, Report, note
from .held import held_batches


def remove_batches(
    ws: Workspace, batch_ids: Iterable[int], *, force: bool = True, command: str = ""
) -> Report:
    """Removes batches: their rows, and their folders under the job directory.

    Only a batch's own folder goes, never what a symbolic link points to.

    Args:
        force: also batches with jobs that the scheduler still holds.
    """
    outcomes: list[Outcome] = []
    wanted = list(dict.fromkeys(batch_ids))
    for batch_id in wanted:
        require_batch(ws.db, batch_id)  # all are there, or nothing is removed
    held = {} if force else held_batches(ws, wanted)
    for batch_id in wanted:
        key = JobKey(batch_id, -1)
        if batch_id in held:
            outcomes.append(Outcome(key, False, held[batch_id]))
            continue
        with ws.db.transaction() as tx:
            jobs = delete_batch(tx, batch_id)
            add_action(tx, "remove", jobs, command or f"remove {batch_id}", can_undo=False)
        outcomes.append(Outcome(key, True, remove_batch_folder(ws, batch_id)))
    return Report("remove", outcomes)


def remove_batches_by_state(ws: Workspace, states: Iterable[str]) -> Report:
    """Removes the batches all of whose jobs are in `states`."""
    wanted = set(states)
    chosen = [
        i for i, batch in read_batches(ws.reader).items() if batch.states and batch.states.keys() <= wanted
    ]
    return remove_batches(ws, chosen)


def clean_files(
    ws: Workspace, patterns: Iterable[str], batch_ids: Sequence[int], *, command: str = ""
) -> dict[int, int]:
    """Removes files in the batches' folders that match the patterns; returns how many of each batch.

    Raises:
        UsageError: a pattern that leads out of the folder.
        ParaschutError: a file that cannot be removed.
    """
    removed = clean_temp_files(ws, patterns, batch_ids)
    note(ws, "clean", sum(removed.values()), command)
    return removed
