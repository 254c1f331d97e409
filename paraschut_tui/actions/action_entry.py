"""ActionEntry: one action of the dashboard, with all that keys, dialogs and history need of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from paraschut_core.model import JobKey, state_order
from paraschut_core.project import Project
from paraschut_core.sanitize import plural

from ..formatting import count
from .operations import ActionCall, preview_jobs
from .types import ActionResult, ActionTarget, PreviewText

if TYPE_CHECKING:
    from paraschut_core.actions import ActionReport


class TargetKind(Enum):
    """Which jobs an action applies to."""

    JOBS = "the marked jobs, else what the cursor is on"
    BATCHES = "the batches of these jobs"
    MISSING = "all missing jobs"
    NONE = "no jobs in particular"


@dataclass(frozen=True, kw_only=True)
class ValuePrompt:
    """A text that an action asks for first.

    Attributes:
        label: the question.
        check: says what is wrong with a text; "" if nothing is.
    """

    label: str
    check: Callable[[str], str]


def left_alone(preview: PreviewText, spared: int, force: bool) -> list[str]:
    """Lines about jobs that are left alone, or with `force` are not."""
    parts = [f"{count(preview.done)} done"] if preview.done else []
    live = spared - preview.done
    if live:
        sure = live <= preview.live
        parts.append(f"{count(live)} {'live in the queue' if sure else 'in a queue, or may be'}")
    words = " and ".join(parts)
    if not force:
        return [f"{words}: left alone (f: them too)."]
    lines = [f"Also {words}: results may be overwritten."]
    if live:
        lines.append("Running jobs keep running, but their results are discarded; delete (d) stops them.")
    return lines


@dataclass(frozen=True, kw_only=True)
class ActionEntry:
    """One action. Everything else (keys, palette, help, dialogs, command line, history) follows from it.

    Attributes:
        name: identifies the action.
        run: does it.
        ask, of: the question's verb, and whether "of" stands between it and the target.
        past: its participle.
        meaning: what will happen.
        key, label, help: the key ("": none), its word in the key line ("": not there), its line in the help.
        synonyms: other words by which the palette finds it.
        target: which jobs it applies to.
        prompt: a text to ask for first.
        variant: another action, and the text for it, that a target and a typed text stand for.
        preview: counts what the action would meet.
        affected: how many jobs it changes, if not all that are not spared.
        spared: how many jobs it leaves alone unless forced.
        spared_lines: lines about those.
        explain: lines about what will happen, in place of `meaning`.
        harsh: whether the dialog warns by its colour.
        offers_resources: whether missing jobs may get more time or memory.
        undo_failures: whether it can be undone even if it succeeded for no job.
        keeps_marks: whether jobs stay marked, because the next action is often for the same ones.
        command: the words of the command line (the core's verb first), if not `name`.
        value_option: the option that takes the text.
        setting: the text as the command line takes it, and as the dialog repeats it.
        cannot_undo: what else the user can do, said of an action that cannot be undone.
        undo_warning: what an undo does not bring back.
    """

    name: str
    run: Callable[[ActionCall], ActionReport | ActionResult]
    ask: str
    of: bool = False
    past: str
    meaning: str
    key: str = ""
    label: str = ""
    help: str = ""
    synonyms: str = ""
    target: TargetKind = TargetKind.JOBS
    prompt: ValuePrompt | None = None
    variant: Callable[[ActionTarget, str], tuple[ActionEntry, str] | None] = lambda target, value: None
    preview: Callable[[Project, ActionTarget, Mapping[JobKey, str]], PreviewText] = preview_jobs
    affected: Callable[[PreviewText], int] | None = None
    spared: Callable[[PreviewText], int] = lambda preview: 0
    spared_lines: Callable[[PreviewText, int, bool], list[str]] = left_alone
    explain: Callable[[PreviewText, int, bool], list[str]] | None = None
    harsh: bool = False
    offers_resources: bool = False
    undo_failures: bool = False
    keeps_marks: bool = False
    command: str = ""
    value_option: str = ""
    setting: Callable[[str], str] = str
    cannot_undo: str = ""
    undo_warning: str = ""

    @property
    def button(self) -> str:
        """The word on the button that says yes."""
        return self.ask.partition(" ")[0]

    @property
    def words(self) -> str:
        """The words of the command line."""
        return self.command or self.name

    @property
    def verb(self) -> str:
        """What the core calls the action in its history."""
        return self.words.partition(" ")[0]

    def question(self, target: ActionTarget) -> str:
        """The dialog's title: "Reset 3 jobs of human/genome_map?"."""
        return f"{self.ask} {'of ' if self.of else ''}{target.title}".rstrip() + "?"

    def count_affected(self, preview: PreviewText, force: bool) -> int:
        """Count the jobs that the action would change."""
        if self.affected is not None:
            return self.affected(preview)
        return preview.total - (0 if force else self.spared(preview))

    def explanation(self, preview: PreviewText, force: bool) -> list[str]:
        """Say what will happen to what was counted, a line each."""
        n = self.count_affected(preview, force)
        if not n:
            lines = ["Nothing to do."]
        elif self.explain is not None:
            lines = self.explain(preview, n, force)
        else:
            lines = [self.meaning]
        if 0 < n < preview.total:
            lines.insert(1, f"That is for {count(n)} of the {count(preview.total)} jobs.")
        spared = self.spared(preview)
        return [*lines, *preview.hints, *(self.spared_lines(preview, spared, force) if spared else ())]

    def outcome(self, result: ActionResult) -> str:
        """One line afterwards: "3 resubmitted · z undoes"."""
        if result.error:
            return result.error
        text = f"{count(result.done)} {self.past}"
        if result.failures:
            text += f", {count(len(result.failures))} failed"
        if result.left:
            text += f", {count(len(result.left))} left alone ({_most_frequent_reason(result)})"
        if result.note:
            text += f" · {result.note}"
        if result.can_undo:
            text += " · z undoes"
        return text


def _most_frequent_reason(result: ActionResult) -> str:
    """Why most jobs were left alone."""
    reasons = Counter(job.message for job in result.left)
    reason, n = reasons.most_common(1)[0]
    return reason if n == len(result.left) else f"{count(n)}: {reason}"


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
