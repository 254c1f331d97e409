"""LogBase: the panes, the status line and the prompt of a log, and which of a job's logs they show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from paraschut_core.sanitize import clean_line

from .following_pane import FollowingPane
from .input_line import LogInput
from .pane import LogPane
from .sources import LATEST, LogSources, LogViewState, StreamSelection
from .status_line import LogStatusLine, LogTitle, Part

if TYPE_CHECKING:
    from typing_extensions import Self

_NO_JOB = "No job is chosen"


class LogBase(Vertical):
    """Tell it what to show with `show`, or why there is nothing with `clear`; what keys do with it is in the
    class that builds upon this one."""

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
        """Shows the logs of a job, from the end, or from `place`.

        The same sources again change nothing; other attempts of the same job leave the view where it is,
        unless it showed the latest one and there is a later one now.
        """
        self._note = ""
        self._selection.use(sources)
        if place is not None:
            self._take(place)
        self._open(place)

    def restore_options(self, place: LogViewState) -> None:
        """Takes how a log is shown (wrap, numbers, both streams) and what was searched for: before `show`."""
        self._searches = place.searches
        self._split = place.split
        self.set_class(place.split, "-split")
        for pane in (self._first, self._second):
            pane.numbers, pane.wrap = place.numbers, place.wrap

    def show_found(self, sources: LogSources, stream: str, text: str, *, literal: bool) -> None:
        """Shows the logs of a job at the first place where one of them holds `text`."""
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
        """Ends filter and search."""
        for pane in (self._first, self._second):
            while pane.forget_search():
                pass

    def show_spawn(self, spawn_id: int | None) -> None:
        """Turns to the log of one of the job's spawns; None: to the job's own."""
        group = "" if spawn_id is None else f"spawn {spawn_id}"
        if group != self._selection.group and self._selection.choose_group(group):
            self._open()

    def clear(self, note: str = "") -> None:
        """Shows no log but `note`, which tells why."""
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
        """Gives the focus to the log."""
        self.pane.focus(scroll_visible)
        return self

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if event.widget in (self._first, self._second):
            self._active = self._second if event.widget is self._second else self._first

    def _choose(self, stream: str) -> None:
        self._selection.choose(stream, self._selection.wanted_attempt)
        self._open()
