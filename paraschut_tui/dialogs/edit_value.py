"""EditValueScreen: one value to type, of the type that the field has; what is not is refused on the spot."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from paraschut_core.errors import UsageError
from paraschut_core.sanitize import clean_line

from ..job_details.value_format import as_typed, kind_of, read_typed
from ..terminal.key_sequencer import LOW, SLIM


class EditedValue(NamedTuple):
    """The new value."""

    value: object


class EditValueScreen(ModalScreen[EditedValue | None]):
    """Returns the value typed; None if it was cancelled or is what it was.

    Args:
        title: what is set, of which job.
        old: the value that it has; its type is kept.
    """

    VERTICAL_BREAKPOINTS = LOW
    HORIZONTAL_BREAKPOINTS = SLIM
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel", show=False)]

    def __init__(self, title: str, old: object) -> None:
        super().__init__()
        self._title = title
        self._old = old
        self._kind = f"{kind_of(old)} · Enter sets it, z undoes, Esc leaves it"

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(Content(clean_line(self._title)), id="dialog-title")
            yield Static(Content(self._kind), id="dialog-meaning")
            box = Input(as_typed(self._old) or "", compact=True)
            box.cursor_blink = False  # a blinking cursor sends 2.6 KB/s
            yield box

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._say(self._kind)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value == as_typed(self._old):
            self.dismiss(None)
            return
        try:
            value = read_typed(event.value, self._old)
        except UsageError as error:
            self._say(str(error))
        else:
            self.dismiss(EditedValue(value))

    def _say(self, text: str) -> None:
        self.query_one("#dialog-meaning", Static).update(Content(clean_line(text)))

    def action_cancel(self) -> None:
        self.dismiss(None)
