"""OutcomesScreen: the jobs for which an action did not work, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from paraschut_core.text import clean_line

from ..look import Palette
from ..records import Failure
from ..strips import Part
from ..widgets.text_pane import TextPane


class OutcomesScreen(ModalScreen[None]):
    """Closed by Esc, Enter or q."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "close", show=False)]

    def __init__(self, palette: Palette, title: str, failures: Sequence[Failure]) -> None:
        super().__init__()
        self._palette = palette
        self._lines: list[list[Part]] = [[(title, "bold"), ("   Esc closes", "muted")], []]
        for failure in failures:
            where = (
                f"{failure.key.batch_id}/{failure.key.job_index}"
                if failure.key.job_index >= 0
                else f"{failure.key.batch_id}"
            )
            self._lines.append([(f"{where}  ", "muted"), (clean_line(failure.message), "text")])

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            yield TextPane(self._palette, self._lines)
