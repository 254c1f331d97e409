"""LogInput: one line to type a search, a filter, a place or a file name into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from paraschut_core.sanitize import clean_line

SEARCH, FILTER, GO_TO, SAVE = "search", "only lines with", "go to", "save as"


class LogInputAnswer(NamedTuple):
    """What was typed, after which question; `literal`: take it as it stands, not as an expression."""

    question: str
    text: str
    literal: bool


class LogInput(Horizontal):
    """Asks one question at a time. Stands in the place of the status line, so that nothing moves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close", show=False),
        Binding("ctrl+r", "literal", "regular expression or plain text", show=False),
        Binding("up", "recall(1)", "what was searched for before", show=False),
        Binding("down", "recall(-1)", "and after", show=False),
    ]
    DEFAULT_CSS = """
    LogInput {
        height: 1;
        display: none;
        & > #log-question { width: auto; padding: 0 1; color: $accent; text-style: bold; }
        & > Input, & > Input:focus { width: 1fr; height: 1; border: none; padding: 0; }
        & > Input, & > Input:focus { background: $background; }
        & > #log-hint { width: auto; max-width: 60%; padding: 0 1; color: $text-muted; }
        &.-wrong > #log-hint { color: $warning; }
    }
    """

    class Answered(Message):
        """Enter was pressed."""

        def __init__(self, answer: LogInputAnswer) -> None:
            super().__init__()
            self.answer = answer

    class Closed(Message):
        """Escape was pressed."""

    def __init__(self) -> None:
        super().__init__()
        self.question = ""
        self._literal = False
        self._history: Sequence[str] = ()
        self._recalled = -1
        self._input = Input(select_on_focus=True, compact=True)
        self._input.cursor_blink = False

    def compose(self) -> ComposeResult:
        yield Static(id="log-question")
        yield self._input
        yield Static(id="log-hint")

    def ask(
        self, question: str, value: str = "", *, literal: bool = False, history: Sequence[str] = ()
    ) -> None:
        """Ask one question, and take the focus. `history`: earlier searches, newest first."""
        self.question, self._literal = question, literal
        self._history = history if question in (SEARCH, FILTER) else ()
        self._recalled = -1
        self.query_one("#log-question", Static).update(Content(f"{question}:"))
        self._input.value = value
        self._hint()
        self.display = True
        self._input.focus()

    def refuse(self, why: str) -> None:
        """Say what is wrong with the answer; the prompt stays."""
        self.add_class("-wrong")
        self.query_one("#log-hint", Static).update(Content(clean_line(why, 120)))

    def _hint(self) -> None:
        self.remove_class("-wrong")
        hints = {
            SEARCH: self._kind(),
            FILTER: self._kind(),
            GO_TO: "line, 50% or 12:05",
            SAVE: "a new file",
        }
        self.query_one("#log-hint", Static).update(Content(hints.get(self.question, "")))

    def _kind(self) -> str:
        return "plain text · ctrl+r: regex" if self._literal else "regex · ctrl+r: plain text"

    def action_literal(self) -> None:
        self._literal = not self._literal
        self._hint()

    def action_recall(self, step: int) -> None:
        """Go back through the earlier searches, or forwards again."""
        at = max(-1, min(self._recalled + step, len(self._history) - 1))
        if at != self._recalled:
            self._recalled = at
            self._input.value = self._history[at] if at >= 0 else ""
            self._input.cursor_position = len(self._input.value)

    def action_close(self) -> None:
        self.display = False
        self.post_message(self.Closed())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Answered(LogInputAnswer(self.question, event.value, self._literal)))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.has_class("-wrong"):
            self._hint()
