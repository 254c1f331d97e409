"""FilterController: opens the filter bar, applies what is typed in it, and reports what it matches."""

from __future__ import annotations

from functools import partial

from textual.timer import Timer

from paraschut_core.errors import ParaschutError
from paraschut_core.filtering.language import unknown_words
from paraschut_core.sanitize import clean_line

from ..backend.backend import Backend
from ..dashboard_state import DashboardState
from ..filter.bar import FilterBar
from ..filter.term_completion import known_of
from ..toast import show_toast
from ..widgets.key_hints import KeyHints
from . import titles
from .panes import JobsPane

TYPING_PAUSE = 0.15
"""Seconds without a key after which a filter that is being typed is applied."""


class FilterController:
    """Connects the filter bar with what the grid shows.

    Args:
        key_hints: the line that makes room for the bar.
    """

    def __init__(
        self,
        backend: Backend,
        state: DashboardState,
        bar: FilterBar,
        jobs: JobsPane,
        key_hints: KeyHints,
    ) -> None:
        self._backend = backend
        self._state = state
        self._bar = bar
        self._jobs = jobs
        self._key_hints = key_hints
        self._pause: Timer | None = None

    def open(self) -> bool:
        """Open the bar. Return whether it was closed before and there is a snapshot."""
        snapshot, query = self._state.snapshot, self._state.query
        if snapshot is None or self._bar.is_open:
            return False
        self._key_hints.display = False
        self._bar.open(query.text if query else "", known_of(snapshot, self._bar.known.fields))
        self.show_matches()
        self._jobs.run_worker(self._load_fields(), group="fields", exclusive=True, exit_on_error=False)
        return True

    async def _load_fields(self) -> None:
        """Read the names of the metadata's fields, for completion."""
        try:
            fields = await self._backend.fields()
        except ParaschutError:
            return  # the status bar says what is wrong with the file
        if self._state.snapshot is not None:
            self._bar.learn(known_of(self._state.snapshot, fields))

    def edited(self, text: str) -> None:
        """Apply a filter that is being typed, after a pause."""
        self._stop_pause()
        self._pause = self._jobs.set_timer(TYPING_PAUSE, partial(self._jobs.contents.set_filter, text))

    def closed(self, text: str) -> None:
        """Apply the filter that stays in force when the bar is closed."""
        self._stop_pause()
        self._key_hints.display = True
        self._jobs.contents.set_filter(text)
        if text and self._jobs.contents.error:
            # A narrow screen has no title for it where there is no filter.
            show_toast(self._jobs, self._jobs.contents.error, "error")

    def _stop_pause(self) -> None:
        if self._pause is not None:
            self._pause.stop()

    def show_matches(self) -> None:
        """Show beside the filter how many jobs match it, and above it what is wrong with it."""
        contents, bar, query = self._jobs.contents, self._bar, self._state.query
        if not bar.is_open:
            return
        if contents.error:
            bar.say([], clean_line(contents.error, 300))
        elif query is None:
            bar.say([("Esc goes back", "muted")])
        elif contents.reading:
            bar.say(titles.search_parts(contents))
        else:
            total = self._jobs.grid.board.total
            unknown = [] if total else unknown_words(query, bar.known.fields)
            bar.say([(f"{total:,} match", "accent")], clean_line(" ".join(unknown), 300))
