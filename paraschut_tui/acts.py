"""The actions as the user meets them: what each is called, what it asks, what it says afterwards. Pure."""

from __future__ import annotations

from typing import NamedTuple

from paraschut_core.model import state_order

from .figures import count, plural
from .records import Preview, Target, Verdict


class Act(NamedTuple):
    """One action. `ask` is the question's verb, `past` its participle, `button` the word that says yes,
    `meaning` what will happen. `spares` tells that jobs which are done are left alone unless forced."""

    name: str
    ask: str
    past: str
    button: str
    meaning: str
    spares: bool = False
    harsh: bool = False


ACTS: dict[str, Act] = {
    act.name: act
    for act in (
        Act("reset", "Reset", "reset", "Reset", "They go back to init.", spares=True),
        Act(
            "resubmit",
            "Resubmit",
            "resubmitted",
            "Resubmit",
            "They go back to init and are submitted now.",
            spares=True,
        ),
        Act(
            "qdel",
            "Delete from the queue",
            "deleted from the queue",
            "Delete",
            "The scheduler ends those that run and drops those that wait; they go back to init.",
            harsh=True,
        ),
        Act(
            "submit_next",
            "Submit what is next",
            "submitted",
            "Submit",
            "Jobs go out by priority, as many as allowed.",
        ),
        Act("submit_these", "Submit now", "submitted", "Submit", "They go out now, whatever their priority."),
        Act("collect", "Mark as collected", "marked as collected", "Mark", "Only complete jobs are marked."),
        Act(
            "clean",
            "Remove the temporary files",
            "cleaned",
            "Remove",
            "Files that match temp_files go.",
            harsh=True,
        ),
        Act(
            "remove",
            "Remove",
            "removed",
            "Remove",
            "Jobs, history and the batch's folder with all its files go. This cannot be undone.",
            harsh=True,
        ),
        Act("boost", "Set the priority", "changed", "Set", "The jobs' priority becomes what you typed."),
        Act("edit", "Set the field", "changed", "Set", "It is set in each job's metadata.", spares=True),
        Act("undo", "Undo", "restored", "Undo", "Jobs that did not change since become what they were."),
    )
}


def question(act: Act, target: Target) -> str:
    """The dialog's title: "Reset 3 jobs of human/genome_map?"."""
    return f"{act.ask}?" if act.name == "submit_next" else f"{act.ask} {target.title}?"


def summary(preview: Preview) -> list[str]:
    """The counts by state and by liveness, a line each."""
    if not preview.total:
        return ["no jobs"]
    states = [
        f"{count(n)} {state or '(empty)'}"
        for state, n in sorted(preview.counts.items(), key=lambda item: state_order(item[0]))
        if n
    ]
    lines = [f"{plural(preview.total, 'job')}: {', '.join(states)}"]
    lines.append(f"{count(preview.live)} live in the queue, {count(preview.missing)} missing")
    return lines


def affected(act: Act, preview: Preview, force: bool) -> int:
    """How many jobs the action would change."""
    return preview.total - (spared(act, preview) if not force else 0)


def spared(act: Act, preview: Preview) -> int:
    """How many jobs it leaves alone unless forced: those that are done, of a reset also the live ones."""
    live = preview.live if act.name in ("reset", "resubmit") else 0
    return preview.done + live if act.spares else 0


def sparing(act: Act, preview: Preview, force: bool) -> str:
    """A line about the jobs that are left alone, or, if forced, are not."""
    n = spared(act, preview)
    if not n:
        return ""
    parts = [f"{count(preview.done)} done"] if preview.done else []
    if n > preview.done:
        parts.append(f"{count(preview.live)} live in the queue")
    words = " and ".join(parts)
    return f"Also {words}: results may be overwritten." if force else f"{words}: left alone (f: them too)."


def outcome(act: Act, verdict: Verdict) -> str:
    """One line afterwards: "3 resubmitted · z undoes"."""
    if verdict.error:
        return verdict.error
    text = f"{count(verdict.done)} {act.past}"
    if verdict.failures:
        text += f", {count(len(verdict.failures))} failed"
    if verdict.note:
        text += f" · {verdict.note}"
    if verdict.can_undo:
        text += " · z undoes"
    return text
