"""ActionResultScreen: what became of each job of an action: what failed first, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from paraschut_core.sanitize import clean_line

from ..actions.types import ActionResult, JobMessage
from ..formatting import count
from ..state_styles import Palette
from ..widgets.styled_line import Part
from ..widgets.text_view import TextView

MOST = 5000
"""Lines of one kind."""


class ActionResultScreen(ModalScreen[None]):
    """Closed by Esc, Enter or q."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "close", show=False)]

    def __init__(self, palette: Palette, title: str, verdict: ActionResult) -> None:
        super().__init__()
        self._palette = palette
        self._lines: list[list[Part]] = [[(clean_line(title), "bold"), ("   Esc closes", "muted")]]
        for heading, role, jobs in (
            ("failed", "error", verdict.failures),
            ("left alone", "warning", verdict.left),
            ("done", "success", verdict.made),
        ):
            self._lines += _section(heading, role, jobs)
        if verdict.note:
            self._lines += [[], [(clean_line(verdict.note), "muted")]]

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            yield TextView(self._palette, self._lines)


def _section(heading: str, role: str, jobs: Sequence[JobMessage]) -> list[list[Part]]:
    if not jobs:
        return []
    lines: list[list[Part]] = [[], [(heading, role), (f"  {count(len(jobs))}", "muted")]]
    for key, message in jobs[:MOST]:
        where = f"{key.batch_id}/{key.job_index}" if key.job_index >= 0 else f"{key.batch_id}"
        lines.append([(f"  {where}  ", "muted"), (clean_line(message), "text")])
    more = len(jobs) - MOST
    return [*lines, [(f"  and {count(more)} more", "muted")]] if more > 0 else lines
