"""ACTIONS: every action of the dashboard, one entry each."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from paraschut_core.model import COMPLETE, INIT
from paraschut_core.sanitize import plural

from . import operations
from .action_entry import ActionEntry, TargetKind, ValuePrompt
from .core_actions import core
from .types import ActionTarget, PreviewText

_DELETE_INSTEAD = "delete the jobs from the queue instead (d)"
_IS_GONE = "what was removed is gone"


def _explain_resubmit(preview: PreviewText, n: int, force: bool) -> list[str]:
    lines = [f"They go back to init and are submitted now, attempt {preview.attempt + 1}."]
    if not preview.halves or force:
        return lines
    lost = plural(preview.lost_spawns, "lost spawn")
    if preview.halves == n:
        whose = "Its" if n == 1 else "Their"
        are = "is" if preview.lost_spawns == 1 else "are"
        return [f"{whose} {lost} {are} submitted again; the others go on."]
    live = "lives" if preview.halves == 1 else "live"
    return [*lines, f"Of {plural(preview.halves, 'job')} that {live} in part, the {lost} alone."]


_QDEL = "The scheduler ends those that run and drops those that wait; they go back to init."


def _explain_qdel(preview: PreviewText, n: int, force: bool) -> list[str]:
    if not preview.running:
        return [_QDEL]
    run = "run" if preview.running > 1 else "runs"
    return [_QDEL, f"{plural(preview.running, 'job')} of them {run}: killed."]


def _spared_batches(preview: PreviewText, spared: int, force: bool) -> list[str]:
    held = f"{plural(preview.held, 'job')} in the queue, or may be"
    if preview.held == preview.live:
        held = f"{plural(preview.live, 'job')} live in the queue"
    if force:
        return [f"Also {held}: what is in the queue is deleted first."]
    return [f"{held}: delete them first (d), or remove all the same (f)."]


def _submit_variant(target: ActionTarget, value: str) -> tuple[ActionEntry, str] | None:
    """Whole batches are submitted by their priorities."""
    return (_SUBMIT_BATCH, value) if target.batches and not target.keys else None


def _priority_variant(target: ActionTarget, value: str) -> tuple[ActionEntry, str] | None:
    """A number with a sign is added to the priority."""
    return (_BOOST, value.removeprefix("+")) if value[0] in "+-" else None


_RESET = ActionEntry(
    name="reset",
    run=lambda call: core.reset(call.project, call.selection, force=call.force, **call.guarded),
    ask="Reset",
    past="reset",
    meaning="They go back to init.",
    key="r",
    label="reset",
    help="reset: back to init",
    synonyms="back",
    spared=lambda preview: preview.done + preview.held,
)
_RESUBMIT = ActionEntry(
    name="resubmit",
    run=lambda call: core.resubmit(
        call.project, call.selection, force=call.force, resources=call.target.raises.values, **call.guarded
    ),
    ask="Resubmit",
    past="resubmitted",
    meaning="They go back to init and are submitted now.",
    key="s",
    label="resubmit",
    help="resubmit: reset and submit",
    synonyms="retry rerun restart again",
    spared=lambda preview: preview.done + preview.held - preview.halves,
    explain=_explain_resubmit,
    offers_resources=True,
    undo_failures=True,
    cannot_undo=_DELETE_INSTEAD,
)
_SUBMIT_NEXT = ActionEntry(
    name="submit_next",
    run=operations.submit_next,
    ask="Submit what is next",
    past="submitted",
    meaning="Jobs go out by priority, as many as allowed.",
    key="S",
    label="submit next",
    help="submit what is next",
    synonyms="start run launch go",
    target=TargetKind.NONE,
    preview=operations.preview_next,
    command="submit",
    cannot_undo=_DELETE_INSTEAD,
)
_SUBMIT_THESE = ActionEntry(
    name="submit_these",
    run=lambda call: core.submit_now(call.project, call.selection, **call.reporting),
    ask="Submit now",
    past="submitted",
    meaning="They go out now, whatever their priority.",
    key="x",
    help="submit these, or this batch, now",
    synonyms="start run launch",
    variant=_submit_variant,
    affected=lambda preview: preview.counts.get(INIT, 0),
    command="submit",
    cannot_undo=_DELETE_INSTEAD,
)
_SUBMIT_BATCH = replace(
    _SUBMIT_THESE,
    name="submit_batch",
    run=lambda call: core.submit_batches(call.project, call.target.batches, **call.reporting),
    meaning="The jobs of the highest unfinished priority go out now, whatever other batches wait for.",
    key="",
    affected=None,
)
_PRIORITY = ActionEntry(
    name="priority",
    run=lambda call: operations.set_field(call, "priority", operations.number(call.value)),
    ask="Set the priority",
    of=True,
    past="changed",
    meaning="Higher values are submitted first.",
    key="p",
    help="set the priority, or boost it",
    synonyms="urgent first",
    prompt=ValuePrompt(label="Priority, or +100 to add to what they have:", check=operations.wrong_number),
    variant=_priority_variant,
    spared=lambda preview: preview.done,
    keeps_marks=True,
    command="set",
    setting="priority={}".format,
)
_BOOST = ActionEntry(
    name="boost",
    run=lambda call: core.boost(
        call.project, call.selection, operations.number(call.value), **call.reporting
    ),
    ask="Boost the priority",
    of=True,
    past="boosted",
    meaning="It is added to what they have.",
    keeps_marks=True,
    value_option="--by",
    setting=lambda value: value if value.startswith("-") else f"+{value}",
)

AUTO_SUBMIT = replace(
    _SUBMIT_NEXT, name="auto_submit", run=partial(operations.submit_next, by_itself=True), key=""
)

UNDO = ActionEntry(
    name="undo",
    run=lambda call: core.undo(call.project, int(call.value) if call.value else None),
    ask="Undo",
    past="restored",
    meaning="Restores jobs that have not changed since.",
    key="z",
    label="undo",
    help="undo the last action",
    synonyms="revert back",
    target=TargetKind.NONE,
)

ACTIONS: dict[str, ActionEntry] = {
    entry.name: entry
    for entry in (
        _RESET,
        _RESUBMIT,
        replace(
            _RESET,
            name="reset_missing",
            command="reset",
            key="R",
            label="",
            help="reset all missing, of all batches",
            target=TargetKind.MISSING,
        ),
        replace(
            _RESUBMIT,
            name="resubmit_missing",
            command="resubmit",
            key="X",
            label="",
            help="resubmit all missing, of all batches",
            synonyms="retry rerun",
            target=TargetKind.MISSING,
        ),
        ActionEntry(
            name="qdel",
            run=lambda call: core.qdel(call.project, call.selection, **call.guarded),
            ask="Delete from the queue",
            past="deleted from the queue",
            meaning=_QDEL,
            key="d",
            label="delete",
            help="delete from the scheduler's queue",
            synonyms="cancel kill stop abort end",
            affected=lambda preview: preview.queued,
            explain=_explain_qdel,
            harsh=True,
            undo_warning="Jobs that the deletion stopped are not restarted; they will show as missing.",
        ),
        _SUBMIT_NEXT,
        _SUBMIT_THESE,
        _SUBMIT_BATCH,
        _PRIORITY,
        _BOOST,
        ActionEntry(
            name="edit",
            run=lambda call: operations.set_field(call, *core.parse_field(call.value)),
            ask="Set a field",
            of=True,
            past="changed",
            meaning="It is set in each job's metadata.",
            key="e",
            help="set a field",
            synonyms="edit change",
            prompt=ValuePrompt(
                label="field=value (resources.mem=8gb, queue=long; the value may be JSON):",
                check=operations.wrong_field,
            ),
            spared=lambda preview: preview.done,
            keeps_marks=True,
            command="set",
        ),
        ActionEntry(
            name="collect",
            run=lambda call: core.mark_collected(call.project, call.selection, **call.reporting),
            ask="Mark as collected",
            past="marked as collected",
            meaning="Only complete jobs are marked.",
            key="C",
            help="mark as collected",
            synonyms="done",
            affected=lambda preview: preview.counts.get(COMPLETE, 0),
        ),
        ActionEntry(
            name="clean",
            run=operations.clean_files,
            ask="Remove the temporary files",
            of=True,
            past="removed",
            meaning="They cannot be brought back.",
            key="T",
            help="remove temporary files",
            synonyms="clean delete",
            target=TargetKind.BATCHES,
            preview=operations.preview_files,
            harsh=True,
            command="clean --files",
            cannot_undo=_IS_GONE,
        ),
        ActionEntry(
            name="remove",
            run=operations.remove_batches,
            ask="Remove",
            past="removed",
            meaning="Jobs, history and the batch's folder with all its files go. This cannot be undone.",
            key="D",
            help="remove the batch: jobs, history and folder",
            synonyms="delete erase",
            target=TargetKind.BATCHES,
            spared=lambda preview: preview.total if preview.held else 0,
            spared_lines=_spared_batches,
            harsh=True,
            cannot_undo=_IS_GONE,
        ),
        UNDO,
        AUTO_SUBMIT,
    )
}


def entry_of(verb: str) -> ActionEntry | None:
    """The action that the core calls `verb` in its history; None if the dashboard has none."""
    return next((entry for entry in ACTIONS.values() if entry.verb == verb), None)
