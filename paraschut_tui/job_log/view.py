"""LogView: the log of one job: its streams and attempts, followed, searched, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message

from paraschut_core.errors import ParaschutError
from paraschut_core.logs import Pattern
from paraschut_core.sanitize import clean_line

from .. import keymap
from ..terminal.terminal_app import discard_typeahead
from .external_programs import editor, open_with, pager
from .following_pane import FollowingPane
from .input_line import FILTER, GO_TO, SAVE, SEARCH, LogInput, LogInputAnswer
from .pane import LogPane
from .sources import LATEST, LogSources, LogViewState, StreamSelection
from .status_line import LogStatusLine, LogTitle, Part

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LogSources", "LogView", "LogViewState"]

_NO_JOB = "No job is chosen"
_STEP = 8  # columns of one step to the side

MOST_SEARCHES = 50
"""What was searched for, that is remembered."""


class LogView(Vertical):
    """Shows the logs of one job; tell it which with `show`, or why there is none with `clear`.

    All reading is done in threads; what the user chose (stream, wrap, numbers) stays from job to job.
    """

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.LOG)
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

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self._selection = StreamSelection()
        self._note = _NO_JOB
        self._status = LogStatusLine()
        self._prompt = LogInput()
        self._first = LogPane(id="log-first")
        self._second = LogPane(id="log-second")
        self._first.note = _NO_JOB
        self._active = self._first
        self._split = False
        self._last_search = ("", False)
        self._searches: tuple[str, ...] = ()
        self._has_panes = False
        self._first_place: LogViewState | None = None  # of sources given before there was a screen

    def compose(self) -> ComposeResult:
        yield self._status
        yield self._prompt
        with Horizontal(id="log-panes"):
            yield self._first
            yield self._second

    # ------------------------------------------------------------------ what is shown

    @property
    def sources(self) -> LogSources:
        """The logs that are shown."""
        return self._selection.sources

    @property
    def place(self) -> LogViewState:
        """Where the user is, for another view to go on from there."""
        row = self._first.window.top_row
        return LogViewState(
            self._selection.stream,
            self._selection.wanted_attempt,
            None if self._first.following or row is None else row.start,
            self._first.left,
            self._first.wrap,
            self._first.numbers,
            self._split,
            *self._first.search_place,
            searches=self._searches,
        )

    def show(self, sources: LogSources, place: LogViewState | None = None) -> None:
        """Show the logs of a job, from the end, or from `place`.

        The same sources again change nothing; other attempts of the same job leave the view where it is,
        unless it showed the latest one and there is a later one now.
        """
        self._note = ""
        self._selection.use(sources)
        if place is not None:
            self._take(place)
        self._open(place)

    def restore_options(self, place: LogViewState) -> None:
        """Take how a log is shown (wrap, numbers, both streams) and what was searched for: before `show`."""
        self._searches = place.searches
        self._split = place.split
        self.set_class(place.split, "-split")
        for pane in (self._first, self._second):
            pane.numbers, pane.wrap = place.numbers, place.wrap

    def show_found(self, sources: LogSources, stream: str, text: str, *, literal: bool) -> None:
        """Show the logs of a job at the first place where one of them holds `text`."""
        place = self.place._replace(
            stream=stream,
            attempt=LATEST,
            offset=None,
            search=text,
            literal=literal,
            filtering=False,
            jump=True,
        )
        self.show(sources, place)

    def forget_search(self) -> None:
        """End filter and search."""
        for pane in (self._first, self._second):
            while pane.forget_search():
                pass

    def show_spawn(self, spawn_id: int | None) -> None:
        """Turn to the log of one of the job's spawns; None: to the job's own."""
        group = "" if spawn_id is None else f"spawn {spawn_id}"
        if group != self._selection.group and self._selection.choose_group(group):
            self._open()

    def clear(self, note: str = "") -> None:
        """Show `note`, the reason why there is no log."""
        self._note = note or _NO_JOB
        self._selection.use(LogSources("", {}))
        self._open()

    def _take(self, place: LogViewState) -> None:
        self._selection.choose(place.stream, place.attempt)
        self._last_search = (place.search, place.literal)
        self._searches = place.searches
        self._split = place.split
        self.set_class(place.split, "-split")
        for pane in (self._first, self._second):
            pane.numbers = place.numbers
            pane.set_wrap(place.wrap)
        self._first.restore_search(place.search, place.literal, place.filtering, jump=place.jump)

    def on_mount(self) -> None:
        self._has_panes = True
        self._open(self._first_place)

    def _open(self, place: LogViewState | None = None) -> None:
        if not self._has_panes:
            self._first_place = place
            return
        selection = self._selection
        self._open_pane(self._first, selection.stream, place)
        if self._split:
            self._open_pane(self._second, selection.partner(), None)
        else:
            self._second.close("")
        self._refresh_status()

    def _open_pane(self, pane: LogPane, stream: str, place: LogViewState | None) -> None:
        path = self._selection.path(stream)
        pane.over = self.sources.over
        if path is None:
            pane.close(self._why_none(stream))
        elif place is not None:
            pane.open(stream, path, offset=place.offset, left=place.left)
        elif pane.path != path:
            # Looking from job to job for the same thing: the column stays.
            pane.open(stream, path, left=pane.left)

    def _why_none(self, stream: str) -> str:
        if self._note:
            return self._note
        return self.sources.note or f"{stream or 'The job'} has no log"

    # ------------------------------------------------------------------ status line

    def on_following_pane_changed(self, message: FollowingPane.Changed) -> None:
        message.stop()
        self._refresh_status()

    def on_log_status_line_stream_chosen(self, message: LogStatusLine.StreamChosen) -> None:
        message.stop()
        self._choose(message.stream)

    def on_resize(self, event: events.Resize) -> None:
        self._refresh_status()

    def _refresh_status(self) -> None:
        if not self.sources.streams:
            self._status.show([LogTitle(clean_line(self.sources.title), {}, "", ())])
            return
        selection = self._selection
        names = {name: clean_line(called) for name, called in selection.shown_names().items()}
        title = clean_line(self.sources.title)
        headings = [self._heading(self._first, title, names, selection.stream, self._which())]
        if self._split:
            headings.append(self._heading(self._second, clean_line(selection.partner()), {}, "", []))
        self._status.show(headings)

    def _which(self) -> list[Part]:
        """Which of the job's logs it is, where that is not the only one or the latest."""
        selection = self._selection
        parts: list[Part] = []
        groups = selection.groups()
        if len(groups) > 1:
            parts.append((clean_line(selection.group) or f"{len(groups) - 1} spawns", "log--found"))
        if selection.attempts > 1:
            earlier = selection.attempt + 1 < selection.attempts
            words = f"log {selection.attempt + 1} of {selection.attempts}"
            parts.append((words, "log--notice" if earlier else "log--quiet"))
        return parts

    @staticmethod
    def _heading(
        pane: LogPane, title: str, names: Mapping[str, str], chosen: str, which: list[Part]
    ) -> LogTitle:
        status = pane.status
        parts: list[Part] = [
            *which,
            (status.notice, "log--notice"),
            (status.search, "log--found"),
            (status.state, "log--quiet"),
        ]
        return LogTitle(title, names, chosen, parts)

    @property
    def status_text(self) -> str:
        """What the status line says."""
        return self._status.text

    # ------------------------------------------------------------------ focus

    @property
    def pane(self) -> LogPane:
        """The pane that keys act upon."""
        return self._active if self._split else self._first

    def focus(self, scroll_visible: bool = True) -> Self:
        """Give the focus to the log."""
        self.pane.focus(scroll_visible)
        return self

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if event.widget in (self._first, self._second):
            self._active = self._second if event.widget is self._second else self._first

    def _choose(self, stream: str) -> None:
        self._selection.choose(stream, self._selection.wanted_attempt)
        self._open()

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
        """End one thing: counting, marks, filter, search; without any, the key is not for the log."""
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
