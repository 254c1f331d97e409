"""ActionHistoryScreen: what was done, by whom, and the command line that does the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from paraschut_core.model import Action
from paraschut_core.sanitize import clean_line

from ..formatting import CLIPBOARD_BYTES, count
from ..state_styles import Palette
from ..widgets.select_list import SelectList
from ..widgets.styled_line import Part, fit
from ..widgets.text_line import TextLine


class ActionHistoryScreen(ModalScreen[tuple[Action, bool] | None]):
    """Returns the action that was chosen, and whether to undo it (else: to show its jobs); or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,@", "dismiss(None)", "close", show=False),
        Binding("z", "undo", "undo this one", show=False),
        Binding("y", "copy", "copy the command", show=False),
    ]

    def __init__(self, palette: Palette, actions: Sequence[Action]) -> None:
        super().__init__()
        self._palette = palette
        self._command = TextLine(palette)
        self._actions = actions
        self._list = SelectList(palette, "Nothing was done yet.")

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
        self._list.show([_parts(action) for action in self._actions])
        self.on_select_list_moved()

    @property
    def _current(self) -> Action | None:
        return self._actions[self._list.row] if self._actions else None

    def on_select_list_chosen(self) -> None:
        self.action_jobs()

    def on_select_list_moved(self) -> None:
        """Show the command of the action under the cursor below the list, as much of it as fits."""
        action = self._current
        text = f" paraschut {clean_line(action.command)}" if action is not None else ""
        self._command.show([(text, "accent")])

    def action_undo(self) -> None:
        action = self._current
        if action is not None and action.can_undo and not action.undone:
            self.dismiss((action, True))
        elif action is not None:
            self.notify("It was undone already." if action.undone else "It cannot be undone.", markup=False)

    def action_jobs(self) -> None:
        if self._current is not None:
            self.dismiss((self._current, False))

    def action_copy(self) -> None:
        """Copies the command to the terminal's clipboard (OSC 52), if it is not too long for that."""
        action = self._current
        if action is None:
            return
        text = f"paraschut {clean_line(action.command)}"
        if len(text.encode()) > CLIPBOARD_BYTES:
            self.notify("The command is too long for the terminal's clipboard.", markup=False)
            return
        self.app.copy_to_clipboard(text)
        self.notify("The command is copied.", markup=False)


def _parts(action: Action) -> list[Part]:
    """Return the line of one action."""
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(action.at))
    state = "undone" if action.undone else "" if action.can_undo else "cannot be undone"
    return [
        (f" {at}  ", "muted"),
        (fit(clean_line(action.verb), 10), "text"),
        (f"{count(action.jobs):>8}  ", "text"),
        (fit(clean_line(action.who), 18) + "  ", "muted"),
        (f"paraschut {clean_line(action.command)}", "text"),
        (f"  {state}", "muted"),
    ]
