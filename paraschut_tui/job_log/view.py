"""LogView: the log of one job: its streams and attempts, followed, searched, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar

from textual.actions import SkipAction
from textual.binding import BindingType
from textual.message import Message

from paraschut_core.errors import ParaschutError
from paraschut_core.logs import Pattern

from ..terminal.terminal_app import discard_typeahead
from .external_programs import editor, open_with, pager
from .input_line import FILTER, GO_TO, SAVE, SEARCH, LogInput, LogInputAnswer
from .log_keys import LOG_KEYS, bindings
from .sources import LogSources, LogViewState
from .view_base import LogBase

__all__ = ["LogSources", "LogView", "LogViewState"]

_STEP = 8  # columns of one step to the side

MOST_SEARCHES = 50
"""What was searched for, that is remembered."""


class LogView(LogBase):
    """Shows the logs of one job; tell it which with `show`, or why there is none with `clear`.

    All reading is done in threads; what the user chose (stream, wrap, numbers) stays from job to job.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings()
    DEFAULT_CSS = """
    LogView { height: 1fr; width: 1fr; }
    LogView > #log-panes { height: 1fr; }
    LogView #log-second { display: none; border-left: solid $panel; }
    LogView.-split #log-second { display: block; }
    """

    class FullScreen(Message):
        """The user wants the log on the whole screen (or, there, back)."""

        def __init__(self, view: LogView) -> None:
            super().__init__()
            self.view = view
            self.sources = view.sources
            self.place = view.place

        @property
        def control(self) -> LogView:
            return self.view

    @staticmethod
    def help_keys() -> list[tuple[str, str]]:
        """Every key of the log, as people call it, with what it does: for a help screen."""
        return [(key.shown, key.help) for key in LOG_KEYS]

    # ------------------------------------------------------------------ moving

    def action_move(self, lines: int) -> None:
        self.pane.step(lines)

    def action_page(self, pages: float) -> None:
        self.pane.move_page(pages)

    def action_start(self) -> None:
        self.pane.to_start()

    def action_end(self) -> None:
        self.pane.to_end()

    def action_sideways(self, steps: int) -> None:
        self.pane.move_sideways(_STEP * steps)

    def action_margin(self) -> None:
        self.pane.move_sideways(-self.pane.left)

    def action_follow(self) -> None:
        self.pane.follow(not self.pane.following)

    # ------------------------------------------------------------------ which log, and how

    def action_stream(self) -> None:
        """The other one of stdout and stderr."""
        self._choose(self._selection.partner())

    def action_attempt(self, step: int) -> None:
        if self._selection.step_attempt(step):
            self._open()
        elif self.sources.streams:
            self.pane.tell("this is the last attempt" if step > 0 else "this is the first attempt")

    def action_spawn(self, step: int) -> None:
        if self._selection.step_group(step):
            self._open()
        else:
            self.pane.tell("this job has no spawns")

    def action_split(self) -> None:
        """Both streams side by side, or one again."""
        self._split = not self._split
        if not self._split and self._active is self._second:
            self._first.focus()
        self._active = self._first
        self.set_class(self._split, "-split")
        self._open()

    def action_numbers(self) -> None:
        self.pane.toggle_numbers()
        other = self._second if self.pane is self._first else self._first
        other.numbers = self.pane.numbers

    def action_wrap(self) -> None:
        wrap = not self.pane.wrap
        for pane in (self._first, self._second):
            pane.set_wrap(wrap)

    def action_full_screen(self) -> None:
        self.post_message(self.FullScreen(self))

    # ------------------------------------------------------------------ questions

    def action_search(self) -> None:
        text, literal = self._last_search
        self._ask(SEARCH, text, literal)

    def action_filter(self) -> None:
        pane = self.pane
        if pane.filtering:
            pane.toggle_filter()
        else:
            text, literal = self._last_search
            self._ask(FILTER, text, literal)

    def action_go_to(self) -> None:
        self._ask(GO_TO)

    def action_save(self) -> None:
        if self.pane.path:
            self._ask(SAVE, os.path.basename(self.pane.path))

    def _ask(self, question: str, value: str = "", literal: bool = False) -> None:
        if not self.pane.path:
            self.pane.tell("there is no log")
            discard_typeahead(self.app)
            return
        self._status.display = False
        self._prompt.ask(question, value, literal=literal, history=self._searches)

    def on_log_input_closed(self, message: LogInput.Closed) -> None:
        message.stop()
        self._close_prompt()

    def _close_prompt(self) -> None:
        self._prompt.display = False
        self._status.display = True
        self.pane.focus()
        self._refresh_status()

    def on_log_input_answered(self, message: LogInput.Answered) -> None:
        message.stop()
        answer = message.answer
        if answer.text:
            answers: dict[str, Callable[[LogInputAnswer], None]] = {
                SEARCH: self._search,
                FILTER: self._filter,
                GO_TO: lambda answer: self.pane.go_to(answer.text),
                SAVE: lambda answer: self.pane.save(answer.text),
            }
            try:
                answers[answer.question](answer)
            except ParaschutError as error:
                self._prompt.refuse(str(error))
                return
        self._close_prompt()

    def _search(self, answer: LogInputAnswer) -> None:
        self.pane.search(Pattern(answer.text, literal=answer.literal))
        self._remember(answer)

    def _filter(self, answer: LogInputAnswer) -> None:
        self.pane.filter(Pattern(answer.text, literal=answer.literal))
        self._remember(answer)

    def _remember(self, answer: LogInputAnswer) -> None:
        self._last_search = (answer.text, answer.literal)
        others = [text for text in self._searches if text != answer.text]
        self._searches = (answer.text, *others)[:MOST_SEARCHES]

    def action_next(self, forward: bool) -> None:
        self.pane.next_match(forward=forward)

    def action_error(self, forward: bool) -> None:
        self.pane.next_error(forward=forward)

    def action_back(self) -> None:
        """Ends one thing: counting, marks, filter, search; without any, the key is not for the log."""
        pane = self.pane
        if not (pane.stop_working() or pane.clear_marks() or pane.forget_search()):
            if not pane.notice:
                raise SkipAction
            pane.tell("")

    # ------------------------------------------------------------------ taking away

    def action_mark(self) -> None:
        self.pane.toggle_mark()

    def action_mark_range(self) -> None:
        self.pane.mark_range()

    def action_copy(self) -> None:
        self.pane.copy()

    def action_plain(self) -> None:
        self.pane.show_plainly()

    def action_facts(self) -> None:
        self.pane.tell_facts()

    def action_pager(self) -> None:
        self._open_with(pager())

    def action_editor(self) -> None:
        self._open_with(editor())

    def _open_with(self, command: list[str]) -> None:
        if self.pane.path:
            self.pane.tell(open_with(self.app, command, self.pane.path, self.pane.spot))
