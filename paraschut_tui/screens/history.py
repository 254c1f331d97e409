"""HistoryScreen: what was done, by whom, and the command line that does the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.strip import Strip

from paraschut_core.model import Action
from paraschut_core.text import clean_line

from .. import keys
from ..figures import count
from ..look import Palette
from ..strips import Part, fit, line
from ..widgets.line import Line
from ..widgets.pane import Pane


class HistoryScreen(ModalScreen[Action | None]):
    """Returns the action to undo, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,@", "dismiss(None)", "close", show=False),
        Binding("z,enter", "undo", "undo this one", show=False),
    ]

    def __init__(self, palette: Palette, actions: Sequence[Action]) -> None:
        super().__init__()
        self._palette = palette
        self._command = Line(palette)
        self._list = ActionList(palette, actions, self._show_command)

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            title = Line(self._palette)
            title.show(
                [
                    (" ACTIONS", "accent-bold"),
                    ("   newest first · z undoes the one under the cursor · Esc closes", "muted"),
                ]
            )
            yield title
            yield self._list
            yield self._command

    def on_mount(self) -> None:
        self._list.focus()
        self._show_command(self._list.chosen)

    def _show_command(self, action: Action | None) -> None:
        """Below the list, the command of the action under the cursor: as much of it as fits."""
        text = f" paraschut {clean_line(action.command)}" if action is not None else ""
        self._command.show([(text, "accent")])

    def action_undo(self) -> None:
        action = self._list.chosen
        if action is not None and action.can_undo and not action.undone:
            self.dismiss(action)


class ActionList(Pane):
    """The actions, one a row."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.MOVE)

    def __init__(
        self, palette: Palette, actions: Sequence[Action], chosen: Callable[[Action | None], object]
    ) -> None:
        super().__init__(palette)
        self._tell = chosen
        self._actions = list(actions)
        self._row = 0

    @property
    def chosen(self) -> Action | None:
        return self._actions[self._row] if self._actions else None

    def on_resize(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, max(len(self._actions), 1))

    def build_line(self, row: int, width: int) -> Strip:
        if row >= len(self._actions):
            text = " Nothing was done yet." if row == 0 else ""
            return line([(text, "muted")], width, self.palette)
        action = self._actions[row]
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(action.at))
        state = "undone" if action.undone else "" if action.can_undo else "cannot be undone"
        parts: list[Part] = [
            (f" {at}  ", "muted"),
            (fit(clean_line(action.verb), 10), "text"),
            (f"{count(action.jobs):>8}  ", "text"),
            (fit(clean_line(action.who), 18) + "  ", "muted"),
            (f"paraschut {clean_line(action.command)}", "text"),
            (f"  {state}", "muted"),
        ]
        if row == self._row:
            parts = [(fit("".join(text for text, _ in parts), width), "cursor")]
        return line(parts, width, self.palette)

    def cursor_moved(self) -> None:
        self.repaint_row(self._row)

    def _step(self, by: int) -> None:
        before, self._row = self._row, max(0, min(self._row + by, len(self._actions) - 1))
        self.show_row(self._row)
        self.repaint_row(before)
        self.repaint_row(self._row)
        self._tell(self.chosen)

    def action_up(self) -> None:
        self._step(-1)

    def action_down(self) -> None:
        self._step(1)

    def action_page_up(self) -> None:
        self._step(-self.size.height + 1)

    def action_page_down(self) -> None:
        self._step(self.size.height - 1)

    def action_first(self) -> None:
        self._step(-len(self._actions))

    def action_last(self) -> None:
        self._step(len(self._actions))
