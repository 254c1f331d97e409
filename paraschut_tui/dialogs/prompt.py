"""PromptScreen: one line of text from the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from paraschut_core.sanitize import clean_line

from ..terminal.key_sequencer import GuardedDialog


class PromptScreen(GuardedDialog[str]):
    """Returns the text, "" if it was cancelled.

    Args:
        check: says what is wrong with a text ("": nothing); it is shown, and the text can be mended.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel", show=False)]

    def __init__(
        self, title: str, label: str, value: str = "", *, check: Callable[[str], str] = lambda text: ""
    ) -> None:
        super().__init__()
        self._title = title
        self._label = label
        self._value = value
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(Content(clean_line(self._title)), id="dialog-title")
            yield Static(Content(clean_line(self._label)), id="dialog-meaning")
            box = Input(self._value, compact=True)
            box.cursor_blink = False  # a blinking cursor sends 2.6 KB/s
            yield box
            yield Static(id="dialog-error")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def is_harmless_unseen(self, key: str) -> bool:
        """Text is typed ahead as it is; Enter alone does not accept what is proposed."""
        return key != "enter" or self.query_one(Input).value != self._value

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        wrong = self._check(text) if text else ""
        if wrong:
            self.query_one("#dialog-error", Static).update(Content(clean_line(wrong)))
        else:
            self.dismiss(text)

    def action_cancel(self) -> None:
        self.dismiss("")
