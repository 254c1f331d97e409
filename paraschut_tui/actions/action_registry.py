"""The actions as the user meets them: what each is called, what it asks, what it says afterwards. Pure."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from paraschut_core.model import COMPLETE, INIT, state_order

from ..formatting import count, plural
from .types import ActionResult, ActionTarget, PreviewText


class ActionEntry(NamedTuple):
    """One action. `ask` is the question's verb, `past` its participle, `button` the word that says yes,
    `meaning` what will happen. `spares` tells that jobs which are done are left alone unless forced."""

    name: str
    ask: str
    past: str
    button: str
    meaning: str
    spares: bool = False
    harsh: bool = False


ACTIONS: dict[str, ActionEntry] = {
    act.name: act
    for act in (
        ActionEntry("reset", "Reset", "reset", "Reset", "They go back to init.", spares=True),
        ActionEntry(
            "resubmit",
            "Resubmit",
            "resubmitted",
            "Resubmit",
            "They go back to init and are submitted now.",
            spares=True,
        ),
        ActionEntry(
            "qdel",
            "Delete from the queue",
            "deleted from the queue",
            "Delete",
            "The scheduler ends those that run and drops those that wait; they go back to init.",
            harsh=True,
        ),
        ActionEntry(
            "submit_next",
            "Submit what is next",
            "submitted",
            "Submit",
            "Jobs go out by priority, as many as allowed.",
        ),
        ActionEntry(
            "submit_these", "Submit now", "submitted", "Submit", "They go out now, whatever their priority."
        ),
        ActionEntry(
            "submit_batch",
            "Submit now",
            "submitted",
            "Submit",
            "The jobs of the highest unfinished priority go out now, whatever other batches wait for.",
        ),
        ActionEntry(
            "collect", "Mark as collected", "marked as collected", "Mark", "Only complete jobs are marked."
        ),
        ActionEntry(
            "clean",
            "Remove the temporary files",
            "removed",
            "Remove",
            "They cannot be brought back.",
            harsh=True,
        ),
        ActionEntry(
            "remove",
            "Remove",
            "removed",
            "Remove",
            "Jobs, history and the batch's folder with all its files go. This cannot be undone.",
            spares=True,
            harsh=True,
        ),
        ActionEntry(
            "priority", "Set the priority", "changed", "Set", "It decides who goes first.", spares=True
        ),
        ActionEntry("boost", "Boost the priority", "boosted", "Boost", "It is added to what they have."),
        ActionEntry(
            "edit", "Set a field", "changed", "Set", "It is set in each job's metadata.", spares=True
        ),
        ActionEntry(
            "undo", "Undo", "restored", "Undo", "Jobs that did not change since become what they were."
        ),
    )
}


def question(act: ActionEntry, target: ActionTarget) -> str:
    """The dialog's title: "Reset 3 jobs of human/genome_map?"."""
    return f"{act.ask}?" if act.name == "submit_next" else f"{act.ask} {_of(act)}{target.title}?"


def _of(act: ActionEntry) -> str:
    """The word between the verb and its object."""
    return "of " if act.name in ("priority", "boost", "edit", "clean") else ""


def summary(preview: PreviewText) -> list[str]:
    """The counts by state and by liveness, a line each."""
    if preview.lines:
        return list(preview.lines)
    if not preview.total:
        return ["no jobs"]
    states = [
        f"{count(n)} {state or '(empty)'}"
        for state, n in sorted(preview.counts.items(), key=lambda item: state_order(item[0]))
        if n
    ]
    lines = [f"{plural(preview.total, 'job')}: {', '.join(states)}"]
    other = f", {count(preview.elsewhere)} in another's queue" if preview.elsewhere else ""
    lines.append(f"{count(preview.live)} live in the queue, {count(preview.missing)} missing{other}")
    return lines


def affected(act: ActionEntry, preview: PreviewText, force: bool) -> int:
    """How many jobs the action would change."""
    match act.name:
        case "qdel":
            return preview.queued
        case "submit_these":
            return preview.counts.get(INIT, 0)
        case "collect":
            return preview.counts.get(COMPLETE, 0)
    return preview.total - (0 if force else spared(act, preview))


def spared(act: ActionEntry, preview: PreviewText) -> int:
    """How many jobs it leaves alone unless forced: those that are done, of a reset also the live ones."""
    match act.name:
        case "reset":
            return preview.done + preview.held
        case "resubmit":
            return preview.done + preview.held - preview.halves
        case "remove":
            return preview.total if preview.held else 0
    return preview.done if act.spares else 0


def sparing(act: ActionEntry, preview: PreviewText, force: bool) -> list[str]:
    """Lines about the jobs that are left alone, or, if forced, are not."""
    if not act.spares or not spared(act, preview):
        return []
    if act.name == "remove":
        held = f"{plural(preview.held, 'job')} in the queue, or may be"
        if preview.held == preview.live:
            held = f"{plural(preview.live, 'job')} live in the queue"
        if force:
            return [f"Also {held}: what is in the queue is deleted first."]
        return [f"{held}: delete them first (d), or remove all the same (f)."]
    parts = [f"{count(preview.done)} done"] if preview.done else []
    live = spared(act, preview) - preview.done
    if live:
        sure = live <= preview.live
        parts.append(f"{count(live)} {'live in the queue' if sure else 'in a queue, or may be'}")
    words = " and ".join(parts)
    if not force:
        return [f"{words}: left alone (f: them too)."]
    lines = [f"Also {words}: results may be overwritten."]
    if live:
        lines.append("What runs goes on, but nobody listens to it any more; delete (d) ends it.")
    return lines


def explanation(act: ActionEntry, preview: PreviewText, force: bool) -> list[str]:
    """What will happen to what was counted, a line each."""
    n = affected(act, preview, force)
    lines = [act.meaning] if n else ["Nothing to do."]
    if n and act.name == "resubmit":
        lines[0] = f"They go back to init and are submitted now, attempt {preview.attempt + 1}."
        if preview.halves and not force:
            lost = plural(preview.lost_spawns, "lost spawn")
            if preview.halves == n:
                whose = "Its" if n == 1 else "Their"
                are = "is" if preview.lost_spawns == 1 else "are"
                lines = [f"{whose} {lost} {are} submitted again; the others go on."]
            else:
                live = "lives" if preview.halves == 1 else "live"
                lines.append(f"Of {plural(preview.halves, 'job')} that {live} in part, the {lost} alone.")
    if n and act.name == "qdel" and preview.running:
        lines.append(
            f"{plural(preview.running, 'job')} of them {'run' if preview.running > 1 else 'runs'}: killed."
        )
    if 0 < n < preview.total:
        lines.insert(1, f"That is for {count(n)} of the {count(preview.total)} jobs.")
    return [*lines, *preview.hints, *sparing(act, preview, force)]


def outcome(act: ActionEntry, verdict: ActionResult) -> str:
    """One line afterwards: "3 resubmitted · z undoes"."""
    if verdict.error:
        return verdict.error
    text = f"{count(verdict.done)} {act.past}"
    if verdict.failures:
        text += f", {count(len(verdict.failures))} failed"
    if verdict.left:
        text += f", {count(len(verdict.left))} left alone ({_most(verdict)})"
    if verdict.note:
        text += f" · {verdict.note}"
    if verdict.can_undo:
        text += " · z undoes"
    return text


def _most(verdict: ActionResult) -> str:
    """Why most of those were left alone."""
    reasons = Counter(failure.message for failure in verdict.left)
    reason, n = reasons.most_common(1)[0]
    return reason if n == len(verdict.left) else f"{count(n)}: {reason}"
