"""ActionHistoryScreen: what was done, by whom, and the command line that does the same."""

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
from paraschut_core.sanitize import clean_line

from .. import keymap
from ..formatting import count
from ..state_styles import Palette
from ..widgets.line_list import LineList
from ..widgets.styled_line import Part, fit, line
from ..widgets.text_line import TextLine

MOST_COPIED = 50_000
"""Characters; terminals cut off or refuse longer ones."""


class ActionHistoryScreen(ModalScreen[tuple[Action, bool] | None]):
    """Returns the action that was chosen, and whether to undo it (else: to show its jobs); or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,@", "dismiss(None)", "close", show=False),
        Binding("z", "undo", "undo this one", show=False),
        Binding("enter", "jobs", "what became of each job", show=False),
        Binding("y", "copy", "copy the command", show=False),
    ]

    def __init__(self, palette: Palette, actions: Sequence[Action]) -> None:
        super().__init__()
        self._palette = palette
        self._command = TextLine(palette)
        self._list = ActionList(palette, actions, self._show_command)

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            title = TextLine(self._palette)
            title.show(
                [
                    (" ACTIONS", "accent-bold"),
                    (
                        "   Enter its jobs · z undoes it · y copies the command · Esc closes",
                        "muted",
                    ),
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
            self.dismiss((action, True))
        elif action is not None:
            self.notify("It was undone already." if action.undone else "It cannot be undone.", markup=False)

    def action_jobs(self) -> None:
        if self._list.chosen is not None:
            self.dismiss((self._list.chosen, False))

    def action_copy(self) -> None:
        """Copies the command to the terminal's clipboard (OSC 52), if it is not too long for that."""
        action = self._list.chosen
        if action is None:
            return
        text = f"paraschut {clean_line(action.command)}"
        if len(text) > MOST_COPIED:
            self.notify("The command is too long for the terminal's clipboard.", markup=False)
            return
        self.app.copy_to_clipboard(text)
        self.notify("The command is copied.", markup=False)


class ActionList(LineList):
    """The actions, one a row."""

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.MOVE)

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
